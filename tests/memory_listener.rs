//! A listener of one's own without a descriptor, over a stream of one's own without a socket; and all that an accept can come to.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use common::{echo, eventually, receive, watchdog, LONG};
use socketserver::server::{AcceptError, Dispatch, Listener, Notifier, Readiness, Sequential, Threading};
use socketserver::{
    handler_fn, Address, Connection, Error, Handled, RequestContext, Server, ServerHandle, Stream, Wait,
};

/// One direction of a connection in memory.
#[derive(Debug, Default)]
struct Pipe {
    state: Mutex<(VecDeque<u8>, bool)>,
    changed: Condvar,
}

impl Pipe {
    fn read(&self, buf: &mut [u8], wait: Wait) -> io::Result<usize> {
        let started = Instant::now();
        let mut state = self.state.lock().unwrap();
        while state.0.is_empty() && !state.1 {
            let left = wait.left(started)?.unwrap_or(LONG);
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        state.0.read(buf)
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap();
        if state.1 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        state.0.extend(buf);
        self.changed.notify_all();
        Ok(buf.len())
    }

    fn end(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// One end of a connection in memory: no socket, no descriptor.
#[derive(Debug)]
struct Memory {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

impl Memory {
    fn pair() -> (Memory, Memory) {
        let (a, b) = (Arc::<Pipe>::default(), Arc::<Pipe>::default());
        (Memory { incoming: Arc::clone(&a), outgoing: Arc::clone(&b) }, Memory { incoming: b, outgoing: a })
    }

    fn read_all(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = [0; 100];
        loop {
            match self.incoming.read(&mut buffer, Wait::until(Instant::now() + LONG)).unwrap() {
                0 => return all,
                count => all.extend(&buffer[..count]),
            }
        }
    }
}

impl Stream for Memory {
    fn read(&self, buf: &mut [u8], wait: Wait) -> io::Result<usize> {
        self.incoming.read(buf, wait)
    }

    fn write(&self, buf: &[u8], _: Wait) -> io::Result<usize> {
        self.outgoing.write(buf)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Write {
            self.incoming.end();
        }
        if how != Shutdown::Read {
            self.outgoing.end();
        }
        Ok(())
    }
}

/// What drops with the last hold on a stream: a descriptor, if it had one.
impl Drop for Memory {
    fn drop(&mut self) {
        self.incoming.end();
        self.outgoing.end();
    }
}

/// A listener without a descriptor: what is accepted comes through a channel.
struct MemoryListener {
    queue: Receiver<Result<Memory, AcceptError>>,
    notifier: Arc<Mutex<Option<Notifier>>>,
}

/// Its clients' side.
#[derive(Clone)]
struct Dialer {
    queue: Sender<Result<Memory, AcceptError>>,
    notifier: Arc<Mutex<Option<Notifier>>>,
}

impl Dialer {
    fn send(&self, accepted: Result<Memory, AcceptError>) {
        self.queue.send(accepted).unwrap();
        self.notifier.lock().unwrap().as_ref().unwrap().notify().unwrap();
    }

    fn connect(&self) -> Memory {
        let (client, server) = Memory::pair();
        self.send(Ok(server));
        client
    }
}

fn memory() -> (MemoryListener, Dialer) {
    let (sender, queue) = channel();
    let notifier = Arc::default();
    (MemoryListener { queue, notifier: Arc::clone(&notifier) }, Dialer { queue: sender, notifier })
}

impl Listener for MemoryListener {
    type Request = Connection;
    type Addr = Address;

    fn local_addr(&self) -> Address {
        Address::Other("memory".into())
    }

    fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
        *self.notifier.lock().unwrap() = Some(readiness.notifier());
        Ok(())
    }

    fn accept(&mut self, context: &RequestContext) -> Result<Connection, AcceptError> {
        let stream = self.queue.try_recv().map_err(|_| AcceptError::WouldBlock)??;
        Ok(Connection::new(context, Arc::new(stream), Address::Other("a client".into())))
    }
}

type MemoryServer = Server<MemoryListener, Sequential>;
type ThreadingMemoryServer = Server<MemoryListener, Threading>;

fn exchange(dialer: &Dialer, text: &[u8]) -> Vec<u8> {
    let client = dialer.connect();
    client.outgoing.write(text).unwrap();
    client.outgoing.end();
    client.read_all()
}

#[test]
fn a_listener_in_memory_is_served_by_every_strategy() {
    fn check<D: Dispatch + Default>() {
        let (listener, dialer) = memory();
        let server = Server::<MemoryListener, D>::builder().from_listener(listener, echo()).unwrap();
        assert_eq!(server.local_addr().to_string(), "memory");
        let running = server.spawn().unwrap();
        for text in [&b"one"[..], b"", b"three"] {
            assert_eq!(exchange(&dialer, text), text);
        }
        eventually("all are served", || running.handle().stats().active == 0);
        assert_eq!(running.handle().stats().accepted, 3);
        assert!(running.stop().unwrap().is_clean());
    }
    let _watchdog = watchdog();
    check::<Sequential>();
    check::<Threading>();
}

#[test]
fn a_stream_without_a_socket_has_timeouts_and_is_cut() {
    let _watchdog = watchdog();
    let (listener, dialer) = memory();
    let (sender, ended) = channel();
    let handler = handler_fn(move |request: &mut Connection| {
        assert!(request.socket().is_none());
        assert_eq!(request.nodelay().unwrap_err().kind(), io::ErrorKind::Unsupported);
        assert_eq!(request.local_addr().unwrap_err().kind(), io::ErrorKind::Unsupported);
        request.set_read_timeout(Duration::from_millis(20))?;
        sender.send(request.read(&mut [0]).unwrap_err())?;
        request.set_read_timeout(None)?;
        sender.send(request.read(&mut [0]).unwrap_err())?;
        Ok(())
    });
    let builder = ThreadingMemoryServer::builder().drain_timeout(Duration::ZERO);
    let running = builder.from_listener(listener, handler).unwrap().spawn().unwrap();
    let client = dialer.connect();
    let timeout = receive(&ended);
    assert!(matches!(Error::of(&timeout), Some(Error::Timeout { .. })), "{timeout:?}");
    assert_eq!(running.stop().unwrap().abandoned, 1);
    let cut = receive(&ended);
    assert!(matches!(Error::of(&cut), Some(Error::Cut { .. })), "{cut:?}");
    assert_eq!(client.read_all(), b"");
}

#[test]
fn a_stale_readiness_is_slept_over() {
    let _watchdog = watchdog();
    let (listener, dialer) = memory();
    let running = MemoryServer::builder().from_listener(listener, echo()).unwrap().spawn().unwrap();
    for _ in 0..100 {
        dialer.notifier.lock().unwrap().as_ref().unwrap().notify().unwrap();
    }
    assert_eq!(exchange(&dialer, b"x"), b"x");
    let started = Instant::now();
    running.stop().unwrap();
    assert!(started.elapsed() < LONG / 2, "in Python, blocked in accept");
}

#[test]
fn handle_request_says_why_nobody_was_accepted() {
    let _watchdog = watchdog();
    let (listener, dialer) = memory();
    let mut server = MemoryServer::builder().from_listener(listener, echo()).unwrap();
    let handle = server.handle();
    dialer.send(Err(AcceptError::Retry(io::ErrorKind::ConnectionAborted.into())));
    dialer.send(Err(AcceptError::BackOff(io::Error::other("no descriptors"))));
    match server.handle_request().unwrap() {
        Handled::AcceptError(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted),
        other => panic!("{other:?}"),
    }
    match server.handle_request().unwrap() {
        Handled::AcceptError(error) => assert_eq!(error.to_string(), "no descriptors"),
        other => panic!("{other:?}"),
    }
    assert_eq!(handle.stats().accept_errors, 2);
    let client = dialer.connect();
    client.outgoing.end();
    // It has backed off, and looks again by itself.
    assert!(matches!(server.handle_request().unwrap(), Handled::Served));
    dialer.send(Err(AcceptError::Fatal(io::Error::other("unplugged"))));
    match server.handle_request().unwrap_err() {
        Error::Accept { address, source } => {
            assert_eq!((address.as_str(), source.to_string().as_str()), ("memory", "unplugged"));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(server.handle_request().unwrap_err(), Error::Closed { .. }));
}

#[test]
fn serving_outlives_every_accept_error_but_a_fatal_one() {
    let _watchdog = watchdog();
    let (listener, dialer) = memory();
    let server = ThreadingMemoryServer::builder().from_listener(listener, echo()).unwrap();
    let running = server.spawn().unwrap();
    let handle = running.handle();
    // More than are tried over at once.
    for _ in 0..68 {
        dialer.send(Err(AcceptError::Retry(io::ErrorKind::ConnectionAborted.into())));
    }
    assert_eq!(exchange(&dialer, b"x"), b"x");
    for _ in 0..3 {
        dialer.send(Err(AcceptError::BackOff(io::Error::other("no descriptors"))));
    }
    assert_eq!(exchange(&dialer, b"y"), b"y");
    assert_eq!(handle.stats().accept_errors, 71);
    dialer.send(Err(AcceptError::Fatal(io::Error::other("unplugged"))));
    let error = running.join().unwrap_err();
    assert!(error.to_string().starts_with("cannot accept on memory any more: unplugged"), "{error}");
    assert!(handle.is_shutting_down());
}

/// At a stop those in the queue are taken once, into the free places.
#[test]
fn a_stop_takes_the_queue_into_the_free_places() {
    /// Stops its server while the first client is being accepted.
    struct Stopping(MemoryListener, Arc<Mutex<Option<ServerHandle>>>);
    impl Listener for Stopping {
        type Request = Connection;
        type Addr = Address;
        fn local_addr(&self) -> Address {
            self.0.local_addr()
        }
        fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
            self.0.register(readiness)
        }
        fn accept(&mut self, context: &RequestContext) -> Result<Connection, AcceptError> {
            let accepted = self.0.accept(context)?;
            self.1.lock().unwrap().as_ref().unwrap().shutdown();
            Ok(accepted)
        }
    }
    let _watchdog = watchdog();
    for (places, expected) in [(3, 3), (10, 5)] {
        let (listener, dialer) = memory();
        let handle = Arc::default();
        let listener = Stopping(listener, Arc::clone(&handle));
        let builder = Server::<Stopping, Threading>::builder().max_connections(places);
        let mut server = builder.from_listener(listener, echo()).unwrap();
        *handle.lock().unwrap() = Some(server.handle());
        let clients: Vec<Memory> = (0..5).map(|_| dialer.connect()).collect();
        let served = std::thread::spawn(move || server.serve_forever());
        // Nobody has ended before, because no client has.
        eventually("the listener is closed", || Arc::strong_count(&dialer.notifier) == 1);
        let answers = clients.iter().filter(|client| {
            // Who was refused cannot even write.
            let _ = client.outgoing.write(b"x");
            client.outgoing.end();
            client.read_all() == b"x"
        });
        assert_eq!(answers.count(), expected);
        let report = served.join().unwrap().unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.drained, expected);
    }
}
