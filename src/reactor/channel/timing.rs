//! What a [`Channel`] does by the clock.

use std::time::{Duration, Instant};

use super::{Channel, Fate, Turn};
use crate::clock::earlier;
use crate::connection::DEFAULT_WRITE_TIMEOUT;
use crate::error::{Error, Phase};
use crate::reactor::transport::State;
use crate::server::Stage;

/// A connection has one timer. It is set for what is due first, and activity does not move it: when it expires, what is due is looked up
/// anew. So an exchange costs a look at the clock, which its loop has taken already, and no more.
impl Channel {
    /// The connection's timer has expired; what for is looked up now, because activity does not move it.
    pub(crate) fn timer(&mut self, turn: &mut Turn<'_>) -> Fate {
        self.transport.timing_changed = true;
        // The system reports room when a good part of its buffer is free, up to three quarters. A peer that reads slowly may take
        // longer for that than the timeout; that it has read shows in what the system takes now.
        self.transport.flush();
        self.stamp(turn.now);
        if matches!(self.transport.state, State::Broken(_)) || self.due().map_or(true, |due| due > turn.now) {
            return self.run(turn);
        }
        if self.ending.lingers_until().is_some() {
            return self.end(turn);
        }
        let address = || self.transport.link.peer.to_string();
        let settings = self.transport.settings();
        if self.transport.deadline.is_some_and(|deadline| deadline <= turn.now) {
            let after = settings.deadline.unwrap_or_default();
            let error = Error::Timeout { phase: Phase::Request, address: address(), after };
            self.transport.fail(error);
        } else if self.write_due().is_some_and(|due| due <= turn.now) {
            let after = settings.write_timeout.unwrap_or(DEFAULT_WRITE_TIMEOUT);
            let error = Error::Timeout { phase: Phase::Write, address: address(), after };
            self.transport.fail(error);
        } else {
            // What has come is seen before it is called silence: a loop that was held up may not have been told yet.
            let active = self.transport.last_active;
            self.readable = true;
            if self.run(turn) == Fate::Gone {
                return Fate::Gone;
            }
            if self.transport.last_active > active || !self.transport.is_open() {
                return Fate::Stays;
            }
            // Whoever does not close has the same time again.
            self.transport.last_active = turn.now;
            self.call(Stage::TimedOut, |protocol, transport| protocol.timed_out(transport));
        }
        self.run(turn)
    }

    /// Bytes that went out are activity of now.
    pub(super) fn stamp(&mut self, now: Instant) {
        if std::mem::take(&mut self.transport.wrote) {
            self.transport.last_written = Some(now);
            self.transport.last_active = now;
        }
    }

    /// When the connection's timer is due, as things are now.
    fn due(&self) -> Option<Instant> {
        if let Some(until) = self.ending.lingers_until() {
            return Some(until);
        }
        let idle = match self.transport.settings().timeout {
            Some(timeout) if self.transport.is_open() => self.transport.last_active.checked_add(timeout),
            _ => None,
        };
        earlier(earlier(idle, self.write_due()), self.transport.deadline)
    }

    /// When what waits to be sent has waited for too long.
    fn write_due(&self) -> Option<Instant> {
        if self.transport.write_buffer_size() == 0 {
            return None;
        }
        let timeout = match (self.transport.settings().write_timeout, &self.transport.state) {
            // A close must come to an end.
            (None, State::Closing) => Some(DEFAULT_WRITE_TIMEOUT),
            (timeout, _) => timeout,
        };
        self.transport.last_written?.checked_add(timeout?)
    }

    #[inline(never)]
    pub(super) fn set_timer(&mut self, turn: &mut Turn<'_>) {
        let Some(due) = self.due() else { return };
        // Never at once: a turn that sets its own next turn would never end.
        let due = due.max(turn.now + Duration::from_micros(1));
        match self.timer {
            Some(timer) => {
                turn.timers.reset(timer, due);
            }
            None => self.timer = turn.timers.insert(due, turn.key),
        }
    }
}
