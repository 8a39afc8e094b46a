//! [`Reactor`].

use std::fmt;
use std::io;
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::event_loop::EventLoop;
use super::inbox::{Command, Inbox};
use super::reactor_handle::ReactorHandle;
use super::running_reactor::RunningReactor;
use super::station::Station;
use crate::address::Address;
use crate::clock::earlier;
use crate::control::{spawn_error, SaysServed, ServerHandle, ShutdownReport};
use crate::error::{Error, Result};
use crate::server::{invalid, Inline};

/// How long the end of serving waits, once the reports are out, for the other loops' threads to return. They have nothing left to do
/// then, unless a callback that cannot be cut runs on one.
const RETURN_GRACE: Duration = Duration::from_millis(50);

/// Several servers, TCP, Unix and UDP, on the same event loops.
///
/// Each keeps its own limits, hooks, handle and counters; they share the threads. A server that is served alone needs no `Reactor`:
/// [`ReactorServer`](super::ReactorServer) and [`ReactorUdp`](super::ReactorUdp) serve themselves.
///
/// ```
/// use std::net::SocketAddr;
/// use socketserver::reactor::{DatagramProtocol, DatagramTransport, Reactor, ReactorUdp};
/// use socketserver::{Protocol, ReactorTcpServer, Transport};
///
/// #[derive(Clone)]
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
///         transport.write(data);
///     }
/// }
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr) {
///         let _ = transport.send_to(data, peer);
///     }
/// }
///
/// # fn main() -> socketserver::Result<()> {
/// let tcp = ReactorTcpServer::bind("127.0.0.1:0", Echo)?;
/// let udp = ReactorUdp::bind(tcp.local_addr(), Echo)?; // the same port, as RFC 862 has it
///
/// let mut reactor = Reactor::new();
/// reactor.add(tcp);
/// reactor.add(udp);
/// # reactor.handle().shutdown(); // or this example would never end
/// reactor.serve_forever()?; // until both have been stopped
/// # Ok(()) }
/// ```
#[derive(Default)]
#[must_use = "it serves nobody until `serve_forever` or `spawn` is called"]
pub struct Reactor {
    stations: Vec<Station>,
    workers: usize,
    /// Whoever has been served to the end.
    served: Vec<Address>,
}

/// A server that a [`Reactor`] can serve: [`ReactorServer`](super::ReactorServer) and [`ReactorUdp`](super::ReactorUdp).
pub trait Served: private::Sealed {}

pub(crate) mod private {
    use super::Reactor;

    #[allow(unreachable_pub)] // reachable as a supertrait, which is what seals
    pub trait Sealed {
        /// A reactor that serves this alone.
        fn into_reactor(self) -> Reactor;
    }
}

impl Reactor {
    /// A reactor without servers.
    pub fn new() -> Self {
        Reactor::default()
    }

    /// Takes a server in. It keeps its handle; its connections are spread over as many loops as the server with the most
    /// [`workers`](crate::server::Builder::workers) wants.
    pub fn add(&mut self, server: impl Served) {
        let Reactor { stations, workers, served } = server.into_reactor();
        self.stations.extend(stations);
        self.served.extend(served);
        self.workers = self.workers.max(workers);
    }

    pub(crate) fn of(station: Station, workers: usize) -> Self {
        Reactor { stations: vec![station], workers, served: Vec::new() }
    }

    /// The handles of its servers, in the order in which they were added.
    pub fn handles(&self) -> Vec<ServerHandle> {
        self.stations.iter().map(Station::handle).collect()
    }

    /// A handle that stops all servers that have been added so far.
    pub fn handle(&self) -> ReactorHandle {
        ReactorHandle::new(self.handles())
    }

    /// Serves until each of the servers has been stopped and has drained, and returns their reports added up. Stopping one leaves the
    /// others going.
    ///
    /// # Errors
    /// [`Error::Closed`] if it has served before; [`Error::InvalidSetting`] if it has no servers. [`Error::System`] when a poller or a thread cannot be had or
    /// fails. [`Error::Accept`] when a listening socket has become unusable; the other servers are stopped then too.
    pub fn serve_forever(&mut self) -> Result<ShutdownReport> {
        self.require_servers()?;
        let mut stations = std::mem::take(&mut self.stations);
        self.served = stations.iter().map(Station::address).collect();
        let controls: Vec<_> = stations.iter().map(|station| Arc::clone(&station.control)).collect();
        // Said even if this thread should panic: somebody may be waiting in `join`.
        let _served: Vec<SaysServed> = controls.iter().map(|control| SaysServed::new(Arc::clone(control))).collect();
        // A callback may be running at any moment, so a stop is always seen to by a thread of its own.
        let _inline: Vec<Inline<'_>> = controls.iter().map(Inline::enter).collect();

        let served = serve(&mut stations, self.workers);
        drop(stations);
        let reports = controls.iter().map(|control| control.wait_report());
        let report = reports.fold(ShutdownReport::default(), ShutdownReport::and);
        let ended = served.and_then(|mut crew| crew.join(RETURN_GRACE));
        ended.map(|()| report)
    }

    /// Serves on a thread of its own, named `ss-serve`.
    ///
    /// # Errors
    /// [`Error::System`] when the thread cannot be started; as [`serve_forever`](Reactor::serve_forever).
    pub fn spawn(mut self) -> Result<RunningReactor> {
        let handle = self.handle();
        let thread = self.spawn_thread()?;
        Ok(RunningReactor::new(handle, thread))
    }

    pub(crate) fn spawn_thread(&mut self) -> Result<JoinHandle<Result<ShutdownReport>>> {
        self.require_servers()?;
        let mut reactor = std::mem::take(self);
        std::thread::Builder::new()
            .name("ss-serve".into())
            .spawn(move || reactor.serve_forever())
            .map_err(|error| spawn_error("the server", error))
    }

    fn require_servers(&self) -> Result<()> {
        match (self.stations.first(), self.served.first()) {
            // This one, or one that was added after it had served.
            (_, Some(address)) => Err(Error::Closed { address: address.to_string() }),
            (Some(_), None) => Ok(()),
            (None, None) => Err(invalid("a reactor", "without servers", "there is nothing to serve; `add` some first")),
        }
    }
}

/// Serves on this thread and `workers - 1` others until all have been stopped and this thread's connections have ended. What is returned
/// waits for the others.
fn serve(stations: &mut [Station], workers: usize) -> Result<Crew> {
    let first = Inbox::new();
    let others: Vec<Arc<Inbox>> = (1..workers).map(|_| Inbox::new()).collect();
    let mut home = new_loop(&first, 0)?;
    let mut crew = Crew::new();
    let result = open(stations, &mut home, &others, &mut crew).and_then(|()| attend(stations, &mut home, &others));
    if let Err(error) = &result {
        for station in stations.iter_mut() {
            station.abandon(&crew.inboxes);
        }
        home.fail(&io::Error::new(error.kind(), error.to_string()));
    }
    crew.finish();
    // Those of loops that were never started; what is in them would keep the servers' parts alive.
    for inbox in others.iter().filter(|inbox| !crew.inboxes.iter().any(|started| Arc::ptr_eq(started, inbox))) {
        drop(inbox.close());
    }
    result.map(|()| crew)
}

/// Opens the servers, and starts the other loops.
fn open(stations: &mut [Station], home: &mut EventLoop, others: &[Arc<Inbox>], crew: &mut Crew) -> Result<()> {
    let inboxes: Vec<Arc<Inbox>> = std::iter::once(home.inbox()).chain(others).cloned().collect();
    for (number, station) in stations.iter_mut().enumerate() {
        station.open(number, home, &inboxes).map_err(|source| {
            let operation = format!("register the server on {} with its event loop", station.address());
            Error::System { operation, source }
        })?;
    }
    others.iter().try_for_each(|inbox| crew.start(inbox, stations))
}

/// The serving thread's share: connections of its own, and accepting for all loops.
fn attend(stations: &mut [Station], home: &mut EventLoop, others: &[Arc<Inbox>]) -> Result<()> {
    let mut failed = None;
    loop {
        let mut until = None;
        for station in stations.iter_mut() {
            match station.attend(home, others) {
                Ok(due) => until = earlier(until, due),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if failed.is_some() {
            // One that cannot accept any more ends the reactor, in good order.
            for station in stations.iter_mut().filter(|station| !station.is_stopped()) {
                station.give_up(home, others);
            }
        }
        if stations.iter().all(Station::is_stopped) && home.is_empty() {
            return failed.map_or(Ok(()), Err);
        }
        home.turn(until).map_err(|source| Error::System { operation: "wait for events".into(), source })?;
        for number in home.take_called() {
            if let Some(station) = stations.get_mut(number) {
                station.called();
            }
        }
    }
}

fn new_loop(inbox: &Arc<Inbox>, number: usize) -> Result<EventLoop> {
    EventLoop::new(Arc::clone(inbox), u32::try_from(number).unwrap_or(u32::MAX))
        .map_err(|source| Error::System { operation: "make an event loop".into(), source })
}

/// Stops the servers when one of their loops ends for a reason that is none, an error or a panic.
struct StopsUnlessDefused(Option<Vec<ServerHandle>>);

impl StopsUnlessDefused {
    fn defuse(mut self) {
        self.0 = None;
    }
}

impl Drop for StopsUnlessDefused {
    fn drop(&mut self) {
        self.0.iter().flatten().for_each(ServerHandle::shutdown);
    }
}

/// The threads of the loops but the first.
struct Crew {
    threads: Vec<JoinHandle<io::Result<()>>>,
    inboxes: Vec<Arc<Inbox>>,
    /// Each thread has a sender, and drops it at its end.
    alive: Option<Sender<()>>,
    ended: Receiver<()>,
}

impl Crew {
    fn new() -> Self {
        let (alive, ended) = channel();
        Crew { threads: Vec::new(), inboxes: Vec::new(), alive: Some(alive), ended }
    }

    fn start(&mut self, inbox: &Arc<Inbox>, stations: &[Station]) -> Result<()> {
        let number = self.threads.len() + 1;
        let (made, result) = channel();
        let its_inbox = Arc::clone(inbox);
        let alive = self.alive.clone();
        let handles: Vec<ServerHandle> = stations.iter().map(Station::handle).collect();
        let thread = std::thread::Builder::new()
            .name(format!("ss-loop-{number}"))
            .spawn(move || {
                let _alive = alive;
                let stops = StopsUnlessDefused(Some(handles));
                // Made here, because coroutines stay on their thread.
                let event_loop = match new_loop(&its_inbox, number) {
                    Ok(event_loop) => event_loop,
                    Err(error) => {
                        let _ = made.send(error);
                        return Ok(());
                    }
                };
                drop(made);
                event_loop.run()?;
                stops.defuse();
                Ok(())
            })
            .map_err(|error| spawn_error("an event loop", error))?;
        // Nothing is sent where all went well, or its thread has panicked, which is seen at the end.
        if let Ok(error) = result.recv() {
            return Err(error);
        }
        self.threads.push(thread);
        self.inboxes.push(Arc::clone(inbox));
        Ok(())
    }

    /// No server sends them connections any more: each ends with its last.
    fn finish(&self) {
        for inbox in &self.inboxes {
            let _ = inbox.send(Command::Finish);
        }
    }

    /// Waits for the threads to return, for a while: a callback may never.
    fn join(&mut self, grace: Duration) -> Result<()> {
        self.alive = None;
        let deadline = Instant::now() + grace;
        if let Err(RecvTimeoutError::Timeout) =
            self.ended.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            return Ok(());
        }
        for thread in self.threads.drain(..) {
            let source = match thread.join() {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(_) => io::Error::other("the event loop's thread has panicked"),
            };
            return Err(Error::System { operation: "wait for events".into(), source });
        }
        Ok(())
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("servers", &self.handles()).field("workers", &self.workers).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::private::Sealed as _;
    use super::*;
    use crate::{Protocol, ReactorTcpServer, Transport};

    #[derive(Clone)]
    struct Farewell;

    impl Protocol for Farewell {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            transport.write(data);
            transport.close();
        }
    }

    /// Turns the loop until `done`.
    fn turn(station: &mut Station, home: &mut EventLoop, mut done: impl FnMut(&mut EventLoop) -> bool) {
        while !done(home) {
            let until = station.attend(home, &[]).unwrap();
            home.turn(until).unwrap();
            if home.take_called().count() > 0 {
                station.called();
            }
        }
    }

    /// Of a connection whose patience at the close came to its end, the timer was kept for ever.
    #[test]
    fn a_connection_takes_its_timer_with_it() {
        let server = ReactorTcpServer::bind("127.0.0.1:0", Farewell).unwrap();
        let address = server.local_addr();
        let mut station = server.into_reactor().stations.remove(0);
        let inbox = Inbox::new();
        let mut home = EventLoop::new(Arc::clone(&inbox), 0).unwrap();
        station.open(0, &mut home, &[inbox]).unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.write_all(b"x").unwrap();
        turn(&mut station, &mut home, |home| !home.is_empty());
        assert_eq!(home.timers(), 1);
        // It stays, so it is the loop that must end it.
        turn(&mut station, &mut home, |home| home.is_empty());
        assert_eq!(client.read(&mut [0; 2]).unwrap(), 1);
        assert_eq!(home.timers(), 0);
    }
}
