//! What the ten kinds of server (eight without the feature `coroutine`) have in common, so that one test asks all of them: how each is made, where its clients find it, what
//! its handlers can do with a request.
//!
//! A test over all of them is a function `fn name<K: Kind>()`, listed in [`every_kind!`]. A further kind of server is one line there
//! and one implementation of [`Kind`]. What only connections or only datagrams have is asked of a
//! [`StreamKind`](super::streams::StreamKind) or a [`DatagramKind`](super::datagrams::DatagramKind).

use std::fmt::Debug;
use std::io::{self, BufRead};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};

use socketserver::server::{Builder, Dispatch, Listener, Request, RunsHandlers};
use socketserver::{handler_fn, Address, Handler, HandlerResult, Running, Server, ServerHandle, ShutdownReport};

use super::{eventually, Served, LONG};

/// A kind of server with handlers.
pub trait Kind: 'static {
    type Request: Talk;
    type Listener: Listener<Request = Self::Request>;
    /// Who runs the handlers.
    type Dispatch: RunsHandlers;
    type Server: Serves;
    type Place: Reach;

    fn builder() -> BuilderOf<Self>;

    /// Whether requests are served side by side.
    fn is_threading() -> bool;

    /// Where nobody else is.
    fn try_bind<H: Handler<Self::Request> + Clone>(
        builder: BuilderOf<Self>,
        handler: H,
    ) -> socketserver::Result<(Self::Server, Self::Place)>;

    fn bind<H: Handler<Self::Request> + Clone>(builder: BuilderOf<Self>, handler: H) -> (Self::Server, Self::Place) {
        Self::try_bind(builder, handler).unwrap()
    }

    /// With the defaults.
    fn serve<H: Handler<Self::Request> + Clone>(handler: H) -> Served<Self::Place> {
        Self::serve_as(Self::builder(), handler)
    }

    fn serve_as<H: Handler<Self::Request> + Clone>(builder: BuilderOf<Self>, handler: H) -> Served<Self::Place> {
        Served::new(Self::bind(builder, handler))
    }
}

pub type BuilderOf<K> = Builder<<K as Kind>::Listener, <K as Kind>::Dispatch>;

/// A kind of server that is composed of a listener and a dispatch strategy, and so can serve one request at a time.
pub trait ComposedKind: Kind<Dispatch = <Self as ComposedKind>::Strategy, Server = ServerOf<Self>> {
    type Strategy: Dispatch + Default + Debug;
}

pub type ServerOf<K> = Server<<K as Kind>::Listener, <K as ComposedKind>::Strategy>;

impl<L: Listener, D: Dispatch + Default + Debug> ComposedKind for Server<L, D>
where
    Self: Kind<Listener = L, Dispatch = D, Server = Self>,
{
    type Strategy = D;
}

/// What is done with every server.
pub trait Serves: Debug + Send + Sized + 'static {
    type Addr: Clone + Send;

    fn handle(&self) -> ServerHandle;

    fn serve_forever(&mut self) -> socketserver::Result<ShutdownReport>;

    fn spawn(self) -> socketserver::Result<Running<Self::Addr>>;
}

impl<L: Listener, D: Dispatch> Serves for Server<L, D> {
    type Addr = L::Addr;

    fn handle(&self) -> ServerHandle {
        Server::handle(self)
    }

    fn serve_forever(&mut self) -> socketserver::Result<ShutdownReport> {
        Server::serve_forever(self)
    }

    fn spawn(self) -> socketserver::Result<Running<L::Addr>> {
        Server::spawn(self)
    }
}

/// A request, as far as it does not matter whether it is a connection or a datagram.
pub trait Talk: Request + BufRead + Sized {
    /// Answers all of it with itself.
    fn echo(&mut self) -> HandlerResult;

    fn say(&mut self, words: &[u8]) -> io::Result<()>;

    fn serving(&self) -> ServerHandle;

    /// The client's end and the server's.
    fn ends(&self) -> io::Result<(Address, Address)>;
}

/// Where a server is, for its clients.
pub trait Reach: Clone + Debug + Send + Sync + 'static {
    type Client: Caller;

    /// Whether a request that outlives its server keeps the place taken, as one does that answers through the server's own socket.
    const IS_HELD_BY_REQUESTS: bool;

    /// A client that has sent its whole request. It may be too early or too late.
    fn try_call(&self, request: &[u8]) -> io::Result<Self::Client>;

    fn call(&self, request: &[u8]) -> Self::Client {
        self.try_call(request).unwrap_or_else(|error| panic!("cannot reach {self:?}: {error}"))
    }

    /// One request of a client of its own, and the answer.
    fn ask(&self, request: &[u8]) -> Vec<u8> {
        self.call(request).answer()
    }

    /// A client whose handler says `+` when it runs.
    fn begin(&self) -> Self::Client {
        let mut client = self.call(b"");
        client.begun();
        client
    }

    /// Whether nobody is bound there any more.
    fn is_closed(&self) -> bool;

    /// The same, unless it may be for the requests that are still under way.
    fn is_closed_or_held(&self) -> bool {
        Self::IS_HELD_BY_REQUESTS || self.is_closed()
    }

    /// That it is closed: now, or as soon as a request that has been answered has ended.
    #[track_caller]
    fn closes(&self) {
        if Self::IS_HELD_BY_REQUESTS {
            eventually("the address is free", || self.is_closed());
        } else {
            assert!(self.is_closed());
        }
    }

    /// As the server says it.
    fn address(&self) -> Address;
}

/// A client that has sent its request.
pub trait Caller: Debug + Send {
    /// That its handler says `+`.
    fn begun(&mut self);

    /// What it is answered: from here to the end of a stream, or a datagram.
    fn answer(&mut self) -> Vec<u8>;

    /// That it is answered nothing (more), where its request has ended; and a stream has been ended cleanly.
    #[track_caller]
    fn hears_nothing(&mut self);

    /// That it is answered nothing, where its server has ended before it was served; a stream may have been reset.
    #[track_caller]
    fn is_not_served(&mut self);

    /// Waits for an answer or an end, if it is told of either.
    fn linger(&mut self);

    /// As the server sees it.
    fn address(&self) -> Address;
}

/// Answers everything with itself.
pub fn echo<R: Talk>() -> impl Handler<R> + Clone {
    handler_fn(R::echo)
}

/// Says `+`, then waits until the sender that belongs to it has been dropped, or has sent.
pub fn held<R: Talk>() -> (impl Handler<R> + Clone, Sender<()>) {
    let (release, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let handler = handler_fn(move |request: &mut R| {
        request.say(b"+")?;
        let held = Arc::clone(&held);
        block(move || held.lock().unwrap().recv_timeout(LONG));
        Ok(())
    });
    (handler, release)
}

/// The same where no stop can help it: it holds the very thread it runs on.
pub fn computing<R: Talk>() -> (impl Handler<R> + Clone, Sender<()>) {
    let (release, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let handler = handler_fn(move |request: &mut R| {
        request.say(b"+")?;
        let _ = held.lock().unwrap().recv_timeout(LONG);
        Ok(())
    });
    (handler, release)
}

/// Runs what blocks, for as long as it takes, without holding up others where handlers share a thread.
pub fn block<T: Send + 'static>(code: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    #[cfg(feature = "coroutine")]
    return socketserver::coroutine::unblock(code).ok();
    #[cfg(not(feature = "coroutine"))]
    Some(code())
}

/// Makes of each generic test one for each of the kinds.
macro_rules! tests_over {
    ($kinds:tt $($test:ident)*) => { $(tests_over!(@ $test $kinds);)* };
    (@ $test:ident {$($(#[$cfg:meta])? $name:ident: $($kind:ident)::+,)*}) => {
        mod $test {
            use crate::common::run;

            $(
                #[test]
                $(#[$cfg])?
                fn $name() { run(crate::$test::<socketserver::$($kind)::+>) }
            )*
        }
    };
}

/// Makes each generic test a test of every kind of server.
macro_rules! every_kind {
    ($($test:ident)*) => {
        tests_over! {
            {
                tcp_server: TcpServer,
                threading_tcp_server: ThreadingTcpServer,
                udp_server: UdpServer,
                threading_udp_server: ThreadingUdpServer,
                #[cfg(unix)] unix_stream_server: UnixStreamServer,
                #[cfg(unix)] threading_unix_stream_server: ThreadingUnixStreamServer,
                #[cfg(unix)] unix_datagram_server: UnixDatagramServer,
                #[cfg(unix)] threading_unix_datagram_server: ThreadingUnixDatagramServer,
                #[cfg(feature = "coroutine")] coroutine_tcp_server: coroutine::CoroutineTcpServer,
                #[cfg(all(unix, feature = "coroutine"))] coroutine_unix_server: coroutine::CoroutineUnixServer,
            }
            $($test)*
        }
    };
}

/// Makes each generic test a test of the kinds of server that can serve one request at a time.
macro_rules! composed_kinds {
    ($($test:ident)*) => {
        tests_over! {
            {
                tcp_server: TcpServer,
                threading_tcp_server: ThreadingTcpServer,
                udp_server: UdpServer,
                threading_udp_server: ThreadingUdpServer,
                #[cfg(unix)] unix_stream_server: UnixStreamServer,
                #[cfg(unix)] threading_unix_stream_server: ThreadingUnixStreamServer,
                #[cfg(unix)] unix_datagram_server: UnixDatagramServer,
                #[cfg(unix)] threading_unix_datagram_server: ThreadingUnixDatagramServer,
            }
            $($test)*
        }
    };
}

/// Makes each generic test a test of the servers that serve each request on a thread.
macro_rules! threading_kinds {
    ($($test:ident)*) => {
        tests_over! {
            {
                threading_tcp_server: ThreadingTcpServer,
                threading_udp_server: ThreadingUdpServer,
                #[cfg(unix)] threading_unix_stream_server: ThreadingUnixStreamServer,
                #[cfg(unix)] threading_unix_datagram_server: ThreadingUnixDatagramServer,
            }
            $($test)*
        }
    };
}
