//! [`Connection`] and what belongs to it.

mod awaiting;
mod close;
mod context;
mod deadline;
mod input;
mod keepalive;
mod options;
mod pause;
mod shared;
mod signal;
mod turn;
mod writer;
mod writing;

use std::fmt;
use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::address::Address;
use crate::control::{Cut, ServerHandle};
use crate::error::{Error, Result};
use crate::framing::FrameDecoder;
use crate::socket_stream::{SocketStream, StdSocket};
use crate::stream::Stream;

pub use context::RequestContext;
pub(crate) use context::{
    DatagramSettings, StreamSettings, DEFAULT_WRITE_TIMEOUT, MOST_PACKET_SIZE, MOST_PACKET_SIZE_UNIX,
};
pub(crate) use deadline::Deadline;
use input::Input;
pub use keepalive::Keepalive;
use shared::Shared;
pub use writer::ConnectionWriter;

/// A stream connection: the request of a stream server, or what [`tcp::connect`](crate::tcp::connect) returns.
///
/// What `self.request`, `self.rfile` and `self.wfile` are in Python's `StreamRequestHandler`, in one:
/// [`Read`](std::io::Read) and [`BufRead`](std::io::BufRead)
/// (buffered, with 8 KiB), and [`Write`] (not buffered: what is written is sent, and `writeln!` goes out in one piece). One
/// concrete type whatever lies under it, so a handler serves TCP, Unix sockets and whatever a listener of your own accepts.
///
/// Where the handler runs on a coroutine, only that is suspended by what waits here; the connection, its writers, and one that
/// [`tcp::connect`](crate::tcp::connect) has made can be used on threads too.
///
/// # Limits
/// * *Read timeout* (60 s) and *write timeout* (30 s): no progress for so long ends a call with [`io::ErrorKind::TimedOut`]. A slow
///   but honest transfer is not cut.
/// * *Deadline* (none): the end of all reading and writing together, so `read_exact`, `read_line` and `write_all` are bounded as a
///   whole, even if bytes keep coming. A server sets it with `request_deadline`, a handler with
///   [`set_deadline`](Connection::set_deadline).
/// * *Line* (64 KiB, terminator not counted), for `read_line` and `read_until`; *frame* (1 MiB), for
///   [`read_frame`](Connection::read_frame). What is longer is an error of its own ([`Error::Framing`]), and reading has ended.
///
/// They hold for the methods of `Connection` itself. Adapters of std such as `lines()`, `take()` or a `BufReader` around it
/// call only some of them: the timeouts and the deadline hold there too, the limit on a line does not always.
///
/// # Errors
/// Where this crate made the error, [`Error::of`] gives it: a [timeout](Error::Timeout) with its phase, a [cut](Error::Cut) by
/// the server's stop (never a clean end of file), a [write](Error::Poisoned) after one that stopped half-way.
///
/// ```
/// use std::io::{BufRead, Write};
/// use socketserver::{Connection, HandlerResult};
///
/// fn handle(request: &mut Connection) -> HandlerResult {
///     let mut name = String::new();
///     request.read_line(&mut name)?;
///     writeln!(request, "hello, {}", name.trim_end())?;
///     Ok(())
/// }
/// ```
pub struct Connection {
    id: u64,
    shared: Arc<Shared>,
    input: Input,
    context: RequestContext,
    peer: Address,
    read_timeout: Option<Duration>,
    deadline: Option<Deadline>,
    max_line: usize,
    max_frame: usize,
    /// A frame that a timeout interrupted.
    frames: Option<FrameDecoder>,
    /// To be closed with a reset.
    aborted: bool,
}

/// A number that no other connection of this process has or will have.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Connection {
    /// Makes a connection of a stream that belongs to no server: a client's, or one end of a pair in a test. Std's sockets can be
    /// converted with `from`.
    ///
    /// ```
    /// # #[cfg(unix)] fn main() -> std::io::Result<()> {
    /// use socketserver::Connection;
    /// use std::io::{BufRead, Write};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let (mut ours, mut theirs) = (Connection::from(ours), Connection::from(theirs));
    /// writeln!(theirs, "hello")?;
    /// let mut line = String::new();
    /// ours.read_line(&mut line)?;
    /// assert_eq!(line, "hello\n");
    /// # Ok(()) }
    /// # #[cfg(not(unix))] fn main() {}
    /// ```
    pub fn from_stream(stream: Arc<dyn Stream>, peer: Address) -> Self {
        Connection::new(&RequestContext::unserved(peer.clone()), stream, peer)
    }

    fn from_socket(socket: impl StdSocket) -> Self {
        let peer = socket.as_sock_ref().peer_addr().map_or(Address::Unnamed, |peer| Address::from_system(&peer));
        Connection::from_stream(Arc::new(SocketStream::with_unknown_timeouts(socket)), peer)
    }

    /// Makes a connection of a stream that a listener of your own has accepted.
    pub fn new(context: &RequestContext, stream: Arc<dyn Stream>, peer: Address) -> Self {
        Connection::with_deadline(context, stream, peer, Deadline::after(context.settings().request_deadline))
    }

    /// The server's deadline counts from the acceptance, which may have been a while ago.
    pub(crate) fn with_deadline(
        context: &RequestContext,
        stream: Arc<dyn Stream>,
        peer: Address,
        deadline: Option<Deadline>,
    ) -> Self {
        let settings = context.settings();
        let shared = Shared::new(stream, peer.clone(), settings.write_timeout, deadline, settings.write_queue);
        Connection {
            id: next_id(),
            shared: Arc::new(shared),
            input: Input::default(),
            context: context.clone(),
            peer,
            read_timeout: settings.read_timeout,
            deadline,
            max_line: settings.max_line,
            max_frame: settings.max_frame,
            frames: None,
            aborted: false,
        }
    }

    /// A number that no other connection of this process has or will have: what to tell the members of a chat apart by.
    /// Addresses are not unique: the clients of a Unix socket commonly have none.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The peer. Python's `client_address`. Owned, so that `writeln!(request, "{}", request.peer_addr())` compiles.
    pub fn peer_addr(&self) -> Address {
        self.peer.clone()
    }

    pub(crate) fn peer(&self) -> &Address {
        &self.peer
    }

    /// This end. Python's `request.getsockname()`.
    ///
    /// # Errors
    /// Whatever the system says; [`io::ErrorKind::Unsupported`] where the stream has no socket.
    pub fn local_addr(&self) -> io::Result<Address> {
        Ok(Address::from_system(&self.require_socket()?.local_addr()?))
    }

    /// The server this request belongs to. Python's `self.server`.
    ///
    /// A connection made by [`tcp::connect`](crate::tcp::connect) or [`from_stream`](Connection::from_stream) belongs to
    /// none: its handle stops nothing, and has the peer's address for want of a server's.
    pub fn server(&self) -> ServerHandle {
        self.context.server()
    }

    /// A writer for other threads.
    pub fn writer(&self) -> ConnectionWriter {
        ConnectionWriter::new(&self.shared, self.id, self.peer.clone())
    }

    /// How long a read may wait for progress. Default 60 s, or the builder's.
    pub fn read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    /// Sets how long a read may wait for progress; `None` is for ever, as a chat does that waits for people.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for zero.
    pub fn set_read_timeout(&mut self, timeout: impl Into<Option<Duration>>) -> Result<()> {
        self.read_timeout = not_zero("read_timeout", timeout.into())?;
        Ok(())
    }

    /// How long a write may wait for progress. Default 30 s, or the builder's.
    pub fn write_timeout(&self) -> Option<Duration> {
        self.shared.write_timeout()
    }

    /// Sets how long a write may wait for progress, on the writers too; `None` is for ever.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for zero.
    pub fn set_write_timeout(&mut self, timeout: impl Into<Option<Duration>>) -> Result<()> {
        self.shared.set_write_timeout(not_zero("write_timeout", timeout.into())?);
        Ok(())
    }

    /// When all reading and writing ends.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline.map(|deadline| deadline.at)
    }

    /// Has all reading and writing end that long from now, the writers' too; `None` is never. Replaces the server's
    /// `request_deadline` for this request.
    ///
    /// So each command of a session can have a deadline of its own, from its first byte to the end of its answer:
    /// [`await_request`](Connection::await_request) shows how.
    ///
    /// The server's deadline does not hold any more then. Where the session is to end by it all the same, ask [`deadline`](Connection::deadline)
    /// for it before the first command, and give each the time that is left if that is less.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for zero.
    pub fn set_deadline(&mut self, within: impl Into<Option<Duration>>) -> Result<()> {
        self.deadline = Deadline::after(not_zero("deadline", within.into())?);
        self.shared.set_deadline(self.deadline);
        Ok(())
    }

    /// Runs `step` under a deadline, unless the request's own is earlier, and puts that back.
    pub(crate) fn within(
        &mut self,
        deadline: Deadline,
        step: &mut dyn FnMut(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        let own = self.deadline;
        if own.map_or(true, |own| deadline.at < own.at) {
            self.deadline = Some(deadline);
            self.shared.set_deadline(self.deadline);
        }
        let result = step(self);
        self.deadline = own;
        self.shared.set_deadline(own);
        result
    }

    /// Ends one direction or both while the connection lives on: half-close. `Write` sends first what writers have queued; the peer
    /// reads the end of the file, and its answer can still be read. Python's `request.shutdown(how)`.
    ///
    /// # Errors
    /// Whatever the system says, such as that the peer has gone.
    pub fn shutdown(&mut self, how: Shutdown) -> io::Result<()> {
        match how {
            Shutdown::Read => self.shared.stream().shutdown(how),
            Shutdown::Write => self.shared.shutdown_write(),
            Shutdown::Both => {
                self.shared.shutdown_write()?;
                match self.shared.stream().shutdown(Shutdown::Read) {
                    // The peer has ended its direction, so that with ours the connection is over already.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                    result => result,
                }
            }
        }
    }

    /// Puts a stream over the one there is, once: what a listener's [preparation](crate::server::Prepare) does for TLS.
    /// `wrap` gets the stream below.
    ///
    /// # Errors
    /// What `wrap` returns; [`io::ErrorKind::AlreadyExists`] the second time; [`io::ErrorKind::InvalidData`] where bytes have been
    /// received already that the new stream would miss, and that whoever reads would take for its own: a client that sends on
    /// before it has been told to, as in STARTTLS injection.
    pub fn wrap_stream(&mut self, wrap: impl FnOnce(Arc<dyn Stream>) -> io::Result<Arc<dyn Stream>>) -> io::Result<()> {
        if self.has_input() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} has sent bytes ahead of the stream that was to be put over its connection", self.peer),
            ));
        }
        self.shared.set_upper(wrap(Arc::clone(self.shared.stream()))?)
    }

    /// Says who the peer really is: what a listener's [preparation](crate::server::Prepare) does that has read a PROXY header.
    pub fn set_peer_addr(&mut self, peer: Address) {
        self.shared.set_peer(peer.clone());
        self.peer = peer;
    }

    pub(crate) fn cut_target(&self) -> std::sync::Weak<dyn Cut> {
        let shared: std::sync::Weak<Shared> = Arc::downgrade(&self.shared);
        shared
    }
}

impl Write for Connection {
    /// Writes some of `buf`, waiting for room within the write timeout and the deadline.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.shared.write(buf)
    }

    /// Writes all of `buf`. Python's `sendall`. If it fails after a part of `buf` has gone out, later writes fail too
    /// ([`Error::Poisoned`]): the peer could not tell where the next message begins.
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.shared.write_all(buf)
    }

    /// Sends in one piece what std would send in as many as the format string has.
    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> io::Result<()> {
        self.shared.write_all(formatted(arguments)?.as_bytes())
    }

    /// Waits until what writers have queued has been handed to the system. The connection's own writes are never buffered.
    fn flush(&mut self) -> io::Result<()> {
        self.shared.flush()
    }
}

/// A blocking socket; its timeouts are replaced by the connection's.
impl From<std::net::TcpStream> for Connection {
    fn from(stream: std::net::TcpStream) -> Self {
        Connection::from_socket(stream)
    }
}

/// A blocking socket; its timeouts are replaced by the connection's.
#[cfg(unix)]
impl From<std::os::unix::net::UnixStream> for Connection {
    fn from(stream: std::os::unix::net::UnixStream) -> Self {
        Connection::from_socket(stream)
    }
}

/// `arguments` as text; an error rather than std's panic where an argument fails to format itself.
fn formatted(arguments: fmt::Arguments<'_>) -> io::Result<String> {
    let mut text = String::new();
    fmt::write(&mut text, arguments)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a value to be written failed to format itself"))?;
    Ok(text)
}

/// A timeout that can be used.
pub(crate) fn not_zero(setting: &'static str, timeout: Option<Duration>) -> Result<Option<Duration>> {
    if timeout == Some(Duration::ZERO) {
        return Err(Error::InvalidSetting {
            setting,
            value: "zero".into(),
            reason: "nothing could ever be done in time; None is for no limit".into(),
        });
    }
    Ok(timeout)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).field("shared", &self.shared).finish_non_exhaustive()
    }
}
