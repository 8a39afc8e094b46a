//! TCP: the servers, their listener, and connecting.

mod connect;
mod listener;
mod nonblocking;
mod race;
mod server;

pub use connect::{connect, Connector};
pub use listener::TcpListener;
pub use nonblocking::{connect_nonblocking, connect_outcome, listen};
pub use server::{TcpServer, ThreadingTcpServer};
