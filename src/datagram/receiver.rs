//! [`Receiver`]: where datagrams come from.

use std::io;
use std::sync::Arc;

use super::socket::DatagramSocket;
use super::Datagram;
use crate::connection::{DatagramSettings, RequestContext};

/// How many datagrams in a row are dropped before the server looks whether anything else is to be done.
const DROPS_AT_ONCE: usize = 64;

/// The receiving half of a datagram server's listener.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) socket: Arc<DatagramSocket>,
    /// One byte more than the longest datagram that is delivered: one that fills it was longer.
    buffer: Vec<u8>,
}

impl Receiver {
    pub(crate) fn new(socket: DatagramSocket) -> Self {
        Receiver { socket: Arc::new(socket), buffer: Vec::new() }
    }

    /// Receives a datagram that is to be served.
    pub(crate) fn receive(&mut self, context: &RequestContext) -> io::Result<Datagram> {
        let DatagramSettings { max_packet_size, deliver_truncated, answer_limit } = context.settings().datagrams;
        if self.buffer.is_empty() {
            self.buffer = vec![0; max_packet_size.saturating_add(1)];
        }
        for _ in 0..DROPS_AT_ONCE {
            let (count, sender) = self.socket.receive(&mut self.buffer)?;
            let truncated = count > max_packet_size;
            if truncated && !deliver_truncated || sender.is_forged() {
                context.count_dropped();
                continue;
            }
            let data = self.buffer.get(..count.min(max_packet_size)).unwrap_or_default().to_vec();
            let limit = answer_limit.map_or(usize::MAX, |times| data.len().saturating_mul(times));
            return Ok(Datagram::new(data, truncated, sender, &self.socket, context, limit));
        }
        // One more would do as well, but a stop wants to be looked for.
        Err(io::ErrorKind::Interrupted.into())
    }
}
