//! Opens many connections to an echo server at once, on one thread, sends a few messages over each and checks what comes back.
//!
//! Shows: connects that nobody waits for, `tcp::connect_nonblocking` and `connect_outcome`, with what becomes of them told by a
//! `Selector`.
//!
//! Run: start one of the echo servers that serve many at once, then
//! `cargo run --example multi_connection_client -- 127.0.0.1:10000 1000`. The number of connections, 10,000 at most, may be left out,
//! and is 10 then; so may the address.
//!
//! Expect: a line for each connection, a last line that counts them, and exit code 0. Where nobody listens, what comes back is not what
//! was sent, or nothing happens for 5 seconds, one line says so and the exit code is 1.
//!
//! Python's counterpart: the multi-connection client of the tutorials, with `connect_ex` and `selectors.DefaultSelector`.

mod common;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use common::{unless_it_would_block, ExampleResult};
use socketserver::mio::net::TcpStream;
use socketserver::mio::Interest;
use socketserver::net::ToEndpoint;
use socketserver::reactor::Selector;
use socketserver::tcp;

/// Within so long something must have happened on one of the connections.
const PATIENCE: Duration = Duration::from_secs(5);

const DEFAULT_CONNECTIONS: usize = 10;

/// Each takes a port of this machine's, of which Linux gives out some 28,000 to one address, and memory for what it sends and receives.
const MOST_CONNECTIONS: usize = 10_000;

const MESSAGES: [&str; 3] = ["Message 1 from client", "두 번째 메시지", "and the last, from connection"];

struct Connection {
    number: usize,
    connected: bool,
    message: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
}

impl Connection {
    fn new(number: usize) -> Self {
        let message = MESSAGES.map(|text| format!("{text} {number}\n")).concat().into_bytes();
        Self { number, connected: false, message, sent: 0, received: Vec::new() }
    }

    /// Does what can be done without waiting. Returns what to wait for then; `None` when all has come back.
    fn go_on(&mut self, stream: &mut TcpStream, address: SocketAddr) -> ExampleResult<Option<Interest>> {
        if !self.connected {
            self.connected = tcp::connect_outcome(stream, address)?;
            if !self.connected {
                return Ok(Some(Interest::WRITABLE));
            }
        }
        if let Some(unsent) = self.message.get(self.sent..).filter(|unsent| !unsent.is_empty()) {
            self.sent += unless_it_would_block(stream.write(unsent))?.unwrap_or(0);
        }
        let mut buffer = [0; 4096];
        match unless_it_would_block(stream.read(&mut buffer))? {
            Some(0) => return Err("the server closed the connection before it had answered".into()),
            count => self.received.extend(buffer.iter().take(count.unwrap_or(0))),
        }
        if !self.message.starts_with(&self.received) {
            return Err(format!("got back {:?}", String::from_utf8_lossy(&self.received)).into());
        }
        Ok(match self.sent < self.message.len() {
            true => Some(Interest::READABLE | Interest::WRITABLE),
            false => (self.received.len() < self.message.len()).then_some(Interest::READABLE),
        })
    }
}

fn main() -> ExitCode {
    common::run_with_address_and_number(
        "multi_connection_client",
        "CONNECTIONS",
        DEFAULT_CONNECTIONS,
        MOST_CONNECTIONS,
        |address, count| {
            let addresses = address.to_endpoint()?.resolve(PATIENCE)?;
            let address = *addresses.first().ok_or("no address")?;
            let mut selector = Selector::new()?;
            let mut connections: Vec<Connection> = (1..=count).map(Connection::new).collect();
            for index in 0..count {
                selector.register(tcp::connect_nonblocking(address)?, Interest::WRITABLE, index)?;
            }

            while !selector.is_empty() {
                let happened = selector.select(Some(PATIENCE))?;
                if happened.is_empty() {
                    return Err(format!("{} of {count} connections have hung for {PATIENCE:?}", selector.len()).into());
                }
                for ready in happened {
                    let key = ready.key();
                    let connection = selector.data(key).and_then(|index| connections.get_mut(*index));
                    let (Some(connection), Some(stream)) = (connection, selector.get_mut(key)) else { continue };
                    let interest = connection
                        .go_on(stream, address)
                        .map_err(|error| format!("connection {}: {error}", connection.number))?;
                    match interest {
                        Some(interest) => selector.modify(key, interest)?,
                        None => {
                            selector.remove(key)?;
                            common::say(format_args!("connection {}: all came back", connection.number))?;
                        }
                    }
                }
            }
            let bytes: usize = connections.iter().map(|connection| connection.received.len()).sum();
            let messages = count * MESSAGES.len();
            common::say(format_args!("{count} connections, {messages} messages, {bytes} bytes: all came back"))?;
            Ok(())
        },
    )
}
