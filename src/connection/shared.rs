//! [`Shared`]: the part of a connection that its writers and the drain have a hold on too.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::pause::Pause;
use super::signal::Signal;
use super::writing::WritingSide;
use crate::address::Address;
use crate::clock;
use crate::control::{Cut, LINGER};
use crate::error::{Error, Phase};
use crate::stream::Stream;
use crate::sync::{lock, Mutex};

/// The stream, and the writing side of it, which stands in `writing.rs`.
///
/// What an exchange touches stands together, in as few cache lines as hold it: `cut` and the front of `side` too.
#[repr(C)]
pub(crate) struct Shared {
    /// What was accepted or connected; a cut goes here.
    pub(super) raw: Arc<dyn Stream>,
    /// What was put over it since, such as a TLS session.
    upper: OnceLock<Arc<dyn Stream>>,
    cut: AtomicBool,
    pub(super) side: Mutex<WritingSide>,
    /// Signalled when the turn to write is given up.
    pub(super) turn: Signal,
    pub(super) pause: Pause,
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
            side: Mutex::new(WritingSide::new(peer, timeout, deadline, queue_limit)),
            turn: Signal::default(),
            pause: Pause::new(),
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

    /// Says of a failed write what the system could not: that the drain cut it, or which limit ran out.
    pub(super) fn explain(&self, side: &WritingSide, error: io::Error) -> io::Error {
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
    // One with a number or a cause in it is the system's or the stream's own, such as when keep-alive has given a peer up.
    if error.kind() != io::ErrorKind::TimedOut || error.raw_os_error().is_some() || error.get_ref().is_some() {
        return error;
    }
    let (phase, after) = match (deadline, timeout) {
        (Some(deadline), _) if deadline.at <= Instant::now() => (Phase::Request, deadline.within),
        (_, Some(timeout)) => (phase, timeout),
        _ => return error,
    };
    Error::Timeout { phase, address: peer.to_string(), after }.into()
}

impl Cut for Shared {
    fn dismiss(&self) {
        // A second from the last answer on, as at any close. A TCP socket that is shut down for reading answers with a reset whatever comes once its
        // writing has been ended too, so a client that asks for more while it reads could lose what it was reading.
        let long = u64::try_from(LINGER.as_micros()).unwrap_or(u64::MAX);
        if clock::micros().checked_sub(long).is_some_and(|before| self.pause.dismiss(before)) {
            let _ = self.raw.shutdown(Shutdown::Read);
        }
    }

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
