//! The ceiling, what happens at it, and the limit per address.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    echo, eventually, failures, held, read_all, read_byte, receive, run, within_patience, Kind, Place, Reach, Served,
    StreamKind, LONG,
};
use socket2::{Domain, Socket, Type};
use socketserver::{handler_fn, Connection, Overload};

threading_stream_kinds! {
    the_ceiling_is_exact
    whoever_waits_is_served_when_a_place_is_free
    a_rejected_client_is_told
    a_rejected_client_that_has_sent_is_told_without_a_reset
    a_rejected_client_that_never_reads_holds_up_nobody
    many_rejected_clients_are_all_closed
    a_place_is_given_back_after_an_error_and_a_panic
    a_stop_with_clients_at_the_ceiling_leaves_nobody_hanging
}

every_stream_kind! {
    an_empty_farewell_is_a_close
    clients_in_the_queue_at_a_stop_learn_of_it
}

fn the_ceiling_is_exact<K: StreamKind>() {
    const LIMIT: usize = 3;
    let (sender, peaks) = channel();
    let active = Arc::new(AtomicUsize::new(0));
    let handler = handler_fn(move |request: &mut Connection| {
        let now = active.fetch_add(1, Ordering::SeqCst) + 1;
        sender.send(now)?;
        // Until the client has seen it served.
        request.write_all(b"+")?;
        request.read_exact(&mut [0])?;
        active.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    });
    let served = Served::new(K::bind(K::builder().max_connections(LIMIT), handler));
    let clients: Vec<Socket> = (0..10).map(|_| served.connect()).collect();
    // No place is given back before the clients go on.
    let first: Vec<usize> = (0..LIMIT).map(|_| receive(&peaks)).collect();
    assert_eq!(first.iter().max(), Some(&LIMIT));
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            std::thread::spawn(move || {
                assert_eq!(read_byte(&mut client), Some(b'+'));
                client.write_all(b"-").unwrap();
                assert_eq!(read_byte(&mut client), None);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(peaks.try_iter().filter(|&peak| peak > LIMIT).count(), 0);
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.rejected), (10, 0));
    served.stop();
}

fn whoever_waits_is_served_when_a_place_is_free<K: StreamKind>() {
    let served = Served::new(K::bind(
        K::builder().max_connections(1),
        handler_fn(|request: &mut Connection| {
            request.write_all(b"+")?;
            let _ = request.read(&mut [0])?;
            Ok(())
        }),
    ));
    let mut first = served.connect();
    assert_eq!(read_byte(&mut first), Some(b'+'));
    let mut second = served.connect();
    second.set_nonblocking(true).unwrap();
    let nothing = second.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    second.set_nonblocking(false).unwrap();
    assert_eq!(served.handle.stats().active, 1);
    drop(first);
    assert_eq!(read_byte(&mut second), Some(b'+'));
    drop(second);
    served.stop();
}

const FAREWELL: &[u8] = b"busy, come again\r\n";

/// A server of one place, which is taken.
fn full<K: StreamKind>() -> (Served, Socket, std::sync::mpsc::Sender<()>) {
    let (handler, release) = held();
    let builder = K::builder().max_connections(1).overload(Overload::Reject(FAREWELL));
    let served = Served::new(K::bind(builder, handler));
    let first = served.place.begin();
    (served, first, release)
}

fn a_rejected_client_is_told<K: StreamKind>() {
    let (served, mut first, release) = full::<K>();
    for _ in 0..3 {
        assert_eq!(served.exchange(b""), FAREWELL);
    }
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.active, stats.rejected), (1, 1, 3));
    drop(release);
    assert_eq!(read_byte(&mut first), None);
    served.idle();
    // There is a place again.
    let mut next = served.place.begin();
    assert_eq!(read_byte(&mut next), None);
    assert!(served.stop().is_clean());
}

/// Closing with unread bytes makes the kernel send a reset, which destroys the farewell.
fn a_rejected_client_that_has_sent_is_told_without_a_reset<K: StreamKind>() {
    let (served, _first, release) = full::<K>();
    for _ in 0..5 {
        assert_eq!(within_patience(|| served.place.try_exchange(&[b'x'; 100_000])), FAREWELL);
    }
    drop(release);
    served.stop();
}

/// Nor one that never stops sending: the farewell is bounded in time.
fn a_rejected_client_that_never_reads_holds_up_nobody<K: StreamKind>() {
    let (served, mut first, release) = full::<K>();
    let sending: Vec<_> = (0..3)
        .map(|_| {
            let mut client = served.connect();
            std::thread::spawn(move || while client.write_all(&[b'x'; 4096]).is_ok() {})
        })
        .collect();
    assert_eq!(served.exchange(b""), FAREWELL);
    drop(release);
    assert_eq!(read_byte(&mut first), None);
    for client in sending {
        client.join().unwrap();
    }
    served.stop();
}

/// More at once than are taken leave of with patience.
fn many_rejected_clients_are_all_closed<K: StreamKind>() {
    let (served, _first, release) = full::<K>();
    let mut clients: Vec<Socket> = (0..150).map(|_| served.connect()).collect();
    for client in &mut clients {
        assert_eq!(read_all(client), FAREWELL);
    }
    assert_eq!(served.handle.stats().rejected, 150);
    drop(clients);
    drop(release);
    served.stop();
}

fn a_place_is_given_back_after_an_error_and_a_panic<K: StreamKind>() {
    let (handle_error, told) = failures();
    let count = Arc::new(AtomicUsize::new(0));
    let handler = handler_fn(move |_: &mut Connection| match count.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Err("so it goes".into()),
        _ => panic!("so it goes"),
    });
    let builder = K::builder().max_connections(1).handle_error(handle_error);
    let served = Served::new(K::bind(builder, handler));
    for _ in 0..6 {
        assert_eq!(served.exchange(b""), b"");
        receive(&told);
    }
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.handler_errors, stats.panics, stats.active), (3, 3, 0));
    served.stop();
}

fn a_stop_with_clients_at_the_ceiling_leaves_nobody_hanging<K: StreamKind>() {
    let (handler, release) = held();
    let served = Served::new(K::bind(K::builder().max_connections(1), handler));
    let mut first = served.place.begin();
    let mut waiting: Vec<Socket> = (0..3).map(|_| served.connect()).collect();
    served.handle.shutdown();
    drop(release);
    assert_eq!(read_byte(&mut first), None);
    // Those learn that nobody will serve them, at the latest when the listener closes.
    for client in &mut waiting {
        let _ = client.shutdown(Shutdown::Write);
        let end = io::copy(client, &mut io::sink());
        assert!(
            end.as_ref().map_or_else(|error| error.kind() == io::ErrorKind::ConnectionReset, |&n| n <= 1),
            "{end:?}"
        );
    }
    served.join().unwrap();
}

fn an_empty_farewell_is_a_close<K: StreamKind>() {
    let builder = K::builder().max_connections(1).overload(Overload::Reject(b""));
    let served = Served::new(K::bind(builder, echo()));
    assert_eq!(served.exchange(b"x"), b"x");
    served.stop();
}

fn clients_in_the_queue_at_a_stop_learn_of_it<K: StreamKind>() {
    let (server, place) = K::bind(K::builder(), echo());
    let mut clients: Vec<Socket> = (0..3).map(|_| place.connect()).collect();
    server.handle().shutdown();
    Served::new((server, place)).join().unwrap();
    for client in &mut clients {
        let end = client.read(&mut [0]);
        assert!(!matches!(end, Ok(1..)), "{end:?}");
    }
}

/// A client that calls from an address of its own.
fn from(source: [u8; 4], place: &Place) -> Socket {
    let Place::Tcp(server) = place else { panic!("{place:?} has no addresses to come from") };
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&(*server).into()).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

#[test]
#[cfg(target_os = "linux")] // where all of 127/8 is this machine's
fn one_address_cannot_take_all_places() {
    fn check<K: StreamKind>() {
        let handler = handler_fn(|request: &mut Connection| {
            request.write_all(b"+")?;
            let _ = request.read(&mut [0])?;
            Ok(())
        });
        let builder = K::builder().max_per_address(2).overload(Overload::Reject(FAREWELL));
        let served = Served::new(K::bind(builder, handler));
        let (greedy, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
        let mut taken: Vec<Socket> = (0..2).map(|_| from(greedy, &served.place)).collect();
        for client in &mut taken {
            assert_eq!(read_byte(client), Some(b'+'));
        }
        let mut third = from(greedy, &served.place);
        third.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut third), FAREWELL);
        assert_eq!(read_byte(&mut from(other, &served.place)), Some(b'+'));
        taken.pop();
        eventually("a place for that address", || {
            let mut client = from(greedy, &served.place);
            client.shutdown(Shutdown::Write).unwrap();
            read_all(&mut client) == b"+"
        });
        drop(taken);
        assert!(served.handle.stats().rejected >= 1);
        served.stop();
    }
    run(check::<socketserver::ThreadingTcpServer>);
}

/// Not verified goes before not counted: who is not welcome cannot use up an address's places.
#[test]
fn verify_request_runs_before_the_limit_per_address() {
    let _watchdog = common::watchdog();
    let seen = Arc::new(Mutex::new(0));
    let count = Arc::clone(&seen);
    let builder = socketserver::ThreadingTcpServer::builder().max_per_address(1).verify_request(move |_| {
        let mut count = count.lock().unwrap();
        *count += 1;
        *count > 3
    });
    let served = socketserver::ThreadingTcpServer::serve_as(builder, echo());
    for expected in [&b""[..], b"", b"", b"x"] {
        assert_eq!(served.exchange(b"x"), expected);
        served.idle();
    }
    assert_eq!(*seen.lock().unwrap(), 4);
    served.stop();
}

/// The first bytes of a request are not lost while it waits.
#[test]
fn what_was_sent_while_waiting_is_served() {
    let _watchdog = common::watchdog();
    let builder = socketserver::ThreadingTcpServer::builder().max_connections(2).drain_timeout(Duration::from_secs(60));
    let served = socketserver::ThreadingTcpServer::serve_as(builder, echo());
    let mut clients: Vec<Socket> = (0..20).map(|_| served.connect()).collect();
    for (client, number) in clients.iter_mut().zip(0u8..) {
        client.write_all(&[number]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    }
    for (client, number) in clients.iter_mut().zip(0u8..) {
        assert_eq!(read_all(client), [number]);
    }
    served.stop();
}
