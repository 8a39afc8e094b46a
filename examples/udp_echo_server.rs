//! Answers every datagram with `Received: ` and what it said, or with `ACK`.
//!
//! Shows: a closure as the handler of datagrams, `UdpServer`, a limit that every answer fits within, the `handle_error` hook, a clean end at
//! Ctrl-C.
//!
//! Run: `cargo run --example udp_echo_server -- 127.0.0.1:10000 received`, and in another terminal
//! `cargo run --example udp_client -- 127.0.0.1:10000`. The address may be left out, and so may the answer, which is `received` or `ack`.
//!
//! Expect: `listening on 127.0.0.1:10000`, then silence. Datagrams of more than 65,497 bytes are dropped, because `Received: ` would not fit
//! before them. One that begins with `Received: ` is not answered, nor is `ACK` where `ack` is the answer: they are answers themselves. Ctrl-C or SIGTERM ends it with exit code 0, at once.
//!
//! Python's counterpart: the tutorials' UDP servers with their loops of `recvfrom` and `sendto`, of which one answers
//! `f"Received: {data.decode()}"` and the other `b'ACK'`; `socketserver.UDPServer`.

mod common;

use std::process::ExitCode;

use socketserver::{handler_fn, Datagram, HandlerResult, UdpServer};

const PREFIX: &[u8] = b"Received: ";
const ACK: &[u8] = b"ACK";

/// The most that a UDP datagram carries over IPv4.
const MOST: usize = 65_507;

#[derive(Clone, Copy)]
enum Answer {
    Received,
    Ack,
}

fn answer(request: &mut Datagram, how: Answer) -> HandlerResult {
    let data = request.data();
    // An answer is not answered. Whoever forges a sender's address could set two such servers upon each other for ever.
    match how {
        _ if data.starts_with(PREFIX) => {}
        Answer::Ack if data == ACK => {}
        Answer::Ack => request.reply(ACK)?,
        Answer::Received => request.reply(&[PREFIX, data].concat())?,
    }
    Ok(())
}

fn main() -> ExitCode {
    let answers = [("received", Answer::Received), ("ack", Answer::Ack)];
    common::run_with_address_and_choice("udp_echo_server", &answers, |address, how| {
        let mut server = UdpServer::builder()
            .max_packet_size(MOST - PREFIX.len())
            .handle_error(common::complain_of)
            .bind(address, handler_fn(move |request: &mut Datagram| answer(request, how)))?;
        common::stop_at_once_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
