//! [`DatagramTransport`].

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::UdpSocket;

use crate::address::canonical;
use crate::control::{Control, ServerHandle};
use crate::datagram::{check_length, AnswerLimit};

/// The most that may wait for room in the system's buffer, in bytes, for all peers together; more is dropped and counted. It seldom comes to waiting, because
/// a datagram that the network does not take is dropped there.
const MOST_WAITING: usize = 1024 * 1024;

/// What a waiting datagram costs beside its bytes.
const OVERHEAD: usize = 64;

/// The socket, as its [`DatagramProtocol`](super::DatagramProtocol) sees it. asyncio's `DatagramTransport`.
pub struct DatagramTransport {
    pub(super) socket: UdpSocket,
    pub(super) local_addr: SocketAddr,
    pub(super) control: Arc<Control>,
    waiting: VecDeque<(Box<[u8]>, SocketAddr)>,
    waiting_bytes: usize,
    /// Whose datagram is being delivered, and what may be answered to it, where that is limited.
    pub(super) answering: Option<(SocketAddr, AnswerLimit)>,
    pub(super) closing: bool,
}

impl DatagramTransport {
    pub(super) fn new(socket: UdpSocket, local_addr: SocketAddr, control: Arc<Control>) -> Self {
        DatagramTransport {
            socket,
            local_addr,
            control,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            answering: None,
            closing: false,
        }
    }

    /// Sends a datagram, which may be empty. Never waits: where the system's buffer is full it is kept, in order, up to a mebibyte for
    /// all peers together. asyncio's `sendto`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] where it is longer than a datagram can be (65,507 bytes over IPv4);
    /// [`io::ErrorKind::PermissionDenied`] where it would go past the builder's `answer_limit`, which counts what is sent to a datagram's
    /// sender before `datagram_received` returns;
    /// [`io::ErrorKind::WouldBlock`] where too much waits already, which is counted in [`Stats::dropped`](crate::Stats::dropped);
    /// [`io::ErrorKind::NotConnected`] after [`close`](DatagramTransport::close); whatever the system says.
    pub fn send_to(&mut self, data: &[u8], peer: SocketAddr) -> io::Result<()> {
        if self.closing {
            let reason = format!("cannot send to {peer}: the socket on {} is closing", self.local_addr);
            return Err(io::Error::new(io::ErrorKind::NotConnected, reason));
        }
        check_length(data, peer)?;
        if let Some(limit) = self.answer_limit(peer) {
            limit.charge(data.len(), &peer)?;
        }
        let sent = self.send_or_keep(data, peer);
        if let (Err(_), Some(limit)) = (&sent, self.answer_limit(peer)) {
            limit.refund(data.len());
        }
        sent
    }

    /// What limits a datagram to that peer, if it is an answer.
    fn answer_limit(&self, peer: SocketAddr) -> Option<&AnswerLimit> {
        // An IPv6 socket sends to an IPv4 peer by either of its names.
        let name = |address| {
            let address = canonical(address);
            (address.ip(), address.port())
        };
        let (asker, limit) = self.answering.as_ref()?;
        (name(*asker) == name(peer)).then_some(limit)
    }

    fn send_or_keep(&mut self, data: &[u8], peer: SocketAddr) -> io::Result<()> {
        if self.waiting.is_empty() {
            match self.send_now(data, peer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
        self.keep(data, peer)
    }

    /// Has a datagram wait, if there is room.
    pub(super) fn keep(&mut self, data: &[u8], peer: SocketAddr) -> io::Result<()> {
        let cost = data.len() + OVERHEAD;
        if self.waiting_bytes + cost > MOST_WAITING {
            let reason = format!("cannot send to {peer}: too much waits to be sent already, to all peers together");
            self.control.datagram_dropped(&reason);
            return Err(io::Error::new(io::ErrorKind::WouldBlock, reason));
        }
        self.waiting_bytes += cost;
        self.waiting.push_back((data.into(), peer));
        Ok(())
    }

    fn send_now(&self, data: &[u8], peer: SocketAddr) -> io::Result<()> {
        loop {
            match self.socket.send_to(data, peer) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends what waits, as far as the system takes it. Stops at an error, with that datagram dropped.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(&(ref data, peer)) = self.waiting.front() {
            match self.send_now(data, peer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                result => {
                    self.waiting_bytes -= data.len() + OVERHEAD;
                    self.waiting.pop_front();
                    if let Err(error) = result {
                        self.control.datagram_dropped(format_args!("cannot send to {peer}: {error}"));
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Drops and counts what waits.
    pub(super) fn drop_waiting(&mut self) {
        for (_, peer) in self.waiting.drain(..) {
            self.control.datagram_dropped(format_args!("it waited to be sent to {peer} when the socket was closed"));
        }
        self.waiting_bytes = 0;
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Serves the socket no more; `connection_lost(None)` follows. What still waits is tried once, and dropped and counted
    /// where the system does not take it. asyncio's `close`.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// The address the socket is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The bytes that wait to be sent.
    pub fn write_buffer_size(&self) -> usize {
        self.waiting_bytes - self.waiting.len() * OVERHEAD
    }

    /// The socket's options, such as multicast memberships.
    pub fn socket(&self) -> socket2::SockRef<'_> {
        socket2::SockRef::from(&self.socket)
    }

    /// The server this socket belongs to.
    pub fn server(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.control))
    }
}

impl fmt::Debug for DatagramTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramTransport")
            .field("local_addr", &self.local_addr)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}
