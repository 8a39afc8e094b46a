//! [`AnswerLimit`].

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes may be answered to one request, and how many have been.
#[derive(Debug)]
pub(crate) struct AnswerLimit {
    asked: usize,
    /// `usize::MAX` is no limit.
    most: usize,
    answered: AtomicUsize,
}

impl AnswerLimit {
    /// For a request of so many bytes, each of which may be answered with so many.
    pub(crate) fn new(asked: usize, times: Option<usize>) -> Self {
        let most = times.map_or(usize::MAX, |times| asked.saturating_mul(times));
        AnswerLimit { asked, most, answered: AtomicUsize::new(0) }
    }

    /// Counts an answer before it is sent.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] where it would go past the limit. It has not been counted.
    pub(crate) fn charge(&self, bytes: usize, peer: &dyn fmt::Display) -> io::Result<()> {
        if self.most == usize::MAX {
            return Ok(());
        }
        let before = self.answered.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= self.most {
            return Ok(());
        }
        self.refund(bytes);
        let AnswerLimit { asked, most, .. } = self;
        let reason =
            format!("an answer of {bytes} bytes to {peer} would go past the limit of {most} for a request of {asked}");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
    }

    /// It could not be sent.
    pub(crate) fn refund(&self, bytes: usize) {
        if self.most != usize::MAX {
            self.answered.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}
