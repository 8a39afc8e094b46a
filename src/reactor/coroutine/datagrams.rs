//! [`CoroutineDatagrams`].

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};

use super::watched::{watched, Watch, Watched};
use crate::poller::Event;
use crate::reactor::inbox::Inbox;
use crate::stream::Wait;
use crate::sys::Shareable;
use crate::task::{self, Datagrams, Direction, Home, Readiness};

/// A connected datagram socket that a loop watches for a coroutine of its own, by a descriptor of its own.
pub(crate) struct CoroutineDatagrams {
    /// `None` once it has been dropped.
    socket: Option<Shareable<UdpSocket>>,
    peer: SocketAddr,
    readiness: Readiness,
    watch: Watch,
}

impl CoroutineDatagrams {
    /// `socket` must not block.
    pub(crate) fn watched(inbox: &Arc<Inbox>, socket: std::net::UdpSocket, peer: SocketAddr) -> Arc<Self> {
        let socket = Some(Shareable::new(UdpSocket::from_std(socket)));
        watched(inbox, |watch| CoroutineDatagrams { socket, peer, readiness: Readiness::new(false), watch })
    }

    fn attempt(
        &self,
        direction: Direction,
        until: Instant,
        mut code: impl FnMut(&UdpSocket) -> io::Result<usize>,
    ) -> io::Result<usize> {
        task::check()?;
        let count = self.readiness.when_ready(direction, Wait::until(until), || {
            self.watch.check(&self.peer)?;
            match &self.socket {
                Some(socket) => socket.with(&mut code),
                None => Err(io::ErrorKind::NotConnected.into()),
            }
        });
        // Also after a failure: it may have been about an earlier datagram.
        self.readiness.set(direction);
        match &count {
            Ok(count) => task::spend(*count),
            Err(_) => task::tried(),
        }
        count
    }
}

impl Datagrams for CoroutineDatagrams {
    fn is_watched_by(&self, home: &Arc<dyn Home>) -> bool {
        self.watch.is_by(home)
    }

    fn recv(&self, buf: &mut [u8], until: Instant) -> io::Result<usize> {
        self.attempt(Direction::Read, until, |socket| socket.recv(buf))
    }

    fn send(&self, data: &[u8], until: Instant) -> io::Result<usize> {
        self.attempt(Direction::Write, until, |socket| socket.send(data))
    }
}

impl Watched for CoroutineDatagrams {
    fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        socket.register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    fn event(&self, event: Event) {
        self.readiness.event(event);
    }

    fn watch(&self) -> Option<&Watch> {
        Some(&self.watch)
    }

    fn peer(&self) -> String {
        self.peer.to_string()
    }
}

impl Drop for CoroutineDatagrams {
    fn drop(&mut self) {
        self.watch.forget(self.socket.take());
    }
}

impl fmt::Debug for CoroutineDatagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoroutineDatagrams").field("socket", &self.socket).finish_non_exhaustive()
    }
}
