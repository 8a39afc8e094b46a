//! Answers one message on each connection with `Echo: ` and what it said, and closes.
//!
//! Shows: Python's `BaseRequestHandler` as a [`Handler`], the same on `TcpServer` and on `ThreadingTcpServer`; a limit on how long a
//! client may take.
//!
//! Run: `cargo run --example request_handler_server -- 127.0.0.1:10000 threading`, and in another terminal
//! `cargo run --example message_client -- 127.0.0.1:10000 hello`. The address may be left out, and so may the kind of server, which is
//! `sequential` then: one client after another. A text behind that is the answer to everything, `'Hello, Client!'`, but not
//! to a client that ends without a word.
//!
//! Expect: `listening on 127.0.0.1:10000`, then `Received from 127.0.0.1: hello`. The client gets `Echo: hello`, without a line end, as from
//! Python. Ctrl-C or SIGTERM ends it with exit code 0.
//!
//! Python's counterpart: the tutorials' `MyTCPHandler(socketserver.BaseRequestHandler)`, whose `handle` strips one `recv(1024)`, on
//! `socketserver.TCPServer` and on `ThreadingTCPServer`; a cheat sheet's `accept` loop that answers one `recv` with `b'Hello, Client!'`.

mod common;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use common::messages::Messages;
use common::text::shown;
use common::ExampleResult;
use socketserver::server::{Builder, Dispatch};
use socketserver::tcp::TcpListener;
use socketserver::{Connection, Handler, HandlerResult, TcpServer, ThreadingTcpServer};

/// One who connects and says nothing holds up all others on the sequential server, and a thread on the other.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct MyTcpHandler {
    /// In place of the echo.
    answer: Option<String>,
}

impl Handler for MyTcpHandler {
    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let message = match Messages::new().next(request)? {
            Some(message) => message,
            // The cheat sheet's `if data:`.
            None if self.answer.is_some() => return Ok(()),
            // As MyTCPHandler has it, one who ends without a word has sent an empty message.
            None => String::new(),
        };
        let message = message.trim();
        let peer = request.peer_addr();
        let client = peer.as_socket_addr().map_or(peer.to_string(), |address| address.ip().to_string());
        common::tell(format_args!("Received from {client}: {}", shown(message)));
        match &self.answer {
            Some(answer) => request.write_all(answer.as_bytes())?,
            None => write!(request, "Echo: {message}")?,
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Sequential,
    Threading,
}

fn main() -> ExitCode {
    let usage =
        format!("[ADDRESS [sequential|threading [ANSWER]]]    (default {} sequential)", common::DEFAULT_ADDRESS);
    common::run_with_address_and("request_handler_server", &usage, parse, |address, (kind, answer)| {
        let handler = MyTcpHandler { answer };
        match kind {
            Kind::Sequential => serve(TcpServer::builder(), address, handler),
            Kind::Threading => serve(ThreadingTcpServer::builder(), address, handler),
        }
    })
}

fn parse(words: &[String]) -> Option<(Kind, Option<String>)> {
    let (kind, answer) = match words {
        [] => return Some((Kind::Sequential, None)),
        [kind] => (kind, None),
        [kind, answer] => (kind, Some(answer.clone())),
        _ => return None,
    };
    match kind.as_str() {
        "sequential" => Some((Kind::Sequential, answer)),
        "threading" => Some((Kind::Threading, answer)),
        _ => None,
    }
}

fn serve<D: Dispatch>(server: Builder<TcpListener, D>, address: &str, handler: MyTcpHandler) -> ExampleResult {
    let mut server = server.request_deadline(PATIENCE).handle_error(common::complain_of).bind(address, handler)?;
    common::stop_on_signals(server.handle())?;
    common::announce(server.local_addr())?;
    common::farewell(server.serve_forever()?);
    Ok(())
}
