//! [`Inbox`]: what other threads, and other connections, ask of a loop.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use super::arena::Key;
use super::arrival::Adoption;
use super::house::House;
use super::transport::Transport;
use crate::sync::{lock, Mutex};

/// How many bytes of broadcasts may wait for a loop to get to them. One that is a whole write buffer behind has a callback that holds
/// it up; more would only be memory.
const MOST_BROADCAST: usize = 1024 * 1024;

/// When so many bytes wait that the loop's own callbacks have broadcast, they are sent before it calls back much further: one read of a
/// connection may bring about many times as many bytes as it brought, and more than the limit would be lost.
const MANY_BROADCAST: usize = 64 * 1024;

/// Requests to a loop, in order. Sending one never waits; a loop that is busy looks by itself and needs no waking.
pub(crate) struct Inbox {
    state: Mutex<State>,
    /// Connections it serves or is about to.
    load: AtomicUsize,
    /// The loop's thread, once it has looked here, and the bytes that its own callbacks have broadcast since it last did.
    thread: OnceLock<ThreadId>,
    own: AtomicUsize,
}

struct State {
    commands: Vec<Command>,
    /// Bytes of broadcasts among them.
    broadcast: usize,
    /// The loop will look here before it waits.
    awake: bool,
    /// `None` before the loop runs and once it has ended.
    waker: Option<Arc<mio::Waker>>,
    closed: bool,
}

/// What can be asked of a loop.
pub(crate) enum Command {
    /// Serve a connection that another loop has accepted.
    Adopt(Box<Adoption>),
    Write(Key, Box<[u8]>),
    Close(Key),
    Abort(Key),
    Broadcast(Arc<Broadcast>),
    /// That server is stopping.
    Stop(Arc<House>),
    /// All servers have stopped: end when the last connection has.
    Finish,
}

/// Which members a broadcast is for.
pub(crate) type Filter = Box<dyn Fn(&Transport) -> bool + Send + Sync>;

/// The same bytes for many connections.
pub(crate) struct Broadcast {
    pub(crate) house: Arc<House>,
    pub(crate) data: Box<[u8]>,
    pub(crate) filter: Option<Filter>,
}

/// A command that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undelivered {
    /// Too much waits already.
    Full,
    /// The loop has ended.
    Closed,
}

impl Inbox {
    pub(crate) fn new() -> Arc<Self> {
        let state = State { commands: Vec::new(), broadcast: 0, awake: false, waker: None, closed: false };
        Arc::new(Inbox {
            state: Mutex::new(state),
            load: AtomicUsize::new(0),
            thread: OnceLock::new(),
            own: AtomicUsize::new(0),
        })
    }

    /// A loop is about to serve what is sent here.
    pub(crate) fn open(&self, waker: &Arc<mio::Waker>) {
        lock(&self.state).waker = Some(Arc::clone(waker));
    }

    /// Nobody looks here any more.
    pub(crate) fn close(&self) -> Vec<Command> {
        let mut state = lock(&self.state);
        state.closed = true;
        state.waker = None;
        std::mem::take(&mut state.commands)
    }

    pub(crate) fn send(&self, command: Command) -> Result<(), (Undelivered, Command)> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err((Undelivered::Closed, command));
        }
        if let Command::Broadcast(broadcast) = &command {
            let waiting = state.broadcast.saturating_add(broadcast.data.len());
            if waiting > MOST_BROADCAST && state.broadcast > 0 {
                return Err((Undelivered::Full, command));
            }
            state.broadcast = waiting;
            if self.thread.get() == Some(&thread::current().id()) {
                self.own.fetch_add(broadcast.data.len(), Ordering::Relaxed);
            }
        }
        state.commands.push(command);
        let wake = !std::mem::replace(&mut state.awake, true);
        let waker = if wake { state.waker.clone() } else { None };
        drop(state);
        if let Some(Err(error)) = waker.map(|waker| waker.wake()) {
            log::error!("cannot wake an event loop: {error}");
        }
        Ok(())
    }

    /// Takes what has been sent.
    pub(crate) fn take(&self, commands: &mut Vec<Command>) {
        self.thread.get_or_init(|| thread::current().id());
        self.own.store(0, Ordering::Relaxed);
        let mut state = lock(&self.state);
        state.awake = true;
        state.broadcast = 0;
        commands.append(&mut state.commands);
    }

    /// Whether the loop may wait: nothing has been sent, and whatever will be wakes it.
    pub(crate) fn may_wait(&self) -> bool {
        let mut state = lock(&self.state);
        state.awake = !state.commands.is_empty();
        !state.awake
    }

    /// Whether so many broadcasts of the loop's own callbacks wait that they should go out before the next callback.
    pub(crate) fn is_crowded(&self) -> bool {
        self.own.load(Ordering::Relaxed) >= MANY_BROADCAST
    }

    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    pub(crate) fn add_load(&self) {
        self.load.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take_load(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("load", &self.load()).finish_non_exhaustive()
    }
}
