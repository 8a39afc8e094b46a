//! [`Gate`]: who is being served, how many may be, and whether the server is stopping.
//!
//! The only state that the accepting side, the requests and the stop share, kept small so that the model checker can walk
//! through all its interleavings (`tests/models` compiles this very file).

use std::time::Instant;

use crate::sync::{lock, AtomicBool, Condvar, Mutex, Ordering};

/// Gets the accepting side out of its wait. Waking one that does not wait must make its next wait return at once.
pub(crate) trait Wake {
    fn wake(&self);
}

/// Slots for requests, each with the target that a stop may have to cut, and the stop itself.
#[derive(Debug)]
pub(crate) struct Gate<T, W> {
    state: Mutex<State<T>>,
    /// `state.stop` again, for readers that only want a look.
    stopping: AtomicBool,
    /// Signalled when a stopping server's last request has ended, and when the deadline has moved.
    changed: Condvar,
    waker: W,
}

#[derive(Debug)]
struct State<T> {
    limit: usize,
    slots: Vec<Option<T>>,
    free: Vec<usize>,
    active: usize,
    /// The accepting side waits for a request to end.
    room_wanted: bool,
    stop: bool,
    /// When the requests that remain are cut; `None` is never.
    deadline: Option<Instant>,
    /// The deadline has passed, and is now that of the wait after the cut, which no later stop shortens.
    cut: bool,
    /// How deep the serving thread is in code that holds it up, such as a handler, so that it cannot see to a stop.
    inline: usize,
    /// Somebody has taken on the drain.
    drain_claimed: bool,
    /// Requests that have ended since the stop.
    drained: usize,
}

/// What a call of [`Gate::stop`] has to see to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The first stop of this server.
    pub(crate) first: bool,
    /// The serving thread is held up by a handler: the caller must have the drain done elsewhere.
    pub(crate) drain_elsewhere: bool,
}

impl<T: Clone, W: Wake> Gate<T, W> {
    pub(crate) fn new(limit: usize, waker: W) -> Self {
        Gate {
            state: Mutex::new(State {
                limit,
                slots: Vec::new(),
                free: Vec::new(),
                active: 0,
                room_wanted: false,
                stop: false,
                deadline: None,
                cut: false,
                inline: 0,
                drain_claimed: false,
                drained: 0,
            }),
            stopping: AtomicBool::new(false),
            changed: Condvar::new(),
            waker,
        }
    }

    pub(crate) fn waker(&self) -> &W {
        &self.waker
    }

    /// Takes a slot for a request, or gives the target back where all are taken.
    pub(crate) fn admit(&self, target: T) -> Result<usize, T> {
        let mut state = lock(&self.state);
        if state.active >= state.limit {
            return Err(target);
        }
        state.active += 1;
        if let Some(index) = state.free.pop() {
            if let Some(slot) = state.slots.get_mut(index) {
                *slot = Some(target);
                return Ok(index);
            }
        }
        state.slots.push(Some(target));
        Ok(state.slots.len() - 1)
    }

    /// Gives a slot back.
    pub(crate) fn release(&self, index: usize) {
        let mut state = lock(&self.state);
        let target = state.slots.get_mut(index).and_then(Option::take);
        if target.is_none() {
            return;
        }
        state.free.push(index);
        state.active -= 1;
        let wake = std::mem::take(&mut state.room_wanted);
        if state.stop {
            state.drained += 1;
            if state.active == 0 {
                self.changed.notify_all();
            }
        }
        drop(state);
        drop(target);
        if wake {
            self.waker.wake();
        }
    }

    pub(crate) fn active(&self) -> usize {
        lock(&self.state).active
    }

    pub(crate) fn free(&self) -> usize {
        let state = lock(&self.state);
        state.limit.saturating_sub(state.active)
    }

    /// How many slots are free; if none is, the next release wakes the accepting side. Only the accepting side asks.
    pub(crate) fn room(&self) -> usize {
        let mut state = lock(&self.state);
        let room = state.limit.saturating_sub(state.active);
        state.room_wanted = room == 0;
        room
    }

    /// Has the next release wake the accepting side, which has run out of something a request may give back.
    pub(crate) fn wake_at_release(&self) {
        lock(&self.state).room_wanted = true;
    }

    /// Whether the accepting side still waits for a request to end.
    pub(crate) fn is_room_wanted(&self) -> bool {
        lock(&self.state).room_wanted
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether the deadline has passed and the requests that were left have been cut. Costs nothing while the server serves.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_stopping() && lock(&self.state).cut
    }

    /// Stops the server. A later call can only bring the deadline forward.
    pub(crate) fn stop(&self, deadline: Option<Instant>) -> Stop {
        let mut state = lock(&self.state);
        let first = !state.stop;
        state.stop = true;
        state.deadline = match (first, state.deadline, deadline) {
            (true, _, new) => new,
            (false, old, _) if state.cut => old,
            (false, Some(old), Some(new)) => Some(old.min(new)),
            (false, old, new) => old.or(new),
        };
        self.stopping.store(true, Ordering::Release);
        let drain_elsewhere = state.inline > 0 && !state.drain_claimed;
        state.drain_claimed |= drain_elsewhere;
        self.changed.notify_all();
        drop(state);
        if first {
            self.waker.wake();
        }
        Stop { first, drain_elsewhere }
    }

    /// A handler is about to run on the serving thread. True if the server is stopping already and nobody has taken on the
    /// drain, which is then the caller's to place elsewhere.
    pub(crate) fn enter_inline(&self) -> bool {
        let mut state = lock(&self.state);
        state.inline += 1;
        let drain_elsewhere = state.stop && !state.drain_claimed;
        state.drain_claimed |= drain_elsewhere;
        drain_elsewhere
    }

    pub(crate) fn leave_inline(&self) {
        lock(&self.state).inline -= 1;
    }

    /// Takes on the drain, unless somebody has.
    pub(crate) fn claim_drain(&self) -> bool {
        let mut state = lock(&self.state);
        !std::mem::replace(&mut state.drain_claimed, true)
    }

    /// Whether somebody has taken on the drain. Nobody but the serving thread, and whoever stops the server while that thread is
    /// inside user code, ever does.
    pub(crate) fn drain_is_claimed(&self) -> bool {
        lock(&self.state).drain_claimed
    }

    /// Waits until no request is left or the stop's deadline has passed, and returns how many have ended since the stop and
    /// how many are left.
    pub(crate) fn wait_drained(&self) -> (usize, usize) {
        self.wait_drained_until(None)
    }

    /// The same, and not past `until`.
    pub(crate) fn wait_drained_until(&self, until: Option<Instant>) -> (usize, usize) {
        let mut state = lock(&self.state);
        while state.active > 0 {
            let deadline = match (state.deadline, until) {
                (Some(deadline), Some(until)) => Some(deadline.min(until)),
                (deadline, until) => deadline.or(until),
            };
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
        (state.drained, state.active)
    }

    /// Moves the deadline, for the wait after a cut.
    pub(crate) fn set_deadline(&self, deadline: Instant) {
        let mut state = lock(&self.state);
        state.deadline = Some(deadline);
        state.cut = true;
    }

    /// The targets of all requests under way.
    pub(crate) fn targets(&self) -> Vec<T> {
        lock(&self.state).slots.iter().flatten().cloned().collect()
    }
}
