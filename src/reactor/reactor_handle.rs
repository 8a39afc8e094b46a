//! [`ReactorHandle`].

use std::time::Duration;

use crate::control::ServerHandle;

/// The servers of a [`Reactor`](super::Reactor) seen from elsewhere: stops them all. Cheap to clone, and valid in any thread.
#[derive(Debug, Clone)]
pub struct ReactorHandle {
    servers: Vec<ServerHandle>,
}

impl ReactorHandle {
    pub(crate) fn new(servers: Vec<ServerHandle>) -> Self {
        ReactorHandle { servers }
    }

    /// Stops all of them, each with its own drain timeout: [`ServerHandle::shutdown`].
    pub fn shutdown(&self) {
        self.servers.iter().for_each(ServerHandle::shutdown);
    }

    /// Stops all of them, with a drain timeout for this stop: [`ServerHandle::shutdown_within`].
    pub fn shutdown_within(&self, drain_timeout: Duration) {
        self.servers.iter().for_each(|server| server.shutdown_within(drain_timeout));
    }

    /// Whether all of them have been asked to stop. False where there are none: a handle taken before the servers were added.
    pub fn is_shutting_down(&self) -> bool {
        !self.servers.is_empty() && self.servers.iter().all(ServerHandle::is_shutting_down)
    }

    /// The servers, in the order in which they were added.
    pub fn servers(&self) -> &[ServerHandle] {
        &self.servers
    }
}
