//! [`Selector`].

use std::fmt;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::Interest;

use super::arena::{Arena, Key};
use super::entry::{reads, Entry, Kind};
use super::ready::Ready;
use super::selector_waker::SelectorWaker;
use super::timers::Timers;
use crate::clock::{after, earlier};
use crate::error::{Error, Result};
use crate::poller::Poller;

/// Events of the first wait; more sources make room for more.
const FIRST_EVENTS: usize = 256;

/// Waits until sockets are ready, or timers come due. Python's `selectors.DefaultSelector`.
///
/// It owns what is registered, each with data of your own (Python's `key.data`), under a [`Key`]. A socket that has been
/// unregistered, or whose number the system gives to another, can never be reported again.
///
/// ```
/// use std::io::{Read, Write};
/// use std::time::Duration;
/// use socketserver::mio::net::{TcpListener, TcpStream};
/// use socketserver::mio::Interest;
/// use socketserver::reactor::Selector;
///
/// enum Role {
///     Listener,
///     Client,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
/// # let client = std::net::TcpStream::connect(listener.local_addr()?)?;
/// # (&client).write_all(b"hello")?;
/// # let mut answered = false;
/// let mut selector = Selector::new()?;
/// selector.register(listener, Interest::READABLE, Role::Listener)?;
/// loop {
///     for ready in selector.select(Some(Duration::from_secs(1)))? {
///         match selector.data(ready.key()) {
///             Some(Role::Listener) => {
///                 let listener = selector.get::<TcpListener>(ready.key()).ok_or("no listener")?;
///                 let (stream, _) = listener.accept()?;
///                 selector.register(stream, Interest::READABLE, Role::Client)?;
///             }
///             Some(Role::Client) => {
///                 let stream = selector.get_mut::<TcpStream>(ready.key()).ok_or("no stream")?;
///                 let mut buffer = [0; 4]; // what does not fit is reported again
///                 match stream.read(&mut buffer)? {
///                     0 => drop(selector.unregister::<TcpStream>(ready.key())?),
///                     count => stream.write_all(&buffer[..count])?,
///                 }
///                 # answered = true;
///             }
///             None => {} // unregistered earlier in this loop
///         }
///     }
///     # if answered { break; }
/// }
/// # Ok(()) }
/// ```
///
/// # Level-triggered
/// Whatever is still ready is reported by every [`select`](Selector::select): read a little and select again, and the rest is
/// reported again. mio, on which this stands, reports changes only; so each source that was reported is registered anew before
/// the next wait, at the cost of one system call. On Windows this needs all reading and writing to go through mio's types.
///
/// # Sources
/// mio's `TcpListener`, `TcpStream`, `UdpSocket`, on Unix also its `UnixListener`, `UnixStream`, `UnixDatagram`, and whatever
/// else implements [`mio::event::Source`](https://docs.rs/mio/1/mio/event/trait.Source.html), several kinds in one selector. They must be non-blocking, as mio's are from the start, and
/// own their descriptor: one that is closed elsewhere while it is registered, and whose number a newcomer is given, is taken for the
/// newcomer. What [`get_mut`](Selector::get_mut) gives is to be read from and written to, not to be replaced by another.
///
/// Urgent data (`Interest::PRIORITY`, on Linux) is reported as readable.
///
/// # What level-triggering means for a listener
/// One whose `accept` fails because no descriptor is left is still ready, and reported by every `select`: a loop that only tries again
/// spins, as Python's does. Unregister the listener, and register it again from a [timer](Selector::set_timer), or when a connection of
/// your own has closed. (The servers of this crate do so by themselves.)
///
/// # Closing
/// Dropping it, or [`close`](Selector::close), closes all it owns. No other thread can close it under a waiting
/// [`select`](Selector::select), which has it borrowed; a [waker](Selector::waker) ends that wait.
pub struct Selector<T = ()> {
    /// `None` once closed.
    poller: Option<Poller>,
    entries: Arena<Entry<T>>,
    timers: Timers<Key>,
    /// Reported by the last `select`, to be registered anew by the next.
    reported: Vec<Key>,
    /// One-shot timers reported by the last `select`, to be forgotten by the next.
    fired: Vec<Key>,
    /// A waker has ended the last `select`.
    woken: bool,
}

impl<T> Selector<T> {
    /// A selector with nothing registered.
    ///
    /// # Errors
    /// [`Error::System`] when no descriptor is left for it.
    pub fn new() -> Result<Self> {
        let poller = Poller::new(FIRST_EVENTS)
            .map_err(|source| Error::System { operation: "make a selector".into(), source })?;
        Ok(Selector {
            poller: Some(poller),
            entries: Arena::new(),
            timers: Timers::new(),
            reported: Vec::new(),
            fired: Vec::new(),
            woken: false,
        })
    }

    /// Takes a source in, to be reported when it is ready for what `interest` says. Python's `register`.
    ///
    /// # Errors
    /// [`Error::AlreadyRegistered`] where the same descriptor is registered here, or one of mio's sockets elsewhere (which mio finds in
    /// debug builds only);
    /// [`Error::SelectorClosed`]; [`Error::System`], such as for a regular file, which cannot be waited for. The source is dropped.
    pub fn register<S>(&mut self, source: S, interest: Interest, data: T) -> Result<Key>
    where
        S: Source + Send + 'static,
    {
        let poller = self.poller.as_ref().ok_or(Error::SelectorClosed)?;
        let mut source = Box::new(source);
        let key = self.entries.next_key();
        poller
            .registry()
            .register(&mut source, key.token(), interest)
            .map_err(|error| refused("register a source with the selector", error))?;
        let kind = Kind::Source { source, interest };
        self.entries.insert_with(|_| Entry { data, kind, found: None }).ok_or_else(full)
    }

    /// Has a source reported for something else from now on; what it is reported for already asks nothing of the system. Python's `modify`; to change the data, there is
    /// [`data_mut`](Selector::data_mut), which asks nothing of the system.
    ///
    /// # Errors
    /// [`Error::NotRegistered`] for a key that names no source; [`Error::SelectorClosed`]; [`Error::System`], after which the source
    /// stays registered as it was.
    pub fn modify(&mut self, key: Key, interest: Interest) -> Result<()> {
        let poller = self.poller.as_ref().ok_or(Error::SelectorClosed)?;
        match self.entries.get_mut(key).map(|entry| &mut entry.kind) {
            Some(Kind::Source { interest: old, .. }) if *old == interest => Ok(()),
            Some(Kind::Source { source, interest: old }) => {
                poller
                    .registry()
                    .reregister(source, key.token(), interest)
                    .map_err(|error| refused("change the interest in a source of the selector", error))?;
                *old = interest;
                Ok(())
            }
            _ => Err(unknown(key)),
        }
    }

    /// Gives a source back, which is reported no more. Python's `unregister`. To have it closed without naming its type, use
    /// [`remove`](Selector::remove).
    ///
    /// # Errors
    /// [`Error::NotRegistered`] for a key that names no source, or a source of another type, which stays registered then;
    /// [`Error::SelectorClosed`].
    pub fn unregister<S: 'static>(&mut self, key: Key) -> Result<S> {
        self.poller()?;
        if self.get::<S>(key).is_none() {
            return Err(Error::NotRegistered { key: key.to_string(), expected: std::any::type_name::<S>() });
        }
        match self.take(key)?.kind {
            Kind::Source { source, .. } => source.into_any().downcast().map(|source| *source).map_err(|_| unknown(key)),
            Kind::Timer { .. } => Err(unknown(key)),
        }
    }

    /// Forgets a source, which is closed, or a timer, which does not come any more, and gives its data back.
    ///
    /// # Errors
    /// [`Error::NotRegistered`] for a key that names nothing; [`Error::SelectorClosed`].
    pub fn remove(&mut self, key: Key) -> Result<T> {
        self.poller()?;
        Ok(self.take(key)?.data)
    }

    fn take(&mut self, key: Key) -> Result<Entry<T>> {
        let poller = self.poller.as_ref().ok_or(Error::SelectorClosed)?;
        let mut entry = self.entries.remove(key).ok_or_else(|| unknown(key))?;
        match &mut entry.kind {
            Kind::Source { source, .. } => {
                // Fails where the descriptor has been closed under it, which has the same effect.
                let _ = poller.registry().deregister(source);
            }
            Kind::Timer { timer, .. } => {
                self.timers.cancel(*timer);
            }
        }
        Ok(entry)
    }

    /// Has the returned key reported once, `delay` from now, never earlier. By then, or once [`remove`](Selector::remove)d, it costs
    /// nothing any more. Its data can be looked at until the next `select`.
    ///
    /// A hundred thousand pending timers slow a `select` down no more than one does. asyncio's `call_later`.
    ///
    /// # Errors
    /// [`Error::SelectorClosed`].
    pub fn set_timer(&mut self, delay: Duration, data: T) -> Result<Key> {
        self.add_timer(delay, None, data)
    }

    /// Has the returned key reported again and again, each time a `period` after the last. Where the program is late by more than a
    /// period, what it has missed is left out rather than made up for.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a period of zero; [`Error::SelectorClosed`].
    pub fn set_interval(&mut self, period: Duration, data: T) -> Result<Key> {
        if period.is_zero() {
            return Err(Error::InvalidSetting {
                setting: "period",
                value: "zero".into(),
                reason: "a timer that always comes leaves no time for anything else".into(),
            });
        }
        self.add_timer(period, Some(period), data)
    }

    fn add_timer(&mut self, delay: Duration, period: Option<Duration>, data: T) -> Result<Key> {
        self.poller()?;
        let due = after(Instant::now(), delay);
        let Selector { entries, timers, .. } = self;
        let mut timer = None;
        let key = entries
            .insert_with(|key| {
                timer = timers.insert(due, key);
                let kind = Kind::Timer { timer: timer.unwrap_or(key), due, period };
                Entry { data, kind, found: None }
            })
            .ok_or_else(full)?;
        match timer {
            Some(_) => Ok(key),
            None => {
                entries.remove(key);
                Err(full())
            }
        }
    }

    /// Waits until something is ready, at the most for `timeout`: `None` is for ever, zero only looks. Python's `select`.
    ///
    /// What it returns is detached: anything can be registered and unregistered while going through it. Each source and timer is in it
    /// once, readable and writable in one; there is no limit on how many. It is empty when the time has passed or a
    /// [waker](Selector::waker) has ended the wait; the wait is never shorter than `timeout` otherwise, and an interruption by a signal
    /// does not begin it anew.
    ///
    /// Errors and hang-ups are reported as readiness for what the source was registered for; the next read or write says what it is. A
    /// source that the system does not know any more is reported by every `select`, until it is [removed](Selector::remove). Timers
    /// that are due together come in the order of their times.
    ///
    /// # Errors
    /// [`Error::SelectorClosed`]; [`Error::System`] when the system refuses to wait.
    pub fn select(&mut self, timeout: Option<Duration>) -> Result<Vec<Ready>> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        for key in std::mem::take(&mut self.fired) {
            if let Some(Entry { kind: Kind::Timer { timer, .. }, .. }) = self.entries.remove(key) {
                self.timers.cancel(timer);
            }
        }
        let mut found = self.renew()?;
        self.woken = false;
        loop {
            let poller = self.poller.as_mut().ok_or(Error::SelectorClosed)?;
            // A source has one event at a time on most systems, one for each direction on some.
            let sources = self.entries.len().saturating_sub(self.timers.len());
            poller.make_room(sources.saturating_mul(2));
            let until = earlier(deadline, self.timers.next());
            let waited =
                if found.is_empty() && timeout != Some(Duration::ZERO) { poller.wait(until) } else { poller.look() };
            waited.map_err(|source| Error::System {
                operation: "wait for what is registered with the selector".into(),
                source,
            })?;
            for event in poller.events() {
                if event.token() == Poller::WAKER {
                    self.woken = true;
                    continue;
                }
                let key = Key::from_token(event.token());
                if let Some(entry) = self.entries.get_mut(key) {
                    entry.merge(key, event, &mut found);
                }
            }
            let now = Instant::now();
            self.expire(now, &mut found);
            if !found.is_empty()
                || self.woken
                || deadline.is_some_and(|deadline| deadline <= now)
                || timeout == Some(Duration::ZERO)
            {
                break;
            }
        }
        let ready: Vec<Ready> = found.into_iter().filter_map(|key| self.entries.get_mut(key)?.found.take()).collect();
        self.reported.extend(ready.iter().filter(|ready| !ready.is_timer()).map(|ready| ready.key()));
        Ok(ready)
    }

    /// Registers anew what was reported last, so that it is reported again if it is still ready. Returns those that cannot be: they are
    /// reported as ready, and what is wrong with them shows when they are used.
    fn renew(&mut self) -> Result<Vec<Key>> {
        let poller = self.poller.as_ref().ok_or(Error::SelectorClosed)?;
        let mut broken = Vec::new();
        for key in self.reported.drain(..) {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            let Kind::Source { source, interest } = &mut entry.kind else { continue };
            if poller.registry().reregister(source, key.token(), *interest).is_err() {
                entry.found = Some(Ready::source(key, reads(*interest), interest.is_writable()));
                broken.push(key);
            }
        }
        Ok(broken)
    }

    /// Finds the timers that have come due.
    fn expire(&mut self, now: Instant, found: &mut Vec<Key>) {
        while let Some((timer, &key)) = self.timers.expire(now) {
            let Some(entry) = self.entries.get_mut(key) else {
                self.timers.cancel(timer);
                continue;
            };
            let Kind::Timer { due, period, .. } = &mut entry.kind else { continue };
            match *period {
                Some(period) => {
                    *due = next_due(*due, period, now);
                    self.timers.reset(timer, *due);
                }
                None => self.fired.push(key),
            }
            entry.found = Some(Ready::timer(key));
            found.push(key);
        }
    }

    /// The source, if `key` names one of that type.
    pub fn get<S: 'static>(&self, key: Key) -> Option<&S> {
        match &self.entries.get(key)?.kind {
            Kind::Source { source, .. } => (**source).as_any().downcast_ref(),
            Kind::Timer { .. } => None,
        }
    }

    /// The source, to be read from or written to, if `key` names one of that type.
    pub fn get_mut<S: 'static>(&mut self, key: Key) -> Option<&mut S> {
        match &mut self.entries.get_mut(key)?.kind {
            Kind::Source { source, .. } => (**source).as_any_mut().downcast_mut(),
            Kind::Timer { .. } => None,
        }
    }

    /// The source and its data at once, both to be changed: a connection and what is yet to be written to it, say.
    ///
    /// ```
    /// # use socketserver::mio::{net::TcpStream, Interest};
    /// # use socketserver::reactor::{Key, Selector};
    /// use std::io::Write;
    ///
    /// fn flush(selector: &mut Selector<Vec<u8>>, key: Key) -> std::io::Result<()> {
    ///     let Some((stream, unsent)) = selector.entry_mut::<TcpStream>(key) else { return Ok(()) };
    ///     let count = stream.write(unsent)?;
    ///     unsent.drain(..count);
    ///     Ok(())
    /// }
    /// ```
    pub fn entry_mut<S: 'static>(&mut self, key: Key) -> Option<(&mut S, &mut T)> {
        let Entry { data, kind, .. } = self.entries.get_mut(key)?;
        match kind {
            Kind::Source { source, .. } => Some(((**source).as_any_mut().downcast_mut()?, data)),
            Kind::Timer { .. } => None,
        }
    }

    /// The data that a source or timer was registered with. Python's `get_key(…).data`.
    pub fn data(&self, key: Key) -> Option<&T> {
        self.entries.get(key).map(|entry| &entry.data)
    }

    /// The data, to be changed.
    pub fn data_mut(&mut self, key: Key) -> Option<&mut T> {
        self.entries.get_mut(key).map(|entry| &mut entry.data)
    }

    /// What a source is reported for. `None` for what is no source.
    pub fn interest(&self, key: Key) -> Option<Interest> {
        match self.entries.get(key)?.kind {
            Kind::Source { interest, .. } => Some(interest),
            Kind::Timer { .. } => None,
        }
    }

    /// Everything that is registered, timers too, with its data. Python's `get_map`.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.data))
    }

    /// How many sources and timers there are; a timer that has fired counts until the next `select`.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends a `select` that waits in this thread, from another. Cheap to clone; valid as long as you keep it, though without effect
    /// once the selector is gone.
    ///
    /// # Errors
    /// [`Error::SelectorClosed`].
    pub fn waker(&self) -> Result<SelectorWaker> {
        Ok(SelectorWaker::new(self.poller()?.waker()))
    }

    /// Whether a [waker](Selector::waker) has ended the last `select`, or come during it.
    pub fn was_woken(&self) -> bool {
        self.woken
    }

    /// Closes everything that is registered, and the selector itself; dropping it does the same. Whatever asks something of it
    /// afterwards gets [`Error::SelectorClosed`], and there is nothing in it. Python's `close`.
    pub fn close(&mut self) {
        self.entries.clear();
        self.timers = Timers::new();
        self.reported = Vec::new();
        self.fired = Vec::new();
        self.poller = None;
    }

    fn poller(&self) -> Result<&Poller> {
        self.poller.as_ref().ok_or(Error::SelectorClosed)
    }
}

/// The first instant of the series that is still to come.
fn next_due(due: Instant, period: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(due).as_nanos();
    let periods = late / period.as_nanos().max(1) + 1;
    u32::try_from(periods)
        .ok()
        .and_then(|periods| period.checked_mul(periods))
        .and_then(|ahead| due.checked_add(ahead))
        .filter(|next| *next > now)
        .unwrap_or_else(|| after(now, period))
}

fn unknown(key: Key) -> Error {
    Error::NotRegistered { key: key.to_string(), expected: "" }
}

fn full() -> Error {
    Error::System { operation: "keep more in the selector".into(), source: std::io::ErrorKind::OutOfMemory.into() }
}

fn refused(operation: &str, source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::AlreadyExists => Error::AlreadyRegistered { source },
        _ => Error::System { operation: operation.into(), source },
    }
}

impl<T> fmt::Debug for Selector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector").field("len", &self.len()).field("closed", &self.poller.is_none()).finish()
    }
}
