//! [`Shared`]: the part of a connection that its writers and the drain have a hold on too.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use crate::address::Address;
use crate::control::{Cut, Throttle};
use crate::error::{Error, Phase};
use crate::stream::{Stream, Wait};
use crate::sync::{lock, Condvar, Mutex, MutexGuard};

/// The stream, and the writing side of it.
///
/// One thread at a time has the *turn* to write; the others wait for it, within their timeout. What `try_write` accepts while
/// somebody has the turn is queued, and whoever has the turn sends the queue before giving the turn up. So bytes never mix, and
/// nothing that was accepted is forgotten.
pub(crate) struct Shared {
    /// What was accepted or connected; a cut goes here.
    raw: Arc<dyn Stream>,
    /// What was put over it since, such as a TLS session.
    upper: OnceLock<Arc<dyn Stream>>,
    cut: AtomicBool,
    side: Mutex<WritingSide>,
    /// Signalled when the turn is given up.
    turn: Condvar,
}

struct WritingSide {
    peer: Address,
    timeout: Option<Duration>,
    deadline: Option<Deadline>,
    /// Somebody has the turn.
    writing: bool,
    /// How many wait for it. Signalling nobody would be a system call a write.
    waiting: usize,
    queue: Vec<u8>,
    queue_limit: usize,
    state: SideState,
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

enum SideState {
    Open,
    /// A message went out in part, so whatever followed it would be misread.
    Poisoned(String),
    /// The request is over, or this direction was shut down.
    Closed,
}

impl Shared {
    pub(crate) fn new(
        stream: Arc<dyn Stream>,
        peer: Address,
        timeout: Option<Duration>,
        deadline: Option<Deadline>,
        queue_limit: usize,
    ) -> Self {
        Shared {
            raw: stream,
            upper: OnceLock::new(),
            cut: AtomicBool::new(false),
            side: Mutex::new(WritingSide {
                peer,
                timeout,
                deadline,
                writing: false,
                waiting: 0,
                queue: Vec::new(),
                queue_limit,
                state: SideState::Open,
            }),
            turn: Condvar::new(),
        }
    }

    pub(crate) fn stream(&self) -> &Arc<dyn Stream> {
        self.upper.get().unwrap_or(&self.raw)
    }

    /// Puts a stream over the one there is; once only.
    pub(crate) fn set_upper(&self, stream: Arc<dyn Stream>) -> io::Result<()> {
        self.upper.set(stream).map_err(|_| {
            io::Error::new(io::ErrorKind::AlreadyExists, "the connection's stream has been replaced before")
        })
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    pub(crate) fn set_peer(&self, peer: Address) {
        lock(&self.side).peer = peer;
    }

    pub(crate) fn write_timeout(&self) -> Option<Duration> {
        lock(&self.side).timeout
    }

    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) {
        lock(&self.side).timeout = timeout;
    }

    pub(crate) fn set_deadline(&self, deadline: Option<Deadline>) {
        lock(&self.side).deadline = deadline;
    }

    /// Writes all of `buf`, in one piece as seen by other writers.
    pub(crate) fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        let turn = self.take_turn()?;
        turn.send_earlier()?;
        turn.send_message(buf)
    }

    /// Writes some of `buf`.
    pub(crate) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let turn = self.take_turn()?;
        turn.send_earlier()?;
        turn.send_some(buf)
    }

    /// Waits until what `try_write` accepted has been handed to the system.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.take_turn()?.send_queued()
    }

    /// Takes all of `buf` or none of it, without waiting. See [`ConnectionWriter::try_write`](crate::ConnectionWriter::try_write).
    pub(crate) fn try_write(self: &Arc<Self>, buf: &[u8]) -> io::Result<()> {
        let mut side = lock(&self.side);
        self.check(&side)?;
        let room = side.queue_limit.saturating_sub(side.queue.len());
        if buf.len() > room {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!(
                    "{} does not keep up: {} bytes wait for it, and {} more would pass the limit of {}",
                    side.peer,
                    side.queue.len(),
                    buf.len(),
                    side.queue_limit
                ),
            ));
        }
        let mut rest = buf;
        if !side.writing && side.queue.is_empty() {
            // Nobody can have the turn while the lock is held, and the stream does not wait.
            while !rest.is_empty() {
                match self.stream().try_write(rest) {
                    Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        let error = self.explain(&side, error);
                        if rest.len() < buf.len() {
                            side.state = SideState::Poisoned(error.to_string());
                        }
                        return Err(error);
                    }
                }
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        side.queue.extend_from_slice(rest);
        if !side.writing {
            side.writing = true;
            drop(side);
            self.start_sender();
        }
        Ok(())
    }

    /// Sends the queue from a thread of its own, which has the turn until the queue is empty: at most one such thread a connection,
    /// only while its peer does not keep up, and not more than [`MAX_SENDERS`].
    fn start_sender(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        let started = Sender::take().and_then(|sender| {
            std::thread::Builder::new().name("ss-sender".into()).spawn(move || {
                let wait = shared.wait(&lock(&shared.side));
                drop(Turn { shared: &shared, wait, queued: true });
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

    /// Ends the writing side: what is queued goes out, then this direction is shut down. Later writes fail.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        let sent = self.take_turn()?.close();
        sent.and(self.stream().shutdown(Shutdown::Write))
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

    fn take_turn(&self) -> io::Result<Turn<'_>> {
        let mut side = lock(&self.side);
        if side.writing {
            side.waiting += 1;
            let (mut after, waited) = self.wait_for_turn(side);
            after.waiting -= 1;
            waited.map_err(|error| self.explain(&after, error))?;
            side = after;
        }
        self.check(&side)?;
        side.writing = true;
        Ok(Turn { shared: self, wait: self.wait(&side), queued: !side.queue.is_empty() })
    }

    fn wait_for_turn<'a>(
        &self,
        mut side: MutexGuard<'a, WritingSide>,
    ) -> (MutexGuard<'a, WritingSide>, io::Result<()>) {
        let started = Instant::now();
        while side.writing {
            side = match self.wait(&side).left(started) {
                Ok(None) => self.turn.wait(side).unwrap_or_else(std::sync::PoisonError::into_inner),
                Ok(Some(left)) => {
                    self.turn.wait_timeout(side, left).unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
                Err(error) => return (side, Err(error)),
            };
        }
        (side, Ok(()))
    }

    fn wait(&self, side: &WritingSide) -> Wait {
        Wait { timeout: side.timeout, deadline: side.deadline.map(|deadline| deadline.at) }
    }

    /// Whether anything may be written.
    fn check(&self, side: &WritingSide) -> io::Result<()> {
        if self.is_cut() {
            return Err(Error::Cut { address: side.peer.to_string() }.into());
        }
        match &side.state {
            SideState::Open => Ok(()),
            SideState::Poisoned(reason) => {
                Err(Error::Poisoned { address: side.peer.to_string(), reason: reason.clone() }.into())
            }
            SideState::Closed => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                format!("cannot write to {}: the request is over, or its writing side was shut down", side.peer),
            )),
        }
    }

    /// Says of a failed write what the system could not: that the drain cut it, or which limit ran out.
    fn explain(&self, side: &WritingSide, error: io::Error) -> io::Error {
        if self.is_cut() {
            return Error::Cut { address: side.peer.to_string() }.into();
        }
        explain_timeout(error, Phase::Write, &side.peer, side.timeout, side.deadline)
    }
}

/// Gives a timeout its phase and its length; any other error is left as it is.
pub(crate) fn explain_timeout(
    error: io::Error,
    phase: Phase,
    peer: &Address,
    timeout: Option<Duration>,
    deadline: Option<Deadline>,
) -> io::Error {
    if !matches!(error.kind(), io::ErrorKind::TimedOut) || error.get_ref().is_some() {
        return error;
    }
    let (phase, after) = match (deadline, timeout) {
        (Some(deadline), _) if deadline.at <= Instant::now() => (Phase::Request, deadline.within),
        (_, Some(timeout)) => (phase, timeout),
        // The system's own timeout, as when a peer has vanished and retransmissions gave up.
        _ => return error,
    };
    Error::Timeout { phase, address: peer.to_string(), after }.into()
}

impl Cut for Shared {
    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        let _ = self.raw.shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("stream", self.stream()).field("cut", &self.is_cut()).finish_non_exhaustive()
    }
}

/// The right to write. Giving it up sends what was queued meanwhile.
struct Turn<'a> {
    shared: &'a Shared,
    wait: Wait,
    /// Something was queued before this turn.
    queued: bool,
}

impl Turn<'_> {
    /// Sends what was queued before this turn.
    fn send_earlier(&self) -> io::Result<()> {
        if self.queued {
            self.send_queued()?;
        }
        Ok(())
    }

    /// Sends what is queued until nothing is.
    fn send_queued(&self) -> io::Result<()> {
        loop {
            let queue = std::mem::take(&mut lock(&self.shared.side).queue);
            if queue.is_empty() {
                return Ok(());
            }
            // What was accepted and cannot be sent has been lost, however little of it went out.
            if let Err((_, error)) = self.send(&queue) {
                return Err(self.poison(error));
            }
        }
    }

    /// Sends what was queued and lets nothing more in.
    fn close(&self) -> io::Result<()> {
        loop {
            self.send_queued()?;
            let mut side = lock(&self.shared.side);
            if side.queue.is_empty() {
                side.state = SideState::Closed;
                return Ok(());
            }
        }
    }

    fn send_message(&self, buf: &[u8]) -> io::Result<()> {
        self.send(buf).map_err(|(sent, error)| {
            if sent > 0 {
                self.poison(error)
            } else {
                self.shared.explain(&lock(&self.shared.side), error)
            }
        })
    }

    fn send_some(&self, buf: &[u8]) -> io::Result<usize> {
        if self.shared.is_cut() {
            return Err(Error::Cut { address: lock(&self.shared.side).peer.to_string() }.into());
        }
        loop {
            match self.shared.stream().write(buf, self.wait) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(|error| self.shared.explain(&lock(&self.shared.side), error)),
            }
        }
    }

    /// Sends all of `buf`, or says how much of it went out before the error. The timeout bounds each wait for progress, the
    /// deadline all of them together.
    fn send(&self, buf: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut rest = buf;
        while !rest.is_empty() {
            let result = if self.shared.is_cut() {
                Err(io::ErrorKind::ConnectionAborted.into())
            } else {
                self.shared.stream().write(rest, self.wait)
            };
            match result {
                Ok(0) => return Err((buf.len() - rest.len(), io::ErrorKind::WriteZero.into())),
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((buf.len() - rest.len(), error)),
            }
        }
        Ok(())
    }

    fn poison(&self, error: io::Error) -> io::Error {
        let mut side = lock(&self.shared.side);
        let error = self.shared.explain(&side, error);
        side.queue = Vec::new();
        if matches!(side.state, SideState::Open) {
            side.state = SideState::Poisoned(error.to_string());
        }
        error
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        loop {
            let mut side = lock(&self.shared.side);
            if side.queue.is_empty() || !matches!(side.state, SideState::Open) || std::thread::panicking() {
                side.writing = false;
                let waiting = side.waiting;
                drop(side);
                if waiting > 0 {
                    self.shared.turn.notify_all();
                }
                return;
            }
            drop(side);
            // Failing poisons the side, which ends the loop.
            let _ = self.send_queued();
        }
    }
}
