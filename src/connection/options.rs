//! Socket options of a [`Connection`].

use std::io;
use std::time::Duration;

use socket2::SockRef;

use super::{Connection, Keepalive};

/// The options most programs set. For the rest there is [`socket`](Connection::socket). All of them fail with
/// [`io::ErrorKind::Unsupported`] where the stream has no socket, and with whatever the system says.
impl Connection {
    /// The socket at the bottom, with every option that socket2 knows; `None` where the stream has none.
    ///
    /// Reading or writing through it goes past this connection's buffer and its turns.
    ///
    /// ```no_run
    /// # fn f(request: &socketserver::Connection) -> std::io::Result<()> {
    /// if let Some(socket) = request.socket() {
    ///     socket.set_tos_v4(0x10)?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn socket(&self) -> Option<SockRef<'_>> {
        self.shared.stream().socket()
    }

    /// Whether small writes go out at once (TCP_NODELAY). On by default; off in Python, whose switch is
    /// `disable_nagle_algorithm`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.require_socket()?.tcp_nodelay()
    }

    /// Sets whether small writes go out at once, rather than wait to be joined by more (Nagle's algorithm, RFC 896).
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.require_socket()?.set_tcp_nodelay(nodelay)
    }

    /// Switches TCP keep-alive on with these values, or off. Off by default.
    pub fn set_keepalive(&self, keepalive: impl Into<Option<Keepalive>>) -> io::Result<()> {
        let socket = self.require_socket()?;
        match keepalive.into() {
            Some(keepalive) => keepalive.apply(&socket),
            None => socket.set_keepalive(false),
        }
    }

    /// Sets how long the system's close waits for unsent data (SO_LINGER). `None`, the default, sends it in the background; zero
    /// throws it away and resets the connection. The clean [`close`](Connection::close) needs no help of this.
    pub fn set_linger(&self, linger: impl Into<Option<Duration>>) -> io::Result<()> {
        self.require_socket()?.set_linger(linger.into())
    }

    /// Sets the system's receive buffer (SO_RCVBUF), in bytes. Linux doubles the value for its own bookkeeping, and stops
    /// tuning it.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.require_socket()?.set_recv_buffer_size(bytes)
    }

    /// Sets the system's send buffer (SO_SNDBUF), in bytes, with the same remarks.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.require_socket()?.set_send_buffer_size(bytes)
    }

    pub(super) fn require_socket(&self) -> io::Result<SockRef<'_>> {
        self.socket().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                format!("the connection with {} has no socket under it", self.peer),
            )
        })
    }
}
