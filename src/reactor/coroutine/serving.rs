//! What an event loop does for handlers on coroutines, and for the sockets that these have opened.

use std::io;
use std::sync::{Arc, Weak};

use mio::net::UdpSocket;

use super::watched::give_up;
use super::{CoroutineSeat, CoroutineStream, Watched};
use crate::connection::Connection;
use crate::reactor::arena::Key;
use crate::reactor::arrival::Arrival;
use crate::reactor::channel::{Fate, Turn};
use crate::reactor::event_loop::{not_taken, EventLoop};
use crate::reactor::house::Handlers;
use crate::reactor::inbox::{Command, Inbox};
use crate::reactor::seat::Seat;
use crate::server::{Failure, Slot, Taken};
use crate::stream::Stream;
use crate::sys::Shareable;
use crate::task::{Coroutine, Home, Task};

impl EventLoop {
    /// Takes a connection in whose handler runs on a coroutine, and begins with it.
    pub(in crate::reactor) fn start(
        &mut self,
        arrival: Arrival,
        slot: Slot,
        handlers: &Handlers,
    ) -> Result<Taken, Failure> {
        let deadline = arrival.deadline;
        let Some(link) = arrival.into_link() else { return Ok(Taken::Served) };
        let peer = link.peer.clone();
        let stack = self.desk.stacks.take(handlers.stack_size).map_err(|error| not_taken(&error, &peer))?;
        let key = self.seats.next_key();
        let home: Arc<dyn Home> = Arc::<Inbox>::clone(self.inbox());
        let task = Task::new(home, key.token().0, peer.clone());
        let stream = Arc::new(CoroutineStream::new(Arc::clone(&link)));
        stream.set_owner(Arc::clone(&task));
        let over: Arc<dyn Stream> = Arc::<CoroutineStream>::clone(&stream);
        let connection = Connection::with_deadline(&handlers.context, over, peer.clone(), deadline);
        link.serve(self.inbox(), key, connection.cut_target());
        let job = handlers.service.job(connection, slot);
        let coroutine = Coroutine::new(stack, Arc::clone(&task), move || job.run_keeping_place());
        let seat = CoroutineSeat::new(coroutine, handlers.stack_size, task, stream);
        self.insert(|_| Seat::Coroutine(seat)).map_err(|error| not_taken(&error, &peer))?;
        self.with_coroutine(key, CoroutineSeat::go_on);
        Ok(Taken::Served)
    }

    /// Has a socket that a coroutine has opened reported to whoever waits for it.
    pub(in crate::reactor) fn watch(&mut self, socket: &Weak<dyn Watched>) {
        let Some(watched) = socket.upgrade() else { return };
        let registered = match self.seats.insert_with(|_| Seat::Watched(Weak::clone(socket))) {
            Some(key) => {
                self.watched += 1;
                if let Some(watch) = watched.watch() {
                    watch.set_key(key);
                }
                watched.register(self.registry(), key.token())
            }
            None => Err(io::ErrorKind::OutOfMemory.into()),
        };
        if let Err(error) = registered {
            log::error!("cannot watch the socket to {}, which is closed: {error}", watched.peer());
            give_up(&*watched);
        }
    }

    /// A socket that a coroutine had opened is being closed.
    pub(in crate::reactor) fn forget(&mut self, key: Key, handed_back: Option<Shareable<UdpSocket>>) {
        if let Some(socket) = handed_back {
            // It fails where it could not be watched in the first place.
            let _ = socket.deregister(self.registry());
        }
        if matches!(self.seats.get_mut(key), Some(Seat::Watched(_))) {
            drop(self.seats.remove(key));
            self.watched -= 1;
        }
    }

    /// Nothing will be reported any more, so whoever still waits has to be told.
    pub(in crate::reactor) fn end_coroutines(&mut self) {
        for key in self.seats.keys() {
            match self.seats.get_mut(key) {
                Some(Seat::Watched(socket)) => give_up_if_open(socket),
                Some(Seat::Coroutine(_)) => self.with_coroutine(key, CoroutineSeat::fail),
                _ => {}
            }
        }
    }

    pub(in crate::reactor) fn with_coroutine(
        &mut self,
        key: Key,
        work: impl FnOnce(&mut CoroutineSeat, &mut Turn<'_>) -> Fate,
    ) {
        self.with_seat(key, |seat, turn| match seat {
            Seat::Coroutine(seat) => work(seat, turn),
            _ => Fate::Stays,
        });
    }
}

/// Of what was sent to a loop that has ended: nobody is going to watch those either.
pub(in crate::reactor) fn give_up_late(commands: &[Command]) {
    for command in commands {
        if let Command::Watch(socket) = command {
            give_up_if_open(socket);
        }
    }
}

pub(in crate::reactor) fn give_up_if_open(socket: &Weak<dyn Watched>) {
    if let Some(socket) = socket.upgrade() {
        give_up(&*socket);
    }
}
