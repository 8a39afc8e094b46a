//! [`Threading`].

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dispatch::{Dispatch, Job, Refused};
use crate::sync::{lock, Condvar, Mutex};

/// How many requests, and so threads, there may be at once when the builder does not say.
pub(crate) const DEFAULT_THREADS: usize = 1024;

/// The most threads a builder may ask for. A process with about 16,370 of them aborts as a whole: each takes four of the kernel's
/// 65,530 memory mappings, and std panics inside the new thread. Half of that leaves room for the rest of the program.
pub(crate) const MOST_THREADS: usize = 8000;

/// How long a thread without work is kept: long enough that a busy server starts hardly any, short enough that an idle one has none.
pub(crate) const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A thread for each request, reused for the next: Python's `ThreadingMixIn`, bounded.
///
/// Threads are named `socketserver-N`. There are never more than `max_connections`.
#[derive(Debug, Default)]
pub struct Threading {
    pool: Arc<Pool>,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    idle_timeout: Duration,
    stack_size: Option<usize>,
}

#[derive(Debug)]
struct Pool {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    queue: VecDeque<Job>,
    /// Threads that will look at the queue before they do anything else: those that wait, that have been woken, that start.
    idle: usize,
    /// A thread has been woken and has not come yet.
    waking: bool,
    started: u64,
    stopped: bool,
}

impl Threading {
    pub(crate) fn set_idle_timeout(&self, idle_timeout: Duration) {
        lock(&self.pool.state).settings.idle_timeout = idle_timeout;
    }

    pub(crate) fn set_stack_size(&self, bytes: usize) {
        lock(&self.pool.state).settings.stack_size = Some(bytes);
    }
}

impl Dispatch for Threading {
    /// Each queued job has an idle thread that is on its way to it, so no job waits for another's handler.
    fn dispatch(&self, job: Job) -> Result<(), Refused> {
        let mut state = lock(&self.pool.state);
        state.queue.push_back(job);
        if state.idle >= state.queue.len() {
            // One thread is woken at a time, and wakes the next if there is more to do: a thread that has just finished may be
            // quicker, and then nobody needs to be woken at all.
            let wake = !std::mem::replace(&mut state.waking, true);
            // After the lock, which the woken thread would run into.
            drop(state);
            if wake {
                self.pool.work.notify_one();
            }
            return Ok(());
        }
        state.idle += 1;
        state.started += 1;
        let (settings, number) = (state.settings, state.started);
        drop(state);
        let pool = Arc::clone(&self.pool);
        let mut thread = std::thread::Builder::new().name(format!("socketserver-{number}"));
        if let Some(bytes) = settings.stack_size {
            thread = thread.stack_size(bytes);
        }
        match thread.spawn(move || pool.work()) {
            Ok(_) => Ok(()),
            Err(error) => self.pool.give_back(error),
        }
    }

    fn default_connections(&self) -> usize {
        DEFAULT_THREADS
    }

    fn most_connections(&self) -> usize {
        MOST_THREADS
    }

    fn stop(&self) {
        lock(&self.pool.state).stopped = true;
        self.pool.work.notify_all();
    }
}

impl Pool {
    /// What a thread does: takes jobs until there has been none for the idle timeout.
    fn work(&self) {
        let mut state = lock(&self.state);
        // A wake-up may have been meant for this thread before it waited for any, and so have met nobody.
        state.waking = false;
        let mut idle_since = None;
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.idle -= 1;
                let wake = !state.queue.is_empty() && !std::mem::replace(&mut state.waking, true);
                drop(state);
                if wake {
                    self.work.notify_one();
                }
                let place = job.run_keeping_place();
                state = lock(&self.state);
                state.idle += 1;
                // Only now, so that whoever gets the place finds this thread idle and does not start another.
                drop(place);
                idle_since = None;
                continue;
            }
            let since = *idle_since.get_or_insert_with(Instant::now);
            let left = state.settings.idle_timeout.saturating_sub(since.elapsed());
            if state.stopped || left.is_zero() {
                state.idle -= 1;
                return;
            }
            state = self.work.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0;
            state.waking = false;
        }
    }

    /// No thread could be started: the newest job goes back, unless a thread that has finished meanwhile can take it.
    fn give_back(&self, error: io::Error) -> Result<(), Refused> {
        let mut state = lock(&self.state);
        state.idle -= 1;
        state.waking = false;
        if state.idle >= state.queue.len() {
            self.work.notify_one();
            return Ok(());
        }
        match state.queue.pop_back() {
            Some(job) => Err(Refused::new(job, error)),
            None => Ok(()),
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Pool {
            state: Mutex::new(State {
                settings: Settings { idle_timeout: DEFAULT_IDLE_TIMEOUT, stack_size: None },
                queue: VecDeque::new(),
                idle: 0,
                waking: false,
                started: 0,
                stopped: false,
            }),
            work: Condvar::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::server::slot::{Bounded, Place};

    /// The thread that starts is late: its job has been taken by one that has just finished, and the next job finds it counted
    /// as idle, but not waiting.
    #[test]
    fn a_wake_up_that_met_nobody_does_not_keep_the_next_from_being_sent() {
        let threading = Threading::default();
        threading.set_idle_timeout(Duration::from_secs(600));
        let (done, served) = channel();
        let dispatch = || {
            let done = done.clone();
            let place = Bounded::take(&Arc::default(), 1).unwrap();
            let job = Job::new(move || {
                done.send(()).unwrap();
                Place::TurnedAway(place)
            });
            threading.dispatch(job).unwrap();
        };
        lock(&threading.pool.state).idle = 1;
        dispatch();
        let pool = Arc::clone(&threading.pool);
        let thread = std::thread::spawn(move || pool.work());
        served.recv().unwrap();
        while lock(&threading.pool.state).idle == 0 {
            std::thread::yield_now();
        }
        dispatch();
        served.recv_timeout(Duration::from_secs(20)).expect("the thread waits and is not woken");
        threading.stop();
        thread.join().unwrap();
    }
}
