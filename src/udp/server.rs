//! [`UdpServer`], [`ThreadingUdpServer`] and what their builder has of its own.

use std::io;
use std::net::IpAddr;

use super::listener::UdpListener;
use crate::datagram::Datagram;
#[allow(unused_imports)] // for the documentation
use crate::error::Error;
use crate::error::Result;
use crate::handler::Handler;
use crate::net::ToEndpoint;
use crate::server::{Builder, Dispatch, Sequential, Server, Threading};

/// A UDP server that serves one datagram at a time. Python's `UDPServer`.
///
/// See [`Datagram`] for an example. It never sets SO_REUSEADDR, so nobody else can take its port away.
pub type UdpServer = Server<UdpListener, Sequential>;

/// A UDP server that serves each datagram on a thread, reused for the next. Python's `ThreadingUDPServer`.
///
/// For handlers that wait. Where they only compute, [`UdpServer`] is faster.
///
/// Requests answer through the server's one socket, so after a stop the port is free when the last of them has ended.
pub type ThreadingUdpServer = Server<UdpListener, Threading>;

impl<D: Dispatch + Default> Server<UdpListener, D> {
    /// Binds a server to an address, with the default settings. Port 0 lets the system choose; [`local_addr`](Server::local_addr)
    /// tells.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::Resolve`], [`Error::Bind`], [`Error::System`].
    pub fn bind<H: Handler<Datagram> + Clone>(address: impl ToEndpoint, handler: H) -> Result<Self> {
        Self::builder().bind(address, handler)
    }

    /// Makes a server of one of std's sockets: [`Builder::from_listener`] with the default settings.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be used.
    pub fn from_socket<H: Handler<Datagram> + Clone>(socket: std::net::UdpSocket, handler: H) -> Result<Self> {
        Self::builder().from_listener(socket, handler)
    }
}

impl<D: Dispatch> Server<UdpListener, D> {
    /// Receives what is sent to a multicast group too, on the interface that the system chooses. For another interface there is
    /// [`Datagram::socket`].
    ///
    /// # Errors
    /// Whatever the system says; [`io::ErrorKind::NotConnected`] after a stop.
    pub fn join_multicast(&self, group: IpAddr) -> io::Result<()> {
        self.with_listener(|listener| listener.set_membership(group, true))
    }

    /// Receives what is sent to a multicast group no more.
    ///
    /// # Errors
    /// As [`join_multicast`](Server::join_multicast).
    pub fn leave_multicast(&self, group: IpAddr) -> io::Result<()> {
        self.with_listener(|listener| listener.set_membership(group, false))
    }
}

impl<D> Builder<UdpListener, D> {
    /// Whether datagrams may be sent to broadcast addresses (SO_BROADCAST). Default false.
    pub fn broadcast(mut self, broadcast: bool) -> Self {
        self.options.broadcast = broadcast;
        self
    }

    /// A multicast group to receive from, on the interface that the system chooses; may be said several times.
    pub fn multicast(mut self, group: IpAddr) -> Self {
        self.options.multicast.push(group);
        self
    }

    /// Whether an IPv6 socket takes IPv4 datagrams too. Default false: `[::]` is IPv6 only. IPv4 peers are shown as such.
    #[doc(alias = "dualstack_ipv6")]
    pub fn dual_stack(mut self, dual: bool) -> Self {
        self.options.dual_stack = dual;
        self
    }

    /// Whether several sockets may share the port, the kernel spreading datagrams over them (SO_REUSEPORT). Default false. Unix only.
    ///
    /// A server that stops still gets its share, and serves none of it, until the last of its requests has ended: the socket is theirs to
    /// answer through. Where servers take turns on a port, see that handlers end soon, and set a short
    /// [`drain_timeout`](Builder::drain_timeout), which also ends answers that wait for room.
    #[doc(alias = "allow_reuse_port")]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.options.reuse_port = reuse;
        self
    }
}

#[cfg(all(feature = "recvmmsg", target_os = "linux"))]
impl<D> Builder<UdpListener, D> {
    /// How many datagrams one system call may receive (recvmmsg(2)), 1 to 1,024. Default 1. Under load it saves processor time;
    /// where datagrams come one at a time, a large one costs some (with 1,024, 9.1 µs an exchange in place of 6.1), so take no more than come
    /// at once. The memory is this times `max_packet_size`, as far as datagrams have ever filled it, and stays while the server listens.
    /// Linux only, with the feature `recvmmsg`.
    ///
    /// What was received and has no place yet waits in the server, as if it were in the system's buffer still; at a stop it is dropped
    /// and counted in [`Stats::dropped`](crate::Stats::dropped).
    #[cfg_attr(docsrs, doc(cfg(all(feature = "recvmmsg", target_os = "linux"))))]
    pub fn receive_batch(mut self, datagrams: usize) -> Self {
        self.stream.datagrams.receive_batch = datagrams;
        self
    }
}

impl<D: Dispatch> Builder<UdpListener, D> {
    /// Binds the server.
    ///
    /// # Errors
    /// As [`Server::bind`], and [`Error::InvalidSetting`].
    pub fn bind<H: Handler<Datagram> + Clone>(
        self,
        address: impl ToEndpoint,
        handler: H,
    ) -> Result<Server<UdpListener, D>> {
        self.check()?;
        let listener = UdpListener::bind(address, &self.options)?;
        self.build(listener, handler)
    }
}
