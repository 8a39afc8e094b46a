//! [`ReactorUdp`], and what its builder has of its own.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::UdpSocket;

use super::protocol::DatagramProtocol;
use super::seat::DatagramSeat;
use super::transport::DatagramTransport;
use crate::control::{ServerHandle, ShutdownReport};
use crate::error::{Error, Result};
use crate::net::ToEndpoint;
use crate::reactor::reactor::{private, Reactor, Served};
use crate::reactor::server::EventLoops;
use crate::reactor::station::Station;
use crate::server::{Builder, Running};
use crate::udp::{bind_udp, UdpListener};

/// An event-driven UDP server. asyncio's `loop.create_datagram_endpoint`.
///
/// See [`DatagramProtocol`] for an example. In its counters and its report, the socket is one request under way. A callback that computes on
/// keeps the socket, and so the port, until it returns, after a stop and a drop too.
///
/// It has its address from `bind` on, serves once, and is closed when it is dropped.
#[must_use = "it serves nobody until `serve_forever` or `spawn` is called"]
pub struct ReactorUdp {
    local_addr: SocketAddr,
    handle: ServerHandle,
    reactor: Reactor,
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
    pub fn builder() -> Builder<UdpListener, EventLoops> {
        Builder::new(EventLoops::default())
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

impl Builder<UdpListener, EventLoops> {
    /// Binds the server. Its protocol is one for all peers, so `max_connections`, `overload` and `workers` have no effect, nor have
    /// `verify_request` and `max_per_address`.
    ///
    /// # Errors
    /// As [`ReactorUdp::bind`], and [`Error::InvalidSetting`].
    pub fn bind(mut self, address: impl ToEndpoint, protocol: impl DatagramProtocol) -> Result<ReactorUdp> {
        self.check_reactor()?;
        let (socket, _) = bind_udp(address, &self.options)?;
        let local_addr = socket
            .local_addr()
            .map_err(|source| Error::System { operation: "ask for the address of a UDP socket".into(), source })?;
        let max_packet_size = self.stream.datagrams.max_packet_size;
        // The socket is the one thing under way.
        self.max_connections = None;
        let control = Arc::new(self.control(local_addr.into(), 1).closed_by_its_loop());
        let reception = Arc::new(self.reception(Arc::clone(&control)));
        let transport = DatagramTransport::new(UdpSocket::from_std(socket), local_addr, Arc::clone(&control));
        let seat = DatagramSeat::new(transport, Box::new(protocol), Arc::clone(&reception), max_packet_size);
        let station = Station::datagrams(Box::new(seat), reception, self.take_service_actions());
        let reactor = Reactor::of(station, 1);
        Ok(ReactorUdp { local_addr, handle: ServerHandle::new(control), reactor })
    }
}

impl fmt::Debug for ReactorUdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReactorUdp").field("local_addr", &self.local_addr).field("handle", &self.handle).finish()
    }
}
