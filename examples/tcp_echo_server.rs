//! Sends back whatever bytes it is sent, to one client at a time.
//!
//! Shows: a closure as the handler, `TcpServer`, a clean end at Ctrl-C.
//!
//! Run: `cargo run --example tcp_echo_server -- 127.0.0.1:10000`, and in another terminal
//! `cargo run --example tcp_echo_client -- 127.0.0.1:10000`. The address may be left out.
//!
//! Expect: `listening on 127.0.0.1:10000`, then silence. A second client connects but is answered only when the first has
//! gone. Ctrl-C or SIGTERM ends it with exit code 0; a client that is still there has 300 ms to finish, and a second Ctrl-C
//! cuts it off.
//!
//! Python's counterpart: `socketserver.TCPServer` with a `BaseRequestHandler` that loops over `self.request.recv` and
//! `self.request.sendall`.

mod common;

use std::io::{Read, Write};
use std::process::ExitCode;

use socketserver::{handler_fn, Connection, HandlerResult, TcpServer};

fn echo(request: &mut Connection) -> HandlerResult {
    let mut buffer = [0; 4096];
    loop {
        match request.read(&mut buffer)? {
            0 => return Ok(()),
            #[allow(clippy::indexing_slicing)] // a read fills no more than the buffer
            count => request.write_all(&buffer[..count])?,
        }
    }
}

fn main() -> ExitCode {
    common::run_with_address("tcp_echo_server", |address| {
        let mut server = TcpServer::bind(address, handler_fn(echo))?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
