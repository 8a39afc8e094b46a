//! [`UnixStreamServer`], [`ThreadingUnixStreamServer`] and what their builder has of its own.

use std::path::Path;

use super::listener::UnixListener;
use crate::connection::Connection;
use crate::error::Result;
use crate::handler::Handler;
use crate::server::{Builder, Dispatch, Sequential, Server, Threading};

/// A server on a Unix stream socket that serves one client at a time. Python's `UnixStreamServer`.
pub type UnixStreamServer = Server<UnixListener, Sequential>;

/// A server on a Unix stream socket that serves each client on a thread of its own. Python's `ThreadingUnixStreamServer`.
///
/// ```
/// use socketserver::{handler_fn, Connection, ThreadingUnixStreamServer};
/// use std::io::{Read, Write};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.sock");
/// let server = ThreadingUnixStreamServer::bind(
///     &path,
///     handler_fn(|request: &mut Connection| Ok(request.write_all(b"hello\n")?)),
/// )?;
/// let running = server.spawn()?;
///
/// let mut answer = String::new();
/// std::os::unix::net::UnixStream::connect(&path)?.read_to_string(&mut answer)?;
/// assert_eq!(answer, "hello\n");
///
/// running.stop()?;
/// assert!(!path.exists());
/// # Ok(()) }
/// ```
pub type ThreadingUnixStreamServer = Server<UnixListener, Threading>;

impl<D: Dispatch + Default> Server<UnixListener, D> {
    /// Binds a server to a path, with the default settings: the socket can be used by this user only (mode 0600), and the path is
    /// unlinked when the server closes, if it is still the file that was made here. A path that exists is an error.
    ///
    /// On Linux a path that begins with a NUL is a name in the abstract namespace, as in Python: no file, and no
    /// permissions either.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`](crate::Error::InvalidAddress) for a path that is too long, [`Error::Bind`](crate::Error::Bind),
    /// [`Error::System`](crate::Error::System) where no descriptor is left for the poller.
    pub fn bind<H: Handler + Clone>(path: impl AsRef<Path>, handler: H) -> Result<Self> {
        Self::builder().bind(path, handler)
    }

    /// Makes a server of one of std's listening sockets: [`Builder::from_listener`] with the default settings.
    ///
    /// # Errors
    /// [`Error::System`](crate::Error::System) where it cannot be used.
    pub fn from_listener<H: Handler + Clone>(listener: std::os::unix::net::UnixListener, handler: H) -> Result<Self> {
        Self::builder().from_listener(listener, handler)
    }
}

/// What every server on a Unix socket has, whoever serves.
impl<D> Builder<UnixListener, D> {
    /// How many clients the kernel lets wait. Default 4,096; the kernel cuts it down to its own limit. More fail to connect.
    #[doc(alias = "request_queue_size")]
    pub fn backlog(mut self, clients: u32) -> Self {
        self.options.backlog = clients;
        self
    }

    /// Who may connect: the mode of the socket's file, exactly, whatever the umask. Default 0600, this user only.
    pub fn mode(mut self, mode: u32) -> Self {
        self.options.mode = mode;
        self
    }

    /// Whether a socket that a killed server has left behind is removed first. Default false. Only a socket of this user's
    /// is, and only if nobody listens on it: never a file of another kind, never what a symbolic link leads to, never a
    /// server that lives.
    pub fn remove_stale(mut self, remove: bool) -> Self {
        self.options.remove_stale = remove;
        self
    }
}

impl<D: Dispatch> Builder<UnixListener, D> {
    /// Binds the server.
    ///
    /// # Errors
    /// As [`Server::bind`], and [`Error::InvalidSetting`](crate::Error::InvalidSetting).
    pub fn bind<H: Handler<Connection> + Clone>(
        self,
        path: impl AsRef<Path>,
        handler: H,
    ) -> Result<Server<UnixListener, D>> {
        self.check()?;
        let listener = UnixListener::bind(path.as_ref(), &self.options)?;
        self.build(listener, handler)
    }
}
