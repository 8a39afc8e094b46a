//! [`Builder`].

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::acceptor::Acceptor;
use super::dispatch::Dispatch;
use super::failure::Failure;
use super::hooks::{Hooks, ServerHook};
use super::jobs::Jobs;
use super::listener::{Listener, Readiness};
use super::overload::Overload;
use super::reception::Reception;
use super::service::{erase, Service};
use super::threading::Threading;
use super::{Server, ServiceActions, State, LISTENER};
use crate::address::Address;
use crate::connection::{not_zero, Connection, RequestContext, StreamSettings};
use crate::control::{Control, ServerHandle};
use crate::error::{Error, Result};
use crate::handler::Handler;
use crate::poller::Poller;
use crate::socket_listener::BindOptions;
use crate::sync::Mutex;
use crate::sys;

/// How long a stop waits for the requests under way before it cuts them.
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a listener's preparation may take: a handshake over a slow line, not a client that says nothing.
const DEFAULT_PREPARE_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest farewell of [`Overload::Reject`], in bytes: what any socket's empty buffer takes at once.
const MOST_FAREWELL: usize = 4096;

/// Descriptors left to the rest of the program when the ceiling on connections is derived from the descriptor limit.
const SPARE_DESCRIPTORS: usize = 64;

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
    dispatch: D,
    hooks: Hooks,
    handle_timeout: Option<ServerHook>,
    service_actions: Option<(Duration, ServerHook)>,
    max_connections: Option<usize>,
    max_per_address: Option<usize>,
    overload: Overload,
    timeout: Option<Duration>,
    prepare_timeout: Duration,
    drain_timeout: Option<Duration>,
    block_on_close: bool,
    listener: PhantomData<fn() -> L>,
}

impl<L: Listener, D: Dispatch + Default> Builder<L, D> {
    pub(crate) fn new() -> Self {
        Builder {
            options: BindOptions::default(),
            stream: StreamSettings::default(),
            dispatch: D::default(),
            hooks: Hooks::default(),
            handle_timeout: None,
            service_actions: None,
            max_connections: None,
            max_per_address: None,
            overload: Overload::default(),
            timeout: None,
            prepare_timeout: DEFAULT_PREPARE_TIMEOUT,
            drain_timeout: Some(DEFAULT_DRAIN_TIMEOUT),
            block_on_close: true,
            listener: PhantomData,
        }
    }
}

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
            timeout: self.timeout,
            prepare_timeout: self.prepare_timeout,
            drain_timeout: self.drain_timeout,
            block_on_close: self.block_on_close,
            listener: PhantomData,
        }
    }

    /// How many requests there may be at once, exactly. What happens to more is [`overload`](Builder::overload)'s to say.
    ///
    /// Default: 1,024 with threads, or the descriptor limit less 64 if that is smaller; one on a sequential server. At most 8,000
    /// with threads: a process with 16,000 of them aborts.
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
    pub fn overload(mut self, overload: Overload) -> Self {
        self.overload = overload;
        self
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

    /// How long a stop waits for the requests under way before it shuts their sockets down under them. Default 10 s; zero
    /// cuts at once; `None` waits for ever, as Python does. A request whose handler has returned may still be at its close,
    /// which takes up to a second while the client keeps its side open; a shorter timeout cuts that too.
    pub fn drain_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.drain_timeout = timeout.into();
        self
    }

    /// Whether `serve_forever` waits for the requests under way when it is stopped. Default true; if false they are neither
    /// waited for nor cut. Python's `block_on_close`. (Its `daemon_threads` has no counterpart: no thread of Rust's keeps a
    /// process alive.)
    pub fn block_on_close(mut self, block: bool) -> Self {
        self.block_on_close = block;
        self
    }

    /// Decides by the peer's address whether to serve a request; if not, it is closed. Runs where the handler would, after the
    /// listener's preparation. A panic counts as a no. Python's `verify_request`.
    pub fn verify_request(mut self, hook: impl Fn(&Address) -> bool + Send + Sync + 'static) -> Self {
        self.hooks.verify_request = Some(Box::new(hook));
        self
    }

    /// Is told of every request and hook that failed, once each, rather than the log. Runs where the failure happened, so
    /// it may run in several threads at once. Python's `handle_error`.
    ///
    /// The default logs at most one line a second: peers that went away at debug level, everything else as warnings.
    pub fn handle_error(mut self, hook: impl Fn(&Failure) + Send + Sync + 'static) -> Self {
        self.hooks.handle_error = Some(Box::new(hook));
        self
    }

    /// Runs on the serving thread, with the server's handle, when `handle_request` has waited in vain. Python's `handle_timeout`.
    pub fn handle_timeout(mut self, hook: impl FnMut(&ServerHandle) + Send + 'static) -> Self {
        self.handle_timeout = Some(Box::new(hook));
        self
    }

    /// Runs on the serving thread, with the server's handle, at this interval while `serve_forever` serves, between two
    /// requests: on a sequential server a long request delays it. Python's `service_actions`, which runs every half second.
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

    /// A server over a listener that exists: one of std's (systemd's socket activation comes in this way), or one of your own.
    ///
    /// The socket's own settings (`backlog`, `reuse_port`, …) are what they are; those of the connections apply. A Unix
    /// socket's path is not unlinked at the close, because it is not this server's.
    ///
    /// ```
    /// use socketserver::{handler_fn, Connection, ThreadingTcpServer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let server = ThreadingTcpServer::builder().from_listener(listener, handler_fn(|_: &mut Connection| Ok(())))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::System`] where the listener cannot be used.
    #[allow(clippy::wrong_self_convention)] // Python and systemd's documentation speak of the listener it comes from
    pub fn from_listener<T, H>(self, listener: T, handler: H) -> Result<Server<L, D>>
    where
        T: TryInto<L>,
        Error: From<T::Error>,
        H: Handler<L::Request> + Clone,
    {
        self.check()?;
        self.build(listener.try_into()?, handler)
    }

    /// Finds settings that cannot be used.
    pub(crate) fn check(&self) -> Result<()> {
        let none = "no request could ever be served";
        if self.max_connections == Some(0) {
            return Err(invalid("max_connections", 0, none));
        }
        if self.max_per_address == Some(0) {
            return Err(invalid("max_per_address", 0, none));
        }
        if let Some(connections) = self.max_connections.filter(|&count| count > self.dispatch.most_connections()) {
            let reason = match self.dispatch.most_connections() {
                1 => "a sequential server serves one at a time; take a threading one",
                super::threading::MOST_THREADS => {
                    "more than 8,000 threads bring the process near the kernel's limit of memory mappings, where it aborts"
                }
                _ => "the dispatch strategy does not take so many",
            };
            return Err(invalid("max_connections", connections, reason));
        }
        if let Overload::Reject(farewell) = self.overload {
            if farewell.len() > MOST_FAREWELL {
                return Err(invalid(
                    "overload",
                    format_args!("a farewell of {} bytes", farewell.len()),
                    "4 KiB are the most",
                ));
            }
        }
        for (setting, bytes) in [
            ("max_line", self.stream.max_line),
            ("max_frame", self.stream.max_frame),
            ("write_queue", self.stream.write_queue),
        ] {
            if bytes == 0 {
                return Err(invalid(setting, 0, "nothing would ever fit"));
            }
        }
        if let Some(keepalive) = &self.stream.keepalive {
            keepalive.check()?;
        }
        if self.options.mode > 0o777 {
            let reason = "a mode is nine bits, such as 0o660 (was it meant to be octal?)";
            return Err(invalid("mode", format_args!("0o{:o}", self.options.mode), reason));
        }
        self.dispatch.check()?;
        not_zero("read_timeout", self.stream.read_timeout)?;
        not_zero("write_timeout", self.stream.write_timeout)?;
        not_zero("request_deadline", self.stream.request_deadline)?;
        if self.prepare_timeout.is_zero() {
            return Err(invalid("prepare_timeout", "zero", "nothing could ever be prepared in time"));
        }
        if self.service_actions.as_ref().is_some_and(|(interval, _)| interval.is_zero()) {
            return Err(invalid("service_actions interval", "zero", "the server would do nothing else"));
        }
        Ok(())
    }

    /// Composes the server.
    pub(crate) fn build<H>(self, mut listener: L, handler: H) -> Result<Server<L, D>>
    where
        H: Handler<L::Request> + Clone,
    {
        let local_addr = listener.local_addr();
        let system = |operation: &str| {
            let operation = format!("{operation} for the server on {local_addr}");
            move |source| Error::System { operation, source }
        };
        // One event of the listener's, one of the waker's.
        let poller = Poller::new(2).map_err(system("make a poller"))?;
        let waker = Arc::clone(poller.waker());
        listener
            .register(&Readiness { registry: poller.registry(), token: LISTENER, waker: &waker })
            .map_err(system("register the listener"))?;

        let limit = self.max_connections.unwrap_or_else(|| default_limit(&self.dispatch));
        let preparation = listener.preparation();
        let control =
            Arc::new(Control::new(local_addr.clone().into(), limit, waker, self.drain_timeout, self.block_on_close));
        let listener = Arc::new(Mutex::new(Some(listener)));
        let closes = Arc::clone(&listener);
        control.set_listener_closer(move || drop(crate::sync::lock(&closes).take()));

        let reception = Arc::new(Reception::new(Arc::clone(&control), self.hooks, self.max_per_address, self.overload));
        let service = Service {
            reception: Arc::clone(&reception),
            handler: erase(handler),
            preparation,
            prepare_timeout: self.prepare_timeout,
        };
        let context = RequestContext::new(Arc::clone(&control), self.stream);
        Ok(Server {
            acceptor: Acceptor::new(listener, reception, context, self.overload),
            jobs: Jobs { dispatch: self.dispatch, service: Arc::new(service) },
            local_addr,
            control,
            poller,
            handle_timeout: self.handle_timeout,
            service_actions: self.service_actions.map(|(interval, hook)| ServiceActions { hook, interval, due: None }),
            timeout: self.timeout,
            state: State::Open,
        })
    }
}

/// What connections begin with; a handler can change it for its own.
impl<L: Listener<Request = Connection>, D> Builder<L, D> {
    /// How long a read may wait for progress. Default 60 s; `None` is for ever, as in a chat that waits for people (think of
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
    /// none. It ends waiting, not computing.
    pub fn request_deadline(mut self, within: impl Into<Option<Duration>>) -> Self {
        self.stream.request_deadline = within.into();
        self
    }

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

fn default_limit(dispatch: &impl Dispatch) -> usize {
    let most = dispatch.most_connections().min(dispatch.default_connections());
    match sys::descriptor_limit() {
        Some(descriptors) => most.min(descriptors.saturating_sub(SPARE_DESCRIPTORS).max(1)),
        None => most,
    }
}

pub(crate) fn invalid(setting: &'static str, value: impl fmt::Display, reason: &'static str) -> Error {
    Error::InvalidSetting { setting, value: value.to_string(), reason }
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
