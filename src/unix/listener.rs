//! [`UnixListener`].

use std::io;
use std::path::Path;
use std::sync::Arc;

use mio::Interest;
use socket2::{SockRef, Type};

use super::path::{bind_path, BoundPath};
use crate::address::Address;
use crate::connection::{Connection, RequestContext};
use crate::error::{Error, Result};
use crate::server::{AcceptError, Listener, Readiness};
use crate::socket_listener::{accept, listen, BindOptions};
use crate::socket_stream::{KernelTimeouts, SocketStream};
use crate::sys;

/// A Unix socket that listens, as a server's [`Listener`]. Made by the `bind` of a server or its builder, or of one of std's
/// by `try_from`.
#[derive(Debug)]
pub struct UnixListener {
    /// Ours to unlink. Dropped before the socket: nobody takes the path of a server that still listens, and the file's
    /// number cannot be given to another file before the socket is closed. The other way round, a successor that found the
    /// path stale in between could have lost its own.
    #[allow(dead_code)] // held for its drop
    path: Option<BoundPath>,
    socket: mio::net::UnixListener,
    local_addr: Address,
}

impl UnixListener {
    pub(crate) fn bind(path: &Path, options: &BindOptions) -> Result<Self> {
        bind_path(path, Type::STREAM, options, |socket, path| {
            listen(&socket, options.backlog)?;
            UnixListener::new(socket.into(), path)
        })
    }

    fn new(socket: std::os::unix::net::UnixListener, path: Option<BoundPath>) -> io::Result<Self> {
        let local_addr = Address::from_system(&SockRef::from(&socket).local_addr()?);
        Ok(UnixListener { socket: mio::net::UnixListener::from_std(socket), local_addr, path })
    }
}

impl UnixListener {
    /// Has itself reported, for readability.
    pub(crate) fn register_with(&mut self, registry: &mio::Registry, token: mio::Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Accepts a connection that does not block.
    pub(crate) fn accept_stream(&self) -> io::Result<(mio::net::UnixStream, Address)> {
        let (stream, peer) = self.socket.accept()?;
        Ok((stream, Address::from_unix(&peer)))
    }
}

/// One of std's, from wherever it came. It is set to non-blocking; its path is not unlinked at the close.
impl TryFrom<std::os::unix::net::UnixListener> for UnixListener {
    type Error = Error;

    fn try_from(listener: std::os::unix::net::UnixListener) -> Result<Self> {
        listener
            .set_nonblocking(true)
            .and_then(|()| UnixListener::new(listener, None))
            .map_err(|source| Error::System { operation: "use the given Unix listener".into(), source })
    }
}

impl Listener for UnixListener {
    type Request = Connection;
    type Addr = Address;

    fn local_addr(&self) -> Address {
        self.local_addr.clone()
    }

    fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
        self.register_with(readiness.registry(), readiness.token())
    }

    fn accept(&mut self, context: &RequestContext) -> Result<Connection, AcceptError> {
        let (socket, peer) = if sys::EVENTS_REARM {
            let (socket, peer) = accept(&SockRef::from(&self.socket))?;
            (std::os::unix::net::UnixStream::from(socket), Address::from_system(&peer))
        } else {
            // mio has to see that nothing is left before it reports readiness again.
            let (stream, peer) = self.accept_stream()?;
            let socket = std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(stream));
            socket.set_nonblocking(false)?;
            (socket, peer)
        };
        let stream = SocketStream::new(socket, KernelTimeouts::default());
        Ok(Connection::new(context, Arc::new(stream), peer))
    }
}
