//! What a datagram server takes, keeps and drops: places, the queue, lengths, the answers' bytes.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io;
#[cfg(target_os = "linux")]
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::datagrams::{Client, DatagramKind, Spot};
use common::{echo, eventually, held, receive, BuilderOf, ComposedKind, Kind, Served, Serves, LONG};
#[cfg(target_os = "linux")]
use socket2::{Domain, Socket, Type};
use socketserver::server::Threading;
use socketserver::{handler_fn, Datagram, Error, Handled, Handler, Overload, ThreadingUdpServer, UdpServer};

every_datagram_kind! {
    exactly_the_most_is_delivered_and_more_is_dropped_and_counted
    a_dropped_datagram_is_not_answered_nor_served_cut
    truncated_datagrams_are_delivered_if_asked_for
    a_limit_of_zero_lets_empty_datagrams_in
    a_flood_of_too_long_datagrams_does_not_hold_up_a_stop
    answers_are_limited_if_asked_for
    an_answer_limit_counts_all_answers_together
    a_setting_that_cannot_be_is_named
}

threading_datagram_kinds! {
    the_ceiling_is_exact
    whoever_waits_in_the_queue_is_served_when_a_place_is_free
    a_burst_at_the_ceiling_is_served_to_the_last
    more_than_the_queue_holds_is_dropped_and_counted
    without_a_queue_they_wait_in_the_system
    a_rejected_client_is_told
    a_rejected_client_is_told_when_the_queue_is_full
    whoever_waits_beside_rejected_ones_is_served
    the_queue_at_a_stop_is_counted
    the_queue_at_a_stop_fills_free_places_first
    handle_request_at_the_ceiling_leaves_datagrams_where_they_are
}

fn exactly_the_most_is_delivered_and_more_is_dropped_and_counted<K: DatagramKind>() {
    for limit in [1, 512, 8192] {
        let served = K::serve_as(K::builder().max_packet_size(limit), echo());
        let client = served.place.client();
        for (length, fits) in
            [(limit - 1, true), (limit, true), (limit + 1, false), (limit + 2, false), (3 * limit, false)]
        {
            let before = served.handle.stats();
            let data = vec![7; length];
            if fits {
                assert_eq!(client.ask(&data), data);
            } else {
                client.send(&data);
                eventually("it is dropped", || served.handle.stats().dropped == before.dropped + 1);
                assert_eq!(served.handle.stats().accepted, before.accepted);
            }
        }
        client.hears_nothing();
        served.idle();
        let stats = served.handle.stats();
        assert_eq!((stats.accepted, stats.dropped, stats.handler_errors, stats.rejected), (2, 3, 0, 0));
        served.stop();
    }
}

/// U6.
fn a_dropped_datagram_is_not_answered_nor_served_cut<K: DatagramKind>() {
    let (sender, seen) = channel();
    let handler = handler_fn(move |request: &mut Datagram| {
        sender.send((request.data().to_vec(), request.is_truncated()))?;
        Ok(request.reply(b"ok")?)
    });
    let served = K::serve_as(K::builder().max_packet_size(10), handler);
    let client = served.place.client();
    for round in 0..100 {
        // Some of those that are long are long by one byte.
        let long = vec![1; 11 + round % 3 * 100];
        client.send(&long);
        assert_eq!(client.ask(&[2; 10]), b"ok");
        assert_eq!(receive(&seen), (vec![2; 10], false));
    }
    assert_eq!(seen.try_iter().count(), 0);
    assert_eq!(served.handle.stats().dropped, 100);
    served.stop();
}

fn truncated_datagrams_are_delivered_if_asked_for<K: DatagramKind>() {
    let handler = handler_fn(|request: &mut Datagram| {
        Ok(request.reply(format!("{} {}", request.data().len(), request.is_truncated()).as_bytes())?)
    });
    let served = K::serve_as(K::builder().max_packet_size(100).deliver_truncated(true), handler);
    let client = served.place.client();
    for (length, expected) in
        [(99, "99 false"), (100, "100 false"), (101, "100 true"), (5000, "100 true"), (0, "0 false")]
    {
        assert_eq!(client.ask(&vec![1; length]), expected.as_bytes());
    }
    assert_eq!(served.handle.stats().dropped, 0);
    served.stop();
}

fn a_limit_of_zero_lets_empty_datagrams_in<K: DatagramKind>() {
    let served = K::serve_as(K::builder().max_packet_size(0), echo());
    let client = served.place.client();
    client.send(b"x");
    assert_eq!(client.ask(b""), b"");
    assert_eq!(served.handle.stats().dropped, 1);
    served.stop();
}

/// Of whom none makes a request, so that the loop that receives has to look for a stop by itself.
fn a_flood_of_too_long_datagrams_does_not_hold_up_a_stop<K: DatagramKind>() {
    let served = K::serve_as(K::builder().max_packet_size(1), echo());
    let over = Arc::new(AtomicBool::new(false));
    // More than can be received.
    let floods: Vec<_> = (0..4)
        .map(|_| {
            let (client, told) = (served.place.client(), Arc::clone(&over));
            client.0.set_write_timeout(Some(Duration::from_millis(10))).unwrap();
            // When the server has gone, sending fails, or nobody takes it.
            std::thread::spawn(move || {
                while !told.load(Ordering::Relaxed) {
                    let _ = client.0.send(b"too long");
                }
            })
        })
        .collect();
    eventually("many are dropped", || served.handle.stats().dropped > 1000);
    assert!(served.stop().is_clean());
    over.store(true, Ordering::Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
}

/// What `reply` said to answers of these lengths, of which the datagram names the lengths.
fn answering<K: DatagramKind>(builder: BuilderOf<K>) -> (Served<Spot>, Receiver<Vec<Option<io::ErrorKind>>>) {
    let (sender, outcomes) = channel();
    let handler = handler_fn(move |request: &mut Datagram| {
        let lengths: Vec<usize> =
            std::str::from_utf8(request.data())?.split_whitespace().map(|length| length.parse().unwrap()).collect();
        let outcome = lengths.iter().map(|length| request.reply(&vec![b'a'; *length]).err().map(|error| error.kind()));
        Ok(sender.send(outcome.collect())?)
    });
    (K::serve_as(builder, handler), outcomes)
}

/// U10: at most so many bytes for each byte asked.
fn answers_are_limited_if_asked_for<K: DatagramKind>() {
    const REFUSED: Option<io::ErrorKind> = Some(io::ErrorKind::PermissionDenied);
    let (served, outcomes) = answering::<K>(K::builder().answer_limit(3));
    let client = served.place.client();
    for (request, expected) in
        [("3", None), ("4", REFUSED), ("06", None), ("07", REFUSED), ("000018", None), ("000019", REFUSED), ("0", None)]
    {
        client.send(request.as_bytes());
        assert_eq!(receive(&outcomes), [expected], "{request}");
        served.idle();
        if expected.is_none() {
            assert_eq!(client.receive().len(), request.parse::<usize>().unwrap());
        }
        client.hears_nothing();
    }
    // Nothing for nothing: an empty request can be answered by empty answers alone.
    let served_empty = K::serve_as(
        K::builder().answer_limit(3),
        handler_fn(|request: &mut Datagram| {
            request.reply(b"")?;
            Ok(request.reply(b"x")?)
        }),
    );
    let client = served_empty.place.client();
    assert_eq!(client.ask(b""), b"");
    served_empty.expect_accepted(1);
    client.hears_nothing();
    assert_eq!(served_empty.handle.stats().handler_errors, 1);
    served_empty.stop();
    served.stop();
}

fn an_answer_limit_counts_all_answers_together<K: DatagramKind>() {
    const REFUSED: Option<io::ErrorKind> = Some(io::ErrorKind::PermissionDenied);
    let (served, outcomes) = answering::<K>(K::builder().answer_limit(2));
    let client = served.place.client();
    // Ten bytes, so twenty in all. What is refused does not count.
    client.send(b"9 9 3 2 1 ");
    assert_eq!(receive(&outcomes), [None, None, REFUSED, None, REFUSED]);
    served.idle();
    assert_eq!([client.receive().len(), client.receive().len(), client.receive().len()], [9, 9, 2]);
    client.hears_nothing();
    // Each request has a limit of its own.
    client.send(b"20        ");
    assert_eq!(receive(&outcomes), [None]);
    served.stop();
    // And none is the default.
    let (served, outcomes) = answering::<K>(K::builder());
    let client = served.place.client();
    client.send(b"60000");
    assert_eq!(receive(&outcomes), [None]);
    served.stop();
}

fn a_setting_that_cannot_be_is_named<K: DatagramKind>() {
    fn check<K: DatagramKind>(builder: BuilderOf<K>, expected: &'static str) {
        let error = K::try_bind(builder, echo()).map(drop).unwrap_err();
        assert!(matches!(&error, Error::InvalidSetting { setting, .. } if *setting == expected), "{error:?}");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    let most = if K::is_udp() { 65_535 } else { 16 * 1024 * 1024 };
    check::<K>(K::builder().max_packet_size(most + 1), "max_packet_size");
    let _server = K::bind(K::builder().max_packet_size(most), echo());
    check::<K>(K::builder().max_packet_size(usize::MAX), "max_packet_size");
    check::<K>(K::builder().max_connections(0), "max_connections");
    check::<K>(K::builder().max_per_address(0), "max_per_address");
    check::<K>(K::builder().overload(Overload::Reject(&[b'x'; 4097])), "overload");
    check::<K>(K::builder().service_actions(Duration::ZERO, |_| ()), "service_actions interval");
    let most = if K::is_threading() { 8000 } else { 1 };
    check::<K>(K::builder().max_connections(most + 1), "max_connections");
    let _server = K::bind(K::builder().max_packet_size(65_535).max_connections(most), echo());
}

/// Tells what it was sent, then waits to be released, one datagram at a time.
fn one_by_one() -> (impl Handler<Datagram> + Clone, Receiver<Vec<u8>>, Sender<()>) {
    let (sender, seen) = channel();
    let (release, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let handler = handler_fn(move |request: &mut Datagram| {
        sender.send(request.data().to_vec())?;
        let _ = held.lock().unwrap().recv_timeout(LONG);
        Ok(request.reply(request.data())?)
    });
    (handler, seen, release)
}

fn the_ceiling_is_exact<K: DatagramKind>() {
    const LIMIT: u64 = 3;
    let (handler, seen, release) = one_by_one();
    let served = K::serve_as(K::builder().max_connections(LIMIT as usize), handler);
    let clients: Vec<Client> = (0..10).map(|_| served.place.client()).collect();
    clients.iter().for_each(|client| client.send(b"x"));
    for number in 0..10 {
        receive(&seen);
        if number >= LIMIT - 1 {
            // Nobody else begins before one of them ends.
            assert_eq!(served.handle.stats().active, LIMIT);
            assert_eq!(seen.try_iter().count(), 0);
            release.send(()).unwrap();
        }
    }
    drop(release);
    for client in clients {
        assert_eq!(client.receive(), b"x");
    }
    served.expect_accepted(10);
    assert_eq!(served.handle.stats().dropped, 0);
    served.stop();
}

fn whoever_waits_in_the_queue_is_served_when_a_place_is_free<K: DatagramKind>() {
    let (handler, release) = held();
    let served = K::serve_as(K::builder().max_connections(1), handler);
    let (first, second) = (served.place.client(), served.place.client());
    first.begin();
    second.send(b"x");
    assert_eq!(served.handle.stats().active, 1);
    second.hears_nothing();
    drop(release);
    assert_eq!(second.receive(), b"+");
    served.stop();
}

/// Those that find no place while the first of them is handed over are not forgotten when nothing more comes.
fn a_burst_at_the_ceiling_is_served_to_the_last<K: DatagramKind>() {
    for places in [1, 3] {
        for _ in 0..20 {
            let (server, spot) = K::bind(K::builder().max_connections(places), echo());
            let client = spot.client();
            (0..8u8).for_each(|number| client.send(&[number]));
            let served = Served::new((server, spot));
            let mut answers: Vec<u8> = (0..8).map(|_| client.receive()[0]).collect();
            if places > 1 {
                answers.sort_unstable();
            }
            assert_eq!(answers, [0, 1, 2, 3, 4, 5, 6, 7], "first come, first served");
            assert_eq!(served.handle.stats().dropped, 0);
            served.stop();
        }
    }
}

fn more_than_the_queue_holds_is_dropped_and_counted<K: DatagramKind<Dispatch = Threading>>() {
    let (handler, seen, release) = one_by_one();
    let served = K::serve_as(K::builder().max_connections(2).queue(3), handler);
    let client = served.place.client();
    (0..2u8).for_each(|number| {
        client.send(&[number]);
        assert_eq!(receive(&seen), [number]);
    });
    for number in 2..10u8 {
        client.send(&[number]);
        // The system's own queue may be shorter than what is sent here.
        let dropped = u64::from(number).saturating_sub(4);
        eventually("it is taken in", || served.handle.stats().dropped >= dropped);
        assert_eq!(served.handle.stats().dropped, dropped);
    }
    drop(release);
    let mut answers: Vec<u8> = (0..5).map(|_| client.receive()[0]).collect();
    answers.sort_unstable();
    assert_eq!(answers, [0, 1, 2, 3, 4], "the first come first served");
    served.expect_accepted(5);
    client.hears_nothing();
    let stats = served.handle.stats();
    assert_eq!((stats.dropped, stats.rejected, stats.handler_errors), (5, 0, 0));
    served.stop();
}

fn without_a_queue_they_wait_in_the_system<K: DatagramKind<Dispatch = Threading>>() {
    let (handler, seen, release) = one_by_one();
    let served = K::serve_as(K::builder().max_connections(1).queue(0), handler);
    let client = served.place.client();
    client.send(&[0]);
    receive(&seen);
    (1..8u8).for_each(|number| client.send(&[number]));
    for number in 0..8u8 {
        release.send(()).unwrap();
        assert_eq!(client.receive(), [number]);
    }
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.dropped), (8, 0));
    served.stop();
}

/// Shorter than what it answers, or it is not said.
const FAREWELL: &[u8] = b"busy";

fn a_rejected_client_is_told<K: DatagramKind<Dispatch = Threading>>() {
    let (handler, release) = held();
    let builder = K::builder().max_connections(1).queue(0).overload(Overload::Reject(FAREWELL));
    let served = K::serve_as(builder, handler);
    let first = served.place.client();
    first.begin();
    let other = served.place.client();
    for _ in 0..100 {
        assert_eq!(other.ask(b"hello"), FAREWELL);
    }
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.active, stats.rejected, stats.dropped), (1, 1, 100, 0));
    drop(release);
    served.idle();
    // There is a place again.
    other.begin();
    first.hears_nothing();
    assert!(served.stop().is_clean());
}

fn a_rejected_client_is_told_when_the_queue_is_full<K: DatagramKind<Dispatch = Threading>>() {
    let (handler, release) = held();
    let builder = K::builder().max_connections(1).queue(2).overload(Overload::Reject(FAREWELL));
    let served = K::serve_as(builder, handler);
    served.place.client().begin();
    let waiting = [served.place.client(), served.place.client()];
    waiting.iter().for_each(|client| client.send(b"hello"));
    let other = served.place.client();
    assert_eq!(other.ask(b"hello"), FAREWELL);
    waiting.iter().for_each(Client::hears_nothing);
    drop(release);
    waiting.iter().for_each(|client| assert_eq!(client.receive(), b"+"));
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.rejected, stats.dropped), (3, 1, 0));
    served.stop();
}

/// Also where nothing comes after them.
fn whoever_waits_beside_rejected_ones_is_served<K: DatagramKind<Dispatch = Threading>>() {
    let (handler, release) = held();
    let served = K::serve_as(K::builder().max_connections(1).queue(1).overload(Overload::Reject(FAREWELL)), handler);
    let (first, second) = (served.place.client(), served.place.client());
    first.begin();
    second.send(b"hello");
    drop(release);
    assert_eq!(second.receive(), b"+");
    served.stop();
}

fn the_queue_at_a_stop_is_counted<K: DatagramKind<Dispatch = Threading>>() {
    let (handler, release) = held();
    let served = K::serve_as(K::builder().max_connections(1).queue(4), handler);
    let client = served.place.client();
    client.begin();
    // Two more than the queue holds, which shows that those before have been taken in.
    (0..6).for_each(|_| client.send(b"x"));
    eventually("they have been taken in", || served.handle.stats().dropped == 2);
    let handle = served.handle.clone();
    served.handle.shutdown();
    eventually("those that wait are counted", || handle.stats().dropped == 6);
    drop(release);
    let report = served.join().unwrap();
    assert_eq!((report.drained, report.abandoned, report.still_running), (1, 0, 0));
    assert_eq!((handle.stats().accepted, handle.stats().dropped), (1, 6));
    client.hears_nothing();
}

/// As clients in the kernel's queue do.
fn the_queue_at_a_stop_fills_free_places_first<K: DatagramKind>() {
    let (server, spot) = K::bind(K::builder().max_connections(1), echo());
    let client = spot.client();
    client.send(b"x");
    let handle = server.handle();
    let served = Served::new((server, spot));
    assert_eq!(client.receive(), b"x");
    handle.shutdown();
    served.join().unwrap();
    assert_eq!(handle.stats().dropped, 0);
}

/// It serves one request a call, and what it does not serve is still there for the next.
fn handle_request_at_the_ceiling_leaves_datagrams_where_they_are<K: DatagramKind + ComposedKind>() {
    let (handler, seen, release) = one_by_one();
    let (mut server, spot) = K::bind(K::builder().max_connections(1).timeout(Duration::from_millis(20)), handler);
    let client = spot.client();
    (0..3u8).for_each(|number| client.send(&[number]));
    assert!(matches!(server.handle_request().unwrap(), Handled::Served));
    assert_eq!(receive(&seen), [0]);
    let second = server.handle_request().unwrap();
    assert!(matches!(second, Handled::TimedOut), "{second:?}");
    drop(release);
    for number in 1..3u8 {
        eventually("the next is served", || matches!(server.handle_request().unwrap(), Handled::Served));
        assert_eq!(receive(&seen), [number]);
        assert_eq!(client.receive(), [number - 1]);
    }
    assert_eq!(client.receive(), [2]);
    assert_eq!(server.handle().stats().dropped, 0);
}

/// A client that sends from an address of its own.
#[cfg(target_os = "linux")] // where all of 127/8 is this machine's
fn from(source: [u8; 4], spot: &Spot) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    spot.connect(socket)
}

#[test]
#[cfg(target_os = "linux")]
fn one_address_cannot_take_all_places() {
    fn check<K: DatagramKind>() {
        let (handler, release) = held();
        let served = K::serve_as(K::builder().max_per_address(2).overload(Overload::Reject(FAREWELL)), handler);
        let (greedy, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
        let taken = [from(greedy, &served.place), from(greedy, &served.place)];
        taken.iter().for_each(Client::begin);
        assert_eq!(from(greedy, &served.place).ask(b"hello"), FAREWELL);
        from(other, &served.place).begin();
        let stats = served.handle.stats();
        assert_eq!((stats.accepted, stats.rejected, stats.dropped), (4, 1, 0));
        drop(release);
        served.idle();
        from(greedy, &served.place).begin();
        served.stop();
    }
    common::run(check::<ThreadingUdpServer>);
}

/// Without a farewell they are turned away in silence.
#[test]
#[cfg(target_os = "linux")]
fn who_is_over_the_limit_per_address_hears_nothing_without_a_farewell() {
    let _watchdog = common::watchdog();
    let (handler, release) = held();
    let served = ThreadingUdpServer::serve_as(ThreadingUdpServer::builder().max_per_address(1), handler);
    served.place.client().begin();
    let second = served.place.client();
    second.send(b"x");
    eventually("it is turned away", || served.handle.stats().rejected == 1 && served.handle.stats().active == 1);
    second.hears_nothing();
    drop(release);
    served.stop();
}

/// On a sequential server nobody is there to tell them.
#[test]
fn a_sequential_server_rejects_nobody() {
    let _watchdog = common::watchdog();
    let (server, spot) = <UdpServer as Kind>::bind(UdpServer::builder().overload(Overload::Reject(FAREWELL)), echo());
    let client = spot.client();
    (0..8u8).for_each(|number| client.send(&[number]));
    let served = Served::new((server, spot));
    (0..8u8).for_each(|number| assert_eq!(client.receive(), [number]));
    assert_eq!(served.handle.stats().rejected, 0);
    served.stop();
}
