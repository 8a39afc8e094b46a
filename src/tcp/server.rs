//! [`TcpServer`], [`ThreadingTcpServer`] and what their builder has of its own.

use super::listener::TcpListener;
use crate::connection::{Connection, Keepalive};
use crate::error::Result;
use crate::handler::Handler;
use crate::net::ToEndpoint;
use crate::server::{Builder, Dispatch, Sequential, Server, Threading};

/// A TCP server that serves one client at a time. Python's `TCPServer`.
///
/// ```no_run
/// use socketserver::{handler_fn, Connection, TcpServer};
/// use std::io::{BufRead, Write};
///
/// # fn main() -> socketserver::Result<()> {
/// let mut server = TcpServer::bind(
///     "127.0.0.1:10000",
///     handler_fn(|request: &mut Connection| {
///         let mut line = String::new();
///         request.read_line(&mut line)?;
///         request.write_all(line.to_uppercase().as_bytes())?;
///         Ok(())
///     }),
/// )?;
/// server.serve_forever()?;
/// # Ok(()) }
/// ```
pub type TcpServer = Server<TcpListener, Sequential>;

/// A TCP server that serves each client on a thread of its own, reused for the next. Python's `ThreadingTCPServer`.
///
/// ```
/// use socketserver::{handler_fn, Connection, ThreadingTcpServer};
/// use std::io::{Read, Write};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = ThreadingTcpServer::bind(
///     "127.0.0.1:0",
///     handler_fn(|request: &mut Connection| {
///         writeln!(request, "hello, {}", request.peer_addr())?;
///         Ok(())
///     }),
/// )?;
/// let running = server.spawn()?;
///
/// let mut answer = String::new();
/// std::net::TcpStream::connect(running.local_addr())?.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("hello, 127.0.0.1:"));
///
/// let report = running.stop()?;
/// assert!(report.is_clean());
/// # Ok(()) }
/// ```
pub type ThreadingTcpServer = Server<TcpListener, Threading>;

impl<D: Dispatch + Default> Server<TcpListener, D> {
    /// Binds a server to an address, with the default settings. Port 0 lets the system choose; [`local_addr`](Server::local_addr)
    /// tells. Of several addresses that a name stands for, the first that can be bound is taken.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`](crate::Error::InvalidAddress), [`Error::Resolve`](crate::Error::Resolve), or
    /// [`Error::Bind`](crate::Error::Bind): the port is in use or privileged, the address is not this machine's.
    /// [`Error::System`](crate::Error::System): no descriptor is left for the poller.
    pub fn bind<H: Handler + Clone>(address: impl ToEndpoint, handler: H) -> Result<Self> {
        Self::builder().bind(address, handler)
    }

    /// Makes a server of one of std's listening sockets: [`Builder::from_listener`] with the default settings.
    ///
    /// # Errors
    /// [`Error::System`](crate::Error::System) where it cannot be used.
    pub fn from_listener<H: Handler + Clone>(listener: std::net::TcpListener, handler: H) -> Result<Self> {
        Self::builder().from_listener(listener, handler)
    }
}

/// What every TCP server has, whoever serves.
impl<D> Builder<TcpListener, D> {
    /// How many clients the kernel lets wait, to be accepted or, under [`Overload::Wait`](crate::Overload), to be served.
    /// Default 4,096; the kernel cuts it down to its own limit. Python's `request_queue_size`, which is 5.
    #[doc(alias = "request_queue_size")]
    pub fn backlog(mut self, clients: u32) -> Self {
        self.options.backlog = clients;
        self
    }

    /// Whether a port can be bound again while connections of an earlier server linger (SO_REUSEADDR). Default true; Python's
    /// `allow_reuse_address` is false. Without effect on Windows, where the option would let others take the port away.
    #[doc(alias = "allow_reuse_address")]
    pub fn reuse_address(mut self, reuse: bool) -> Self {
        self.options.reuse_address = reuse;
        self
    }

    /// Whether several sockets may share the port, the kernel spreading clients over them (SO_REUSEPORT): several
    /// processes, each with a server. Default false. Unix only. Python's `allow_reuse_port`.
    #[doc(alias = "allow_reuse_port")]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.options.reuse_port = reuse;
        self
    }

    /// Whether an IPv6 socket takes IPv4 clients too. Default false: `[::]` is IPv6 only, whatever the system's default. Python's
    /// `dualstack_ipv6`. IPv4 peers are shown as such.
    #[doc(alias = "dualstack_ipv6")]
    pub fn dual_stack(mut self, dual: bool) -> Self {
        self.options.dual_stack = dual;
        self
    }

    /// Whether small writes go out at once (TCP_NODELAY). Default true. Python's `disable_nagle_algorithm`, which is false.
    #[doc(alias = "disable_nagle_algorithm")]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.stream.nodelay = nodelay;
        self
    }

    /// TCP keep-alive on each connection. Default off: the read timeout notices vanished peers.
    pub fn keepalive(mut self, keepalive: impl Into<Option<Keepalive>>) -> Self {
        self.stream.keepalive = keepalive.into();
        self
    }
}

impl<D: Dispatch> Builder<TcpListener, D> {
    /// Binds the server.
    ///
    /// # Errors
    /// As [`Server::bind`], and [`Error::InvalidSetting`](crate::Error::InvalidSetting).
    pub fn bind<H: Handler<Connection> + Clone>(
        self,
        address: impl ToEndpoint,
        handler: H,
    ) -> Result<Server<TcpListener, D>> {
        self.check()?;
        let listener = TcpListener::bind(address, &self.options, &self.stream)?;
        self.build(listener, handler)
    }
}
