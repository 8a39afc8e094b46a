//! [`Channel`]: a connection and its protocol, from one event to the next.

mod closing;
mod timing;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Instant;

use mio::{Interest, Registry};

use super::arena::Key;
use super::house::House;
use super::inbox::Inbox;
use super::link::Link;
use super::protocol::Protocol;
use super::timers::Timers;
use super::transport::{Place, State, Transport};
use crate::connection::Deadline;
use crate::error::Error;
use crate::poller::Event;
use crate::server::{guarded, Admission, Cause, Failure, Slot, Stage};
use crate::sys;

/// How much is read for one event before the other connections get their turn: so many reads, and so many bytes. A connection that sends
/// as fast as it can then holds each of the others up by the time of a few reads, some tens of microseconds.
const READS_A_TURN: usize = 16;
const BYTES_A_TURN: usize = 256 * 1024;

/// How often the callbacks about water marks may be called for one event: a protocol whose `resume_writing` fills the buffer each time
/// goes on at the next.
const NOTICES_A_TURN: usize = 8;

/// How much is delivered at a stop before the protocol is told: all that had come, because no system keeps so much for a connection (Linux
/// 6 MiB, unless set otherwise), and not without end where the peer goes on sending.
const BYTES_BEFORE_STOP: u32 = 32 * 1024 * 1024;

/// A connection in its loop.
pub(crate) struct Channel {
    // Dropped in this order: the descriptor goes first, because whoever waits for the slot may need it.
    transport: Transport,
    /// `None` once `connection_lost` has been called.
    protocol: Option<Box<dyn Protocol>>,
    #[allow(dead_code)] // held for its drop
    admission: Option<Box<Admission>>,
    #[allow(dead_code)] // held for its drop
    slot: Slot,
    timer: Option<Key>,
    /// There may be something to read.
    readable: bool,
    /// See [`Event::to_the_end`].
    to_the_end: bool,
    /// Writing has failed, and what the peer had sent before is being looked for.
    broken: bool,
    watches_writing: bool,
    /// It is in the loop's list of those that have more to do.
    pub(crate) queued: bool,
    ending: Ending,
}

/// How far it is from its end.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Far,
    /// The server is stopping, and the protocol is to be told so when what has come has been delivered, or so many bytes of it.
    ToBeTold(u32),
    /// So many commands had been sent to the loop before the connection was closed: what of them is for it goes out first.
    After(u64),
    /// The protocol has gone, and when the instant comes the socket will have been kept for long enough.
    Lingers(Instant),
}

impl Ending {
    fn lingers_until(self) -> Option<Instant> {
        match self {
            Ending::Lingers(until) => Some(until),
            _ => None,
        }
    }
}

/// What a loop lends to the connection whose turn it is.
pub(crate) struct Turn<'a> {
    pub(crate) key: Key,
    pub(crate) now: Instant,
    pub(crate) registry: &'a Registry,
    pub(crate) timers: &'a mut Timers<Key>,
    /// One for all: whatever a protocol wants to keep it copies.
    pub(crate) buffer: &'a mut [u8],
    /// The loop's.
    pub(crate) inbox: &'a Inbox,
    /// How many of the commands that were ever sent there have been carried out.
    pub(crate) done: u64,
    #[cfg(feature = "coroutine")]
    pub(crate) stacks: &'a mut super::coroutine::Stacks,
}

/// What is to become of a connection after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    /// It has more to do, when the others have had their turn.
    Again,
    /// It is over. Dropping it closes it.
    Gone,
}

/// Whether there is more to do in this turn.
enum Next {
    Read,
    Wait,
    /// Nothing can come of waiting; the others have their turn first.
    Later,
    Gone,
}

impl Channel {
    /// A new connection. Once it is at home in its loop, `begin` follows.
    pub(crate) fn new(
        link: Arc<Link>,
        deadline: Option<Deadline>,
        house: Arc<House>,
        protocol: Box<dyn Protocol>,
        admission: Option<Admission>,
        slot: Slot,
        place: Place,
    ) -> Self {
        // A read from a Unix socket stops behind a message that carries descriptors, and nothing announces it.
        let to_the_end = link.socket.is_unix();
        Channel {
            transport: Transport::new(link, deadline, house, place),
            protocol: Some(protocol),
            admission: admission.map(Box::new),
            slot,
            timer: None,
            readable: false,
            to_the_end,
            broken: false,
            watches_writing: false,
            queued: false,
            ending: Ending::Far,
        }
    }

    pub(crate) fn house(&self) -> &Arc<House> {
        self.transport.house()
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Has itself reported by the system, and tells the protocol.
    pub(crate) fn begin(&mut self, turn: &mut Turn<'_>) -> io::Result<Fate> {
        if let Err(error) = self.transport.link.socket.register(turn.registry, turn.key.token(), sys::readable()) {
            self.forget_protocol();
            return Err(error);
        }
        self.transport.timing_changed = true;
        self.call(Stage::ConnectionMade, |protocol, transport| protocol.connection_made(transport));
        Ok(self.run(turn))
    }

    /// The system has reported something.
    #[inline]
    pub(crate) fn event(&mut self, event: Event, turn: &mut Turn<'_>) -> Fate {
        self.readable |= event.readable;
        self.to_the_end |= event.to_the_end;
        if event.writable {
            self.transport.flush();
        }
        self.run(turn)
    }

    /// Another thread, or another connection, wants something written.
    pub(crate) fn write(&mut self, data: &[u8], turn: &mut Turn<'_>) -> Fate {
        match self.ending {
            Ending::After(commands) if turn.done < commands => drop(self.transport.write_while_closing(data)),
            _ => drop(self.transport.write(data)),
        }
        self.run(turn)
    }

    pub(crate) fn close(&mut self, turn: &mut Turn<'_>) -> Fate {
        self.transport.close();
        self.run(turn)
    }

    pub(crate) fn abort(&mut self, turn: &mut Turn<'_>) -> Fate {
        self.transport.abort();
        self.run(turn)
    }

    pub(crate) fn pause_reading(&mut self, turn: &mut Turn<'_>) -> Fate {
        self.transport.pause_reading();
        self.run(turn)
    }

    pub(crate) fn resume_reading(&mut self, turn: &mut Turn<'_>) -> Fate {
        self.transport.resume_reading();
        self.run(turn)
    }

    /// The server is stopping. What has come so far is delivered first.
    pub(crate) fn shut_down(&mut self, turn: &mut Turn<'_>) -> Fate {
        self.readable = true;
        self.queued = false;
        if let Ending::Far = self.ending {
            self.ending = Ending::ToBeTold(BYTES_BEFORE_STOP);
        }
        self.run(turn)
    }

    /// The loop cannot go on.
    pub(crate) fn fail(&mut self, error: &io::Error) {
        if self.protocol.is_some() {
            self.lose(Some(io::Error::new(error.kind(), format!("the event loop has failed: {error}"))));
        }
    }

    /// Goes on until nothing is left to do, or others should have their turn.
    ///
    /// The usual case, in which something is read and answered and that is all, stands apart: between two system calls the processor
    /// has everything to fetch anew, so each step more shows.
    #[inline]
    fn run(&mut self, turn: &mut Turn<'_>) -> Fate {
        // A cut shows as an end.
        let usual = self.readable && !self.queued && self.transport.is_quiet() && !self.transport.link.is_cut();
        if !usual || matches!(self.ending, Ending::ToBeTold(_)) || self.is_crowded(turn) {
            return self.go_on(turn, 0, 0);
        }
        let bytes = self.read(turn);
        if self.readable || !self.transport.is_quiet() || self.transport.timing_changed {
            return self.go_on(turn, 1, bytes);
        }
        self.stamp(turn.now);
        Fate::Stays
    }

    /// Goes on after so many reads.
    #[inline(never)]
    fn go_on(&mut self, turn: &mut Turn<'_>, mut reads: usize, mut bytes: usize) -> Fate {
        let again = loop {
            match (self.settle(turn), self.ending) {
                (Next::Gone, _) => return self.end(turn),
                (Next::Wait, Ending::ToBeTold(_)) | (Next::Read, Ending::ToBeTold(0)) => {
                    self.ending = Ending::Far;
                    if self.transport.is_open() {
                        self.call(Stage::ShuttingDown, |protocol, transport| protocol.shutting_down(transport));
                    }
                    continue;
                }
                (Next::Wait, _) => break false,
                (Next::Later, _) => break true,
                (Next::Read, _) if reads >= READS_A_TURN || bytes >= BYTES_A_TURN => break true,
                // It is being written to, or something has come, before the turn that it waits for.
                (Next::Read, _) if self.queued => break true,
                (Next::Read, _) if self.is_crowded(turn) => {
                    // It is not silent, whenever it is read.
                    self.transport.last_active = turn.now;
                    break true;
                }
                (Next::Read, _) => {}
            }
            reads += 1;
            let count = self.read(turn);
            bytes += count;
            if let Ending::ToBeTold(left) = &mut self.ending {
                *left = left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
            }
        };
        self.stamp(turn.now);
        if self.transport.write_buffer_size() > 0 && !self.watches_writing {
            if let Err(error) = self.watch_writing(turn) {
                self.lose(Some(error));
                return self.end(turn);
            }
        }
        if self.transport.timing_changed {
            self.transport.timing_changed = false;
            self.set_timer(turn);
        }
        if again {
            Fate::Again
        } else {
            Fate::Stays
        }
    }

    /// Whether the callbacks of this turn have made many broadcasts, which should go out before there are more.
    fn is_crowded(&self, turn: &Turn<'_>) -> bool {
        turn.inbox.is_crowded()
    }

    /// Has the connection report both directions, once for all.
    fn watch_writing(&mut self, turn: &mut Turn<'_>) -> io::Result<()> {
        self.watches_writing = true;
        let both = sys::readable() | Interest::WRITABLE;
        self.transport.link.socket.reregister(turn.registry, turn.key.token(), both)
    }

    /// Sees to what callbacks and events have brought about, and says what comes next.
    fn settle(&mut self, turn: &mut Turn<'_>) -> Next {
        if let Ending::Lingers(until) = self.ending {
            return self.linger(until, turn);
        }
        if self.transport.link.is_cut() {
            let cut = Error::Cut { address: self.transport.link.peer.to_string() };
            self.lose(Some(cut.into()));
            return Next::Gone;
        }
        let mut notices = 0;
        loop {
            if notices == NOTICES_A_TURN {
                // Whatever the last of them has brought about.
                return Next::Later;
            }
            notices += 1;
            let limits = self.transport.settings().limits;
            let waiting = self.transport.write_buffer_size();
            match &self.transport.state {
                State::Open if !self.transport.writing_paused && waiting > limits.high => {
                    self.transport.writing_paused = true;
                    self.call(Stage::PauseWriting, |protocol, transport| protocol.pause_writing(transport));
                }
                State::Open if self.transport.writing_paused && waiting <= limits.low => {
                    self.transport.writing_paused = false;
                    self.call(Stage::ResumeWriting, |protocol, transport| protocol.resume_writing(transport));
                }
                State::Open => break,
                State::Closing => {
                    let commands = match self.ending {
                        Ending::After(commands) => commands,
                        _ => turn.inbox.sent(),
                    };
                    self.ending = Ending::After(commands);
                    return match waiting > 0 {
                        true => Next::Wait,
                        // What handles and broadcasts have sent before the close goes out too.
                        false if turn.done < commands => Next::Later,
                        false => self.finish(turn),
                    };
                }
                State::Broken(_) => {
                    // What the peer has sent before is looked for to the last byte.
                    self.readable |= !self.broken;
                    self.broken = true;
                    self.to_the_end = true;
                    break;
                }
                State::Aborted(_) | State::Lost => {
                    let error = self.transport.take_error();
                    self.lose(error);
                    return Next::Gone;
                }
            }
        }
        let broken = matches!(self.transport.state, State::Broken(_));
        let paused = self.transport.is_reading_paused() || self.transport.is_held() && !broken;
        self.transport.pushed_back_due |= paused && self.transport.pushed_back.is_some();
        let more = self.transport.has_pushed_back() || self.readable && !self.transport.read_ended;
        match (more && !paused, broken) {
            (true, _) => Next::Read,
            (false, false) => Next::Wait,
            (false, true) => {
                let error = self.transport.take_error();
                self.lose(error);
                Next::Gone
            }
        }
    }

    /// Reads once and delivers. Returns how much.
    #[inline]
    fn read(&mut self, turn: &mut Turn<'_>) -> usize {
        if !self.transport.is_open() || self.transport.pushed_back.is_some() {
            if let Ending::Lingers(_) = self.ending {
                return self.discard(turn);
            }
            if self.transport.has_pushed_back() {
                let data = self.transport.take_pushed_back();
                self.call(Stage::DataReceived, |protocol, transport| protocol.data_received(transport, &data));
                // Whoever gives back is working on many messages.
                return data.len().max(BYTES_A_TURN / 4);
            }
        }
        match self.transport.link.socket.read(turn.buffer) {
            Ok(0) => {
                self.peer_ended();
                0
            }
            Ok(count) => {
                self.transport.last_active = turn.now;
                let data = turn.buffer.get(..count).unwrap_or_default();
                self.readable = !self.was_last(count, turn.buffer.len());
                if self.transport.pushed_back.is_none() {
                    self.call(Stage::DataReceived, |protocol, transport| protocol.data_received(transport, data));
                } else {
                    let data = [&self.transport.take_pushed_back(), data].concat();
                    self.call(Stage::DataReceived, |protocol, transport| protocol.data_received(transport, &data));
                }
                count
            }
            Err(error) => {
                self.read_failed(error);
                0
            }
        }
    }

    #[inline(never)]
    fn peer_ended(&mut self) {
        if self.transport.link.is_cut() {
            // It is our own end that is seen here, which must not look like the peer's.
            return;
        }
        self.readable = false;
        self.transport.read_ended = true;
        if self.transport.is_open() {
            self.call(Stage::EofReceived, |protocol, transport| protocol.eof_received(transport));
        }
    }

    /// Whether nothing is left after a read of `count` bytes: where the buffer was not filled, and nothing was announced that says
    /// otherwise. That spares the read that would only say so.
    fn was_last(&self, count: usize, room: usize) -> bool {
        sys::SHORT_READ_IS_LAST && count < room && !self.to_the_end
    }

    #[inline(never)]
    fn read_failed(&mut self, error: io::Error) {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.readable = false,
            io::ErrorKind::Interrupted => {}
            // Writing has failed before, and that is the error that is told; or a cut, which is seen by itself.
            _ if matches!(self.transport.state, State::Broken(_)) => self.readable = false,
            _ if self.transport.link.is_cut() => {}
            _ => self.transport.state = State::Aborted(Some(error)),
        }
    }

    /// Runs a callback. A panic ends the connection.
    fn call(&mut self, stage: Stage, callback: impl FnOnce(&mut dyn Protocol, &mut Transport)) {
        let Channel { protocol: Some(protocol), transport, .. } = self else { return };
        if let Err(failure) = guarded(stage, || callback(&mut **protocol, transport)) {
            let error = io::Error::other(failure.to_string());
            self.transport.state = State::Aborted(None);
            self.report(failure);
            self.say_lost(Some(&error));
        }
    }

    /// The connection is over: says so, to the protocol and, where it is because of an error, to `handle_error`.
    fn lose(&mut self, error: Option<io::Error>) {
        self.say_lost(error.as_ref());
        if let Some(error) = error {
            self.report(Failure::new(Stage::Transport, Cause::Error(error.into())));
        }
    }

    /// Calls `connection_lost`, unless that has been done.
    fn say_lost(&mut self, error: Option<&io::Error>) {
        self.transport.state = State::Lost;
        self.transport.link.over.store(true, Ordering::Relaxed);
        self.transport.give_up();
        let Channel { protocol: Some(protocol), transport, .. } = self else { return };
        if let Err(failure) = guarded(Stage::ConnectionLost, || protocol.connection_lost(transport, error)) {
            self.report(failure);
        }
        self.forget_protocol();
    }

    fn forget_protocol(&mut self) {
        let protocol = self.protocol.take();
        if let Err(failure) = guarded(Stage::Drop, || drop(protocol)) {
            self.report(failure);
        }
    }

    fn report(&self, failure: Failure) {
        self.house().reception.report(failure.of_peer(&self.transport.link.peer));
    }

    #[inline(never)]
    fn end(&mut self, turn: &mut Turn<'_>) -> Fate {
        if let Some(timer) = self.timer.take() {
            turn.timers.cancel(timer);
        }
        Fate::Gone
    }
}
