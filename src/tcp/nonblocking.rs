//! [`listen`], [`connect_nonblocking`] and [`connect_outcome`]: for loops of one's own.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};

use super::listener::TcpListener;
use crate::connection::StreamSettings;
use crate::error::{Error, Result};
use crate::net::ToEndpoint;
use crate::socket_listener::BindOptions;
use crate::sys;

/// A listening socket for a loop of your own on a [`Selector`](crate::reactor::Selector), bound to the first of the address's meanings
/// that can be. Python's `create_server`.
///
/// It is what [`TcpServer::bind`](crate::TcpServer) makes with its defaults: SO_REUSEADDR (not on Windows), a backlog of 4,096, IPv6
/// without IPv4. Accepting never waits.
///
/// # Errors
/// [`Error::InvalidAddress`], [`Error::Resolve`], [`Error::Bind`].
pub fn listen(address: impl ToEndpoint) -> Result<mio::net::TcpListener> {
    // Timeouts, which the connections would inherit, are for sockets that wait.
    let stream = StreamSettings { read_timeout: None, write_timeout: None, ..StreamSettings::default() };
    Ok(TcpListener::bind(address, &BindOptions::default(), &stream)?.into_mio())
}

/// Begins to connect, and does not wait for what comes of it. Python's `connect_ex` on a non-blocking socket.
///
/// When the stream becomes writable, [`connect_outcome`] says what has come of it.
///
/// ```
/// use std::time::Duration;
/// use socketserver::mio::net::TcpStream;
/// use socketserver::mio::Interest;
/// use socketserver::reactor::Selector;
/// use socketserver::tcp;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let address = listener.local_addr()?;
/// let mut selector = Selector::new()?;
/// let key = selector.register(tcp::connect_nonblocking(address)?, Interest::WRITABLE, ())?;
/// let timeout = selector.set_timer(Duration::from_secs(5), ())?;
/// 'connecting: loop {
///     for ready in selector.select(None)? {
///         if ready.key() == timeout {
///             return Err("nobody has answered for five seconds".into());
///         }
///         let stream = selector.get::<TcpStream>(key).ok_or("no stream")?;
///         if tcp::connect_outcome(stream, address)? {
///             break 'connecting;
///         }
///     }
/// }
/// println!("connected to {address}");
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Connect`] where the system refuses at once: it has no route, or no descriptor left, which the kind tells.
pub fn connect_nonblocking(address: SocketAddr) -> Result<TcpStream> {
    begin_connect(address, None).map_err(|error| failed(address, error))
}

/// What has come of [`connect_nonblocking`]: `true` when the stream is connected, `false` while it is still under way, as
/// after a report of readiness that was for nothing.
///
/// # Errors
/// [`Error::Connect`]: refused, unreachable, timed out. It is told once; drop the stream.
pub fn connect_outcome(stream: &TcpStream, address: SocketAddr) -> Result<bool> {
    outcome(stream).map_err(|error| failed(address, error))
}

fn failed(address: SocketAddr, error: io::Error) -> Error {
    Error::Connect { address: address.to_string(), attempts: vec![(address, error)] }
}

pub(super) fn begin_connect(address: SocketAddr, source: Option<SocketAddr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(source) = source {
        socket.bind(&source.into())?;
    }
    match socket.connect(&address.into()) {
        Err(error) if !sys::connect_has_begun(&error) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

pub(super) fn outcome(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
