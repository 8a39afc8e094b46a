//! The hooks that requests meet.

use std::fmt;

use super::failure::{Cause, Failure, Stage};
use super::guard::guarded;
use crate::address::Address;
use crate::control::{Counters, ServerHandle, Throttle};

pub(crate) type VerifyRequest = Box<dyn Fn(&Address) -> bool + Send + Sync>;
pub(crate) type HandleError = Box<dyn Fn(&Failure) + Send + Sync>;
pub(crate) type ServerHook = Box<dyn FnMut(&ServerHandle) + Send>;

/// `verify_request` and `handle_error`. The two that the serving thread runs, `handle_timeout` and `service_actions`, are with it.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) verify_request: Option<VerifyRequest>,
    pub(crate) handle_error: Option<HandleError>,
    failures: Throttle,
    disconnects: Throttle,
    panics: Throttle,
    hook_panics: Throttle,
}

impl Hooks {
    /// Counts a failure and gives it to the user's hook, or logs it.
    pub(crate) fn report(&self, counters: &Counters, failure: &Failure) {
        let panics = failure.causes().filter(|cause| matches!(cause, Cause::Panic(_))).count();
        for _ in 0..panics {
            counters.panics.add_one();
        }
        // A request that found nobody to serve it is counted as that already.
        if failure.stage() != Stage::Dispatch && failure.causes().any(|cause| matches!(cause, Cause::Error(_))) {
            counters.handler_errors.add_one();
        }
        // The error's own `Display` is user code too.
        let told = guarded(Stage::Handle, || match &self.handle_error {
            Some(hook) => hook(failure),
            // A bug in the program, which no flood of other errors may hide.
            None if panics > 0 => self.panics.log(log::Level::Warn, failure),
            None if failure.is_disconnect() => self.disconnects.log(log::Level::Debug, failure),
            None => self.failures.log(log::Level::Warn, failure),
        });
        if let Err(panic) = told {
            counters.panics.add_one();
            self.hook_panics.log(log::Level::Error, format_args!("in handle_error: {}", panic.cause()));
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("verify_request", &self.verify_request.is_some())
            .field("handle_error", &self.handle_error.is_some())
            .finish_non_exhaustive()
    }
}
