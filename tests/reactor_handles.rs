//! Writing to connections from elsewhere: handles and broadcasts, and bytes that a protocol gives back.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use common::reactor::{fill, lost, narrow, serving, until_lost, Probe, ReactorKind, Told};
use common::{eventually, failures, read_all, read_byte, receive, Place, Served, LONG};
use socket2::Socket;
use socketserver::{Transport, TransportHandle};

every_reactor! {
    threads_write_in_order_and_in_one_piece
    a_close_comes_after_what_was_written
    an_abort_comes_at_once
    more_than_the_hard_limit_is_not_taken
    a_handle_knows_when_the_connection_is_over
    a_kept_handle_keeps_no_descriptor
    a_connection_writes_to_another
    a_connection_writes_to_itself_in_turn
    a_broadcast_reaches_everybody
    a_broadcast_reaches_those_that_the_filter_picks
    broadcasts_from_threads_and_callbacks_come_once_and_in_order
    a_peer_that_never_reads_holds_up_nobody
    a_filter_that_panics_leaves_out_that_connection
    a_loop_that_is_held_up_takes_a_mebibyte_of_broadcasts
    nobody_is_there_before_the_start_and_after_the_stop
    what_is_given_back_comes_again_first
    what_is_given_back_comes_again_after_a_pause
    what_is_given_back_is_dropped_with_the_connection
}

/// A server, and a handle for each of so many clients of its.
fn handled<K: ReactorKind>(count: usize) -> (Served, Vec<(Socket, TransportHandle)>, Receiver<Told>) {
    let (sender, handles) = channel();
    let (served, told) = K::probe(move |told, transport| {
        if *told == Told::Made {
            sender.send(transport.handle()).unwrap();
        }
    });
    // One after the other, so that they go together.
    let members = (0..count).map(|_| (served.connect(), receive(&handles))).collect();
    (served, members, told)
}

fn handled_one<K: ReactorKind>() -> (Served, Socket, TransportHandle, Receiver<Told>) {
    let (served, mut members, told) = handled::<K>(1);
    let (client, handle) = members.remove(0);
    (served, client, handle, told)
}

/// Until it is taken.
fn write_with_patience(write: impl Fn() -> io::Result<()>) {
    eventually("there is room", || match write() {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    });
}

fn threads_write_in_order_and_in_one_piece<K: ReactorKind>() {
    const THREADS: usize = 4;
    const MESSAGES: usize = 2000;
    let (served, mut client, handle, _told) = handled_one::<K>();
    let together = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (handle, together) = (handle.clone(), Arc::clone(&together));
            std::thread::spawn(move || {
                together.wait();
                for number in 0..MESSAGES {
                    let message = format!("{thread} {number} {}\n", "x".repeat(number % 400));
                    write_with_patience(|| handle.write(message.as_bytes()));
                }
            })
        })
        .collect();
    let closing = std::thread::spawn(move || {
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        handle.close().unwrap();
    });
    let answer = String::from_utf8(read_all(&mut client)).unwrap();
    closing.join().unwrap();
    let mut next: HashMap<&str, usize> = HashMap::new();
    for line in answer.lines() {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let number = next.entry(words[0]).or_default();
        assert_eq!(words[1], number.to_string());
        assert_eq!(words[2].len(), *number % 400);
        *number += 1;
    }
    assert_eq!(next.len(), THREADS);
    assert!(next.values().all(|number| *number == MESSAGES));
    drop(client);
    served.stop();
}

fn a_close_comes_after_what_was_written<K: ReactorKind>() {
    let (served, mut client, handle, told) = handled_one::<K>();
    for _ in 0..100 {
        handle.write(&[b'.'; 5000]).unwrap();
    }
    handle.write(b"end").unwrap();
    handle.close().unwrap();
    let answer = read_all(&mut client);
    assert_eq!(answer.len(), 500_003);
    assert!(answer.ends_with(b".end"));
    drop(client);
    assert_eq!(lost(&told), None);
    served.stop();
}

fn an_abort_comes_at_once<K: ReactorKind>() {
    let (sender, handles) = channel();
    let (served, told) = K::probe(move |told, transport| {
        if *told == Told::Made {
            fill(transport);
            sender.send(transport.handle()).unwrap();
        }
    });
    // It does not read.
    let _client = narrow(&served.place);
    let handle = receive(&handles);
    handle.abort().unwrap();
    assert_eq!(until_lost(&told), [Told::Made, Told::Lost(None)]);
    served.idle();
    assert_eq!(handle.write(b"x").unwrap_err().kind(), io::ErrorKind::NotConnected);
    served.stop();
}

fn more_than_the_hard_limit_is_not_taken<K: ReactorKind>() {
    let (sender, handles) = channel();
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (probe, told) = Probe::new(move |told, transport| {
        if *told == Told::Made {
            sender.send(transport.handle()).unwrap();
            receive(&wait.lock().unwrap());
        }
    });
    let served = serving(K::bind(K::builder().write_buffer_hard_limit(100_000), probe));
    let mut client = served.connect();
    let handle = receive(&handles);
    // The loop is held up.
    assert_eq!(handle.write(&[b'.'; 100_001]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let mut taken = 0;
    let error = loop {
        match handle.write(&[b'.'; 1000]) {
            Ok(()) => taken += 1000,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!((90_000..=100_000).contains(&taken), "{taken}");
    release.send(()).unwrap();
    // All of what was taken comes, and there is room again.
    client.read_exact(&mut vec![0; taken]).unwrap();
    write_with_patience(|| handle.write(b"!"));
    assert_eq!(read_byte(&mut client), Some(b'!'));
    drop(client);
    assert_eq!(lost(&told), None);
    served.stop();
}

fn a_handle_knows_when_the_connection_is_over<K: ReactorKind>() {
    let (sender, handles) = channel();
    let (served, told) = K::probe(move |told, transport| {
        if told.is_data() {
            transport.write(b"bye");
            transport.close();
            sender.send(transport.handle()).unwrap();
        }
    });
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    let handle = receive(&handles);
    // Its socket is kept for a second, because the client keeps its side; but that is nobody's business.
    assert_eq!(lost(&told), None);
    eventually("it is over", || handle.is_closed());
    for result in [handle.write(b"x"), handle.close(), handle.abort()] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        assert!(error.to_string().contains(&handle.peer_addr().to_string()), "{error}");
    }
    assert_eq!(served.handle.stats().active, 1, "it lingers still, or this has shown nothing");
    drop(client);
    served.stop();
}

fn a_kept_handle_keeps_no_descriptor<K: ReactorKind>() {
    let (served, members, _told) = handled::<K>(10);
    let mut handles = Vec::new();
    for (mut client, handle) in members {
        handle.abort().unwrap();
        // The end is seen although there is a handle, so the descriptor has been closed.
        assert_eq!(read_byte(&mut client), None);
        handles.push(handle);
    }
    served.idle();
    assert!(handles.iter().all(TransportHandle::is_closed));
    served.stop();
}

fn a_connection_writes_to_another<K: ReactorKind>() {
    let last: Mutex<Option<TransportHandle>> = Mutex::default();
    let (served, _told) = K::probe(move |told, transport| match told {
        Told::Made => drop(last.lock().unwrap().get_or_insert_with(|| transport.handle())),
        Told::Data(data) => last.lock().unwrap().as_ref().unwrap().write(data).unwrap(),
        _ => {}
    });
    let mut first = served.connect();
    first.write_all(b"0").unwrap();
    assert_eq!(read_byte(&mut first), Some(b'0'));
    for _ in 0..5 {
        let mut other = served.connect();
        other.write_all(b"1").unwrap();
        assert_eq!(read_byte(&mut first), Some(b'1'));
    }
    drop(first);
    served.stop();
}

fn a_connection_writes_to_itself_in_turn<K: ReactorKind>() {
    let (served, _told) = K::probe(|told, transport| {
        if told.is_data() {
            // After this callback, and so after what it writes itself.
            transport.handle().write(b"3").unwrap();
            transport.handle().write(b"4").unwrap();
            transport.write(b"1");
            transport.write(b"2");
            transport.handle().close().unwrap();
        }
    });
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(read_all(&mut client), b"1234");
    drop(client);
    served.stop();
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
    for speaker in 0..6 {
        clients[speaker].write_all(b"x").unwrap();
        for (number, client) in clients.iter_mut().enumerate() {
            let expected = if number == speaker { b'!' } else { b'x' };
            assert_eq!(read_byte(client), Some(expected));
        }
    }
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

fn a_loop_that_is_held_up_takes_a_mebibyte_of_broadcasts<K: ReactorKind>() {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (sender, entered) = channel();
    let (probe, _told) = Probe::new(move |told, transport| match told {
        Told::Made => {
            transport.write(b"+");
        }
        Told::Data(_) => {
            sender.send(()).unwrap();
            receive(&wait.lock().unwrap());
        }
        _ => {}
    });
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

/// Gives all but the first byte back.
fn one_at_a_time(told: &Told, transport: &mut Transport, seen: &AtomicUsize) {
    if let Told::Data(data) = told {
        assert_eq!(usize::from(data[0]), seen.fetch_add(1, Ordering::SeqCst) % 251);
        transport.push_back(&data[1..]);
    }
}

fn what_is_given_back_comes_again_first<K: ReactorKind>() {
    let seen = Arc::new(AtomicUsize::new(0));
    let by_script = Arc::clone(&seen);
    let (served, told) = K::probe(move |told, transport| one_at_a_time(told, transport, &by_script));
    let data: Vec<u8> = (0..1000).map(|at| (at % 251) as u8).collect();
    let mut client = served.connect();
    for piece in data.chunks(100) {
        client.write_all(piece).unwrap();
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(lost(&told), None);
    assert_eq!(seen.load(Ordering::SeqCst), 1000);
    assert_eq!(served.handle.stats().panics, 0);
    served.stop();
}

fn what_is_given_back_comes_again_after_a_pause<K: ReactorKind>() {
    let seen = Arc::new(AtomicUsize::new(0));
    let by_script = Arc::clone(&seen);
    let (probe, told) = Probe::new(move |told, transport| {
        match told {
            Told::Made => transport.set_timeout(Duration::from_millis(1)).unwrap(),
            Told::Data(_) => transport.pause_reading(),
            Told::TimedOut => transport.resume_reading(),
            _ => {}
        }
        one_at_a_time(told, transport, &by_script);
    });
    let served = K::serve(probe.overriding(|told| *told == Told::TimedOut));
    let mut client = served.connect();
    client.write_all(&(0..50).collect::<Vec<u8>>()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_byte(&mut client), None);
    let told = until_lost(&told);
    assert_eq!(seen.load(Ordering::SeqCst), 50, "{told:?}");
    // One by one, and the end of the stream after them.
    assert_eq!(told.iter().filter(|told| told.is_data()).count(), 50);
    assert_eq!(told[told.len() - 2..], [Told::Eof, Told::Lost(None)]);
    served.stop();
}

fn what_is_given_back_is_dropped_with_the_connection<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if let Told::Data(data) = told {
            transport.push_back(data);
            transport.close();
            transport.push_back(data);
        }
    });
    assert_eq!(served.exchange(b"x"), b"");
    assert_eq!(until_lost(&told), [Told::Made, Told::Data(b"x".to_vec()), Told::Lost(None)]);
    served.handle.shutdown_within(LONG);
    served.stop();
}
