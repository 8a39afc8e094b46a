//! [`Inbox`]: what other threads, and other connections, ask of a loop.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};

use super::arena::Key;
use super::arrival::Adoption;
use super::house::House;
pub(crate) use super::mailbox::Undelivered;
use super::mailbox::{Alarm, Mailbox};
use super::transport::Transport;
#[cfg(feature = "coroutine")]
use {super::coroutine::Watched, crate::sys::Shareable, mio::net::UdpSocket, std::sync::Weak};

/// How many bytes of broadcasts may wait for a loop to get to them. One that is a whole write buffer behind has a callback that holds
/// it up; more would only be memory.
const MOST_BROADCAST: usize = 1024 * 1024;

/// What a waiting command costs beside its bytes.
pub(crate) const OVERHEAD: usize = 64;

/// When so many bytes wait that the loop's own callbacks have broadcast, they are sent before it calls back much further: one read of a
/// connection may bring about many times as many bytes as it brought, and more than the limit would be lost.
const MANY_BROADCAST: usize = 64 * 1024;

/// Requests to a loop, in order. Sending one never waits; a loop that is busy looks by itself and needs no waking.
pub(crate) struct Inbox {
    commands: Mailbox<Command, Arc<mio::Waker>>,
    /// Connections it serves or is about to.
    load: AtomicUsize,
    /// The loop's thread, once it has looked here, and the bytes that its own callbacks have broadcast since it last did.
    thread: OnceLock<ThreadId>,
    own: AtomicUsize,
    /// How many commands have been sent in all.
    sent: AtomicU64,
}

/// What can be asked of a loop.
pub(crate) enum Command {
    /// Serve a connection that another loop has accepted.
    Adopt(Box<Adoption>),
    Write(Key, Box<[u8]>),
    Close(Key),
    Abort(Key),
    PauseReading(Key),
    ResumeReading(Key),
    Broadcast(Arc<Broadcast>),
    /// That server is stopping.
    Stop(Arc<House>),
    /// All servers have stopped: end when the last connection has.
    Finish,
    /// Somebody has woken a coroutine.
    #[cfg(feature = "coroutine")]
    Wake(Key),
    /// A coroutine's request has been cut.
    #[cfg(feature = "coroutine")]
    Cut(Key),
    /// A coroutine has opened a socket.
    #[cfg(feature = "coroutine")]
    Watch(Weak<dyn Watched>),
    /// That socket is being closed.
    #[cfg(feature = "coroutine")]
    Forget(Key, Option<Shareable<UdpSocket>>),
}

/// Which members a broadcast is for.
pub(crate) type Filter = Box<dyn Fn(&Transport) -> bool + Send + Sync>;

/// The same bytes for many connections.
pub(crate) struct Broadcast {
    pub(crate) house: Arc<House>,
    pub(crate) data: Box<[u8]>,
    pub(crate) filter: Option<Filter>,
}

impl Alarm for Arc<mio::Waker> {
    fn ring(&self) {
        if let Err(error) = self.wake() {
            log::error!("cannot wake an event loop: {error}");
        }
    }
}

impl Inbox {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Inbox {
            commands: Mailbox::new(MOST_BROADCAST),
            load: AtomicUsize::new(0),
            thread: OnceLock::new(),
            own: AtomicUsize::new(0),
            sent: AtomicU64::new(0),
        })
    }

    /// A loop is about to serve what is sent here.
    pub(crate) fn open(&self, waker: &Arc<mio::Waker>) {
        self.commands.open(Arc::clone(waker));
    }

    /// Nobody looks here any more.
    pub(crate) fn close(&self) -> Vec<Command> {
        self.commands.close()
    }

    /// What it did not take is given back.
    pub(crate) fn send(&self, command: Command) -> Result<(), (Undelivered, Command)> {
        let weight = match &command {
            Command::Broadcast(broadcast) => broadcast.data.len().saturating_add(OVERHEAD),
            _ => 0,
        };
        self.commands.send(command, weight)?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        if weight > 0 && self.thread.get() == Some(&thread::current().id()) {
            self.own.fetch_add(weight, Ordering::Relaxed);
        }
        Ok(())
    }

    /// How many commands have been sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Takes what has been sent.
    pub(crate) fn take(&self, commands: &mut Vec<Command>) {
        self.thread.get_or_init(|| thread::current().id());
        self.own.store(0, Ordering::Relaxed);
        self.commands.take(commands);
    }

    /// Whether the loop may wait: nothing has been sent, and whatever will be wakes it.
    pub(crate) fn may_wait(&self) -> bool {
        self.commands.may_wait()
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
