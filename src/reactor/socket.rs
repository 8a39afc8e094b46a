//! [`Socket`]: a non-blocking stream socket that several threads may have a hold on.

use std::io::{self, Read, Write};
use std::net::Shutdown;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::connection::Connection;
use crate::sys::Shareable;

/// TCP or Unix. The loop reads and writes; the drain, in a thread of its own, may shut it down meanwhile.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(Shareable<TcpStream>),
    #[cfg(unix)]
    Unix(Shareable<UnixStream>),
}

/// The same for either kind, with `$name` a reference to mio's socket.
macro_rules! with {
    ($socket:expr, $name:ident => $code:expr) => {
        match $socket {
            Socket::Tcp(socket) => socket.with(|$name| $code),
            #[cfg(unix)]
            Socket::Unix(socket) => socket.with(|$name| $code),
        }
    };
}

impl Socket {
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        with!(self, socket => (&mut &*socket).read(buf))
    }

    pub(crate) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        with!(self, socket => (&mut &*socket).write(buf))
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        with!(self, socket => socket.shutdown(how))
    }

    pub(crate) fn is_unix(&self) -> bool {
        match self {
            Socket::Tcp(_) => false,
            #[cfg(unix)]
            Socket::Unix(_) => true,
        }
    }

    /// Has the close be a reset. Where there is no such thing, as with Unix sockets, it is a plain close.
    pub(crate) fn reset_at_close(&self) {
        let _ = with!(self, socket => SockRef::from(socket).set_linger(Some(Duration::ZERO)));
    }

    pub(crate) fn local_addr(&self) -> io::Result<socket2::SockAddr> {
        with!(self, socket => SockRef::from(socket).local_addr())
    }

    pub(crate) fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        with!(self, socket => SockRef::from(socket).set_tcp_nodelay(nodelay))
    }

    #[cfg(feature = "coroutine")]
    pub(crate) fn as_sock_ref(&self) -> Option<SockRef<'_>> {
        match self {
            Socket::Tcp(socket) => socket.as_sock_ref(),
            #[cfg(unix)]
            Socket::Unix(socket) => socket.as_sock_ref(),
        }
    }

    pub(crate) fn register(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.register(registry, token, interest),
            #[cfg(unix)]
            Socket::Unix(socket) => socket.register(registry, token, interest),
        }
    }

    pub(crate) fn reregister(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Socket::Tcp(socket) => socket.reregister(registry, token, interest),
            #[cfg(unix)]
            Socket::Unix(socket) => socket.reregister(registry, token, interest),
        }
    }

    /// The socket as a blocking connection of its own.
    pub(crate) fn into_connection(self) -> io::Result<Connection> {
        match self {
            Socket::Tcp(socket) => {
                let socket = std::net::TcpStream::from(socket.into_inner());
                socket.set_nonblocking(false)?;
                Ok(Connection::from(socket))
            }
            #[cfg(unix)]
            Socket::Unix(socket) => {
                let socket = std::os::unix::net::UnixStream::from(OwnedFd::from(socket.into_inner()));
                socket.set_nonblocking(false)?;
                Ok(Connection::from(socket))
            }
        }
    }
}
