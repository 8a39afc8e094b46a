//! [`Ready`].

use super::arena::Key;

/// What [`Selector::select`](super::Selector::select) reports of one source or timer. A copy of its own: the selector can be
/// changed while it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ready {
    key: Key,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Source { readable: bool, writable: bool },
    Timer,
}

impl Ready {
    pub(crate) fn source(key: Key, readable: bool, writable: bool) -> Self {
        Ready { key, what: What::Source { readable, writable } }
    }

    pub(crate) fn timer(key: Key) -> Self {
        Ready { key, what: What::Timer }
    }

    /// What either of the two says.
    pub(crate) fn and(self, other: Ready) -> Ready {
        Ready::source(self.key, self.is_readable() || other.is_readable(), self.is_writable() || other.is_writable())
    }

    /// What is ready.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Whether reading, or accepting, would not wait: something has come, the peer has ended, or there is an error to be told.
    pub fn is_readable(&self) -> bool {
        matches!(self.what, What::Source { readable: true, .. })
    }

    /// Whether writing would not wait: there is room, a connect has come to something, or there is an error to be told.
    pub fn is_writable(&self) -> bool {
        matches!(self.what, What::Source { writable: true, .. })
    }

    /// Whether it is a timer that has come due.
    pub fn is_timer(&self) -> bool {
        self.what == What::Timer
    }
}
