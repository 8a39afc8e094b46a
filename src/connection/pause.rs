//! [`Pause`]: the time between two requests of a connection, and the stop that ends it.

use crate::sync::{fence, AtomicU64, Ordering};

/// A request is under way.
const BUSY: u64 = 0;
/// A stop has ended the wait for the next one, for good.
const DISMISSED: u64 = 1;
/// From here on: the next one has been waited for since so many microseconds.
const SINCE: u64 = 2;

/// Whether the next request is being waited for, since when, and whether a stop has ended that.
///
/// Small, and apart from the stream, so that the model checker can walk through all its interleavings (`tests/models` compiles this very file).
#[derive(Debug)]
pub(crate) struct Pause(AtomicU64);

impl Pause {
    pub(crate) fn new() -> Self {
        Pause(AtomicU64::new(BUSY))
    }

    /// From now on a stop ends the wait. Whoever begins has to look whether there is one already, which then does not.
    pub(crate) fn begin(&self, now: u64) {
        self.change(|state| (state == BUSY).then_some(now.saturating_add(SINCE)));
        // In one order with `dismiss`: either that sees the pause, or the look behind this sees the stop.
        fence(Ordering::SeqCst);
    }

    /// A request is under way again, unless a stop has come before.
    pub(crate) fn end(&self) {
        self.change(|state| (state >= SINCE).then_some(BUSY));
    }

    /// The server is stopping, as it has said before. Whether the wait has to be ended: it has lasted since `before` or longer.
    pub(crate) fn dismiss(&self, before: u64) -> bool {
        fence(Ordering::SeqCst);
        self.change(|state| (SINCE..=before.saturating_add(SINCE)).contains(&state).then_some(DISMISSED))
    }

    pub(crate) fn is_dismissed(&self) -> bool {
        self.0.load(Ordering::Acquire) == DISMISSED
    }

    fn change(&self, to: impl FnMut(u64) -> Option<u64>) -> bool {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, to).is_ok()
    }
}
