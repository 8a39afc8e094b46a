//! What all servers share: the [`Server`] itself, its [`Builder`], and the two halves it is composed of, a [`Listener`]
//! (where requests come from) and a [`Dispatch`] strategy (who runs the handler).
//!
//! ```text
//!                            Sequential          Threading
//! tcp::TcpListener           TcpServer           ThreadingTcpServer
//! unix::UnixListener         UnixStreamServer    ThreadingUnixStreamServer
//! udp::UdpListener           UdpServer           ThreadingUdpServer
//! unix::UnixDatagramListener UnixDatagramServer  ThreadingUnixDatagramServer
//! ```
//!
//! # The life of a request
//! 1. The listener accepts it, if a place is free; otherwise [`Overload`] decides. Before threads, datagrams have a queue.
//! 2. The dispatch strategy finds a thread for it. There the listener's [preparation](Prepare) runs, if it has one, then
//!    `verify_request`, then the limit per address.
//! 3. A clone of the handler runs: `setup`, `handle`, `finish`.
//! 4. It is closed cleanly (see [`Connection::close`](crate::Connection::close)), if it is a connection, and gives its place back.
//!
//! Whatever fails on the way is counted, given to `handle_error` once, and harms no other request.
//!
//! The event-driven servers of [`reactor`](crate::reactor) share all of this but the second step and the third: there a
//! [`Protocol`](crate::Protocol) is called back on the loop's own thread. Where the [`Builder`] says *request*, they have a
//! connection.

mod acceptor;
mod builder;
mod compose;
mod crew;
#[cfg(test)]
mod crew_tests;
mod dispatch;
mod failure;
mod farewell;
mod guard;
mod handled;
mod hooks;
mod jobs;
mod listener;
mod overload;
mod per_address;
mod prototype;
mod reception;
mod request;
mod running;
mod sequential;
mod service;
mod service_actions;
mod slot;
mod threading;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use acceptor::{Acceptor, Inline, Step, Taken, Takes};
pub use builder::Builder;
pub(crate) use compose::{invalid, Front};
#[cfg(feature = "coroutine")]
pub(crate) use dispatch::runs_handlers;
pub use dispatch::{Dispatch, Job, Refused, RunsHandlers};
pub use failure::{Cause, Failure, Stage};
pub(crate) use guard::guarded;
pub use handled::Handled;
use hooks::ServerHook;
use jobs::Jobs;
pub(crate) use listener::Source;
pub use listener::{AcceptError, Listener, Notifier, Prepare, Readiness};
pub use overload::Overload;
pub(crate) use per_address::Admission;
pub(crate) use prototype::Prototype;
pub(crate) use reception::Reception;
pub(crate) use request::sealed;
pub use request::Request;
pub use running::Running;
pub(crate) use running::{CLOSE_LIMIT, RETURN_GRACE};
pub use sequential::Sequential;
#[cfg(feature = "coroutine")]
pub(crate) use service::{erase, Service};
use service_actions::run_hook;
pub(crate) use service_actions::ServiceActions;
#[cfg(feature = "coroutine")]
pub(crate) use slot::Place;
pub(crate) use slot::Slot;
pub use threading::Threading;
pub(crate) use threading::DEFAULT_THREADS;

use crate::clock::earlier;
use crate::control::{spawn_error, Control, SaysServed, ServerHandle, ShutdownReport};
use crate::error::{Error, Result};
use crate::poller::Poller;
use crate::sync::lock;

/// The listener's token.
const LISTENER: mio::Token = mio::Token(0);

/// A server: a [`Listener`] composed with a [`Dispatch`] strategy. Usually named by an alias, such as
/// [`ThreadingTcpServer`](crate::ThreadingTcpServer).
///
/// It has its address from `bind` on, so clients can connect, but serves nobody until
/// [`serve_forever`](Server::serve_forever), [`spawn`](Server::spawn) or [`handle_request`](Server::handle_request) is
/// called. Dropping it stops it: the listener closes, and requests that are under way get the drain timeout, behind the
/// scenes.
///
/// It serves once: after a stop it answers [`Error::Closed`].
#[must_use = "it serves nobody until `serve_forever`, `spawn` or `handle_request` is called"]
pub struct Server<L: Listener, D: Dispatch> {
    acceptor: Acceptor<L>,
    jobs: Jobs<L::Request, D>,
    local_addr: L::Addr,
    control: Arc<Control>,
    poller: Poller,
    handle_timeout: Option<ServerHook>,
    service_actions: Option<ServiceActions>,
    /// For `handle_request`.
    timeout: Option<Duration>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

impl<L: Listener, D: Dispatch + Default> Server<L, D> {
    /// Begins a server with settings other than the defaults.
    pub fn builder() -> Builder<L, D> {
        Builder::new(D::default())
    }
}

impl<L: Listener, D: Dispatch> Server<L, D> {
    /// The address it listens on, with the port the system chose if 0 was asked for. Python's `server_address`.
    pub fn local_addr(&self) -> L::Addr {
        self.local_addr.clone()
    }

    /// A handle to stop and watch it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.control))
    }

    /// Serves until [`ServerHandle::shutdown`] is called, drains, and reports. Python's `serve_forever`, without its polling: a
    /// server with nothing to do makes no system call, and a stop takes effect at once.
    ///
    /// It returns when the requests under way have ended or the drain deadline has cut them. A sequential server runs its
    /// handler on this very thread, so it does not return before that does; [`spawn`](Server::spawn) and
    /// [`join`](Running::join) do.
    ///
    /// # Errors
    /// [`Error::Closed`] if it has been stopped before. [`Error::System`] when the poller fails. [`Error::Accept`] when the
    /// listening socket is unusable; shortages of descriptors, memory or threads never end it.
    pub fn serve_forever(&mut self) -> Result<ShutdownReport> {
        self.require_open()?;
        // Said even if this thread should panic: somebody may be waiting in `join`.
        let _served = SaysServed::new(Arc::clone(&self.control));
        let served = self.serve();
        let report = self.end();
        served.map(|()| report)
    }

    /// Serves on a thread of its own, named `ss-serve`.
    ///
    /// # Errors
    /// [`Error::System`] when the thread cannot be started; [`Error::Closed`] if the server has been stopped before.
    pub fn spawn(mut self) -> Result<Running<L::Addr>> {
        self.require_open()?;
        let (handle, local_addr) = (self.handle(), self.local_addr());
        let thread = std::thread::Builder::new()
            .name("ss-serve".into())
            .spawn(move || self.serve_forever())
            .map_err(|error| spawn_error("the server", error))?;
        Ok(Running::new(handle, local_addr, thread))
    }

    /// Serves one request, or waits for one in vain as long as the builder's `timeout` says (for ever by default), and says what
    /// happened. Python's `handle_request`, which does not say.
    ///
    /// After a stop it returns [`Handled::ShutDown`]. To wait for requests that were handed to threads, call
    /// [`serve_forever`](Server::serve_forever) then: it serves no more, drains, and returns the report.
    ///
    /// ```
    /// # use socketserver::{handler_fn, Connection, Handled, TcpServer};
    /// # use std::time::Duration;
    /// # fn main() -> socketserver::Result<()> {
    /// let mut server = TcpServer::builder()
    ///     .timeout(Duration::from_millis(1))
    ///     .bind("127.0.0.1:0", handler_fn(|_: &mut Connection| Ok(())))?;
    /// loop {
    ///     match server.handle_request()? {
    ///         Handled::Served | Handled::Rejected => {}
    ///         Handled::TimedOut => server.handle().shutdown(),
    ///         Handled::AcceptError(error) => eprintln!("{error}"),
    ///         _ => break,
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`serve_forever`](Server::serve_forever).
    pub fn handle_request(&mut self) -> Result<Handled> {
        self.require_open()?;
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut looked = false;
        loop {
            if self.control.gate.is_stopping() {
                return Ok(Handled::ShutDown);
            }
            let until = match self.acceptor.turn(1, None, &mut self.jobs) {
                Step::Dispatched => return Ok(Handled::Served),
                Step::TurnedAway => return Ok(Handled::Rejected),
                Step::Lost(error) | Step::Short(error) => return Ok(Handled::AcceptError(error)),
                Step::Fatal(error) => {
                    self.handle().shutdown();
                    self.end();
                    return Err(self.fatal(error));
                }
                Step::Again => Some(Instant::now()),
                Step::Wait(until) => until,
            };
            let is_over = deadline.is_some_and(|deadline| deadline <= Instant::now());
            // A listener that takes several at once says the first time what it knows from before: that there were no more.
            if is_over && looked {
                if let Some(hook) = &mut self.handle_timeout {
                    run_hook(Stage::HandleTimeout, hook, &self.acceptor.reception);
                }
                return Ok(Handled::TimedOut);
            }
            looked = true;
            if !is_over {
                self.wait(earlier(until, deadline))?;
            }
        }
    }

    fn serve(&mut self) -> Result<()> {
        if self.control.gate.is_stopping() {
            return Ok(());
        }
        while !self.control.gate.is_stopping() {
            let due = self.service_actions.as_mut().and_then(|actions| actions.run(&self.acceptor.reception));
            // A stop that came during the hook is seen to elsewhere, where the listener is being closed.
            if self.control.gate.is_stopping() {
                break;
            }
            match self.acceptor.turn(usize::MAX, due, &mut self.jobs) {
                Step::Dispatched | Step::TurnedAway | Step::Again | Step::Lost(_) | Step::Short(_) => {}
                Step::Wait(until) => self.wait(earlier(until, due))?,
                Step::Fatal(error) => return Err(self.fatal(error)),
            }
        }
        // Whoever is in the kernel's queue was let in by the kernel already: what places are free are theirs, once.
        // Not so when the stop came during a hook and is seen to elsewhere: the listener is being closed then.
        let free = if self.control.gate.drain_is_claimed() { 0 } else { self.control.gate.free() };
        self.acceptor.take_queue(free, &mut self.jobs);
        Ok(())
    }

    /// Sees the stop through, or waits until whoever has taken that on has done so.
    fn end(&mut self) -> ShutdownReport {
        self.state = State::Ended;
        self.handle().shutdown();
        let report = if self.control.gate.claim_drain() { self.control.drain() } else { self.control.wait_report() };
        self.stop_dispatch();
        report
    }

    /// Does something with the listener, while it is open.
    pub(crate) fn with_listener<T>(&self, work: impl FnOnce(&L) -> io::Result<T>) -> io::Result<T> {
        match &*lock(&self.acceptor.listener) {
            Some(listener) => work(listener),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// No request will come any more.
    fn stop_dispatch(&self) {
        self.jobs.dispatch.stop();
        self.acceptor.reception.stop();
    }

    /// Sleeps until something happens or `until` has come.
    fn wait(&mut self, until: Option<Instant>) -> Result<()> {
        self.poller.wait(until).map_err(|source| {
            let operation = format!("wait for requests on {}", self.local_addr);
            Error::System { operation, source }
        })?;
        if self.poller.events().any(|event| event.token() == Poller::WAKER) {
            self.acceptor.something_ended();
        }
        Ok(())
    }

    fn require_open(&self) -> Result<()> {
        match self.state {
            State::Open => Ok(()),
            State::Ended => Err(Error::Closed { address: self.local_addr.to_string() }),
        }
    }

    fn fatal(&self, source: io::Error) -> Error {
        Error::Accept { address: self.local_addr.to_string(), source }
    }
}

impl<L: Listener, D: Dispatch> Drop for Server<L, D> {
    /// Closes the listener. Requests that `handle_request` handed to threads get the drain timeout, behind the scenes.
    fn drop(&mut self) {
        if self.state == State::Open {
            self.handle().shutdown();
            self.control.close_listener();
            if self.control.gate.active() > 0 && self.control.gate.claim_drain() {
                self.control.drain_elsewhere();
            }
            self.stop_dispatch();
        }
        self.control.retire_waker();
        drop(lock(&self.acceptor.listener).take());
    }
}

impl<L: Listener, D: Dispatch> fmt::Debug for Server<L, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .field("control", &self.control)
            .finish_non_exhaustive()
    }
}
