//! The kinds of server whose requests are connections, and a client of theirs.
//!
//! A test over all of them is a function `fn name<K: StreamKind>()`, listed in [`every_stream_kind!`].

use std::fmt::Debug;
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr};
#[cfg(unix)]
use std::path::PathBuf;
#[cfg(unix)]
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::server::Dispatch;
use socketserver::{tcp, Address, Connection, Handler, HandlerResult, Server, ServerHandle};

use super::kinds::{BuilderOf, Caller, Kind, Reach, Talk};
use super::{own_address, Served, LONG};

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

    /// Sends `request`, ends this direction, and returns all that is answered.
    pub fn exchange(&self, request: &[u8]) -> Vec<u8> {
        self.try_exchange(request).unwrap()
    }

    pub fn try_exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        self.try_call(request)?.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

impl Reach for Place {
    type Client = Socket;

    const IS_HELD_BY_REQUESTS: bool = false;

    /// It ends its direction, which spares the close its patience.
    fn try_call(&self, request: &[u8]) -> io::Result<Socket> {
        let mut client = self.try_connect()?;
        client.write_all(request)?;
        client.shutdown(Shutdown::Write)?;
        Ok(client)
    }

    /// Whether nobody listens there any more. Where somebody does, this is a client that comes and goes.
    fn is_closed(&self) -> bool {
        match self.try_connect() {
            Ok(_) => false,
            Err(error) => matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound),
        }
    }

    fn address(&self) -> Address {
        match self {
            Place::Tcp(address) => Address::Inet(*address),
            #[cfg(unix)]
            Place::Unix(path, _) => Address::Unix(path.clone()),
        }
    }
}

impl Caller for Socket {
    fn begun(&mut self) {
        assert_eq!(read_byte(self), Some(b'+'));
    }

    fn answer(&mut self) -> Vec<u8> {
        read_all(self)
    }

    fn hears_nothing(&mut self) {
        assert_eq!(read_byte(self), None);
    }

    fn is_not_served(&mut self) {
        let end = self.read(&mut [0]);
        assert!(!matches!(end, Ok(1..)), "{end:?}");
    }

    fn linger(&mut self) {
        let _ = self.read(&mut [0]);
    }

    fn address(&self) -> Address {
        self.local_addr().unwrap().as_socket().map_or(Address::Unnamed, Address::Inet)
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

impl Talk for Connection {
    fn echo(&mut self) -> HandlerResult {
        loop {
            let data = self.fill_buf()?.to_vec();
            if data.is_empty() {
                return Ok(());
            }
            self.consume(data.len());
            self.write_all(&data)?;
        }
    }

    fn say(&mut self, words: &[u8]) -> io::Result<()> {
        self.write_all(words)
    }

    fn serving(&self) -> ServerHandle {
        self.server()
    }

    fn ends(&self) -> io::Result<(Address, Address)> {
        Ok((self.peer_addr(), self.local_addr()?))
    }
}

/// A kind of server whose requests are connections.
pub trait StreamKind: Kind<Request = Connection, Place = Place> {}

impl<K: Kind<Request = Connection, Place = Place>> StreamKind for K {}

impl<D: Dispatch + Default + Debug> Kind for Server<tcp::TcpListener, D> {
    type Request = Connection;
    type Listener = tcp::TcpListener;
    type Dispatch = D;
    type Place = Place;

    fn try_bind<H: Handler + Clone>(builder: BuilderOf<Self>, handler: H) -> socketserver::Result<(Self, Place)> {
        let server = builder.bind(own_address(), handler)?;
        let place = Place::Tcp(server.local_addr());
        Ok((server, place))
    }
}

#[cfg(unix)]
impl<D: Dispatch + Default + Debug> Kind for Server<socketserver::unix::UnixListener, D> {
    type Request = Connection;
    type Listener = socketserver::unix::UnixListener;
    type Dispatch = D;
    type Place = Place;

    fn try_bind<H: Handler + Clone>(builder: BuilderOf<Self>, handler: H) -> socketserver::Result<(Self, Place)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let server = builder.bind(&path, handler)?;
        Ok((server, Place::Unix(path, Arc::new(folder))))
    }
}

impl Served<Place> {
    pub fn connect(&self) -> Socket {
        self.place.connect()
    }

    pub fn exchange(&self, request: &[u8]) -> Vec<u8> {
        self.place.exchange(request)
    }
}

/// Makes each generic test a test of every kind of server whose requests are connections.
macro_rules! every_stream_kind {
    ($($test:ident)*) => {
        tests_over! {
            {
                tcp_server: TcpServer,
                threading_tcp_server: ThreadingTcpServer,
                #[cfg(unix)] unix_stream_server: UnixStreamServer,
                #[cfg(unix)] threading_unix_stream_server: ThreadingUnixStreamServer,
            }
            $($test)*
        }
    };
}

/// Makes each generic test a test of those of them that serve connections side by side.
macro_rules! threading_stream_kinds {
    ($($test:ident)*) => {
        tests_over! {
            {
                threading_tcp_server: ThreadingTcpServer,
                #[cfg(unix)] threading_unix_stream_server: ThreadingUnixStreamServer,
            }
            $($test)*
        }
    };
}
