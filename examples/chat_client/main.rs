//! Takes part in a chat: what is typed is sent, and what the others say is shown meanwhile.
//!
//! Shows: `tcp::connect`, a `Connection` in the thread that receives and its `ConnectionWriter` in the one that sends, and a half-close:
//! at the end of the input the server is told so, and what it still has to say is shown.
//!
//! Run: start one of the chat servers, then `cargo run --example chat_client -- 127.0.0.1:8888` in two terminals, or
//! `printf 'hello\nquit\n' | cargo run --example chat_client -- 127.0.0.1:8888`. With the servers of the tutorials, which take for a message
//! what one `recv` gives them, put `bare` behind the address: then no line ends are sent. The address may be left out, and is
//! 127.0.0.1:10000 then.
//!
//! Expect: what the server says, above a prompt that stays what it is while something is typed. `quit` or `end` leaves, as the server
//! has it, Ctrl-D half-closes, and Ctrl-C ends at once; all of these with exit code 0. Where nobody listens, or the server goes away, one
//! line says so and the exit code is 1.
//!
//! Python's counterpart: the chat client of a socket tutorial, with a thread that loops over `input` and `sendall` and one that loops over
//! `recv` and `print`, into whatever is being typed.

#[path = "../common/mod.rs"]
mod common;
#[cfg(unix)]
mod keys;
#[cfg(unix)]
mod line;
mod prompt;
#[cfg(unix)]
mod terminal;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::messages::Messages;
use common::text::shown;
use common::ExampleResult;
use prompt::{Input, Screen};
use socketserver::framing::FramingError;
use socketserver::{tcp, Connection, ConnectionWriter};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What ends a message for the server.
#[derive(Clone, Copy)]
enum End {
    /// A line end.
    Line,
    /// Nothing but that no more comes for a while: so long that a server which is busy with others has seen the one message before the
    /// next one comes. The tutorial's client waits as long.
    Pause(Duration),
}

fn main() -> ExitCode {
    let ends = [("lines", End::Line), ("bare", End::Pause(Duration::from_millis(300)))];
    common::run_with_address_and_choice("chat_client", &ends, |address, end| {
        let mut connection = tcp::connect(address, CONNECT_TIMEOUT)?;
        connection.set_read_timeout(None)?; // the others may be silent for as long as they like
        let (peer, writer) = (connection.peer_addr(), connection.writer());

        // Three may say that the chat is over, and how: Ctrl-C, the thread that sends, and the one that receives.
        let (over, said_over) = channel::<ExampleResult>();
        let interrupted = over.clone();
        ctrlc::set_handler(move || drop(interrupted.send(Ok(()))))?;

        let (input, screen) = prompt::open()?;
        if screen.has_prompt() {
            common::say(format_args!("connected to {peer}; Ctrl-D or Ctrl-C to leave"))?;
        }
        let leaving = Arc::new(AtomicBool::new(false));
        let sending = {
            let (writer, leaving, over) = (writer.clone(), Arc::clone(&leaving), over.clone());
            thread::spawn(move || {
                if let Err(error) = send(input, writer, end, &leaving) {
                    let _ = over.send(Err(error.into()));
                }
            })
        };
        let shown_on = screen.clone();
        thread::spawn(move || {
            let received = match receive(connection, &shown_on) {
                Ok(()) if leaving.load(Ordering::Relaxed) => Ok(()),
                Ok(()) => Err(format!("{peer} closed the connection").into()),
                Err(error) => Err(error.into()),
            };
            let _ = over.send(received);
        });

        let result = said_over.recv()?;
        screen.end();
        if screen.has_prompt() {
            // The thread that reads from the terminal leaves it as it was. It may be sending.
            let _ = writer.shutdown();
            let _ = sending.join();
        }
        result
    })
}

/// Python's `send_thread`. Returns after the half-close, or where there is nobody to send to any more: why, the one that receives is told,
/// after what the server still has to say.
fn send(mut input: Input, mut writer: ConnectionWriter, end: End, leaving: &AtomicBool) -> io::Result<()> {
    let mut free_at = Instant::now();
    while let Some(mut message) = input.next_line()? {
        if matches!(String::from_utf8_lossy(&message).trim().to_lowercase().as_str(), "quit" | "end") {
            leaving.store(true, Ordering::Relaxed);
        }
        match end {
            End::Line => message.push(b'\n'),
            End::Pause(pause) => {
                thread::sleep(free_at.saturating_duration_since(Instant::now()));
                free_at = Instant::now() + pause;
            }
        }
        match writer.write_all(&message) {
            Err(error) if error.kind() == ErrorKind::TimedOut => return Err(error),
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
    }
    leaving.store(true, Ordering::Relaxed);
    let _ = writer.shutdown_write();
    Ok(())
}

/// Python's `recv_thread`. Returns when the server has closed the connection, or its half of it.
fn receive(mut connection: Connection, screen: &Screen) -> io::Result<()> {
    let mut messages = Messages::new();
    loop {
        match messages.next(&mut connection) {
            Ok(Some(message)) => screen.show(&shown(&message))?,
            Ok(None) => return Ok(()),
            Err(error) => match FramingError::of(&error) {
                Some(FramingError::InvalidUtf8 { .. }) => screen.show(&error.to_string())?,
                // The system does not say whom an error is about.
                _ if error.raw_os_error().is_some() => {
                    let lost = format!("lost the connection with {}: {error}", connection.peer_addr());
                    return Err(io::Error::new(error.kind(), lost));
                }
                _ => return Err(error),
            },
        }
    }
}
