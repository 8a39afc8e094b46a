//! [`Seat`]: whatever an event loop serves, from one turn to the next.

use std::io;
#[cfg(feature = "coroutine")]
use std::sync::Weak;

use super::arena::{Arena, Key};
use super::channel::{Channel, Fate, Turn};
#[cfg(feature = "coroutine")]
use super::coroutine::{give_up_if_open, CoroutineSeat, Watched};
use super::datagram::DatagramSeat;
use super::inbox::Inbox;
use crate::poller::Event;

/// What a loop serves.
#[allow(clippy::large_enum_variant)] // nearly all of them are the large one, and a box would cost each an allocation
pub(super) enum Seat {
    Channel(Channel),
    Datagram(Box<DatagramSeat>),
    #[cfg(feature = "coroutine")]
    Coroutine(CoroutineSeat),
    /// A socket that a coroutine has opened.
    #[cfg(feature = "coroutine")]
    Watched(Weak<dyn Watched>),
}

impl Seat {
    /// It has its next turn, of those that have more to do.
    pub(super) fn go_on(&mut self, turn: &mut Turn<'_>) -> Fate {
        match self {
            Seat::Channel(channel) => {
                channel.queued = false;
                channel.event(Event::default(), turn)
            }
            Seat::Datagram(seat) => {
                seat.queued = false;
                seat.event(Event::default(), turn)
            }
            #[cfg(feature = "coroutine")]
            Seat::Coroutine(seat) => seat.go_on(turn),
            #[cfg(feature = "coroutine")]
            Seat::Watched(_) => Fate::Stays,
        }
    }

    pub(super) fn event(&mut self, event: Event, turn: &mut Turn<'_>) -> Fate {
        match self {
            Seat::Channel(channel) => channel.event(event, turn),
            Seat::Datagram(seat) => seat.event(event, turn),
            #[cfg(feature = "coroutine")]
            Seat::Coroutine(seat) => seat.event(event, turn),
            #[cfg(feature = "coroutine")]
            Seat::Watched(socket) => {
                if let Some(socket) = socket.upgrade() {
                    socket.event(event);
                }
                Fate::Stays
            }
        }
    }

    pub(super) fn timer(&mut self, turn: &mut Turn<'_>) -> Fate {
        match self {
            Seat::Channel(channel) => channel.timer(turn),
            Seat::Datagram(_) => Fate::Stays,
            #[cfg(feature = "coroutine")]
            Seat::Coroutine(seat) => seat.timer(turn),
            #[cfg(feature = "coroutine")]
            Seat::Watched(_) => Fate::Stays,
        }
    }

    pub(super) fn fail(&mut self, error: &io::Error, turn: &mut Turn<'_>) -> Fate {
        match self {
            Seat::Channel(channel) => channel.fail(error),
            Seat::Datagram(seat) => seat.lose(Some(error)),
            #[cfg(feature = "coroutine")]
            Seat::Coroutine(seat) => return seat.fail(turn),
            #[cfg(feature = "coroutine")]
            Seat::Watched(socket) => {
                give_up_if_open(socket);
                return Fate::Stays;
            }
        }
        let _ = turn;
        Fate::Gone
    }

    /// Whether it is among those that have more to do; it is from now on.
    fn queue(&mut self) -> bool {
        let queued = match self {
            Seat::Channel(channel) => &mut channel.queued,
            Seat::Datagram(seat) => &mut seat.queued,
            #[cfg(feature = "coroutine")]
            Seat::Coroutine(seat) => &mut seat.queued,
            #[cfg(feature = "coroutine")]
            Seat::Watched(_) => return true,
        };
        std::mem::replace(queued, true)
    }
}

/// Sees to what becomes of a connection after its turn.
pub(super) fn settle(fate: Fate, key: Key, seats: &mut Arena<Seat>, again: &mut Vec<Key>, inbox: &Inbox) {
    match (fate, seats.get_mut(key)) {
        (Fate::Gone, _) => {
            drop(seats.remove(key));
            inbox.take_load();
        }
        (Fate::Again, Some(seat)) => {
            if !seat.queue() {
                again.push(key);
            }
        }
        (Fate::Again | Fate::Stays, _) => {}
    }
}
