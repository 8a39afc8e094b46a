//! [`Acceptor`]: takes requests from the listener and hands them to whoever serves them, whatever goes wrong.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::failure::Failure;
use super::listener::{AcceptError, Source};
use super::overload::Overload;
use super::reception::{Reception, Refusal};
use super::request::sealed::Arrival as _;
use super::slot::Slot;
use crate::connection::RequestContext;
use crate::control::{Control, Throttle};
use crate::sync::{lock, Mutex};

/// The first wait after a shortage. Not Python's none (it spins) nor asyncio's second: descriptors come back in milliseconds.
const BACK_OFF_MIN: Duration = Duration::from_millis(5);
/// The longest: ten tries a second cost no measurable processor time.
const BACK_OFF_MAX: Duration = Duration::from_millis(100);

/// How many lost requests in a row are tried over at once. More are not bad luck but a trouble that lasts, such as a filter that
/// forbids the call.
const RETRIES_AT_ONCE: u32 = 64;

/// How many requests are accepted, and how many handed over, before anything else is looked at, such as a stop. So long as the first
/// is the greater by far, a crowd of clients does not overflow the kernel's queue while threads are started for them.
const ACCEPTS_A_TURN: usize = 256;
const HAND_OVERS_A_TURN: usize = 32;

/// How many datagrams are served one after another in one place, by a server that serves one at a time, before anything else is looked at.
const REQUESTS_A_PLACE: usize = 64;

/// The accepting side of a server.
pub(crate) struct Acceptor<S: Source> {
    /// Shared with whoever sees to a stop, who closes it.
    pub(crate) listener: Arc<Mutex<Option<S>>>,
    pub(crate) reception: Arc<Reception>,
    context: RequestContext,
    overload: Overload,
    /// Requests that have their places and are yet to be handed over.
    accepted: VecDeque<(S::Request, Slot)>,
    /// Requests that wait for a place: datagrams, of which the system keeps few.
    waiting: VecDeque<S::Request>,
    /// How many may.
    queue: usize,
    /// Nobody could be found for the last of them, so that the next waits for the back-off too.
    refused: bool,
    /// There was no place the last time.
    full: bool,
    alone: bool,
    back_off: BackOff,
    accept_trouble: Throttle,
    losses: Throttle,
}

/// Whoever serves what has been accepted.
pub(crate) trait Takes<R> {
    /// Serves a request or has it served. Who serves it at once may go on, in the same place, with what `more` returns.
    ///
    /// # Errors
    /// There is nobody to serve it. It has been closed, and its slot given back; the failure names the peer.
    fn take(&mut self, request: R, slot: Slot, more: &mut dyn FnMut() -> Option<R>) -> Result<Taken, Failure>;
}

/// What became of a request that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It has been served, or is going to be.
    Served,
    /// It has been turned away.
    TurnedAway,
}

/// What a turn, or one attempt to accept, came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Requests were handed over, or can be; on an inline strategy they have been served.
    Dispatched,
    /// A client was turned away.
    TurnedAway,
    /// Nothing that is to be served; the next may be tried at once.
    Again,
    /// A request was lost; the next may be tried at once.
    Lost(io::Error),
    /// The system is short of something. There is no point in trying before the back-off has passed.
    Short(io::Error),
    /// Nothing to do before something happens, or before that instant.
    Wait(Option<Instant>),
    /// The listener is unusable, or has been closed.
    Fatal(io::Error),
}

impl<S: Source> Acceptor<S> {
    pub(crate) fn new(
        listener: Arc<Mutex<Option<S>>>,
        reception: Arc<Reception>,
        context: RequestContext,
        overload: Overload,
        queue: usize,
    ) -> Self {
        Acceptor {
            listener,
            reception,
            context,
            overload,
            accepted: VecDeque::new(),
            waiting: VecDeque::new(),
            queue: if S::Request::QUEUED { queue } else { 0 },
            refused: false,
            full: false,
            alone: false,
            back_off: BackOff::default(),
            accept_trouble: Throttle::default(),
            losses: Throttle::default(),
        }
    }

    #[cfg(feature = "coroutine")]
    pub(crate) fn context(&self) -> &RequestContext {
        &self.context
    }

    /// For handlers that are done when they have been handed over, so that there is always a place for the next.
    pub(crate) fn serve_alone(&mut self) {
        self.alone = true;
    }

    /// For handlers that run on the serving thread: while one does, nobody is there to take others in, or to turn them away, so all of
    /// them wait in the system's queue.
    pub(crate) fn leave_waiting(&mut self) {
        self.queue = 0;
        self.overload = Overload::Wait;
    }

    /// Accepts at most `most` requests and hands some over. Waits for nothing but inline handlers, of which no other is begun once `due`
    /// has come.
    ///
    /// Accepting runs ahead of handing over: taking a client out of the kernel's queue costs a tenth of starting a thread, and a
    /// client that finds the queue full waits a second for its next try.
    pub(crate) fn turn(&mut self, most: usize, due: Option<Instant>, taker: &mut impl Takes<S::Request>) -> Step {
        let mut step = match self.back_off.pending() {
            Some(until) if self.refused => return Step::Wait(Some(until)),
            Some(until) => Step::Wait(Some(until)),
            None => {
                self.refused = false;
                self.accept_some(most)
            }
        };
        for _ in 0..HAND_OVERS_A_TURN {
            let Some((request, slot)) = self.accepted.pop_front() else { return step };
            match self.hand_over(request, slot, most, due, taker) {
                Step::Dispatched => {}
                other => step = other,
            }
            if self.refused {
                return step;
            }
        }
        if self.accepted.is_empty() {
            step
        } else {
            Step::Dispatched
        }
    }

    /// Hands over all that has been accepted, and, at a stop, as many more of those in the kernel's queue as there are places for.
    pub(crate) fn take_queue(&mut self, places: usize, taker: &mut impl Takes<S::Request>) {
        self.place_waiting();
        while let Some((request, slot)) = self.accepted.pop_front() {
            self.hand_over(request, slot, 1, None, taker);
        }
        for _ in self.waiting.drain(..) {
            self.reception.control.datagram_dropped("the server stops");
        }
        self.queue = 0;
        for _ in 0..places {
            match self.turn(1, None, taker) {
                Step::Dispatched | Step::TurnedAway | Step::Again | Step::Lost(_) => {}
                Step::Wait(_) | Step::Short(_) | Step::Fatal(_) => break,
            }
        }
    }

    /// Whether something that ends could let it go on: there was no place, or the system was short of something.
    pub(crate) fn is_held_up(&self) -> bool {
        self.full || self.back_off.until.is_some()
    }

    /// Accepts until there is nobody left, no place left, or `most` have been, and says what came last.
    fn accept_some(&mut self, most: usize) -> Step {
        let step = self.accept_most(most);
        // Looked at last, because whoever finds no place is served when one becomes free, and may be the last to come: where there is none
        // now either, the next request that ends wakes this thread.
        while !self.waiting.is_empty() && self.reception.control.gate.room() > 0 {
            self.place_waiting();
        }
        step
    }

    fn accept_most(&mut self, most: usize) -> Step {
        if self.alone {
            return self.accept(0);
        }
        self.place_waiting();
        // Who asks for one request at a time has no use for a queue.
        let queue = if most == 1 { 0 } else { self.queue };
        let room = match self.overload {
            Overload::Wait => self.reception.control.gate.room(),
            Overload::Reject(_) => usize::MAX,
        };
        self.full = room == 0;
        if self.full && queue == 0 {
            return Step::Wait(None);
        }
        // With a queue it goes on: what finds no place waits in it, and what does not fit there is dropped, and counted.
        let room = if queue > 0 { usize::MAX } else { room };
        let mut step = Step::Dispatched;
        for _ in 0..room.min(most).min(ACCEPTS_A_TURN) {
            step = self.accept(queue);
            match step {
                Step::Dispatched | Step::TurnedAway => {}
                Step::Again | Step::Lost(_) | Step::Short(_) | Step::Wait(_) | Step::Fatal(_) => break,
            }
        }
        step
    }

    /// Gives places that have become free to requests that wait for one.
    fn place_waiting(&mut self) {
        while let Some(request) = self.waiting.pop_front() {
            match Slot::take(&self.reception.control, request.cut_target()) {
                Some(slot) => self.accepted.push_back((request, slot)),
                None => return self.waiting.push_front(request),
            }
        }
    }

    /// Accepts one request, to be handed over.
    fn accept(&mut self, queue: usize) -> Step {
        let request = match accept_from(&self.listener, &self.context) {
            Some(Ok(request)) => request,
            Some(Err(error)) => return self.accept_failed(error),
            None => return Step::Fatal(io::ErrorKind::NotConnected.into()),
        };
        self.back_off.reset();
        // A place that has become free meanwhile belongs to who has waited for it.
        self.place_waiting();
        match Slot::take(&self.reception.control, request.cut_target()) {
            Some(slot) => {
                self.accepted.push_back((request, slot));
                Step::Dispatched
            }
            None if self.waiting.len() < queue => {
                self.waiting.push_back(request);
                Step::TurnedAway
            }
            // Nobody is told, unless the builder has words for it.
            None if queue > 0 && self.overload == Overload::Wait => {
                self.reception.control.datagram_dropped(format_args!("{queue} wait for a place already"));
                Step::TurnedAway
            }
            None => {
                self.reception.turn_away(request, Refusal::OverLimit);
                Step::TurnedAway
            }
        }
    }

    /// Forgets a back-off, because a request has ended and may have given back what was short.
    pub(crate) fn something_ended(&mut self) {
        self.back_off.cut_short();
    }

    fn hand_over(
        &mut self,
        request: S::Request,
        slot: Slot,
        most: usize,
        due: Option<Instant>,
        taker: &mut impl Takes<S::Request>,
    ) -> Step {
        let counters = &self.reception.control.counters;
        counters.accepted.add_one();
        let mut left = if self.alone && S::Request::QUEUED { most.min(REQUESTS_A_PLACE) - 1 } else { 0 };
        let mut ended = None;
        let mut more = || {
            left = left.checked_sub(1)?;
            if due.is_some_and(|due| due <= Instant::now()) {
                return None;
            }
            // A stop that has come meanwhile is seen to elsewhere, where the listener is closed.
            match accept_from(&self.listener, &self.context)? {
                Ok(request) => {
                    counters.accepted.add_one();
                    Some(request)
                }
                Err(error) => {
                    (left, ended) = (0, Some(error));
                    None
                }
            }
        };
        let taken = taker.take(request, slot, &mut more);
        let failure = match (taken, ended) {
            (_, Some(error)) => return self.accept_failed(error),
            (Ok(Taken::Served), None) => return Step::Dispatched,
            (Ok(Taken::TurnedAway), None) => return Step::TurnedAway,
            (Err(failure), None) => failure,
        };
        self.not_taken(failure);
        Step::TurnedAway
    }

    /// A request could not be taken, for want of something: backs off.
    pub(crate) fn not_taken(&mut self, failure: Failure) {
        let control = &self.reception.control;
        control.counters.spawn_failures.add_one();
        self.refused = true;
        self.back_off.start();
        control.gate.wake_at_release();
        let _inline = Inline::enter(control);
        self.reception.report(failure);
    }

    fn accept_failed(&mut self, error: AcceptError) -> Step {
        let control = &self.reception.control;
        if !matches!(error, AcceptError::WouldBlock | AcceptError::Again) {
            control.counters.accept_errors.add_one();
        }
        match error {
            AcceptError::Retry(error) if self.back_off.retry() => {
                // A datagram socket tells what became of earlier answers where it is asked for a request.
                let lost = if S::Request::QUEUED { "a request, or an earlier answer," } else { "a request" };
                self.losses.log(log::Level::Warn, format_args!("lost {lost} on {}: {error}", control.address));
                Step::Lost(error)
            }
            AcceptError::Fatal(error) => Step::Fatal(error),
            AcceptError::Retry(error) | AcceptError::BackOff(error) => {
                self.back_off.start();
                control.gate.wake_at_release();
                self.accept_trouble.log(
                    log::Level::Error,
                    format_args!("cannot accept on {} for now, will try again: {error}", control.address),
                );
                Step::Short(error)
            }
            AcceptError::Again => Step::Again,
            AcceptError::WouldBlock => Step::Wait(None),
        }
    }
}

/// `None` where the listener has been closed.
fn accept_from<S: Source>(
    listener: &Mutex<Option<S>>,
    context: &RequestContext,
) -> Option<Result<S::Request, AcceptError>> {
    Some(lock(listener).as_mut()?.accept(context))
}

/// Says that user code runs on the serving thread, which can therefore not see to a stop. A stop that comes meanwhile, or
/// has come, is seen to elsewhere.
pub(crate) struct Inline<'a>(&'a Control);

impl<'a> Inline<'a> {
    pub(crate) fn enter(control: &'a Arc<Control>) -> Self {
        if control.gate.enter_inline() {
            control.drain_elsewhere();
        }
        Inline(control)
    }
}

impl Drop for Inline<'_> {
    fn drop(&mut self) {
        self.0.gate.leave_inline();
    }
}

/// When accepting may be tried again.
#[derive(Debug, Default)]
struct BackOff {
    until: Option<Instant>,
    next: Option<Duration>,
    retries: u32,
}

impl BackOff {
    fn pending(&mut self) -> Option<Instant> {
        let until = self.until?;
        if until > Instant::now() {
            return Some(until);
        }
        self.until = None;
        self.retries = 0;
        None
    }

    fn start(&mut self) {
        let wait = self.next.unwrap_or(BACK_OFF_MIN);
        self.next = Some((wait * 2).min(BACK_OFF_MAX));
        self.until = Instant::now().checked_add(wait);
    }

    /// Whether a lost request may be followed by another try at once.
    fn retry(&mut self) -> bool {
        self.retries += 1;
        self.retries <= RETRIES_AT_ONCE
    }

    fn cut_short(&mut self) {
        self.until = None;
    }

    fn reset(&mut self) {
        *self = BackOff::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_from_5_to_100_milliseconds_and_starts_over_after_a_success() {
        let mut back_off = BackOff::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            let before = Instant::now();
            back_off.start();
            waits.push(back_off.next.unwrap());
            assert!(back_off.pending().unwrap() >= before + BACK_OFF_MIN);
        }
        assert_eq!(waits.last(), Some(&BACK_OFF_MAX));
        back_off.reset();
        assert_eq!(back_off.pending(), None);
        back_off.start();
        assert_eq!(back_off.next, Some(BACK_OFF_MIN * 2));
    }

    #[test]
    fn lost_requests_are_retried_at_once_but_not_for_ever() {
        let mut back_off = BackOff::default();
        assert_eq!((0..1000).filter(|_| back_off.retry()).count(), RETRIES_AT_ONCE as usize);
        back_off.reset();
        assert!(back_off.retry());
    }
}
