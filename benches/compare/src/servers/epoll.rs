use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::{read, write, Errno};
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::net::{accept_with, SocketFlags};

use super::{listen, Settings, Started};

/// A single-threaded loop on epoll with nothing between it and the kernel: as few system calls as the work allows.
///
/// Edge-triggered, so a connection costs one registration in its life. After a read that did not fill the buffer there
/// is nothing left to read, unless the client's close was reported with it: the edge of that close has passed.
pub fn start(settings: &Settings) -> anyhow::Result<Started> {
    let (listener, address) = listen()?;
    listener.set_nonblocking(true)?;
    // Linux hands it down to accepted sockets, which saves a call for each.
    set_tcp_nodelay(&listener, true)?;
    let server = Loop::new(listener, settings.buffer)?;
    Ok(Started { address, serve: Box::new(move || Ok(server.run()?)) })
}

struct Loop {
    epoll: OwnedFd,
    listener: TcpListener,
    /// By descriptor: the kernel gives out the smallest free number, so the table stays dense.
    connections: Vec<Option<Connection>>,
    /// One for all: what cannot be written at once is copied out of it.
    buffer: Vec<u8>,
}

struct Connection {
    socket: OwnedFd,
    /// Read but not written yet. While there is some, nothing more is read.
    unsent: Vec<u8>,
    watches_writing: bool,
}

/// What to do with a connection after its turn.
enum Turn {
    Keep,
    Close,
}

impl Loop {
    fn new(listener: TcpListener, buffer: usize) -> io::Result<Loop> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, key(&listener), EventFlags::IN)?;
        Ok(Loop { epoll, listener, connections: Vec::new(), buffer: vec![0; buffer] })
    }

    fn run(mut self) -> io::Result<()> {
        let listening = self.listener.as_raw_fd() as u64;
        let mut events = Vec::with_capacity(1024);
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                if event.data.u64() == listening {
                    self.accept()?;
                } else {
                    self.serve(event.data.u64() as usize, event.flags)?;
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            epoll::add(&self.epoll, &socket, key(&socket), EventFlags::IN | EventFlags::RDHUP | EventFlags::ET)?;
            let index = socket.as_raw_fd() as usize;
            if index >= self.connections.len() {
                self.connections.resize_with(index + 1, || None);
            }
            self.connections[index] = Some(Connection { socket, unsent: Vec::new(), watches_writing: false });
        }
    }

    fn serve(&mut self, index: usize, flags: EventFlags) -> io::Result<()> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        match connection.turn(&self.epoll, &mut self.buffer, flags) {
            Ok(Turn::Keep) => Ok(()),
            // Dropping the socket closes it, which takes it out of epoll too.
            Ok(Turn::Close) | Err(Errno::CONNRESET | Errno::PIPE) => {
                self.connections[index] = None;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Connection {
    fn turn(&mut self, epoll: &OwnedFd, buffer: &mut [u8], flags: EventFlags) -> rustix::io::Result<Turn> {
        if !self.flush()? {
            return Ok(Turn::Keep);
        }
        let closing = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        loop {
            let count = match read(&self.socket, &mut *buffer) {
                Ok(0) => return Ok(Turn::Close),
                Ok(count) => count,
                Err(Errno::AGAIN) => return Ok(Turn::Keep),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            if !self.send(epoll, &buffer[..count])? {
                return Ok(Turn::Keep);
            }
            if count < buffer.len() && !closing {
                return Ok(Turn::Keep);
            }
        }
    }

    /// Writes what it can and keeps the rest; false when there is a rest.
    fn send(&mut self, epoll: &OwnedFd, bytes: &[u8]) -> rustix::io::Result<bool> {
        let mut sent = 0;
        while sent < bytes.len() {
            match write(&self.socket, &bytes[sent..]) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.unsent.extend_from_slice(&bytes[sent..]);
                    if !self.watches_writing {
                        // Once for all: from here on this connection has both edges.
                        let both = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                        epoll::modify(epoll, &self.socket, key(&self.socket), both)?;
                        self.watches_writing = true;
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Writes what was kept back; false when some of it still is.
    fn flush(&mut self) -> rustix::io::Result<bool> {
        let mut sent = 0;
        let flushed = loop {
            if sent == self.unsent.len() {
                break true;
            }
            match write(&self.socket, &self.unsent[sent..]) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break false,
                Err(error) => return Err(error),
            }
        };
        self.unsent.drain(..sent);
        Ok(flushed)
    }
}

fn key(socket: &impl AsRawFd) -> EventData {
    EventData::new_u64(socket.as_raw_fd() as u64)
}
