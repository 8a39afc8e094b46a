//! [`ServiceActions`], and running the hooks of the serving thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::acceptor::Inline;
use super::failure::Stage;
use super::guard::guarded;
use super::hooks::ServerHook;
use super::reception::Reception;
use crate::control::ServerHandle;

/// A hook that runs at intervals while the server serves.
pub(crate) struct ServiceActions {
    hook: ServerHook,
    interval: Duration,
    due: Option<Instant>,
}

impl ServiceActions {
    pub(crate) fn new(interval: Duration, hook: ServerHook) -> Self {
        ServiceActions { hook, interval, due: None }
    }

    /// Runs the hook if its time has come, and says when it comes next.
    pub(crate) fn run(&mut self, reception: &Reception) -> Option<Instant> {
        let now = Instant::now();
        if self.due.map_or(true, |due| due <= now) {
            if self.due.is_some() {
                run_hook(Stage::ServiceActions, &mut self.hook, reception);
            }
            self.due = Instant::now().checked_add(self.interval);
        }
        self.due
    }
}

/// Runs a hook of the serving thread. A stop that comes meanwhile is seen to elsewhere, as with an inline handler.
pub(crate) fn run_hook(stage: Stage, hook: &mut ServerHook, reception: &Reception) {
    let _inline = Inline::enter(&reception.control);
    let handle = ServerHandle::new(Arc::clone(&reception.control));
    if let Err(failure) = guarded(stage, || hook(&handle)) {
        reception.report(failure);
    }
}
