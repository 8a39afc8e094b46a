//! [`Shareable`].

use std::io;

use mio::event::Source;
use mio::{Interest, Registry, Token};

/// One of mio's sockets that several threads may have a hold on.
///
/// mio wants a socket for itself alone to register it. Where it stands on epoll or kqueue the descriptor is all that is needed, and
/// reading and writing take no lock; elsewhere the socket remembers where it is registered.
#[derive(Debug)]
pub(crate) struct Shareable<S>(ShareableInner<S>);

#[cfg(all(
    any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
        target_vendor = "apple"
    ),
    not(mio_unsupported_force_poll_poll)
))]
type ShareableInner<S> = S;
#[cfg(not(all(
    any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
        target_vendor = "apple"
    ),
    not(mio_unsupported_force_poll_poll)
)))]
type ShareableInner<S> = crate::sync::Mutex<S>;

#[cfg(all(
    any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
        target_vendor = "apple"
    ),
    not(mio_unsupported_force_poll_poll)
))]
impl<S: Source + std::os::fd::AsRawFd> Shareable<S> {
    pub(crate) fn new(socket: S) -> Self {
        Shareable(socket)
    }

    pub(crate) fn with<T>(&self, code: impl FnOnce(&S) -> T) -> T {
        code(&self.0)
    }

    pub(crate) fn register(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        registry.register(&mut mio::unix::SourceFd(&self.0.as_raw_fd()), token, interest)
    }

    pub(crate) fn reregister(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        registry.reregister(&mut mio::unix::SourceFd(&self.0.as_raw_fd()), token, interest)
    }

    pub(crate) fn into_inner(self) -> S {
        self.0
    }
}

#[cfg(not(all(
    any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
        target_vendor = "apple"
    ),
    not(mio_unsupported_force_poll_poll)
)))]
impl<S: Source> Shareable<S> {
    pub(crate) fn new(socket: S) -> Self {
        Shareable(crate::sync::Mutex::new(socket))
    }

    pub(crate) fn with<T>(&self, code: impl FnOnce(&S) -> T) -> T {
        code(&crate::sync::lock(&self.0))
    }

    pub(crate) fn register(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        registry.register(&mut *crate::sync::lock(&self.0), token, interest)
    }

    pub(crate) fn reregister(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        registry.reregister(&mut *crate::sync::lock(&self.0), token, interest)
    }

    pub(crate) fn into_inner(self) -> S {
        self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
