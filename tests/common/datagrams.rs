//! What the tests of the datagram servers share: the four kinds, and a client for each. The counterpart of [`Kind`](super::common::Kind).
//!
//! A test over all kinds is a function `fn name<K: DatagramKind>()`, listed in [`every_datagram_kind!`].
#![allow(dead_code, unused_macros, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Debug;
use std::io::{self, Read};
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;
#[cfg(unix)]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::server::{Builder, Dispatch, Listener};
use socketserver::udp::UdpListener;
use socketserver::{handler_fn, Address, Datagram, Handler, Server};

use crate::common::{eventually, own_address, Served, LONG};

/// Where a datagram server is bound, for its clients.
#[derive(Debug, Clone)]
pub enum Spot {
    Udp(SocketAddr),
    #[cfg(unix)]
    Unix(PathBuf, Arc<tempfile::TempDir>),
}

impl Spot {
    /// A client of its own, with a name that can be answered.
    pub fn client(&self) -> Client {
        let socket = match self {
            Spot::Udp(server) => {
                let socket = Socket::new(Domain::for_address(*server), Type::DGRAM, None).unwrap();
                socket.bind(&SocketAddr::new(server.ip(), 0).into()).unwrap();
                socket
            }
            #[cfg(unix)]
            Spot::Unix(_, folder) => {
                static CLIENTS: AtomicUsize = AtomicUsize::new(0);
                let socket = Socket::new(Domain::UNIX, Type::DGRAM, None).unwrap();
                let own = folder.path().join(format!("client-{}", CLIENTS.fetch_add(1, Ordering::Relaxed)));
                socket.bind(&SockAddr::unix(own).unwrap()).unwrap();
                socket
            }
        };
        self.connect(socket)
    }

    /// Has a socket send to this server, and take datagrams of its alone.
    pub fn connect(&self, socket: Socket) -> Client {
        let server = match self {
            Spot::Udp(server) => (*server).into(),
            #[cfg(unix)]
            Spot::Unix(path, _) => SockAddr::unix(path).unwrap(),
        };
        socket.connect(&server).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket.set_write_timeout(Some(LONG)).unwrap();
        Client(socket)
    }

    /// One datagram of a client of its own, and its answer.
    pub fn ask(&self, request: &[u8]) -> Vec<u8> {
        self.client().ask(request)
    }

    /// Whether the address can be bound by somebody else. On a Unix socket, that the path is gone.
    pub fn is_free(&self) -> bool {
        match self {
            Spot::Udp(address) => match std::net::UdpSocket::bind(address) {
                Ok(_) => true,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => false,
                Err(error) => panic!("{error}"),
            },
            #[cfg(unix)]
            Spot::Unix(path, _) => !path.exists(),
        }
    }

    pub fn address(&self) -> Address {
        match self {
            Spot::Udp(address) => Address::Inet(*address),
            #[cfg(unix)]
            Spot::Unix(path, _) => Address::Unix(path.clone()),
        }
    }
}

/// A socket that is connected to a server.
#[derive(Debug)]
pub struct Client(pub Socket);

impl Client {
    pub fn send(&self, request: &[u8]) {
        assert_eq!(self.0.send(request).unwrap(), request.len());
    }

    pub fn receive(&self) -> Vec<u8> {
        let mut answer = vec![0; 65_536];
        let length = (&self.0).read(&mut answer).unwrap_or_else(|error| panic!("no answer: {error}"));
        answer.truncate(length);
        answer
    }

    pub fn ask(&self, request: &[u8]) -> Vec<u8> {
        self.send(request);
        self.receive()
    }

    /// That nothing has come. Within one machine a datagram is there as soon as it has been sent.
    #[track_caller]
    pub fn hears_nothing(&self) {
        self.0.set_nonblocking(true).unwrap();
        let got = (&self.0).read(&mut [0; 100]);
        self.0.set_nonblocking(false).unwrap();
        assert!(matches!(&got, Err(error) if error.kind() == io::ErrorKind::WouldBlock), "{got:?}");
    }

    /// A datagram whose handler says `+` when it runs.
    #[track_caller]
    pub fn begin(&self) {
        assert_eq!(self.ask(b"begin"), b"+");
    }

    pub fn address(&self) -> Address {
        let local = self.0.local_addr().unwrap();
        match local.as_socket() {
            Some(address) => Address::Inet(address),
            #[cfg(unix)]
            None => local.as_pathname().map_or(Address::Unnamed, |path| Address::Unix(path.to_path_buf())),
            #[cfg(not(unix))]
            None => Address::Unnamed,
        }
    }
}

/// A kind of server whose requests are datagrams.
pub trait DatagramKind: 'static {
    type Listener: Listener<Request = Datagram>;
    type Dispatch: Dispatch + Default + Debug;

    fn try_bind<H: Handler<Datagram> + Clone>(
        builder: BuilderOf<Self>,
        handler: H,
    ) -> socketserver::Result<(ServerOf<Self>, Spot)>;

    fn bind<H: Handler<Datagram> + Clone>(builder: BuilderOf<Self>, handler: H) -> (ServerOf<Self>, Spot) {
        Self::try_bind(builder, handler).unwrap()
    }

    fn builder() -> BuilderOf<Self> {
        ServerOf::<Self>::builder()
    }

    /// Whether requests are served side by side.
    fn is_threading() -> bool {
        !Self::Dispatch::default().runs_inline()
    }

    fn is_udp() -> bool {
        std::any::TypeId::of::<Self::Listener>() == std::any::TypeId::of::<UdpListener>()
    }

    /// With the defaults.
    fn serve<H: Handler<Datagram> + Clone>(handler: H) -> Served<Spot> {
        Self::serve_as(Self::builder(), handler)
    }

    fn serve_as<H: Handler<Datagram> + Clone>(builder: BuilderOf<Self>, handler: H) -> Served<Spot> {
        Served::new(Self::bind(builder, handler))
    }
}

pub type BuilderOf<K> = Builder<<K as DatagramKind>::Listener, <K as DatagramKind>::Dispatch>;
pub type ServerOf<K> = Server<<K as DatagramKind>::Listener, <K as DatagramKind>::Dispatch>;

impl<D: Dispatch + Default + Debug> DatagramKind for Server<UdpListener, D> {
    type Listener = UdpListener;
    type Dispatch = D;

    fn try_bind<H: Handler<Datagram> + Clone>(
        builder: BuilderOf<Self>,
        handler: H,
    ) -> socketserver::Result<(Self, Spot)> {
        let server = builder.bind(own_address(), handler)?;
        let spot = Spot::Udp(server.local_addr());
        Ok((server, spot))
    }
}

#[cfg(unix)]
impl<D: Dispatch + Default + Debug> DatagramKind for Server<socketserver::unix::UnixDatagramListener, D> {
    type Listener = socketserver::unix::UnixDatagramListener;
    type Dispatch = D;

    fn try_bind<H: Handler<Datagram> + Clone>(
        builder: BuilderOf<Self>,
        handler: H,
    ) -> socketserver::Result<(Self, Spot)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let server = builder.bind(&path, handler)?;
        Ok((server, Spot::Unix(path, Arc::new(folder))))
    }
}

/// Makes each generic test a test of every kind of datagram server.
macro_rules! every_datagram_kind {
    ($($test:ident)*) => {$(
        mod $test {
            use crate::common::run;

            #[test]
            fn udp_server() { run(crate::$test::<socketserver::UdpServer>) }

            #[test]
            fn threading_udp_server() { run(crate::$test::<socketserver::ThreadingUdpServer>) }

            #[test]
            #[cfg(unix)]
            fn unix_datagram_server() { run(crate::$test::<socketserver::UnixDatagramServer>) }

            #[test]
            #[cfg(unix)]
            fn threading_unix_datagram_server() { run(crate::$test::<socketserver::ThreadingUnixDatagramServer>) }
        }
    )*};
}

/// Makes each generic test a test of the datagram servers that serve requests side by side.
macro_rules! threading_datagram_kinds {
    ($($test:ident)*) => {$(
        mod $test {
            use crate::common::run;

            #[test]
            fn threading_udp_server() { run(crate::$test::<socketserver::ThreadingUdpServer>) }

            #[test]
            #[cfg(unix)]
            fn threading_unix_datagram_server() { run(crate::$test::<socketserver::ThreadingUnixDatagramServer>) }
        }
    )*};
}

/// Answers every datagram with itself.
pub fn echo() -> impl Handler<Datagram> + Clone {
    handler_fn(|request: &mut Datagram| Ok(request.reply(request.data())?))
}

/// Says `+`, then waits until the sender that belongs to it has been dropped, or has sent.
pub fn held() -> (impl Handler<Datagram> + Clone, Sender<()>) {
    let (release, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let handler = handler_fn(move |request: &mut Datagram| {
        request.reply(b"+")?;
        let _ = held.lock().unwrap().recv_timeout(LONG);
        Ok(())
    });
    (handler, release)
}

/// Waits until so many requests have been accepted in all, and none is under way.
#[track_caller]
pub fn accepted<P>(served: &Served<P>, count: u64) {
    eventually("so many requests have been served", || {
        let stats = served.handle.stats();
        stats.accepted >= count && stats.active == 0
    });
    assert_eq!(served.handle.stats().accepted, count);
}
