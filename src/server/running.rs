//! [`Running`].

use std::fmt;
use std::panic::resume_unwind;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::control::{ServerHandle, ShutdownReport};
use crate::error::Result;

/// How long `join` waits, once the report is out, for the serving thread itself to return. It has nothing left to do then, unless
/// a handler that cannot be cut runs on it.
pub(crate) const RETURN_GRACE: Duration = Duration::from_millis(50);

/// The longest a drop waits for the listener to close: a bound for what should take a millisecond.
pub(crate) const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// A server that serves on a thread of its own: what [`Server::spawn`](super::Server::spawn) returns.
///
/// Dropping it stops the server, and waits until the port is free but not for the requests under way: those get the drain timeout,
/// behind the scenes.
///
/// A datagram server's requests answer through its one socket, so there the port is free only when the last of them has ended, and until
/// then the socket takes in what nobody serves. A short `drain_timeout` does not free it sooner where a handler does not end by itself.
#[must_use = "dropping it stops the server: keep it, and call `join` or `stop`"]
pub struct Running<A> {
    handle: ServerHandle,
    local_addr: A,
    thread: Option<JoinHandle<Result<ShutdownReport>>>,
}

impl<A: Clone> Running<A> {
    pub(crate) fn new(handle: ServerHandle, local_addr: A, thread: JoinHandle<Result<ShutdownReport>>) -> Self {
        Running { handle, local_addr, thread: Some(thread) }
    }

    /// The server's handle.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// The address the server listens on.
    pub fn local_addr(&self) -> A {
        self.local_addr.clone()
    }

    /// Waits until the server has been stopped and has drained. It stops nothing: call [`ServerHandle::shutdown`] for that,
    /// or [`stop`](Running::stop) for both. Returns within a fifth of a second of the drain deadline, whatever a handler
    /// does; where there is no drain deadline, when the last handler has returned.
    ///
    /// # Errors
    /// What `serve_forever` returned.
    ///
    /// # Panics
    /// If the serving thread did, which takes a bug.
    pub fn join(mut self) -> Result<ShutdownReport> {
        let Some(thread) = self.thread.take() else { return Ok(ShutdownReport::default()) };
        match self.handle.control().wait_ended(RETURN_GRACE) {
            (false, Some(report)) => Ok(report),
            _ => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
        }
    }

    /// Stops the server and waits until it has drained: [`ServerHandle::shutdown`] and [`join`](Running::join). Clients that stay
    /// connected are waited for until the drain deadline, this thread's own among them: drop those first.
    ///
    /// # Errors
    /// As [`join`](Running::join).
    pub fn stop(self) -> Result<ShutdownReport> {
        self.handle.shutdown();
        self.join()
    }
}

impl<A> Drop for Running<A> {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.handle.shutdown();
            self.handle.control().wait_listener_closed(CLOSE_LIMIT);
        }
    }
}

impl<A: fmt::Debug> fmt::Debug for Running<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("local_addr", &self.local_addr).field("handle", &self.handle).finish()
    }
}
