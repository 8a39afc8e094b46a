//! [`Readiness`].

use std::io;
use std::sync::atomic::{fence, AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::{Task, Waiter};
use crate::clock::earlier;
use crate::poller::Event;
use crate::stream::Wait;
use crate::sync::{lock, Mutex};

/// What a loop has reported of a socket that does not block, and who waits for it. Whoever waits is suspended, where it is a coroutine, and
/// sleeps, where it is a thread.
///
/// What has been reported is remembered, so that a read or a write which would only say that there is nothing, or no room, is not made.
#[repr(C)]
pub(crate) struct Readiness {
    /// The coroutine whose seat has the socket's events; it is woken by them, and needs not be among those who wait.
    owner: OnceLock<Arc<Task>>,
    readable: AtomicBool,
    writable: AtomicBool,
    /// A read that does not fill the buffer may not be the last: see [`Event::to_the_end`].
    to_the_end: AtomicBool,
    /// There is somebody among those who wait.
    awaited: AtomicBool,
    waiting: Mutex<Vec<Waiter>>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Readiness {
    /// Either direction is tried before it is waited for: what is asked for has often come with the connection.
    pub(crate) fn new(to_the_end: bool) -> Self {
        Readiness {
            owner: OnceLock::new(),
            readable: AtomicBool::new(true),
            writable: AtomicBool::new(true),
            to_the_end: AtomicBool::new(to_the_end),
            awaited: AtomicBool::new(false),
            waiting: Mutex::new(Vec::new()),
        }
    }

    /// Says whose seat has the socket's events.
    pub(crate) fn set_owner(&self, task: Arc<Task>) {
        let _ = self.owner.set(task);
    }

    pub(crate) fn owner(&self) -> Option<&Arc<Task>> {
        self.owner.get()
    }

    /// What the system has said.
    pub(crate) fn event(&self, event: Event) {
        if event.to_the_end {
            self.to_the_end.store(true, Ordering::Release);
        }
        if event.readable {
            self.readable.store(true, Ordering::Release);
        }
        if event.writable {
            self.writable.store(true, Ordering::Release);
        }
        // Either this sees who waits, or he sees what has come: see `Waiting::new`.
        fence(Ordering::SeqCst);
        if self.awaited.load(Ordering::Relaxed) {
            lock(&self.waiting).iter().for_each(Waiter::wake);
        }
    }

    /// Whether a read may stop short before there is nothing left.
    pub(crate) fn is_to_the_end(&self) -> bool {
        self.to_the_end.load(Ordering::Acquire)
    }

    pub(crate) fn is(&self, direction: Direction) -> bool {
        self.of(direction).load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, direction: Direction) {
        self.of(direction).store(true, Ordering::Release);
    }

    /// Forgets it until it is reported again, and says whether it was so.
    pub(crate) fn take(&self, direction: Direction) -> bool {
        self.of(direction).swap(false, Ordering::AcqRel)
    }

    fn of(&self, direction: Direction) -> &AtomicBool {
        match direction {
            Direction::Read => &self.readable,
            Direction::Write => &self.writable,
        }
    }

    /// Tries until it can be done, within the limits. Whoever has done it says whether the next try is worth it, by [`set`](Readiness::set).
    pub(crate) fn when_ready(
        &self,
        direction: Direction,
        wait: Wait,
        mut attempt: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        // Also where there would be nothing to wait for: who is late must not go on for as long as the peer sends.
        if wait.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let ready = self.of(direction);
        let mut started = None;
        loop {
            while ready.load(Ordering::Acquire) {
                // Forgotten before it is tried: what has been reported by then is found, and what is reported later is not forgotten.
                ready.store(false, Ordering::Release);
                match attempt() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => ready.store(true, Ordering::Release),
                    result => return result,
                }
            }
            self.wait(direction, wait, &mut started)?;
        }
    }

    /// Waits until it may be tried again. `started` is when the first of several waits began.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`], and as [`wait`](super::wait).
    pub(crate) fn wait(&self, direction: Direction, wait: Wait, started: &mut Option<Instant>) -> io::Result<()> {
        let timeout = wait.timeout.and_then(|timeout| started.get_or_insert_with(Instant::now).checked_add(timeout));
        let until = earlier(timeout, wait.deadline);
        let ready = self.of(direction);
        let result = match self.owner.get() {
            Some(owner) if super::is_current(owner) => super::wait(owner, until),
            _ => self.wait_with_others(ready, until),
        };
        match result {
            // The loop may have been held up for as long as the timeout, and the peer have kept to it.
            Err(error) if error.kind() == io::ErrorKind::TimedOut && ready.load(Ordering::Acquire) => Ok(()),
            result => result,
        }
    }

    /// The same for whoever has not the socket's events to himself.
    #[inline(never)]
    fn wait_with_others(&self, ready: &AtomicBool, until: Option<Instant>) -> io::Result<()> {
        let waiter = Waiter::current();
        let _waiting = Waiting::new(self, &waiter);
        // What has come since it was tried is not reported again.
        if ready.load(Ordering::Acquire) {
            return Ok(());
        }
        waiter.wait(until)
    }
}

/// Somebody among those who wait, to the end of the wait.
pub(crate) struct Waiting<'a> {
    readiness: &'a Readiness,
    waiter: &'a Waiter,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(readiness: &'a Readiness, waiter: &'a Waiter) -> Self {
        lock(&readiness.waiting).push(waiter.clone());
        readiness.awaited.store(true, Ordering::Relaxed);
        // Before he looks whether it is ready.
        fence(Ordering::SeqCst);
        Waiting { readiness, waiter }
    }

    pub(crate) fn readiness(&self) -> &'a Readiness {
        self.readiness
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.readiness.waiting);
        if let Some(index) = waiting.iter().position(|one| one.is(self.waiter)) {
            waiting.swap_remove(index);
        }
        self.readiness.awaited.store(!waiting.is_empty(), Ordering::Relaxed);
    }
}
