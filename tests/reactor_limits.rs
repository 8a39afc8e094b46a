//! The ceiling, what happens at it, and the limit per address, of the event-driven servers.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use common::reactor::{lost, serving, Probe, ReactorKind, Told};
use common::{eventually, read_all, read_byte, Served};
use socket2::Socket;
use socketserver::{Overload, Transport};

every_reactor! {
    the_ceiling_is_exact
    whoever_waits_is_served_when_a_place_is_free
    a_rejected_client_is_told
    a_rejected_client_that_has_sent_is_told_without_a_reset
    a_place_is_given_back_after_a_panic_a_failure_and_a_reset
}

/// Says `+` when it is served, and `-` to what it is sent.
fn greeting(told: &Told, transport: &mut Transport) {
    match told {
        Told::Made => {
            transport.write(b"+");
        }
        Told::Data(_) => {
            transport.write(b"-");
            transport.close();
        }
        _ => {}
    }
}

fn the_ceiling_is_exact<K: ReactorKind>() {
    const LIMIT: usize = 3;
    let active = Arc::new(AtomicUsize::new(0));
    let peak = Arc::new(AtomicUsize::new(0));
    let by_script = (Arc::clone(&active), Arc::clone(&peak));
    let (probe, _told) = Probe::new(move |told, transport| {
        let (active, peak) = &by_script;
        match told {
            Told::Made => {
                peak.fetch_max(active.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
            Told::Lost(_) => {
                active.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        greeting(told, transport);
    });
    let served = serving(K::bind(K::builder().max_connections(LIMIT), probe));
    let clients: Vec<Socket> = (0..10).map(|_| served.connect()).collect();
    // No place is given back before the clients go on.
    eventually("all places are taken", || active.load(Ordering::SeqCst) == LIMIT);
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                assert_eq!(read_byte(&mut client), Some(b'+'));
                client.write_all(b"x").unwrap();
                assert_eq!(read_all(&mut client), b"-");
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(peak.load(Ordering::SeqCst), LIMIT);
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.rejected), (10, 0));
    served.stop();
}

fn whoever_waits_is_served_when_a_place_is_free<K: ReactorKind>() {
    let (probe, _told) = Probe::new(greeting);
    let served = serving(K::bind(K::builder().max_connections(1), probe));
    let mut first = served.connect();
    assert_eq!(read_byte(&mut first), Some(b'+'));
    for _ in 0..20 {
        let mut second = served.connect();
        second.set_nonblocking(true).unwrap();
        assert_eq!(second.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        second.set_nonblocking(false).unwrap();
        drop(first);
        assert_eq!(read_byte(&mut second), Some(b'+'));
        first = second;
    }
    drop(first);
    served.stop();
}

const FAREWELL: &[u8] = b"busy, come again\r\n";

/// A server of one place, which is taken.
fn full<K: ReactorKind>() -> (Served, Socket) {
    let (probe, _told) = Probe::new(greeting);
    let builder = K::builder().max_connections(1).overload(Overload::Reject(FAREWELL));
    let served = serving(K::bind(builder, probe));
    let mut first = served.connect();
    assert_eq!(read_byte(&mut first), Some(b'+'));
    (served, first)
}

fn a_rejected_client_is_told<K: ReactorKind>() {
    let (served, mut first) = full::<K>();
    for _ in 0..3 {
        assert_eq!(served.exchange(b""), FAREWELL);
    }
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.active, stats.rejected), (1, 1, 3));
    first.write_all(b"x").unwrap();
    assert_eq!(read_all(&mut first), b"-");
    drop(first);
    served.idle();
    // There is a place again.
    assert_eq!(served.exchange(b"x"), b"+-");
    served.stop();
}

fn a_rejected_client_that_has_sent_is_told_without_a_reset<K: ReactorKind>() {
    let (served, first) = full::<K>();
    for _ in 0..20 {
        assert_eq!(common::within_patience(|| served.place.try_exchange(&[0; 100_000])), FAREWELL);
    }
    drop(first);
    served.stop();
}

fn a_place_is_given_back_after_a_panic_a_failure_and_a_reset<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| match told {
        Told::Made => {
            transport.write(b"+");
        }
        Told::Data(data) => match data[0] {
            b'p' => panic!("so it goes"),
            b'f' => transport.fail("so it goes"),
            b'a' => transport.abort(),
            _ => {}
        },
        _ => {}
    });
    let served = serving(K::bind(K::builder().max_connections(1).handle_error(|_| {}), probe));
    for round in 0..12 {
        let mut client = served.connect();
        assert_eq!(read_byte(&mut client), Some(b'+'));
        match round % 4 {
            0 => client.write_all(b"p").unwrap(),
            1 => client.write_all(b"f").unwrap(),
            2 => client.write_all(b"a").unwrap(),
            _ => client.set_linger(Some(Duration::ZERO)).unwrap(),
        }
        if round % 4 < 3 {
            assert_eq!(read_byte(&mut client), None);
        }
        drop(client);
        lost(&told);
    }
    served.idle();
    assert_eq!(served.handle.stats().panics, 3);
    assert!(served.stop().is_clean());
}

#[test]
#[cfg(target_os = "linux")]
fn a_limit_per_address_is_exact() {
    use common::reactor::ReactorTcp;
    use common::{run, Place};
    use std::net::Shutdown;

    run(|| {
        let (probe, _told) = Probe::new(greeting);
        let builder = ReactorTcp::builder().max_per_address(2).overload(Overload::Reject(b"too many\n"));
        let served = serving(ReactorTcp::bind(builder, probe));
        let from = |last: u8| {
            let client = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            client.bind(&std::net::SocketAddr::from(([127, 0, 0, last], 0)).into()).unwrap();
            let Place::Tcp(address) = served.place else { panic!() };
            client.connect(&address.into()).unwrap();
            client.set_read_timeout(Some(common::LONG)).unwrap();
            client
        };
        let mut first: Vec<Socket> = (0..2).map(|_| from(2)).collect();
        for client in &mut first {
            assert_eq!(read_byte(client), Some(b'+'));
        }
        for _ in 0..3 {
            let mut client = from(2);
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_all(&mut client), b"too many\n");
        }
        // Others are not concerned.
        assert_eq!(read_byte(&mut from(3)), Some(b'+'));
        first.pop();
        eventually("there is a place again", || read_byte(&mut from(2)) == Some(b'+'));
        drop(first);
        served.idle();
        assert!(served.handle.stats().rejected >= 3);
        served.stop();
    });
}
