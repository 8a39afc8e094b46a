//! [`Pause`]: the time between two requests of a connection, and the stop that ends it.

use crate::sync::{fence, AtomicU8, Ordering};

/// A request is under way.
const BUSY: u8 = 0;
/// The next one is being waited for.
const IDLE: u8 = 1;
/// A stop has ended that wait, for good.
const DISMISSED: u8 = 2;

/// Whether the next request is being waited for, and whether a stop has ended that.
///
/// Small, and apart from the stream, so that the model checker can walk through all its interleavings (`tests/models` compiles this very file).
#[derive(Debug)]
pub(crate) struct Pause(AtomicU8);

impl Pause {
    pub(crate) fn new() -> Self {
        Pause(AtomicU8::new(BUSY))
    }

    /// From now on a stop ends the wait. Whoever begins has to look whether there is one already, which then does not.
    pub(crate) fn begin(&self) {
        let _ = self.0.compare_exchange(BUSY, IDLE, Ordering::AcqRel, Ordering::Relaxed);
        // In one order with `dismiss`: either that sees the pause, or the look behind this sees the stop.
        fence(Ordering::SeqCst);
    }

    /// A request is under way again, unless a stop has come before.
    pub(crate) fn end(&self) {
        let _ = self.0.compare_exchange(IDLE, BUSY, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The server is stopping, as it has said before. Whether somebody waits, so that the wait has to be ended.
    pub(crate) fn dismiss(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.compare_exchange(IDLE, DISMISSED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    pub(crate) fn is_dismissed(&self) -> bool {
        self.0.load(Ordering::Acquire) == DISMISSED
    }
}
