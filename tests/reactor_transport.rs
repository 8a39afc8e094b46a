//! What a transport says and does, and what is a connection's own: its clone, its end, its errors.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::reactor::{fill, flood, lost, narrow, read_out, serving, until_lost, Echo, Probe, ReactorKind, Told};
use common::{failures, read_all, read_byte, receive, Place, LONG};
use socketserver::reactor::WriteStatus;
use socketserver::{Error, Phase, Protocol, Transport};

every_reactor! {
    abort_drops_the_buffer
    what_is_thrown_away_does_not_look_like_the_whole_answer
    what_is_written_after_the_end_is_dropped
    a_failure_is_told_to_both
    a_transport_knows_its_ends_and_its_server
    each_connection_has_a_clone_of_its_own
    a_panic_in_clone_or_drop_costs_that_connection
    one_connection_that_floods_does_not_starve_the_others
}

const SOON: Duration = Duration::from_millis(20);

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
            flood(transport);
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
