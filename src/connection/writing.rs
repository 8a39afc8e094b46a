//! The writing side of a connection: whose turn it is, and what waits.
//!
//! One thread at a time has the *turn* to write; the others wait for it, as long as the write timeout says that nothing
//! moves. What `try_write` accepts while somebody has the turn is queued. Whoever gets the turn sends first what was queued
//! before; whoever gives it up leaves what was queued meanwhile to the next who waits, or sees to it that it is sent. So
//! bytes never mix, nothing that was accepted is forgotten, and nobody is kept writing for others.

use std::io;
use std::net::Shutdown;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::shared::Shared;
use super::turn::Turn;
use crate::address::Address;
use crate::control::Throttle;
use crate::error::{text_of, Error};
use crate::stream::Wait;
use crate::sync::{lock, Mutex, MutexGuard};

/// What every write looks at stands first: see [`Shared`].
#[repr(C)]
pub(super) struct WritingSide {
    /// Somebody has the turn.
    pub(super) writing: bool,
    pub(super) state: SideState,
    /// How many wait for it. Signalling nobody would be a system call a write.
    pub(super) waiting: usize,
    /// Bytes that `try_write` accepted.
    pub(super) queue: Vec<u8>,
    pub(super) timeout: Option<Duration>,
    pub(super) deadline: Option<Deadline>,
    /// How many more bytes of those are being sent.
    pub(super) in_flight: usize,
    pub(super) queue_limit: usize,
    /// When something was last sent while somebody waited.
    pub(super) progress: Option<Instant>,
    pub(super) peer: Address,
}

pub(super) enum SideState {
    Open,
    /// What has been accepted goes out, nothing more is.
    Closing,
    /// A message went out in part, so whatever followed it would be misread.
    Poisoned(String),
    /// The request is over, or this direction was shut down.
    Closed,
}

impl WritingSide {
    pub(super) fn new(
        peer: Address,
        timeout: Option<Duration>,
        deadline: Option<Deadline>,
        queue_limit: usize,
    ) -> Self {
        WritingSide {
            writing: false,
            state: SideState::Open,
            waiting: 0,
            queue: Vec::new(),
            timeout,
            deadline,
            in_flight: 0,
            queue_limit,
            progress: None,
            peer,
        }
    }

    pub(super) fn wait(&self) -> Wait {
        Wait { timeout: self.timeout, deadline: self.deadline.map(|deadline| deadline.at) }
    }

    /// Whether there is something queued that may still be sent.
    pub(super) fn has_work(&self) -> bool {
        !self.queue.is_empty() && matches!(self.state, SideState::Open | SideState::Closing)
    }

    fn full(&self, more: usize) -> io::Error {
        let (peer, limit) = (&self.peer, self.queue_limit);
        let queued = self.queue.len() + self.in_flight;
        io::Error::new(
            io::ErrorKind::WouldBlock,
            format!(
                "{peer} does not keep up: {queued} bytes wait for it, and {more} more would pass the limit of {limit}"
            ),
        )
    }
}

impl Shared {
    /// Writes all of `buf`, in one piece as seen by other writers.
    pub(crate) fn write_all(self: &Arc<Self>, buf: &[u8]) -> io::Result<()> {
        counted(|| {
            let turn = self.take_turn()?;
            turn.send_queued()?;
            turn.send_message(buf)
        })
    }

    /// Writes some of `buf`.
    pub(crate) fn write(self: &Arc<Self>, buf: &[u8]) -> io::Result<usize> {
        counted(|| {
            let turn = self.take_turn()?;
            turn.send_queued()?;
            turn.send_some(buf)
        })
    }

    /// Waits until what `try_write` accepted has been handed to the system.
    pub(crate) fn flush(self: &Arc<Self>) -> io::Result<()> {
        counted(|| self.take_turn()?.send_queued())
    }

    /// Takes all of `buf` or none of it, without waiting. See [`ConnectionWriter::try_write`](crate::ConnectionWriter::try_write).
    ///
    /// Its failures are not counted, as those of what may wait are: a coroutine that calls it may hold a lock, and must not be made to let others
    /// have their turn.
    pub(crate) fn try_write(self: &Arc<Self>, buf: &[u8]) -> io::Result<()> {
        let mut side = lock(&self.side);
        self.check(&side)?;
        if buf.len() > side.queue_limit.saturating_sub(side.queue.len() + side.in_flight) {
            return Err(side.full(buf.len()));
        }
        let mut rest = buf;
        if !side.writing && side.queue.is_empty() {
            // Nobody can have the turn while the lock is held, and the stream does not wait.
            while !rest.is_empty() {
                match self.stream().try_write(rest) {
                    Ok(0) => break,
                    Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        let error = self.explain(&side, error);
                        if rest.len() < buf.len() {
                            side.state = SideState::Poisoned(text_of(&error));
                        }
                        return Err(error);
                    }
                }
            }
        }
        side.queue.extend_from_slice(rest);
        if !rest.is_empty() && !side.writing {
            side.writing = true;
            drop(side);
            self.start_sender();
        }
        Ok(())
    }

    /// Ends the writing side: what is queued goes out, then this direction is shut down. Other writes fail from now on.
    pub(crate) fn shutdown_write(self: &Arc<Self>) -> io::Result<()> {
        let mut side = lock(&self.side);
        self.check(&side)?;
        side.state = SideState::Closing;
        // Nobody but this thread takes the turn of a side that is closing.
        let mut side = self.wait_for_turn(side)?;
        if self.is_cut() || !matches!(side.state, SideState::Closing) {
            self.check(&side)?;
        }
        side.writing = true;
        let turn = Turn::new(self, &side);
        drop(side);
        turn.send_queued()?;
        lock(&self.side).state = SideState::Closed;
        drop(turn);
        self.stream().shutdown(Shutdown::Write)
    }

    /// Ends both directions at once, whoever is reading or writing.
    pub(crate) fn disconnect(&self) -> io::Result<()> {
        lock(&self.side).state = SideState::Closed;
        self.raw.shutdown(Shutdown::Both)
    }

    /// The request is over: writers fail from now on, and one that is blocked half-way is cut.
    pub(crate) fn close_writers(&self) {
        let mut side = lock(&self.side);
        side.state = SideState::Closed;
        side.queue = Vec::new();
        if side.writing {
            drop(side);
            let _ = self.raw.shutdown(Shutdown::Both);
        }
    }

    /// Why nothing can be written any more, where a write failed half-way.
    pub(super) fn poisoned(&self) -> Option<io::Error> {
        let side = lock(&self.side);
        match &side.state {
            SideState::Poisoned(_) => self.check(&side).err(),
            _ => None,
        }
    }

    fn take_turn(self: &Arc<Self>) -> io::Result<Turn<'_>> {
        let mut side = lock(&self.side);
        // As it nearly always is. What it takes otherwise stands apart, with the stack that it needs.
        if side.writing || !matches!(side.state, SideState::Open) || self.is_cut() {
            side = self.wait_for_turn(side)?;
            self.check(&side)?;
        }
        side.writing = true;
        Ok(Turn::new(self, &side))
    }

    /// Waits until nobody has the turn. It is the timeout's business that nothing moves, not how long the others' messages are.
    #[inline(never)]
    fn wait_for_turn<'a>(&'a self, mut side: MutexGuard<'a, WritingSide>) -> io::Result<MutexGuard<'a, WritingSide>> {
        if !side.writing {
            return Ok(side);
        }
        let started = Instant::now();
        side.waiting += 1;
        // Given back also where a coroutine is unwound while it waits.
        let mut waits = Waits(Some(&self.side));
        while side.writing {
            let since = side.progress.map_or(started, |progress| progress.max(started));
            let waited = side.wait().left(since).map(|left| (left, side));
            side = match waited.and_then(|(left, side)| self.turn.wait(&self.side, side, left)) {
                Ok(side) => side,
                Err(error) => {
                    drop(waits);
                    return Err(self.explain(&lock(&self.side), error));
                }
            };
        }
        waits.0 = None;
        side.waiting -= 1;
        Ok(side)
    }

    /// Whether anything may be written.
    #[inline(never)]
    fn check(&self, side: &WritingSide) -> io::Result<()> {
        if self.is_cut() {
            return Err(Error::Cut { address: side.peer.to_string() }.into());
        }
        match &side.state {
            SideState::Open => Ok(()),
            SideState::Poisoned(reason) => {
                Err(Error::Poisoned { address: side.peer.to_string(), reason: reason.clone() }.into())
            }
            SideState::Closing | SideState::Closed => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                format!("cannot write to {}: the request is over, or its writing side was shut down", side.peer),
            )),
        }
    }

    /// Passes the turn, which the caller has, to a thread of its own that sends the queue: at most one such thread a
    /// connection, only while its peer does not keep up, and not more than [`MAX_SENDERS`].
    pub(super) fn start_sender(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let started = Sender::take().and_then(|sender| {
            std::thread::Builder::new().name("ss-sender".into()).spawn(move || {
                let sent = catch_unwind(AssertUnwindSafe(|| {
                    let turn = Turn::new(&shared, &lock(&shared.side));
                    turn.send_all_queued()
                }));
                if !matches!(sent, Ok(Ok(()))) {
                    // A peer that does not read, or whose stream panics, is not worth a request that waits for it to write.
                    let _ = shared.raw.shutdown(Shutdown::Both);
                }
                drop(sender);
            })
        });
        if let Err(error) = started {
            // The queue stays and goes out with the next write, or at the close.
            lock(&self.side).writing = false;
            self.turn.notify_all();
            NO_SENDER.log(
                log::Level::Warn,
                format_args!("what waits for a slow peer goes out with the next write: {error}"),
            );
        }
    }
}

/// Does something whose failure counts, where a coroutine runs: one that does not look at its errors would hold others up.
pub(super) fn counted<T>(attempt: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let result = attempt();
    #[cfg(feature = "coroutine")]
    if result.is_err() {
        crate::task::tried();
    }
    result
}

/// One of those who wait for the turn, to the end of the wait.
struct Waits<'a>(Option<&'a Mutex<WritingSide>>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if let Some(side) = self.0 {
            lock(side).waiting -= 1;
        }
    }
}

/// How many threads may at once be sending to peers that do not keep up, in the whole process. With the most threads that a builder
/// allows, 8,000, they stay well below what a process can have.
const MAX_SENDERS: usize = 1024;

static SENDERS: AtomicUsize = AtomicUsize::new(0);
static NO_SENDER: Throttle = Throttle::new();

/// One of the sending threads.
struct Sender(());

impl Sender {
    fn take() -> io::Result<Sender> {
        SENDERS
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < MAX_SENDERS).then_some(count + 1))
            .map(|_| Sender(()))
            .map_err(|_| {
                io::Error::new(io::ErrorKind::WouldBlock, format!("{MAX_SENDERS} peers are being waited for already"))
            })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        SENDERS.fetch_sub(1, Ordering::AcqRel);
    }
}
