//! Answers every datagram with `Received: ` and what it said.
//!
//! Shows: a closure as the handler of datagrams, `UdpServer`, a limit that every answer fits within, the `handle_error` hook, a clean end at
//! Ctrl-C.
//!
//! Run: `cargo run --example udp_echo_server -- 127.0.0.1:10000`, and in another terminal
//! `cargo run --example udp_client -- 127.0.0.1:10000`. The address may be left out.
//!
//! Expect: `listening on 127.0.0.1:10000`, then silence. Datagrams of more than 65,497 bytes are dropped, because their answer would be none
//! that fits. Ctrl-C or SIGTERM ends it with exit code 0, at once.
//!
//! Python's counterpart: the tutorials' UDP server with its loop of `recvfrom` and `sendto`; `socketserver.UDPServer`.

mod common;

use std::process::ExitCode;

use socketserver::{handler_fn, Datagram, HandlerResult, UdpServer};

const PREFIX: &[u8] = b"Received: ";

/// The most that a UDP datagram carries over IPv4.
const MOST: usize = 65_507;

fn answer(request: &mut Datagram) -> HandlerResult {
    // An answer is not answered. Whoever forges a sender's address could set two such servers upon each other for ever.
    if request.data().starts_with(PREFIX) {
        return Ok(());
    }
    let answer = [PREFIX, request.data()].concat();
    Ok(request.reply(&answer)?)
}

fn main() -> ExitCode {
    common::run_with_address("udp_echo_server", |address| {
        let mut server = UdpServer::builder()
            .max_packet_size(MOST - PREFIX.len())
            .handle_error(common::complain_of)
            .bind(address, handler_fn(answer))?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
