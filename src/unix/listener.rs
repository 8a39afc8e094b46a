//! [`UnixListener`].

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use mio::Interest;
use socket2::{Domain, SockAddr, SockRef};

use super::path::{in_use, remove_stale, BoundPath, PathLock};
use crate::address::Address;
use crate::connection::{Connection, RequestContext};
use crate::error::{Error, Result};
use crate::server::{AcceptError, Listener, Readiness};
use crate::socket_listener::{accept, listen, new_socket, BindOptions};
use crate::socket_stream::{KernelTimeouts, SocketStream};
use crate::sys;

/// The longest path a Unix socket can have, in bytes: what is left of 108 after a NUL (unix(7)); 104 on the BSDs.
const MAX_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// A Unix socket that listens, as a server's [`Listener`]. Made by `bind`, or of one of std's.
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
        check_path(path)?;
        bind(path, options).map_err(|source| {
            let source = match source.kind() {
                io::ErrorKind::AddrInUse => io::Error::new(source.kind(), in_use(path)),
                _ => source,
            };
            Error::Bind { address: path.display().to_string(), source }
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
        Ok((stream, address_of(&peer)))
    }
}

fn address_of(peer: &std::os::unix::net::SocketAddr) -> Address {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = abstract_name(peer) {
        return Address::Abstract(name.to_vec());
    }
    peer.as_pathname().map_or(Address::Unnamed, |path| Address::Unix(path.into()))
}

#[cfg(target_os = "android")]
fn abstract_name(peer: &std::os::unix::net::SocketAddr) -> Option<&[u8]> {
    std::os::android::net::SocketAddrExt::as_abstract_name(peer)
}

#[cfg(target_os = "linux")]
fn abstract_name(peer: &std::os::unix::net::SocketAddr) -> Option<&[u8]> {
    std::os::linux::net::SocketAddrExt::as_abstract_name(peer)
}

fn check_path(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_bytes();
    let reason = match bytes {
        [] => "a Unix socket needs a path".to_owned(),
        // Linux's abstract names may contain anything.
        [0, ..] if cfg!(any(target_os = "linux", target_os = "android")) => return Ok(()),
        _ if bytes.contains(&0) => "a path cannot contain a NUL".to_owned(),
        _ if bytes.len() > MAX_PATH => {
            format!("the path of a Unix socket has at most {MAX_PATH} bytes, this one has {}", bytes.len())
        }
        _ => return Ok(()),
    };
    Err(Error::InvalidAddress { address: path.display().to_string(), reason })
}

fn bind(path: &Path, options: &BindOptions) -> io::Result<UnixListener> {
    let socket = new_socket(Domain::UNIX)?;
    if path.as_os_str().as_bytes().first() == Some(&0) {
        socket.bind(&SockAddr::unix(path)?)?;
        listen(&socket, options.backlog)?;
        return UnixListener::new(socket.into(), None);
    }
    // Held until the socket listens, when it can be told from a stale one.
    let lock = if options.remove_stale { PathLock::take(path)? } else { None };
    if lock.is_some() {
        remove_stale(path)?;
    }
    let (socket, bound) = BoundPath::bind(socket, path, options.mode)?;
    listen(&socket, options.backlog)?;
    UnixListener::new(socket.into(), Some(bound))
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
