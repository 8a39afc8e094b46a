//! [`Receiver`]: where datagrams come from.

use std::fmt;
use std::io;
use std::sync::Arc;

#[cfg(all(feature = "recvmmsg", target_os = "linux"))]
use super::batch::Batch;
use super::socket::{DatagramSocket, Sender};
use super::{AnswerLimit, Datagram};
use crate::connection::{DatagramSettings, RequestContext};
use crate::server::AcceptError;

/// How many datagrams in a row are dropped before the server looks whether anything else is to be done.
const DROPS_AT_ONCE: usize = 64;

/// The receiving half of a datagram server's listener.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) socket: Arc<DatagramSocket>,
    /// One byte more than the longest datagram that is delivered: one that fills it was longer.
    buffer: Vec<u8>,
    #[cfg(all(feature = "recvmmsg", target_os = "linux"))]
    batch: Option<Batch>,
}

impl Receiver {
    pub(crate) fn new(socket: DatagramSocket) -> Self {
        Receiver {
            socket: Arc::new(socket),
            buffer: Vec::new(),
            #[cfg(all(feature = "recvmmsg", target_os = "linux"))]
            batch: None,
        }
    }

    /// Receives a datagram that is to be served.
    pub(crate) fn receive(&mut self, context: &RequestContext) -> Result<Datagram, AcceptError> {
        let DatagramSettings { max_packet_size, deliver_truncated, answer_limit, .. } = context.settings().datagrams;
        for _ in 0..DROPS_AT_ONCE {
            let (data, sender) = self.next(context)?;
            let truncated = data.len() > max_packet_size;
            if truncated && !deliver_truncated {
                context.datagram_dropped(TooLong { peer: &sender.address(), most: max_packet_size });
                continue;
            }
            if sender.is_forged() {
                context.datagram_dropped(Forged { peer: &sender.address() });
                continue;
            }
            let data = data.get(..max_packet_size).unwrap_or(data).to_vec();
            let limit = AnswerLimit::new(data.len(), answer_limit);
            return Ok(Datagram::new(data, truncated, sender, &self.socket, context, limit));
        }
        // One more would do as well, but a stop wants to be looked for.
        Err(AcceptError::Again)
    }

    /// The next datagram, cut after the first byte that is too much.
    fn next(&mut self, context: &RequestContext) -> io::Result<(&[u8], Sender)> {
        let length = context.settings().datagrams.max_packet_size.saturating_add(1);
        #[cfg(all(feature = "recvmmsg", target_os = "linux"))]
        if let (DatagramSocket::Udp(socket), 2..) = (&*self.socket, context.settings().datagrams.receive_batch) {
            let batch = self.batch.get_or_insert_with(|| Batch::new(context, length));
            let (data, sender) = batch.next(socket)?;
            return Ok((data, Sender::Inet(sender)));
        }
        if self.buffer.is_empty() {
            self.buffer = vec![0; length];
        }
        let (count, sender) = self.socket.receive(&mut self.buffer)?;
        Ok((self.buffer.get(..count).unwrap_or_default(), sender))
    }
}

/// Why a datagram is dropped that is longer than `max_packet_size`.
pub(crate) struct TooLong<'a, A> {
    pub(crate) peer: &'a A,
    pub(crate) most: usize,
}

impl<A: fmt::Display> fmt::Display for TooLong<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one from {} has more than {} bytes (max_packet_size)", self.peer, self.most)
    }
}

/// Why a datagram is dropped whose [`Sender`] is forged.
pub(crate) struct Forged<'a, A> {
    pub(crate) peer: &'a A,
}

impl<A: fmt::Display> fmt::Display for Forged<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its sender is said to be {}", self.peer)
    }
}
