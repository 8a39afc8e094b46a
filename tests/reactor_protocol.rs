//! asyncio's contract of `Protocol` and `Transport`: which callback comes when, whatever the callbacks do.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::reactor::{fill, lost, narrow, pattern, read_out, serving, until_lost, Echo, Probe, ReactorKind, Told};
use common::{failures, read_all, read_byte, receive, Place, LONG};
use socketserver::reactor::WriteStatus;
use socketserver::{Error, Phase, Protocol, Transport};

every_reactor! {
    callbacks_come_in_asyncios_order
    reading_starts_only_after_connection_made
    pause_reading_in_connection_made_is_honoured
    pausing_and_resuming_twice_is_once
    nothing_is_delivered_once_pause_reading_has_returned
    nothing_is_delivered_once_close_has_been_called
    the_end_of_the_stream_closes_after_the_flush
    a_half_open_connection_can_be_written_to
    a_half_open_connection_times_out
    data_before_a_reset_is_delivered
    close_flushes_megabytes_to_a_slow_reader
    abort_drops_the_buffer
    what_is_thrown_away_does_not_look_like_the_whole_answer
    what_is_written_after_the_end_is_dropped
    a_failure_is_told_to_both
    a_transport_knows_its_ends_and_its_server
    each_connection_has_a_clone_of_its_own
    a_panic_in_clone_or_drop_costs_that_connection
    one_connection_that_floods_does_not_starve_the_others
}

fn callbacks_come_in_asyncios_order<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if let Told::Data(data) = told {
            transport.write(data);
        }
    });
    for _ in 0..3 {
        assert_eq!(served.exchange(b"hello"), b"hello");
        let expected = [Told::Made, Told::Data(b"hello".to_vec()), Told::Eof, Told::Lost(None)];
        assert_eq!(until_lost(&told), expected);
    }
    // One that sends nothing.
    assert_eq!(served.exchange(b""), b"");
    assert_eq!(until_lost(&told), [Told::Made, Told::Eof, Told::Lost(None)]);
    let handle = served.handle.clone();
    assert!(served.stop().is_clean());
    assert_eq!(told.try_iter().count(), 0);
    let stats = handle.stats();
    assert_eq!((stats.accepted, stats.active, stats.handler_errors, stats.panics), (4, 0, 0, 0));
}

fn reading_starts_only_after_connection_made<K: ReactorKind>() {
    let (sent, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let made = AtomicUsize::new(0);
    let (served, told) = K::probe(move |told, _| match told {
        Told::Made => {
            // The data is there before this ends.
            receive(&wait.lock().unwrap());
            made.fetch_add(1, Ordering::SeqCst);
        }
        _ => assert_eq!(made.load(Ordering::SeqCst), 1),
    });
    let mut client = served.connect();
    client.write_all(b"early").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    sent.send(()).unwrap();
    let expected = [Told::Made, Told::Data(b"early".to_vec()), Told::Eof, Told::Lost(None)];
    assert_eq!(until_lost(&told), expected);
    served.stop();
}

const SOON: Duration = Duration::from_millis(20);

fn pause_reading_in_connection_made_is_honoured<K: ReactorKind>() {
    let (sent, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (probe, told) = Probe::new(move |told, transport| match told {
        Told::Made => {
            transport.pause_reading();
            assert!(transport.is_reading_paused());
            receive(&wait.lock().unwrap());
            transport.set_timeout(SOON).unwrap();
        }
        Told::TimedOut => {
            transport.resume_reading();
            transport.set_timeout(LONG).unwrap();
        }
        _ => {}
    });
    let served = K::serve(probe.overriding(|told| *told == Told::TimedOut));
    let mut client = served.connect();
    client.write_all(b"held").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    sent.send(()).unwrap();
    let expected = [Told::Made, Told::TimedOut, Told::Data(b"held".to_vec()), Told::Eof, Told::Lost(None)];
    assert_eq!(until_lost(&told), expected);
    served.stop();
}

fn pausing_and_resuming_twice_is_once<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| match told {
        Told::Made => {
            transport.resume_reading();
            transport.pause_reading();
            transport.pause_reading();
            transport.set_timeout(SOON).unwrap();
        }
        Told::TimedOut => {
            transport.resume_reading();
            transport.resume_reading();
            transport.set_timeout(LONG).unwrap();
        }
        _ => {
            // From any callback, the last too.
            transport.pause_reading();
            transport.resume_reading();
        }
    });
    let served = K::serve(probe.overriding(|told| *told == Told::TimedOut));
    assert_eq!(served.exchange(b"x"), b"");
    assert_eq!(until_lost(&told), [Told::Made, Told::TimedOut, Told::Data(b"x".to_vec()), Told::Eof, Told::Lost(None)]);
    served.stop();
}

fn nothing_is_delivered_once_pause_reading_has_returned<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| match told {
        Told::Made => transport.set_timeout(Duration::from_millis(2)).unwrap(),
        Told::Data(_) => transport.pause_reading(),
        Told::TimedOut => transport.resume_reading(),
        _ => {}
    });
    let served = K::serve(probe.overriding(|told| *told == Told::TimedOut));
    let data = pattern(1 << 20);
    let sent = data.clone();
    let mut client = served.connect();
    let client = std::thread::spawn(move || {
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_byte(&mut client), None);
    });
    let mut received = Vec::new();
    let mut paused = false;
    loop {
        match receive(&told) {
            Told::Data(data) => {
                assert!(!paused, "delivered after pause_reading");
                paused = true;
                received.extend(data);
            }
            Told::TimedOut => paused = false,
            // Nor is the end of the stream.
            Told::Eof => assert!(!paused),
            Told::Lost(error) => break assert_eq!(error, None),
            other => assert_eq!(other, Told::Made),
        }
    }
    assert!(received == data);
    client.join().unwrap();
    served.stop();
}

fn nothing_is_delivered_once_close_has_been_called<K: ReactorKind>() {
    let (sent, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (served, told) = K::probe(move |told, transport| match told {
        Told::Made => receive(&wait.lock().unwrap()),
        Told::Data(_) => transport.close(),
        _ => {}
    });
    let mut client = served.connect();
    // More than one read takes.
    client.set_nonblocking(true).unwrap();
    let mut written = 0;
    while written < 200_000 {
        match client.write(&[0; 4096]) {
            Ok(count) => written += count,
            Err(_) => break,
        }
    }
    assert!(written > 70_000, "{written}");
    client.shutdown(Shutdown::Write).unwrap();
    client.set_nonblocking(false).unwrap();
    sent.send(()).unwrap();
    let seen: Vec<Told> = std::iter::from_fn(|| Some(receive(&told))).take(3).collect();
    assert!(matches!(&seen[..], [Told::Made, Told::Data(_), Told::Lost(None)]), "{seen:?}");
    // And no reset for it.
    assert_eq!(read_byte(&mut client), None);
    served.stop();
    assert_eq!(told.try_iter().count(), 0);
}

const MEGABYTES: usize = 8 << 20;

/// Reads everything, slowly.
fn slowly(client: &mut impl Read) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut piece = vec![0; 50_000];
    loop {
        match client.read(&mut piece).unwrap() {
            0 => return answer,
            count => answer.extend(&piece[..count]),
        }
        if answer.len() % 7 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn answering_megabytes<K: ReactorKind>(script: impl Fn(&Told, &mut Transport) + Send + Sync + 'static) {
    let (served, told) = K::probe(move |told, transport| {
        match told {
            Told::Made => transport.set_write_buffer_hard_limit(2 * MEGABYTES).unwrap(),
            Told::Data(_) => {
                let status = transport.write(&pattern(MEGABYTES));
                assert_eq!(status, WriteStatus::AboveHighMark);
            }
            _ => {}
        }
        script(told, transport);
    });
    let mut client = narrow(&served.place);
    client.write_all(b"x").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(slowly(&mut client) == pattern(MEGABYTES));
    assert_eq!(lost(&told), None);
    served.stop();
}

fn the_end_of_the_stream_closes_after_the_flush<K: ReactorKind>() {
    answering_megabytes::<K>(|_, _| {});
}

fn close_flushes_megabytes_to_a_slow_reader<K: ReactorKind>() {
    answering_megabytes::<K>(|told, transport| {
        if told.is_data() {
            transport.close();
            assert!(transport.is_closing());
            assert_eq!(transport.write(b"too late"), WriteStatus::Closed);
            transport.close();
        }
    });
}

fn a_half_open_connection_can_be_written_to<K: ReactorKind>() {
    let (sender, handles) = channel();
    let (probe, told) = Probe::new(move |told, transport| {
        if *told == Told::Eof {
            assert!(!transport.is_closing());
            transport.write(b"a");
            sender.send(transport.handle()).unwrap();
        }
    });
    let served = K::serve(probe.overriding(|told| *told == Told::Eof));
    let mut client = served.connect();
    client.shutdown(Shutdown::Write).unwrap();
    let handle = receive(&handles);
    assert_eq!(read_byte(&mut client), Some(b'a'));
    handle.write(b"b").unwrap();
    assert_eq!(read_byte(&mut client), Some(b'b'));
    handle.close().unwrap();
    assert_eq!(read_byte(&mut client), None);
    assert_eq!(until_lost(&told), [Told::Made, Told::Eof, Told::Lost(None)]);
    served.stop();
}

/// Half-closed sockets must not pile up.
fn a_half_open_connection_times_out<K: ReactorKind>() {
    let (probe, told) = Probe::new(|_, _| {});
    let probe = probe.overriding(|told| *told == Told::Eof);
    let served = serving(K::bind(K::builder().read_timeout(SOON), probe));
    let mut client = served.connect();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_byte(&mut client), None);
    let seen = until_lost(&told);
    assert_eq!(seen[..3], [Told::Made, Told::Eof, Told::TimedOut]);
    let Told::Lost(Some((kind, _))) = &seen[3] else { panic!("{seen:?}") };
    assert_eq!(*kind, io::ErrorKind::TimedOut);
    served.idle();
    served.stop();
}

fn data_before_a_reset_is_delivered<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if *told == Told::Made {
            transport.write(b"unread");
        }
    });
    for _ in 0..20 {
        let mut client = served.connect();
        client.peek(&mut [std::mem::MaybeUninit::uninit()]).unwrap();
        client.write_all(b"the last words").unwrap();
        // With something unread, which makes a reset of the close.
        drop(client);
        let seen = until_lost(&told);
        assert_eq!(seen[..2], [Told::Made, Told::Data(b"the last words".to_vec())]);
        let Told::Lost(Some((kind, _))) = &seen[2] else { panic!("{seen:?}") };
        assert_eq!(*kind, io::ErrorKind::ConnectionReset);
    }
    served.stop();
}

fn abort_drops_the_buffer<K: ReactorKind>() {
    let written = Arc::new(AtomicUsize::new(0));
    let by_script = Arc::clone(&written);
    let (served, told) = K::probe(move |told, transport| {
        if *told == Told::Made {
            by_script.store(fill(transport), Ordering::SeqCst);
            assert!(transport.write_buffer_size() > 0);
            transport.abort();
            assert!(transport.is_closing());
            assert_eq!(transport.write(b"too late"), WriteStatus::Closed);
            transport.abort();
            transport.close();
        }
        if told.is_lost() {
            assert_eq!(transport.write_buffer_size(), 0);
        }
    });
    let mut client = served.connect();
    assert_eq!(until_lost(&told), [Told::Made, Told::Lost(None)]);
    let (answer, end) = read_out(&mut client);
    assert!(answer.len() < written.load(Ordering::SeqCst));
    if matches!(served.place, Place::Tcp(_)) {
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
    // With nothing to drop it is an end like any other.
    served.stop();
    let (served, told) = K::probe(|told, transport| {
        if *told == Told::Made {
            transport.write(b"all of it");
            transport.abort();
        }
    });
    assert_eq!(read_all(&mut served.connect()), b"all of it");
    assert_eq!(lost(&told), None);
    served.stop();
}

/// In whatever way the rest of an answer is lost, a client that reads to the end must learn of it.
fn what_is_thrown_away_does_not_look_like_the_whole_answer<K: ReactorKind>() {
    let ways: [fn(&mut Transport); 5] = [
        |transport| {
            fill(transport);
            transport.fail("cannot go on");
        },
        |transport| {
            fill(transport);
            panic!("cannot go on");
        },
        // Too much at once.
        |transport| assert_eq!(transport.write(&vec![b'.'; 20 << 20]), WriteStatus::Closed),
        // Too much in pieces.
        |transport| while transport.write(&[b'.'; 50_000]) != WriteStatus::Closed {},
        |transport| {
            fill(transport);
            transport.set_write_timeout(SOON).unwrap();
        },
    ];
    for way in ways {
        let (probe, told) = Probe::new(move |told, transport| {
            if *told == Told::Made {
                way(transport);
            }
        });
        let served = serving(K::bind(K::builder().handle_error(|_| {}), probe));
        let mut client = narrow(&served.place);
        assert!(lost(&told).is_some());
        let (answer, end) = read_out(&mut client);
        assert!(answer.len() < 20 << 20);
        if matches!(served.place, Place::Tcp(_)) {
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
        served.stop();
    }
}

fn what_is_written_after_the_end_is_dropped<K: ReactorKind>() {
    let (sender, handles) = channel();
    let (served, told) = K::probe(move |told, transport| {
        if told.is_lost() {
            for _ in 0..10 {
                assert_eq!(transport.write(b"too late"), WriteStatus::Closed);
            }
            transport.close();
            transport.abort();
            transport.fail("too late");
            transport.pause_reading();
            assert!(transport.is_closing());
            sender.send(transport.handle()).unwrap();
        }
    });
    assert_eq!(served.exchange(b"x"), b"");
    assert_eq!(lost(&told), None);
    let handle = receive(&handles);
    for result in [handle.write(b"too late"), handle.close(), handle.abort()] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    }
    served.idle();
    assert_eq!(served.handle.stats().handler_errors, 0);
    served.stop();
}

fn a_failure_is_told_to_both<K: ReactorKind>() {
    let (handle_error, failures) = failures();
    let (probe, told) = Probe::new(|told, transport| {
        if let Told::Data(data) = told {
            match data[0] {
                b'0' => transport.fail("no such thing"),
                b'1' => transport.fail(io::Error::new(io::ErrorKind::Unsupported, "not here")),
                _ => transport.fail(Error::Timeout { phase: Phase::Read, address: "a database".into(), after: SOON }),
            }
            // The first word is the last.
            transport.fail("and another thing");
            transport.close();
        }
    });
    let served = serving(K::bind(K::builder().handle_error(handle_error), probe));
    let expected = [
        (&b"0"[..], io::ErrorKind::Other, "no such thing"),
        (b"1", io::ErrorKind::Unsupported, "not here"),
        (b"2", io::ErrorKind::TimedOut, "reading timed out after 20ms (a database)"),
    ];
    for (request, kind, text) in expected {
        assert_eq!(served.exchange(request), b"");
        assert_eq!(lost(&told), Some((kind, text.to_owned())));
        let failure = receive(&failures);
        assert!(failure.starts_with("transport of ") && failure.ends_with(&format!("failed: {text}")), "{failure}");
    }
    served.idle();
    assert_eq!(served.handle.stats().handler_errors, 3);
    served.stop();
    assert_eq!(failures.try_iter().count(), 0);
}

fn a_transport_knows_its_ends_and_its_server<K: ReactorKind>() {
    let (sender, seen) = channel();
    let (served, _told) = K::probe(move |told, transport| {
        if *told == Told::Made {
            let ends = (transport.peer_addr(), transport.local_addr().unwrap(), transport.id());
            let handle = transport.handle();
            assert_eq!((handle.peer_addr(), handle.id()), (ends.0.clone(), ends.2));
            let server = transport.server();
            assert_eq!(server.stats().active, 1);
            sender.send((ends, server.local_addr())).unwrap();
        }
    });
    let client = served.connect();
    let ((peer, local, id), server) = receive(&seen);
    assert_eq!(server, served.handle.local_addr());
    assert_eq!(local, served.handle.local_addr());
    assert_eq!(peer.as_socket_addr(), client.local_addr().unwrap().as_socket());
    drop(client);
    served.idle();
    let _client = served.connect();
    let ((_, _, next), _) = receive(&seen);
    assert_ne!(id, next);
    served.stop();
}

/// Counts what it has been given.
#[derive(Clone)]
struct Counting(u8);

impl Protocol for Counting {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        self.0 += data.len() as u8;
        transport.write(&[self.0]);
    }
}

fn each_connection_has_a_clone_of_its_own<K: ReactorKind>() {
    let served = K::serve(Counting(0));
    let mut clients: Vec<_> = (0..5).map(|_| served.connect()).collect();
    for round in 1..=3 {
        for client in &mut clients {
            client.write_all(b"x").unwrap();
            assert_eq!(read_byte(client), Some(round));
        }
    }
    drop(clients);
    served.stop();
}

/// Panics where it is told to, which the first connection is.
struct Fragile {
    clones: Arc<AtomicUsize>,
    at_drop: bool,
    armed: bool,
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        let first = self.clones.fetch_add(1, Ordering::SeqCst) == 0;
        assert!(self.at_drop || !first, "cannot be cloned");
        Fragile { clones: Arc::clone(&self.clones), at_drop: self.at_drop, armed: first }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!(self.armed && self.at_drop), "cannot be dropped");
    }
}

impl Protocol for Fragile {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.write(data);
    }
}

fn a_panic_in_clone_or_drop_costs_that_connection<K: ReactorKind>() {
    for at_drop in [false, true] {
        let (handle_error, told) = failures();
        let prototype = Fragile { clones: Arc::default(), at_drop, armed: false };
        let served = serving(K::bind(K::builder().handle_error(handle_error).max_connections(1), prototype));
        let answer = served.place.try_exchange(b"x");
        let failure = receive(&told);
        if at_drop {
            assert_eq!(answer.unwrap(), b"x");
            assert!(failure.starts_with("drop of the handler of ") && failure.ends_with("panicked: cannot be dropped"));
        } else {
            assert!(failure.starts_with("clone of the handler of ") && failure.ends_with("panicked: cannot be cloned"));
        }
        // Its place has been given back.
        assert_eq!(served.exchange(b"y"), b"y");
        served.idle();
        assert_eq!(served.handle.stats().panics, 1);
        served.stop();
    }
}

fn one_connection_that_floods_does_not_starve_the_others<K: ReactorKind>() {
    let served = K::serve(Echo);
    let flooding: Vec<_> = (0..3)
        .map(|_| {
            let mut client = served.connect();
            let mut reader = client.try_clone().unwrap();
            std::thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
            let (stop, stopped) = channel::<()>();
            let thread = std::thread::spawn(move || {
                while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    client.write_all(&[0; 65536]).unwrap();
                }
            });
            (stop, thread)
        })
        .collect();
    let mut client = served.connect();
    let started = Instant::now();
    for _ in 0..50 {
        client.write_all(b"x").unwrap();
        assert_eq!(read_byte(&mut client), Some(b'x'));
    }
    assert!(started.elapsed() < LONG / 4, "{:?}", started.elapsed());
    for (stop, thread) in flooding {
        drop(stop);
        thread.join().unwrap();
    }
    drop(client);
    served.stop();
}
