//! Datagrams on the event loop.

mod protocol;
mod seat;
mod server;
mod transport;

pub use protocol::DatagramProtocol;
pub(crate) use seat::DatagramSeat;
pub use server::{ReactorUdp, ReactorUdpBuilder};
pub use transport::DatagramTransport;
