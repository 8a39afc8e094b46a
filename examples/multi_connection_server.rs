//! Sends back whatever bytes it is sent, over many connections at once, on one thread.
//!
//! Shows: `Selector` with a state for each connection, from which follows what to wait for: room to read into, bytes to write, both; a
//! limit on connections and on what waits for each; an interval timer that looks for those that have gone silent.
//!
//! Run: `cargo run --example multi_connection_server -- 127.0.0.1:10000`, and in another terminal
//! `cargo run --example multi_connection_client -- 127.0.0.1:10000 1000`. The address may be left out.
//!
//! Expect: `listening on 127.0.0.1:10000`, then a line for each connection that fails or says nothing for 5 minutes. More than 10,000
//! clients, or fewer where the system has no room for so many, wait until others have gone. Ctrl-C or SIGTERM ends it at once, with a
//! line that counts connections and bytes, and exit code 0.
//!
//! Python's counterpart: the multi-connection server of the tutorials, on `selectors.DefaultSelector` with `key.data.outb`; it waits for
//! room to write even when it has nothing to write, which keeps a processor busy.

mod common;

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{unless_it_would_block, ExampleResult};
use socketserver::mio::net::{TcpListener, TcpStream};
use socketserver::mio::Interest;
use socketserver::reactor::{Key, Ready, Selector};
use socketserver::tcp;

const MAX_CONNECTIONS: usize = 10_000;
/// A client for whom so many bytes wait is not read from.
const MAX_UNSENT: usize = 64 * 1024;
/// So long a client may send and take nothing.
const MAX_SILENCE: Duration = Duration::from_secs(300);
/// How often the silent are looked for, and the listener is tried again when there was no room for a client.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

enum Role {
    Listener,
    Housekeeping,
    Connection(Connection),
}

struct Connection {
    peer: SocketAddr,
    unsent: Vec<u8>,
    /// The client sends no more.
    ended: bool,
    active: Instant,
}

impl Connection {
    fn new(peer: SocketAddr) -> Self {
        Self { peer, unsent: Vec::new(), ended: false, active: Instant::now() }
    }

    /// What there is to wait for; `None` when there is nothing any more.
    fn interest(&self) -> Option<Interest> {
        let read = (!self.ended && self.unsent.len() < MAX_UNSENT).then_some(Interest::READABLE);
        let write = (!self.unsent.is_empty()).then_some(Interest::WRITABLE);
        match (read, write) {
            (Some(read), Some(write)) => Some(read | write),
            (one, other) => one.or(other),
        }
    }

    /// Reads and writes what can be without waiting. Returns how many bytes were sent back.
    fn go_on(&mut self, ready: Ready, stream: &mut TcpStream) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        if ready.is_readable() && !self.ended && self.unsent.len() < MAX_UNSENT {
            match unless_it_would_block(stream.read(&mut buffer))? {
                Some(0) => self.ended = true,
                count => self.unsent.extend(buffer.iter().take(count.unwrap_or(0))),
            }
        }
        let mut sent = 0;
        if !self.unsent.is_empty() {
            sent = unless_it_would_block(stream.write(&self.unsent))?.unwrap_or(0);
            self.unsent.drain(..sent);
        }
        self.active = Instant::now();
        Ok(sent)
    }
}

struct Server {
    selector: Selector<Role>,
    connections: usize,
    /// The listener while there is no room for another client.
    resting: Option<TcpListener>,
    accepted: u64,
    echoed: u64,
}

fn main() -> ExitCode {
    common::run_with_address("multi_connection_server", |address| {
        let mut selector = Selector::new()?;
        common::wake_on_signals(selector.waker()?)?;
        let listener = tcp::listen(address)?;
        common::announce(listener.local_addr()?)?;
        selector.register(listener, Interest::READABLE, Role::Listener)?;
        selector.set_interval(HOUSEKEEPING, Role::Housekeeping)?;

        let mut server = Server { selector, connections: 0, resting: None, accepted: 0, echoed: 0 };
        while !server.selector.was_woken() {
            for ready in server.selector.select(None)? {
                match server.selector.data(ready.key()) {
                    Some(Role::Listener) => server.accept(ready.key())?,
                    Some(Role::Housekeeping) => server.keep_house()?,
                    Some(Role::Connection(_)) => server.go_on(ready)?,
                    None => {} // closed earlier in this loop
                }
            }
        }
        common::complain(format_args!("stopped: {} connections, {} bytes sent back", server.accepted, server.echoed));
        Ok(())
    })
}

impl Server {
    /// Lets one client in. Where more wait, the listener is reported again.
    fn accept(&mut self, key: Key) -> ExampleResult {
        let Some(listener) = self.selector.get::<TcpListener>(key) else { return Ok(()) };
        match listener.accept() {
            Ok((stream, peer)) => {
                let connection = Role::Connection(Connection::new(peer));
                match self.selector.register(stream, Interest::READABLE, connection) {
                    Ok(_) => {
                        self.connections += 1;
                        self.accepted += 1;
                    }
                    Err(error) => common::complain(format_args!("{peer} is lost: {error}")),
                }
            }
            // It has gone before it was let in.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {}
            Err(error) => {
                common::complain(format_args!("cannot let a client in: {error}"));
                self.resting = Some(self.selector.unregister(key)?);
            }
        }
        if self.connections >= MAX_CONNECTIONS && self.resting.is_none() {
            self.resting = Some(self.selector.unregister(key)?);
        }
        Ok(())
    }

    fn go_on(&mut self, ready: Ready) -> ExampleResult {
        let key = ready.key();
        let Some((stream, Role::Connection(connection))) = self.selector.entry_mut(key) else { return Ok(()) };
        match connection.go_on(ready, stream) {
            Ok(sent) => self.echoed += sent as u64,
            Err(error) => {
                common::complain(format_args!("{} is lost: {error}", connection.peer));
                return self.close(key);
            }
        }
        match connection.interest() {
            Some(interest) => Ok(self.selector.modify(key, interest)?), // nothing where it is what it was
            None => self.close(key),
        }
    }

    fn close(&mut self, key: Key) -> ExampleResult {
        self.selector.remove(key)?;
        self.connections -= 1;
        self.end_rest()
    }

    /// Takes clients again, if there is room.
    fn end_rest(&mut self) -> ExampleResult {
        if self.connections < MAX_CONNECTIONS {
            if let Some(listener) = self.resting.take() {
                self.selector.register(listener, Interest::READABLE, Role::Listener)?;
            }
        }
        Ok(())
    }

    /// Puts the silent out, and tries the listener again in case others have made room.
    fn keep_house(&mut self) -> ExampleResult {
        let silent = |role: &Role| matches!(role, Role::Connection(it) if it.active.elapsed() > MAX_SILENCE);
        let keys: Vec<Key> = self.selector.iter().filter(|(_, role)| silent(role)).map(|(key, _)| key).collect();
        for key in keys {
            if let Some(Role::Connection(connection)) = self.selector.data(key) {
                let peer = connection.peer;
                common::complain(format_args!("{peer} is put out: nothing sent or taken for {MAX_SILENCE:?}"));
            }
            self.close(key)?;
        }
        self.end_rest()
    }
}
