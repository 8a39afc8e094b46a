//! [`ServerHandle`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Control, Stats};
use crate::address::Address;

/// A server seen from elsewhere: stops it, asks whether it is stopping, reads its counters.
///
/// Cheap to clone, and valid in any thread, in a handler, before the server starts and after it has ended.
/// Python's `self.server`.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    control: Arc<Control>,
}

impl ServerHandle {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        ServerHandle { control }
    }

    /// Stops the server: no request is accepted any more (but for those already waiting in the kernel's queue, which are taken once
    /// into the free places), those under way get the drain timeout, then their sockets are shut down.
    ///
    /// Never blocks, can be called on any thread, in a handler too, and as often as you like; but not within an asynchronous signal handler (that
    /// of sigaction(2)), because it takes a lock and may log. The closure of the crate `ctrlc` runs on a thread. Called before the server starts,
    /// it makes the start return at once. Python's `shutdown`, without its wait and its deadlock; to wait, join what
    /// [`spawn`](crate::Server::spawn) returned.
    pub fn shutdown(&self) {
        self.stop(self.control.drain_timeout);
    }

    /// As [`shutdown`](ServerHandle::shutdown), with a drain timeout for this stop. Zero cuts at once. A server that is stopping
    /// already keeps its deadline if that is the earlier one, so this is what a second Ctrl-C may call:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn on_signal(handle: &socketserver::ServerHandle) {
    /// if handle.is_shutting_down() {
    ///     handle.shutdown_within(Duration::ZERO);
    /// } else {
    ///     handle.shutdown();
    /// }
    /// # }
    /// ```
    pub fn shutdown_within(&self, drain_timeout: Duration) {
        self.stop(Some(drain_timeout));
    }

    fn stop(&self, drain_timeout: Option<Duration>) {
        // A timeout too long for the clock is one that never comes.
        let deadline = drain_timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let stop = self.control.gate.stop(deadline);
        if stop.first {
            log::debug!("shutting down the server on {}", self.control.address);
        }
        if stop.drain_elsewhere {
            self.control.drain_elsewhere();
        }
    }

    /// Whether a stop has been asked for. A handler that works in steps looks here between them.
    pub fn is_shutting_down(&self) -> bool {
        self.control.gate.is_stopping()
    }

    /// The server's counters.
    pub fn stats(&self) -> Stats {
        self.control.counters.snapshot(self.control.gate.active())
    }

    /// The address the server was bound to. Python's `server_address`. Of a connection that belongs to no server, the peer's.
    pub fn local_addr(&self) -> Address {
        self.control.address.clone()
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.control
    }
}
