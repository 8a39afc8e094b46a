//! [`Handled`].

use std::io;

/// What [`handle_request`](super::Server::handle_request) came to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Handled {
    /// A request was served, successfully or not, or handed to a thread that serves it.
    Served,
    /// Nobody came within the builder's `timeout`. The `handle_timeout` hook has run.
    TimedOut,
    /// A client was turned away: by `verify_request` or the limit per address on a sequential server, at the ceiling, or because no
    /// thread could be started.
    Rejected,
    /// A client was lost, or the system is short of something. Python returns silently here.
    AcceptError(io::Error),
    /// The server is shutting down.
    ShutDown,
}
