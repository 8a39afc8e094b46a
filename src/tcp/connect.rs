//! [`connect`] and [`Connector`].

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "coroutine")]
use super::race::Suspended;
use super::race::{Polled, Race, Track};
use crate::address::Address;
use crate::connection::{not_zero, Connection, RequestContext};
#[allow(unused_imports)] // for the documentation
use crate::error::Phase;
use crate::error::{Error, Result};
use crate::net::order::interleave;
use crate::net::{Endpoint, ToEndpoint};
use crate::socket_stream::{KernelTimeouts, SocketStream};
use crate::stream::Stream;

/// Connects to the first address of `address` that answers, look-up included, within `timeout` (`None` is the system's own
/// patience, minutes). Python's `create_connection`, whose timeout is for each address.
///
/// The addresses are tried in the resolver's order, the families alternating, and a quarter of a second apart rather than one after
/// another (RFC 8305), so that one that does not answer costs little. The first connection made is returned, with NODELAY on.
///
/// On a coroutine, only that is suspended, and so it is by the connection's reads and writes: see the module `coroutine`.
///
/// The [`Connection`] is what a server's handler gets too: buffered reading, total deadlines, frames, a writer for other
/// threads; and a read timeout of 60 s and a write timeout of 30 s, unlike Python's, until others are set. For a std
/// socket, ask [`socket`](Connection::socket) for a clone, which does not block where the connection was made on a coroutine.
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
/// timeout; [`Error::Cut`] on a coroutine whose request is cut meanwhile.
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
        let mut addresses = interleave(endpoint.resolve(timeout)?);
        if let Some(source) = self.source {
            addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
        }
        #[cfg(feature = "coroutine")]
        if let Some(task) = crate::task::current() {
            let race = Race::new(Suspended(task), self.source, addresses);
            let won = won(race, &endpoint, timeout, deadline);
            // Over loopback it may never have had to wait.
            crate::task::tried();
            let (peer, stream, _) = won?;
            return connection(peer, &endpoint, stream.connected());
        }
        let track = Polled::new()
            .map_err(|source| Error::System { operation: format!("make a poller to connect to {endpoint}"), source })?;
        let race = Race::new(track, self.source, addresses);
        let (peer, socket, track) = won(race, &endpoint, timeout, deadline)?;
        connection(peer, &endpoint, blocking(track.release(socket)))
    }
}

/// Runs a race to its end.
fn won<T: Track>(
    mut race: Race<T>,
    endpoint: &Endpoint,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
) -> Result<(SocketAddr, T::Runner, T)> {
    match race.run(deadline) {
        Ok(Some((peer, runner))) => Ok((peer, runner, race.track)),
        Ok(None) => Err(race.lost(endpoint, timeout)),
        Err(source) => Err(Error::system(format!("wait for a connection to {endpoint}"), source)),
    }
}

/// A stream for threads, over a socket that has been connected.
fn blocking(socket: io::Result<TcpStream>) -> io::Result<Arc<dyn Stream>> {
    let socket = socket?;
    socket.set_nodelay(true)?;
    socket.set_nonblocking(false)?;
    Ok(Arc::new(SocketStream::new(socket, KernelTimeouts::default())))
}

/// Makes a connection of what has been connected, where it could be made ready.
fn connection(peer: SocketAddr, endpoint: &Endpoint, stream: io::Result<Arc<dyn Stream>>) -> Result<Connection> {
    let stream =
        stream.map_err(|source| Error::Connect { address: endpoint.to_string(), attempts: vec![(peer, source)] })?;
    let peer = Address::Inet(peer);
    Ok(Connection::new(&RequestContext::unserved(peer.clone()), stream, peer))
}
