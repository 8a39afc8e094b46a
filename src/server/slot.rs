//! [`Slot`] and [`Place`].

use std::sync::Arc;

use super::farewell::Bounded;
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
