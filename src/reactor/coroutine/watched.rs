//! [`Watched`]: a socket that a coroutine has opened, and that its loop watches until it is closed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use mio::net::{TcpStream, UdpSocket};
use mio::{Registry, Token};

use super::datagrams::CoroutineDatagrams;
use super::stream::CoroutineStream;
use crate::address::Address;
use crate::poller::Event;
use crate::reactor::arena::Key;
use crate::reactor::inbox::{Command, Inbox};
use crate::sys::Shareable;
use crate::task::{Connecting, Datagrams, Home};

/// What a loop knows of such a socket.
pub(crate) trait Watched: Send + Sync {
    /// Has the system report it.
    fn register(&self, registry: &Registry, token: Token) -> io::Result<()>;

    /// What the system has said.
    fn event(&self, event: Event);

    /// Nothing will be reported of it any more. Neither end may take what there is for the whole.
    fn abort(&self) {}

    fn watch(&self) -> Option<&Watch>;

    /// Whom it is a socket to, for the log.
    fn peer(&self) -> String;
}

/// Gives a socket up that nobody watches any more, or could: whoever waits for it is told, and nobody can wait for it again.
pub(crate) fn give_up(socket: &dyn Watched) {
    if let Some(watch) = socket.watch() {
        watch.lost.store(true, Ordering::Release);
    }
    socket.abort();
    socket.event(Event { readable: true, writable: true, to_the_end: true });
}

/// Who watches a socket, and under which key.
pub(crate) struct Watch {
    inbox: Arc<Inbox>,
    key: OnceLock<Key>,
    /// Nobody does any more, so that nothing would be heard of it.
    lost: AtomicBool,
}

impl Watch {
    pub(crate) fn set_key(&self, key: Key) {
        let _ = self.key.set(key);
    }

    /// Whether it is that loop, and it does.
    pub(crate) fn is_by(&self, home: &Arc<dyn Home>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.inbox), Arc::as_ptr(home)) && !self.lost.load(Ordering::Acquire)
    }

    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`] where nobody watches the socket to `peer` any more.
    pub(crate) fn check(&self, peer: &dyn fmt::Display) -> io::Result<()> {
        if self.lost.load(Ordering::Acquire) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                format!("the server whose handler opened the socket to {peer} has ended, or could not watch it"),
            ));
        }
        Ok(())
    }

    /// Has the loop forget the socket, which is being closed. A descriptor that shares its socket with another is `handed_back`: closing
    /// it would not end the reports.
    pub(crate) fn forget(&self, handed_back: Option<Shareable<UdpSocket>>) {
        if let Some(key) = self.key.get() {
            let _ = self.inbox.send(Command::Forget(*key, handed_back));
        }
    }
}

/// Has a loop watch the socket that `make` makes.
pub(crate) fn watched<T: Watched + 'static>(inbox: &Arc<Inbox>, make: impl FnOnce(Watch) -> T) -> Arc<T> {
    let watch = Watch { inbox: Arc::clone(inbox), key: OnceLock::new(), lost: AtomicBool::new(false) };
    let socket = Arc::new(make(watch));
    let known: Weak<T> = Arc::downgrade(&socket);
    if inbox.send(Command::Watch(known)).is_err() {
        // The loop has ended.
        give_up(&*socket);
    }
    socket
}

impl Home for Inbox {
    fn wake(&self, token: usize) {
        let _ = self.send(Command::Wake(Key::from_token(Token(token))));
    }

    fn connect(self: Arc<Self>, socket: TcpStream, peer: SocketAddr) -> Arc<dyn Connecting> {
        CoroutineStream::watched(&self, socket, Address::Inet(peer))
    }

    fn open(self: Arc<Self>, socket: std::net::UdpSocket, peer: SocketAddr) -> Arc<dyn Datagrams> {
        CoroutineDatagrams::watched(&self, socket, peer)
    }
}
