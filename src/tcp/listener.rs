//! [`TcpListener`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::Interest;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::address::{canonical, Address};
use crate::connection::{Connection, RequestContext, StreamSettings};
use crate::error::{Error, Result};
use crate::net::ToEndpoint;
use crate::server::{AcceptError, Listener, Readiness};
#[cfg(not(windows))]
use crate::socket_listener::accept;
use crate::socket_listener::{listen, no_dual_stack, BindOptions};
use crate::socket_stream::{KernelTimeouts, SocketStream};
use crate::sys;

/// A TCP socket that listens, as a server's [`Listener`]. Made by the `bind` of a server or its builder, or of one of std's by
/// `try_from`. For a listener of your own around it, [`tcp::listen`](super::listen) binds with a server's backlog:
/// `std::net::TcpListener::from(tcp::listen(address)?).try_into()?`.
#[derive(Debug)]
pub struct TcpListener {
    socket: mio::net::TcpListener,
    local_addr: SocketAddr,
    /// The timeouts that accepted sockets have from the start. Where there are any, they have the other settings too.
    inherited: Option<KernelTimeouts>,
}

impl TcpListener {
    /// Binds to the first of the address's meanings that can be bound.
    pub(crate) fn bind(address: impl ToEndpoint, options: &BindOptions, stream: &StreamSettings) -> Result<Self> {
        let endpoint = address.to_endpoint()?;
        let failed = |source| Error::Bind { address: endpoint.to_string(), source };
        let mut last = None;
        for address in endpoint.resolve(None)? {
            if options.dual_stack && address.is_ipv4() {
                continue;
            }
            match bind_one(address, options, stream) {
                Ok((socket, inherited)) => return TcpListener::new(socket.into(), inherited).map_err(failed),
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) => failed(error),
            None => no_dual_stack(&endpoint),
        })
    }

    fn new(socket: std::net::TcpListener, inherited: Option<KernelTimeouts>) -> io::Result<Self> {
        let local_addr = socket.local_addr()?;
        Ok(TcpListener { socket: mio::net::TcpListener::from_std(socket), local_addr, inherited })
    }
}

fn bind_one(
    address: SocketAddr,
    options: &BindOptions,
    stream: &StreamSettings,
) -> io::Result<(Socket, Option<KernelTimeouts>)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // Said both ways: what the system does by itself differs.
        socket.set_only_v6(!options.dual_stack)?;
    }
    // On Windows the option means something else: that another process may take the port away.
    if cfg!(not(windows)) {
        socket.set_reuse_address(options.reuse_address)?;
    }
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    let mut inherited = None;
    if sys::ACCEPTED_INHERIT {
        apply(&socket, stream)?;
        socket.set_read_timeout(stream.read_timeout)?;
        socket.set_write_timeout(stream.write_timeout)?;
        inherited = Some(KernelTimeouts { read: stream.read_timeout, write: stream.write_timeout });
    }
    socket.bind(&address.into())?;
    listen(&socket, options.backlog)?;
    Ok((socket, inherited))
}

impl TcpListener {
    pub(crate) fn into_mio(self) -> mio::net::TcpListener {
        self.socket
    }

    /// Has itself reported, for readability.
    pub(crate) fn register_with(&mut self, registry: &mio::Registry, token: mio::Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Accepts a connection that does not block.
    pub(crate) fn accept_stream(&self, context: &RequestContext) -> io::Result<(mio::net::TcpStream, SocketAddr)> {
        let (stream, peer) = self.socket.accept()?;
        if self.inherited.is_none() {
            // Fails where the peer has gone already, which the first read will see.
            let _ = apply(&SockRef::from(&stream), context.settings());
        }
        Ok((stream, canonical(peer)))
    }

    fn accept_socket(&self) -> io::Result<(Socket, SockAddr)> {
        #[cfg(not(windows))]
        if sys::EVENTS_REARM {
            return accept(&SockRef::from(&self.socket));
        }
        // Elsewhere through mio, which reports readiness again only when it has seen that there was nothing left.
        let (stream, peer) = self.socket.accept()?;
        let socket = Socket::from(std::net::TcpStream::from(stream));
        socket.set_nonblocking(false)?;
        Ok((socket, peer.into()))
    }
}

/// The options that are TCP's own.
fn apply(socket: &Socket, stream: &StreamSettings) -> io::Result<()> {
    socket.set_tcp_nodelay(stream.nodelay)?;
    match &stream.keepalive {
        Some(keepalive) => keepalive.apply(socket),
        None => Ok(()),
    }
}

/// One of std's, from wherever it came. It is set to non-blocking; its other settings stay.
impl TryFrom<std::net::TcpListener> for TcpListener {
    type Error = Error;

    fn try_from(listener: std::net::TcpListener) -> Result<Self> {
        listener
            .set_nonblocking(true)
            .and_then(|()| TcpListener::new(listener, None))
            .map_err(|source| Error::System { operation: "use the given TCP listener".into(), source })
    }
}

impl Listener for TcpListener {
    type Request = Connection;
    type Addr = SocketAddr;

    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
        self.register_with(readiness.registry(), readiness.token())
    }

    fn accept(&mut self, context: &RequestContext) -> Result<Connection, AcceptError> {
        let (socket, peer) = self.accept_socket()?;
        if self.inherited.is_none() {
            // Fails where the peer has gone already, which the handler will see.
            let _ = apply(&socket, context.settings());
        }
        let peer = match Address::from_system(&peer) {
            Address::Inet(address) => Address::Inet(canonical(address)),
            other => other,
        };
        let socket = std::net::TcpStream::from(socket);
        let stream = match self.inherited {
            Some(timeouts) => SocketStream::new(socket, timeouts),
            // A listener that was given to us may hand timeouts of its own down.
            None => SocketStream::with_unknown_timeouts(socket),
        };
        Ok(Connection::new(context, Arc::new(stream), peer))
    }
}
