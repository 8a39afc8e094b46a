//! [`CoroutineSeat`]: a request whose handler runs on a coroutine, from one event to the next.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::stream::CoroutineStream;
use super::watched::Watched;
use crate::control::Cut;
use crate::poller::Event;
use crate::reactor::arena::Key;
use crate::reactor::channel::{Fate, Turn};
use crate::server::Place;
use crate::task::{Ask, Coroutine, Resumed, Task, Woken};

/// A coroutine in its loop.
pub(crate) struct CoroutineSeat {
    /// `None` once it has ended.
    coroutine: Option<Coroutine<Place>>,
    stack_size: usize,
    task: Arc<Task>,
    stream: Arc<CoroutineStream>,
    state: State,
    /// The system has been asked to report the socket.
    registered: bool,
    timer: Option<Timer>,
    pub(crate) queued: bool,
    /// Given back last, when the descriptor has gone: whoever waits for it may need one.
    #[allow(dead_code)] // held for its drop
    place: Option<Place>,
}

/// What it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It has not run yet, or has had its share; it goes on in any case.
    Ready,
    /// It waits, to be woken or for the instant.
    Waiting(Option<Instant>),
    /// It has waited for an instant that was past. It is told so in its next turn, when others have had theirs.
    Late,
}

/// Its timer. It is set for the earliest that was wanted, and not moved when a wait ends before: it is looked then what is wanted now. So an
/// exchange costs a comparison.
struct Timer {
    key: Key,
    /// `None` once it has expired.
    at: Option<Instant>,
}

impl CoroutineSeat {
    pub(crate) fn new(
        coroutine: Coroutine<Place>,
        stack_size: usize,
        task: Arc<Task>,
        stream: Arc<CoroutineStream>,
    ) -> Self {
        CoroutineSeat {
            coroutine: Some(coroutine),
            stack_size,
            task,
            stream,
            state: State::Ready,
            registered: false,
            timer: None,
            queued: false,
            place: None,
        }
    }

    /// It begins, or has its next share.
    pub(crate) fn go_on(&mut self, turn: &mut Turn<'_>) -> Fate {
        self.queued = false;
        match self.state {
            State::Ready => self.resume(Woken::Called, turn),
            State::Late => self.resume(Woken::TimedOut, turn),
            // It was woken meanwhile, and has waited again since.
            State::Waiting(_) => Fate::Stays,
        }
    }

    /// The system has said something of its socket.
    pub(crate) fn event(&mut self, event: Event, turn: &mut Turn<'_>) -> Fate {
        self.stream.event(event);
        self.wake(turn)
    }

    /// Somebody has woken it.
    pub(crate) fn wake(&mut self, turn: &mut Turn<'_>) -> Fate {
        match self.state {
            State::Waiting(_) => self.resume(Woken::Called, turn),
            State::Ready | State::Late => Fate::Stays,
        }
    }

    /// The server's stop has cut it. What it waits for fails from now on.
    pub(crate) fn cut(&mut self, turn: &mut Turn<'_>) -> Fate {
        self.task.cut();
        self.wake(turn)
    }

    /// The loop cannot go on.
    pub(crate) fn fail(&mut self, turn: &mut Turn<'_>) -> Fate {
        self.stream.link().cut();
        self.task.cut();
        while self.resume(Woken::Called, turn) != Fate::Gone {}
        Fate::Gone
    }

    /// Its timer has expired.
    pub(crate) fn timer(&mut self, turn: &mut Turn<'_>) -> Fate {
        if let Some(timer) = &mut self.timer {
            timer.at = None;
        }
        match self.state {
            State::Waiting(Some(until)) if until <= turn.now => self.resume(Woken::TimedOut, turn),
            State::Waiting(Some(until)) => {
                self.set_timer(until, turn);
                Fate::Stays
            }
            State::Waiting(None) | State::Ready | State::Late => Fate::Stays,
        }
    }

    fn resume(&mut self, woken: Woken, turn: &mut Turn<'_>) -> Fate {
        let Some(coroutine) = &mut self.coroutine else { return Fate::Gone };
        self.task.begin_turn();
        match coroutine.resume(woken) {
            Resumed::Suspended(ask) => {
                if let Err(error) = self.register(turn) {
                    self.refuse(&error);
                }
                match ask {
                    Ask::Again => {
                        self.state = State::Ready;
                        Fate::Again
                    }
                    Ask::Wait(Some(until)) if until <= turn.now => {
                        self.state = State::Late;
                        Fate::Again
                    }
                    Ask::Wait(until) => {
                        self.state = State::Waiting(until);
                        if let Some(until) = until {
                            self.set_timer(until, turn);
                        }
                        Fate::Stays
                    }
                }
            }
            Resumed::Ended(place) => {
                self.end(place, turn);
                Fate::Gone
            }
        }
    }

    /// Has the socket reported, from the first time on that it is suspended, whatever for, because others may wait for it too: for a request that has come with its connection, and is
    /// answered at once, there is nothing to report.
    fn register(&mut self, turn: &mut Turn<'_>) -> io::Result<()> {
        if self.registered {
            return Ok(());
        }
        self.registered = true;
        self.stream.register(turn.registry, turn.key.token())
    }

    /// Nothing will be reported of the socket, so nobody may wait for it.
    fn refuse(&self, error: &io::Error) {
        log::error!("cannot watch the connection of {}, which is cut: {error}", self.stream.link().peer);
        self.stream.link().cut();
    }

    fn set_timer(&mut self, until: Instant, turn: &mut Turn<'_>) {
        match &mut self.timer {
            Some(Timer { at: Some(at), .. }) if *at <= until => {}
            Some(timer) => {
                turn.timers.reset(timer.key, until);
                timer.at = Some(until);
            }
            None => self.timer = turn.timers.insert(until, turn.key).map(|key| Timer { key, at: Some(until) }),
        }
    }

    fn end(&mut self, place: Option<Place>, turn: &mut Turn<'_>) {
        if let Some(timer) = self.timer.take() {
            turn.timers.cancel(timer.key);
        }
        if let Some(stack) = self.coroutine.take().and_then(Coroutine::into_stack) {
            turn.stacks.give_back(self.stack_size, stack);
        }
        self.place = place;
    }
}
