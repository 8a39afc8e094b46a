//! Unix sockets: the servers, their listeners, and their paths.

mod datagram;
mod listener;
mod path;
mod server;

pub use datagram::{ThreadingUnixDatagramServer, UnixDatagramListener, UnixDatagramServer};
pub use listener::UnixListener;
pub use server::{ThreadingUnixStreamServer, UnixStreamServer};
