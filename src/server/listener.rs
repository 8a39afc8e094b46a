//! [`Listener`]: where requests come from.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::request::sealed::Arrival;
use super::request::Request;
use crate::address::Address;
use crate::connection::RequestContext;
use crate::sys::{classify_accept, AcceptClass};

/// Where a server's requests come from: one half of a server, the other being its [`Dispatch`](super::Dispatch).
///
/// The crate's own are [`tcp::TcpListener`](crate::tcp::TcpListener), [`udp::UdpListener`](crate::udp::UdpListener) and, on Unix,
/// `unix::UnixListener` and `unix::UnixDatagramListener`. One of your own (in memory, a wrapper that limits or measures) goes into
/// [`Builder::from_listener`](super::Builder::from_listener).
/// Overriding `get_request` is how one does it in Python.
///
/// It is dropped at a stop, before the requests under way have ended; a datagram keeps the socket that it answers through. Whatever was waiting before it was registered needs
/// no notice: a server looks once by itself when it starts.
pub trait Listener: Send + 'static {
    /// What it accepts: a [`Connection`](crate::Connection) or a [`Datagram`](crate::Datagram).
    type Request: Request;

    /// What [`local_addr`](super::Server::local_addr) returns.
    type Addr: Clone + fmt::Debug + fmt::Display + Into<Address> + Send + Sync + 'static;

    /// The address it listens on.
    fn local_addr(&self) -> Self::Addr;

    /// Called once, before the first accept. From then on the server must be woken when something can be accepted: by mio, with
    /// the registry and the token, or by the [`notifier`](Readiness::notifier). Told once about several is enough.
    ///
    /// # Errors
    /// Whatever the system says; the server is not made then.
    fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()>;

    /// Accepts one request. Never waits.
    ///
    /// # Errors
    /// [`AcceptError`] says what the server does about it.
    fn accept(&mut self, context: &RequestContext) -> Result<Self::Request, AcceptError>;

    /// A step that each request goes through in its worker, before `verify_request` and the handler: a TLS handshake, a
    /// PROXY header. `None`, the default, is none.
    fn preparation(&self) -> Option<Arc<dyn Prepare<Self::Request>>> {
        None
    }
}

/// What the accepting side asks of a listener, be it one whose requests are served by threads or by an event loop.
pub(crate) trait Source: Send + 'static {
    type Request: Arrival;

    /// As [`Listener::accept`].
    fn accept(&mut self, context: &RequestContext) -> Result<Self::Request, AcceptError>;
}

impl<L: Listener> Source for L {
    type Request = L::Request;

    fn accept(&mut self, context: &RequestContext) -> Result<L::Request, AcceptError> {
        Listener::accept(self, context)
    }
}

/// A step between accepting a request and handling it, done by the worker so that a slow client holds up nobody else.
pub trait Prepare<R>: Send + Sync {
    /// Prepares the request, for instance by [`Connection::wrap_stream`](crate::Connection::wrap_stream). Reading and
    /// writing through the connection end at `deadline`, or at the request's own if that is earlier; anything else must
    /// look at it.
    ///
    /// # Errors
    /// Any; the request is closed and the error given to `handle_error`.
    fn prepare(&self, request: &mut R, deadline: Instant) -> io::Result<()>;
}

/// Why nothing was accepted, and what the server does about it. Made of an [`io::Error`] by the rules of accept(2).
#[derive(Debug)]
#[non_exhaustive]
pub enum AcceptError {
    /// Nothing is waiting. The server sleeps until it is woken.
    WouldBlock,
    /// What has come is not to be served, and more may be waiting. The server looks whether anything else is to be done, such as a stop,
    /// then tries again. It is no failure, and counted nowhere.
    Again,
    /// This one request is lost, as when a client was gone before it was accepted; or, on a datagram socket, an earlier answer
    /// was. The next is tried at once.
    Retry(io::Error),
    /// The system is short of descriptors or memory. The server backs off, 5 ms doubling to 100 ms, and tries again at once when a
    /// request of its own ends.
    BackOff(io::Error),
    /// The listener is unusable. Serving ends.
    Fatal(io::Error),
}

impl From<io::Error> for AcceptError {
    fn from(error: io::Error) -> Self {
        match classify_accept(&error) {
            AcceptClass::Empty => AcceptError::WouldBlock,
            AcceptClass::NextOne => AcceptError::Retry(error),
            AcceptClass::Shortage => AcceptError::BackOff(error),
            AcceptClass::Fatal => AcceptError::Fatal(error),
        }
    }
}

/// How a listener says that something can be accepted.
#[derive(Debug)]
pub struct Readiness<'a> {
    pub(crate) registry: &'a mio::Registry,
    pub(crate) token: mio::Token,
    pub(crate) waker: &'a Arc<mio::Waker>,
}

impl Readiness<'_> {
    /// Where a listener with a descriptor registers it, for readability, edge-triggered as mio does.
    pub fn registry(&self) -> &mio::Registry {
        self.registry
    }

    /// The token to register with.
    pub fn token(&self) -> mio::Token {
        self.token
    }

    /// For a listener without a descriptor.
    pub fn notifier(&self) -> Notifier {
        Notifier { waker: Arc::clone(self.waker) }
    }
}

/// Wakes the server of a listener that has no descriptor.
#[derive(Debug, Clone)]
pub struct Notifier {
    waker: Arc<mio::Waker>,
}

impl Notifier {
    /// Says that something can be accepted.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn notify(&self) -> io::Result<()> {
        self.waker.wake()
    }
}
