//! UDP: the client.
//!
//! [`UdpClient`] asks one peer, and waits and asks again within one deadline. [`RequestId`] is what tells an answer to this request
//! from any other, for both sides.

mod client;
mod client_builder;
mod client_stats;
mod port;
mod request_id;
mod retries;

pub use client::UdpClient;
pub use client_builder::UdpClientBuilder;
pub use client_stats::UdpClientStats;
pub use request_id::RequestId;
