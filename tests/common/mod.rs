//! What the tests share: the server kinds, a client for each, and guards against hanging.
// Each file of tests uses its own share of this, and Clippy lets tests unwrap and panic, but not the functions they share.
#![allow(dead_code, unused_imports, unused_macros, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "coroutine")]
pub mod coroutines;
#[macro_use]
pub mod kinds;
#[macro_use]
pub mod datagrams;
#[macro_use]
pub mod reactor;
#[cfg(target_os = "linux")]
mod silent;
#[macro_use]
pub mod streams;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socketserver::{tcp, Connection, Failure, ServerHandle};

pub use kinds::{block, computing, echo, held, BuilderOf, Caller, ComposedKind, Kind, Reach, ServerOf, Serves, Talk};
#[cfg(target_os = "linux")]
pub use silent::Silent;
pub use streams::{read_all, read_byte, Place, StreamKind};

/// Nothing here takes so long, even on a machine that has other things to do.
pub const LONG: Duration = Duration::from_secs(60);

/// Ends the whole test program if the test that holds it has hung.
pub struct Watchdog(#[allow(dead_code)] Sender<()>);

pub fn watchdog() -> Watchdog {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let (guard, watched) = channel::<()>();
    std::thread::spawn(move || {
        if watched.recv_timeout(LONG * 2) == Err(RecvTimeoutError::Timeout) {
            // Not eprintln, which the test harness would keep to itself.
            let _ = writeln!(io::stderr(), "{name} hangs");
            std::process::abort();
        }
    });
    Watchdog(guard)
}

/// How many threads of this process have a name that begins so.
#[cfg(target_os = "linux")]
pub fn threads_named(start: &str) -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    // One may have ended meanwhile.
    let names = threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(start)).count()
}

/// Waits, as what holds its thread up does, until so many have come here.
pub fn meet(arrived: &AtomicUsize, count: usize) {
    arrived.fetch_add(1, Ordering::SeqCst);
    eventually("all have met", || arrived.load(Ordering::SeqCst) >= count);
}

/// Waits for what another thread brings about.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LONG, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a client got whose server closes with patience, which lasts a second: tried again where this machine took longer.
pub fn within_patience<T>(mut attempt: impl FnMut() -> io::Result<T>) -> T {
    loop {
        let started = Instant::now();
        match attempt() {
            Ok(got) => return got,
            Err(error) => assert!(started.elapsed() > Duration::from_millis(500), "{error}"),
        }
    }
}

/// What was sent, or a panic in place of a hang.
pub fn receive<T>(receiver: &Receiver<T>) -> T {
    receiver.recv_timeout(LONG).expect("nothing was sent in time")
}

/// A sender that handlers can share.
pub fn shared<T: Send + 'static>() -> (impl Fn(T) + Clone + Send + Sync + 'static, Receiver<T>) {
    let (sender, receiver) = channel();
    let sender = Arc::new(Mutex::new(sender));
    (move |value| drop(sender.lock().unwrap().send(value)), receiver)
}

/// Something begun at `started` tells of five runs, an interval apart.
pub fn expect_interval(ran: &Receiver<Instant>, started: Instant, interval: Duration) {
    let mut last = receive(ran);
    assert!(last - started >= interval);
    for _ in 1..5 {
        let next = receive(ran);
        // A lower bound: nothing but the machine makes it longer.
        assert!(next - last >= interval / 2, "{:?}", next - last);
        last = next;
    }
}

/// An address with port 0 that no other test uses, so that a port which was closed stays so.
pub fn own_address() -> SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if !cfg!(target_os = "linux") {
        return ([127, 0, 0, 1], 0).into();
    }
    let [.., b, c] = std::process::id().to_be_bytes();
    let d = (COUNT.fetch_add(1, Ordering::Relaxed) % 254 + 1) as u8;
    ([127, b | 0x80, c, d], 0).into()
}

pub fn run(test: impl FnOnce()) {
    let _watchdog = watchdog();
    test();
}

/// A running server of any kind.
pub struct Served<P = Place> {
    pub place: P,
    pub handle: ServerHandle,
    serving: std::thread::JoinHandle<socketserver::Result<socketserver::ShutdownReport>>,
}

impl<P> Served<P> {
    pub fn new((mut server, place): (impl Serves, P)) -> Self {
        let handle = server.handle();
        let serving = std::thread::spawn(move || server.serve_forever());
        Served { place, handle, serving }
    }

    /// Waits until no request is under way.
    pub fn idle(&self) {
        eventually("no request is under way", || self.handle.stats().active == 0);
    }

    /// Waits until so many requests have been accepted in all, and none is under way.
    #[track_caller]
    pub fn expect_accepted(&self, count: u64) {
        eventually("so many requests have been served", || {
            let stats = self.handle.stats();
            stats.accepted >= count && stats.active == 0
        });
        assert_eq!(self.handle.stats().accepted, count);
    }

    pub fn stop(self) -> socketserver::ShutdownReport {
        self.handle.shutdown();
        self.join().unwrap()
    }

    pub fn join(self) -> socketserver::Result<socketserver::ShutdownReport> {
        self.serving.join().expect("serve_forever panicked")
    }
}

/// What `handle_error` was told, as text.
pub fn failures() -> (impl Fn(&Failure) + Send + Sync + 'static, Receiver<String>) {
    let (sender, told) = channel();
    let sender = Mutex::new(sender);
    (move |failure: &Failure| drop(sender.lock().unwrap().send(failure.to_string())), told)
}

/// A connection, and a std socket at its other end.
pub fn pair() -> (Connection, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = tcp::connect(listener.local_addr().unwrap(), LONG).unwrap();
    let peer = loop {
        let (peer, address) = listener.accept().unwrap();
        // Somebody else's port scan is none of ours.
        if Some(address) == connection.local_addr().unwrap().as_socket_addr() {
            break peer;
        }
    };
    peer.set_read_timeout(Some(LONG)).unwrap();
    peer.set_write_timeout(Some(LONG)).unwrap();
    (connection, peer)
}

/// Sends `bytes` again and again, a moment apart, until the other end has gone or the returned value is dropped.
pub fn trickle(mut peer: std::net::TcpStream, bytes: &'static [u8]) -> Sender<()> {
    let (stop, stopped) = channel::<()>();
    std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
            if peer.write_all(bytes).is_err() {
                return;
            }
        }
    });
    stop
}
