//! [`DatagramProtocol`].

use std::io;
use std::net::SocketAddr;

use super::transport::DatagramTransport;

/// Serves a datagram socket by callbacks. asyncio's `DatagramProtocol`.
///
/// One value serves all peers. What its callbacks may not do is said at [`Protocol`](crate::Protocol). A panic costs the
/// datagram that brought it about and nothing else: it is counted, and `handle_error` is told.
///
/// ```
/// use std::net::SocketAddr;
/// use socketserver::reactor::{DatagramProtocol, DatagramTransport, ReactorUdp};
///
/// struct Echo;
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr) {
///         let _ = transport.send_to(data, peer); // a datagram may always be lost
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let running = ReactorUdp::bind("127.0.0.1:0", Echo)?.spawn()?;
///
/// let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"hello", running.local_addr())?;
/// let mut answer = [0; 16];
/// let (count, _) = client.recv_from(&mut answer)?;
/// assert_eq!(&answer[..count], b"hello");
/// running.stop()?;
/// # Ok(()) }
/// ```
#[allow(unused_variables)]
pub trait DatagramProtocol: Send + 'static {
    /// The socket is being served from now on.
    fn connection_made(&mut self, transport: &mut DatagramTransport) {}

    /// A datagram has come, whole; an empty one is one too. Those longer than `max_packet_size` are dropped and counted.
    fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr);

    /// The system has reported an error, such as that an earlier datagram could not be delivered, or one that had to wait cannot be sent.
    /// The socket goes on.
    fn error_received(&mut self, transport: &mut DatagramTransport, error: &io::Error) {}

    /// The socket is not served any more: `None` when the server has stopped or [`close`](DatagramTransport::close) was called. Called once,
    /// last.
    fn connection_lost(&mut self, transport: &mut DatagramTransport, error: Option<&io::Error>) {}
}
