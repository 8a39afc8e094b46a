//! Sends back what its clients say, counts them, and ends when one has said `end` and the last has gone.
//!
//! Shows: what requests share, an `Arc` in the handler; `setup` and `finish`, which runs for clients that vanish too; a handler that stops
//! its own server.
//!
//! Run: `cargo run --example counting_server -- 127.0.0.1:10000`, and in other terminals
//! `cargo run --example conversation_client -- 127.0.0.1:10000`. The address may be left out. With `forever` behind it, the server stays
//! when the last has gone, and sends `end` back too before it lets the client go.
//!
//! Expect: `listening on 127.0.0.1:10000`, then `127.0.0.1:40000 has come, clients: 1`, `127.0.0.1:40000: hello` for each message and
//! `127.0.0.1:40000 has gone, clients: 0`. `end` leaves. When one has said so and nobody is left, the server ends with exit code 0, as it
//! does at Ctrl-C or SIGTERM; clients that are still there have 300 ms to finish then. Whoever comes and goes without that word, such as a
//! port scan, does not end it.
//!
//! Python's counterpart: the threaded servers of a tutorial that have `"end"` for the word to leave: the one with a global `numClient`
//! that calls `os._exit(0)` at zero, and the one before it, which has none.

mod common;

use std::io::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::messages::Messages;
use common::text::shown;
use socketserver::{Connection, Handler, HandlerResult, ThreadingTcpServer};

#[derive(Clone)]
struct Counted {
    count: Arc<Mutex<Count>>,
    forever: bool,
}

#[derive(Default)]
struct Count {
    clients: usize,
    /// Somebody has said `end`.
    ended: bool,
}

impl Counted {
    fn count(&self) -> MutexGuard<'_, Count> {
        // Nothing is left half done in it, whatever panics.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handler for Counted {
    /// Where this failed, `finish` would not run, and the count would be wrong. It cannot.
    fn setup(&mut self, request: &mut Connection) -> HandlerResult {
        let mut count = self.count();
        count.clients += 1;
        let clients = count.clients;
        drop(count);
        common::tell(format_args!("{} has come, clients: {clients}", request.peer_addr()));
        Ok(())
    }

    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let mut messages = Messages::new();
        while let Some(message) = messages.next(request)? {
            common::tell(format_args!("{}: {}", request.peer_addr(), shown(&message)));
            let leaves = message == "end";
            if !leaves || self.forever {
                write!(request, "{message}{}", messages.line_end())?;
            }
            if leaves {
                self.count().ended = true;
                break;
            }
        }
        Ok(())
    }

    fn finish(&mut self, request: &mut Connection) -> HandlerResult {
        let mut count = self.count();
        count.clients -= 1;
        let Count { clients, ended } = *count;
        drop(count);
        common::tell(format_args!("{} has gone, clients: {clients}", request.peer_addr()));
        if clients == 0 && ended && !self.forever {
            request.server().shutdown_within(common::GRACE);
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let choices = [("last", false), ("forever", true)];
    common::run_with_address_and_choice("counting_server", &choices, |address, forever| {
        let mut server = ThreadingTcpServer::builder()
            .read_timeout(None) // clients may think for as long as they like
            .handle_error(common::complain_of)
            .bind(address, Counted { count: Arc::default(), forever })?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
