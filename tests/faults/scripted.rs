//! Listeners, a dispatch strategy and a stream that fail as they are told to.

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socketserver::server::{AcceptError, Dispatch, Job, Listener, Readiness, Refused, Threading};
use socketserver::{tcp, Address, Connection, RequestContext, Stream, Wait};

use crate::harness::{own_loopback, Random};

/// When accepts fail, with which error number, and when they were tried.
#[derive(Debug, Default)]
pub(crate) struct Script {
    state: Mutex<ScriptState>,
}

#[derive(Debug, Default)]
struct ScriptState {
    once: VecDeque<i32>,
    always: Option<i32>,
    /// Fails before each client.
    alternating: Option<i32>,
    failed_last: bool,
    calls: Vec<Instant>,
    /// The last accept found nobody.
    idle: bool,
}

impl Script {
    /// The next accepts fail with these, one after the other.
    pub(crate) fn fail_once(&self, codes: impl IntoIterator<Item = i32>) {
        self.state.lock().unwrap().once.extend(codes);
    }

    /// All accepts fail, until `None`.
    pub(crate) fn fail_always(&self, code: Option<i32>) {
        self.state.lock().unwrap().always = code;
    }

    /// Every other accept fails.
    pub(crate) fn alternate(&self, code: i32) {
        self.state.lock().unwrap().alternating = Some(code);
    }

    pub(crate) fn calls(&self) -> Vec<Instant> {
        self.state.lock().unwrap().calls.clone()
    }

    pub(crate) fn last_call(&self) -> Option<Instant> {
        self.state.lock().unwrap().calls.last().copied()
    }

    /// Whether the accept loop has found that nobody is waiting, since it accepted the last client.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.lock().unwrap().idle
    }

    fn next(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.idle = false;
        state.calls.push(Instant::now());
        let alternating = if state.failed_last { None } else { state.alternating };
        let code = state.always.or_else(|| state.once.pop_front()).or(alternating);
        state.failed_last = code.is_some();
        code.map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
    }
}

/// A TCP listener whose accepts fail as a script says.
pub(crate) struct Faulty {
    inner: tcp::TcpListener,
    script: Arc<Script>,
}

impl Faulty {
    pub(crate) fn new() -> (Faulty, Arc<Script>) {
        let inner = std::net::TcpListener::bind(own_loopback()).unwrap().try_into().unwrap();
        let script = Arc::<Script>::default();
        (Faulty { inner, script: Arc::clone(&script) }, script)
    }
}

impl Listener for Faulty {
    type Request = Connection;
    type Addr = SocketAddr;

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
        self.inner.register(readiness)
    }

    fn accept(&mut self, context: &RequestContext) -> Result<Connection, AcceptError> {
        self.script.next()?;
        let accepted = self.inner.accept(context);
        self.script.state.lock().unwrap().idle = matches!(accepted, Err(AcceptError::WouldBlock));
        accepted
    }
}

/// Threads, refused while it is told to.
#[derive(Debug, Default)]
pub(crate) struct Refusing {
    threads: Threading,
    pub(crate) refuses: Arc<AtomicBool>,
    pub(crate) refused: Arc<AtomicUsize>,
}

impl Dispatch for Refusing {
    fn dispatch(&self, job: Job) -> Result<(), Refused> {
        if self.refuses.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            // EAGAIN, what a thread that cannot be started says.
            return Err(Refused::new(job, io::Error::from_raw_os_error(11)));
        }
        self.threads.dispatch(job)
    }

    fn stop(&self) {
        self.threads.stop();
    }
}

/// A listener of connections over streams that somebody hands it.
pub(crate) struct Handed(Receiver<Arc<dyn Stream>>);

impl Handed {
    pub(crate) fn new() -> (Handed, Sender<Arc<dyn Stream>>) {
        let (sender, receiver) = channel();
        (Handed(receiver), sender)
    }
}

impl Listener for Handed {
    type Request = Connection;
    type Addr = Address;

    fn local_addr(&self) -> Address {
        Address::Other("a script".into())
    }

    fn register(&mut self, _: &Readiness<'_>) -> io::Result<()> {
        Ok(())
    }

    fn accept(&mut self, context: &RequestContext) -> Result<Connection, AcceptError> {
        let stream = self.0.try_recv().map_err(|_| AcceptError::WouldBlock)?;
        Ok(Connection::new(context, stream, Address::Other("a script".into())))
    }
}

/// A stream that takes and gives a few bytes at a time, is interrupted, and fails, all at random.
#[derive(Debug)]
pub(crate) struct Choppy {
    state: Mutex<ChoppyState>,
    /// One call in so many fails; 0 for none.
    failures: usize,
}

struct ChoppyState {
    random: Random,
    sent: Vec<u8>,
    input: VecDeque<u8>,
}

impl std::fmt::Debug for ChoppyState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChoppyState")
    }
}

impl Choppy {
    pub(crate) fn new(seed: u64, failures: usize, input: Vec<u8>) -> Arc<Choppy> {
        let state = ChoppyState { random: Random::new(seed), sent: Vec::new(), input: input.into() };
        Arc::new(Choppy { state: Mutex::new(state), failures })
    }

    /// What has gone over the wire.
    pub(crate) fn sent(&self) -> Vec<u8> {
        self.state.lock().unwrap().sent.clone()
    }

    fn trouble(&self, state: &mut ChoppyState, interrupted: io::ErrorKind) -> io::Result<()> {
        if self.failures > 0 && state.random.below(self.failures) == 0 {
            let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe, io::ErrorKind::TimedOut];
            return Err(kinds[state.random.below(kinds.len())].into());
        }
        match state.random.below(4) {
            0 => Err(interrupted.into()),
            _ => Ok(()),
        }
    }

    fn send(&self, buf: &[u8], interrupted: io::ErrorKind) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap();
        self.trouble(&mut state, interrupted)?;
        let most = [1, 7, buf.len()][state.random.below(3)].min(buf.len());
        let count = state.random.below(most) + 1;
        state.sent.extend_from_slice(&buf[..count]);
        Ok(count)
    }
}

impl Stream for Choppy {
    fn read(&self, buf: &mut [u8], _: Wait) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap();
        self.trouble(&mut state, io::ErrorKind::Interrupted)?;
        let most = buf.len().min(state.input.len());
        if most == 0 {
            return Ok(0);
        }
        let count = state.random.below(most) + 1;
        for (to, from) in buf.iter_mut().zip(state.input.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }

    fn write(&self, buf: &[u8], _: Wait) -> io::Result<usize> {
        self.send(buf, io::ErrorKind::Interrupted)
    }

    fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf, io::ErrorKind::WouldBlock)
    }

    fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        Ok(())
    }
}

/// The longest back-off of an accept loop.
pub(crate) const LONGEST_BACK_OFF: Duration = Duration::from_millis(100);
