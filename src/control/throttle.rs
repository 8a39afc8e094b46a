//! [`Throttle`].

use std::time::{Duration, Instant};

use crate::sync::{lock, Mutex};

/// How often the same trouble may be logged. A flood of failing requests must not become a flood of lines.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The log target of all such lines. By default it would be this module's path, which says nothing of where they come from.
const TARGET: &str = "socketserver";

/// Lets one log line a second through for a recurring trouble, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    pub(crate) const fn new() -> Self {
        Throttle(Mutex::new(State { last: None, held_back: 0 }))
    }

    /// Whether a line may be logged now, and how many were held back since the last.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = lock(&self.0);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < LOG_INTERVAL) {
            state.held_back += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.held_back))
    }

    /// Logs a line, if it may be logged now, saying how many like it were held back.
    pub(crate) fn log(&self, level: log::Level, line: impl std::fmt::Display) {
        if !log::log_enabled!(target: TARGET, level) {
            return;
        }
        match self.pass() {
            None => {}
            Some(0) => log::log!(target: TARGET, level, "{line}"),
            Some(more) => log::log!(target: TARGET, level, "{line} (and {more} more like it)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_and_the_rest_counted() {
        let throttle = Throttle::default();
        let start = Instant::now();
        assert_eq!(throttle.pass_at(start), Some(0));
        for millis in [0, 1, 500, 999] {
            assert_eq!(throttle.pass_at(start + Duration::from_millis(millis)), None);
        }
        assert_eq!(throttle.pass_at(start + LOG_INTERVAL), Some(4));
    }
}
