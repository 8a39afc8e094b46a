//! [`Builder`].

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::dispatch::{Dispatch, RunsHandlers};
use super::failure::Failure;
use super::hooks::{Hooks, ServerHook};
use super::listener::Listener;
use super::overload::Overload;
use super::threading::Threading;
use crate::address::Address;
use crate::connection::{Connection, StreamSettings};
use crate::control::ServerHandle;
use crate::datagram::Datagram;
use crate::socket_listener::BindOptions;

/// How long a stop waits for the requests under way before it cuts them.
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a listener's preparation may take: a handshake over a slow line, not a client that says nothing.
const DEFAULT_PREPARE_TIMEOUT: Duration = Duration::from_secs(10);

/// A server to be: settings, hooks, then `bind`.
///
/// Got from `builder()` of a server type. Settings that make no sense (a zero timeout, a ceiling of none) are reported by `bind`,
/// before anything is bound. All settings have finite defaults; "none" has to be said.
///
/// ```
/// use socketserver::{handler_fn, Connection, Overload, ThreadingTcpServer};
/// use std::time::Duration;
///
/// # fn main() -> socketserver::Result<()> {
/// let server = ThreadingTcpServer::builder()
///     .max_connections(512)
///     .overload(Overload::Reject(b"busy\r\n"))
///     .read_timeout(Duration::from_secs(30))
///     .request_deadline(Duration::from_secs(300))
///     .verify_request(|peer| peer.as_socket_addr().is_some_and(|address| address.ip().is_loopback()))
///     .handle_error(|failure| eprintln!("{failure}"))
///     .bind("127.0.0.1:0", handler_fn(|_: &mut Connection| Ok(())))?;
/// # Ok(()) }
/// ```
#[must_use = "it does nothing until `bind` or `from_listener`"]
pub struct Builder<L: Listener, D> {
    pub(crate) options: BindOptions,
    pub(crate) stream: StreamSettings,
    pub(crate) dispatch: D,
    pub(super) hooks: Hooks,
    pub(super) handle_timeout: Option<ServerHook>,
    pub(super) service_actions: Option<(Duration, ServerHook)>,
    pub(crate) max_connections: Option<usize>,
    pub(crate) max_per_address: Option<usize>,
    pub(crate) overload: Overload,
    pub(super) queue: Option<usize>,
    pub(super) timeout: Option<Duration>,
    pub(crate) prepare_timeout: Duration,
    pub(super) drain_timeout: Option<Duration>,
    pub(super) block_on_close: bool,
    listener: PhantomData<fn() -> L>,
}

impl<L: Listener, D> Builder<L, D> {
    pub(crate) fn new(dispatch: D) -> Self {
        Builder {
            options: BindOptions::default(),
            stream: StreamSettings::default(),
            dispatch,
            hooks: Hooks::default(),
            handle_timeout: None,
            service_actions: None,
            max_connections: None,
            max_per_address: None,
            overload: Overload::default(),
            queue: None,
            timeout: None,
            prepare_timeout: DEFAULT_PREPARE_TIMEOUT,
            drain_timeout: Some(DEFAULT_DRAIN_TIMEOUT),
            block_on_close: true,
            listener: PhantomData,
        }
    }
}

/// What every server has.
impl<L: Listener, D> Builder<L, D> {
    /// How many requests there may be at once, exactly. What happens to more is [`overload`](Builder::overload)'s to say.
    ///
    /// A place is held until the connection is closed: one whose client has had its answer and does not close, for up to a second more.
    ///
    /// Default: 1,024 with threads, 10,000 on event loops and with coroutines, or the descriptor limit less 64 if that is smaller; one on a
    /// sequential server. At most 8,000 with threads: a process with 16,000 of them aborts.
    ///
    /// Each takes a descriptor, and a number set here is taken as it is: the descriptor limit (`ulimit -n`, systemd's `LimitNOFILE`) must allow
    /// for it, for 64 more and for what the handlers open. Who cannot be accepted for want of a descriptor cannot be told so either:
    /// such clients wait in the kernel's queue, under [`Overload::Reject`] too.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// How many requests one address may have at once: an IPv4 address, or the first 64 bits of an IPv6 one. Default: no limit.
    ///
    /// More are turned away, with the farewell of [`Overload::Reject`] if that is set. Unix sockets have no addresses to limit.
    pub fn max_per_address(mut self, connections: usize) -> Self {
        self.max_per_address = Some(connections);
        self
    }

    /// What happens to a client that comes when all places are taken. Default: [`Overload::Wait`].
    ///
    /// A server that serves one at a time takes [`Overload::Reject`] too, so that the same settings do for all, but it has no effect there: nobody
    /// is free to turn clients away while one is served, so they wait.
    pub fn overload(mut self, overload: Overload) -> Self {
        self.overload = overload;
        self
    }

    /// How long a stop waits for the requests under way before it shuts their sockets down under them. Default 10 s; zero
    /// cuts at once; `None` waits for ever, as Python does. A request whose handler has returned may still be at its close,
    /// which takes up to a second while the client keeps its side open; a shorter timeout cuts that too. On event loops idle
    /// connections do not wait for it: see [`Protocol::shutting_down`](crate::Protocol::shutting_down). Datagrams have no sockets of their
    /// own: there [`reply`](Datagram::reply) fails from then on.
    pub fn drain_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.drain_timeout = timeout.into();
        self
    }

    /// Decides by the peer's address whether to serve a request; if not, it is closed. Runs where the handler or the protocol
    /// would, after the listener's preparation. A panic counts as a no. Python's `verify_request`.
    pub fn verify_request(mut self, hook: impl Fn(&Address) -> bool + Send + Sync + 'static) -> Self {
        self.hooks.verify_request = Some(Box::new(hook));
        self
    }

    /// Is told of every request and hook that failed, once each, rather than the log. Runs where the failure happened, so
    /// it may run in several threads at once. Python's `handle_error`.
    ///
    /// The default logs at most one line a second: peers that went away at debug level, everything else as warnings.
    ///
    /// Of an accept that failed, as for want of descriptors, it is not told, because there is no request yet: that is counted in
    /// [`Stats::accept_errors`](crate::Stats::accept_errors), and logged. A request for which no thread could be started is told, with
    /// [`Stage::Dispatch`](super::Stage::Dispatch).
    pub fn handle_error(mut self, hook: impl Fn(&Failure) + Send + Sync + 'static) -> Self {
        self.hooks.handle_error = Some(Box::new(hook));
        self
    }

    /// Runs on the serving thread, with the server's handle, at this interval while `serve_forever` serves, between two
    /// requests: on a sequential server a long request delays it, on an event loop it holds up the loop's connections. Python's `service_actions`, which runs every half second.
    ///
    /// ```
    /// # use socketserver::{handler_fn, Connection, ThreadingTcpServer};
    /// # use std::time::Duration;
    /// # fn main() -> socketserver::Result<()> {
    /// let server = ThreadingTcpServer::builder()
    ///     .service_actions(Duration::from_secs(60), |server| println!("{:?}", server.stats()))
    ///     .bind("127.0.0.1:0", handler_fn(|_: &mut Connection| Ok(())))?;
    /// # Ok(()) }
    /// ```
    pub fn service_actions(mut self, interval: Duration, hook: impl FnMut(&ServerHandle) + Send + 'static) -> Self {
        self.service_actions = Some((interval, Box::new(hook)));
        self
    }
}

/// What the servers have whose handlers block.
impl<L: Listener, D: Dispatch> Builder<L, D> {
    /// Uses this dispatch strategy rather than the server type's: `TcpServer::builder().dispatch(pool)` is a TCP server
    /// whose requests `pool` serves.
    pub fn dispatch<E: Dispatch>(self, dispatch: E) -> Builder<L, E> {
        Builder {
            dispatch,
            options: self.options,
            stream: self.stream,
            hooks: self.hooks,
            handle_timeout: self.handle_timeout,
            service_actions: self.service_actions,
            max_connections: self.max_connections,
            max_per_address: self.max_per_address,
            overload: self.overload,
            queue: self.queue,
            timeout: self.timeout,
            prepare_timeout: self.prepare_timeout,
            drain_timeout: self.drain_timeout,
            block_on_close: self.block_on_close,
            listener: PhantomData,
        }
    }

    /// How long `handle_request` waits for a request; `None`, the default, is for ever. Zero looks once. Python's `timeout`.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// How long a listener's [preparation](super::Prepare) of a request may take, such as a TLS handshake. Default 10 s.
    pub fn prepare_timeout(mut self, timeout: Duration) -> Self {
        self.prepare_timeout = timeout;
        self
    }

    /// Whether `serve_forever` waits for the requests under way when it is stopped. Default true; if false they are neither
    /// waited for nor cut. Python's `block_on_close`. (Its `daemon_threads` has no counterpart: no thread of Rust's keeps a
    /// process alive.)
    pub fn block_on_close(mut self, block: bool) -> Self {
        self.block_on_close = block;
        self
    }

    /// Runs on the serving thread, with the server's handle, when `handle_request` has waited in vain. Python's `handle_timeout`.
    pub fn handle_timeout(mut self, hook: impl FnMut(&ServerHandle) + Send + 'static) -> Self {
        self.handle_timeout = Some(Box::new(hook));
        self
    }
}

/// What connections begin with; a handler can change it for its own.
impl<L: Listener<Request = Connection>, D> Builder<L, D> {
    /// How long a read may wait for progress. On an event loop, how long nothing may come or go before
    /// [`timed_out`](crate::Protocol::timed_out) is called. Default 60 s; `None` is for ever, as in a chat that waits for people (think of
    /// `keepalive` then). Python's `timeout` on a handler, which is none by default.
    pub fn read_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.stream.read_timeout = timeout.into();
        self
    }

    /// How long a write may wait for progress. Default 30 s; `None` is for ever.
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.stream.write_timeout = timeout.into();
        self
    }

    /// How long all reading and writing of a request may take together, from its acceptance, even if bytes keep coming. Default:
    /// none. It ends waiting, not computing. On an event loop it is how long a connection may last.
    ///
    /// A request is the whole connection. Where clients keep theirs for one command after another, this is for all the commands together and
    /// the pauses between them; for each command by itself a handler has [`Connection::set_deadline`], which replaces this one, in the pattern
    /// of [`Connection::await_request`].
    ///
    /// On a coroutine too it is about reading and writing the request alone: `coroutine::sleep` does not end by it, nor does what the handler
    /// asks of others, such as a request of a [`UdpClient`](crate::UdpClient), which has a timeout of its own.
    pub fn request_deadline(mut self, within: impl Into<Option<Duration>>) -> Self {
        self.stream.request_deadline = within.into();
        self
    }
}

/// What connections of handlers begin with.
impl<L: Listener<Request = Connection>, D: RunsHandlers> Builder<L, D> {
    /// The longest line, in bytes, without its terminator. Default 64 KiB.
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.stream.max_line = bytes;
        self
    }

    /// The longest length-prefixed message, in bytes, without its prefix. Default 1 MiB.
    pub fn max_frame(mut self, bytes: usize) -> Self {
        self.stream.max_frame = bytes;
        self
    }

    /// How many bytes [`ConnectionWriter::try_write`](crate::ConnectionWriter::try_write) may have waiting for one peer.
    /// Default 256 KiB; in the worst case the memory is this times `max_connections`.
    pub fn write_queue(mut self, bytes: usize) -> Self {
        self.stream.write_queue = bytes;
        self
    }
}

/// What datagram servers have of their own.
impl<L: Listener<Request = Datagram>, D> Builder<L, D> {
    /// The longest datagram that is served, in bytes. Longer ones are dropped and counted in [`Stats::dropped`](crate::Stats::dropped), never
    /// cut, unless [`deliver_truncated`](Builder::deliver_truncated) asks for it. Default 65,535, which over UDP is
    /// all; Unix datagrams may be longer, and up to 16 MiB can be allowed here, if the senders' and this system's buffers
    /// ([`recv_buffer_size`](Builder::recv_buffer_size)) have room for such. The memory of a server is this, as far as a datagram fills it,
    /// and as much again for each datagram under way. Python's `max_packet_size`, which is 8,192 and cuts.
    pub fn max_packet_size(mut self, bytes: usize) -> Self {
        self.stream.datagrams.max_packet_size = bytes;
        self
    }

    /// Whether datagrams longer than `max_packet_size` are served all the same, cut, with [`Datagram::is_truncated`] saying so.
    /// Default false.
    pub fn deliver_truncated(mut self, deliver: bool) -> Self {
        self.stream.datagrams.deliver_truncated = deliver;
        self
    }

    /// How many bytes may be answered to each byte of a request, all its answers together; more is an error of
    /// [`reply`](Datagram::reply), or on an event loop of [`send_to`](crate::reactor::DatagramTransport::send_to). Default: no limit. A server that strangers can reach, and whose answers are longer than the
    /// requests, can be made to flood a third party with them, whose address a request bears; QUIC allows three (RFC 9000, 8.1).
    ///
    /// With [`Identified`](crate::udp::Identified) the id counts on both sides: with that of the request, and with that of each answer.
    pub fn answer_limit(mut self, times: impl Into<Option<usize>>) -> Self {
        self.stream.datagrams.answer_limit = times.into();
        self
    }

    /// How long a [`reply`](Datagram::reply) waits for room: in the system's buffer, or on a Unix socket in the receiver's queue. Zero tries once.
    ///
    /// Default: 100 ms on Unix sockets, where one who does not read his answers would otherwise hold up a server that serves one at a time.
    /// Over UDP 1 ms: what does not have room by then has none for seconds, because what was sent to a host that does not answer for its
    /// address fills the buffer, and a longer wait would hold up everybody else. A larger
    /// [`send_buffer_size`](Builder::send_buffer_size) has room for more of that.
    pub fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.stream.datagrams.reply_timeout = Some(timeout);
        self
    }

    /// The system's receive buffer (SO_RCVBUF), in bytes: what of a burst is kept while nobody receives. Default: the system's, on Linux
    /// 208 KiB, of which a small datagram takes 768 bytes; above `net.core.rmem_max` the system cuts the size in
    /// silence.
    ///
    /// What it cannot hold is lost, and nothing here counts it. On Linux `/proc/net/udp` does (`/proc/net/udp6` for IPv6): the
    /// last column, `drops`, of the socket's line.
    pub fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.options.recv_buffer_size = Some(bytes);
        self
    }

    /// The system's send buffer (SO_SNDBUF), in bytes: how much may be on its way, which on a Unix socket is what has not been read. Default:
    /// the system's, on Linux 208 KiB; the most is `net.core.wmem_max`.
    pub fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.options.send_buffer_size = Some(bytes);
        self
    }
}

impl<L: Listener<Request = Datagram>> Builder<L, Threading> {
    /// How many datagrams may wait for a thread when all of `max_connections` are busy. Default 1,024 over UDP; zero, the default on a Unix
    /// socket, leaves them in the system's buffer. In the worst case the memory is this times `max_packet_size`. At a stop, who waits here is
    /// given the places that are free, and the rest are dropped and counted. More are dropped and counted in
    /// [`Stats::dropped`](crate::Stats::dropped), or with [`Overload::Reject`] answered with its words and counted as rejected.
    /// [`handle_request`](super::Server::handle_request) has no use for a queue and leaves them in the system's buffer.
    ///
    /// Over UDP what the system's buffer cannot hold is lost, so a longer queue loses less. A Unix socket whose buffer is full makes whoever
    /// sends to it wait (on Linux; elsewhere the sending fails), so there a queue turns waiting into loss: with one, a sender is never held
    /// up, and never told.
    pub fn queue(mut self, datagrams: usize) -> Self {
        self.queue = Some(datagrams);
        self
    }
}

impl<L: Listener> Builder<L, Threading> {
    /// How long a thread without work is kept for the next request. Default 10 s; zero starts one for every request.
    pub fn idle_thread_timeout(mut self, timeout: Duration) -> Self {
        self.dispatch.set_idle_timeout(timeout);
        self
    }

    /// The stack of each thread, in bytes. Default: std's, 2 MiB unless `RUST_MIN_STACK` says otherwise. Only what a
    /// handler touches becomes memory.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.dispatch.set_stack_size(bytes);
        self
    }
}

impl<L: Listener, D: fmt::Debug> fmt::Debug for Builder<L, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("options", &self.options)
            .field("stream", &self.stream)
            .field("dispatch", &self.dispatch)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}
