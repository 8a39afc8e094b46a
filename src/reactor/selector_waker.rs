//! [`SelectorWaker`].

use std::sync::{Arc, Weak};

use crate::error::{Error, Result};

/// Ends another thread's [`Selector::select`](super::Selector::select): it returns with what is ready, which may be nothing.
///
/// A wake that comes while nobody waits ends the next `select`. Several before it count as one.
#[derive(Debug, Clone)]
pub struct SelectorWaker {
    waker: Weak<mio::Waker>,
}

impl SelectorWaker {
    pub(crate) fn new(waker: &Arc<mio::Waker>) -> Self {
        SelectorWaker { waker: Arc::downgrade(waker) }
    }

    /// Wakes it. Never blocks.
    ///
    /// # Errors
    /// [`Error::SelectorClosed`] when the selector is gone; [`Error::System`].
    pub fn wake(&self) -> Result<()> {
        let waker = self.waker.upgrade().ok_or(Error::SelectorClosed)?;
        waker.wake().map_err(|source| Error::System { operation: "wake the selector".into(), source })
    }
}
