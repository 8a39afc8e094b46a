//! [`UdpListener`].

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mio::net::UdpSocket;
use socket2::{Domain, SockRef, Socket, Type};

use crate::connection::RequestContext;
use crate::datagram::{Datagram, DatagramSocket, Receiver};
use crate::error::{Error, Result};
use crate::net::ToEndpoint;
use crate::server::{AcceptError, Listener, Readiness};
use crate::socket_listener::BindOptions;
use crate::sys::Shareable;

/// A UDP socket that receives, as a server's [`Listener`]. Made by the `bind` of a server or its builder, or of one of std's by
/// `try_from`.
#[derive(Debug)]
pub struct UdpListener {
    receiver: Receiver,
    local_addr: SocketAddr,
}

impl UdpListener {
    pub(crate) fn bind(address: impl ToEndpoint, options: &BindOptions) -> Result<Self> {
        let (socket, address) = bind_udp(address, options)?;
        UdpListener::new(socket).map_err(|source| Error::Bind { address: address.to_string(), source })
    }

    fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let local_addr = socket.local_addr()?;
        let socket = DatagramSocket::Udp(Shareable::new(UdpSocket::from_std(socket)));
        Ok(UdpListener { receiver: Receiver::new(socket), local_addr })
    }

    /// Begins or stops to receive what is sent to a group.
    pub(super) fn set_membership(&self, group: IpAddr, member: bool) -> io::Result<()> {
        match &*self.receiver.socket {
            DatagramSocket::Udp(socket) => socket.with(|socket| set_membership(&SockRef::from(socket), group, member)),
            #[cfg(unix)]
            DatagramSocket::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Binds a non-blocking socket to the first of the address's meanings that can be bound.
///
/// SO_REUSEADDR is never set: with it somebody else could bind the same port and take the datagrams away.
pub(crate) fn bind_udp(address: impl ToEndpoint, options: &BindOptions) -> Result<(std::net::UdpSocket, SocketAddr)> {
    let endpoint = address.to_endpoint()?;
    let mut last = None;
    for address in endpoint.resolve(None)? {
        if options.dual_stack && address.is_ipv4() {
            continue;
        }
        match bind_one(address, options) {
            Ok(socket) => return Ok((socket.into(), address)),
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(source) => Error::Bind { address: endpoint.to_string(), source },
        None => crate::socket_listener::no_dual_stack(&endpoint),
    })
}

fn bind_one(address: SocketAddr, options: &BindOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        // Said both ways: what the system does by itself differs.
        socket.set_only_v6(!options.dual_stack)?;
    }
    #[cfg(all(unix, not(any(target_os = "solaris", target_os = "illumos"))))]
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if let Some(bytes) = options.recv_buffer_size {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_size {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.set_broadcast(options.broadcast)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    for &group in &options.multicast {
        set_membership(&socket, group, true)?;
    }
    Ok(socket)
}

/// On the interface that the system chooses.
fn set_membership(socket: &Socket, group: IpAddr, member: bool) -> io::Result<()> {
    match (group, member) {
        (IpAddr::V4(group), true) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
        (IpAddr::V4(group), false) => socket.leave_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
        (IpAddr::V6(group), true) => socket.join_multicast_v6(&group, 0),
        (IpAddr::V6(group), false) => socket.leave_multicast_v6(&group, 0),
    }
}

/// One of std's, from wherever it came. It is set to non-blocking; its other settings stay.
impl TryFrom<std::net::UdpSocket> for UdpListener {
    type Error = Error;

    fn try_from(socket: std::net::UdpSocket) -> Result<Self> {
        socket
            .set_nonblocking(true)
            .and_then(|()| UdpListener::new(socket))
            .map_err(|source| Error::System { operation: "use the given UDP socket".into(), source })
    }
}

impl Listener for UdpListener {
    /// What it accepts: a [`Datagram`].
    type Request = Datagram;
    type Addr = SocketAddr;

    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
        self.receiver.socket.register(readiness.registry(), readiness.token())
    }

    fn accept(&mut self, context: &RequestContext) -> Result<Datagram, AcceptError> {
        self.receiver.receive(context)
    }
}
