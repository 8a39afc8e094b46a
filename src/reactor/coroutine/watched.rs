//! [`Watched`]: a socket that a coroutine has opened, and that its loop watches until it is closed.

use std::io;
use std::net::SocketAddr;
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

    /// Nothing will be reported of it any more: whoever waits for it has to be told, and nobody may wait for it again.
    fn give_up(&self);

    fn watch(&self) -> Option<&Watch>;

    /// Whom it is a socket to, for the log.
    fn peer(&self) -> String;
}

/// Who watches a socket, and under which key.
pub(crate) struct Watch {
    inbox: Arc<Inbox>,
    key: OnceLock<Key>,
}

impl Watch {
    pub(crate) fn set_key(&self, key: Key) {
        let _ = self.key.set(key);
    }

    /// Whether it is that loop.
    pub(crate) fn is_by(&self, home: &Arc<dyn Home>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.inbox), Arc::as_ptr(home))
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
    let socket = Arc::new(make(Watch { inbox: Arc::clone(inbox), key: OnceLock::new() }));
    let known: Weak<T> = Arc::downgrade(&socket);
    if inbox.send(Command::Watch(known)).is_err() {
        // The loop has ended.
        socket.give_up();
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
