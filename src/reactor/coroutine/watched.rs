//! [`Watched`]: a socket that a coroutine has opened, and that its loop watches until it is closed.

use std::io;
use std::sync::{Arc, OnceLock, Weak};

use mio::net::UdpSocket;
use mio::{Registry, Token};

use crate::reactor::arena::Key;
use crate::reactor::channel::Event;
use crate::reactor::inbox::{Command, Inbox};
use crate::sys::Shareable;

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
    pub(crate) fn is_by(&self, inbox: &Arc<Inbox>) -> bool {
        Arc::ptr_eq(&self.inbox, inbox)
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
