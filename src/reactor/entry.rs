//! [`Entry`]: what a selector keeps under a key.

use std::any::Any;
use std::time::{Duration, Instant};

use mio::event::{Event, Source};
use mio::Interest;

use super::arena::Key;
use super::ready::Ready;
use crate::sys;

/// A source or a timer, with the user's data.
pub(super) struct Entry<T> {
    pub(super) data: T,
    pub(super) kind: Kind,
    /// What this `select` has found so far.
    pub(super) found: Option<Ready>,
}

pub(super) enum Kind {
    Source {
        source: Box<dyn AnySource>,
        interest: Interest,
    },
    /// `period` is `None` for a one-shot.
    Timer {
        timer: Key,
        due: Instant,
        period: Option<Duration>,
    },
}

/// A source whose type can be asked for.
pub(super) trait AnySource: Source + Any + Send {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<S: Source + Any + Send> AnySource for S {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl<T> Entry<T> {
    /// Adds what an event says to what this `select` has found.
    pub(super) fn merge(&mut self, key: Key, event: &Event, found: &mut Vec<Key>) {
        let Kind::Source { interest, .. } = &self.kind else { return };
        // A hang-up or an error is for whoever waits, in whatever direction.
        let broken = event.is_error();
        let readable = reads(*interest) && (event.is_readable() || event.is_read_closed() || broken);
        let writable = interest.is_writable() && (event.is_writable() || event.is_write_closed() || broken);
        if !readable && !writable {
            return;
        }
        let ready = Ready::source(key, readable, writable);
        self.found = Some(match self.found {
            Some(earlier) => earlier.and(ready),
            None => {
                found.push(key);
                ready
            }
        });
    }
}

/// Whether a source is reported as readable: urgent data is read too.
pub(super) fn reads(interest: Interest) -> bool {
    interest.is_readable() || sys::is_priority(interest)
}
