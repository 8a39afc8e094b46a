//! [`UnixDatagramListener`], [`UnixDatagramServer`] and [`ThreadingUnixDatagramServer`].

use std::io;
use std::path::Path;

use mio::net::UnixDatagram;
use socket2::{SockRef, Type};

use super::path::{bind_path, BoundPath};
use crate::address::Address;
use crate::connection::RequestContext;
use crate::datagram::{Datagram, DatagramSocket, Receiver};
use crate::error::{Error, Result};
use crate::handler::Handler;
use crate::server::{AcceptError, Builder, Dispatch, Listener, Readiness, Sequential, Server, Threading};
use crate::socket_listener::BindOptions;
use crate::sys::Shareable;

/// A server on a Unix datagram socket that serves one datagram at a time. Python's `UnixDatagramServer`.
///
/// Only a client that has bound its own socket to a path can be answered. What clients have been answered and have not read counts as the
/// server's: the system lets it have 208 KiB (net.core.wmem_default) under way, so those who read nothing can use up what others are to be
/// answered from, until they read or go. Until the mode is set, which is at once on Linux and a moment
/// after `bind` elsewhere, others could send to it: a folder of its own keeps them away.
///
/// ```
/// use socketserver::{handler_fn, Datagram, UnixDatagramServer};
/// use std::os::unix::net::UnixDatagram;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let (path, own) = (folder.path().join("app.sock"), folder.path().join("client.sock"));
/// let echo = |request: &mut Datagram| Ok(request.reply(request.data())?);
/// let running = UnixDatagramServer::bind(&path, handler_fn(echo))?.spawn()?;
///
/// let client = UnixDatagram::bind(&own)?; // a name that can be answered
/// client.send_to(b"hello", &path)?;
/// let mut answer = [0; 16];
/// let count = client.recv(&mut answer)?;
/// assert_eq!(&answer[..count], b"hello");
/// running.stop()?;
/// # Ok(()) }
/// ```
pub type UnixDatagramServer = Server<UnixDatagramListener, Sequential>;

/// A server on a Unix datagram socket that serves each datagram on a thread. Python's `ThreadingUnixDatagramServer`.
///
/// While all threads are busy, datagrams stay in the socket, and when that is full, on Linux, whoever sends to it waits. So nothing is lost
/// unless a [`queue`](Builder::queue) is set, or an [`overload`](Builder::overload) that rejects.
pub type ThreadingUnixDatagramServer = Server<UnixDatagramListener, Threading>;

/// A Unix datagram socket that receives, as a server's [`Listener`]. Made by the `bind` of a server or its
/// builder, or of one of std's by `try_from`.
#[derive(Debug)]
pub struct UnixDatagramListener {
    /// Ours to unlink, before the socket is closed: see [`UnixListener`](super::UnixListener).
    #[allow(dead_code)] // held for its drop
    path: Option<BoundPath>,
    receiver: Receiver,
    local_addr: Address,
}

impl UnixDatagramListener {
    fn bind(path: &Path, options: &BindOptions) -> Result<Self> {
        bind_path(path, Type::DGRAM, options, |socket, path| {
            if let Some(bytes) = options.recv_buffer_size {
                socket.set_recv_buffer_size(bytes)?;
            }
            if let Some(bytes) = options.send_buffer_size {
                socket.set_send_buffer_size(bytes)?;
            }
            socket.set_nonblocking(true)?;
            UnixDatagramListener::new(socket.into(), path)
        })
    }

    fn new(socket: std::os::unix::net::UnixDatagram, path: Option<BoundPath>) -> io::Result<Self> {
        let local_addr = Address::from_system(&SockRef::from(&socket).local_addr()?);
        let socket = DatagramSocket::Unix(Shareable::new(UnixDatagram::from_std(socket)));
        Ok(UnixDatagramListener { receiver: Receiver::new(socket), local_addr, path })
    }
}

/// One of std's, from wherever it came. It is set to non-blocking; its path is not unlinked at the close.
impl TryFrom<std::os::unix::net::UnixDatagram> for UnixDatagramListener {
    type Error = Error;

    fn try_from(socket: std::os::unix::net::UnixDatagram) -> Result<Self> {
        socket
            .set_nonblocking(true)
            .and_then(|()| UnixDatagramListener::new(socket, None))
            .map_err(|source| Error::System { operation: "use the given Unix datagram socket".into(), source })
    }
}

impl Listener for UnixDatagramListener {
    /// What it accepts: a [`Datagram`].
    type Request = Datagram;
    type Addr = Address;

    fn local_addr(&self) -> Address {
        self.local_addr.clone()
    }

    fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
        self.receiver.socket.register(readiness.registry(), readiness.token())
    }

    fn accept(&mut self, context: &RequestContext) -> Result<Datagram, AcceptError> {
        self.receiver.receive(context)
    }
}

impl<D: Dispatch + Default> Server<UnixDatagramListener, D> {
    /// Binds a server to a path, with the default settings: mode 0600, and the path is unlinked when the server closes, if it is still
    /// the file that was made here. A path that exists is an error.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] for a path that is too long, [`Error::Bind`], [`Error::System`].
    pub fn bind<H: Handler<Datagram> + Clone>(path: impl AsRef<Path>, handler: H) -> Result<Self> {
        Self::builder().bind(path, handler)
    }

    /// Makes a server of one of std's sockets: [`Builder::from_listener`] with the default settings.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be used.
    pub fn from_socket<H: Handler<Datagram> + Clone>(
        socket: std::os::unix::net::UnixDatagram,
        handler: H,
    ) -> Result<Self> {
        Self::builder().from_listener(socket, handler)
    }
}

impl<D> Builder<UnixDatagramListener, D> {
    /// Who may send: the mode of the socket's file, exactly, whatever the umask. Default 0600, this user only.
    pub fn mode(mut self, mode: u32) -> Self {
        self.options.mode = mode;
        self
    }

    /// Whether a socket that a killed server has left behind is removed first. Default false. As for
    /// [`UnixStreamServer`](crate::UnixStreamServer).
    pub fn remove_stale(mut self, remove: bool) -> Self {
        self.options.remove_stale = remove;
        self
    }
}

impl<D: Dispatch> Builder<UnixDatagramListener, D> {
    /// Binds the server.
    ///
    /// # Errors
    /// As [`Server::bind`], and [`Error::InvalidSetting`].
    pub fn bind<H: Handler<Datagram> + Clone>(
        self,
        path: impl AsRef<Path>,
        handler: H,
    ) -> Result<Server<UnixDatagramListener, D>> {
        self.check()?;
        let listener = UnixDatagramListener::bind(path.as_ref(), &self.options)?;
        self.build(listener, handler)
    }
}
