//! [`RunningReactor`].

use std::panic::resume_unwind;
use std::thread::JoinHandle;

use super::reactor_handle::ReactorHandle;
use crate::control::ShutdownReport;
use crate::error::Result;
use crate::server::{CLOSE_LIMIT, RETURN_GRACE};

/// A [`Reactor`](super::Reactor) that serves on a thread of its own: what [`spawn`](super::Reactor::spawn) returns.
///
/// Dropping it stops all its servers, and waits until their ports are free but not for the connections under way.
#[derive(Debug)]
#[must_use = "dropping it stops the servers: keep it, and call `join` or `stop`"]
pub struct RunningReactor {
    handle: ReactorHandle,
    thread: Option<JoinHandle<Result<ShutdownReport>>>,
}

impl RunningReactor {
    pub(crate) fn new(handle: ReactorHandle, thread: JoinHandle<Result<ShutdownReport>>) -> Self {
        RunningReactor { handle, thread: Some(thread) }
    }

    /// A handle that stops all servers.
    pub fn handle(&self) -> ReactorHandle {
        self.handle.clone()
    }

    /// Waits until all servers have been stopped and have drained. It stops nothing: see [`stop`](RunningReactor::stop).
    ///
    /// # Errors
    /// What `serve_forever` returned.
    ///
    /// # Panics
    /// If the serving thread did, which takes a bug.
    pub fn join(mut self) -> Result<ShutdownReport> {
        let Some(thread) = self.thread.take() else { return Ok(ShutdownReport::default()) };
        let mut sum = ShutdownReport::default();
        for server in self.handle.servers() {
            match server.control().wait_ended(RETURN_GRACE) {
                (false, Some(report)) => sum = sum.and(report),
                // The thread has returned, so it has all of them.
                _ => return thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            }
        }
        Ok(sum)
    }

    /// Stops all servers and waits until they have drained.
    ///
    /// # Errors
    /// As [`join`](RunningReactor::join).
    pub fn stop(self) -> Result<ShutdownReport> {
        self.handle.shutdown();
        self.join()
    }
}

impl Drop for RunningReactor {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.handle.shutdown();
            for server in self.handle.servers() {
                server.control().wait_listener_closed(CLOSE_LIMIT);
            }
        }
    }
}
