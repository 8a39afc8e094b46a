//! [`Turn`].

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::shared::Shared;
use super::writing::{SideState, WritingSide};
use crate::error::{text_of, Error};
use crate::stream::Wait;
use crate::sync::lock;

/// The most that is written at once, so that those who wait for the turn see that something moves.
const PIECE: usize = 64 * 1024;

/// The right to write.
pub(super) struct Turn<'a> {
    shared: &'a Arc<Shared>,
    wait: Wait,
    /// Something was queued before this turn.
    queued: bool,
}

impl<'a> Turn<'a> {
    /// The caller has set `writing`.
    pub(super) fn new(shared: &'a Arc<Shared>, side: &WritingSide) -> Self {
        Turn { shared, wait: side.wait(), queued: !side.queue.is_empty() }
    }

    /// Sends what was queued before this turn.
    pub(super) fn send_queued(&self) -> io::Result<()> {
        if self.queued {
            self.send_batch()?;
        }
        Ok(())
    }

    /// Sends what is queued until nothing is, somebody waits for the turn, or it cannot be sent.
    pub(super) fn send_all_queued(&self) -> io::Result<()> {
        loop {
            let side = lock(&self.shared.side);
            if !side.has_work() || side.waiting > 0 {
                return Ok(());
            }
            drop(side);
            self.send_batch()?;
        }
    }

    /// Sends what is queued now. What was accepted and cannot be sent is lost, however little of it went out: later writes fail.
    fn send_batch(&self) -> io::Result<()> {
        let mut side = lock(&self.shared.side);
        let batch = std::mem::take(&mut side.queue);
        side.in_flight = batch.len();
        drop(side);
        let sent = self.send(&batch);
        lock(&self.shared.side).in_flight = 0;
        sent.map_err(|(_, error)| self.poison(error))
    }

    /// Sends a message. Failing half-way poisons the side.
    pub(super) fn send_message(&self, buf: &[u8]) -> io::Result<()> {
        self.send(buf).map_err(|(sent, error)| {
            if sent > 0 {
                self.poison(error)
            } else {
                self.shared.explain(&lock(&self.shared.side), error)
            }
        })
    }

    /// Sends some of `buf`.
    pub(super) fn send_some(&self, buf: &[u8]) -> io::Result<usize> {
        if self.shared.is_cut() {
            return Err(Error::Cut { address: lock(&self.shared.side).peer.to_string() }.into());
        }
        self.write(buf).map_err(|error| self.shared.explain(&lock(&self.shared.side), error))
    }

    /// Sends all of `buf`, or says how much of it went out before the error. The timeout bounds each wait for progress, the
    /// deadline all of them together.
    fn send(&self, buf: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut rest = buf;
        while !rest.is_empty() {
            let result = if self.shared.is_cut() {
                Err(io::ErrorKind::ConnectionAborted.into())
            } else {
                self.write(rest.get(..PIECE).unwrap_or(rest))
            };
            match result {
                Ok(0) => return Err((buf.len() - rest.len(), io::ErrorKind::WriteZero.into())),
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(error) => return Err((buf.len() - rest.len(), error)),
            }
            if !rest.is_empty() {
                let mut side = lock(&self.shared.side);
                if side.waiting > 0 {
                    side.progress = Some(Instant::now());
                }
            }
        }
        Ok(())
    }

    /// One write, tried over when it was interrupted: a stream of the user's own may pass that on.
    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        loop {
            match self.shared.stream().write(buf, self.wait) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn poison(&self, error: io::Error) -> io::Error {
        let mut side = lock(&self.shared.side);
        let error = self.shared.explain(&side, error);
        side.queue = Vec::new();
        if matches!(side.state, SideState::Open | SideState::Closing) {
            side.state = SideState::Poisoned(text_of(&error));
        }
        error
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut side = lock(&self.shared.side);
        if std::thread::panicking() && matches!(side.state, SideState::Open) {
            // The stream panicked, and nobody knows how much of the message it had sent.
            side.state = SideState::Poisoned("the stream panicked".into());
        }
        if side.has_work() && side.waiting == 0 {
            drop(side);
            // Once: who queues on and on must not keep this thread.
            let _ = self.send_batch();
            side = lock(&self.shared.side);
            if side.has_work() && side.waiting == 0 {
                drop(side);
                self.shared.start_sender();
                return;
            }
        }
        side.writing = false;
        let waiting = side.waiting;
        drop(side);
        if waiting > 0 {
            self.shared.turn.notify_all();
        }
    }
}
