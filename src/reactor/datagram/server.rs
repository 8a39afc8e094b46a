//! [`ReactorUdp`], and what its builder has of its own.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::UdpSocket;

use super::protocol::DatagramProtocol;
use super::seat::DatagramSeat;
use super::transport::DatagramTransport;
use crate::connection::DatagramSettings;
use crate::control::{ServerHandle, ShutdownReport};
use crate::error::{Error, Result};
use crate::net::ToEndpoint;
use crate::reactor::reactor::{private, Reactor, Served};
use crate::reactor::server::EventLoops;
use crate::reactor::settings::WriteLimits;
use crate::reactor::station::Station;
use crate::server::{Builder, Overload, Running};
use crate::udp::{bind_udp, UdpListener};

/// An event-driven UDP server. asyncio's `loop.create_datagram_endpoint`.
///
/// See [`DatagramProtocol`] for an example. In its counters and its report, the socket is one request under way. A callback that computes on
/// keeps the socket, and so the port, until it returns, after a stop and a drop too. What waits in the system's buffer at a stop is lost with
/// the socket, and not counted.
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

    /// Makes a server of one of std's sockets, such as one that systemd has opened.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be used.
    pub fn from_socket(socket: std::net::UdpSocket, protocol: impl DatagramProtocol) -> Result<Self> {
        Self::builder().from_listener(socket, protocol)
    }

    /// Begins a server with settings other than the defaults.
    ///
    /// These have an effect: those of the socket (`broadcast`, `multicast`, `dual_stack`, `reuse_port`, `recv_buffer_size`), `max_packet_size`,
    /// `answer_limit`, `drain_timeout`, and the hooks `verify_request`, `handle_error` and `service_actions`. `verify_request` is asked for each
    /// datagram, which is dropped at a no. The others, if they are set to something that is not their default, are an error of `bind`.
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
    /// Binds the server. What of the settings has an effect is said at [`ReactorUdp::builder`].
    ///
    /// # Errors
    /// As [`ReactorUdp::bind`], and [`Error::InvalidSetting`].
    pub fn bind(self, address: impl ToEndpoint, protocol: impl DatagramProtocol) -> Result<ReactorUdp> {
        self.check_datagrams()?;
        let (socket, _) = bind_udp(address, &self.options)?;
        let local_addr = socket
            .local_addr()
            .map_err(|source| Error::System { operation: "ask for the address of a UDP socket".into(), source })?;
        Ok(self.build_datagrams(socket, local_addr, protocol))
    }

    /// A server over one of std's sockets. It is set to non-blocking; its other settings are what they are.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`]; [`Error::System`] where the socket cannot be used.
    #[allow(clippy::wrong_self_convention)] // as with the blocking servers
    pub fn from_listener(self, socket: std::net::UdpSocket, protocol: impl DatagramProtocol) -> Result<ReactorUdp> {
        self.check_datagrams()?;
        let local_addr = socket
            .set_nonblocking(true)
            .and_then(|()| socket.local_addr())
            .map_err(|source| Error::System { operation: "use the given UDP socket".into(), source })?;
        Ok(self.build_datagrams(socket, local_addr, protocol))
    }

    /// Finds settings that cannot be used, or would have no effect.
    fn check_datagrams(&self) -> Result<()> {
        self.check_reactor()?;
        let datagrams = &self.stream.datagrams;
        let EventLoops { workers, limits, read_while_full } = self.dispatch;
        let (loops, usual) = (WriteLimits::default(), DatagramSettings::default());
        let one_at_a_time =
            "one protocol serves all datagrams, one after the other, so there is never more than one at once";
        let never_waits = "`send_to` never waits, and keeps at most a mebibyte that the system has no room for";
        let settings = [
            ("max_connections", self.max_connections.map(|most| most.to_string()), one_at_a_time),
            ("max_per_address", self.max_per_address.map(|most| most.to_string()), one_at_a_time),
            ("overload", other(self.overload, Overload::Wait), one_at_a_time),
            (
                "workers",
                other(workers, 1),
                "one protocol is served by one loop; several servers can share a port by `reuse_port`",
            ),
            ("write_buffer_limits", other((limits.high, limits.low), (loops.high, loops.low)), never_waits),
            ("write_buffer_hard_limit", other(limits.hard, loops.hard), never_waits),
            ("read_while_full", other(read_while_full, false), "a datagram socket is always read"),
            ("reply_timeout", other(datagrams.reply_timeout, usual.reply_timeout), never_waits),
            (
                "deliver_truncated",
                other(datagrams.deliver_truncated, false),
                "a `DatagramProtocol` could not tell a datagram that is cut from one that is whole",
            ),
            ("receive_batch", other(datagrams.receive_batch, 1), "an event loop receives datagrams one by one"),
        ];
        for (setting, value, reason) in settings {
            if let Some(value) = value {
                return Err(Error::InvalidSetting { setting, value, reason: reason.into() });
            }
        }
        Ok(())
    }

    fn build_datagrams(
        mut self,
        socket: std::net::UdpSocket,
        local_addr: SocketAddr,
        protocol: impl DatagramProtocol,
    ) -> ReactorUdp {
        // The socket is the one thing under way.
        let control = Arc::new(self.control(local_addr.into(), 1).closed_by_its_loop());
        let reception = Arc::new(self.reception(Arc::clone(&control)));
        let transport = DatagramTransport::new(UdpSocket::from_std(socket), local_addr, Arc::clone(&control));
        let seat = DatagramSeat::new(transport, Box::new(protocol), Arc::clone(&reception), &self.stream.datagrams);
        let station = Station::datagrams(Box::new(seat), reception, self.take_service_actions());
        let reactor = Reactor::of(station, 1);
        ReactorUdp { local_addr, handle: ServerHandle::new(control), reactor }
    }
}

/// What a setting is set to, if that is not what it is by default.
fn other<T: PartialEq + fmt::Debug>(value: T, default: T) -> Option<String> {
    (value != default).then(|| format!("{value:?}"))
}

impl fmt::Debug for ReactorUdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReactorUdp").field("local_addr", &self.local_addr).field("handle", &self.handle).finish()
    }
}
