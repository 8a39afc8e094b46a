//! Sends back whatever it is sent, behind a prefix, and says who comes, what he sends and when he goes.
//!
//! Shows: `setup`, `handle` and `finish`; one handler on `ThreadingTcpServer` and on `TcpServer`; text that is printed and answered as it
//! comes, with characters that straddle two reads.
//!
//! Run: `cargo run --example prefix_echo_server -- 127.0.0.1:10000 'Received: '`, and in another terminal
//! `cargo run --example message_client -- 127.0.0.1:10000 hello`. All of it may be left out; the prefix is `Echo: ` then. An empty one
//! makes it a plain echo. A last word, `sequential`, has it serve one client after another.
//!
//! Expect: `listening on 127.0.0.1:10000`, then `Connection from 127.0.0.1:40000`, `Received from 127.0.0.1:40000: hello` and
//! `Connection from 127.0.0.1:40000 closed`. The client gets `Received: hello`. There is a prefix before what each read gives, so a long
//! message has several, but none within a character: where a read ends in one, its bytes wait for the rest. Ctrl-C or SIGTERM ends it with exit code 0; clients that
//! are still there have 300 ms to finish, and a second Ctrl-C cuts them off.
//!
//! Python's counterpart: the tutorials' TCP servers that answer `f"Echo: {data.decode()}"` or `"Received: {}"` to each `recv(1024)`: in
//! the `accept` loop itself, or in a `threading.Thread` for each client. There, `data.decode()` fails on half a character.

mod common;

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use common::text::{shown, TextDecoder};
use common::ExampleResult;
use socketserver::server::{Builder, Dispatch};
use socketserver::tcp::TcpListener;
use socketserver::{Connection, Handler, HandlerResult, TcpServer, ThreadingTcpServer};

/// A client who says nothing for so long is let go.
const PATIENCE: Duration = Duration::from_secs(300);

/// Each client is served by a clone of its own.
#[derive(Clone)]
struct PrefixEcho {
    prefix: String,
}

impl Handler for PrefixEcho {
    fn setup(&mut self, request: &mut Connection) -> HandlerResult {
        common::tell(format_args!("Connection from {}", request.peer_addr()));
        Ok(())
    }

    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let mut buffer = [0; 4096];
        let mut text = TextDecoder::default();
        loop {
            let received = match request.read(&mut buffer)? {
                0 => break,
                count => buffer.get(..count).unwrap_or_default(),
            };
            if self.prefix.is_empty() {
                // Nothing comes between the bytes of a character, so none of them has to wait.
                request.write_all(received)?;
            }
            self.answer(request, &text.whole(received))?;
        }
        self.answer(request, &text.rest())
    }

    /// Whatever became of the client.
    fn finish(&mut self, request: &mut Connection) -> HandlerResult {
        common::tell(format_args!("Connection from {} closed", request.peer_addr()));
        Ok(())
    }
}

impl PrefixEcho {
    /// Prints whole characters, and sends them back where there is a prefix for them.
    fn answer(&self, request: &mut Connection, characters: &[u8]) -> HandlerResult {
        // None has ended yet where all that came was a part of one.
        if characters.is_empty() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(characters);
        common::tell(format_args!("Received from {}: {}", request.peer_addr(), shown(&text)));
        if !self.prefix.is_empty() {
            // The bytes, and not the text: what is not UTF-8 goes back as it came.
            request.write_all(&[self.prefix.as_bytes(), characters].concat())?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Threading,
    Sequential,
}

fn main() -> ExitCode {
    let usage = format!(
        "[ADDRESS [PREFIX [threading|sequential]]]    (default {} 'Echo: ' threading)",
        common::DEFAULT_ADDRESS
    );
    common::run_with_address_and("prefix_echo_server", &usage, parse, |address, (prefix, kind)| {
        let handler = PrefixEcho { prefix };
        match kind {
            Kind::Threading => serve(ThreadingTcpServer::builder(), address, handler),
            Kind::Sequential => serve(TcpServer::builder(), address, handler),
        }
    })
}

fn parse(words: &[String]) -> Option<(String, Kind)> {
    match words {
        [] => Some(("Echo: ".into(), Kind::Threading)),
        [prefix] => Some((prefix.clone(), Kind::Threading)),
        [prefix, kind] if kind == "threading" => Some((prefix.clone(), Kind::Threading)),
        [prefix, kind] if kind == "sequential" => Some((prefix.clone(), Kind::Sequential)),
        _ => None,
    }
}

fn serve<D: Dispatch>(server: Builder<TcpListener, D>, address: &str, handler: PrefixEcho) -> ExampleResult {
    let mut server = server.read_timeout(PATIENCE).handle_error(common::complain_of).bind(address, handler)?;
    common::stop_on_signals(server.handle())?;
    common::announce(server.local_addr())?;
    common::farewell(server.serve_forever()?);
    Ok(())
}
