//! UDP: the servers and their listener.

mod listener;
mod server;

pub(crate) use listener::bind_udp;
pub use listener::UdpListener;
pub use server::{ThreadingUdpServer, UdpServer};
