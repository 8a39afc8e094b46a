//! [`Arrival`]: a connection that has been accepted and is not yet served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::house::House;
use super::link::Link;
use super::socket::Socket;
use crate::address::Address;
use crate::connection::{Deadline, RequestContext};
use crate::control::Target;
use crate::server::{sealed, AcceptError, Slot, Source};
use crate::sys::Shareable;
use crate::tcp::TcpListener;
#[cfg(unix)]
use crate::unix::UnixListener;

/// What an event loop's listener accepts.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// `None` once it has been turned away.
    link: Option<Arc<Link>>,
    /// It counts from now: the connection may wait for its loop.
    pub(crate) deadline: Option<Deadline>,
}

/// An arrival on its way to the loop that is to serve it.
pub(crate) struct Adoption {
    pub(crate) arrival: Arrival,
    pub(crate) slot: Slot,
    pub(crate) house: Arc<House>,
}

impl Arrival {
    fn new(socket: Socket, peer: Address, context: &RequestContext) -> Self {
        let link = Link::new(socket, peer, crate::connection::next_id());
        Arrival { link: Some(Arc::new(link)), deadline: Deadline::after(context.settings().request_deadline) }
    }

    pub(crate) fn into_link(self) -> Option<Arc<Link>> {
        self.link
    }
}

impl sealed::Arrival for Arrival {
    fn peer(&self) -> &Address {
        self.link.as_ref().map_or(&Address::Unnamed, |link| &link.peer)
    }

    fn cut_target(&self) -> Target {
        let link: std::sync::Weak<Link> = Arc::downgrade(self.link.as_ref()?);
        Some(link)
    }

    fn turn_away(&mut self, farewell: &[u8]) {
        // Somebody else has a hold on it only while a stop cuts it.
        let socket = self.link.take().and_then(|link| Arc::try_unwrap(link).ok()).map(|link| link.socket);
        if let Some(Ok(mut connection)) = socket.map(Socket::into_connection) {
            connection.turn_away(farewell);
        }
    }

    fn turn_away_now(&mut self, farewell: &[u8]) {
        if let Some(link) = self.link.take() {
            let _ = link.socket.write(farewell);
            let _ = link.socket.shutdown(std::net::Shutdown::Write);
        }
    }
}

/// The listeners of event loops.
#[derive(Debug)]
pub(crate) enum EventListener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl EventListener {
    pub(crate) fn register(&mut self, registry: &mio::Registry, token: mio::Token) -> io::Result<()> {
        match self {
            EventListener::Tcp(listener) => listener.register_with(registry, token),
            #[cfg(unix)]
            EventListener::Unix(listener) => listener.register_with(registry, token),
        }
    }
}

impl Source for EventListener {
    type Request = Arrival;

    fn accept(&mut self, context: &RequestContext) -> Result<Arrival, AcceptError> {
        match self {
            EventListener::Tcp(listener) => {
                let (socket, peer): (_, SocketAddr) = listener.accept_stream(context)?;
                Ok(Arrival::new(Socket::Tcp(Shareable::new(socket)), peer.into(), context))
            }
            #[cfg(unix)]
            EventListener::Unix(listener) => {
                let (socket, peer) = listener.accept_stream()?;
                Ok(Arrival::new(Socket::Unix(Shareable::new(socket)), peer, context))
            }
        }
    }
}
