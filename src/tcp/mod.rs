//! TCP: the servers, their listener, and connecting.

mod listener;
mod server;

pub use listener::{TcpListener, TcpOptions};
pub use server::{TcpServer, ThreadingTcpServer};
