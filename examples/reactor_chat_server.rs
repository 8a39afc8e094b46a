//! A chat: what one member says, all others are told.
//!
//! Shows: lines by `Framed` and `LineDecoder`, so that a character whose bytes come in two pieces is whole again; a `Broadcaster`, which
//! no member who does not read can hold up; callbacks for whoever comes and goes.
//!
//! Run: `cargo run --example reactor_chat_server -- 127.0.0.1:8888`, and in two other terminals `nc 127.0.0.1 8888`. The address may be
//! left out, and is 127.0.0.1:10000 then.
//!
//! Expect: `listening on 127.0.0.1:8888`, then a line for each member who is put out: one for whom more than a mebibyte waits, or who says
//! more than 4 KiB in a line, or so much in so short lines that it cannot be passed on. Members are welcomed, told who joins, what others
//! say and who leaves; `quit` leaves. Ctrl-C or SIGTERM ends it with exit code 0.
//!
//! Python's counterpart: the chat server of the tutorials, with a thread and a `send` that may block for each member; in asyncio, a
//! `Protocol` and a list of transports.

mod common;

use std::process::ExitCode;

use common::chat::{self, Said};
use socketserver::framing::{utf8, LineDecoder};
use socketserver::reactor::{Framed, MessageProtocol};
use socketserver::{Keepalive, ReactorTcpServer, Transport};

#[derive(Clone)]
struct Member;

impl MessageProtocol for Member {
    fn connection_made(&mut self, transport: &mut Transport) {
        transport.write(chat::WELCOME.as_bytes());
        tell_the_others(transport, &chat::has_joined(transport.peer_addr()));
    }

    fn message_received(&mut self, transport: &mut Transport, line: &[u8]) {
        match utf8(line).map(Said::by) {
            Ok(Said::Nothing) => {}
            Ok(Said::Quit) => transport.close(),
            Ok(Said::Words(words)) => tell_the_others(transport, &chat::says(transport.peer_addr(), words)),
            Err(error) => drop(transport.write(chat::not_understood(error).as_bytes())),
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport, _: Option<&std::io::Error>) {
        // When the server stops, all of them leave, and there is nobody to be told.
        if !transport.server().is_shutting_down() {
            tell_the_others(transport, &chat::has_left(transport.peer_addr()));
        }
    }
}

fn tell_the_others(transport: &mut Transport, news: &str) {
    let told = transport.broadcaster().broadcast_except(transport.id(), news.as_bytes());
    match told {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            transport.fail("speaks faster than can be passed on")
        }
        _ => {} // told, or the server is stopping
    }
}

fn main() -> ExitCode {
    common::run_with_address("reactor_chat_server", |address| {
        let mut server = ReactorTcpServer::builder()
            .max_connections(1_000)
            .read_timeout(None) // members may listen for as long as they like
            .keepalive(Keepalive::new(chat::KEEPALIVE))
            .handle_error(common::complain_of)
            .bind(address, Framed::new(LineDecoder::new().max_line(chat::MAX_MESSAGE).strip_cr(true), Member))?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
