//! [`Service`]: what is done with a request, from its acceptance to its close.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::acceptor::Taken;
use super::dispatch::Job;
use super::failure::{Failure, Stage};
use super::guard::{guarded, guarded_result};
use super::listener::Prepare;
use super::prototype::Prototype;
use super::reception::Reception;
use super::request::Request;
use super::slot::{Place, Slot};
use crate::clock::after;
use crate::handler::Handler;

/// A handler whose type has been forgotten: clones the prototype and runs the clone.
type Serve<R> = Box<dyn Fn(&mut R) -> Result<(), Failure> + Send + Sync>;

/// What serves the requests of one server. The life of a request is [`Service::attend`].
pub(crate) struct Service<R> {
    pub(crate) reception: Arc<Reception>,
    pub(crate) handler: Serve<R>,
    pub(crate) preparation: Option<Arc<dyn Prepare<R>>>,
    pub(crate) prepare_timeout: Duration,
}

impl<R: Request> Service<R> {
    /// A job that serves the request.
    pub(crate) fn job(self: &Arc<Self>, request: R, slot: Slot) -> Job {
        let service = Arc::clone(self);
        Job::new(move || {
            service.reception.contained(|| {
                service.attend(request);
            });
            // The descriptor has gone first: who waits for the place may need it.
            Place::Served(slot)
        })
    }

    /// Serves the request on this very thread.
    pub(crate) fn serve_here(&self, request: R) -> Taken {
        let mut taken = Taken::Served;
        self.reception.contained(|| taken = self.attend(request));
        taken
    }

    /// Everything that is done with a request, to its end.
    fn attend(&self, mut request: R) -> Taken {
        if let Err(failure) = self.prepare(&mut request) {
            self.reception.report(failure.of_peer(request.peer()));
            return Taken::Served;
        }
        match self.reception.admit(request.peer()) {
            Ok(_admission) => {
                self.serve(&mut request);
                Taken::Served
            }
            Err(refusal) => {
                self.reception.turn_away(request, refusal);
                Taken::TurnedAway
            }
        }
    }

    fn serve(&self, request: &mut R) {
        let handled = (self.handler)(request);
        let failed = handled.is_err();
        if let Err(failure) = handled {
            self.reception.report(failure.of_peer(request.peer()));
        }
        let closed = guarded_result(Stage::Close, || Ok(request.close()?));
        if let (Err(failure), false) = (closed, failed) {
            // After a failed handler, a failing close adds nothing.
            self.reception.report(failure.of_peer(request.peer()));
        }
    }

    fn prepare(&self, request: &mut R) -> Result<(), Failure> {
        let Some(preparation) = &self.preparation else { return Ok(()) };
        let deadline = after(Instant::now(), self.prepare_timeout);
        guarded_result(Stage::Prepare, || {
            let mut step = |request: &mut R| preparation.prepare(request, deadline);
            Ok(request.within(deadline, self.prepare_timeout, &mut step)?)
        })
    }
}

/// Forgets the handler's type.
pub(crate) fn erase<R: 'static, H: Handler<R> + Clone>(prototype: H) -> Serve<R> {
    let prototype = Prototype::new(prototype);
    Box::new(move |request| {
        let Some(mut handler) = prototype.make()? else { return Ok(()) };
        let result = run(&mut handler, request);
        let dropped = guarded(Stage::Drop, || drop(handler));
        result.and(dropped)
    })
}

/// Python's order: setup, handle, finish.
fn run<R>(handler: &mut impl Handler<R>, request: &mut R) -> Result<(), Failure> {
    guarded_result(Stage::Setup, || handler.setup(request))?;
    let handled = guarded_result(Stage::Handle, || handler.handle(request));
    let finished = guarded_result(Stage::Finish, || handler.finish(request));
    match (handled, finished) {
        (Ok(()), finished) => finished,
        (Err(failure), Ok(())) => Err(failure),
        (Err(failure), Err(second)) => Err(failure.with_finish(Some(second.into_cause()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::HandlerResult;

    /// Writes down what runs, and fails where it is told to.
    #[derive(Clone, Default)]
    struct Script {
        fail: &'static str,
        panic: &'static str,
    }

    impl Script {
        fn step(&self, name: &'static str, log: &mut Vec<&'static str>) -> HandlerResult {
            log.push(name);
            if self.panic.contains(name) {
                panic!("{name} panics");
            }
            if self.fail.contains(name) {
                return Err(format!("{name} fails").into());
            }
            Ok(())
        }
    }

    impl Handler<Vec<&'static str>> for Script {
        fn setup(&mut self, log: &mut Vec<&'static str>) -> HandlerResult {
            self.step("setup", log)
        }
        fn handle(&mut self, log: &mut Vec<&'static str>) -> HandlerResult {
            self.step("handle", log)
        }
        fn finish(&mut self, log: &mut Vec<&'static str>) -> HandlerResult {
            self.step("finish", log)
        }
    }

    fn play(fail: &'static str, panic: &'static str) -> (Vec<&'static str>, String) {
        let mut log = Vec::new();
        let failure = erase(Script { fail, panic })(&mut log).err();
        (log, failure.map(|failure| failure.to_string()).unwrap_or_default())
    }

    #[test]
    fn pythons_order_and_error_rules() {
        let all = vec!["setup", "handle", "finish"];
        assert_eq!(play("", ""), (all.clone(), String::new()));
        assert_eq!(play("setup", ""), (vec!["setup"], "setup failed: setup fails".into()));
        assert_eq!(play("", "setup"), (vec!["setup"], "setup panicked: setup panics".into()));
        assert_eq!(play("handle", ""), (all.clone(), "handle failed: handle fails".into()));
        assert_eq!(play("", "handle"), (all.clone(), "handle panicked: handle panics".into()));
        assert_eq!(play("finish", ""), (all.clone(), "finish failed: finish fails".into()));
        let both = "handle failed: handle fails; after it, finish panicked: finish panics";
        assert_eq!(play("handle", "finish"), (all, both.into()));
    }

    #[test]
    fn a_prototype_that_panics_in_clone_or_drop_ends_that_request_alone() {
        struct Bad(u8);
        impl Clone for Bad {
            fn clone(&self) -> Self {
                assert!(self.0 != 0, "no clone");
                Bad(self.0)
            }
        }
        impl Drop for Bad {
            fn drop(&mut self) {
                assert!(self.0 < 2, "no drop");
            }
        }
        impl Handler<()> for Bad {
            fn handle(&mut self, _: &mut ()) -> HandlerResult {
                Ok(())
            }
        }
        let serve = erase(Bad(0));
        for _ in 0..2 {
            assert_eq!(serve(&mut ()).unwrap_err().stage(), Stage::Clone);
        }
        let serve = erase(Bad(2));
        for _ in 0..2 {
            assert_eq!(serve(&mut ()).unwrap_err().stage(), Stage::Drop);
        }
        assert!(erase(Bad(1))(&mut ()).is_ok());
    }
}
