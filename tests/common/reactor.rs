//! The event-driven kinds of server, and a protocol that tells the test of its callbacks.
//!
//! A test over all of them is a function `fn name<K: ReactorKind>()`, listed in [`every_reactor!`].

use std::fmt::Debug;
use std::io;
use std::io::Read;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::reactor::{EventLoops, ReactorServer, WriteStatus};
use socketserver::server::{Builder, Listener};
use socketserver::{tcp, Address, Connection, Protocol, ReactorTcpServer, Transport};
#[cfg(unix)]
use socketserver::{unix, ReactorUnixServer};

use super::{own_address, receive, Place, Served, LONG};

/// A kind of event-driven server.
pub trait ReactorKind: 'static {
    type Listener: Listener<Request = Connection, Addr = Self::Addr>;
    type Addr: Into<Address> + Clone + Debug + Send + 'static;

    fn builder() -> ReactorBuilder<Self>;

    fn try_bind<P: Protocol + Clone>(
        builder: ReactorBuilder<Self>,
        protocol: P,
    ) -> socketserver::Result<(ReactorServer<Self::Listener>, Place)>;

    fn bind<P: Protocol + Clone>(builder: ReactorBuilder<Self>, protocol: P) -> (ReactorServer<Self::Listener>, Place) {
        Self::try_bind(builder, protocol).unwrap()
    }

    /// With the defaults.
    fn serve<P: Protocol + Clone>(protocol: P) -> Served {
        serving(Self::bind(Self::builder(), protocol))
    }

    /// With a protocol that does in each callback what `script` does, and beside that what the default would.
    fn probe(script: impl Fn(&Told, &mut Transport) + Send + Sync + 'static) -> (Served, Receiver<Told>) {
        let (probe, told) = Probe::new(script);
        (Self::serve(probe), told)
    }
}

pub type ReactorBuilder<K> = Builder<<K as ReactorKind>::Listener, EventLoops>;

#[derive(Debug)]
pub struct ReactorTcp;

/// On three event loops.
#[derive(Debug)]
pub struct ReactorTcpWorkers;

#[cfg(unix)]
#[derive(Debug)]
pub struct ReactorUnix;

fn bind_tcp<P: Protocol + Clone>(
    builder: Builder<tcp::TcpListener, EventLoops>,
    protocol: P,
) -> socketserver::Result<(ReactorTcpServer, Place)> {
    let server = builder.bind(own_address(), protocol)?;
    let place = Place::Tcp(server.local_addr());
    Ok((server, place))
}

impl ReactorKind for ReactorTcp {
    type Listener = tcp::TcpListener;
    type Addr = std::net::SocketAddr;

    fn builder() -> ReactorBuilder<Self> {
        ReactorTcpServer::builder()
    }

    fn try_bind<P: Protocol + Clone>(
        builder: ReactorBuilder<Self>,
        protocol: P,
    ) -> socketserver::Result<(ReactorTcpServer, Place)> {
        bind_tcp(builder, protocol)
    }
}

impl ReactorKind for ReactorTcpWorkers {
    type Listener = tcp::TcpListener;
    type Addr = std::net::SocketAddr;

    fn builder() -> ReactorBuilder<Self> {
        ReactorTcpServer::builder().workers(3)
    }

    fn try_bind<P: Protocol + Clone>(
        builder: ReactorBuilder<Self>,
        protocol: P,
    ) -> socketserver::Result<(ReactorTcpServer, Place)> {
        bind_tcp(builder, protocol)
    }
}

#[cfg(unix)]
impl ReactorKind for ReactorUnix {
    type Listener = unix::UnixListener;
    type Addr = <unix::UnixListener as Listener>::Addr;

    fn builder() -> ReactorBuilder<Self> {
        ReactorUnixServer::builder()
    }

    fn try_bind<P: Protocol + Clone>(
        builder: ReactorBuilder<Self>,
        protocol: P,
    ) -> socketserver::Result<(ReactorUnixServer, Place)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let server = builder.bind(&path, protocol)?;
        Ok((server, Place::Unix(path, Arc::new(folder))))
    }
}

/// Makes each generic test a test of every kind of event-driven server.
macro_rules! every_reactor {
    ($($test:ident)*) => {$(
        mod $test {
            use crate::common::{reactor, run};

            #[test]
            fn tcp() { run(crate::$test::<reactor::ReactorTcp>) }

            #[test]
            fn tcp_on_three_loops() { run(crate::$test::<reactor::ReactorTcpWorkers>) }

            #[test]
            #[cfg(unix)]
            fn unix() { run(crate::$test::<reactor::ReactorUnix>) }
        }
    )*};
}

/// Has a server serve on a thread of its own.
pub fn serving<L: Listener>((mut server, place): (ReactorServer<L>, Place)) -> Served {
    let handle = server.handle();
    let serving = std::thread::spawn(move || server.serve_forever());
    Served { place, handle, serving }
}

/// A callback, and what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Made,
    Data(Vec<u8>),
    Eof,
    PauseWriting,
    ResumeWriting,
    TimedOut,
    ShuttingDown,
    Lost(Option<(io::ErrorKind, String)>),
}

impl Told {
    pub fn is_data(&self) -> bool {
        matches!(self, Told::Data(_))
    }

    pub fn is_lost(&self) -> bool {
        matches!(self, Told::Lost(_))
    }
}

type Script = Arc<dyn Fn(&Told, &mut Transport) + Send + Sync>;

/// Tells the test of every callback, then does what the test wants, then what the default does.
#[derive(Clone)]
pub struct Probe {
    script: Script,
    told: Sender<Told>,
    overriding: fn(&Told) -> bool,
}

impl Probe {
    pub fn new(script: impl Fn(&Told, &mut Transport) + Send + Sync + 'static) -> (Probe, Receiver<Told>) {
        let (sender, told) = channel();
        (Probe { script: Arc::new(script), told: sender, overriding: |_| false }, told)
    }

    /// Does not do what the default does in the callbacks of which `own` says so.
    pub fn overriding(mut self, own: fn(&Told) -> bool) -> Self {
        self.overriding = own;
        self
    }

    /// Whether the default is to follow.
    fn tell(&self, transport: &mut Transport, told: Told) -> bool {
        // A test that has seen enough may have dropped its end.
        let _ = self.told.send(told.clone());
        (self.script)(&told, transport);
        !(self.overriding)(&told) && !transport.is_closing()
    }
}

impl Protocol for Probe {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.tell(transport, Told::Made);
    }

    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        assert!(!data.is_empty(), "some bytes, never none");
        self.tell(transport, Told::Data(data.to_vec()));
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        if self.tell(transport, Told::Eof) {
            Defaults.eof_received(transport);
        }
    }

    fn pause_writing(&mut self, transport: &mut Transport) {
        self.tell(transport, Told::PauseWriting);
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.tell(transport, Told::ResumeWriting);
    }

    fn timed_out(&mut self, transport: &mut Transport) {
        if self.tell(transport, Told::TimedOut) {
            Defaults.timed_out(transport);
        }
    }

    fn shutting_down(&mut self, transport: &mut Transport) {
        if self.tell(transport, Told::ShuttingDown) {
            Defaults.shutting_down(transport);
        }
    }

    fn connection_lost(&mut self, transport: &mut Transport, error: Option<&io::Error>) {
        let error = error.map(|error| (error.kind(), error.to_string()));
        self.tell(transport, Told::Lost(error));
    }
}

/// What the trait does by itself.
struct Defaults;

impl Protocol for Defaults {
    fn data_received(&mut self, _: &mut Transport, _: &[u8]) {}
}

/// The three lines that everybody begins with.
#[derive(Clone)]
pub struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }
}

/// What a connection was told, to its end, with bytes that came together put together.
pub fn until_lost(told: &Receiver<Told>) -> Vec<Told> {
    let mut seen: Vec<Told> = Vec::new();
    loop {
        let next = receive(told);
        match (seen.last_mut(), &next) {
            (Some(Told::Data(before)), Told::Data(data)) => before.extend(data),
            _ => seen.push(next),
        }
        if seen.last().is_some_and(Told::is_lost) {
            return seen;
        }
    }
}

/// How a connection ended, whatever came before.
pub fn lost(told: &Receiver<Told>) -> Option<(io::ErrorKind, String)> {
    match until_lost(told).pop() {
        Some(Told::Lost(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Writes until the system takes no more, in pieces that leave the buffer below its default high mark. Returns how much was written,
/// which is more than waits now. A busy system may take the rest when this callback has returned.
pub fn fill(transport: &mut Transport) -> usize {
    let mut written = 0;
    loop {
        let status = transport.write(&[b'.'; 8192]);
        written += 8192;
        match status {
            WriteStatus::Sent => {}
            WriteStatus::Buffered | WriteStatus::AboveHighMark => return written,
            other => panic!("{other:?}"),
        }
    }
}

/// Writes more than any system takes for a peer that does not read, however late it gets round to moving what it has taken: much waits, and
/// goes on waiting.
pub fn flood(transport: &mut Transport) {
    transport.set_write_buffer_hard_limit(64 << 20).unwrap();
    assert_eq!(transport.write(&vec![b'.'; 16 << 20]), WriteStatus::AboveHighMark);
}

/// A client that takes little before it reads.
pub fn narrow(place: &Place) -> Socket {
    let (domain, address) = match place {
        Place::Tcp(address) => (Domain::for_address(*address), SockAddr::from(*address)),
        #[cfg(unix)]
        Place::Unix(path, _) => (Domain::UNIX, SockAddr::unix(path).unwrap()),
    };
    let client = Socket::new(domain, Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(8192).unwrap();
    client.connect(&address).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.set_write_timeout(Some(LONG)).unwrap();
    client
}

/// A callback that holds its loop up until the sender has sent, or has been dropped.
pub fn held_up(at: fn(&Told) -> bool) -> (Probe, Receiver<Told>, Sender<()>) {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (probe, told) = Probe::new(move |told, transport| {
        if at(told) {
            let _ = wait.lock().unwrap().recv_timeout(LONG);
        }
        if let Told::Data(data) = told {
            transport.write(data);
        }
    });
    (probe, told, release)
}

/// Reads to whatever end it comes to: what had come, and how it ended.
pub fn read_out(client: &mut Socket) -> (Vec<u8>, io::Result<()>) {
    let mut answer = Vec::new();
    let end = client.read_to_end(&mut answer).map(drop);
    (answer, end)
}

/// Bytes of which no two places look alike for long.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}
