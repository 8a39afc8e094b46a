//! Code that can be suspended: what a coroutine is to those who wait in it and to those who wake it, whoever runs it.
//!
//! Everything in this crate that waits asks [`current`] first. Where a coroutine runs, it is suspended; elsewhere the thread waits.

mod readiness;
mod switch;
mod unblock;

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;

use crate::address::Address;
use crate::error::Error;
use crate::stream::Stream;

pub(crate) use readiness::{Direction, Readiness, Waiting};
pub(crate) use switch::{Ask, Coroutine, Resumed, Stack, Woken};
pub use unblock::unblock;
pub(crate) use unblock::unblock_until;

/// How often a coroutine that has been cut is told so by an error of what it waits with. One that goes on waiting after that is unwound: a
/// loop which ignores errors would hold all others of its thread up.
const PATIENCE: u32 = 16;

/// What a coroutine may read and write, in bytes, before the others of its thread have their turn; an operation counts for
/// [`OPERATION`] of them at least.
const BYTES_A_TURN: usize = 256 * 1024;
const OPERATION: usize = 16 * 1024;

/// Who runs coroutines, and watches the sockets that they open. Its methods never block.
pub(crate) trait Home: Send + Sync {
    /// Has the coroutine of that token go on. From any thread; for one that has ended, or that is not suspended, it does nothing.
    fn wake(&self, token: usize);

    /// Has a socket watched that is being connected.
    fn connect(self: Arc<Self>, socket: TcpStream, peer: SocketAddr) -> Arc<dyn Connecting>;

    /// Has a datagram socket watched, which must not block.
    fn open(self: Arc<Self>, socket: UdpSocket, peer: SocketAddr) -> Arc<dyn Datagrams>;
}

/// A stream that is being connected, or has been.
pub(crate) trait Connecting: Stream {
    fn readiness(&self) -> &Readiness;

    /// What has come of it, as `look` finds: `true` when it is connected.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`] where nobody watches it, so that nothing would be heard of it; those of `look`.
    fn outcome(&self, look: fn(&TcpStream) -> io::Result<bool>) -> io::Result<bool>;

    /// Sets NODELAY, and makes a connection's stream of it.
    fn connected(self: Arc<Self>) -> io::Result<Arc<dyn Stream>>;
}

/// A connected datagram socket, watched for the coroutines of one home.
pub(crate) trait Datagrams: Send + Sync + fmt::Debug {
    /// Whether it is watched, and by that one.
    fn is_watched_by(&self, home: &Arc<dyn Home>) -> bool;

    /// Waits for a datagram.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`]; as [`wait`]; whatever the system says.
    fn recv(&self, buf: &mut [u8], until: Instant) -> io::Result<usize>;

    /// Sends one, waiting for room in the system's buffer.
    ///
    /// # Errors
    /// As [`recv`](Datagrams::recv).
    fn send(&self, data: &[u8], until: Instant) -> io::Result<usize>;
}

/// A coroutine, as others know it.
pub(crate) struct Task {
    home: Arc<dyn Home>,
    /// Its name there.
    token: usize,
    /// Whose request it serves, for errors.
    peer: Address,
    /// Somebody has woken it since it last waited.
    woken: AtomicBool,
    /// It is to end: the server's stop has cut it.
    cut: AtomicBool,
    /// How often it has been told so.
    told: AtomicU32,
    /// What it has read and written in this turn.
    spent: AtomicUsize,
    /// It is within code that must not be suspended.
    kept: AtomicBool,
}

impl Task {
    pub(crate) fn new(home: Arc<dyn Home>, token: usize, peer: Address) -> Arc<Task> {
        Arc::new(Task {
            home,
            token,
            peer,
            woken: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            told: AtomicU32::new(0),
            spent: AtomicUsize::new(0),
            kept: AtomicBool::new(false),
        })
    }

    /// Has it look again at what it waits for. From any thread.
    pub(crate) fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.home.wake(self.token);
        }
    }

    pub(crate) fn home(&self) -> &Arc<dyn Home> {
        &self.home
    }

    /// Every wait of its fails from now on. Whoever runs it has it go on.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// Tells it that it has been cut; `None` where it has been told often enough.
    #[cold]
    #[inline(never)]
    fn tell(&self) -> Option<io::Error> {
        let told = self.told.fetch_add(1, Ordering::Relaxed);
        (told < PATIENCE || std::thread::panicking()).then(|| self.cut_error())
    }

    #[cold]
    #[inline(never)]
    fn cut_error(&self) -> io::Error {
        Error::Cut { address: self.peer.to_string() }.into()
    }

    /// Its next turn begins.
    pub(crate) fn begin_turn(&self) {
        // Whoever has woken it since its last look has said before what for.
        self.woken.swap(false, Ordering::AcqRel);
        self.spent.store(0, Ordering::Relaxed);
    }
}

/// The coroutine that runs on this thread, if one does.
pub(crate) fn current() -> Option<Arc<Task>> {
    switch::with_current(Arc::clone)
}

/// Whether it is that one which runs on this thread.
pub(crate) fn is_current(task: &Arc<Task>) -> bool {
    switch::with_current(|current| Arc::ptr_eq(current, task)) == Some(true)
}

/// Counts bytes that the coroutine which runs on this thread, if one does, has read or written, and lets the others have their turn when
/// it has had its share.
pub(crate) fn spend(bytes: usize) {
    let over = switch::with_current(|task| {
        // Nobody else counts.
        let spent = task.spent.load(Ordering::Relaxed) + bytes.max(OPERATION);
        task.spent.store(spent, Ordering::Relaxed);
        spent > BYTES_A_TURN && !task.kept.load(Ordering::Relaxed)
    });
    if over == Some(true) && !std::thread::panicking() {
        switch::ask(Ask::Again);
    }
}

/// Something that the coroutine which runs on this thread, if one does, has tried has failed, or may have been done without waiting. That counts
/// too: one that does not look at its errors, or that connects again and again, would hold all others up.
pub(crate) fn tried() {
    spend(0);
    let _ = check();
}

/// Whether the coroutine that runs on this thread, if one does, may go on. Once it has been cut it is told so, some times, and then unwound.
///
/// # Errors
/// [`Error::Cut`].
pub(crate) fn check() -> io::Result<()> {
    match switch::with_current(|task| task.is_cut().then(|| task.tell())).flatten() {
        None => Ok(()),
        Some(Some(error)) => Err(error),
        Some(None) => std::panic::resume_unwind(Box::new("its request has been cut, and it went on")),
    }
}

/// Runs code that must not be suspended, because it holds a lock which others of its thread may want. Waiting in it is an error.
pub(crate) fn kept<T>(code: impl FnOnce() -> T) -> T {
    struct Kept(Option<Arc<Task>>);

    impl Drop for Kept {
        fn drop(&mut self) {
            if let Some(task) = &self.0 {
                task.kept.store(false, Ordering::Relaxed);
            }
        }
    }

    let task = current();
    if let Some(task) = &task {
        task.kept.store(true, Ordering::Relaxed);
    }
    let _kept = Kept(task);
    code()
}

/// Suspends the coroutine that runs until it is woken, which may be for no reason, or until `deadline`. Only where there is one.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`]; [`Error::Cut`] where it has been cut; [`io::ErrorKind::ConnectionAborted`] where it is being unwound: what waits
/// in a `drop` then cannot be suspended, because the thread counts as panicking as long as it is. [`io::ErrorKind::Other`] within [`kept`].
pub(crate) fn wait(task: &Task, deadline: Option<Instant>) -> io::Result<()> {
    if std::thread::panicking() {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    if task.kept.load(Ordering::Relaxed) {
        return Err(must_not_wait());
    }
    check()?;
    match switch::ask(Ask::Wait(deadline)) {
        Some(Woken::TimedOut) => Err(io::ErrorKind::TimedOut.into()),
        _ if task.is_cut() => Err(task.cut_error()),
        _ => Ok(()),
    }
}

#[cold]
#[inline(never)]
fn must_not_wait() -> io::Error {
    io::Error::other("the clone of a handler must not wait: it holds up all others meanwhile")
}

/// Whoever waits, coroutine or thread, to be woken by another.
#[derive(Clone)]
pub(crate) enum Waiter {
    Coroutine(Arc<Task>),
    Thread(std::thread::Thread),
}

impl Waiter {
    /// Whoever calls.
    pub(crate) fn current() -> Waiter {
        current().map_or_else(|| Waiter::Thread(std::thread::current()), Waiter::Coroutine)
    }

    pub(crate) fn wake(&self) {
        match self {
            Waiter::Coroutine(task) => task.wake(),
            Waiter::Thread(thread) => thread.unpark(),
        }
    }

    /// Whether they are the same.
    pub(crate) fn is(&self, other: &Waiter) -> bool {
        match (self, other) {
            (Waiter::Coroutine(one), Waiter::Coroutine(other)) => Arc::ptr_eq(one, other),
            (Waiter::Thread(one), Waiter::Thread(other)) => one.id() == other.id(),
            _ => false,
        }
    }

    /// Waits, as the one who made it, to be woken, which may be for no reason.
    ///
    /// # Errors
    /// As [`wait`].
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> io::Result<()> {
        match (self, deadline) {
            (Waiter::Coroutine(task), deadline) => wait(task, deadline),
            (Waiter::Thread(_), None) => {
                std::thread::park();
                Ok(())
            }
            (Waiter::Thread(_), Some(deadline)) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                std::thread::park_timeout(left);
                Ok(())
            }
        }
    }
}
