//! The kinds of server whose requests are datagrams, and a client of theirs.
//!
//! A test over all of them is a function `fn name<K: DatagramKind>()`, listed in [`every_datagram_kind!`].

use std::any::TypeId;
use std::fmt::Debug;
use std::io::{self, Read};
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::PathBuf;
#[cfg(unix)]
use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(unix)]
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::server::Dispatch;
use socketserver::udp::UdpListener;
use socketserver::{Address, Datagram, Handler, HandlerResult, Server, ServerHandle};

use super::kinds::{BuilderOf, Caller, Kind, Reach, Talk};
use super::{own_address, LONG};

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
        self.try_client().unwrap_or_else(|error| panic!("cannot reach {self:?}: {error}"))
    }

    fn try_client(&self) -> io::Result<Client> {
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
        self.try_connect(socket)
    }

    /// Has a socket send to this server, and take datagrams of its alone.
    pub fn connect(&self, socket: Socket) -> Client {
        self.try_connect(socket).unwrap_or_else(|error| panic!("cannot reach {self:?}: {error}"))
    }

    fn try_connect(&self, socket: Socket) -> io::Result<Client> {
        let server = match self {
            Spot::Udp(server) => (*server).into(),
            #[cfg(unix)]
            Spot::Unix(path, _) => SockAddr::unix(path).unwrap(),
        };
        socket.connect(&server)?;
        socket.set_read_timeout(Some(LONG))?;
        socket.set_write_timeout(Some(LONG))?;
        Ok(Client(socket))
    }

    /// One datagram of a client of its own, and its answer.
    pub fn ask(&self, request: &[u8]) -> Vec<u8> {
        self.client().ask(request)
    }
}

impl Reach for Spot {
    type Client = Client;

    const IS_HELD_BY_REQUESTS: bool = true;

    fn try_call(&self, request: &[u8]) -> io::Result<Client> {
        let client = self.try_client()?;
        client.0.send(request)?;
        Ok(client)
    }

    /// Whether the address can be bound by somebody else. On a Unix socket, that the path is gone.
    fn is_closed(&self) -> bool {
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

    fn address(&self) -> Address {
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

impl Caller for Client {
    fn begun(&mut self) {
        assert_eq!(self.receive(), b"+");
    }

    fn answer(&mut self) -> Vec<u8> {
        self.receive()
    }

    fn hears_nothing(&mut self) {
        Client::hears_nothing(self);
    }

    fn is_not_served(&mut self) {
        Client::hears_nothing(self);
    }

    /// It is told of no end.
    fn linger(&mut self) {}

    fn address(&self) -> Address {
        Client::address(self)
    }
}

impl Talk for Datagram {
    fn echo(&mut self) -> HandlerResult {
        Ok(self.reply(self.data())?)
    }

    fn say(&mut self, words: &[u8]) -> io::Result<()> {
        self.reply(words)
    }

    fn serving(&self) -> ServerHandle {
        self.server()
    }

    fn ends(&self) -> io::Result<(Address, Address)> {
        Ok((self.peer_addr(), self.local_addr()))
    }
}

/// A kind of server whose requests are datagrams.
pub trait DatagramKind: Kind<Request = Datagram, Place = Spot> {
    fn is_udp() -> bool {
        TypeId::of::<Self::Listener>() == TypeId::of::<UdpListener>()
    }
}

impl<K: Kind<Request = Datagram, Place = Spot>> DatagramKind for K {}

impl<D: Dispatch + Default + Debug> Kind for Server<UdpListener, D> {
    type Request = Datagram;
    type Listener = UdpListener;
    type Dispatch = D;
    type Place = Spot;

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
impl<D: Dispatch + Default + Debug> Kind for Server<socketserver::unix::UnixDatagramListener, D> {
    type Request = Datagram;
    type Listener = socketserver::unix::UnixDatagramListener;
    type Dispatch = D;
    type Place = Spot;

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
    ($($test:ident)*) => {
        tests_over! {
            {
                udp_server: UdpServer,
                threading_udp_server: ThreadingUdpServer,
                #[cfg(unix)] unix_datagram_server: UnixDatagramServer,
                #[cfg(unix)] threading_unix_datagram_server: ThreadingUnixDatagramServer,
            }
            $($test)*
        }
    };
}

/// Makes each generic test a test of those of them that serve datagrams side by side.
macro_rules! threading_datagram_kinds {
    ($($test:ident)*) => {
        tests_over! {
            {
                threading_udp_server: ThreadingUdpServer,
                #[cfg(unix)] threading_unix_datagram_server: ThreadingUnixDatagramServer,
            }
            $($test)*
        }
    };
}
