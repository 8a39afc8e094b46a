//! [`Transport`].

mod sending;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arena::Key;
use super::broadcaster::Broadcaster;
use super::house::House;
use super::link::Link;
use super::settings::{TransportSettings, WriteLimits};
use super::transport_handle::TransportHandle;
use super::write_status::WriteStatus;
use crate::address::Address;
use crate::connection::{not_zero, Deadline};
use crate::control::ServerHandle;
use crate::error::{Error, Phase, Result};

/// The connection, as its [`Protocol`](super::Protocol) sees it. asyncio's `Transport`.
///
/// Every callback gets it. Nothing here waits, and nothing calls back at once: what a method brings about (`pause_writing`,
/// `connection_lost`) is told when the callback that called it has returned.
///
/// For other threads, and for other connections, there is the [`handle`](Transport::handle).
pub struct Transport {
    pub(crate) link: Arc<Link>,
    house: Arc<House>,
    /// The number of the loop that serves it, and its name there.
    loop_number: u32,
    key: Key,
    /// Where they are not the server's.
    own_settings: Option<Box<TransportSettings>>,
    out: VecDeque<u8>,
    pub(crate) state: State,
    /// Given back by the protocol, to be delivered again before anything else is read.
    pub(crate) pushed_back: Option<Vec<u8>>,
    /// It is to be delivered as soon as reading may go on, without waiting for more.
    pub(crate) pushed_back_due: bool,
    /// Writes are being collected.
    corked: bool,
    /// The close is to be a reset.
    pub(crate) resets: bool,
    reading_paused: bool,
    /// The peer has ended its direction.
    pub(crate) read_ended: bool,
    /// `pause_writing` has been called, and `resume_writing` has not.
    pub(crate) writing_paused: bool,
    /// When the connection's timer is due may have changed.
    pub(crate) timing_changed: bool,
    pub(crate) deadline: Option<Instant>,
    /// The last time that bytes went either way.
    pub(crate) last_active: Instant,
    /// The last time that bytes went out, or began to wait.
    pub(crate) last_written: Option<Instant>,
    /// Bytes have gone out, or begun to wait, since the loop last looked at the clock.
    pub(crate) wrote: bool,
}

/// Where a connection is served, and since when.
pub(crate) struct Place {
    pub(crate) loop_number: u32,
    pub(crate) key: Key,
    pub(crate) since: Instant,
}

/// What has been decided about the connection.
#[derive(Debug)]
pub(crate) enum State {
    Open,
    /// To be closed when the buffer has been sent.
    Closing,
    /// Writing has failed. What the peer has sent before is still delivered.
    Broken(io::Error),
    /// To be closed at once; without an error where the protocol wants it so.
    Aborted(Option<io::Error>),
    /// `connection_lost` has been called, or is being. The socket may be kept for a while, until what was sent has arrived.
    Lost,
}

impl Transport {
    pub(crate) fn new(link: Arc<Link>, deadline: Option<Deadline>, house: Arc<House>, place: Place) -> Self {
        link.limit.store(house.settings.limits.hard, Ordering::Relaxed);
        Transport {
            link,
            loop_number: place.loop_number,
            key: place.key,
            own_settings: None,
            out: VecDeque::new(),
            state: State::Open,
            pushed_back: None,
            pushed_back_due: false,
            corked: false,
            resets: false,
            reading_paused: false,
            read_ended: false,
            writing_paused: false,
            timing_changed: false,
            deadline: deadline.map(|deadline| deadline.at),
            last_active: place.since,
            last_written: None,
            wrote: false,
            house,
        }
    }

    /// Sends `data`: as much as the system takes at once, the rest, in order, as the peer reads. Never waits. asyncio's `write`.
    ///
    /// What has to wait lies in the write buffer. Above the high mark (64 KiB) the protocol is told by `pause_writing`, and the
    /// connection is not read until the buffer has drained, so that a peer which does not read what it asks for can ask for no more.
    /// Above the hard limit (1 MiB) the connection is closed, with [`Error::WriteBufferFull`]. To send more than that, write in
    /// pieces, and go on at `resume_writing`; or [raise the limit](Transport::set_write_buffer_hard_limit).
    ///
    /// What is written after [`close`](Transport::close) or [`abort`](Transport::abort), or once the connection is lost, is dropped, and
    /// the [`WriteStatus`] says so.
    pub fn write(&mut self, data: &[u8]) -> WriteStatus {
        if !self.is_open() {
            return WriteStatus::Closed;
        }
        self.take_in(data)
    }

    /// Closes when what has been written is sent. Nothing more is delivered but, at the end, `connection_lost(None)`. asyncio's
    /// `close`.
    ///
    /// The peer sees the end of the stream, and what it still sends is read and thrown away for up to a second, so that no reset
    /// destroys the last answer on its way. Where nothing can be sent for the write timeout, the connection is given up.
    pub fn close(&mut self) {
        if self.is_open() {
            self.state = State::Closing;
            self.timing_changed = true;
            self.link.over.store(true, Ordering::Relaxed);
        }
    }

    /// Closes at once; what has not been sent is thrown away. `connection_lost(None)` follows. asyncio's `abort`.
    ///
    /// Where something is thrown away, the peer sees a reset rather than what looks like the whole answer. Where nothing is, but an
    /// answer is unfinished all the same, [`reset`](Transport::reset) says so.
    pub fn abort(&mut self) {
        if matches!(self.state, State::Open | State::Closing | State::Broken(_)) {
            self.state = State::Aborted(None);
        }
    }

    /// Closes at once, with a reset: the peer's next read or write fails, and it cannot take half an answer for the whole.
    /// `connection_lost(None)` follows. TCP only; an [`abort`](Transport::abort) elsewhere. As
    /// [`Connection::abort`](crate::Connection::abort).
    pub fn reset(&mut self) {
        self.abort();
        self.resets = true;
    }

    /// Closes at once because of an error of the protocol's: as [`abort`](Transport::abort), but `connection_lost` gets the error, it is
    /// counted in [`Stats::handler_errors`](crate::Stats::handler_errors), and `handle_error` is told.
    pub fn fail(&mut self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        if matches!(self.state, State::Open | State::Closing | State::Broken(_)) {
            let error = error.into();
            let error = match error.downcast::<io::Error>() {
                Ok(error) => *error,
                Err(error) => match error.downcast::<Error>() {
                    Ok(error) => (*error).into(),
                    Err(error) => io::Error::other(error),
                },
            };
            self.state = State::Aborted(Some(error));
        }
    }

    /// Delivers nothing more from the moment this returns, until [`resume_reading`](Transport::resume_reading); the peer is held up when
    /// the system's buffers are full. Also before the first byte, in `connection_made`. Twice is once. asyncio's `pause_reading`.
    ///
    /// The end of the stream is not seen meanwhile, nor a reset; the timeout runs on.
    pub fn pause_reading(&mut self) {
        self.reading_paused = true;
    }

    /// Delivers again. asyncio's `resume_reading`.
    pub fn resume_reading(&mut self) {
        self.reading_paused = false;
    }

    /// Whether `pause_writing` has been called, and `resume_writing` has not: a producer goes on at the latter.
    pub fn is_writing_paused(&self) -> bool {
        self.writing_paused
    }

    /// Whether [`pause_reading`](Transport::pause_reading) is in force.
    pub fn is_reading_paused(&self) -> bool {
        self.reading_paused
    }

    /// Gives received bytes back, to be delivered again: when reading goes on, where it is paused, otherwise together with what comes
    /// next. For a protocol that stops in the middle of `data`, or needs more of it. Not from outside `data_received`. What the peer
    /// makes a protocol give back again and again is the protocol's to limit.
    ///
    /// ```
    /// # use socketserver::{Protocol, Transport};
    /// # struct Step;
    /// impl Protocol for Step {
    ///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
    ///         if let Some((first, rest)) = data.split_first() {
    ///             transport.write(&[*first]);
    ///             transport.pause_reading(); // until somebody has looked at the first byte
    ///             transport.push_back(rest);
    ///         }
    ///     }
    /// }
    /// ```
    pub fn push_back(&mut self, data: &[u8]) {
        if !data.is_empty() {
            self.pushed_back.get_or_insert_with(Vec::new).extend(data);
        }
    }

    /// Gives bytes back that are to be delivered again in the next turn, although reading goes on.
    pub(crate) fn push_back_for_later(&mut self, data: &[u8]) {
        self.push_back(data);
        self.pushed_back_due = self.pushed_back.is_some();
    }

    /// Whether something that was given back is to be delivered again.
    pub(crate) fn has_pushed_back(&self) -> bool {
        self.pushed_back_due && self.pushed_back.is_some()
    }

    pub(crate) fn take_pushed_back(&mut self) -> Vec<u8> {
        self.pushed_back_due = false;
        self.pushed_back.take().unwrap_or_default()
    }

    /// The bytes that wait to be sent. asyncio's `get_write_buffer_size`.
    pub fn write_buffer_size(&self) -> usize {
        self.out.len()
    }

    /// Sets above how many bytes `pause_writing` is called, and at how many `resume_writing`. Default 64 KiB and 16 KiB. A high mark of 0
    /// pauses whenever anything waits. asyncio's `set_write_buffer_limits`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] where `low` is above `high`, or `high` above the hard limit.
    pub fn set_write_buffer_limits(&mut self, high: usize, low: usize) -> Result<()> {
        let hard = self.settings().limits.hard;
        self.set_limits(WriteLimits { high, low, hard })
    }

    /// Sets above how many waiting bytes the connection is closed. Default 1 MiB.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] where it is below the high mark.
    pub fn set_write_buffer_hard_limit(&mut self, hard: usize) -> Result<()> {
        let WriteLimits { high, low, .. } = self.settings().limits;
        self.set_limits(WriteLimits { high, low, hard })
    }

    fn set_limits(&mut self, limits: WriteLimits) -> Result<()> {
        self.settings_mut().limits = limits.check()?;
        self.link.limit.store(limits.hard, Ordering::Relaxed);
        Ok(())
    }

    /// Sets how long nothing may come or go before `timed_out` is called; `None` is for ever. Default 60 s, or the builder's
    /// `read_timeout`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for zero.
    pub fn set_timeout(&mut self, timeout: impl Into<Option<Duration>>) -> Result<()> {
        self.settings_mut().timeout = not_zero("timeout", timeout.into())?;
        self.timing_changed = true;
        Ok(())
    }

    /// Sets how long what waits to be sent may make no progress before the connection is given up; `None` is for ever. Default 30 s, or
    /// the builder's `write_timeout`.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for zero.
    pub fn set_write_timeout(&mut self, timeout: impl Into<Option<Duration>>) -> Result<()> {
        self.settings_mut().write_timeout = not_zero("write_timeout", timeout.into())?;
        self.timing_changed = true;
        Ok(())
    }

    /// Has the connection end that long from now, whatever comes; `None` is never. Replaces the builder's `request_deadline` for this
    /// connection.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for zero.
    pub fn set_deadline(&mut self, within: impl Into<Option<Duration>>) -> Result<()> {
        let within = not_zero("deadline", within.into())?;
        self.settings_mut().deadline = within;
        self.deadline = within.and_then(|within| Instant::now().checked_add(within));
        self.timing_changed = true;
        Ok(())
    }

    /// Sets whether small writes go out at once (TCP_NODELAY). On by default, as in asyncio.
    ///
    /// # Errors
    /// Whatever the system says, such as that this is no TCP connection.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.link.socket.set_nodelay(nodelay)
    }

    /// The peer. asyncio: `get_extra_info("peername")`.
    pub fn peer_addr(&self) -> Address {
        self.link.peer.clone()
    }

    /// This end. asyncio: `get_extra_info("sockname")`.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn local_addr(&self) -> io::Result<Address> {
        Ok(Address::from_system(&self.link.socket.local_addr()?))
    }

    /// A number that no other connection of this process has or will have, be it one of this kind or a
    /// [`Connection`](crate::Connection).
    pub fn id(&self) -> u64 {
        self.link.id
    }

    /// A handle for other threads and other connections.
    pub fn handle(&self) -> TransportHandle {
        if let Some(inbox) = self.house.inboxes().get(self.loop_number as usize) {
            self.link.settle_in(inbox, self.key);
        }
        TransportHandle::new(&self.link)
    }

    /// Sends to all connections of this server, or to those that a filter picks.
    pub fn broadcaster(&self) -> Broadcaster {
        Broadcaster::new(Arc::clone(&self.house))
    }

    /// The server this connection belongs to.
    pub fn server(&self) -> ServerHandle {
        self.house.handle()
    }

    /// Whether the connection is closing or lost, so that nothing can be written and nothing comes. asyncio's `is_closing`.
    pub fn is_closing(&self) -> bool {
        !self.is_open()
    }

    /// Gives the connection up because nothing has come or gone for the timeout.
    pub(crate) fn fail_for_timeout(&mut self) {
        let after = self.settings().timeout.unwrap_or_default();
        self.fail(Error::Timeout { phase: Phase::Read, address: self.link.peer.to_string(), after });
    }

    /// Whether what has come may be given to the protocol.
    pub(crate) fn is_delivering(&self) -> bool {
        match self.state {
            State::Open => !self.reading_paused && !self.is_held(),
            State::Broken(_) => !self.reading_paused,
            State::Closing | State::Aborted(_) | State::Lost => false,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether there is nothing to see to but what comes.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_open()
            && self.out.is_empty()
            && !self.writing_paused
            && !self.reading_paused
            && !self.read_ended
            && self.pushed_back.is_none()
    }

    /// Whether the write buffer keeps the connection from being read.
    pub(crate) fn is_held(&self) -> bool {
        let settings = self.settings();
        self.out.len() > settings.limits.high && !settings.read_while_full
    }

    pub(crate) fn settings(&self) -> &TransportSettings {
        self.own_settings.as_deref().unwrap_or(&self.house.settings)
    }

    fn settings_mut(&mut self) -> &mut TransportSettings {
        self.own_settings.get_or_insert_with(|| Box::new(self.house.settings.clone()))
    }

    pub(crate) fn house(&self) -> &Arc<House> {
        &self.house
    }

    /// The error that has been decided on, which is the loop's to tell.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Broken(error) => Some(error),
            State::Aborted(error) => error,
            State::Open | State::Closing | State::Lost => None,
        }
    }

    /// Nothing will be sent any more. A peer that reads to the end must not take half an answer for the whole.
    pub(crate) fn give_up(&mut self) {
        if self.resets || !self.out.is_empty() {
            self.link.socket.reset_at_close();
        }
        self.out = VecDeque::new();
        self.note_buffered();
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("peer", &self.link.peer)
            .field("state", &self.state)
            .field("write_buffer_size", &self.write_buffer_size())
            .finish_non_exhaustive()
    }
}
