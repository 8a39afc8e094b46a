//! [`ReactorUdp`] and its builder.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::UdpSocket;
use socket2::{Domain, Socket, Type};

use super::protocol::DatagramProtocol;
use super::seat::DatagramSeat;
use super::transport::DatagramTransport;
use crate::control::{Control, ServerHandle, ShutdownReport};
use crate::error::{Error, Result};
use crate::net::ToEndpoint;
use crate::reactor::reactor::{private, Reactor, Served};
use crate::reactor::station::Station;
use crate::server::{invalid, Failure, Hooks, Overload, Reception, Running};

/// The longest datagram there is, header and all; nothing longer can come.
const DEFAULT_MAX_PACKET_SIZE: usize = 65_535;

/// An event-driven UDP server. asyncio's `loop.create_datagram_endpoint`.
///
/// See [`DatagramProtocol`] for an example. It has its address from `bind` on, serves once, and is closed when it is dropped.
#[must_use = "it serves nobody until `serve_forever` or `spawn` is called"]
pub struct ReactorUdp {
    local_addr: SocketAddr,
    handle: ServerHandle,
    reactor: Reactor,
}

/// A UDP server to be: settings, then `bind`. Got from [`ReactorUdp::builder`].
#[must_use = "it does nothing until `bind`"]
pub struct ReactorUdpBuilder {
    max_packet_size: usize,
    recv_buffer_size: Option<usize>,
    broadcast: bool,
    hooks: Hooks,
}

impl ReactorUdp {
    /// Binds a server to an address, with the default settings. Port 0 lets the system choose; [`local_addr`](ReactorUdp::local_addr)
    /// tells. A port that somebody has bound already is never shared.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::Resolve`], [`Error::Bind`].
    pub fn bind(address: impl ToEndpoint, protocol: impl DatagramProtocol) -> Result<Self> {
        Self::builder().bind(address, protocol)
    }

    /// Begins a server with settings other than the defaults.
    pub fn builder() -> ReactorUdpBuilder {
        ReactorUdpBuilder {
            max_packet_size: DEFAULT_MAX_PACKET_SIZE,
            recv_buffer_size: None,
            broadcast: false,
            hooks: Hooks::default(),
        }
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// A handle to stop and watch it from elsewhere. Its counters are of datagrams.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until [`ServerHandle::shutdown`] is called.
    ///
    /// # Errors
    /// As [`Reactor::serve_forever`].
    pub fn serve_forever(&mut self) -> Result<ShutdownReport> {
        self.reactor.serve_forever()
    }

    /// Serves on a thread of its own, named `ss-serve`.
    ///
    /// # Errors
    /// As [`Reactor::spawn`].
    pub fn spawn(mut self) -> Result<Running<SocketAddr>> {
        let thread = self.reactor.spawn_thread()?;
        Ok(Running::new(self.handle, self.local_addr, thread))
    }
}

impl Served for ReactorUdp {}

impl private::Sealed for ReactorUdp {
    fn into_reactor(self) -> Reactor {
        self.reactor
    }
}

impl ReactorUdpBuilder {
    /// The longest datagram that is delivered, in bytes. Longer ones are dropped and counted in
    /// [`Stats::dropped`](crate::Stats::dropped), never cut. Default 65,535, which is all. Python's `max_packet_size`, which is 8,192 and
    /// cuts.
    pub fn max_packet_size(mut self, bytes: usize) -> Self {
        self.max_packet_size = bytes;
        self
    }

    /// The system's receive buffer (SO_RCVBUF), in bytes: what of a burst is kept. Default: the system's, on Linux 208 KiB, and
    /// at most `net.core.rmem_max`.
    pub fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// Whether datagrams may be sent to broadcast addresses (SO_BROADCAST). Default false.
    pub fn broadcast(mut self, broadcast: bool) -> Self {
        self.broadcast = broadcast;
        self
    }

    /// Is told of every callback that panicked, rather than the log. Python's `handle_error`.
    pub fn handle_error(mut self, hook: impl Fn(&Failure) + Send + Sync + 'static) -> Self {
        self.hooks.handle_error = Some(Box::new(hook));
        self
    }

    /// Binds the server.
    ///
    /// # Errors
    /// As [`ReactorUdp::bind`], and [`Error::InvalidSetting`].
    pub fn bind(self, address: impl ToEndpoint, protocol: impl DatagramProtocol) -> Result<ReactorUdp> {
        if self.max_packet_size > DEFAULT_MAX_PACKET_SIZE {
            return Err(invalid("max_packet_size", self.max_packet_size, "no datagram has more than 65,535 bytes"));
        }
        let endpoint = address.to_endpoint()?;
        let failed = |source| Error::Bind { address: endpoint.to_string(), source };
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        for address in endpoint.resolve(None)? {
            match self.bind_one(address) {
                Ok(socket) => {
                    let local_addr = socket.local_addr().map_err(failed)?;
                    return Ok(self.build(socket, local_addr, Box::new(protocol)));
                }
                Err(error) => last = error,
            }
        }
        Err(failed(last))
    }

    fn bind_one(&self, address: SocketAddr) -> std::io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        if address.is_ipv6() {
            // Said, because what the system does by itself differs.
            socket.set_only_v6(true)?;
        }
        if let Some(bytes) = self.recv_buffer_size {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.set_broadcast(self.broadcast)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(UdpSocket::from_std(socket.into()))
    }

    fn build(self, socket: UdpSocket, local_addr: SocketAddr, protocol: Box<dyn DatagramProtocol>) -> ReactorUdp {
        // There are no requests under way that a stop would wait for.
        let control = Arc::new(Control::new(local_addr.into(), 0, None, true).closed_by_its_loop());
        let reception = Arc::new(Reception::new(Arc::clone(&control), self.hooks, None, Overload::Wait));
        let transport = DatagramTransport::new(socket, local_addr, Arc::clone(&control));
        let seat = DatagramSeat::new(transport, protocol, Arc::clone(&reception), self.max_packet_size);
        let reactor = Reactor::of(Station::datagrams(Box::new(seat), reception), 1);
        ReactorUdp { local_addr, handle: ServerHandle::new(control), reactor }
    }
}

impl fmt::Debug for ReactorUdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReactorUdp").field("local_addr", &self.local_addr).field("handle", &self.handle).finish()
    }
}

impl fmt::Debug for ReactorUdpBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReactorUdpBuilder").field("max_packet_size", &self.max_packet_size).finish_non_exhaustive()
    }
}
