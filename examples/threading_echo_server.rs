//! Sends back whatever lines it is sent, to many clients at once.
//!
//! Shows: a type as the handler, `ThreadingTcpServer`, a few settings, the `handle_error` hook, a clean end at Ctrl-C.
//!
//! Run: `cargo run --example threading_echo_server -- 127.0.0.1:10000`, and in other terminals
//! `cargo run --example tcp_echo_client -- 127.0.0.1:10000`. The address may be left out.
//!
//! Expect: `listening on 127.0.0.1:10000`, then a line for each client that misbehaves: one that sends a line of more than
//! 64 KiB or bytes that are not UTF-8, or nothing for 5 minutes. Ctrl-C or SIGTERM ends it with exit code 0; clients that
//! are still there have 300 ms to finish, and a second Ctrl-C cuts them off.
//!
//! Python's counterpart: `socketserver.ThreadingTCPServer` with a `StreamRequestHandler` that loops over `self.rfile` and writes to
//! `self.wfile`.

mod common;

use std::io::{BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use socketserver::{Connection, Handler, HandlerResult, ThreadingTcpServer};

/// Each client is served by a clone of its own.
#[derive(Clone)]
struct Echo;

impl Handler for Echo {
    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let mut line = String::new();
        while request.read_line(&mut line)? > 0 {
            request.write_all(line.as_bytes())?;
            line.clear();
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    common::run_with_address("threading_echo_server", |address| {
        let mut server = ThreadingTcpServer::builder()
            .max_connections(256)
            .read_timeout(Duration::from_secs(300))
            .handle_error(common::complain_of)
            .bind(address, Echo)?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
