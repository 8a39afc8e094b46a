//! Unix sockets: the servers and their listener.

mod listener;
mod path;
mod server;

pub use listener::UnixListener;
pub use server::{ThreadingUnixStreamServer, UnixStreamServer};
