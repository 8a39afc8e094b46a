//! [`EventLoop`]: one thread's connections.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use mio::{Registry, Token};

use super::arena::{Arena, Key};
use super::arrival::Adoption;
use super::channel::{Channel, Fate, Turn};
#[cfg(feature = "coroutine")]
use super::coroutine::{give_up_late, CoroutineSeat, Stacks};
use super::datagram::DatagramSeat;
use super::house::{House, Serves};
use super::inbox::{Broadcast, Command, Inbox};
use super::seat::{settle, Seat};
use super::timers::Timers;
use super::transport::Place;
use super::transport_handle::TransportHandle;
use crate::address::Address;
use crate::clock::earlier;
use crate::control::Control;
use crate::poller::{Event, Poller};
use crate::server::{guarded, sealed::Arrival as _, Cause, Failure, Stage, Taken};
use crate::sys;

/// Events that one wait brings at the most. Enough that a busy loop seldom waits twice for what one wait could bring, few enough
/// that what other threads ask for is seen to in between.
const EVENTS: usize = 1024;

/// The buffer that everything is read into, one for all connections.
const BUFFER: usize = 64 * 1024;

/// Tokens below the poller's own, for listeners, of which a reactor has a few. No connection's token reaches them.
const LAST_LISTENER: usize = usize::MAX - 1;
const MOST_LISTENERS: usize = 1024;

/// Waits for events and gives them to connections, until there is nothing left to serve.
pub(crate) struct EventLoop {
    poller: Poller,
    pub(super) seats: Arena<Seat>,
    pub(super) desk: Desk,
    /// Among those of the reactor.
    number: u32,
    commands: Vec<Command>,
    /// Who had more to do than fits into a turn.
    again: Vec<Key>,
    /// Listeners that have something to accept, by number.
    called: Vec<usize>,
    /// No server is going to send connections any more.
    finishing: bool,
    /// How many of the seats are sockets of others, which are nobody's to wait for.
    pub(super) watched: usize,
}

/// What is lent to whoever has the turn.
pub(super) struct Desk {
    timers: Timers<Key>,
    inbox: Arc<Inbox>,
    /// How many commands have been carried out in all.
    done: u64,
    buffer: Vec<u8>,
    now: Instant,
    #[cfg(feature = "coroutine")]
    pub(super) stacks: Stacks,
}

impl Desk {
    fn turn<'a>(&'a mut self, key: Key, registry: &'a Registry) -> Turn<'a> {
        Turn {
            key,
            now: self.now,
            registry,
            timers: &mut self.timers,
            buffer: &mut self.buffer,
            inbox: &self.inbox,
            done: self.done,
            #[cfg(feature = "coroutine")]
            stacks: &mut self.stacks,
        }
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        #[cfg(feature = "coroutine")]
        self.end_coroutines();
        // What was sent too late is dropped, which closes the connections among it, and drops the users' filters.
        let late = self.desk.inbox.close();
        #[cfg(feature = "coroutine")]
        give_up_late(&late);
        let _ = guarded(Stage::Drop, || drop(late));
    }
}

impl EventLoop {
    pub(crate) fn new(inbox: Arc<Inbox>, number: u32) -> io::Result<EventLoop> {
        let poller = Poller::new(EVENTS)?;
        inbox.open(poller.waker());
        Ok(EventLoop {
            poller,
            seats: Arena::new(),
            desk: Desk {
                timers: Timers::new(),
                inbox,
                done: 0,
                buffer: vec![0; BUFFER],
                now: Instant::now(),
                #[cfg(feature = "coroutine")]
                stacks: Stacks::new(),
            },
            number,
            commands: Vec::new(),
            again: Vec::new(),
            called: Vec::new(),
            finishing: false,
            watched: 0,
        })
    }

    pub(crate) fn waker(&self) -> &Arc<mio::Waker> {
        self.poller.waker()
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.poller.registry()
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.desk.inbox
    }

    /// The token of the listener of that number. `None` where there are too many.
    pub(crate) fn listener_token(number: usize) -> Option<Token> {
        (number < MOST_LISTENERS).then(|| Token(LAST_LISTENER - number))
    }

    /// Listeners that have been reported since this was asked last.
    pub(crate) fn take_called(&mut self) -> impl Iterator<Item = usize> + '_ {
        self.called.drain(..)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.seats.len() == self.watched
    }

    #[cfg(test)]
    pub(crate) fn timers(&self) -> usize {
        self.desk.timers.len()
    }

    /// Serves on a thread of its own, until told to finish.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !(self.finishing && self.is_empty()) {
            if let Err(error) = self.turn(None) {
                self.fail(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Waits until something happens or `until` has come, and sees to it.
    pub(crate) fn turn(&mut self, until: Option<Instant>) -> io::Result<()> {
        if self.again.is_empty() && self.desk.inbox.may_wait() {
            self.poller.wait(earlier(until, self.desk.timers.next()))?;
        } else {
            self.poller.look()?;
        }
        self.desk.now = Instant::now();
        self.see_to_events();
        if self.desk.inbox.is_crowded() {
            // Or those that have waited for their turn since the last one would only be put off again.
            self.see_to_commands();
        }
        let mut again = std::mem::take(&mut self.again).into_iter();
        for key in again.by_ref() {
            self.with_seat(key, Seat::go_on);
            if self.desk.inbox.is_crowded() {
                break;
            }
        }
        if !again.as_slice().is_empty() {
            // Those that have not had their turn come before those that have had it and want another.
            self.again.splice(..0, again);
        }
        self.see_to_commands();
        self.see_to_timers();
        Ok(())
    }

    fn see_to_events(&mut self) {
        let EventLoop { poller, seats, desk, again, called, .. } = self;
        for event in poller.events() {
            let token = event.token();
            if token == Poller::WAKER {
                continue;
            }
            if token.0 > LAST_LISTENER - MOST_LISTENERS {
                called.push(LAST_LISTENER - token.0);
                continue;
            }
            let key = Key::from_token(token);
            let what = Event {
                // A connection that has failed says so when it is read.
                readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                writable: event.is_writable() || event.is_write_closed(),
                to_the_end: event.is_read_closed() || event.is_error() || sys::is_urgent(event),
            };
            // It may have been closed since the event was reported.
            let Some(seat) = seats.get_mut(key) else { continue };
            let fate = seat.event(what, &mut desk.turn(key, poller.registry()));
            if fate != Fate::Stays {
                settle(fate, key, seats, again, &desk.inbox);
            }
        }
    }

    /// Has a connection with a protocol do something, and sees to what becomes of it.
    fn serve(&mut self, key: Key, work: impl FnOnce(&mut Channel, &mut Turn<'_>) -> Fate) {
        self.with_seat(key, |seat, turn| match seat {
            Seat::Channel(channel) => work(channel, turn),
            _ => Fate::Stays,
        });
    }

    /// The same for whatever is served.
    pub(super) fn with_seat(&mut self, key: Key, work: impl FnOnce(&mut Seat, &mut Turn<'_>) -> Fate) {
        let EventLoop { poller, seats, desk, again, .. } = self;
        let Some(seat) = seats.get_mut(key) else { return };
        let fate = work(seat, &mut desk.turn(key, poller.registry()));
        settle(fate, key, seats, again, &desk.inbox);
    }

    fn see_to_commands(&mut self) {
        let mut commands = std::mem::take(&mut self.commands);
        self.desk.inbox.take(&mut commands);
        for command in commands.drain(..) {
            self.carry_out(command);
            self.desk.done += 1;
        }
        self.commands = commands;
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Adopt(adoption) => {
                let house = Arc::clone(&adoption.house);
                if let Err(failure) = self.adopt_counted(*adoption) {
                    house.control().counters.spawn_failures.add_one();
                    house.reception.report(failure);
                }
            }
            Command::Write(key, data) => self.serve(key, |channel, turn| {
                TransportHandle::received(&channel.transport().link, &data);
                channel.write(&data, turn)
            }),
            Command::Close(key) => self.serve(key, Channel::close),
            Command::Abort(key) => self.serve(key, Channel::abort),
            Command::PauseReading(key) => self.serve(key, Channel::pause_reading),
            Command::ResumeReading(key) => self.serve(key, Channel::resume_reading),
            Command::Broadcast(broadcast) => {
                self.broadcast(&broadcast);
                // The last of several loops drops the filter, which is the user's.
                let house = Arc::clone(&broadcast.house);
                if let Err(failure) = guarded(Stage::Filter, || drop(broadcast)) {
                    house.reception.report(failure);
                }
            }
            Command::Stop(house) => self.stop(&house),
            Command::Finish => self.finishing = true,
            #[cfg(feature = "coroutine")]
            Command::Wake(key) => self.with_coroutine(key, CoroutineSeat::wake),
            #[cfg(feature = "coroutine")]
            Command::Cut(key) => self.with_coroutine(key, CoroutineSeat::cut),
            #[cfg(feature = "coroutine")]
            Command::Watch(stream) => self.watch(&stream),
            #[cfg(feature = "coroutine")]
            Command::Forget(key, handed_back) => self.forget(key, handed_back),
        }
    }

    fn see_to_timers(&mut self) {
        while let Some((_, &key)) = self.desk.timers.expire(self.desk.now) {
            self.with_seat(key, Seat::timer);
        }
    }

    /// Takes a connection in that the acceptor has counted among this loop's already.
    ///
    /// # Errors
    /// As those of `adopt`.
    pub(crate) fn adopt_counted(&mut self, adoption: Adoption) -> Result<Taken, Failure> {
        self.desk.inbox.take_load();
        self.adopt(adoption)
    }

    /// Takes a connection in.
    ///
    /// # Errors
    /// It could not be, and has been closed.
    pub(crate) fn adopt(&mut self, adoption: Adoption) -> Result<Taken, Failure> {
        let Adoption { arrival, slot, house } = adoption;
        #[allow(clippy::infallible_destructuring_match)] // there are two with a feature
        let protocols = match &house.serves {
            Serves::Protocols(protocols) => protocols,
            #[cfg(feature = "coroutine")]
            Serves::Handlers(handlers) => return self.start(arrival, slot, handlers),
        };
        let reception = &house.reception;
        let admission = match reception.admit(arrival.peer()) {
            Ok(admission) => admission,
            Err(refusal) => {
                reception.turn_away(arrival, refusal);
                return Ok(Taken::TurnedAway);
            }
        };
        let protocol = match protocols() {
            Ok(protocol) => protocol,
            Err(failure) => {
                reception.report(failure.of_peer(arrival.peer()));
                None
            }
        };
        let deadline = arrival.deadline;
        // Without a protocol it is closed, which is what a request gets whose handler could not be cloned.
        let (Some(protocol), Some(link)) = (protocol, arrival.into_link()) else { return Ok(Taken::Served) };
        let (loop_number, since) = (self.number, self.desk.now);
        let made = |key| {
            let place = Place { loop_number, key, since };
            Seat::Channel(Channel::new(link, deadline, house, protocol, admission, slot, place))
        };
        let mut failed = None;
        match self.insert(made) {
            Ok(key) => self.serve(key, |channel, turn| {
                channel.begin(turn).unwrap_or_else(|error| {
                    failed = Some((error, channel.transport().peer_addr()));
                    Fate::Gone
                })
            }),
            Err(error) => failed = Some((error, Address::Unnamed)),
        }
        match failed {
            Some((error, peer)) => Err(not_taken(&error, &peer)),
            None => Ok(Taken::Served),
        }
    }

    /// Takes a datagram socket in.
    pub(crate) fn add_datagrams(&mut self, mut seat: Box<DatagramSeat>) -> io::Result<()> {
        let key = self.seats.next_key();
        seat.begin(self.poller.registry(), key.token())?;
        self.insert(|_| Seat::Datagram(seat)).map(drop)
    }

    pub(super) fn insert(&mut self, make: impl FnOnce(Key) -> Seat) -> io::Result<Key> {
        let key = self.seats.insert_with(make).ok_or(io::ErrorKind::OutOfMemory)?;
        self.desk.inbox.add_load();
        Ok(key)
    }

    /// The loop cannot go on: every connection is told so.
    pub(crate) fn fail(&mut self, error: &io::Error) {
        for key in self.seats.keys() {
            self.with_seat(key, |seat, turn| seat.fail(error, turn));
        }
    }

    fn broadcast(&mut self, broadcast: &Broadcast) {
        for key in self.members(&broadcast.house) {
            self.serve(key, |channel, turn| {
                let picked = match &broadcast.filter {
                    None => Ok(true),
                    Some(filter) => guarded(Stage::Filter, || filter(channel.transport())),
                };
                match picked {
                    Ok(true) => channel.write(&broadcast.data, turn),
                    Ok(false) => Fate::Stays,
                    Err(failure) => {
                        let peer = &channel.transport().link.peer;
                        broadcast.house.reception.report(failure.of_peer(peer));
                        Fate::Stays
                    }
                }
            });
        }
    }

    /// A server is stopping: has its connections close.
    pub(crate) fn stop(&mut self, house: &Arc<House>) {
        for key in self.members(house) {
            self.serve(key, Channel::shut_down);
        }
    }

    /// A datagram server is stopping.
    pub(crate) fn stop_datagrams(&mut self, control: &Arc<Control>) {
        let of_control = |seat: &Seat| matches!(seat, Seat::Datagram(seat) if Arc::ptr_eq(seat.control(), control));
        for key in self.keys_of(of_control) {
            if let Some(Seat::Datagram(mut seat)) = self.seats.remove(key) {
                seat.lose(None);
                self.desk.inbox.take_load();
            }
        }
    }

    fn members(&self, house: &Arc<House>) -> Vec<Key> {
        self.keys_of(|seat| matches!(seat, Seat::Channel(channel) if Arc::ptr_eq(channel.house(), house)))
    }

    /// Collected, because what is done with each may change which there are.
    fn keys_of(&self, is_one: impl Fn(&Seat) -> bool) -> Vec<Key> {
        self.seats.iter().filter(|(_, seat)| is_one(seat)).map(|(key, _)| key).collect()
    }
}

/// Why a connection is not served.
pub(super) fn not_taken(error: &io::Error, peer: &Address) -> Failure {
    let reason = format!("cannot take the connection into an event loop: {error}");
    let cause = Cause::Error(io::Error::new(error.kind(), reason).into());
    Failure::new(Stage::Dispatch, cause).of_peer(peer)
}
