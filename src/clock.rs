//! Arithmetic with the clock that cannot overflow. Only [`Instant`] is used anywhere: nobody can set it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Longer than any server lives, and short enough for every system's clock.
const FAR_OFF: Duration = Duration::from_secs(365 * 24 * 3600);

/// The instant that is `delay` after `now`, or, where the clock cannot say that, one that nobody lives to see.
pub(crate) fn after(now: Instant, delay: Duration) -> Instant {
    now.checked_add(delay).unwrap_or(now + FAR_OFF)
}

/// The time in microseconds, from an instant in this process's life on.
pub(crate) fn micros() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The earlier of two instants, of which either may be never.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
