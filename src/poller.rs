//! [`Poller`]: the one place where this crate waits for readiness.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry, Token, Waker};

use crate::sys;

/// How long one wait takes at the most where mio stands on poll(2): there it can lose a wake that comes while it takes note of a
/// registration (mio 1.2), and nobody would ever come again.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// What the system has said of a socket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Event {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// A read that does not fill the buffer may not be the last: the peer's end has been announced, or urgent data, before which a
    /// read stops.
    pub(crate) to_the_end: bool,
}

/// mio's poll, with the rules that every wait here keeps to: an interruption begins no wait anew, no wait ends early, and another
/// thread can end any.
///
/// Edge-triggered, as mio is. [`Selector`](crate::reactor::Selector) makes level-triggering of it; servers drain instead.
#[derive(Debug)]
pub(crate) struct Poller {
    poll: Poll,
    events: Events,
    capacity: usize,
    waker: Arc<Waker>,
}

impl Poller {
    /// The waker's token. All others are the caller's.
    pub(crate) const WAKER: Token = Token(usize::MAX);

    /// `capacity` is how many events one wait brings at the most; the rest come with the next.
    pub(crate) fn new(capacity: usize) -> io::Result<Poller> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Poller::WAKER)?);
        Ok(Poller { poll, events: Events::with_capacity(capacity), capacity, waker })
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    pub(crate) fn waker(&self) -> &Arc<Waker> {
        &self.waker
    }

    /// Has one wait bring that many events, if there are so many. Between two waits only: what the last one brought is forgotten.
    pub(crate) fn make_room(&mut self, events: usize) {
        if events > self.capacity {
            self.capacity = events.max(self.capacity.saturating_mul(2));
            self.events = Events::with_capacity(self.capacity);
        }
    }

    /// Waits until something happens, or `until` has come; `None` is for ever. Where mio can lose a wake, it may end for nothing too.
    pub(crate) fn wait(&mut self, until: Option<Instant>) -> io::Result<()> {
        loop {
            let mut timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
            if !sys::EVENTS_REARM {
                timeout = Some(timeout.map_or(LONGEST_WAIT, |timeout| timeout.min(LONGEST_WAIT)));
            }
            match self.poll.poll(&mut self.events, timeout) {
                // A system that rounds a timeout down would end the wait early.
                Ok(())
                    if sys::EVENTS_REARM
                        && self.events.is_empty()
                        && until.map_or(true, |until| Instant::now() < until) => {}
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks what has happened, without waiting.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            result => result,
        }
    }

    /// What the last wait brought.
    pub(crate) fn events(&self) -> impl Iterator<Item = &mio::event::Event> {
        self.events.iter()
    }
}
