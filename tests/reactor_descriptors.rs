//! No event-driven server leaks a descriptor or a thread. Counted in this process, so one test at a time.
#![cfg(target_os = "linux")]
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::Write;
use std::net::Shutdown;
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::reactor::{flood, serving, Echo, Probe, ReactorKind, ReactorTcp, ReactorTcpWorkers, ReactorUnix, Told};
use common::{eventually, read_byte, receive, watchdog};
use nix::sys::resource::{getrlimit, setrlimit, Resource};
use socketserver::{Error, Overload, ReactorTcpServer};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Those of servers: the names are this crate's, and what serves in these tests has none.
fn threads() -> usize {
    common::threads_named("ss-")
}

/// Threads that have ended for everybody else may still be closing.
fn balanced(test: impl FnOnce()) {
    let _watchdog = watchdog();
    let _alone = alone();
    let before = open();
    test();
    eventually(&format!("back to {before} descriptors, from {}", open()), || open() <= before);
    // Those that take leave of clients stay for a second.
    eventually(&format!("no threads, rather than {}", threads()), || threads() == 0);
}

fn every_state<K: ReactorKind>() {
    balanced(|| {
        drop(K::bind(K::builder(), Echo));
        let (server, _place) = K::bind(K::builder(), Echo);
        server.handle().shutdown();
        drop(server);
        // Served and stopped, with a client and without.
        let served = K::serve(Echo);
        assert_eq!(served.exchange(b"x"), b"x");
        served.stop();
        let served = K::serve(Echo);
        let _client = served.connect();
        served.stop();
        // Dropped while it runs.
        let (server, place) = K::bind(K::builder(), Echo);
        let running = server.spawn().unwrap();
        assert_eq!(place.exchange(b"x"), b"x");
        let mut client = place.connect();
        client.write_all(b"x").unwrap();
        assert_eq!(read_byte(&mut client), Some(b'x'));
        drop(running);
        assert_eq!(read_byte(&mut client), None);
    });
}

#[test]
fn no_state_of_a_server_leaks() {
    every_state::<ReactorTcp>();
    every_state::<ReactorTcpWorkers>();
    every_state::<ReactorUnix>();
}

#[test]
fn what_is_kept_keeps_no_descriptor() {
    fn check<K: ReactorKind>() {
        let mut kept: Vec<Box<dyn std::any::Any>> = Vec::new();
        balanced(|| {
            let (sender, handles) = channel();
            let (probe, _told) = Probe::new(move |told, transport| {
                if *told == Told::Made {
                    sender.send((transport.handle(), transport.broadcaster(), transport.server())).unwrap();
                }
            });
            let (server, place) = K::bind(K::builder(), probe);
            kept.push(Box::new(server.broadcaster()));
            let running = server.spawn().unwrap();
            kept.push(Box::new(running.handle()));
            for _ in 0..10 {
                assert_eq!(place.exchange(b"x"), b"");
                kept.push(Box::new(receive(&handles)));
            }
            running.stop().unwrap();
        });
        assert_eq!(kept.len(), 12);
    }
    check::<ReactorTcp>();
    check::<ReactorTcpWorkers>();
    check::<ReactorUnix>();
}

#[test]
fn panics_cuts_and_rejections_leak_nothing() {
    fn check<K: ReactorKind>() {
        balanced(|| {
            for at in [Told::Made, Told::Eof, Told::Lost(None)] {
                let (probe, _told) = Probe::new(move |told, _| assert_ne!(*told, at, "so it goes"));
                let served = serving(K::bind(K::builder().handle_error(|_| {}), probe));
                for _ in 0..5 {
                    let mut client = served.connect();
                    client.shutdown(Shutdown::Write).unwrap();
                    assert_eq!(read_byte(&mut client), None);
                }
                served.stop();
            }
            let (probe, told) = Probe::new(|told, transport| {
                if *told == Told::Made {
                    flood(transport);
                }
            });
            let builder = K::builder().drain_timeout(Duration::ZERO).handle_error(|_| {});
            let served = serving(K::bind(builder, probe));
            let _clients: Vec<_> = (0..10).map(|_| served.connect()).collect();
            (0..10).for_each(|_| assert_eq!(told.iter().find(|told| *told == Told::Made), Some(Told::Made)));
            assert_eq!(served.stop().abandoned, 10);
            let builder = K::builder().max_connections(1).overload(Overload::Reject(b"-"));
            let served = serving(K::bind(builder, Echo));
            let mut first = served.connect();
            first.write_all(b"x").unwrap();
            assert_eq!(read_byte(&mut first), Some(b'x'));
            for _ in 0..100 {
                assert_eq!(served.exchange(b""), b"-");
            }
            drop(first);
            served.stop();
        });
    }
    check::<ReactorTcp>();
    check::<ReactorTcpWorkers>();
    check::<ReactorUnix>();
}

/// Some of the loops had begun when the next could not be made.
#[test]
fn a_start_that_fails_half_way_leaks_nothing() {
    balanced(|| {
        let mut server = ReactorTcpServer::builder().workers(100).bind("127.0.0.1:0", Echo).unwrap();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, open() as u64 + 40, hard).unwrap();
        let result = server.serve_forever();
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        let error = result.unwrap_err();
        assert!(matches!(&error, Error::System { .. }), "{error}");
        assert!(error.to_string().starts_with("cannot make an event loop: "), "{error}");
    });
}
