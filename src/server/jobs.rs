//! [`Jobs`]: a server's requests as jobs for its dispatch strategy.

use std::any::TypeId;
use std::sync::Arc;

use super::acceptor::{Inline, Taken, Takes};
use super::dispatch::{Dispatch, Refused};
use super::failure::{Cause, Failure, Stage};
use super::guard::guarded;
use super::request::Request;
use super::sequential::Sequential;
use super::service::Service;
use super::slot::Slot;

/// Whether it is the strategy that does no more with a request than serve it. A job to hand over would be all that it costs, and of a
/// datagram's cost that is a good part.
pub(crate) fn is_sequential<D: Dispatch>() -> bool {
    TypeId::of::<D>() == TypeId::of::<Sequential>()
}

/// Makes a job of each request and hands it to the dispatch strategy.
pub(crate) struct Jobs<R, D> {
    pub(crate) dispatch: D,
    pub(crate) service: Arc<Service<R>>,
}

impl<R: Request, D: Dispatch> Takes<R> for Jobs<R, D> {
    fn take(&mut self, request: R, slot: Slot, more: &mut dyn FnMut() -> Option<R>) -> Result<Taken, Failure> {
        let control = &self.service.reception.control;
        if is_sequential::<D>() {
            let _inline = Inline::enter(control);
            let mut taken = self.service.serve_here(request);
            while !control.gate.is_stopping() {
                let Some(request) = more() else { break };
                taken = self.service.serve_here(request);
            }
            drop(slot);
            return Ok(taken);
        }
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
