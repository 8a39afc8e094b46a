//! [`Station`]: one server of a reactor, seen from the serving thread.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::arrival::{Adoption, Arrival, EventListener};
use super::datagram::DatagramSeat;
use super::event_loop::EventLoop;
use super::house::House;
use super::inbox::{Command, Inbox};
use crate::address::Address;
use crate::control::{Control, ServerHandle};
use crate::error::Error;
use crate::server::sealed::Arrival as _;
use crate::server::{Acceptor, Cause, Failure, Front, Reception, ServiceActions, Slot, Stage, Step, Taken, Takes};

/// A server that a reactor serves: it accepts, and hands over to the loops.
pub(crate) struct Station {
    pub(crate) control: Arc<Control>,
    reception: Arc<Reception>,
    door: Door,
    actions: Option<ServiceActions>,
    stopped: bool,
}

/// Where its clients come in.
enum Door {
    Streams {
        house: Arc<House>,
        acceptor: Box<Acceptor<EventListener>>,
        accepting: Accepting,
    },
    /// `None` once it is at home in the loop.
    Datagrams(Option<Box<DatagramSeat>>),
}

/// Whether there is a point in trying to accept.
#[derive(Debug, Clone, Copy)]
enum Accepting {
    Now,
    /// When the listener is reported, when a place is free, or at that instant.
    Later(Option<Instant>),
}

impl Station {
    pub(crate) fn streams(front: Front<EventListener>, house: Arc<House>) -> Self {
        Station {
            control: Arc::clone(house.control()),
            reception: Arc::clone(&house.reception),
            door: Door::Streams { house, acceptor: Box::new(front.acceptor), accepting: Accepting::Now },
            actions: front.service_actions,
            stopped: false,
        }
    }

    pub(crate) fn datagrams(
        seat: Box<DatagramSeat>,
        reception: Arc<Reception>,
        actions: Option<ServiceActions>,
    ) -> Self {
        let control = Arc::clone(&reception.control);
        Station { control, reception, door: Door::Datagrams(Some(seat)), actions, stopped: false }
    }

    pub(crate) fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.control))
    }

    pub(crate) fn address(&self) -> Address {
        self.control.address.clone()
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Has itself reported by the loop, as the listener of that number, and woken by it. `inboxes` are all loops'.
    pub(crate) fn open(&mut self, number: usize, home: &mut EventLoop, inboxes: &[Arc<Inbox>]) -> io::Result<()> {
        self.control.attach_waker(home.waker());
        match &mut self.door {
            Door::Streams { house, acceptor, .. } => {
                house.set_inboxes(inboxes.to_vec());
                let token = EventLoop::listener_token(number).ok_or(io::ErrorKind::OutOfMemory)?;
                match &mut *crate::sync::lock(&acceptor.listener) {
                    Some(listener) => listener.register(home.registry(), token),
                    // Stopped already.
                    None => Ok(()),
                }
            }
            Door::Datagrams(seat) => match seat.take() {
                Some(seat) => home.add_datagrams(seat),
                None => Ok(()),
            },
        }
    }

    /// The listener has been reported.
    pub(crate) fn called(&mut self) {
        if let Door::Streams { accepting, .. } = &mut self.door {
            *accepting = Accepting::Now;
        }
    }

    /// Sees to what is due: the stop, `service_actions`, accepting. Returns when it is to be called again at the latest.
    ///
    /// # Errors
    /// The listener is unusable. The server has been stopped.
    pub(crate) fn attend(&mut self, home: &mut EventLoop, others: &[Arc<Inbox>]) -> Result<Option<Instant>, Error> {
        if self.stopped {
            return Ok(None);
        }
        if self.control.gate.is_stopping() {
            self.stop(home, others);
            return Ok(None);
        }
        let due = self.actions.as_mut().and_then(|actions| actions.run(&self.reception));
        let Door::Streams { house, acceptor, accepting } = &mut self.door else { return Ok(due) };
        // Whoever ends wakes the loop. What for is asked of the gate: the waker serves others too, and where mio stands on poll(2) its
        // event does not come if the loop was awake.
        if acceptor.is_held_up() && !self.control.gate.is_room_wanted() {
            acceptor.something_ended();
            *accepting = Accepting::Now;
        }
        if let Accepting::Later(until) = *accepting {
            match until {
                Some(until) if until <= Instant::now() => {}
                until => return Ok(crate::clock::earlier(due, until)),
            }
        }
        let step =
            HandOver::during(home, others, house, acceptor, |acceptor, takes| acceptor.turn(usize::MAX, None, takes));
        match step {
            Step::Wait(until) => {
                *accepting = Accepting::Later(until);
                Ok(crate::clock::earlier(due, until))
            }
            Step::Fatal(_) if self.control.gate.is_stopping() => {
                self.stop(home, others);
                Ok(None)
            }
            Step::Fatal(source) => {
                // So that nobody is looked for in its queue.
                self.control.close_listener();
                self.give_up(home, others);
                Err(Error::Accept { address: self.control.address.to_string(), source })
            }
            Step::Dispatched | Step::TurnedAway | Step::Again | Step::Lost(_) | Step::Short(_) => {
                *accepting = Accepting::Now;
                Ok(Some(Instant::now()))
            }
        }
    }

    /// Stops the server where it has not been.
    pub(crate) fn give_up(&mut self, home: &mut EventLoop, others: &[Arc<Inbox>]) {
        self.handle().shutdown();
        if !self.stopped {
            self.stop(home, others);
        }
    }

    /// The reactor cannot go on: closes the listener, whoever waits there, and has the connections of the loops that run close.
    pub(crate) fn abandon(&mut self, running: &[Arc<Inbox>]) {
        self.handle().shutdown();
        self.stopped = true;
        self.control.close_listener();
        if let Door::Streams { house, .. } = &self.door {
            for inbox in running {
                let _ = inbox.send(Command::Stop(Arc::clone(house)));
            }
        }
        self.reception.stop();
    }

    /// Closes the listener, once whoever waited there has been let in as far as there are places, and has the connections close.
    fn stop(&mut self, home: &mut EventLoop, others: &[Arc<Inbox>]) {
        self.stopped = true;
        match &mut self.door {
            Door::Streams { house, acceptor, .. } => {
                let places = self.control.gate.free();
                HandOver::during(home, others, house, acceptor, |acceptor, takes| acceptor.take_queue(places, takes));
                self.control.close_listener();
                home.stop(house);
                for inbox in others {
                    let _ = inbox.send(Command::Stop(Arc::clone(house)));
                }
            }
            Door::Datagrams(_) => {
                home.stop_datagrams(&self.control);
                self.control.close_listener();
            }
        }
        self.reception.stop();
    }
}

impl Drop for Station {
    /// A server that was never served closes its socket.
    fn drop(&mut self) {
        if !self.stopped {
            self.handle().shutdown();
            self.door = Door::Datagrams(None);
            self.control.close_listener();
            self.reception.stop();
        }
        self.control.retire_waker();
    }
}

/// Gives each new connection to the loop that has the fewest.
struct HandOver<'a> {
    home: &'a mut EventLoop,
    others: &'a [Arc<Inbox>],
    house: &'a Arc<House>,
    /// This loop's own. Where there are others, it begins with them last: what holds it up must not keep from the others what is theirs.
    own: Vec<Adoption>,
}

impl<'a> HandOver<'a> {
    fn during<R>(
        home: &'a mut EventLoop,
        others: &'a [Arc<Inbox>],
        house: &'a Arc<House>,
        acceptor: &mut Acceptor<EventListener>,
        accept: impl FnOnce(&mut Acceptor<EventListener>, &mut Self) -> R,
    ) -> R {
        let mut hand_over = HandOver { home, others, house, own: Vec::new() };
        let result = accept(acceptor, &mut hand_over);
        for adoption in hand_over.own {
            if let Err(failure) = hand_over.home.adopt_counted(adoption) {
                acceptor.not_taken(failure);
            }
        }
        result
    }
}

impl Takes<Arrival> for HandOver<'_> {
    fn take(&mut self, arrival: Arrival, slot: Slot, _: &mut dyn FnMut() -> Option<Arrival>) -> Result<Taken, Failure> {
        let adoption = Adoption { arrival, slot, house: Arc::clone(self.house) };
        let least = self.others.iter().min_by_key(|inbox| inbox.load());
        match least.filter(|inbox| inbox.load() < self.home.inbox().load()) {
            None if self.others.is_empty() => self.home.adopt(adoption),
            None => {
                self.home.inbox().add_load();
                self.own.push(adoption);
                Ok(Taken::Served)
            }
            Some(inbox) => {
                inbox.add_load();
                match inbox.send(Command::Adopt(Box::new(adoption))) {
                    Ok(()) => Ok(Taken::Served),
                    Err((_, refused)) => {
                        inbox.take_load();
                        let error = io::Error::new(io::ErrorKind::NotConnected, "an event loop has ended");
                        let failure = Failure::new(Stage::Dispatch, Cause::Error(error.into()));
                        Err(match refused {
                            Command::Adopt(adoption) => failure.of_peer(adoption.arrival.peer()),
                            _ => failure,
                        })
                    }
                }
            }
        }
    }
}
