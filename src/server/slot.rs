//! [`Slot`] and [`Place`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use crate::control::{Control, Target};

/// A request's place among the server's connections, given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    control: Arc<Control>,
    index: usize,
}

impl Slot {
    /// `None` when all are taken.
    pub(crate) fn take(control: &Arc<Control>, target: Target) -> Option<Slot> {
        let index = control.gate.admit(target).ok()?;
        Some(Slot { control: Arc::clone(control), index })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.control.gate.release(self.index);
    }
}

/// What a job holds until it has ended.
#[derive(Debug)]
pub(crate) enum Place {
    #[allow(dead_code)] // held for its drop
    Served(Slot),
    #[allow(dead_code)] // held for its drop
    TurnedAway(Bounded),
}

/// One of a bounded number of things.
#[derive(Debug)]
pub(crate) struct Bounded(Arc<AtomicUsize>);

impl Bounded {
    pub(crate) fn take(count: &Arc<AtomicUsize>, limit: usize) -> Option<Bounded> {
        count
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < limit).then_some(count + 1))
            .ok()
            .map(|_| Bounded(Arc::clone(count)))
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
