//! Serves one client and ends: the first server of a tutorial.
//!
//! Shows: `handle_request` and what it says has happened; messages with a line end and without.
//!
//! Run: `cargo run --example one_client_server -- 127.0.0.1:10000 end`, and in another terminal
//! `cargo run --example conversation_client -- 127.0.0.1:10000`. The word says how much there is to it: `message` sends one message back,
//! `end` all until one says `end`, which is not sent back, `receive` takes one and says nothing, and `bytes` sends whatever comes back as
//! it comes, to its end. It may be left out, and is `message` then, and so may the address.
//!
//! Expect: `listening on 127.0.0.1:10000`, `Connection from 127.0.0.1:40000`, `Received: hello` for each message (not for `bytes`) and
//! `done`, with exit code 0, whatever became of the client; where it failed, a line says how. Ctrl-C or SIGTERM ends it with exit code 0; a client that is
//! still there has 300 ms to finish.
//!
//! Python's counterpart: the tutorials' servers that call `accept` once, then `recv` and `sendall` once, or in a loop until `"end"`,
//! or, in the best-known of them, until `if not data: break`; `socketserver`'s `handle_request`. Where the client of the loop goes without that word, Python's sends nothing to nobody for ever.

mod common;

use std::io::{BufRead, Write};
use std::process::ExitCode;

use common::messages::Messages;
use common::text::shown;
use socketserver::{handler_fn, Connection, Handled, HandlerResult, TcpServer};

#[derive(Clone, Copy, PartialEq)]
enum Talk {
    OneMessage,
    UntilEnd,
    Receive,
    Bytes,
}

fn talk(request: &mut Connection, talk: Talk) -> HandlerResult {
    common::tell(format_args!("Connection from {}", request.peer_addr()));
    if talk == Talk::Bytes {
        return echo(request);
    }
    let mut messages = Messages::new();
    while let Some(message) = messages.next(request)? {
        common::tell(format_args!("Received: {}", shown(&message)));
        if talk == Talk::Receive || talk == Talk::UntilEnd && message == "end" {
            break;
        }
        write!(request, "{message}{}", messages.line_end())?;
        if talk == Talk::OneMessage {
            break;
        }
    }
    Ok(())
}

fn echo(request: &mut Connection) -> HandlerResult {
    loop {
        let received = request.fill_buf()?.to_vec();
        if received.is_empty() {
            return Ok(());
        }
        request.consume(received.len());
        request.write_all(&received)?;
    }
}

fn main() -> ExitCode {
    let choices =
        [("message", Talk::OneMessage), ("end", Talk::UntilEnd), ("receive", Talk::Receive), ("bytes", Talk::Bytes)];
    common::run_with_address_and_choice("one_client_server", &choices, |address, how| {
        let mut server = TcpServer::builder()
            .read_timeout(None) // its one client may think for as long as he likes
            .handle_error(common::complain_of)
            .bind(address, handler_fn(move |request: &mut Connection| talk(request, how)))?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        loop {
            match server.handle_request()? {
                Handled::Served => common::tell("done"),
                // A client was lost before he was let in: he was not the one.
                Handled::AcceptError(error) => {
                    common::complain(error);
                    continue;
                }
                _ => {} // stopped
            }
            return Ok(());
        }
    })
}
