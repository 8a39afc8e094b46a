//! What the tests of the selector share: a short form of what a `select` reports, pairs of sockets, and sources that can be watched.
// Each file of tests uses its own share of this, and Clippy lets tests unwrap and panic, but not the functions they share.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socketserver::mio::event::Source;
use socketserver::mio::net::{TcpStream, UdpSocket};
use socketserver::mio::{Interest, Registry, Token};
use socketserver::reactor::{Key, Ready, Selector};
use socketserver::Error;

use crate::common::{own_address, LONG};

pub const R: Interest = Interest::READABLE;
pub const W: Interest = Interest::WRITABLE;
pub const RW: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Long enough to be told from no wait at all, whatever else the machine does.
pub const MOMENT: Duration = Duration::from_millis(50);

/// What was reported for what: `r`, `w`, `rw`, or `t` for a timer.
pub fn seen(ready: &[Ready]) -> Vec<(Key, &'static str)> {
    let mut seen: Vec<_> = ready.iter().map(|ready| (ready.key(), what(ready))).collect();
    seen.sort();
    seen
}

fn what(ready: &Ready) -> &'static str {
    match (ready.is_readable(), ready.is_writable(), ready.is_timer()) {
        (true, false, false) => "r",
        (false, true, false) => "w",
        (true, true, false) => "rw",
        (false, false, true) => "t",
        other => panic!("{other:?}"),
    }
}

/// What is ready now.
pub fn look<T>(selector: &mut Selector<T>) -> Vec<(Key, &'static str)> {
    seen(&selector.select(Some(Duration::ZERO)).unwrap())
}

/// What becomes ready first.
pub fn wait<T>(selector: &mut Selector<T>) -> Vec<(Key, &'static str)> {
    seen(&selector.select(Some(LONG)).unwrap())
}

/// Selects until just that is ready at once.
pub fn until<T>(selector: &mut Selector<T>, mut expected: Vec<(Key, &'static str)>) {
    let started = Instant::now();
    expected.sort();
    loop {
        let now = wait(selector);
        if now == expected {
            return;
        }
        assert!(started.elapsed() < LONG, "{now:?}, where {expected:?} should be ready");
    }
}

pub fn assert_not_registered<T>(result: socketserver::Result<T>, key: Key) {
    match result.err().unwrap() {
        error @ Error::NotRegistered { .. } => {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            let text = error.to_string();
            assert!(text.starts_with("nothing") && text.contains(&format!("registered under key {key} ")), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

/// That a key names nothing, whatever is asked with it.
pub fn assert_unknown<S: 'static>(selector: &mut Selector<&'static str>, key: Key) {
    assert!(selector.get::<S>(key).is_none());
    assert!(selector.get_mut::<S>(key).is_none());
    assert_eq!(selector.data(key), None);
    assert_eq!(selector.data_mut(key), None);
    assert_eq!(selector.interest(key), None);
    assert!(selector.iter().all(|(listed, _)| listed != key));
    assert_not_registered(selector.modify(key, R), key);
    assert_not_registered(selector.unregister::<S>(key), key);
    assert_not_registered(selector.remove(key), key);
}

/// A connected stream, and a std one at its other end.
pub fn tcp_pair() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind(own_address()).unwrap();
    let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let peer = loop {
        let (peer, address) = listener.accept().unwrap();
        // Somebody else's port scan is none of ours.
        if address == stream.local_addr().unwrap() {
            break peer;
        }
    };
    stream.set_nonblocking(true).unwrap();
    peer.set_read_timeout(Some(LONG)).unwrap();
    peer.set_write_timeout(Some(LONG)).unwrap();
    (TcpStream::from_std(stream), peer)
}

/// A socket that is writable, and readable only for what is sent to it.
pub fn udp() -> UdpSocket {
    UdpSocket::bind(own_address()).unwrap()
}

/// Closes it with a reset.
pub fn reset(peer: std::net::TcpStream) {
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
}

pub fn would_block<T>(result: io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Reads exactly so much, then sees that there is no more.
pub fn drain(source: &mut impl Read, count: usize) {
    let mut buffer = vec![0; count];
    source.read_exact(&mut buffer).unwrap();
    assert!(would_block(source.read(&mut [0])));
}

/// Writes until there is no room, and says how much that was.
pub fn fill(source: &mut impl Write) -> usize {
    let mut written = 0;
    loop {
        match source.write(&[0; 4096]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return written,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A source that tells what is asked of the system for it, and has it refused when told to.
pub struct Watched<S> {
    pub source: S,
    log: Log,
}

#[derive(Clone, Default)]
pub struct Log {
    asked: Arc<Mutex<Vec<&'static str>>>,
    refusing: Arc<AtomicBool>,
}

impl Log {
    /// What has been asked for since the last call.
    pub fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    pub fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::SeqCst);
    }

    fn ask(&self, what: &'static str) -> io::Result<()> {
        self.asked.lock().unwrap().push(what);
        if self.refusing.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(())
    }
}

impl<S> Watched<S> {
    pub fn new(source: S) -> (Self, Log) {
        let log = Log::default();
        (Watched { source, log: log.clone() }, log)
    }
}

impl<S: Source> Source for Watched<S> {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.log.ask("register")?;
        self.source.register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.log.ask("reregister")?;
        self.source.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.log.ask("deregister")?;
        self.source.deregister(registry)
    }
}

impl<S> Drop for Watched<S> {
    fn drop(&mut self) {
        let _ = self.log.ask("drop");
    }
}

#[cfg(unix)]
pub use on_unix::*;

#[cfg(unix)]
mod on_unix {
    use std::mem::ManuallyDrop;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

    use socketserver::mio::net::UnixStream;

    use super::*;

    /// A source that does not own its descriptor, like mio's `SourceFd`.
    pub struct Raw(ManuallyDrop<UdpSocket>);

    impl Raw {
        pub fn of(owner: &impl AsRawFd) -> Self {
            Raw::number(owner.as_raw_fd())
        }

        /// It need not be a descriptor, still less a UDP socket's: nothing is asked of it but to be waited for.
        pub fn number(number: RawFd) -> Self {
            // SAFETY: never closed, as it is never dropped.
            Raw(ManuallyDrop::new(unsafe { UdpSocket::from_raw_fd(number) }))
        }
    }

    impl Source for Raw {
        fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
            self.0.register(registry, token, interests)
        }

        fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
            self.0.reregister(registry, token, interests)
        }

        fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
            self.0.deregister(registry)
        }
    }

    /// A source that owns any descriptor at all, such as a pipe's. Of the type nothing is used but that it can be waited for.
    pub fn owning(descriptor: impl Into<OwnedFd>) -> UdpSocket {
        UdpSocket::from_std(std::net::UdpSocket::from(descriptor.into()))
    }

    /// Two streams that are each other's peers. What one sends, the other has at once.
    pub fn unix_pair() -> (UnixStream, UnixStream) {
        UnixStream::pair().unwrap()
    }
}
