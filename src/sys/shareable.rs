//! [`Shareable`] and [`EVENTS_REARM`].

pub(crate) use inner::{Shareable, EVENTS_REARM};

/// Where mio stands on epoll(7) or kqueue(2).
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
mod inner {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd};

    use mio::event::Source;
    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use socket2::SockRef;

    /// Whether a descriptor is reported again by itself when there is something new, however it was read in between. Elsewhere mio has
    /// to see that nothing was left, so everything goes through its types.
    pub(crate) const EVENTS_REARM: bool = true;

    /// One of mio's sockets that several threads may have a hold on.
    ///
    /// mio wants a socket for itself alone to register it. Here the descriptor is all that is needed, and reading and writing take no lock;
    /// elsewhere the socket remembers where it is registered.
    #[derive(Debug)]
    pub(crate) struct Shareable<S>(S);

    impl<S: Source + AsRawFd> Shareable<S> {
        pub(crate) fn new(socket: S) -> Self {
            Shareable(socket)
        }

        pub(crate) fn with<T>(&self, code: impl FnOnce(&S) -> T) -> T {
            code(&self.0)
        }

        pub(crate) fn register(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            registry.register(&mut SourceFd(&self.0.as_raw_fd()), token, interest)
        }

        pub(crate) fn reregister(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            registry.reregister(&mut SourceFd(&self.0.as_raw_fd()), token, interest)
        }

        #[cfg(feature = "coroutine")]
        pub(crate) fn deregister(&self, registry: &Registry) -> io::Result<()> {
            registry.deregister(&mut SourceFd(&self.0.as_raw_fd()))
        }

        /// The socket's options, where nobody needs the socket for itself.
        pub(crate) fn as_sock_ref(&self) -> Option<SockRef<'_>>
        where
            S: AsFd,
        {
            Some(SockRef::from(&self.0))
        }

        pub(crate) fn into_inner(self) -> S {
            self.0
        }
    }
}

/// Where it stands on something else.
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
mod inner {
    use std::io;

    use mio::event::Source;
    use mio::{Interest, Registry, Token};
    use socket2::SockRef;

    use crate::sync::{lock, Mutex};

    pub(crate) const EVENTS_REARM: bool = false;

    #[derive(Debug)]
    pub(crate) struct Shareable<S>(Mutex<S>);

    impl<S: Source> Shareable<S> {
        pub(crate) fn new(socket: S) -> Self {
            Shareable(Mutex::new(socket))
        }

        pub(crate) fn with<T>(&self, code: impl FnOnce(&S) -> T) -> T {
            code(&lock(&self.0))
        }

        pub(crate) fn register(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            registry.register(&mut *lock(&self.0), token, interest)
        }

        pub(crate) fn reregister(&self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            registry.reregister(&mut *lock(&self.0), token, interest)
        }

        #[cfg(feature = "coroutine")]
        pub(crate) fn deregister(&self, registry: &Registry) -> io::Result<()> {
            registry.deregister(&mut *lock(&self.0))
        }

        pub(crate) fn as_sock_ref(&self) -> Option<SockRef<'_>> {
            None
        }

        pub(crate) fn into_inner(self) -> S {
            self.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }
}
