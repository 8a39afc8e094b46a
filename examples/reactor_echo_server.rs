//! Sends back whatever bytes it is sent, to thousands of clients at once, on one thread.
//!
//! Shows: a `Protocol` of three lines on `ReactorTcpServer`, a few settings, the `handle_error` hook, a clean end at Ctrl-C.
//!
//! Run: `cargo run --example reactor_echo_server -- 127.0.0.1:10000`, and in another terminal
//! `cargo run --example multi_connection_client -- 127.0.0.1:10000 1000`. The address may be left out.
//!
//! Expect: `listening on 127.0.0.1:10000`, then a line for each client whose connection fails or who says nothing for 5 minutes. Ctrl-C
//! or SIGTERM ends it with exit code 0: at once, but for clients whose answers are still on their way, who have 300 ms; a second
//! Ctrl-C cuts them off.
//!
//! Python's counterpart: the echo server in asyncio's documentation, a `Protocol` served by `loop.create_server`.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use socketserver::{Protocol, ReactorTcpServer, Transport};

/// Each client is served by a clone of its own.
#[derive(Clone)]
struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }
}

fn main() -> ExitCode {
    common::run_with_address("reactor_echo_server", |address| {
        let mut server = ReactorTcpServer::builder()
            .max_connections(5_000)
            .read_timeout(Duration::from_secs(300))
            .write_buffer_limits(256 * 1024, 64 * 1024)
            .handle_error(common::complain_of)
            .bind(address, Echo)?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
