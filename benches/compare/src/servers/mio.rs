use std::io::{self, ErrorKind, Read, Write};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;

use super::{listen, Settings, Started};

const LISTENER: Token = Token(usize::MAX);

/// The loop that mio's documentation leads to: accept, read and write until the kernel says that it would block.
///
/// Next to the epoll loop that is one read more a message, and two calls more a connection: NODELAY is set on each, and
/// each is deregistered before it is closed.
pub fn start(settings: &Settings) -> anyhow::Result<Started> {
    let (listener, address) = listen()?;
    listener.set_nonblocking(true)?;
    let server = Loop::new(TcpListener::from_std(listener), settings.buffer)?;
    Ok(Started { address, serve: Box::new(move || Ok(server.run()?)) })
}

struct Loop {
    poll: Poll,
    listener: TcpListener,
    connections: Slab<Connection>,
    /// One for all: what cannot be written at once is copied out of it.
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    token: Token,
    /// Read but not written yet. While there is some, the connection waits for room to write and nothing more is read.
    unsent: Vec<u8>,
}

/// What to do with a connection after its turn.
enum Turn {
    Keep,
    Close,
}

impl Loop {
    fn new(mut listener: TcpListener, buffer: usize) -> io::Result<Loop> {
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Loop { poll, listener, connections: Slab::new(), buffer: vec![0; buffer] })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    token => self.serve(token)?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            let token = Token(entry.key());
            self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
            entry.insert(Connection { stream, token, unsent: Vec::new() });
        }
    }

    fn serve(&mut self, token: Token) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(token.0) else { return Ok(()) };
        match connection.turn(self.poll.registry(), &mut self.buffer) {
            Ok(Turn::Keep) => return Ok(()),
            Ok(Turn::Close) => {}
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {}
            Err(error) => return Err(error),
        }
        let mut connection = self.connections.remove(token.0);
        self.poll.registry().deregister(&mut connection.stream)
    }
}

impl Connection {
    fn turn(&mut self, registry: &Registry, buffer: &mut [u8]) -> io::Result<Turn> {
        if !self.unsent.is_empty() {
            let sent = write(&mut self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
            if !self.unsent.is_empty() {
                return Ok(Turn::Keep);
            }
            registry.reregister(&mut self.stream, self.token, Interest::READABLE)?;
        }
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Ok(Turn::Close),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Keep),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let sent = write(&mut self.stream, &buffer[..count])?;
            if sent < count {
                self.unsent.extend_from_slice(&buffer[sent..count]);
                registry.reregister(&mut self.stream, self.token, Interest::WRITABLE)?;
                return Ok(Turn::Keep);
            }
        }
    }
}

/// Writes as much as is taken, and returns how much that was.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
