//! [`Reception`]: whom a server lets in, and whom it tells what went wrong.

use std::sync::Arc;

use super::failure::{Failure, Stage};
use super::farewell::Farewells;
use super::guard::guarded;
use super::hooks::Hooks;
use super::overload::Overload;
use super::per_address::{Admission, PerAddress};
use super::request::sealed::Arrival;
use crate::address::Address;
use crate::control::{Control, Throttle};

/// What the requests of one server have in common before and around being served, whoever serves them.
pub(crate) struct Reception {
    pub(crate) control: Arc<Control>,
    hooks: Hooks,
    per_address: Option<Arc<PerAddress>>,
    farewells: Farewells,
    trouble: Throttle,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `verify_request` said no.
    Unwelcome,
    /// The ceiling has been reached, or the address has its fill.
    OverLimit,
}

impl Reception {
    pub(crate) fn new(control: Arc<Control>, hooks: Hooks, max_per_address: Option<usize>, overload: Overload) -> Self {
        Reception {
            control,
            hooks,
            per_address: max_per_address.map(|limit| Arc::new(PerAddress::new(limit))),
            farewells: Farewells::new(match overload {
                Overload::Wait => &[],
                Overload::Reject(farewell) => farewell,
            }),
            trouble: Throttle::default(),
        }
    }

    /// Counts a failure and tells `handle_error`, or the log.
    pub(crate) fn report(&self, failure: Failure) {
        self.hooks.report(&self.control.counters, &failure);
        // The error in it may be the user's own, and so may its drop.
        self.contained(|| drop(failure));
    }

    /// Asks `verify_request` and looks at the limit per address. What is returned counts the peer until it is dropped.
    pub(crate) fn admit(&self, peer: &Address) -> Result<Option<Admission>, Refusal> {
        if !self.verify(peer) {
            return Err(Refusal::Unwelcome);
        }
        match &self.per_address {
            Some(table) => table.admit(peer).map_err(|()| Refusal::OverLimit),
            None => Ok(None),
        }
    }

    fn verify(&self, peer: &Address) -> bool {
        let Some(verify) = &self.hooks.verify_request else { return true };
        guarded(Stage::VerifyRequest, || verify(peer)).unwrap_or_else(|failure| {
            self.report(failure.of_peer(peer));
            false
        })
    }

    /// Counts somebody who is not let in, and takes leave of them.
    pub(crate) fn turn_away<R: Arrival>(&self, request: R, refusal: Refusal) {
        self.control.counters.rejected.add_one();
        match refusal {
            Refusal::Unwelcome => self.farewells.silently(request),
            Refusal::OverLimit => self.farewells.over_limit(request),
        }
    }

    /// Runs what the crate itself does around a request. What can panic there is a stream or an error value of the user's own;
    /// hooks and handlers are guarded one by one.
    pub(crate) fn contained(&self, work: impl FnOnce()) {
        if let Err(panic) = guarded(Stage::Close, work) {
            self.control.counters.panics.add_one();
            self.trouble.log(log::Level::Error, format_args!("in the course of a request: {}", panic.cause()));
        }
    }

    /// No request will come any more.
    pub(crate) fn stop(&self) {
        self.farewells.stop();
    }
}
