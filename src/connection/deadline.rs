//! [`Deadline`].

use std::time::{Duration, Instant};

/// An instant, and how far off it was when it was set, for the error message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    pub(crate) within: Duration,
}

impl Deadline {
    /// `None` where there is no limit or where it is beyond what the clock can say.
    pub(crate) fn after(within: Option<Duration>) -> Option<Self> {
        let within = within?;
        Some(Deadline { at: Instant::now().checked_add(within)?, within })
    }
}
