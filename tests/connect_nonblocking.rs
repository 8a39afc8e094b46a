//! `tcp::connect_nonblocking` and `connect_outcome`, in a [`Selector`], as an event loop uses them.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod selecting;

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::time::Instant;

use common::{own_address, watchdog, LONG};
use selecting::{look, would_block, R, W};
use socketserver::mio::net::TcpStream;
use socketserver::reactor::{Key, Selector};
use socketserver::tcp::{connect_nonblocking, connect_outcome, listen};
use socketserver::{Error, Result};

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(own_address()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address where nobody listens, nor will.
fn refusing() -> SocketAddr {
    listener().1
}

/// Connects as a program would that has nothing else to do.
fn connect(selector: &mut Selector, address: SocketAddr) -> Result<Key> {
    let started = Instant::now();
    let key = selector.register(connect_nonblocking(address)?, W, ())?;
    loop {
        let ready = selector.select(Some(LONG))?;
        assert!(started.elapsed() < LONG);
        if ready.iter().any(|ready| ready.key() == key && ready.is_writable()) {
            match connect_outcome(selector.get(key).unwrap(), address) {
                Ok(true) => return Ok(key),
                Ok(false) => {}
                Err(error) => {
                    drop(selector.unregister::<TcpStream>(key)?);
                    return Err(error);
                }
            }
        }
    }
}

#[track_caller]
fn assert_refused(error: &Error, address: SocketAddr) {
    match error {
        Error::Connect { address: named, attempts } => {
            assert_eq!(*named, address.to_string());
            assert_eq!(attempts.len(), 1);
            assert_eq!((attempts[0].0, attempts[0].1.kind()), (address, ErrorKind::ConnectionRefused));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot connect to {address}: ")), "{text}");
}

#[test]
fn a_stream_that_is_connected_is_as_any_other() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (listener, address) = listener();
    let key = connect(&mut selector, address).unwrap();
    let stream = selector.get::<TcpStream>(key).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), address);
    // It is still connected when it is asked again.
    assert!(connect_outcome(stream, address).unwrap());
    let (mut peer, client) = listener.accept().unwrap();
    assert_eq!(client, stream.local_addr().unwrap());
    peer.set_read_timeout(Some(LONG)).unwrap();
    let stream = selector.get_mut::<TcpStream>(key).unwrap();
    assert!(would_block(stream.read(&mut [0])), "it does not wait");
    stream.write_all(b"hello").unwrap();
    let mut told = [0; 5];
    peer.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"hello");
    selector.modify(key, R).unwrap();
    peer.write_all(b"x").unwrap();
    assert_eq!(selecting::wait(&mut selector), [(key, "r")]);
}

#[test]
fn ipv6_connects() {
    let _watchdog = watchdog();
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
    let address = listener.local_addr().unwrap();
    let mut selector = Selector::new().unwrap();
    let key = connect(&mut selector, address).unwrap();
    assert_eq!(selector.get::<TcpStream>(key).unwrap().peer_addr().unwrap(), address);
}

#[test]
fn a_refusal_is_told_with_its_address() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let address = refusing();
    assert_refused(&connect(&mut selector, address).unwrap_err(), address);
    assert!(selector.is_empty());
    // Another try is another socket.
    assert_refused(&connect(&mut selector, address).unwrap_err(), address);
}

#[test]
fn many_at_once() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (listener, good) = listener();
    let bad = refusing();
    let mut pending = HashSet::new();
    let (mut connected, mut refused) = (0, 0);
    for number in 0..100 {
        let address = if number % 2 == 0 { good } else { bad };
        match connect_nonblocking(address) {
            Ok(stream) => drop(pending.insert(selector.register(stream, W, address).unwrap())),
            Err(error) => {
                assert_refused(&error, bad);
                refused += 1;
            }
        }
    }
    let mut streams = Vec::new();
    let started = Instant::now();
    while !pending.is_empty() {
        assert!(started.elapsed() < LONG);
        for ready in selector.select(Some(LONG)).unwrap() {
            let address = *selector.data(ready.key()).unwrap();
            match connect_outcome(selector.get(ready.key()).unwrap(), address) {
                Ok(false) => continue,
                Ok(true) => {
                    assert_eq!(address, good);
                    connected += 1;
                    streams.push(selector.unregister::<TcpStream>(ready.key()).unwrap());
                }
                Err(error) => {
                    assert_refused(&error, bad);
                    refused += 1;
                    selector.remove(ready.key()).unwrap();
                }
            }
            assert!(pending.remove(&ready.key()));
        }
    }
    assert_eq!((connected, refused), (50, 50));
    assert!(selector.is_empty());
    for _ in streams {
        listener.accept().unwrap();
    }
}

/// Which systems say in their own ways, some of them at once.
#[test]
fn nobody_is_at_port_zero() {
    let _watchdog = watchdog();
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let error = connect(&mut Selector::new().unwrap(), address).unwrap_err();
    assert!(matches!(&error, Error::Connect { attempts, .. } if attempts.len() == 1), "{error:?}");
    assert!(error.to_string().starts_with("cannot connect to 127.0.0.1:0: "), "{error}");
}

/// A broadcast address of this machine's own, which TCP cannot reach.
#[test]
#[cfg(target_os = "linux")]
fn what_the_system_refuses_at_once_is_told_with_its_address() {
    let _watchdog = watchdog();
    let address: SocketAddr = "127.255.255.255:80".parse().unwrap();
    let error = connect_nonblocking(address).unwrap_err();
    assert!(matches!(&error, Error::Connect { attempts, .. } if attempts.len() == 1), "{error:?}");
    assert!(error.to_string().starts_with("cannot connect to 127.255.255.255:80: "), "{error}");
}

#[cfg(target_os = "linux")]
mod silence {
    use std::io;

    use socketserver::mio::event::Source;
    use socketserver::mio::net::UdpSocket;
    use socketserver::mio::{Interest, Registry, Token};

    use super::*;
    use crate::common::Silent;
    use crate::selecting::MOMENT;

    #[test]
    fn a_timer_ends_an_attempt_that_nobody_answers() {
        let _watchdog = watchdog();
        let silent = Silent::new();
        let mut selector = Selector::new().unwrap();
        let started = Instant::now();
        let key = selector.register(connect_nonblocking(silent.address).unwrap(), W, ()).unwrap();
        // To begin has not waited for it.
        assert!(started.elapsed() < LONG / 2);
        let timeout = selector.set_timer(MOMENT, ()).unwrap();
        assert_eq!(selecting::wait(&mut selector), [(timeout, "t")]);
        assert!(started.elapsed() >= MOMENT);
        // Whoever asks before it has come to anything is told so, as often as it is asked.
        for _ in 0..3 {
            assert!(!connect_outcome(selector.get(key).unwrap(), silent.address).unwrap());
            assert_eq!(look(&mut selector), []);
        }
        selector.remove(key).unwrap();
        assert!(selector.is_empty());
    }

    /// A source that is reported as writable before it has anything to tell.
    struct Hasty {
        stream: TcpStream,
        decoy: UdpSocket,
    }

    impl Source for Hasty {
        fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            self.stream.register(registry, token, interest)?;
            self.decoy.register(registry, token, interest)
        }

        fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
            self.stream.reregister(registry, token, interest)?;
            self.decoy.reregister(registry, token, interest)
        }

        fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
            self.stream.deregister(registry)?;
            self.decoy.deregister(registry)
        }
    }

    #[test]
    fn a_report_for_nothing_does_no_harm() {
        let _watchdog = watchdog();
        let silent = Silent::new();
        let mut selector = Selector::new().unwrap();
        let decoy = selecting::udp();
        let stream = connect_nonblocking(silent.address).unwrap();
        let key = selector.register(Hasty { stream, decoy }, W, ()).unwrap();
        for _ in 0..3 {
            assert_eq!(look(&mut selector), [(key, "w")]);
            assert!(!connect_outcome(&selector.get::<Hasty>(key).unwrap().stream, silent.address).unwrap());
        }
        // With room in the queue somebody answers: the kernel asks again after a second, then two, and so on.
        drop(silent.queue);
        silent.listener.set_nonblocking(true).unwrap();
        let started = Instant::now();
        while !connect_outcome(&selector.get::<Hasty>(key).unwrap().stream, silent.address).unwrap() {
            while silent.listener.accept().is_ok() {}
            assert_eq!(look(&mut selector), [(key, "w")]);
            assert!(started.elapsed() < LONG);
            std::thread::yield_now();
        }
        let stream = selector.unregister::<Hasty>(key).unwrap().stream;
        assert_eq!(stream.peer_addr().unwrap(), silent.address);
    }
}

/// What a selector waits on is what a server would have bound, and says as clearly what is wrong with an address.
#[test]
fn listen_binds_what_a_selector_can_wait_on() {
    let _watchdog = watchdog();
    let listener = listen(own_address()).unwrap();
    let address = listener.local_addr().unwrap();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(listener, R, ()).unwrap();
    assert!(selector.select(Some(std::time::Duration::ZERO)).unwrap().is_empty());
    let _client = std::net::TcpStream::connect(address).unwrap();
    let ready = selector.select(Some(LONG)).unwrap();
    assert!(ready.len() == 1 && ready[0].is_readable());
    let listener = selector.get::<socketserver::mio::net::TcpListener>(key).unwrap();
    listener.accept().unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);

    let error = listen(address).unwrap_err();
    assert!(matches!(error, Error::Bind { .. }) && error.to_string().contains(&address.to_string()), "{error}");
    assert!(matches!(listen("127.0.0.1"), Err(Error::InvalidAddress { .. })));
}
