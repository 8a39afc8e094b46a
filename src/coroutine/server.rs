//! [`CoroutineServer`], its kinds, and what their builder has of its own.

use std::fmt;
#[cfg(unix)]
use std::path::Path;

use crate::connection::Connection;
use crate::control::{ServerHandle, ShutdownReport};
#[allow(unused_imports)] // for the documentation
use crate::error::Error;
use crate::error::Result;
use crate::handler::Handler;
use crate::net::ToEndpoint;
use crate::reactor::{check_workers, serve_handlers, EventListener, Reactor, Sealed, Served, DEFAULT_CONNECTIONS};
use crate::server::{invalid, runs_handlers, Builder, Listener, Running, RunsHandlers};
use crate::sys;
use crate::tcp::TcpListener;
#[cfg(unix)]
use crate::unix::UnixListener;

/// The stack of a coroutine, in bytes. A handler that formats, parses and calls libraries stays far below it; of what is not touched there is
/// no memory.
const DEFAULT_STACK: usize = 256 * 1024;

/// Less would not hold what this crate needs below a handler, and a panic's message with its backtrace.
const LEAST_STACK: usize = 64 * 1024;
const MOST_STACK: usize = 1024 * 1024 * 1024;

/// Memory mappings left to the rest of the program, of those that the kernel lets a process have.
const SPARE_MAPPINGS: usize = 2048;

/// A TCP server that serves each client on a coroutine: handlers that wait cost no thread. See [the module](super).
pub type CoroutineTcpServer = CoroutineServer<TcpListener>;

/// The same on a Unix stream socket.
#[cfg(unix)]
pub type CoroutineUnixServer = CoroutineServer<UnixListener>;

/// What a coroutine server's builder has in place of a [`Dispatch`](crate::server::Dispatch) strategy.
#[derive(Debug)]
pub struct Coroutines {
    workers: usize,
    stack_size: usize,
}

impl Default for Coroutines {
    fn default() -> Self {
        Coroutines { workers: 1, stack_size: DEFAULT_STACK }
    }
}

impl RunsHandlers for Coroutines {}

impl runs_handlers::Sealed for Coroutines {}

/// A server whose handlers run on coroutines, on the thread of an event loop or a few: see [`CoroutineTcpServer`].
///
/// It has its address from `bind` on, but serves nobody until [`serve_forever`](CoroutineServer::serve_forever) or
/// [`spawn`](CoroutineServer::spawn) is called, or a [`Reactor`] serves it among others. Dropping it closes it. It
/// serves once: after a stop it answers [`Error::Closed`].
#[must_use = "it serves nobody until `serve_forever` or `spawn` is called"]
pub struct CoroutineServer<L: Listener> {
    local_addr: L::Addr,
    handle: ServerHandle,
    reactor: Reactor,
}

impl<L: Listener> CoroutineServer<L> {
    /// Begins a server with settings other than the defaults.
    pub fn builder() -> Builder<L, Coroutines> {
        Builder::new(Coroutines::default())
    }

    /// The address it listens on, with the port the system chose if 0 was asked for. Python's `server_address`.
    pub fn local_addr(&self) -> L::Addr {
        self.local_addr.clone()
    }

    /// A handle to stop and watch it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until [`ServerHandle::shutdown`] is called, drains, and reports. Python's `serve_forever`.
    ///
    /// It returns when the requests under way have ended or the drain deadline has cut them. A handler that computes on is not waited for but
    /// in this very call, if it runs on this thread; [`spawn`](CoroutineServer::spawn) and [`join`](Running::join) return.
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

impl<L: Listener> Served for CoroutineServer<L> {}

impl<L: Listener> Sealed for CoroutineServer<L> {
    fn into_reactor(self) -> Reactor {
        self.reactor
    }
}

impl CoroutineServer<TcpListener> {
    /// Binds a server to an address, with the default settings. Port 0 lets the system choose;
    /// [`local_addr`](CoroutineServer::local_addr) tells.
    ///
    /// # Errors
    /// As [`TcpServer::bind`](crate::TcpServer), of which only the poller is made later.
    pub fn bind<H: Handler + Clone>(address: impl ToEndpoint, handler: H) -> Result<Self> {
        Self::builder().bind(address, handler)
    }

    /// Makes a server of one of std's listening sockets, such as one that systemd has opened.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be used.
    pub fn from_listener<H: Handler + Clone>(listener: std::net::TcpListener, handler: H) -> Result<Self> {
        Self::builder().from_listener(listener, handler)
    }
}

#[cfg(unix)]
impl CoroutineServer<UnixListener> {
    /// Binds a server to a path, with the default settings: see [`UnixStreamServer::bind`](crate::UnixStreamServer).
    ///
    /// # Errors
    /// As there.
    pub fn bind<H: Handler + Clone>(path: impl AsRef<Path>, handler: H) -> Result<Self> {
        Self::builder().bind(path, handler)
    }

    /// Makes a server of one of std's listening sockets.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be used.
    pub fn from_listener<H: Handler + Clone>(listener: std::os::unix::net::UnixListener, handler: H) -> Result<Self> {
        Self::builder().from_listener(listener, handler)
    }
}

/// What coroutine servers have of their own.
impl<L: Listener> Builder<L, Coroutines> {
    /// How many threads serve, each with its own event loop: 1 to 1,024, default 1. New connections go to the loop that has the fewest, and stay
    /// there. The first loop, on the thread that serves, accepts for all: a handler that holds it up holds up newcomers too.
    pub fn workers(mut self, workers: usize) -> Self {
        self.dispatch.workers = workers;
        self
    }

    /// The stack of each coroutine, in bytes, 64 KiB to 1 GiB. Default 256 KiB. Only what a handler touches becomes memory.
    ///
    /// A stack with its guard page takes two memory mappings. Linux lets a process have `vm.max_map_count` of them, 65,530 unless set otherwise; with
    /// 2,048 of these left to the rest of the program, [`max_connections`](Builder::max_connections) may be 31,741 at the most then.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.dispatch.stack_size = bytes;
        self
    }

    fn check_coroutines(&self) -> Result<()> {
        self.check_common()?;
        self.check_handlers()?;
        check_workers(self.dispatch.workers)?;
        let bytes = self.dispatch.stack_size;
        if !(LEAST_STACK..=MOST_STACK).contains(&bytes) {
            return Err(invalid("stack_size", bytes, "a coroutine's stack has 64 KiB at least, 1 GiB at most"));
        }
        let most = most_connections();
        if let Some(connections) = self.max_connections.filter(|&count| count > most) {
            let reason = format!(
                "{most} are the most here, because each takes two memory mappings, of which the kernel lets a process have \
                 so many (vm.max_map_count)"
            );
            return Err(invalid("max_connections", connections, reason));
        }
        Ok(())
    }

    fn build_coroutines<H: Handler + Clone>(
        self,
        listener: EventListener,
        local_addr: L::Addr,
        handler: H,
    ) -> Result<CoroutineServer<L>> {
        let (workers, stack_size) = (self.dispatch.workers, self.dispatch.stack_size);
        let most = DEFAULT_CONNECTIONS.min(most_connections());
        let (control, reactor) =
            serve_handlers(self, listener, local_addr.clone().into(), most, workers, stack_size, handler);
        Ok(CoroutineServer { local_addr, handle: ServerHandle::new(control), reactor })
    }
}

/// How many coroutines the kernel lets a process have.
fn most_connections() -> usize {
    sys::mapping_limit().map_or(usize::MAX, |mappings| mappings.saturating_sub(SPARE_MAPPINGS) / 2)
}

impl Builder<TcpListener, Coroutines> {
    /// Binds the server.
    ///
    /// # Errors
    /// As [`CoroutineServer::bind`](CoroutineTcpServer::bind), and [`Error::InvalidSetting`].
    pub fn bind<H: Handler<Connection> + Clone>(
        self,
        address: impl ToEndpoint,
        handler: H,
    ) -> Result<CoroutineTcpServer> {
        self.check_coroutines()?;
        let listener = TcpListener::bind(address, &self.options, &self.stream)?;
        let local_addr = Listener::local_addr(&listener);
        self.build_coroutines(EventListener::Tcp(listener), local_addr, handler)
    }

    /// A server over one of std's listeners. It is set to non-blocking, for whoever shares the socket too; its other settings are what they are. Those of
    /// the connections apply.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::System`] where the listener cannot be used.
    #[allow(clippy::wrong_self_convention)] // as with the other servers
    pub fn from_listener<H: Handler<Connection> + Clone>(
        self,
        listener: std::net::TcpListener,
        handler: H,
    ) -> Result<CoroutineTcpServer> {
        self.check_coroutines()?;
        let listener = TcpListener::try_from(listener)?;
        let local_addr = Listener::local_addr(&listener);
        self.build_coroutines(EventListener::Tcp(listener), local_addr, handler)
    }
}

#[cfg(unix)]
impl Builder<UnixListener, Coroutines> {
    /// Binds the server.
    ///
    /// # Errors
    /// As [`CoroutineServer::bind`](CoroutineUnixServer::bind), and [`Error::InvalidSetting`].
    pub fn bind<H: Handler<Connection> + Clone>(
        self,
        path: impl AsRef<Path>,
        handler: H,
    ) -> Result<CoroutineUnixServer> {
        self.check_coroutines()?;
        let listener = UnixListener::bind(path.as_ref(), &self.options)?;
        let local_addr = Listener::local_addr(&listener);
        self.build_coroutines(EventListener::Unix(listener), local_addr, handler)
    }

    /// A server over one of std's listeners, whose path is not unlinked at the close. It is set to non-blocking, for whoever shares the socket too.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::System`] where the listener cannot be used.
    #[allow(clippy::wrong_self_convention)] // as with the other servers
    pub fn from_listener<H: Handler<Connection> + Clone>(
        self,
        listener: std::os::unix::net::UnixListener,
        handler: H,
    ) -> Result<CoroutineUnixServer> {
        self.check_coroutines()?;
        let listener = UnixListener::try_from(listener)?;
        let local_addr = Listener::local_addr(&listener);
        self.build_coroutines(EventListener::Unix(listener), local_addr, handler)
    }
}

impl<L: Listener> fmt::Debug for CoroutineServer<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoroutineServer").field("local_addr", &self.local_addr).field("handle", &self.handle).finish()
    }
}
