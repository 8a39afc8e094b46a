//! Broadcasts: to all, to some, from threads and from callbacks, with peers that do not read.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read, Write};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};

use common::reactor::{narrow, serving, Probe, ReactorKind, ReactorTcpWorkers, Told};
use common::{eventually, failures, read_byte, receive, Place, Served};
use socket2::Socket;

every_reactor! {
    a_broadcast_reaches_everybody
    a_broadcast_reaches_those_that_the_filter_picks
    what_somebody_says_reaches_all_the_others
    broadcasts_from_threads_and_callbacks_come_once_and_in_order
    a_peer_that_never_reads_holds_up_nobody
    a_filter_that_panics_leaves_out_that_connection
    a_loop_that_is_held_up_takes_a_mebibyte_of_broadcasts
    nobody_is_there_before_the_start_and_after_the_stop
}

/// Until it is taken.
fn write_with_patience(write: impl Fn() -> io::Result<()>) {
    eventually("there is room", || match write() {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    });
}

/// A server that sends what it is told to all.
fn chat<K: ReactorKind>(count: usize) -> (Served, Vec<Socket>) {
    let (served, _told) = K::probe(|told, transport| match told {
        Told::Made => {
            transport.write(b"+");
        }
        Told::Data(data) => transport.broadcaster().broadcast(data).unwrap(),
        _ => {}
    });
    let clients = (0..count).map(|_| joined(&served.place)).collect();
    (served, clients)
}

fn joined(place: &Place) -> Socket {
    let mut client = place.connect();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    client
}

/// All the others get what it says, and itself an exclamation mark.
fn each_speaks_in_turn(clients: &mut [Socket]) {
    for speaker in 0..clients.len() {
        clients[speaker].write_all(b"x").unwrap();
        for (number, client) in clients.iter_mut().enumerate() {
            let expected = if number == speaker { b'!' } else { b'x' };
            assert_eq!(read_byte(client), Some(expected));
        }
    }
}

fn a_broadcast_reaches_everybody<K: ReactorKind>() {
    let (served, mut clients) = chat::<K>(20);
    for round in b'a'..=b'e' {
        clients[usize::from(round - b'a')].write_all(&[round]).unwrap();
        for client in &mut clients {
            assert_eq!(read_byte(client), Some(round));
        }
    }
    // Whoever has gone is no trouble.
    clients.truncate(5);
    clients[0].write_all(b"z").unwrap();
    for client in &mut clients {
        assert_eq!(read_byte(client), Some(b'z'));
    }
    drop(clients);
    served.stop();
}

fn a_broadcast_reaches_those_that_the_filter_picks<K: ReactorKind>() {
    let (served, _told) = K::probe(|told, transport| match told {
        Told::Made => {
            transport.write(&transport.id().to_be_bytes());
        }
        Told::Data(data) => {
            let speaker = transport.id();
            transport.broadcaster().broadcast_to(data, move |member| member.id() != speaker).unwrap();
            transport.broadcaster().broadcast_to(b"!", move |member| member.id() == speaker).unwrap();
        }
        _ => {}
    });
    let mut clients: Vec<Socket> = (0..6).map(|_| served.connect()).collect();
    for client in &mut clients {
        client.read_exact(&mut [0; 8]).unwrap();
    }
    each_speaks_in_turn(&mut clients);
    drop(clients);
    served.stop();
}

fn what_somebody_says_reaches_all_the_others<K: ReactorKind>() {
    let (served, _told) = K::probe(|told, transport| match told {
        Told::Made => {
            transport.write(b"+");
        }
        Told::Data(data) => {
            transport.broadcaster().broadcast_except(transport.id(), data).unwrap();
            transport.write(b"!");
        }
        _ => {}
    });
    let mut clients: Vec<Socket> = (0..4).map(|_| joined(&served.place)).collect();
    each_speaks_in_turn(&mut clients);
    drop(clients);
    served.stop();
}

fn broadcasts_from_threads_and_callbacks_come_once_and_in_order<K: ReactorKind>() {
    const MESSAGES: u32 = 500;
    let (probe, _told) = Probe::new(|told, transport| match told {
        Told::Made => {
            transport.write(b"+");
        }
        Told::Data(data) => {
            for _ in data {
                transport.broadcaster().broadcast(&[9, 0, 0, 0, 0]).unwrap();
            }
        }
        _ => {}
    });
    let (server, place) = K::bind(K::builder(), probe);
    let broadcaster = server.broadcaster();
    let served = serving((server, place));
    let mut clients: Vec<Socket> = (0..6).map(|_| joined(&served.place)).collect();
    let threads: Vec<_> = (0..3_u8)
        .map(|thread| {
            let broadcaster = broadcaster.clone();
            std::thread::spawn(move || {
                for number in 0..MESSAGES {
                    let mut message = vec![thread];
                    message.extend(number.to_be_bytes());
                    write_with_patience(|| broadcaster.broadcast(&message));
                }
            })
        })
        .collect();
    clients[0].write_all(&[0; 100]).unwrap();
    for client in &mut clients {
        let mut next = [0_u32; 3];
        let mut from_callbacks = 0;
        while next != [MESSAGES; 3] || from_callbacks < 100 {
            let mut message = [0; 5];
            client.read_exact(&mut message).unwrap();
            let number = u32::from_be_bytes(message[1..].try_into().unwrap());
            match message[0] {
                9 => from_callbacks += 1,
                thread => {
                    assert_eq!(next[usize::from(thread)], number);
                    next[usize::from(thread)] += 1;
                }
            }
        }
        assert_eq!(from_callbacks, 100);
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(clients);
    served.stop();
}

fn a_peer_that_never_reads_holds_up_nobody<K: ReactorKind>() {
    let (handle_error, failures) = failures();
    let (probe, told) = Probe::new(|told, transport| {
        if *told == Told::Made {
            transport.write(b"+");
        }
    });
    let (server, place) = K::bind(K::builder().handle_error(handle_error), probe);
    let broadcaster = server.broadcaster();
    let served = serving((server, place));
    let mut deaf = narrow(&served.place);
    assert_eq!(read_byte(&mut deaf), Some(b'+'));
    let mut clients: Vec<Socket> = (0..5).map(|_| joined(&served.place)).collect();
    let message = vec![b'm'; 100_000];
    let mut rounds = 0;
    while served.handle.stats().active == 6 {
        rounds += 1;
        assert!(rounds < 1000, "it is still there");
        write_with_patience(|| broadcaster.broadcast(&message));
        for client in &mut clients {
            client.read_exact(&mut vec![0; message.len()]).unwrap();
        }
    }
    assert!(receive(&failures).contains("more than 1048576 bytes"));
    let end = told.try_iter().find(Told::is_lost).unwrap();
    assert!(matches!(end, Told::Lost(Some((io::ErrorKind::ConnectionAborted, _)))));
    // It alone.
    broadcaster.broadcast(b"!").unwrap();
    for client in &mut clients {
        assert_eq!(read_byte(client), Some(b'!'));
    }
    assert_eq!(served.handle.stats().active, 5);
    drop(clients);
    served.stop();
    assert_eq!(failures.try_iter().count(), 0);
}

fn a_filter_that_panics_leaves_out_that_connection<K: ReactorKind>() {
    let (handle_error, failures) = failures();
    let ids = Arc::new(Mutex::new(Vec::new()));
    let by_script = Arc::clone(&ids);
    let (probe, _told) = Probe::new(move |told, transport| {
        if *told == Told::Made {
            by_script.lock().unwrap().push(transport.id());
            transport.write(b"+");
        }
    });
    let (server, place) = K::bind(K::builder().handle_error(handle_error), probe);
    let broadcaster = server.broadcaster();
    let served = serving((server, place));
    let mut clients: Vec<Socket> = (0..6).map(|_| joined(&served.place)).collect();
    let unlucky = ids.lock().unwrap()[2];
    broadcaster
        .broadcast_to(b"x", move |member| {
            assert_ne!(member.id(), unlucky, "not this one");
            true
        })
        .unwrap();
    let failure = receive(&failures);
    assert!(failure.starts_with("filter of a broadcast of ") && failure.contains("not this one"), "{failure}");
    broadcaster.broadcast(b"y").unwrap();
    for (number, client) in clients.iter_mut().enumerate() {
        if number != 2 {
            assert_eq!(read_byte(client), Some(b'x'));
        }
        assert_eq!(read_byte(client), Some(b'y'));
    }
    assert_eq!(served.handle.stats().panics, 1);
    drop(clients);
    served.stop();
}

/// Greets, and on data says so and holds its loop up, each time until told to go on.
fn held_up_by_data() -> (Probe, Receiver<()>, Sender<()>) {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (sender, entered) = channel();
    let (probe, _) = Probe::new(move |told, transport| match told {
        Told::Made => {
            transport.write(b"+");
        }
        Told::Data(_) => {
            sender.send(()).unwrap();
            receive(&wait.lock().unwrap());
        }
        _ => {}
    });
    (probe, entered, release)
}

fn a_loop_that_is_held_up_takes_a_mebibyte_of_broadcasts<K: ReactorKind>() {
    let (probe, entered, release) = held_up_by_data();
    let (server, place) = K::bind(K::builder(), probe);
    let broadcaster = server.broadcaster();
    let served = serving((server, place));
    let mut client = joined(&served.place);
    client.write_all(b"x").unwrap();
    receive(&entered);
    let mut taken = 0;
    let error = loop {
        match broadcaster.broadcast(&[b'.'; 10_000]) {
            // More than a loop takes that is not held up: its other loops do not count.
            Ok(()) => taken += 10_000,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!((1 << 20) - 10_000 < taken && taken <= 1 << 20, "{taken}");
    release.send(()).unwrap();
    client.read_exact(&mut vec![0; taken]).unwrap();
    write_with_patience(|| broadcaster.broadcast(b"!"));
    assert_eq!(read_byte(&mut client), Some(b'!'));
    drop(client);
    served.stop();
}

fn nobody_is_there_before_the_start_and_after_the_stop<K: ReactorKind>() {
    let (probe, _told) = Probe::new(|_, _| {});
    let (server, place) = K::bind(K::builder(), probe);
    let broadcaster = server.broadcaster();
    broadcaster.broadcast(b"nobody").unwrap();
    let served = serving((server, place));
    // What was sent before is for nobody who comes later.
    assert_eq!(served.exchange(b"x"), b"");
    served.stop();
    for result in [broadcaster.broadcast(b"x"), broadcaster.broadcast_to(b"x", |_| true)] {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
}

/// A loop that is held up keeps nothing from the members of the others.
#[test]
fn a_loop_that_is_held_up_holds_up_no_other() {
    common::run(|| {
        let (probe, entered, release) = held_up_by_data();
        let (server, place) = ReactorTcpWorkers::bind(ReactorTcpWorkers::builder(), probe);
        let broadcaster = server.broadcaster();
        let served = serving((server, place));
        let mut clients: Vec<Socket> = (0..3).map(|_| joined(&served.place)).collect();
        for held_up in 0..3 {
            clients[held_up].write_all(b"x").unwrap();
            receive(&entered);
            let message = vec![b'.'; 300_000];
            let mut full = 0;
            for round in 0..5 {
                full += usize::from(broadcaster.broadcast(&message).is_err());
                for (number, client) in clients.iter_mut().enumerate() {
                    if number != held_up {
                        client
                            .read_exact(&mut vec![0; message.len()])
                            .unwrap_or_else(|error| panic!("{round}: {error}"));
                    }
                }
            }
            assert_eq!(full, 2, "a mebibyte is three of them");
            release.send(()).unwrap();
            clients[held_up].read_exact(&mut vec![0; 3 * message.len()]).unwrap();
        }
        drop(clients);
        served.stop();
    });
}
