//! What the listeners of all sockets have in common: how they are bound, and of TCP and Unix stream sockets how they listen and accept.
//! (A UDP or Unix datagram socket is bound in the same way, and then receives.)

use std::io;
use std::net::IpAddr;

use socket2::Socket;
#[cfg(not(windows))]
use socket2::{SockAddr, SockRef};

use crate::error::Error;
use crate::net::Endpoint;

/// Clients that the kernel lets wait. 128, which std and Python's newer servers take, made 8,000 clients that came at once
/// wait up to half a minute, for retransmissions; the kernel cuts it down to its own limit (net.core.somaxconn, 4,096 on
/// Linux).
const DEFAULT_BACKLOG: u32 = 4096;

/// How a listener is bound: the settings that builders of TCP and Unix servers have of their own.
#[derive(Debug, Clone)]
#[cfg_attr(not(unix), allow(dead_code))]
pub(crate) struct BindOptions {
    pub(crate) backlog: u32,
    /// TCP.
    pub(crate) reuse_address: bool,
    /// TCP and UDP.
    pub(crate) reuse_port: bool,
    pub(crate) dual_stack: bool,
    /// UDP.
    pub(crate) broadcast: bool,
    pub(crate) multicast: Vec<IpAddr>,
    /// Datagram sockets.
    pub(crate) recv_buffer_size: Option<usize>,
    pub(crate) send_buffer_size: Option<usize>,
    /// Unix sockets.
    pub(crate) mode: u32,
    pub(crate) remove_stale: bool,
}

impl Default for BindOptions {
    fn default() -> Self {
        BindOptions {
            backlog: DEFAULT_BACKLOG,
            reuse_address: true,
            reuse_port: false,
            dual_stack: false,
            broadcast: false,
            multicast: Vec::new(),
            recv_buffer_size: None,
            send_buffer_size: None,
            mode: 0o600,
            remove_stale: false,
        }
    }
}

/// An address that has no IPv6 meaning was to be bound for both families.
pub(crate) fn no_dual_stack(endpoint: &Endpoint) -> Error {
    Error::InvalidSetting {
        setting: "dual_stack",
        value: format!("true on {endpoint}"),
        reason: "one socket for both families is an IPv6 one; bind to [::] for all interfaces".into(),
    }
}

/// The last steps to a listener: `listen`, and no waiting in `accept`.
pub(crate) fn listen(socket: &Socket, backlog: u32) -> io::Result<()> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)
}

/// Accepts a connection, in blocking mode. The peer's address is the one accept reports: asking later fails if the peer is gone.
#[cfg(not(windows))]
pub(crate) fn accept(listener: &SockRef<'_>) -> io::Result<(Socket, SockAddr)> {
    let (socket, peer) = listener.accept()?;
    // Linux gives accepted sockets a mode of their own; the BSDs give them the listener's.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    socket.set_nonblocking(false)?;
    // What std does for its own sockets on systems that have no flag for it on each call.
    #[cfg(target_vendor = "apple")]
    let _ = socket.set_nosigpipe(true);
    Ok((socket, peer))
}
