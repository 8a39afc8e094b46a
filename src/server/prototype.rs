//! [`Prototype`].

use super::failure::{Failure, Stage};
use super::guard::guarded;
use crate::sync::{lock, Mutex};

/// What each request is served by a clone of. It needs no `Sync`: clones are made one at a time. Its drop may panic, on whichever thread
/// drops the server's last part; it is there until then.
pub(crate) struct Prototype<H>(Mutex<Option<H>>);

impl<H: Clone> Prototype<H> {
    pub(crate) fn new(prototype: H) -> Self {
        Prototype(Mutex::new(Some(prototype)))
    }

    /// A clone. Always `Some`, as long as there is anybody to ask.
    pub(crate) fn make(&self) -> Result<Option<H>, Failure> {
        let clone = || lock(&self.0).clone();
        #[cfg(feature = "coroutine")]
        let clone = || crate::task::kept(clone);
        guarded(Stage::Clone, clone)
    }
}

impl<H> Drop for Prototype<H> {
    fn drop(&mut self) {
        let prototype = lock(&self.0).take();
        if let Err(failure) = guarded(Stage::Drop, || drop(prototype)) {
            log::error!("{failure}");
        }
    }
}
