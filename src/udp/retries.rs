//! [`Retries`]: when to send again.

use std::time::{Duration, Instant};

use crate::clock::after;

/// Longer than any deadline that somebody waits for, and short enough to be multiplied.
const LONGEST_PAUSE: Duration = Duration::from_secs(365 * 24 * 3600);

/// The pauses before each repetition: every one twice as long as the last, and each up to a quarter longer or shorter, so that clients
/// whose requests were lost together do not come back together.
#[derive(Debug)]
pub(super) struct Retries<'a> {
    next: Option<Instant>,
    pause: Duration,
    /// A random byte for each repetition to come.
    jitter: std::slice::Iter<'a, u8>,
}

impl<'a> Retries<'a> {
    /// As many as there are bytes of `jitter`, the first `pause` after `now`.
    pub(super) fn new(now: Instant, pause: Duration, jitter: &'a [u8]) -> Self {
        let mut retries = Retries { next: None, pause, jitter: jitter.iter() };
        retries.schedule(now);
        retries
    }

    pub(super) fn none() -> Self {
        Retries { next: None, pause: Duration::ZERO, jitter: [].iter() }
    }

    /// When the next repetition is due, if there is to be one.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Another one goes out now. After a pause that took too long, because the machine had others to serve, the next is not shortened.
    pub(super) fn repeated(&mut self, now: Instant) {
        self.pause = self.pause.saturating_mul(2);
        self.schedule(now);
    }

    fn schedule(&mut self, now: Instant) {
        self.next = self.jitter.next().map(|&byte| after(now, jittered(self.pause, byte)));
    }
}

/// From three to five quarters of a pause.
fn jittered(pause: Duration, byte: u8) -> Duration {
    pause.min(LONGEST_PAUSE) * (768 + 2 * u32::from(byte)) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(512);

    /// The pauses between one attempt and the next, where each is sent when it is due.
    fn pauses(first: Duration, jitter: &[u8]) -> Vec<Duration> {
        let mut now = Instant::now();
        let mut retries = Retries::new(now, first, jitter);
        let mut pauses = Vec::new();
        while let Some(next) = retries.next() {
            pauses.push(next - now);
            now = next;
            retries.repeated(now);
        }
        pauses
    }

    #[test]
    fn each_pause_is_twice_the_last() {
        assert_eq!(pauses(PAUSE, &[128; 4]), [1, 2, 4, 8].map(|times| PAUSE * times));
        assert_eq!(pauses(PAUSE, &[]), []);
        assert_eq!(Retries::none().next(), None);
    }

    #[test]
    fn each_pause_varies_by_a_quarter_on_its_own() {
        let millis = [0, 255, 0].map(|byte| jittered(PAUSE, byte).as_millis());
        assert_eq!(millis, [384, 639, 384]);
        assert_eq!(
            pauses(PAUSE, &[0, 128, 255]).iter().map(Duration::as_millis).collect::<Vec<_>>(),
            [384, 1024, 2556]
        );
    }

    #[test]
    fn a_late_repetition_does_not_hurry_the_next() {
        let start = Instant::now();
        let mut retries = Retries::new(start, PAUSE, &[128; 2]);
        let late = start + 10 * PAUSE;
        retries.repeated(late);
        assert_eq!(retries.next(), Some(late + 2 * PAUSE));
    }

    #[test]
    fn no_pause_is_too_long_for_the_clock() {
        assert_eq!(pauses(Duration::MAX, &[255; 10]).len(), 10);
        assert_eq!(jittered(Duration::MAX, 128), Duration::from_secs(31_536_000), "a year");
        assert_eq!(pauses(Duration::from_nanos(1), &[0; 2]), [Duration::ZERO, Duration::from_nanos(1)]);
    }
}
