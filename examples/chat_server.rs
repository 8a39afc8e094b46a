//! A chat with a thread for each member, or a coroutine: what one says, all others are told.
//!
//! Shows: `setup` and `finish` for whoever comes and goes, however he goes; a `ConnectionWriter` for each member, whose `try_write` no
//! member who does not read can hold up. The words are those of `reactor_chat_server`, which does the same on one thread.
//!
//! Run: `cargo run --example chat_server -- 127.0.0.1:8888`, and in two other terminals
//! `cargo run --example chat_client -- 127.0.0.1:8888`, or `nc 127.0.0.1 8888`. The address may be left out, and is 127.0.0.1:10000 then.
//!
//! `cargo run --features coroutine --example chat_server -- 127.0.0.1:8888 coroutine` runs the same handler on coroutines, on one thread.
//!
//! Expect: `listening on 127.0.0.1:8888`, then a line for each member who is put out: one for whom more than a mebibyte waits, or who says
//! more than 4 KiB at once. Members are welcomed, told who joins, what others say and who leaves; `quit` leaves. Ctrl-C or SIGTERM ends
//! it with exit code 0.
//!
//! Python's counterpart: the threaded chat server of a socket tutorial:
//!
//! | there | here |
//! |---|---|
//! | `threading.Thread(target=handle_client, …)` after each `accept` | `ThreadingTcpServer`, whose threads are reused and bounded |
//! | `clients` and `clients_lock` | `Members`, which every handler has a clone of |
//! | `client.send(message)`, which waits for whoever does not read | `try_write`, which does not |
//! | `finally:` | `finish` |

mod common;

use std::io::Write;
use std::process::ExitCode;

use common::chat::{self, Pace, Said};
use common::members::Members;
use common::messages::Messages;
#[cfg(feature = "coroutine")]
use socketserver::coroutine::CoroutineTcpServer;
use socketserver::framing::FramingError;
use socketserver::server::{Builder, RunsHandlers};
use socketserver::tcp::TcpListener;
use socketserver::{Connection, Handler, HandlerResult, Keepalive, ThreadingTcpServer};

/// Serves one member, on any server of streams.
#[derive(Clone, Default)]
struct Chat {
    members: Members<u64>,
}

impl Handler for Chat {
    fn setup(&mut self, request: &mut Connection) -> HandlerResult {
        let mut room = self.members.room();
        // Whoever has been welcomed hears all that is said from then on.
        request.writer().try_write(chat::WELCOME.as_bytes())?;
        room.tell_all(&chat::has_joined(request.peer_addr()));
        room.join(request.id(), request.writer());
        Ok(())
    }

    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let mut messages = Messages::new().lines_once_seen().at_most(chat::MAX_MESSAGE);
        let mut pace = Pace::new();
        loop {
            let message = match messages.next(request) {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(error) => match FramingError::of(&error) {
                    Some(error @ FramingError::InvalidUtf8 { .. }) => {
                        request.write_all(chat::not_understood(error).as_bytes())?;
                        continue;
                    }
                    _ => return Err(error.into()),
                },
            };
            match Said::by(&message) {
                Said::Nothing => {}
                Said::Quit => return Ok(()),
                Said::Words(words) => {
                    pace.wait(words.len());
                    self.members.room().tell_others(&request.id(), &chat::says(request.peer_addr(), words));
                }
            }
        }
    }

    fn finish(&mut self, request: &mut Connection) -> HandlerResult {
        let mut room = self.members.room();
        room.leave(&request.id());
        // When the server stops, all of them leave, and there is nobody to be told.
        if !request.server().is_shutting_down() {
            room.tell_all(&chat::has_left(request.peer_addr()));
        }
        Ok(())
    }
}

/// What the handlers run on.
#[derive(Clone, Copy)]
enum On {
    Threads,
    #[cfg(feature = "coroutine")]
    Coroutines,
}

const CHOICES: &[(&str, On)] = &[
    ("threading", On::Threads),
    #[cfg(feature = "coroutine")]
    ("coroutine", On::Coroutines),
];

/// The same whatever they run on.
fn settings<D: RunsHandlers>(builder: Builder<TcpListener, D>) -> Builder<TcpListener, D> {
    builder
        .max_connections(1_000)
        .read_timeout(None) // members may listen for as long as they like
        .keepalive(Keepalive::new(chat::KEEPALIVE))
        .write_queue(chat::MAX_WAITING)
        .handle_error(common::complain_of)
}

fn main() -> ExitCode {
    common::run_with_address_and_choice("chat_server", CHOICES, |address, on| {
        let report = match on {
            On::Threads => {
                let mut server = settings(ThreadingTcpServer::builder()).bind(address, Chat::default())?;
                common::stop_on_signals(server.handle())?;
                common::announce(server.local_addr())?;
                server.serve_forever()?
            }
            #[cfg(feature = "coroutine")]
            On::Coroutines => {
                let mut server = settings(CoroutineTcpServer::builder()).bind(address, Chat::default())?;
                common::stop_on_signals(server.handle())?;
                common::announce(server.local_addr())?;
                server.serve_forever()?
            }
        };
        common::farewell(report);
        Ok(())
    })
}
