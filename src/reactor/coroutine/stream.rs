//! [`CoroutineStream`].

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{fence, AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::clock::earlier;
use crate::reactor::arena::Key;
use crate::reactor::channel::Event;
use crate::reactor::inbox::{Command, Inbox};
use crate::reactor::link::Link;
use crate::stream::{Stream, Wait};
use crate::sync::{lock, Mutex};
use crate::sys;
use crate::task::{self, Task, Waiter};

/// A non-blocking socket that a loop watches. Whoever waits for it is suspended, where it is a coroutine, and sleeps, where it is a thread.
///
/// What the loop has reported is remembered, so that a read or a write which would only say that there is nothing, or no room, is not made.
///
/// What an exchange touches stands first, in one cache line: with a thousand connections, each line of theirs is one that has to be fetched.
#[repr(C, align(64))]
pub(crate) struct CoroutineStream {
    link: Arc<Link>,
    /// The coroutine whose seat has the socket's events; it is woken by them, and needs not be among those who wait.
    owner: OnceLock<Arc<Task>>,
    readable: AtomicBool,
    writable: AtomicBool,
    /// A read that does not fill the buffer may not be the last: see [`Event::to_the_end`].
    to_the_end: AtomicBool,
    /// There is somebody among those who wait.
    awaited: AtomicBool,
    /// Who watches it and under which key, where it is no request's own.
    watcher: OnceLock<Arc<Inbox>>,
    key: OnceLock<Key>,
    waiting: Mutex<Vec<Waiter>>,
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Read,
    Write,
}

impl CoroutineStream {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        // A read from a Unix socket stops behind a message that carries descriptors, and nothing announces it.
        let to_the_end = link.socket.is_unix() || !sys::SHORT_READ_IS_LAST;
        CoroutineStream {
            link,
            // Tried first, and waited for when there is nothing: what is asked for has often come with the connection.
            readable: AtomicBool::new(true),
            writable: AtomicBool::new(true),
            to_the_end: AtomicBool::new(to_the_end),
            owner: OnceLock::new(),
            watcher: OnceLock::new(),
            key: OnceLock::new(),
            awaited: AtomicBool::new(false),
            waiting: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Says whose seat has its events.
    pub(crate) fn set_owner(&self, task: Arc<Task>) {
        let _ = self.owner.set(task);
    }

    /// Says who is asked to watch it, and is to be told when it is closed.
    pub(crate) fn set_watcher(&self, watcher: Arc<Inbox>) {
        let _ = self.watcher.set(watcher);
    }

    pub(crate) fn set_key(&self, key: Key) {
        let _ = self.key.set(key);
    }

    pub(crate) fn register(&self, registry: &Registry, token: Token) -> io::Result<()> {
        self.link.socket.register(registry, token, sys::readable() | Interest::WRITABLE)
    }

    /// What the system has said.
    pub(crate) fn event(&self, event: Event) {
        if event.to_the_end {
            self.to_the_end.store(true, Ordering::Release);
        }
        if event.readable {
            self.readable.store(true, Ordering::Release);
        }
        if event.writable {
            self.writable.store(true, Ordering::Release);
        }
        // Either this sees who waits, or he sees what has come: see `Waiting::new`.
        fence(Ordering::SeqCst);
        if self.awaited.load(Ordering::Relaxed) {
            lock(&self.waiting).iter().for_each(Waiter::wake);
        }
    }

    fn ready(&self, direction: Direction) -> &AtomicBool {
        match direction {
            Direction::Read => &self.readable,
            Direction::Write => &self.writable,
        }
    }

    /// Waits until it may be tried again.
    fn wait(&self, direction: Direction, wait: Wait, started: &mut Option<Instant>) -> io::Result<()> {
        let timeout = wait.timeout.and_then(|timeout| started.get_or_insert_with(Instant::now).checked_add(timeout));
        let until = earlier(timeout, wait.deadline);
        let ready = self.ready(direction);
        let result = match self.owner.get() {
            Some(owner) if task::is_current(owner) => task::wait(owner, until),
            _ => self.wait_with_others(ready, until),
        };
        match result {
            // The loop may have been held up for as long as the timeout, and the peer have kept to it.
            Err(error) if error.kind() == io::ErrorKind::TimedOut && ready.load(Ordering::Acquire) => Ok(()),
            result => result,
        }
    }

    /// The same for whoever has not the socket's events to himself.
    #[inline(never)]
    fn wait_with_others(&self, ready: &AtomicBool, until: Option<Instant>) -> io::Result<()> {
        let waiter = Waiter::current();
        let _waiting = Waiting::new(self, &waiter);
        // What has come since it was tried is not reported again.
        if ready.load(Ordering::Acquire) {
            return Ok(());
        }
        waiter.wait(until)
    }

    /// Tries until it can be done, within the limits.
    fn when_ready(
        &self,
        direction: Direction,
        wait: Wait,
        mut attempt: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        // Also where there would be nothing to wait for: who is late must not go on for as long as the peer sends.
        if wait.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let ready = self.ready(direction);
        let mut started = None;
        loop {
            while ready.load(Ordering::Acquire) {
                // Forgotten before it is tried: what has been reported by then is found, and what is reported later is not forgotten.
                ready.store(false, Ordering::Release);
                match attempt() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => ready.store(true, Ordering::Release),
                    result => return result,
                }
            }
            self.wait(direction, wait, &mut started)?;
        }
    }
}

impl Stream for CoroutineStream {
    fn read(&self, buf: &mut [u8], wait: Wait) -> io::Result<usize> {
        task::check()?;
        let room = buf.len();
        let count = self.when_ready(Direction::Read, wait, || self.link.socket.read(buf));
        match count {
            Ok(count) if count < room && count > 0 && !self.to_the_end.load(Ordering::Acquire) => {}
            _ => self.readable.store(true, Ordering::Release),
        }
        let count = count?;
        task::spend(count);
        Ok(count)
    }

    fn write(&self, buf: &[u8], wait: Wait) -> io::Result<usize> {
        task::check()?;
        let count = self.when_ready(Direction::Write, wait, || self.link.socket.write(buf));
        // Also after a short one: the next try tells.
        self.writable.store(true, Ordering::Release);
        let count = count?;
        task::spend(count);
        Ok(count)
    }

    fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        if !self.writable.load(Ordering::Acquire) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.writable.store(false, Ordering::Release);
        let result = self.link.socket.write(buf);
        if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.writable.store(true, Ordering::Release);
        }
        result
    }

    fn await_readable(&self, wait: Wait) -> io::Result<()> {
        let mut started = None;
        while !self.readable.load(Ordering::Acquire) {
            self.wait(Direction::Read, wait, &mut started)?;
        }
        Ok(())
    }

    fn is_readable(&self) -> bool {
        self.readable.load(Ordering::Acquire)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let result = self.link.socket.shutdown(how);
        // The system reports it too, where it is asked: nobody need wait for that.
        self.event(Event { readable: true, writable: true, to_the_end: true });
        if let Some(owner) = self.owner.get() {
            owner.wake();
        }
        result
    }

    fn socket(&self) -> Option<SockRef<'_>> {
        self.link.socket.as_sock_ref()
    }
}

/// Somebody among those who wait, to the end of the wait.
struct Waiting<'a> {
    stream: &'a CoroutineStream,
    waiter: &'a Waiter,
}

impl<'a> Waiting<'a> {
    fn new(stream: &'a CoroutineStream, waiter: &'a Waiter) -> Self {
        lock(&stream.waiting).push(waiter.clone());
        stream.awaited.store(true, Ordering::Relaxed);
        // Before he looks whether it is ready.
        fence(Ordering::SeqCst);
        Waiting { stream, waiter }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.stream.waiting);
        if let Some(index) = waiting.iter().position(|one| one.is(self.waiter)) {
            waiting.swap_remove(index);
        }
        self.stream.awaited.store(!waiting.is_empty(), Ordering::Relaxed);
    }
}

impl Drop for CoroutineStream {
    fn drop(&mut self) {
        if let (Some(watcher), Some(key)) = (self.watcher.get(), self.key.get()) {
            let _ = watcher.send(Command::Forget(*key));
        }
    }
}

impl fmt::Debug for CoroutineStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoroutineStream").field("socket", &self.link.socket).finish_non_exhaustive()
    }
}
