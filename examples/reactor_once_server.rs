//! Sends back the first bytes that each client sends, 100 at most, and closes.
//!
//! Shows: a `Protocol` that answers and closes; `close`, which waits until what was written has been sent.
//!
//! Run: `cargo run --example reactor_once_server -- 127.0.0.1:10000`, and in another terminal
//! `cargo run --example message_client -- 127.0.0.1:10000 hello`. The address may be left out.
//!
//! Expect: `listening on 127.0.0.1:10000`, then a line for each client whose connection fails or who says nothing for 5 seconds. The client
//! gets `hello`. Ctrl-C or SIGTERM ends it with exit code 0.
//!
//! Python's counterpart: a cheat sheet's `asyncio.start_server`, whose coroutine reads once, `await reader.read(100)`, writes that,
//! `await writer.drain()`, and closes.

mod common;

use std::process::ExitCode;
use std::time::Duration;

use socketserver::{Protocol, ReactorTcpServer, Transport};

/// One who connects and says nothing keeps his place for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Python's `read(100)`.
const MOST: usize = 100;

#[derive(Clone)]
struct Once;

impl Protocol for Once {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data.get(..MOST).unwrap_or(data));
        // After this no more is received.
        transport.close();
    }
}

fn main() -> ExitCode {
    common::run_with_address("reactor_once_server", |address| {
        let mut server =
            ReactorTcpServer::builder().read_timeout(PATIENCE).handle_error(common::complain_of).bind(address, Once)?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
