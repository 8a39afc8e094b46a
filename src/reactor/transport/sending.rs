//! How a [`Transport`] sends: at once, as far as the system takes it, and the rest later.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;

use super::{State, Transport, WriteStatus};
use crate::error::Error;

/// So much is collected at the most before it is sent: a packet of the largest size, a few times.
const CORK_SIZE: usize = 16 * 1024;

/// A write buffer that has been emptied keeps so much memory for the next time; what is more goes back. A page: idle connections
/// should cost next to nothing, and allocating again costs little beside what it is needed for.
const KEPT_BUFFER: usize = 4096;

impl Transport {
    /// What was sent from elsewhere before the connection was closed goes out all the same.
    pub(crate) fn write_while_closing(&mut self, data: &[u8]) -> WriteStatus {
        match self.state {
            State::Open | State::Closing => self.take_in(data),
            _ => WriteStatus::Closed,
        }
    }

    pub(super) fn take_in(&mut self, data: &[u8]) -> WriteStatus {
        let mut rest = data;
        if self.out.is_empty() && !self.corked {
            rest = match self.send(data) {
                Ok(sent) => data.get(sent..).unwrap_or_default(),
                Err(error) => {
                    self.break_off(error);
                    return WriteStatus::Closed;
                }
            };
            if rest.is_empty() {
                return WriteStatus::Sent;
            }
            // The wait for the rest begins.
            self.wrote = true;
            self.timing_changed = true;
        }
        let limits = self.settings().limits;
        if self.out.len().saturating_add(rest.len()) > limits.hard {
            // Some of it may have been sent, with nothing else waiting.
            self.link.socket.reset_at_close();
            self.state = State::Aborted(Some(
                Error::WriteBufferFull { address: self.link.peer.to_string(), limit: limits.hard }.into(),
            ));
            return WriteStatus::Closed;
        }
        if self.corked && self.out.is_empty() && !rest.is_empty() {
            self.wrote = true;
            self.timing_changed = true;
        }
        self.out.extend(rest);
        if self.corked && self.out.len() >= CORK_SIZE {
            self.flush();
        }
        self.note_buffered();
        if self.out.len() > limits.high {
            WriteStatus::AboveHighMark
        } else {
            WriteStatus::Buffered
        }
    }

    /// Hands bytes to the system until it takes no more.
    fn send(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while let Some(rest @ [_, ..]) = data.get(sent..) {
            match self.link.socket.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    sent += count;
                    self.wrote = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Sends what waits, as far as the system takes it.
    pub(crate) fn flush(&mut self) {
        while !self.out.is_empty() && matches!(self.state, State::Open | State::Closing) {
            let (first, _) = self.out.as_slices();
            match self.link.socket.write(first) {
                Ok(0) => self.break_off(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.out.drain(..count);
                    self.wrote = true;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.break_off(error),
            }
        }
        if self.out.is_empty() && self.out.capacity() > KEPT_BUFFER {
            self.out = VecDeque::new();
        }
        self.note_buffered();
    }

    /// Writing has failed. After a `close` nothing is delivered any more; otherwise what has come is.
    fn break_off(&mut self, error: io::Error) {
        self.state = match self.state {
            State::Closing => State::Aborted(Some(error)),
            _ => State::Broken(error),
        };
    }

    pub(super) fn note_buffered(&self) {
        self.link.buffered.store(self.out.len(), Ordering::Relaxed);
    }

    /// Collects what is written until [`uncork`](Transport::uncork), so that many small answers go out as few packets.
    pub(crate) fn cork(&mut self) {
        self.corked = true;
    }

    pub(crate) fn uncork(&mut self) {
        self.corked = false;
        self.flush();
    }
}
