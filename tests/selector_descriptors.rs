//! No selector, source, timer, waker or attempt to connect leaks a descriptor, or memory. Counted in this process, so one test at a time.
#![cfg(target_os = "linux")]
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod selecting;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::{eventually, own_address, watchdog, LONG};
use selecting::{look, owning, tcp_pair, udp, unix_pair, until, Raw, Watched, R, RW, W};
use socketserver::mio::net::{TcpStream, UdpSocket};
use socketserver::reactor::Selector;
use socketserver::tcp::{connect_nonblocking, connect_outcome};
use socketserver::Error;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Nothing here has a thread that may still be closing, so the count is exact at once.
fn balanced(test: impl FnOnce()) {
    let _watchdog = watchdog();
    let _alone = alone();
    let before = open();
    test();
    assert_eq!(open(), before);
}

#[test]
fn selectors_that_are_dropped_or_closed() {
    balanced(|| {
        let mut wakers = Vec::new();
        for round in 0..100 {
            let mut selector = Selector::new().unwrap();
            let (stream, _peer) = tcp_pair();
            selector.register(stream, RW, 0).unwrap();
            selector.register(udp(), W, 1).unwrap();
            selector.register(unix_pair().0, R, 2).unwrap();
            let timer = selector.set_timer(Duration::ZERO, 3).unwrap();
            selector.set_interval(LONG, 4).unwrap();
            assert!(selector.select(Some(LONG)).unwrap().iter().any(|ready| ready.key() == timer));
            wakers.push(selector.waker().unwrap());
            if round % 2 == 0 {
                let open_with_all = open();
                selector.close();
                // The poll, what wakes it, and the three sources, though the selector itself is kept.
                assert_eq!(open(), open_with_all - 5);
            }
        }
        // Wakers that are kept keep nothing.
        assert_eq!(wakers.len(), 100);
    });
}

#[test]
fn sources_that_come_and_go() {
    balanced(|| {
        let mut selector = Selector::new().unwrap();
        let before = open();
        for _ in 0..500 {
            let (given_back, removed, replaced) = (
                selector.register(udp(), W, ()).unwrap(),
                selector.register(Watched::new(udp()).0, W, ()).unwrap(),
                selector.register(unix_pair().0, RW, ()).unwrap(),
            );
            let timer = selector.set_timer(LONG, ()).unwrap();
            assert_eq!(look(&mut selector).len(), 3);
            assert_eq!(open(), before + 3);
            drop(selector.unregister::<UdpSocket>(given_back).unwrap());
            selector.remove(removed).unwrap();
            selector.unregister::<UdpSocket>(replaced).unwrap_err();
            selector.remove(replaced).unwrap();
            selector.remove(timer).unwrap();
            assert_eq!(look(&mut selector), []);
            assert_eq!(open(), before);
        }
    });
}

/// What is refused is dropped, and so closed.
#[test]
fn registrations_that_fail() {
    balanced(|| {
        let mut selector = Selector::new().unwrap();
        let kept = udp();
        selector.register(Raw::of(&kept), R, ()).unwrap();
        let before = open();
        for _ in 0..500 {
            let error = selector.register(owning(tempfile::tempfile().unwrap()), R, ()).unwrap_err();
            assert!(matches!(error, Error::System { .. }), "{error:?}");
            let error = selector.register(Raw::of(&kept), R, ()).unwrap_err();
            assert!(matches!(error, Error::AlreadyRegistered { .. }), "{error:?}");
            let (watched, log) = Watched::new(udp());
            log.refuse(true);
            selector.register(watched, R, ()).unwrap_err();
        }
        assert_eq!((open(), selector.len()), (before, 1));
        selector.close();
        let before = open();
        for _ in 0..100 {
            assert!(matches!(selector.register(udp(), R, ()), Err(Error::SelectorClosed)));
        }
        assert_eq!(open(), before);
    });
}

/// Whichever descriptor it is that there is no room for.
#[test]
fn selectors_and_attempts_that_cannot_be_made() {
    use nix::sys::resource::{getrlimit, setrlimit, Resource};

    /// As many as there is room for.
    fn exhaust() -> Vec<std::fs::File> {
        std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect()
    }

    balanced(|| {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(100), hard).unwrap();
        let mut taken = exhaust();
        let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let error = connect_nonblocking(address).unwrap_err();
        assert!(matches!(&error, Error::Connect { attempts, .. } if attempts.len() == 1), "{error:?}");
        assert!(error.to_string().starts_with("cannot connect to 127.0.0.1:1: "), "{error}");
        let mut room = 0;
        let refused = loop {
            match Selector::<()>::new() {
                Ok(_) => break room,
                Err(error) => {
                    assert!(matches!(&error, Error::System { .. }), "{error:?}");
                    assert!(error.to_string().starts_with("cannot make a selector: "), "{error}");
                }
            }
            // It has given back what it had got.
            let left = exhaust();
            assert_eq!(left.len(), room);
            drop(left);
            drop(taken.pop().unwrap());
            room += 1;
        };
        assert_eq!(exhaust().len(), refused);
        drop(taken);
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        // The poll, and what wakes it.
        assert_eq!(refused, 2);
    });
}

/// smithay's calloop before 0.14.4: a heap that cannot cancel grows with every timeout that does not come to pass.
#[test]
fn timers_that_are_gone_take_no_memory() {
    /// In KiB.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    }

    balanced(|| {
        let mut selector = Selector::new().unwrap();
        let mut churn = |rounds| {
            for round in 0..rounds {
                let timer = selector.set_timer(LONG * 10, round).unwrap();
                assert_eq!(selector.remove(timer).unwrap(), round);
                let interval = selector.set_interval(LONG * 10, round).unwrap();
                assert_eq!(selector.remove(interval).unwrap(), round);
                if round % 10 == 0 {
                    let timer = selector.set_timer(Duration::ZERO, round).unwrap();
                    assert_eq!(look(&mut selector), [(timer, "t")]);
                }
            }
        };
        churn(1000);
        let before = resident();
        churn(100_000);
        // A heap with all of them would have eight thousand at the least.
        let grown = resident().saturating_sub(before);
        assert!(grown < 2000, "{grown} KiB more");
    });
}

#[test]
fn attempts_to_connect() {
    balanced(|| {
        let listener = std::net::TcpListener::bind(own_address()).unwrap();
        let good = listener.local_addr().unwrap();
        // Port 1 of an address that nobody else uses.
        let refusing = SocketAddr::from((own_address().ip(), 1));
        let mut selector = Selector::new().unwrap();
        let before = open();
        for round in 0..100 {
            let address = if round % 2 == 0 { good } else { refusing };
            let Ok(stream) = connect_nonblocking(address) else { continue };
            // One in four is given up before anything has come of it.
            let key = selector.register(stream, W, ()).unwrap();
            if round % 4 < 2 {
                let started = Instant::now();
                while let Ok(false) = {
                    until(&mut selector, vec![(key, "w")]);
                    connect_outcome(selector.get::<TcpStream>(key).unwrap(), address)
                } {
                    assert!(started.elapsed() < LONG);
                }
            }
            selector.remove(key).unwrap();
            // Nobody is at a broadcast address, which the system says at once.
            connect_nonblocking("127.255.255.255:80".parse().unwrap()).unwrap_err();
        }
        // Those of the listener's queue are the kernel's until they are accepted.
        eventually("the attempts are over", || open() == before);
    });
}
