//! [`Link`]: the part of a connection that its handles and the drain have a hold on too.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(feature = "coroutine")]
use std::sync::{atomic::fence, Weak};
use std::sync::{Arc, OnceLock};

use super::arena::Key;
use super::inbox::Inbox;
use super::socket::Socket;
use crate::address::Address;
use crate::control::Cut;

/// The socket, and what other threads need to know of the connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) socket: Socket,
    pub(crate) peer: Address,
    pub(crate) id: u64,
    cut: AtomicBool,
    /// The protocol has been told of its end; the socket may be kept for a while.
    pub(crate) over: AtomicBool,
    /// Bytes that wait to be written: in the loop's inbox, and in the write buffer.
    pub(crate) sent: AtomicUsize,
    pub(crate) buffered: AtomicUsize,
    /// The most of them.
    pub(crate) limit: AtomicUsize,
    home: OnceLock<Home>,
}

/// The loop that serves a connection, and its name there.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) key: Key,
    /// What is over it, where a handler on a coroutine serves it: that is to be cut.
    #[cfg(feature = "coroutine")]
    connection: Option<Weak<dyn Cut>>,
}

impl Link {
    pub(crate) fn new(socket: Socket, peer: Address, id: u64) -> Self {
        Link {
            socket,
            peer,
            id,
            cut: AtomicBool::new(false),
            over: AtomicBool::new(false),
            sent: AtomicUsize::new(0),
            buffered: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            home: OnceLock::new(),
        }
    }

    /// Says which loop serves it. Only a connection of which somebody wants a handle needs to say so.
    pub(crate) fn settle_in(&self, inbox: &Arc<Inbox>, key: Key) {
        self.home.get_or_init(|| Home {
            inbox: Arc::clone(inbox),
            key,
            #[cfg(feature = "coroutine")]
            connection: None,
        });
    }

    pub(crate) fn home(&self) -> Option<&Home> {
        self.home.get()
    }

    /// The same, and what is to be cut in its place.
    #[cfg(feature = "coroutine")]
    pub(crate) fn serve(&self, inbox: &Arc<Inbox>, key: Key, connection: Weak<dyn Cut>) {
        let _ = self.home.set(Home { inbox: Arc::clone(inbox), key, connection: Some(connection) });
        fence(Ordering::SeqCst);
        // A cut may have come before.
        if self.is_cut() {
            self.cut();
        }
    }

    #[cfg(feature = "coroutine")]
    fn connection(&self) -> Option<Arc<dyn Cut>> {
        self.home()?.connection.as_ref()?.upgrade()
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }
}

impl Cut for Link {
    #[cfg(feature = "coroutine")]
    fn dismiss(&self) {
        // In one order with `serve`, whose connection sees the stop by itself where this does not see it.
        fence(Ordering::SeqCst);
        if let Some(connection) = self.connection() {
            connection.dismiss();
        }
    }

    /// Wakes the loop, which closes the connection with a reset: whoever reads to the end must not take what has been cut for the whole.
    /// So this direction is not ended here, which would send the peer a clean end.
    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        // In one order with `serve`: either this sees the connection, or that sees the cut.
        #[cfg(feature = "coroutine")]
        fence(Ordering::SeqCst);
        #[cfg(feature = "coroutine")]
        if let Some(Home { inbox, key, connection: Some(_) }) = self.home() {
            if let Some(connection) = self.connection() {
                connection.cut();
            }
            // Whatever else it waits for is over too.
            let _ = inbox.send(super::inbox::Command::Cut(*key));
            return;
        }
        self.socket.reset_at_close();
        let _ = self.socket.shutdown(Shutdown::Read);
    }

    /// A callback holds the loop up. The peer learns at least that this is the end.
    fn force(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
