use std::net::{SocketAddr, UdpSocket};

use anyhow::Context;
use socketserver::udp::RequestId;

use super::{bind, Started};

/// Bytes of an [`Order`].
const ORDER: usize = 9;

/// What a request asks of the forger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Datagrams with a wrong id, to begin with.
    pub forgeries: u64,
    /// Whether the true answer follows.
    pub answers: bool,
}

impl Order {
    pub fn to_bytes(self) -> [u8; ORDER] {
        let mut bytes = [u8::from(self.answers); ORDER];
        bytes[1..].copy_from_slice(&self.forgeries.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Order> {
        let (&[answers], forgeries) = bytes.split_first_chunk()?;
        Some(Order { forgeries: u64::from_le_bytes(forgeries.try_into().ok()?), answers: answers != 0 })
    }
}

/// A peer that answers a request with forgeries first, as fast as it can, and from the very socket that the true answer comes from.
pub(super) fn start() -> anyhow::Result<Started> {
    let (socket, address) = bind()?;
    Ok(Started { address, serve: Box::new(move || serve(&socket)) })
}

/// Serves until something comes that is no order.
pub fn serve(socket: &UdpSocket) -> anyhow::Result<()> {
    let mut buffer = [0; 100];
    let mut forged_for = None;
    loop {
        let (count, client) = socket.recv_from(&mut buffer)?;
        let (id, payload) = RequestId::split(&buffer[..count]).context("a request without an id")?;
        let order = Order::from_bytes(payload).context("a request that is no order")?;
        // One that comes again, because the answer found the client's buffer full, has had its forgeries.
        if forged_for.replace(id) != Some(id) {
            forge(socket, client, id, order)?;
        }
        if order.answers {
            socket.send_to(&id.prefix(payload), client)?;
        }
    }
}

/// Each is as near as can be: one bit of the id is wrong. What it says is not what the true answer does.
fn forge(socket: &UdpSocket, client: SocketAddr, id: RequestId, order: Order) -> anyhow::Result<()> {
    let id = u64::from_ne_bytes(id.to_bytes());
    let says = Order { answers: !order.answers, ..order }.to_bytes();
    for number in 0..order.forgeries {
        let wrong = id ^ 1 << (number % 64);
        socket.send_to(&RequestId::from(wrong.to_ne_bytes()).prefix(&says), client)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        for order in [Order { forgeries: 1_000_000, answers: true }, Order { forgeries: 0, answers: false }] {
            assert_eq!(Order::from_bytes(&order.to_bytes()), Some(order));
        }
        assert_eq!(Order::from_bytes(&[1, 2, 3]), None);
    }
}
