//! [`Race`]: several attempts to connect at once, of which the first to succeed wins.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::nonblocking::{begin_connect, outcome};
use crate::clock::earlier;
use crate::error::{Error, Phase};
use crate::net::Endpoint;
#[cfg(feature = "coroutine")]
use {
    crate::task::{Connecting, Direction, Task, Waiter, Waiting},
    std::sync::Arc,
};

/// How long an attempt may be the only one. When it has not answered by then, the next address is tried beside it: RFC 8305's
/// Connection Attempt Delay, with the value recommended there.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// What attempts are waited for with.
pub(super) trait Track {
    /// A socket that is being connected.
    type Runner;

    /// Has it reported.
    fn take_in(&mut self, socket: TcpStream, address: SocketAddr) -> io::Result<Self::Runner>;

    /// Waits until something is reported of one of them, which may be for nothing, or until the instant.
    fn wait<'a>(&mut self, runners: impl Iterator<Item = &'a Self::Runner>, until: Option<Instant>) -> io::Result<()>
    where
        Self::Runner: 'a;

    /// What has come of it: `true` when it is connected, `false` while nothing has.
    fn outcome(&self, runner: &Self::Runner) -> io::Result<bool>;
}

pub(super) struct Race<T: Track> {
    pub(super) track: T,
    source: Option<SocketAddr>,
    waiting: std::vec::IntoIter<SocketAddr>,
    running: Vec<(SocketAddr, T::Runner)>,
    failed: Vec<(SocketAddr, io::Error)>,
}

impl<T: Track> Race<T> {
    pub(super) fn new(track: T, source: Option<SocketAddr>, addresses: Vec<SocketAddr>) -> Self {
        Race { track, source, waiting: addresses.into_iter(), running: Vec::new(), failed: Vec::new() }
    }

    /// `None` when all addresses have failed or the deadline has come.
    pub(super) fn run(&mut self, deadline: Option<Instant>) -> io::Result<Option<(SocketAddr, T::Runner)>> {
        let mut next_start = Instant::now();
        loop {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(None);
            }
            if next_start <= now || self.running.is_empty() {
                match self.waiting.next() {
                    Some(address) => {
                        self.start(address);
                        next_start = now + ATTEMPT_DELAY;
                        continue;
                    }
                    None if self.running.is_empty() => return Ok(None),
                    None => {}
                }
            }
            let start = (self.waiting.len() > 0).then_some(next_start);
            self.track.wait(self.running.iter().map(|(_, runner)| runner), earlier(start, deadline))?;
            if let Some(winner) = self.settle() {
                return Ok(Some(winner));
            }
        }
    }

    fn start(&mut self, address: SocketAddr) {
        let begun = begin_connect(address, self.source).and_then(|socket| self.track.take_in(socket, address));
        match begun {
            Ok(runner) => self.running.push((address, runner)),
            Err(error) => self.failed.push((address, error)),
        }
    }

    /// Looks what the attempts have come to.
    fn settle(&mut self) -> Option<(SocketAddr, T::Runner)> {
        let mut index = 0;
        while let Some((address, runner)) = self.running.get(index) {
            match self.track.outcome(runner) {
                Ok(true) => return Some(self.running.remove(index)),
                Ok(false) => index += 1,
                Err(error) => {
                    self.failed.push((*address, error));
                    self.running.remove(index);
                }
            }
        }
        None
    }

    /// Why nothing came of it.
    pub(super) fn lost(self, endpoint: &Endpoint, timeout: Option<Duration>) -> Error {
        let address = endpoint.to_string();
        let mut attempts = self.failed;
        let silent = self.running.into_iter().map(|(address, _)| address).chain(self.waiting);
        if attempts.is_empty() {
            if let (Some(after), Some(_)) = (timeout, silent.peekable().peek()) {
                return Error::Timeout { phase: Phase::Connect, address, after };
            }
        } else {
            attempts.extend(silent.map(|address| (address, io::ErrorKind::TimedOut.into())));
        }
        Error::Connect { address, attempts }
    }
}

/// For a thread, which sleeps meanwhile.
pub(super) struct Polled {
    poll: Poll,
    events: Events,
}

impl Polled {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Polled { poll: Poll::new()?, events: Events::with_capacity(16) })
    }

    /// Takes it out, as one of std's.
    pub(super) fn release(&self, mut socket: TcpStream) -> io::Result<std::net::TcpStream> {
        self.poll.registry().deregister(&mut socket)?;
        Ok(socket.into())
    }
}

impl Track for Polled {
    type Runner = TcpStream;

    fn take_in(&mut self, mut socket: TcpStream, _: SocketAddr) -> io::Result<TcpStream> {
        self.poll.registry().register(&mut socket, Token(0), Interest::WRITABLE)?;
        Ok(socket)
    }

    fn wait<'a>(&mut self, _: impl Iterator<Item = &'a TcpStream>, until: Option<Instant>) -> io::Result<()> {
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    fn outcome(&self, socket: &TcpStream) -> io::Result<bool> {
        outcome(socket)
    }
}

/// For a coroutine, whose loop goes on meanwhile.
#[cfg(feature = "coroutine")]
pub(super) struct Suspended(pub(super) Arc<Task>);

#[cfg(feature = "coroutine")]
impl Track for Suspended {
    type Runner = Arc<dyn Connecting>;

    fn take_in(&mut self, socket: TcpStream, address: SocketAddr) -> io::Result<Arc<dyn Connecting>> {
        Ok(Arc::clone(self.0.home()).connect(socket, address))
    }

    fn wait<'a>(
        &mut self,
        runners: impl Iterator<Item = &'a Arc<dyn Connecting>>,
        until: Option<Instant>,
    ) -> io::Result<()> {
        let waiter = Waiter::Coroutine(Arc::clone(&self.0));
        let waiting: Vec<Waiting<'_>> = runners.map(|runner| Waiting::new(runner.readiness(), &waiter)).collect();
        if waiting.iter().any(|one| one.readiness().take(Direction::Write)) {
            return Ok(());
        }
        match waiter.wait(until) {
            Err(error) if error.kind() != io::ErrorKind::TimedOut => Err(error),
            _ => Ok(()),
        }
    }

    fn outcome(&self, runner: &Arc<dyn Connecting>) -> io::Result<bool> {
        runner.outcome(outcome)
    }
}
