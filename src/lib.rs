//! Python's `socketserver` for Rust.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod connection;
mod control;
mod error;
pub mod framing;
mod handler;
pub mod net;
pub mod server;
mod socket_listener;
mod socket_stream;
mod stream;
mod sync;
mod sys;
pub mod tcp;
#[cfg(unix)]
pub mod unix;

pub use address::Address;
pub use connection::{Connection, ConnectionWriter, Keepalive, RequestContext};
pub use control::{ServerHandle, ShutdownReport, Stats};
pub use error::{Error, Phase, Result};
pub use handler::{handler_fn, Handler, HandlerFn, HandlerResult};
pub use server::{Failure, Handled, Overload, Running, Server, Stage};
pub use stream::{Stream, Wait};
pub use tcp::{TcpServer, ThreadingTcpServer};
#[cfg(unix)]
pub use unix::{ThreadingUnixStreamServer, UnixStreamServer};
