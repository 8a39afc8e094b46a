//! [`DatagramSocket`] and [`Sender`].

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
#[cfg(unix)]
use mio::net::UnixDatagram;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::address::Address;
use crate::clock::after;
use crate::connection::RequestContext;
use crate::error::{Error, Phase, Result};
use crate::sys::Shareable;

/// The longest payload of a UDP datagram: 65,535 less the headers that count towards it (RFC 768, RFC 791, RFC 8200).
const MOST_V4: usize = 65_507;
const MOST_V6: usize = 65_527;

/// So long an answer waits for room, unless the builder says otherwise.
///
/// The network has room again within microseconds, or else not for seconds: what is sent to a host that does not answer for its address
/// lies in the buffer until the system gives up, and anybody can have answers sent to such hosts by requests that bear their addresses. So
/// over UDP it is one more try.
const REPLY_TIMEOUT_UDP: Duration = Duration::from_millis(1);
/// On a Unix socket the room is in the receiver's queue, which may have some as soon as he gets to run; but one who does not read must not
/// hold up a server that serves one at a time.
#[cfg(unix)]
const REPLY_TIMEOUT_UNIX: Duration = Duration::from_millis(100);

/// How often room is looked for where the system takes no more: there is no event for it on a socket that others wait on, and on a Unix
/// socket none at all for the receiver's queue.
const RETRY_MIN: Duration = Duration::from_millis(1);
const RETRY_MAX: Duration = Duration::from_millis(20);

/// A non-blocking datagram socket, which requests answer through and the server receives from.
#[derive(Debug)]
pub(crate) enum DatagramSocket {
    Udp(Shareable<UdpSocket>),
    #[cfg(unix)]
    Unix(Shareable<UnixDatagram>),
}

/// Where an answer goes: the sender's address as the system gave it.
#[derive(Debug, Clone)]
pub(crate) enum Sender {
    Inet(SocketAddr),
    #[cfg(unix)]
    Unix(std::os::unix::net::SocketAddr),
}

impl Sender {
    pub(crate) fn address(&self) -> Address {
        match self {
            Sender::Inet(address) => Address::Inet(crate::address::canonical(*address)),
            #[cfg(unix)]
            Sender::Unix(address) => Address::from_unix(address),
        }
    }

    /// Nobody can send from port 0, so nobody can be answered there; datagrams that claim to come from it are forged.
    pub(crate) fn is_forged(&self) -> bool {
        matches!(self, Sender::Inet(address) if address.port() == 0)
    }
}

impl DatagramSocket {
    pub(crate) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            DatagramSocket::Udp(socket) => socket.register(registry, token, Interest::READABLE),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.register(registry, token, Interest::READABLE),
        }
    }

    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Sender)> {
        match self {
            DatagramSocket::Udp(socket) => {
                socket.with(|socket| socket.recv_from(buffer)).map(|(count, sender)| (count, Sender::Inet(sender)))
            }
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => {
                socket.with(|socket| socket.recv_from(buffer)).map(|(count, sender)| (count, Sender::Unix(sender)))
            }
        }
    }

    /// How long an answer waits for room by default.
    pub(crate) fn reply_timeout(&self) -> Duration {
        match self {
            DatagramSocket::Udp(_) => REPLY_TIMEOUT_UDP,
            #[cfg(unix)]
            DatagramSocket::Unix(_) => REPLY_TIMEOUT_UNIX,
        }
    }

    /// Sends a datagram, waiting so long for room, or until the server's stop cuts its requests.
    pub(crate) fn send(&self, data: &[u8], to: &Sender, timeout: Duration, context: &RequestContext) -> io::Result<()> {
        let mut retry = RETRY_MIN;
        let mut deadline = None;
        loop {
            if context.is_cut() {
                return Err(Error::Cut { address: to.address().to_string() }.into());
            }
            match self.try_send(data, to) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            let now = Instant::now();
            let left = deadline.get_or_insert_with(|| after(now, timeout)).saturating_duration_since(now);
            if left.is_zero() {
                let address = to.address().to_string();
                return Err(Error::Timeout { phase: Phase::Write, address, after: timeout }.into());
            }
            std::thread::sleep(retry.min(left));
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    /// Sends a datagram if there is room.
    pub(crate) fn try_send(&self, data: &[u8], to: &Sender) -> io::Result<()> {
        match (self, to) {
            (DatagramSocket::Udp(socket), Sender::Inet(peer)) => {
                check_length(data, *peer)?;
                socket.with(|socket| socket.send_to(data, *peer)).map(drop)
            }
            #[cfg(unix)]
            (DatagramSocket::Unix(socket), Sender::Unix(peer)) => {
                let address = Address::from_unix(peer).to_unix().ok_or_else(|| {
                    let reason = "the sender's socket has no name that an answer could be sent to (it did not bind)";
                    io::Error::new(io::ErrorKind::NotConnected, reason)
                })?;
                socket.with(|socket| SockRef::from(socket).send_to(data, &address)).map(drop)
            }
            #[cfg(unix)]
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(crate) fn as_sock_ref(&self) -> Option<SockRef<'_>> {
        match self {
            DatagramSocket::Udp(socket) => socket.as_sock_ref(),
            #[cfg(unix)]
            DatagramSocket::Unix(socket) => socket.as_sock_ref(),
        }
    }
}

/// Finds a payload that no datagram can hold, before the system does, which says it less clearly.
pub(crate) fn check_length(data: &[u8], peer: SocketAddr) -> Result<()> {
    if data.len() <= MOST_V4 {
        return Ok(());
    }
    // An IPv4 address in IPv6's clothes is IPv4 on the wire.
    let limit = if peer.ip().to_canonical().is_ipv4() { MOST_V4 } else { MOST_V6 };
    if data.len() <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { address: peer.to_string(), size: data.len(), limit })
}
