//! [`Jobs`]: a server's requests as jobs for its dispatch strategy.

use std::sync::Arc;

use super::acceptor::{Inline, Taken, Takes};
use super::dispatch::{Dispatch, Refused};
use super::failure::{Cause, Failure, Stage};
use super::guard::guarded;
use super::request::Request;
use super::service::Service;
use super::slot::Slot;

/// Makes a job of each request and hands it to the dispatch strategy.
pub(crate) struct Jobs<R, D> {
    pub(crate) dispatch: D,
    pub(crate) service: Arc<Service<R>>,
}

impl<R: Request, D: Dispatch> Takes<R> for Jobs<R, D> {
    fn take(&mut self, request: R, slot: Slot) -> Result<Taken, Failure> {
        let control = &self.service.reception.control;
        let rejected_before = control.counters.rejected.get();
        let peer = request.peer().clone();
        let job = self.service.job(request, slot);
        let inline = self.dispatch.runs_inline().then(|| Inline::enter(control));
        let dispatched = guarded(Stage::Dispatch, || self.dispatch.dispatch(job));
        drop(inline);
        match dispatched.map_err(|failure| failure.of_peer(&peer))? {
            Ok(()) if self.dispatch.runs_inline() && control.counters.rejected.get() > rejected_before => {
                Ok(Taken::TurnedAway)
            }
            Ok(()) => Ok(Taken::Served),
            Err(Refused { job, error }) => {
                // Closes the client and frees its place, before anybody is told.
                let _ = guarded(Stage::Close, move || drop(job));
                Err(Failure::new(Stage::Dispatch, Cause::Error(error.into())).of_peer(&peer))
            }
        }
    }
}
