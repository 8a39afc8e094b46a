//! Bugs of asyncio's transports and of others like it in how they read and end, each with a test that is named after it.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::mpsc::channel;
use std::sync::Mutex;
use std::time::Duration;

use common::reactor::{lost, pattern, serving, until_lost, Probe, ReactorKind, Told};
use common::{eventually, failures, read_byte, receive, Reach, LONG};
use socketserver::reactor::WriteStatus;
use socketserver::{Protocol, Transport};

every_reactor! {
    cpython_104344_closing_the_listener_closes_no_client
    cpython_113538_clients_can_be_closed_or_cut
    cpython_155928_a_protocol_that_cannot_be_made_hangs_no_stop
    cpython_155934_a_connection_made_that_fails_leaks_nothing
    cpython_76002_pause_reading_counts_in_connection_made
    cpython_73931_pausing_twice_takes_one_resume
    cpython_89322_nothing_comes_after_a_pause
    cpython_75044_data_before_a_reset_is_delivered_although_a_write_failed
    aiohttp_3659_half_closed_connections_do_not_pile_up
    hypercorn_87_a_half_closed_connection_that_is_kept_open_times_out
}

/// `shutting_down` overridden: the clients are served on while the listener is closed.
fn cpython_104344_closing_the_listener_closes_no_client<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| {
        if let Told::Data(data) = told {
            transport.write(data);
        }
    });
    let served = K::serve(probe.overriding(|told| *told == Told::ShuttingDown));
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(read_byte(&mut client), Some(b'x'));
    served.handle.shutdown();
    let place = served.place.clone();
    // Each look may become a client that is let in, and goes.
    eventually("the listener is closed", || place.is_closed());
    client.write_all(b"y").unwrap();
    assert_eq!(read_byte(&mut client), Some(b'y'));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_byte(&mut client), None);
    assert!(served.join().unwrap().is_clean());
    assert!(told.try_iter().any(|told| told == Told::ShuttingDown));
}

fn cpython_113538_clients_can_be_closed_or_cut<K: ReactorKind>() {
    for cut in [false, true] {
        let (probe, told) = Probe::new(|_, _| {});
        let served = K::serve(if cut { probe.overriding(|told| *told == Told::ShuttingDown) } else { probe });
        let mut client = served.connect();
        assert_eq!(receive(&told), Told::Made);
        if cut {
            served.handle.shutdown_within(Duration::ZERO);
        } else {
            served.handle.shutdown();
        }
        let report = served.join().unwrap();
        assert_eq!((report.drained, report.abandoned), if cut { (0, 1) } else { (1, 0) });
        assert_eq!(lost(&told).map(|(kind, _)| kind), cut.then_some(io::ErrorKind::ConnectionAborted));
        // What was cut must not look whole: over TCP it ends in a reset.
        let ended = io::Read::read(&mut client, &mut [0]);
        assert!(matches!(ended, Ok(0)) || cut && ended.is_err(), "{ended:?}");
    }
}

struct Unclonable;

impl Clone for Unclonable {
    fn clone(&self) -> Self {
        panic!("there is only one")
    }
}

impl Protocol for Unclonable {
    fn data_received(&mut self, _: &mut Transport, _: &[u8]) {}
}

fn cpython_155928_a_protocol_that_cannot_be_made_hangs_no_stop<K: ReactorKind>() {
    let (handle_error, told) = failures();
    let served = serving(K::bind(K::builder().handle_error(handle_error), Unclonable));
    for _ in 0..10 {
        let mut client = served.connect();
        assert_eq!(read_byte(&mut client), None);
        assert!(receive(&told).contains("panicked: there is only one"));
    }
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.panics), (10, 10));
    assert!(served.stop().is_clean());
}

fn cpython_155934_a_connection_made_that_fails_leaks_nothing<K: ReactorKind>() {
    let (handle_error, failures) = failures();
    let (probe, told) = Probe::new(|told, _| assert_ne!(*told, Told::Made, "not today"));
    let served = serving(K::bind(K::builder().handle_error(handle_error).max_connections(1), probe));
    for _ in 0..10 {
        let mut client = served.connect();
        assert_eq!(read_byte(&mut client), None);
        let failure = receive(&failures);
        assert!(failure.starts_with("connection_made of ") && failure.contains("not today"), "{failure}");
        let seen = until_lost(&told);
        assert!(matches!(&seen[..], [Told::Made, Told::Lost(Some(_))]), "{seen:?}");
    }
    served.idle();
    assert!(served.stop().is_clean());
    assert_eq!(failures.try_iter().count(), 0);
}

/// Resumed by the timeout, which runs on while reading is paused.
fn paused_by<K: ReactorKind>(pause: fn(&Told, &mut Transport)) -> Vec<Told> {
    let (sent, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (probe, told) = Probe::new(move |told, transport| {
        pause(told, transport);
        match told {
            Told::Made => {
                receive(&wait.lock().unwrap());
                transport.set_timeout(Duration::from_millis(20)).unwrap();
            }
            Told::TimedOut => {
                transport.resume_reading();
                transport.set_timeout(LONG).unwrap();
            }
            _ => {}
        }
    });
    let served = K::serve(probe.overriding(|told| *told == Told::TimedOut));
    let mut client = served.connect();
    // More than one read takes.
    client.write_all(&pattern(100_000)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    sent.send(()).unwrap();
    let seen = until_lost(&told);
    served.stop();
    let data: Vec<u8> =
        seen.iter().flat_map(|told| if let Told::Data(data) = told { data.clone() } else { vec![] }).collect();
    assert!(data == pattern(100_000));
    seen
}

fn cpython_76002_pause_reading_counts_in_connection_made<K: ReactorKind>() {
    let seen = paused_by::<K>(|told, transport| {
        if *told == Told::Made {
            transport.pause_reading();
        }
    });
    assert_eq!(seen[..2], [Told::Made, Told::TimedOut]);
}

fn cpython_73931_pausing_twice_takes_one_resume<K: ReactorKind>() {
    let seen = paused_by::<K>(|told, transport| {
        if *told == Told::Made {
            transport.pause_reading();
            transport.pause_reading();
        }
    });
    assert_eq!(seen.len(), 5);
}

fn cpython_89322_nothing_comes_after_a_pause<K: ReactorKind>() {
    let seen = paused_by::<K>(|told, transport| {
        if told.is_data() {
            transport.set_timeout(Duration::from_millis(20)).unwrap();
            transport.pause_reading();
        }
    });
    // One read, and the pause between it and the next.
    let mut after_data = seen.iter().skip_while(|told| !told.is_data());
    assert!(after_data.next().is_some_and(Told::is_data));
    assert_eq!(after_data.next(), Some(&Told::TimedOut), "{}", seen.len());
}

fn cpython_75044_data_before_a_reset_is_delivered_although_a_write_failed<K: ReactorKind>() {
    let (sent, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (handle_error, failures) = failures();
    let (probe, told) = Probe::new(move |told, transport| {
        if *told == Told::Made {
            receive(&wait.lock().unwrap());
            // The first may be taken, for a peer that is not there any more.
            while transport.write(b"hello") != WriteStatus::Closed {}
            assert!(transport.is_closing());
        }
    });
    let served = serving(K::bind(K::builder().handle_error(handle_error), probe));
    for _ in 0..10 {
        let mut client = served.connect();
        client.write_all(&pattern(100_000)).unwrap();
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        sent.send(()).unwrap();
        let seen = until_lost(&told);
        assert_eq!(seen.len(), 3, "no end of the stream: it was a reset");
        assert!(seen[1] == Told::Data(pattern(100_000)));
        assert!(matches!(seen[2], Told::Lost(Some(_))));
        receive(&failures);
    }
    served.stop();
    assert_eq!(failures.try_iter().count(), 0);
}

fn aiohttp_3659_half_closed_connections_do_not_pile_up<K: ReactorKind>() {
    let (served, _told) = K::probe(|_, _| {});
    let mut clients: Vec<_> = (0..50).map(|_| served.connect()).collect();
    for client in &mut clients {
        client.shutdown(Shutdown::Write).unwrap();
    }
    eventually("all were accepted", || served.handle.stats().accepted == 50);
    // Although the clients keep their side.
    served.idle();
    for client in &mut clients {
        assert_eq!(read_byte(client), None);
    }
    served.stop();
}

fn hypercorn_87_a_half_closed_connection_that_is_kept_open_times_out<K: ReactorKind>() {
    let (probe, told) = Probe::new(|_, _| {});
    let probe = probe.overriding(|told| *told == Told::Eof);
    let served = serving(K::bind(K::builder().read_timeout(Duration::from_millis(20)).handle_error(|_| {}), probe));
    let client = served.connect();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(lost(&told).map(|(kind, _)| kind), Some(io::ErrorKind::TimedOut));
    served.idle();
    served.stop();
}
