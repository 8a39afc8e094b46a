//! [`Crew`]: jobs, and the threads that take them. Who waits, who is woken, when another thread is needed.
//!
//! Apart from the threads themselves, so that the model checker can walk through all its interleavings (`tests/models`
//! compiles this very file).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::sync::{lock, Condvar, Mutex};

/// A queue whose every job has a thread on its way to it, so that none waits for another's handler.
#[derive(Debug)]
pub(crate) struct Crew<J> {
    state: Mutex<State<J>>,
    work: Condvar,
}

#[derive(Debug)]
struct State<J> {
    queue: VecDeque<J>,
    /// Threads that will look at the queue before they do anything else: those that wait, that have been woken, that are starting.
    idle: usize,
    /// Those of them that wait and have to be woken.
    waiting: usize,
    /// One of those has been woken and has not come yet.
    waking: bool,
    stopped: bool,
}

impl<J> Crew<J> {
    pub(crate) fn new() -> Self {
        Crew {
            state: Mutex::new(State { queue: VecDeque::new(), idle: 0, waiting: 0, waking: false, stopped: false }),
            work: Condvar::new(),
        }
    }

    /// Queues a job. True if the caller has to start a thread that calls [`next`](Crew::next).
    #[must_use]
    pub(crate) fn push(&self, job: J) -> bool {
        let mut state = lock(&self.state);
        state.queue.push_back(job);
        if state.idle < state.queue.len() {
            state.idle += 1;
            return true;
        }
        // One thread is woken at a time, and wakes the next if there is more to do: a thread that has just finished may be quicker,
        // and then nobody needs to be woken at all.
        let wake = state.wake_one();
        // After the lock, which the woken thread would run into.
        drop(state);
        if wake {
            self.work.notify_one();
        }
        false
    }

    /// The thread that [`push`](Crew::push) asked for cannot be started. Gives the newest job back, unless a thread that has
    /// finished meanwhile can take it.
    pub(crate) fn give_back(&self) -> Option<J> {
        let mut state = lock(&self.state);
        state.idle -= 1;
        if state.idle < state.queue.len() {
            return state.queue.pop_back();
        }
        None
    }

    /// Waits for a job. `finished` is what the thread still holds of its last one, `None` on its first call. `None` is
    /// returned when there was nothing to do for the idle timeout, or never will be: the thread has to end.
    pub(crate) fn next<P>(&self, finished: Option<P>, idle_timeout: Duration) -> Option<J> {
        let mut state = lock(&self.state);
        if let Some(place) = finished {
            state.idle += 1;
            // Only now, so that whoever gets the place finds this thread idle and has no other started.
            drop(place);
        }
        let mut idle_since = None;
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.idle -= 1;
                let wake = !state.queue.is_empty() && state.wake_one();
                drop(state);
                if wake {
                    self.work.notify_one();
                }
                return Some(job);
            }
            let since = *idle_since.get_or_insert_with(Instant::now);
            let left = idle_timeout.saturating_sub(since.elapsed());
            if state.stopped || left.is_zero() {
                state.idle -= 1;
                return None;
            }
            state.waiting += 1;
            state = self.work.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
            state.waiting -= 1;
            state.waking = false;
        }
    }

    /// No job will come any more: threads end when the queue is empty.
    pub(crate) fn stop(&self) {
        lock(&self.state).stopped = true;
        self.work.notify_all();
    }
}

impl<J> State<J> {
    /// Whether to wake a thread now: one that waits, and only if none is on its way, for that one will wake the next.
    fn wake_one(&mut self) -> bool {
        self.waiting > 0 && !std::mem::replace(&mut self.waking, true)
    }
}
