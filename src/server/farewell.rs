//! [`Farewells`]: taking leave of clients that are not served.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use super::dispatch::{Dispatch, Job};
use super::guard::guarded;
use super::request::sealed::Arrival;
use super::slot::Place;
use super::threading::Threading;
use super::Stage;

/// How many clients are taken leave of at the same time, each by a thread for a second or two at most. More are closed at once.
const MOST: usize = 64;

/// How long such a thread is kept for the next.
const IDLE: Duration = Duration::from_secs(1);

/// Whoever is turned away gets a clean end, by threads of its own where that takes a while: it costs neither a place nor the accepting
/// thread's time.
#[derive(Debug)]
pub(crate) struct Farewells {
    threads: Threading,
    under_way: Arc<AtomicUsize>,
    words: &'static [u8],
}

impl Farewells {
    /// `words` are for clients that are over a limit.
    pub(crate) fn new(words: &'static [u8]) -> Self {
        let mut threads = Threading::of_kind("leave");
        threads.set_idle_timeout(IDLE);
        Farewells { threads, under_way: Arc::default(), words }
    }

    /// Turns a client away who is over a limit, with the words for that.
    pub(crate) fn over_limit<R: Arrival>(&self, request: R) {
        self.say(request, self.words);
    }

    /// Turns a client away without a word.
    pub(crate) fn silently<R: Arrival>(&self, request: R) {
        self.say(request, &[]);
    }

    fn say<R: Arrival>(&self, mut request: R, words: &'static [u8]) {
        let place = if R::LEAVES_AT_ONCE { None } else { Bounded::take(&self.under_way) };
        match place {
            // Its loop goes on meanwhile, and reports its socket to nobody else.
            #[cfg(feature = "coroutine")]
            Some(_place) if crate::task::current().is_some() => {
                let _ = guarded(Stage::Close, move || request.turn_away(words));
            }
            Some(place) => {
                let job = Job::new(move || {
                    // A stream of the user's own may panic, which is of no interest for a client that was not served.
                    let _ = guarded(Stage::Close, move || request.turn_away(words));
                    Place::TurnedAway(place)
                });
                // A refused job is dropped, which closes the client: the same as when there are too many.
                let _ = self.threads.dispatch(job);
            }
            None => {
                let _ = guarded(Stage::Close, move || request.turn_away_now(words));
            }
        }
    }

    /// No client will come any more.
    pub(crate) fn stop(&self) {
        self.threads.stop();
    }
}

/// One of the farewells under way.
#[derive(Debug)]
pub(crate) struct Bounded(Arc<AtomicUsize>);

impl Bounded {
    fn take(count: &Arc<AtomicUsize>) -> Option<Bounded> {
        count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < MOST).then_some(count + 1))
            .ok()
            .map(|_| Bounded(Arc::clone(count)))
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
