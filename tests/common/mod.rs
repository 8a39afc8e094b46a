//! What the tests share: the server kinds, a client for each, and guards against hanging.
//!
//! A test over all kinds is a function `fn name<K: Kind>()`, listed in [`every_kind!`]. A further kind of server is one line there
//! and one implementation of [`Kind`].
// Each file of tests uses its own share of this, and Clippy lets tests unwrap and panic, but not the functions they share.
#![allow(dead_code, unused_macros, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[macro_use]
pub mod reactor;

use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::server::{Builder, Dispatch, Listener};
use socketserver::{handler_fn, tcp, Connection, Failure, Handler, Server, ServerHandle};

/// Nothing here takes so long, even on a machine that has other things to do.
pub const LONG: Duration = Duration::from_secs(60);

/// Ends the whole test program if the test that holds it has hung.
pub struct Watchdog(#[allow(dead_code)] Sender<()>);

pub fn watchdog() -> Watchdog {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let (guard, watched) = channel::<()>();
    std::thread::spawn(move || {
        if watched.recv_timeout(LONG * 2) == Err(RecvTimeoutError::Timeout) {
            // Not eprintln, which the test harness would keep to itself.
            let _ = writeln!(io::stderr(), "{name} hangs");
            std::process::abort();
        }
    });
    Watchdog(guard)
}

/// Waits for what another thread brings about.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LONG, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a client got whose server closes with patience, which lasts a second: tried again where this machine took longer.
pub fn within_patience<T>(mut attempt: impl FnMut() -> io::Result<T>) -> T {
    loop {
        let started = Instant::now();
        match attempt() {
            Ok(got) => return got,
            Err(error) => assert!(started.elapsed() > Duration::from_millis(500), "{error}"),
        }
    }
}

/// What was sent, or a panic in place of a hang.
pub fn receive<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(LONG).expect("nothing was sent in time")
}

/// A sender that handlers can share.
pub fn shared<T: Send + 'static>() -> (impl Fn(T) + Clone + Send + Sync + 'static, Receiver<T>) {
    let (sender, receiver) = channel();
    let sender = Arc::new(Mutex::new(sender));
    (move |value| drop(sender.lock().unwrap().send(value)), receiver)
}

/// Something begun at `started` tells of five runs, an interval apart.
pub fn expect_interval(ran: &Receiver<Instant>, started: Instant, interval: Duration) {
    let mut last = receive(ran);
    assert!(last - started >= interval);
    for _ in 1..5 {
        let next = receive(ran);
        // A lower bound: nothing but the machine makes it longer.
        assert!(next - last >= interval / 2, "{:?}", next - last);
        last = next;
    }
}

/// An address with port 0 that no other test uses, so that a port which was closed stays so.
pub fn own_address() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if !cfg!(target_os = "linux") {
        return ([127, 0, 0, 1], 0).into();
    }
    let [.., b, c] = std::process::id().to_be_bytes();
    let d = (COUNT.fetch_add(1, Ordering::Relaxed) % 254 + 1) as u8;
    ([127, b | 0x80, c, d], 0).into()
}

/// Where a server listens, for its clients.
#[derive(Debug, Clone)]
pub enum Place {
    Tcp(SocketAddr),
    #[cfg(unix)]
    Unix(PathBuf, Arc<tempfile::TempDir>),
}

impl Place {
    pub fn try_connect(&self) -> io::Result<Socket> {
        let (domain, address) = match self {
            Place::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
            #[cfg(unix)]
            Place::Unix(path, _) => (Domain::UNIX, SockAddr::unix(path)?),
        };
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.connect(&address)?;
        socket.set_read_timeout(Some(LONG))?;
        socket.set_write_timeout(Some(LONG))?;
        Ok(socket)
    }

    pub fn connect(&self) -> Socket {
        self.try_connect().unwrap_or_else(|error| panic!("cannot connect to {self:?}: {error}"))
    }

    /// A client that has nothing to say, which spares the close its patience, once its handler has said `+`.
    pub fn begin(&self) -> Socket {
        let mut client = self.connect();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_byte(&mut client), Some(b'+'));
        client
    }

    /// Whether nobody listens there any more. Where somebody does, this is a client that comes and goes.
    pub fn is_closed(&self) -> bool {
        match self.try_connect() {
            Ok(_) => false,
            Err(error) => matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound),
        }
    }

    /// Sends `request`, ends this direction, and returns all that is answered.
    pub fn exchange(&self, request: &[u8]) -> Vec<u8> {
        self.try_exchange(request).unwrap()
    }

    pub fn try_exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut client = self.connect();
        client.write_all(request)?;
        client.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

pub fn read_all(client: &mut Socket) -> Vec<u8> {
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    answer
}

/// One byte, or `None` at the end.
pub fn read_byte(client: &mut Socket) -> Option<u8> {
    let mut byte = [0];
    match client.read(&mut byte) {
        Ok(0) => None,
        Ok(_) => byte.first().copied(),
        Err(error) => panic!("cannot read: {error}"),
    }
}

/// A kind of server whose requests are connections.
pub trait Kind: 'static {
    type Listener: Listener<Request = Connection>;
    type Dispatch: Dispatch + Default + Debug;

    fn try_bind<H: Handler + Clone>(
        builder: BuilderOf<Self>,
        handler: H,
    ) -> socketserver::Result<(ServerOf<Self>, Place)>;

    fn bind<H: Handler + Clone>(builder: BuilderOf<Self>, handler: H) -> (ServerOf<Self>, Place) {
        Self::try_bind(builder, handler).unwrap()
    }

    fn builder() -> BuilderOf<Self> {
        ServerOf::<Self>::builder()
    }

    /// Whether requests are served side by side.
    fn is_threading() -> bool {
        !Self::Dispatch::default().runs_inline()
    }

    /// With the defaults.
    fn serve<H: Handler + Clone>(handler: H) -> Served {
        Served::new(Self::bind(Self::builder(), handler))
    }
}

pub type BuilderOf<K> = Builder<<K as Kind>::Listener, <K as Kind>::Dispatch>;
pub type ServerOf<K> = Server<<K as Kind>::Listener, <K as Kind>::Dispatch>;

impl<D: Dispatch + Default + Debug> Kind for Server<tcp::TcpListener, D> {
    type Listener = tcp::TcpListener;
    type Dispatch = D;

    fn try_bind<H: Handler + Clone>(builder: BuilderOf<Self>, handler: H) -> socketserver::Result<(Self, Place)> {
        let server = builder.bind(own_address(), handler)?;
        let place = Place::Tcp(server.local_addr());
        Ok((server, place))
    }
}

#[cfg(unix)]
impl<D: Dispatch + Default + Debug> Kind for Server<socketserver::unix::UnixListener, D> {
    type Listener = socketserver::unix::UnixListener;
    type Dispatch = D;

    fn try_bind<H: Handler + Clone>(builder: BuilderOf<Self>, handler: H) -> socketserver::Result<(Self, Place)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let server = builder.bind(&path, handler)?;
        Ok((server, Place::Unix(path, Arc::new(folder))))
    }
}

/// Makes each generic test a test of every kind of server.
macro_rules! every_kind {
    ($($test:ident)*) => {$(
        mod $test {
            use crate::common::run;

            #[test]
            fn tcp_server() { run(crate::$test::<socketserver::TcpServer>) }

            #[test]
            fn threading_tcp_server() { run(crate::$test::<socketserver::ThreadingTcpServer>) }

            #[test]
            #[cfg(unix)]
            fn unix_stream_server() { run(crate::$test::<socketserver::UnixStreamServer>) }

            #[test]
            #[cfg(unix)]
            fn threading_unix_stream_server() { run(crate::$test::<socketserver::ThreadingUnixStreamServer>) }
        }
    )*};
}

/// Makes each generic test a test of the servers that serve requests side by side.
macro_rules! threading_kinds {
    ($($test:ident)*) => {$(
        mod $test {
            use crate::common::run;

            #[test]
            fn threading_tcp_server() { run(crate::$test::<socketserver::ThreadingTcpServer>) }

            #[test]
            #[cfg(unix)]
            fn threading_unix_stream_server() { run(crate::$test::<socketserver::ThreadingUnixStreamServer>) }
        }
    )*};
}

pub fn run(test: impl FnOnce()) {
    let _watchdog = watchdog();
    test();
}

/// A running server of any kind.
pub struct Served<P = Place> {
    pub place: P,
    pub handle: ServerHandle,
    serving: std::thread::JoinHandle<socketserver::Result<socketserver::ShutdownReport>>,
}

impl Served {
    pub fn connect(&self) -> Socket {
        self.place.connect()
    }

    pub fn exchange(&self, request: &[u8]) -> Vec<u8> {
        self.place.exchange(request)
    }
}

impl<P> Served<P> {
    pub fn new<L: Listener, D: Dispatch>((mut server, place): (Server<L, D>, P)) -> Self {
        let handle = server.handle();
        let serving = std::thread::spawn(move || server.serve_forever());
        Served { place, handle, serving }
    }

    /// Waits until no request is under way.
    pub fn idle(&self) {
        eventually("no request is under way", || self.handle.stats().active == 0);
    }

    pub fn stop(self) -> socketserver::ShutdownReport {
        self.handle.shutdown();
        self.join().unwrap()
    }

    pub fn join(self) -> socketserver::Result<socketserver::ShutdownReport> {
        self.serving.join().expect("serve_forever panicked")
    }
}

/// Answers everything with itself, until the end.
pub fn echo() -> impl Handler + Clone {
    handler_fn(|request: &mut Connection| {
        let mut buffer = [0; 4096];
        loop {
            match request.read(&mut buffer)? {
                0 => return Ok(()),
                count => request.write_all(buffer.get(..count).unwrap_or_default())?,
            }
        }
    })
}

/// Says `+`, then waits until the sender that belongs to it has been dropped, or has sent.
pub fn held() -> (impl Handler + Clone, Sender<()>) {
    let (release, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let handler = handler_fn(move |request: &mut Connection| {
        request.write_all(b"+")?;
        let _ = held.lock().unwrap().recv_timeout(LONG);
        Ok(())
    });
    (handler, release)
}

/// What `handle_error` was told, as text.
pub fn failures() -> (impl Fn(&Failure) + Send + Sync + 'static, Receiver<String>) {
    let (sender, told) = channel();
    let sender = Mutex::new(sender);
    (move |failure: &Failure| drop(sender.lock().unwrap().send(failure.to_string())), told)
}

/// A connection, and a std socket at its other end.
pub fn pair() -> (Connection, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = tcp::connect(listener.local_addr().unwrap(), LONG).unwrap();
    let peer = loop {
        let (peer, address) = listener.accept().unwrap();
        // Somebody else's port scan is none of ours.
        if Some(address) == connection.local_addr().unwrap().as_socket_addr() {
            break peer;
        }
    };
    peer.set_read_timeout(Some(LONG)).unwrap();
    peer.set_write_timeout(Some(LONG)).unwrap();
    (connection, peer)
}

/// Sends `bytes` again and again, a moment apart, until the other end has gone or the returned value is dropped.
pub fn trickle(mut peer: std::net::TcpStream, bytes: &'static [u8]) -> Sender<()> {
    let (stop, stopped) = channel::<()>();
    std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
            if peer.write_all(bytes).is_err() {
                return;
            }
        }
    });
    stop
}
