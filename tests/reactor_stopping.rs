//! Stopping an event-driven server: `shutdown` and drop in every state, the drain and its deadline, and what `join` reports.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use common::reactor::{flood, held_up, lost, narrow, pattern, serving, until_lost, Echo, Probe, ReactorKind, Told};
use common::{eventually, failures, read_all, read_byte, receive, Reach, LONG};
use socketserver::{Error, Protocol, ShutdownReport, Transport};

const SHORT: Duration = Duration::from_millis(50);

every_reactor! {
    before_the_start
    right_after_the_start
    twice_and_from_eight_threads
    a_server_serves_once
    idle_connections_are_closed_at_once
    what_waits_to_be_sent_is_flushed
    what_has_come_is_delivered_first
    a_callback_can_stop_its_server
    shutting_down_can_be_overridden
    a_connection_that_stays_open_is_cut_at_the_deadline
    a_peer_that_does_not_read_is_cut_at_the_deadline
    a_zero_drain_timeout_cuts_at_once
    shutdown_within_shortens_a_drain_under_way
    a_callback_that_never_returns_holds_up_no_join
    clients_in_the_kernels_queue_are_served
    the_listener_is_closed_while_the_drain_goes_on
    a_panic_in_shutting_down_harms_nobody
}

fn before_the_start<K: ReactorKind>() {
    let (mut server, place) = K::bind(K::builder(), Echo);
    // In the kernel's queue.
    let mut client = place.connect();
    server.handle().shutdown();
    assert!(server.handle().is_shutting_down());
    assert!(server.serve_forever().unwrap().is_clean());
    assert!(place.is_closed());
    drop(server);
    // Served or refused, but not left waiting.
    let _ = io::Read::read(&mut client, &mut [0]);

    let (server, place) = K::bind(K::builder(), Echo);
    server.handle().shutdown_within(Duration::ZERO);
    assert!(server.spawn().unwrap().join().unwrap().is_clean());
    assert!(place.is_closed());
}

fn right_after_the_start<K: ReactorKind>() {
    let servers: Vec<_> = (0..20).map(|_| K::serve(Echo)).collect();
    for served in servers {
        assert!(served.stop().is_clean());
    }
}

fn twice_and_from_eight_threads<K: ReactorKind>() {
    let (served, told) = K::probe(|_, _| {});
    let _client = served.connect();
    assert_eq!(receive(&told), Told::Made);
    let together = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (handle, together) = (served.handle.clone(), Arc::clone(&together));
            std::thread::spawn(move || {
                together.wait();
                for _ in 0..50 {
                    handle.shutdown();
                    handle.shutdown_within(LONG);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let handle = served.handle.clone();
    let report = served.join().unwrap();
    assert_eq!((report.drained, report.abandoned), (1, 0));
    // After the end too.
    handle.shutdown();
    assert_eq!(until_lost(&told), [Told::ShuttingDown, Told::Lost(None)]);
    assert_eq!(told.try_iter().count(), 0);
}

fn a_server_serves_once<K: ReactorKind>() {
    let (mut server, _place) = K::bind(K::builder(), Echo);
    let address: socketserver::Address = server.local_addr().into();
    server.handle().shutdown();
    server.serve_forever().unwrap();
    let error = server.serve_forever().unwrap_err();
    assert!(matches!(&error, Error::Closed { address: at } if *at == address.to_string()), "{error:?}");
    assert!(matches!(server.spawn().unwrap_err(), Error::Closed { .. }));
}

fn idle_connections_are_closed_at_once<K: ReactorKind>() {
    let (served, told) = K::probe(|_, _| {});
    let mut clients: Vec<_> = (0..20).map(|_| served.connect()).collect();
    for _ in &clients {
        assert_eq!(receive(&told), Told::Made);
    }
    let started = Instant::now();
    let report = served.stop();
    // The clients keep their side open; and there is nothing that could be lost.
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    assert_eq!((report.drained, report.abandoned), (20, 0));
    for client in &mut clients {
        assert_eq!(read_byte(client), None);
    }
}

fn what_waits_to_be_sent_is_flushed<K: ReactorKind>() {
    const LENGTH: usize = 8 << 20;
    let (served, told) = K::probe(|told, transport| {
        if told.is_data() {
            transport.set_write_buffer_hard_limit(LENGTH).unwrap();
            transport.write(&pattern(LENGTH));
        }
    });
    let mut client = narrow(&served.place);
    client.write_all(b"x").unwrap();
    assert_eq!(receive(&told), Told::Made);
    assert!(receive(&told).is_data());
    served.handle.shutdown();
    eventually("the listener is closed", || served.place.is_closed());
    assert!(read_all(&mut client) == pattern(LENGTH));
    drop(client);
    assert!(served.join().unwrap().is_clean());
}

fn what_has_come_is_delivered_first<K: ReactorKind>() {
    let (probe, told, release) = held_up(|told| *told == Told::Made);
    let served = K::serve(probe);
    let mut client = served.connect();
    assert_eq!(receive(&told), Told::Made);
    client.write_all(&pattern(100_000)).unwrap();
    served.handle.shutdown();
    drop(release);
    let mut answer = vec![0; 100_000];
    io::Read::read_exact(&mut client, &mut answer).unwrap();
    assert!(answer == pattern(100_000));
    assert_eq!(read_byte(&mut client), None);
    drop(client);
    assert_eq!(until_lost(&told), [Told::Data(pattern(100_000)), Told::ShuttingDown, Told::Lost(None)]);
    served.join().unwrap();
}

/// In Python a deadlock.
fn a_callback_can_stop_its_server<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if told.is_data() {
            transport.server().shutdown();
            assert!(transport.server().is_shutting_down());
            transport.write(b"bye");
        }
    });
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(read_all(&mut client), b"bye");
    drop(client);
    assert!(served.join().unwrap().is_clean());
    let expected = [Told::Made, Told::Data(b"x".to_vec()), Told::ShuttingDown, Told::Lost(None)];
    assert_eq!(until_lost(&told), expected);
}

fn shutting_down_can_be_overridden<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| match told {
        Told::ShuttingDown => {
            transport.write(b"not yet");
        }
        Told::Data(_) => {
            transport.write(b"now");
            transport.close();
        }
        _ => {}
    });
    let served = K::serve(probe.overriding(|told| *told == Told::ShuttingDown));
    let mut client = served.connect();
    assert_eq!(receive(&told), Told::Made);
    served.handle.shutdown();
    io::Read::read_exact(&mut client, &mut [0; 7]).unwrap();
    client.write_all(b"x").unwrap();
    assert_eq!(read_all(&mut client), b"now");
    drop(client);
    let report = served.join().unwrap();
    assert_eq!((report.drained, report.abandoned), (1, 0));
    assert_eq!(until_lost(&told), [Told::ShuttingDown, Told::Data(b"x".to_vec()), Told::Lost(None)]);
}

/// Sends the address of the connection that was cut.
#[derive(Clone)]
struct Staying {
    begin: fn(&mut Transport),
    made: Sender<()>,
    cut: Sender<String>,
}

impl Protocol for Staying {
    fn connection_made(&mut self, transport: &mut Transport) {
        (self.begin)(transport);
        self.made.send(()).unwrap();
    }

    fn data_received(&mut self, _: &mut Transport, _: &[u8]) {}

    fn shutting_down(&mut self, transport: &mut Transport) {
        // With something in the buffer, the default stays as well.
        if transport.write_buffer_size() > 0 {
            transport.close();
        }
    }

    fn connection_lost(&mut self, _: &mut Transport, error: Option<&io::Error>) {
        let error = error.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        let Some(Error::Cut { address }) = Error::of(error) else { panic!("{error}") };
        self.cut.send(address.clone()).unwrap();
    }
}

/// Those that have many bytes to let go may still be at it when it has returned.
fn is_cut<K: ReactorKind>(drain: Duration, begin: fn(&mut Transport)) -> ShutdownReport {
    let (handle_error, failures) = failures();
    let (made, is_made) = channel();
    let (cut, is_cut) = channel();
    let builder = K::builder().drain_timeout(drain).handle_error(handle_error);
    let (server, place) = K::bind(builder, Staying { begin, made, cut });
    let running = server.spawn().unwrap();
    let clients: Vec<_> = (0..4).map(|_| narrow(&place)).collect();
    for _ in 0..4 {
        receive(&is_made);
    }
    let started = Instant::now();
    let report = running.stop().unwrap();
    assert!(started.elapsed() >= drain && started.elapsed() < LONG / 2);
    assert_eq!((report.drained, report.abandoned), (0, 4));
    for _ in 0..4 {
        receive(&is_cut);
        assert!(receive(&failures).contains("cut off: the server is shutting down"));
    }
    assert_eq!(failures.try_iter().count(), 0);
    drop(clients);
    report
}

fn a_connection_that_stays_open_is_cut_at_the_deadline<K: ReactorKind>() {
    for begin in [|_: &mut Transport| {}, Transport::pause_reading] {
        assert_eq!(is_cut::<K>(SHORT, begin).still_running, 0);
    }
}

fn a_peer_that_does_not_read_is_cut_at_the_deadline<K: ReactorKind>() {
    is_cut::<K>(SHORT, |transport| {
        flood(transport);
    });
    // One that is in the middle of its close.
    is_cut::<K>(SHORT, |transport| {
        flood(transport);
        transport.close();
    });
}

fn a_zero_drain_timeout_cuts_at_once<K: ReactorKind>() {
    assert_eq!(is_cut::<K>(Duration::ZERO, |_| {}).still_running, 0);
}

/// What a second Ctrl-C does.
fn shutdown_within_shortens_a_drain_under_way<K: ReactorKind>() {
    let (probe, told) = Probe::new(|_, _| {});
    let probe = probe.overriding(|told| *told == Told::ShuttingDown);
    let served = serving(K::bind(K::builder().drain_timeout(None), probe));
    let _client = served.connect();
    assert_eq!(receive(&told), Told::Made);
    served.handle.shutdown();
    assert_eq!(receive(&told), Told::ShuttingDown);
    served.handle.shutdown_within(SHORT);
    assert_eq!(served.join().unwrap().abandoned, 1);
    assert!(lost(&told).is_some());
}

fn a_callback_that_never_returns_holds_up_no_join<K: ReactorKind>() {
    let (probe, told, release) = held_up(Told::is_data);
    let (server, place) = K::bind(K::builder().drain_timeout(SHORT), probe);
    let running = server.spawn().unwrap();
    let handle = running.handle();
    let mut client = place.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(receive(&told), Told::Made);
    assert!(receive(&told).is_data());
    let started = Instant::now();
    let report = running.stop().unwrap();
    assert!(started.elapsed() < LONG / 2, "not before the callback returned");
    assert_eq!((report.drained, report.abandoned, report.still_running), (0, 1, 1));
    assert!(place.is_closed());
    // The client has been cut all the same.
    assert_eq!(read_byte(&mut client), None);
    assert_eq!(handle.stats().active, 1);
    drop(release);
    eventually("the callback returns", || handle.stats().active == 0);
    assert!(matches!(lost(&told), Some((io::ErrorKind::ConnectionAborted, _))));
}

fn clients_in_the_kernels_queue_are_served<K: ReactorKind>() {
    let (probe, told, release) = held_up(|told| *told == Told::Data(b"hold".to_vec()));
    let served = serving(K::bind(K::builder(), probe));
    // The first connection of all is at home where connections are accepted.
    let mut first = served.connect();
    first.write_all(b"hold").unwrap();
    assert_eq!(receive(&told), Told::Made);
    assert!(receive(&told).is_data());
    let mut waiting: Vec<_> = (0..5).map(|_| served.connect()).collect();
    for client in &mut waiting {
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    }
    assert_eq!(served.handle.stats().accepted, 1);
    served.handle.shutdown();
    drop(release);
    for client in &mut waiting {
        // Unless this machine was busy for so long that the listener was closed over the loop's head.
        if served.handle.stats().accepted < 6 {
            continue;
        }
        assert_eq!(read_all(client), b"hello");
    }
    drop((first, waiting));
    let handle = served.handle.clone();
    assert!(served.join().unwrap().is_clean());
    assert!(handle.stats().accepted == 6 || handle.stats().accepted == 1);
}

fn the_listener_is_closed_while_the_drain_goes_on<K: ReactorKind>() {
    let (probe, told) = Probe::new(|_, _| {});
    let served = K::serve(probe.overriding(|told| *told == Told::ShuttingDown));
    let client = served.connect();
    assert_eq!(receive(&told), Told::Made);
    served.handle.shutdown();
    eventually("the listener is closed", || served.place.is_closed());
    assert!(served.handle.stats().active >= 1);
    drop(client);
    assert!(served.join().unwrap().drained >= 1);
}

fn a_panic_in_shutting_down_harms_nobody<K: ReactorKind>() {
    let (handle_error, failures) = failures();
    let (probe, told) = Probe::new(|told, _| assert_ne!(*told, Told::ShuttingDown, "not now"));
    // A panic may take long, where it says from where it came.
    let builder = K::builder().drain_timeout(LONG).handle_error(handle_error);
    let served = serving(K::bind(builder, probe));
    let clients: Vec<_> = (0..3).map(|_| served.connect()).collect();
    for _ in 0..3 {
        assert_eq!(receive(&told), Told::Made);
    }
    let report = served.stop();
    assert_eq!((report.drained, report.abandoned), (3, 0));
    for _ in 0..3 {
        let failure = receive(&failures);
        assert!(failure.starts_with("shutting_down of ") && failure.contains("not now"), "{failure}");
    }
    assert_eq!(failures.try_iter().count(), 0);
    drop(clients);
}

/// However much it is: more than one turn of a connection reads.
#[test]
fn much_that_has_come_is_delivered_first() {
    common::run(|| {
        let listener = std::net::TcpListener::bind(common::own_address()).unwrap();
        // Inherited. The system gives what it allows, which is some hundred kilobytes.
        socket2::SockRef::from(&listener).set_recv_buffer_size(8 << 20).unwrap();
        let (release, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let (probe, told) = Probe::new(move |told, _| {
            if *told == Told::Made {
                let _ = wait.lock().unwrap().recv_timeout(LONG);
            }
        });
        let server = socketserver::ReactorTcpServer::from_listener(listener, probe).unwrap();
        let place = common::Place::Tcp(server.local_addr());
        let served = serving((server, place));
        let mut client = served.connect();
        assert_eq!(receive(&told), Told::Made);
        // What it cannot keep has been received.
        client.set_send_buffer_size(4096).unwrap();
        client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut sent = 0;
        while let Ok(count) = client.write(&[0; 4096]) {
            sent += count;
        }
        served.handle.shutdown();
        drop(release);
        let seen = until_lost(&told);
        let Told::Data(data) = &seen[0] else { panic!("{seen:?}") };
        assert!(data.len() + 50_000 > sent, "{} of {sent}", data.len());
        assert_eq!(seen[1..], [Told::ShuttingDown, Told::Lost(None)]);
        drop(client);
        served.join().unwrap();
    });
}
