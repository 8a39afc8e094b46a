//! [`Datagram`] and the sockets it comes through.

mod answer_limit;
#[cfg(all(feature = "recvmmsg", target_os = "linux"))]
mod batch;
mod receiver;
mod socket;

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use socket2::SockRef;

use crate::address::Address;
use crate::connection::RequestContext;
use crate::control::ServerHandle;

pub(crate) use answer_limit::AnswerLimit;
pub(crate) use receiver::{Forged, Receiver, TooLong};
pub(crate) use socket::{check_length, DatagramSocket, Sender};

/// A datagram: the request of a UDP or Unix datagram server. Python's `request` of a `UDPServer`, which is the data and the socket.
///
/// [`data`](Datagram::data) is the whole of it, and [`reply`](Datagram::reply) answers it, as often as you like or not at all. It can also
/// be read like a stream that ends ([`Read`], [`BufRead`]), as Python's `rfile`.
///
/// ```
/// use socketserver::{handler_fn, Datagram, UdpServer};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shout = |request: &mut Datagram| Ok(request.reply(&request.data().to_ascii_uppercase())?);
/// let running = UdpServer::bind("127.0.0.1:0", handler_fn(shout))?.spawn()?;
///
/// let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// client.connect(running.local_addr())?;
/// client.send(b"hello")?;
/// let mut answer = [0; 16];
/// let count = client.recv(&mut answer)?;
/// assert_eq!(&answer[..count], b"HELLO");
/// running.stop()?;
/// # Ok(()) }
/// ```
pub struct Datagram {
    data: Vec<u8>,
    /// What of the data has been read, or does not belong to it.
    read: usize,
    /// Where the data begins: behind what a wrapper of the handler has taken off.
    start: usize,
    truncated: bool,
    peer: Address,
    sender: Sender,
    socket: Arc<DatagramSocket>,
    context: RequestContext,
    /// What goes before every answer.
    answer_prefix: Vec<u8>,
    answer_limit: AnswerLimit,
}

impl Datagram {
    pub(crate) fn new(
        data: Vec<u8>,
        truncated: bool,
        sender: Sender,
        socket: &Arc<DatagramSocket>,
        context: &RequestContext,
        answer_limit: AnswerLimit,
    ) -> Self {
        Datagram {
            data,
            read: 0,
            start: 0,
            truncated,
            peer: sender.address(),
            sender,
            socket: Arc::clone(socket),
            context: context.clone(),
            answer_prefix: Vec::new(),
            answer_limit,
        }
    }

    /// What was sent. It may be empty: that is a datagram too.
    pub fn data(&self) -> &[u8] {
        self.data.get(self.start..).unwrap_or_default()
    }

    /// Who sent it. Python's `client_address`. A Unix socket that did not bind has no name, and cannot be answered.
    pub fn peer_addr(&self) -> Address {
        self.peer.clone()
    }

    pub(crate) fn peer(&self) -> &Address {
        &self.peer
    }

    /// The address the server is bound to. Where that is a wildcard, it does not say which of the host's addresses the datagram was sent
    /// to: that takes control messages, for which std and socket2 have no safe call. Bind one server to each address instead.
    pub fn local_addr(&self) -> Address {
        self.context.server().local_addr()
    }

    /// Whether it was longer than `max_packet_size`, and the rest of it is lost. Such datagrams are dropped and counted unless the
    /// builder's `deliver_truncated` asks for them.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The server this datagram came to. Python's `self.server`.
    pub fn server(&self) -> ServerHandle {
        self.context.server()
    }

    /// The socket, with every option that socket2 knows; `None` on the few systems where mio needs it for itself (neither epoll nor
    /// kqueue).
    pub fn socket(&self) -> Option<SockRef<'_>> {
        self.socket.as_sock_ref()
    }

    /// Sends an answer, which may be empty, from the server's socket. Nothing is sent unless this is called. Python's
    /// `socket.sendto(data, self.client_address)`.
    ///
    /// Where the system's buffer is full, or on a Unix socket the receiver's, it waits for room, for the builder's `reply_timeout`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] where it is longer than a datagram can be (65,507 bytes over IPv4), before anything is sent;
    /// [`io::ErrorKind::NotConnected`] where the sender has no address to answer to; [`io::ErrorKind::PermissionDenied`] where it
    /// would go past the builder's `answer_limit`; [`io::ErrorKind::TimedOut`]; [`io::ErrorKind::ConnectionAborted`] once a stop has cut
    /// the requests that were still under way at its deadline; whatever the system says.
    pub fn reply(&self, answer: &[u8]) -> io::Result<()> {
        if self.answer_prefix.is_empty() {
            return self.send(answer);
        }
        self.send(&[&self.answer_prefix, answer].concat())
    }

    fn send(&self, answer: &[u8]) -> io::Result<()> {
        let timeout = self.context.settings().datagrams.reply_timeout.unwrap_or_else(|| self.socket.reply_timeout());
        self.answer_limit.charge(answer.len(), &self.peer)?;
        let sent = self.socket.send(answer, &self.sender, timeout, &self.context);
        if sent.is_err() {
            self.answer_limit.refund(answer.len());
        }
        sent
    }

    /// Sends an answer that nobody has asked a handler for, if it is shorter than the request and there is room for it.
    ///
    /// Of two servers that are made to answer one another, by a datagram with a forged address, one sends no shorter words than the
    /// other, and so neither goes on.
    pub(crate) fn say_in_leaving(&self, words: &[u8]) {
        if words.len() < self.data.len() {
            let _ = self.socket.try_send(words, &self.sender);
        }
    }

    /// It was not what the handler serves.
    pub(crate) fn dropped(&self, why: &str) {
        self.context.datagram_dropped(format_args!("{why}, from {}", self.peer));
    }

    /// Takes so many bytes off the front, which then go before every answer.
    pub(crate) fn take_envelope(&mut self, bytes: usize) {
        self.answer_prefix = self.data.get(..bytes).unwrap_or_default().to_vec();
        self.start = bytes.min(self.data.len());
        self.read = self.start;
    }
}

impl Read for Datagram {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = Read::read(&mut self.fill_buf()?, buf)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Datagram {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.data.get(self.read..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.read = self.read.saturating_add(amount).min(self.data.len());
    }
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagram")
            .field("peer", &self.peer)
            .field("len", &self.data().len())
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}
