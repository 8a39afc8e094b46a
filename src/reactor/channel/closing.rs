//! How a [`Channel`] ends in peace.

use std::io;
use std::net::Shutdown;
use std::time::Instant;

use super::{Channel, Ending, Next, Turn};
use crate::clock::after;
use crate::control::LINGER;

impl Channel {
    /// Everything has been sent after a `close`. The protocol goes now; the socket when what was sent has arrived.
    pub(super) fn finish(&mut self, turn: &mut Turn<'_>) -> Next {
        self.stamp(turn.now);
        self.lose(None);
        // Where the peer has ended, nothing can come any more that a close would answer with a reset.
        if self.transport.read_ended || self.transport.link.socket.shutdown(Shutdown::Write).is_err() {
            return Next::Gone;
        }
        self.readable = true;
        // At a stop, connections on which nothing has gone out lately are not waited for. Otherwise they are: a peer may read slowly.
        let until = match self.transport.last_written {
            written if self.house().handle().is_shutting_down() => {
                written.map_or(turn.now, |written| after(written, LINGER))
            }
            _ => after(turn.now, LINGER),
        };
        self.ending = Ending::Lingers(until);
        self.transport.timing_changed = true;
        self.linger(until, turn)
    }

    pub(super) fn linger(&mut self, until: Instant, turn: &Turn<'_>) -> Next {
        if self.transport.link.is_cut() || self.transport.read_ended {
            return Next::Gone;
        }
        match self.readable {
            true => Next::Read,
            false if until > turn.now => Next::Wait,
            false => Next::Gone,
        }
    }

    /// Reads and throws away.
    pub(super) fn discard(&mut self, turn: &mut Turn<'_>) -> usize {
        match self.transport.link.socket.read(turn.buffer) {
            Ok(count) if count > 0 => {
                self.readable = !self.was_last(count, turn.buffer.len());
                count
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                0
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            _ => {
                self.transport.read_ended = true;
                0
            }
        }
    }
}
