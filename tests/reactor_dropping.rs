//! Dropping an event-driven server in every state: it stops, frees the port, and never hangs.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use common::reactor::{held_up, until_lost, Echo, Probe, ReactorKind, Told};
use common::{eventually, read_all, read_byte, receive, Reach, LONG};

every_reactor! {
    dropped_before_the_start
    dropped_while_it_runs
    dropped_with_a_callback_that_computes_on
    dropped_in_a_panic
    dropped_by_its_own_callback
}

fn dropped_before_the_start<K: ReactorKind>() {
    for stopped in [false, true] {
        let (server, place) = K::bind(K::builder(), Echo);
        let handle = server.handle();
        if stopped {
            handle.shutdown();
        }
        let mut client = place.connect();
        drop(server);
        assert!(place.is_closed());
        let end = io::Read::read(&mut client, &mut [0]);
        assert!(!matches!(end, Ok(1..)), "{end:?}");
        assert!(handle.is_shutting_down());
        assert_eq!(handle.stats().accepted, 0);
    }
}

fn dropped_while_it_runs<K: ReactorKind>() {
    let (probe, told) = Probe::new(|_, _| {});
    let (server, place) = K::bind(K::builder(), probe);
    let running = server.spawn().unwrap();
    let handle = running.handle();
    let mut client = place.connect();
    assert_eq!(receive(&told), Told::Made);
    drop(running);
    assert!(place.is_closed());
    assert!(handle.is_shutting_down());
    assert_eq!(read_byte(&mut client), None);
    assert_eq!(until_lost(&told), [Told::ShuttingDown, Told::Lost(None)]);
    // The thread has ended, and with it the last clone of the protocol.
    assert!(told.recv_timeout(LONG).is_err());
    eventually("nobody is left", || handle.stats().active == 0);
}

fn dropped_with_a_callback_that_computes_on<K: ReactorKind>() {
    let (probe, told, release) = held_up(Told::is_data);
    let (server, place) = K::bind(K::builder().drain_timeout(None), probe);
    let running = server.spawn().unwrap();
    let handle = running.handle();
    let mut client = place.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(receive(&told), Told::Made);
    assert!(receive(&told).is_data());
    drop(running);
    assert!(place.is_closed());
    assert_eq!(handle.stats().active, 1);
    drop(release);
    assert_eq!(read_all(&mut client), b"x");
    drop(client);
    eventually("the callback returns", || handle.stats().active == 0);
}

fn dropped_in_a_panic<K: ReactorKind>() {
    let (sender, places) = channel();
    for running in [false, true] {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let (server, place) = K::bind(K::builder(), Echo);
            sender.send(place).unwrap();
            let _running = running.then(|| server.spawn().unwrap());
            panic!("so it goes");
        }));
        assert!(panicked.is_err());
        assert!(receive(&places).is_closed());
    }
}

/// The last owner of a `Running` may be a callback of that very server.
fn dropped_by_its_own_callback<K: ReactorKind>() {
    type Mailbox = Arc<Mutex<Option<Box<dyn Send>>>>;
    let mailbox = Mailbox::default();
    let of_callback = Mailbox::clone(&mailbox);
    let (probe, _told) = Probe::new(move |told, transport| {
        if told.is_data() {
            drop(of_callback.lock().unwrap().take());
            transport.write(b"bye");
        }
    });
    let (server, place) = K::bind(K::builder(), probe);
    let running = server.spawn().unwrap();
    let handle = running.handle();
    *mailbox.lock().unwrap() = Some(Box::new(running));
    let mut client = place.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(read_all(&mut client), b"bye");
    assert!(handle.is_shutting_down());
    assert!(place.is_closed());
}
