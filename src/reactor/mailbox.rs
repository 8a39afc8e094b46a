//! [`Mailbox`]: what is sent to a thread that may be waiting for something else.
//!
//! Small and on its own, so that the model checker can walk through all its interleavings (`tests/models` compiles this very file).

use crate::sync::{lock, Mutex};

/// Gets the reading thread out of its wait. Waking one that does not wait must make its next wait return at once.
pub(crate) trait Alarm: Clone {
    fn ring(&self);
}

/// Letters in order, for one reader. Sending one never waits; a reader that is busy looks by itself and needs no waking.
pub(crate) struct Mailbox<T, A> {
    state: Mutex<State<T, A>>,
    /// The most that letters with a weight may weigh together.
    most: usize,
}

struct State<T, A> {
    letters: Vec<T>,
    /// What they weigh together.
    weight: usize,
    /// The reader will look here before it waits.
    awake: bool,
    /// `None` before somebody reads, and once nobody does.
    alarm: Option<A>,
    closed: bool,
}

/// A letter was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// Too much waits already.
    Full,
    /// Nobody reads any more.
    Closed,
}

impl<T, A: Alarm> Mailbox<T, A> {
    pub(crate) fn new(most: usize) -> Self {
        let state = State { letters: Vec::new(), weight: 0, awake: false, alarm: None, closed: false };
        Mailbox { state: Mutex::new(state), most }
    }

    /// Somebody is about to read.
    pub(crate) fn open(&self, alarm: A) {
        lock(&self.state).alarm = Some(alarm);
    }

    /// Nobody reads any more. Returns what was left.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut state = lock(&self.state);
        state.closed = true;
        state.alarm = None;
        std::mem::take(&mut state.letters)
    }

    /// Sends a letter. One that weighs too much is taken where no other with a weight waits; one of no weight always.
    pub(crate) fn send(&self, letter: T, weight: usize) -> Result<(), (Undelivered, T)> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err((Undelivered::Closed, letter));
        }
        let together = state.weight.saturating_add(weight);
        if weight > 0 && state.weight > 0 && together > self.most {
            return Err((Undelivered::Full, letter));
        }
        state.weight = together;
        state.letters.push(letter);
        let ring = !std::mem::replace(&mut state.awake, true);
        let alarm = if ring { state.alarm.clone() } else { None };
        drop(state);
        if let Some(alarm) = alarm {
            alarm.ring();
        }
        Ok(())
    }

    /// Takes what has been sent.
    pub(crate) fn take(&self, letters: &mut Vec<T>) {
        let mut state = lock(&self.state);
        state.awake = true;
        state.weight = 0;
        letters.append(&mut state.letters);
    }

    /// Whether the reader may wait: nothing has been sent, and whatever will be wakes it.
    pub(crate) fn may_wait(&self) -> bool {
        let mut state = lock(&self.state);
        state.awake = !state.letters.is_empty();
        !state.awake
    }
}
