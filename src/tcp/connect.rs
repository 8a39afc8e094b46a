//! [`connect`] and [`Connector`].

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::nonblocking::{begin_connect, outcome};
use crate::address::Address;
use crate::clock::earlier;
use crate::connection::{not_zero, Connection, RequestContext};
use crate::error::{Error, Phase, Result};
use crate::net::order::interleave;
use crate::net::{Endpoint, ToEndpoint};
use crate::socket_stream::{KernelTimeouts, SocketStream};
use crate::stream::Stream;

/// How long an attempt may be the only one. When it has not answered by then, the next address is tried beside it: RFC 8305's
/// Connection Attempt Delay, with the value recommended there.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first address of `address` that answers, look-up included, within `timeout` (`None` is the system's own
/// patience, minutes). Python's `create_connection`, whose timeout is for each address.
///
/// The addresses are tried in the resolver's order, the families alternating, and a quarter of a second apart rather than one after
/// another (RFC 8305), so that one that does not answer costs little. The first connection made is returned, with NODELAY on.
///
/// The [`Connection`] is what a server's handler gets too: buffered reading, total deadlines, frames, a writer for other
/// threads; and a read timeout of 60 s and a write timeout of 30 s, unlike Python's, until others are set. For a std
/// socket, ask [`socket`](Connection::socket) for a clone.
///
/// ```
/// use socketserver::{handler_fn, tcp, Connection, ThreadingTcpServer};
/// use std::io::{BufRead, Write};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let server = ThreadingTcpServer::bind("127.0.0.1:0", handler_fn(|r: &mut Connection| Ok(r.write_all(b"hello\n")?)))?;
/// # let running = server.spawn()?;
/// # let address = running.local_addr();
/// let mut connection = tcp::connect(address, Duration::from_secs(5))?;
/// let mut line = String::new();
/// connection.read_line(&mut line)?;
/// assert_eq!(line, "hello\n");
/// # running.stop()?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Connect`] with what each address said; [`Error::Timeout`] when the time ran out before any had said anything,
/// with the phase that it ran out in; [`Error::Resolve`], [`Error::InvalidAddress`]; [`Error::InvalidSetting`] for a zero
/// timeout.
pub fn connect(address: impl ToEndpoint, timeout: impl Into<Option<Duration>>) -> Result<Connection> {
    Connector::new().timeout(timeout).connect(address)
}

/// Connects with settings other than [`connect`]'s.
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing until `connect`"]
pub struct Connector {
    timeout: Option<Duration>,
    source: Option<SocketAddr>,
}

impl Connector {
    /// Without a timeout or a source address.
    pub fn new() -> Self {
        Connector::default()
    }

    /// The limit for everything together: look-up and all attempts. Default: none.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// The local address to connect from; port 0 lets the system choose one. Only addresses of its family are tried. Python's
    /// `source_address`.
    pub fn source_address(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`connect`].
    pub fn connect(&self, address: impl ToEndpoint) -> Result<Connection> {
        let timeout = not_zero("timeout", self.timeout)?;
        let endpoint = address.to_endpoint()?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        #[cfg(feature = "coroutine")]
        if let Some(task) = crate::task::current() {
            let (connector, its_endpoint, failed) = (self.clone(), endpoint.clone(), endpoint.to_string());
            // Also where it does not get its turn in time.
            let connected =
                crate::task::unblock_until(deadline, move || connector.connect_to(&its_endpoint, timeout, deadline));
            let (stream, peer) = connected.map_err(|source| match (source.kind(), timeout) {
                (io::ErrorKind::TimedOut, Some(after)) => {
                    Error::Timeout { phase: Phase::Connect, address: failed.clone(), after }
                }
                _ => Error::System { operation: format!("wait for a connection to {failed}"), source },
            })??;
            return prepare(stream, peer, |stream| {
                stream.set_nonblocking(true)?;
                Ok(task.home().adopt(stream))
            })
            .map_err(|source| Error::Connect { address: failed, attempts: vec![(peer, source)] });
        }
        let (stream, peer) = self.connect_to(&endpoint, timeout, deadline)?;
        prepare(stream, peer, |stream| {
            stream.set_nonblocking(false)?;
            Ok(Arc::new(SocketStream::new(stream, KernelTimeouts::default())))
        })
        .map_err(|source| Error::Connect { address: endpoint.to_string(), attempts: vec![(peer, source)] })
    }

    fn connect_to(
        &self,
        endpoint: &Endpoint,
        timeout: Option<Duration>,
        deadline: Option<Instant>,
    ) -> Result<(TcpStream, SocketAddr)> {
        let mut addresses = interleave(endpoint.resolve(timeout)?);
        if let Some(source) = self.source {
            addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
        }
        let mut race = Race::new(self.source, addresses)
            .map_err(|source| Error::System { operation: format!("make a poller to connect to {endpoint}"), source })?;
        match race.run(deadline) {
            Ok(Some(connected)) => Ok(connected),
            Ok(None) => Err(race.lost(endpoint, timeout)),
            Err(source) => Err(Error::System { operation: format!("wait for a connection to {endpoint}"), source }),
        }
    }
}

/// Makes a connection of a socket that has been connected, by `wrap`.
fn prepare(
    stream: TcpStream,
    peer: SocketAddr,
    wrap: impl FnOnce(TcpStream) -> io::Result<Arc<dyn Stream>>,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let peer = Address::Inet(peer);
    let context = RequestContext::unserved(peer.clone());
    Ok(Connection::new(&context, wrap(stream)?, peer))
}

/// Several attempts at once, the first to succeed wins.
struct Race {
    poll: Poll,
    source: Option<SocketAddr>,
    waiting: std::vec::IntoIter<SocketAddr>,
    /// By token. `None` is an attempt that has failed.
    running: Vec<Option<(SocketAddr, mio::net::TcpStream)>>,
    failed: Vec<(SocketAddr, io::Error)>,
}

impl Race {
    fn new(source: Option<SocketAddr>, addresses: Vec<SocketAddr>) -> io::Result<Self> {
        Ok(Race { poll: Poll::new()?, source, waiting: addresses.into_iter(), running: Vec::new(), failed: Vec::new() })
    }

    /// `None` when all addresses have failed or the deadline has come.
    fn run(&mut self, deadline: Option<Instant>) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        let mut events = Events::with_capacity(16);
        let mut next_start = Instant::now();
        loop {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(None);
            }
            if next_start <= now || self.running.iter().all(Option::is_none) {
                match self.waiting.next() {
                    Some(address) => {
                        self.start(address);
                        next_start = now + ATTEMPT_DELAY;
                        continue;
                    }
                    None if self.running.iter().all(Option::is_none) => return Ok(None),
                    None => {}
                }
            }
            let start = (self.waiting.len() > 0).then_some(next_start);
            let until = earlier(start, deadline);
            let timeout = until.map(|until| until.saturating_duration_since(now));
            match self.poll.poll(&mut events, timeout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            for event in &events {
                if let Some(winner) = self.settle(event.token())? {
                    return Ok(Some(winner));
                }
            }
        }
    }

    fn start(&mut self, address: SocketAddr) {
        let token = Token(self.running.len());
        match self.begin(address, token) {
            Ok(stream) => self.running.push(Some((address, stream))),
            Err(error) => self.failed.push((address, error)),
        }
    }

    fn begin(&self, address: SocketAddr, token: Token) -> io::Result<mio::net::TcpStream> {
        let mut stream = begin_connect(address, self.source)?;
        self.poll.registry().register(&mut stream, token, Interest::WRITABLE)?;
        Ok(stream)
    }

    /// Looks what an attempt has come to.
    fn settle(&mut self, token: Token) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        let Some(slot) = self.running.get_mut(token.0) else { return Ok(None) };
        let Some((address, mut stream)) = slot.take() else { return Ok(None) };
        match outcome(&stream) {
            Ok(true) => {
                self.poll.registry().deregister(&mut stream)?;
                return Ok(Some((stream.into(), address)));
            }
            // A spurious event: it has neither failed nor succeeded yet.
            Ok(false) => *slot = Some((address, stream)),
            Err(error) => self.failed.push((address, error)),
        }
        Ok(None)
    }

    /// Why nothing came of it.
    fn lost(self, endpoint: &Endpoint, timeout: Option<Duration>) -> Error {
        let address = endpoint.to_string();
        let mut attempts = self.failed;
        let silent = self.running.into_iter().flatten().map(|(address, _)| address).chain(self.waiting);
        if attempts.is_empty() {
            if let (Some(after), Some(_)) = (timeout, silent.peekable().peek()) {
                return Error::Timeout { phase: Phase::Connect, address, after };
            }
        } else {
            attempts.extend(silent.map(|address| (address, io::ErrorKind::TimedOut.into())));
        }
        Error::Connect { address, attempts }
    }
}
