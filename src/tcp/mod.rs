//! TCP: the servers, their listener, and connecting.

mod connect;
mod listener;
mod server;

pub use connect::{connect, Connector};
pub use listener::TcpListener;
pub use server::{TcpServer, ThreadingTcpServer};
