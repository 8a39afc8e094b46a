//! [`ReactorServer`], its kinds, and what their builder has of its own.

use std::fmt;
#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;

use super::arrival::EventListener;
use super::broadcaster::Broadcaster;
use super::house::{erase, House, Serves};
use super::protocol::Protocol;
use super::reactor::{private, Reactor, Served};
use super::settings::{TransportSettings, WriteLimits};
use super::station::Station;
use crate::control::{ServerHandle, ShutdownReport};
#[allow(unused_imports)] // for the documentation
use crate::error::Error;
use crate::error::Result;
use crate::net::ToEndpoint;
use crate::server::{invalid, Builder, Listener, Running};
use crate::tcp::TcpListener;
#[cfg(unix)]
use crate::unix::UnixListener;

/// How many connections there may be at once when the builder does not say, before the descriptor limit is taken into account.
pub(crate) const DEFAULT_CONNECTIONS: usize = 10_000;

/// The most loops a builder takes: more than any machine has processors.
const MOST_WORKERS: usize = 1024;

/// An event-driven TCP server: thousands of connections on one thread. asyncio's `loop.create_server`.
///
/// ```
/// use std::io::{Read, Write};
/// use socketserver::{Protocol, ReactorTcpServer, Transport};
///
/// #[derive(Clone)]
/// struct Shout;
///
/// impl Protocol for Shout {
///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
///         transport.write(&data.to_ascii_uppercase());
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let running = ReactorTcpServer::bind("127.0.0.1:0", Shout)?.spawn()?;
///
/// let mut client = std::net::TcpStream::connect(running.local_addr())?;
/// client.write_all(b"hello")?;
/// let mut answer = [0; 5];
/// client.read_exact(&mut answer)?;
/// assert_eq!(&answer, b"HELLO");
/// drop(client);
///
/// let report = running.stop()?;
/// assert!(report.is_clean());
/// # Ok(()) }
/// ```
pub type ReactorTcpServer = ReactorServer<TcpListener>;

/// An event-driven server on a Unix stream socket. asyncio's `loop.create_unix_server`.
#[cfg(unix)]
pub type ReactorUnixServer = ReactorServer<UnixListener>;

/// What an event-driven server's builder has in place of a [`Dispatch`](crate::server::Dispatch) strategy. The settings that only blocking
/// handlers have a use for (`max_line`, `max_frame`, `write_queue`, `timeout`, …) are not there: the decoder of a
/// [`Framed`](super::Framed) has its own limit.
#[derive(Debug)]
pub struct EventLoops {
    pub(super) workers: usize,
    pub(super) limits: WriteLimits,
    pub(super) read_while_full: bool,
}

impl Default for EventLoops {
    fn default() -> Self {
        EventLoops { workers: 1, limits: WriteLimits::default(), read_while_full: false }
    }
}

/// A server whose connections are served by callbacks, on one thread or a few: see
/// [`ReactorTcpServer`] and `ReactorUnixServer`.
///
/// It has its address from `bind` on, but serves nobody until [`serve_forever`](ReactorServer::serve_forever) or
/// [`spawn`](ReactorServer::spawn) is called. Dropping it closes it. It serves once: after a stop it answers [`Error::Closed`].
#[must_use = "it serves nobody until `serve_forever` or `spawn` is called"]
pub struct ReactorServer<L: Listener> {
    local_addr: L::Addr,
    handle: ServerHandle,
    broadcaster: Broadcaster,
    reactor: Reactor,
}

impl<L: Listener> ReactorServer<L> {
    /// Begins a server with settings other than the defaults.
    pub fn builder() -> Builder<L, EventLoops> {
        Builder::new(EventLoops::default())
    }

    /// The address it listens on, with the port the system chose if 0 was asked for. asyncio: `server.sockets[0].getsockname()`.
    pub fn local_addr(&self) -> L::Addr {
        self.local_addr.clone()
    }

    /// A handle to stop and watch it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Sends to all connections that the server has, or to those that a filter picks, from any thread.
    pub fn broadcaster(&self) -> Broadcaster {
        self.broadcaster.clone()
    }

    /// Serves until [`ServerHandle::shutdown`] is called, drains, and reports.
    ///
    /// At the stop, whoever waits in the kernel's queue is let in as far as there are places, and the listener closes. What has come by
    /// then is delivered, then [`Protocol::shutting_down`] is called, which by default closes the connection: at once where nothing waits
    /// to be sent and nothing has been for a second, otherwise as [`Transport::close`](crate::Transport::close) says. What is left at the drain deadline is cut. A callback that computes on is not waited
    /// for but in this very call, if it runs on this thread; [`spawn`](ReactorServer::spawn) and [`join`](Running::join) return.
    ///
    /// # Errors
    /// [`Error::Closed`] if it has been stopped before. [`Error::System`] when a poller or a thread cannot be had or fails.
    /// [`Error::Accept`] when the listening socket has become unusable; shortages of descriptors or memory never end it.
    pub fn serve_forever(&mut self) -> Result<ShutdownReport> {
        self.reactor.serve_forever()
    }

    /// Serves on a thread of its own, named `ss-serve`; further loops have `ss-loop-N`.
    ///
    /// # Errors
    /// [`Error::System`] when the thread cannot be started; [`Error::Closed`] if the server has been stopped before.
    pub fn spawn(mut self) -> Result<Running<L::Addr>> {
        let thread = self.reactor.spawn_thread()?;
        Ok(Running::new(self.handle, self.local_addr, thread))
    }
}

impl<L: Listener> Served for ReactorServer<L> {}

impl<L: Listener> private::Sealed for ReactorServer<L> {
    fn into_reactor(self) -> Reactor {
        self.reactor
    }
}

impl ReactorServer<TcpListener> {
    /// Binds a server to an address, with the default settings. Port 0 lets the system choose;
    /// [`local_addr`](ReactorServer::local_addr) tells.
    ///
    /// # Errors
    /// As [`TcpServer::bind`](crate::TcpServer), of which only the poller is made later.
    pub fn bind<P: Protocol + Clone>(address: impl ToEndpoint, protocol: P) -> Result<Self> {
        Self::builder().bind(address, protocol)
    }

    /// Makes a server of one of std's listening sockets, such as one that systemd has opened.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be used.
    pub fn from_listener<P: Protocol + Clone>(listener: std::net::TcpListener, protocol: P) -> Result<Self> {
        Self::builder().from_listener(listener, protocol)
    }
}

#[cfg(unix)]
impl ReactorServer<UnixListener> {
    /// Binds a server to a path, with the default settings: see [`UnixStreamServer::bind`](crate::UnixStreamServer).
    ///
    /// # Errors
    /// As there.
    pub fn bind<P: Protocol + Clone>(path: impl AsRef<Path>, protocol: P) -> Result<Self> {
        Self::builder().bind(path, protocol)
    }

    /// Makes a server of one of std's listening sockets.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be used.
    pub fn from_listener<P: Protocol + Clone>(listener: std::os::unix::net::UnixListener, protocol: P) -> Result<Self> {
        Self::builder().from_listener(listener, protocol)
    }
}

/// What event-driven servers have of their own.
impl<L: Listener> Builder<L, EventLoops> {
    /// How many threads serve, each with its own event loop: 1 to 1,024, default 1. New connections go to the loop that has the fewest, and stay
    /// there. The first loop, on the thread that serves, accepts for all: a callback that holds it up holds up newcomers too.
    pub fn workers(mut self, workers: usize) -> Self {
        self.dispatch.workers = workers;
        self
    }

    /// Above how many unsent bytes of a connection `pause_writing` is called, and at how many `resume_writing`. Default 64 KiB and
    /// 16 KiB. asyncio's `set_write_buffer_limits`.
    pub fn write_buffer_limits(mut self, high: usize, low: usize) -> Self {
        self.dispatch.limits.high = high;
        self.dispatch.limits.low = low;
        self
    }

    /// Above how many unsent bytes a connection is closed, with [`Error::WriteBufferFull`]. Default 1 MiB; in the worst case the
    /// memory is this times `max_connections`.
    pub fn write_buffer_hard_limit(mut self, bytes: usize) -> Self {
        self.dispatch.limits.hard = bytes;
        self
    }

    /// Whether a connection is read although its own write buffer stands above the high mark. Default false: a peer that does not
    /// read its answers can ask for no more. With true, the hard limit is what ends it.
    pub fn read_while_full(mut self, read: bool) -> Self {
        self.dispatch.read_while_full = read;
        self
    }

    pub(super) fn check_reactor(&self) -> Result<()> {
        self.check_common()?;
        check_workers(self.dispatch.workers)?;
        self.dispatch.limits.check().map(drop)
    }

    /// Composes the server.
    fn build_reactor<P: Protocol + Clone>(
        self,
        listener: EventListener,
        local_addr: L::Addr,
        protocol: P,
    ) -> Result<ReactorServer<L>> {
        let control = self.control(local_addr.clone().into(), DEFAULT_CONNECTIONS).closed_by_its_loop();
        let control = Arc::new(control);
        let settings = TransportSettings::new(&self.stream, self.dispatch.limits, self.dispatch.read_while_full);
        let (front, dispatch) = self.front(listener, Arc::clone(&control));
        let house = House::new(Arc::clone(&front.acceptor.reception), Serves::Protocols(erase(protocol)), settings);
        let broadcaster = Broadcaster::new(Arc::clone(&house));
        let reactor = Reactor::of(Station::streams(front, house), dispatch.workers);
        Ok(ReactorServer { local_addr, handle: ServerHandle::new(control), broadcaster, reactor })
    }
}

pub(crate) fn check_workers(workers: usize) -> Result<()> {
    match workers {
        0 => Err(invalid("workers", 0, "there would be no thread to serve on")),
        workers if workers > MOST_WORKERS => {
            Err(invalid("workers", workers, "1,024 are the most; no machine has so many processors"))
        }
        _ => Ok(()),
    }
}

impl Builder<TcpListener, EventLoops> {
    /// Binds the server.
    ///
    /// # Errors
    /// As [`ReactorServer::bind`](ReactorTcpServer::bind), and [`Error::InvalidSetting`].
    pub fn bind<P: Protocol + Clone>(self, address: impl ToEndpoint, protocol: P) -> Result<ReactorTcpServer> {
        self.check_reactor()?;
        let listener = TcpListener::bind(address, &self.options, &self.stream)?;
        let local_addr = Listener::local_addr(&listener);
        self.build_reactor(EventListener::Tcp(listener), local_addr, protocol)
    }

    /// A server over one of std's listeners. It is set to non-blocking, for whoever shares the socket too; its other settings are what they are. Those of
    /// the connections apply.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::System`] where the listener cannot be used.
    #[allow(clippy::wrong_self_convention)] // as with the blocking servers
    pub fn from_listener<P: Protocol + Clone>(
        self,
        listener: std::net::TcpListener,
        protocol: P,
    ) -> Result<ReactorTcpServer> {
        self.check_reactor()?;
        let listener = TcpListener::try_from(listener)?;
        let local_addr = Listener::local_addr(&listener);
        self.build_reactor(EventListener::Tcp(listener), local_addr, protocol)
    }
}

#[cfg(unix)]
impl Builder<UnixListener, EventLoops> {
    /// Binds the server.
    ///
    /// # Errors
    /// As [`ReactorServer::bind`](ReactorUnixServer::bind), and [`Error::InvalidSetting`].
    pub fn bind<P: Protocol + Clone>(self, path: impl AsRef<Path>, protocol: P) -> Result<ReactorUnixServer> {
        self.check_reactor()?;
        let listener = UnixListener::bind(path.as_ref(), &self.options)?;
        let local_addr = Listener::local_addr(&listener);
        self.build_reactor(EventListener::Unix(listener), local_addr, protocol)
    }

    /// A server over one of std's listeners, whose path is not unlinked at the close. It is set to non-blocking, for whoever shares the socket too.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::System`] where the listener cannot be used.
    #[allow(clippy::wrong_self_convention)] // as with the blocking servers
    pub fn from_listener<P: Protocol + Clone>(
        self,
        listener: std::os::unix::net::UnixListener,
        protocol: P,
    ) -> Result<ReactorUnixServer> {
        self.check_reactor()?;
        let listener = UnixListener::try_from(listener)?;
        let local_addr = Listener::local_addr(&listener);
        self.build_reactor(EventListener::Unix(listener), local_addr, protocol)
    }
}

impl<L: Listener> fmt::Debug for ReactorServer<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReactorServer").field("local_addr", &self.local_addr).field("handle", &self.handle).finish()
    }
}
