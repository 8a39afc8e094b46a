//! [`CoroutineStream`].

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::watched::{watched, Watch, Watched};
use crate::address::Address;
use crate::connection::next_id;
use crate::poller::Event;
use crate::reactor::inbox::Inbox;
use crate::reactor::link::Link;
use crate::reactor::socket::Socket;
use crate::stream::{Stream, Wait};
use crate::sys::{self, Shareable};
use crate::task::{self, Connecting, Direction, Readiness, Task};

/// A stream socket that a loop watches: a request's own, or one that a handler has connected.
///
/// What an exchange touches stands first, in one cache line: with a thousand connections, each line of theirs is one that has to be fetched.
#[repr(C, align(64))]
pub(crate) struct CoroutineStream {
    link: Arc<Link>,
    readiness: Readiness,
    /// Where it is no request's own.
    watch: Option<Watch>,
}

impl CoroutineStream {
    /// Over a request's socket, whose events its seat has.
    pub(crate) fn new(link: Arc<Link>) -> Self {
        CoroutineStream::over(link, None)
    }

    /// Over a socket that a coroutine of that loop's connects, or has connected.
    pub(crate) fn watched(inbox: &Arc<Inbox>, socket: TcpStream, peer: Address) -> Arc<Self> {
        let link = Arc::new(Link::new(Socket::Tcp(Shareable::new(socket)), peer, next_id()));
        watched(inbox, |watch| CoroutineStream::over(link, Some(watch)))
    }

    fn over(link: Arc<Link>, watch: Option<Watch>) -> Self {
        // A read from a Unix socket stops behind a message that carries descriptors, and nothing announces it.
        let to_the_end = link.socket.is_unix() || !sys::SHORT_READ_IS_LAST;
        CoroutineStream { link, readiness: Readiness::new(to_the_end), watch }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// # Errors
    /// Those of [`Watch::check`].
    fn socket(&self) -> io::Result<&Socket> {
        if let Some(watch) = &self.watch {
            watch.check(&self.link.peer)?;
        }
        Ok(&self.link.socket)
    }

    /// Says whose seat has the socket's events.
    pub(crate) fn set_owner(&self, task: Arc<Task>) {
        self.readiness.set_owner(task);
    }
}

impl Connecting for CoroutineStream {
    fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    fn outcome(&self, look: fn(&TcpStream) -> io::Result<bool>) -> io::Result<bool> {
        match self.socket()? {
            Socket::Tcp(socket) => socket.with(look),
            #[cfg(unix)]
            Socket::Unix(_) => Ok(true),
        }
    }

    fn connected(self: Arc<Self>) -> io::Result<Arc<dyn Stream>> {
        self.link.socket.set_nodelay(true)?;
        // A fresh one has room, and it may be that nothing was reported.
        self.readiness.set(Direction::Write);
        Ok(self)
    }
}

impl Watched for CoroutineStream {
    fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.link.socket.register(registry, token, sys::readable() | Interest::WRITABLE)
    }

    fn event(&self, event: Event) {
        self.readiness.event(event);
    }

    fn abort(&self) {
        self.link.socket.reset_at_close();
        let _ = self.link.socket.shutdown(Shutdown::Read);
    }

    fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    fn peer(&self) -> String {
        self.link.peer.to_string()
    }
}

impl Stream for CoroutineStream {
    fn read(&self, buf: &mut [u8], wait: Wait) -> io::Result<usize> {
        task::check()?;
        let room = buf.len();
        let count = self.readiness.when_ready(Direction::Read, wait, || self.socket()?.read(buf));
        match count {
            Ok(count) if count < room && count > 0 && !self.readiness.is_to_the_end() => {}
            _ => self.readiness.set(Direction::Read),
        }
        let count = count?;
        task::spend(count);
        Ok(count)
    }

    fn write(&self, buf: &[u8], wait: Wait) -> io::Result<usize> {
        task::check()?;
        let count = self.readiness.when_ready(Direction::Write, wait, || self.socket()?.write(buf));
        // Also after a short one: the next try tells.
        self.readiness.set(Direction::Write);
        let count = count?;
        task::spend(count);
        Ok(count)
    }

    fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        if !self.readiness.take(Direction::Write) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let result = self.socket().and_then(|socket| socket.write(buf));
        if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.readiness.set(Direction::Write);
        }
        result
    }

    fn await_readable(&self, wait: Wait) -> io::Result<()> {
        let mut started = None;
        while !self.is_readable() {
            self.readiness.wait(Direction::Read, wait, &mut started)?;
        }
        Ok(())
    }

    fn is_readable(&self) -> bool {
        self.readiness.is(Direction::Read)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let result = self.link.socket.shutdown(how);
        // The system reports it too, where it is asked: nobody need wait for that.
        self.readiness.event(Event { readable: true, writable: true, to_the_end: true });
        if let Some(owner) = self.readiness.owner() {
            owner.wake();
        }
        result
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        self.link.socket.as_sock_ref()
    }
}

impl Drop for CoroutineStream {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.forget(None);
        }
    }
}

impl fmt::Debug for CoroutineStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoroutineStream").field("socket", &self.link.socket).finish_non_exhaustive()
    }
}
