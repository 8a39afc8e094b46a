//! UDP: the servers, their listener, and the client.
//!
//! [`UdpServer`] and [`ThreadingUdpServer`] serve each [`Datagram`](crate::Datagram) with a handler, as the stream servers serve
//! connections. [`UdpClient`] asks one peer, and waits and asks again within one deadline. [`RequestId`] is what tells an answer to this
//! request from any other, for both sides: a client's [`request_identified`](UdpClient::request_identified), and a server's handler within
//! [`Identified`].

mod client;
mod client_builder;
mod client_stats;
mod identified;
mod listener;
mod port;
mod request_id;
mod retries;
mod server;
mod trouble;

pub use client::UdpClient;
pub use client_builder::UdpClientBuilder;
pub use client_stats::UdpClientStats;
pub use identified::Identified;
pub(crate) use listener::bind_udp;
pub use listener::UdpListener;
pub use request_id::RequestId;
pub use server::{ThreadingUdpServer, UdpServer};
