//! Drop in every state: it stops the server, frees the address, and never hangs.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{Read, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{echo, eventually, held, read_byte, receive, run, Caller, Kind, Reach, StreamKind, Talk};
use socketserver::{handler_fn, Connection, Error, Handled};

every_kind! {
    never_started
    stopped_but_never_started
    running_and_idle
    running_with_a_handler_that_computes_on
    running_with_a_handler_that_has_more_to_say
    after_the_end
    in_a_panic
    a_handle_outlives_its_server
    by_its_own_handler
}

every_stream_kind! {
    running_with_a_blocked_handler
}

threading_kinds! {
    with_requests_that_handle_request_gave_to_threads
}

fn never_started<K: Kind>() {
    let (server, place) = K::bind(K::builder(), echo());
    // In the kernel's queue: nobody will serve it, and where there is a connection it learns so.
    let mut client = place.call(b"x");
    drop(server);
    assert!(place.is_closed());
    client.is_not_served();
}

fn stopped_but_never_started<K: Kind>() {
    let (server, place) = K::bind(K::builder(), echo());
    server.handle().shutdown();
    drop(server);
    assert!(place.is_closed());
}

fn running_and_idle<K: Kind>() {
    let (server, place) = K::bind(K::builder(), echo());
    let running = server.spawn().unwrap();
    assert_eq!(place.ask(b"x"), b"x");
    let handle = running.handle();
    eventually("it is idle", || handle.stats().active == 0);
    drop(running);
    assert!(place.is_closed());
    assert!(handle.is_shutting_down());
}

fn running_with_a_blocked_handler<K: StreamKind>() {
    let (sender, ended) = channel();
    let handler = handler_fn(move |request: &mut Connection| {
        request.write_all(b"+")?;
        Ok(sender.send(request.read(&mut [0]))?)
    });
    let (server, place) = K::bind(K::builder().drain_timeout(Duration::from_millis(50)), handler);
    let running = server.spawn().unwrap();
    let mut client = place.connect();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    drop(running);
    assert!(place.is_closed());
    // The drain goes on behind the scenes.
    let error = receive(&ended).unwrap_err();
    assert!(matches!(Error::of(&error), Some(Error::Cut { .. })), "{error:?}");
}

fn running_with_a_handler_that_computes_on<K: Kind>() {
    let (handler, release) = held();
    let (server, place) = K::bind(K::builder().drain_timeout(None), handler);
    let running = server.spawn().unwrap();
    let mut client = place.begin();
    let handle = running.handle();
    drop(running);
    assert!(place.is_closed_or_held());
    assert_eq!(handle.stats().active, 1);
    drop(release);
    eventually("the handler ends", || handle.stats().active == 0);
    client.hears_nothing();
    place.closes();
}

/// A datagram's answer comes from the server's own address even then, which a connected client insists upon.
fn running_with_a_handler_that_has_more_to_say<K: Kind>() {
    let handler = handler_fn(|request: &mut K::Request| {
        request.say(b"+")?;
        eventually("a shutdown", || request.serving().is_shutting_down());
        Ok(request.say(b"late")?)
    });
    let (server, place) = K::bind(K::builder(), handler);
    let running = server.spawn().unwrap();
    let mut client = place.begin();
    drop(running);
    assert_eq!(client.answer(), b"late");
}

fn after_the_end<K: Kind>() {
    let (mut server, place) = K::bind(K::builder(), echo());
    let handle = server.handle();
    handle.shutdown();
    server.serve_forever().unwrap();
    assert!(place.is_closed());
    drop(server);
    handle.shutdown();
}

fn in_a_panic<K: Kind>() {
    for started in [false, true] {
        let (sender, places) = channel();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let (server, place) = K::bind(K::builder(), echo());
            if started {
                let running = server.spawn().unwrap();
                assert_eq!(place.ask(b"x"), b"x");
                eventually("it is idle", || running.handle().stats().active == 0);
                sender.send(place).unwrap();
                panic!("with a server that runs");
            }
            sender.send(place).unwrap();
            panic!("with a server that was never started");
        }));
        assert!(panicked.is_err());
        assert!(receive(&places).is_closed());
    }
}

fn a_handle_outlives_its_server<K: Kind>() {
    let (server, place) = K::bind(K::builder(), echo());
    let handle = server.handle();
    let address = handle.local_addr();
    drop(server);
    handle.shutdown();
    handle.shutdown_within(Duration::ZERO);
    assert_eq!(handle.local_addr(), address);
    assert_eq!(handle.stats().accepted, 0);
    assert!(place.is_closed());
}

/// The last owner of a `Running` may be a handler of that very server.
fn by_its_own_handler<K: Kind>() {
    type Mailbox = Arc<Mutex<Option<Box<dyn Send>>>>;
    let mailbox = Mailbox::default();
    let of_handler = Mailbox::clone(&mailbox);
    let handler = handler_fn(move |request: &mut K::Request| {
        drop(of_handler.lock().unwrap().take());
        Ok(request.say(b"bye")?)
    });
    let (server, place) = K::bind(K::builder(), handler);
    let running = server.spawn().unwrap();
    let handle = running.handle();
    *mailbox.lock().unwrap() = Some(Box::new(running));
    assert_eq!(place.ask(b""), b"bye");
    assert!(handle.is_shutting_down());
    place.closes();
}

fn with_requests_that_handle_request_gave_to_threads<K: Kind>() {
    let (handler, release) = held();
    let (mut server, place) = K::bind(K::builder().drain_timeout(None), handler);
    let mut client = place.call(b"x");
    assert!(matches!(server.handle_request().unwrap(), Handled::Served));
    client.begun();
    let handle = server.handle();
    drop(server);
    assert!(place.is_closed_or_held());
    drop(release);
    eventually("the handler ends", || handle.stats().active == 0);
    client.hears_nothing();
    place.closes();
}

/// And they are cut at the deadline, as in any other stop.
#[test]
fn a_dropped_server_drains_with_its_deadline() {
    fn check<K: StreamKind>() {
        let (sender, ended) = channel();
        let handler = handler_fn(move |request: &mut Connection| Ok(sender.send(request.read(&mut [0]))?));
        let (mut server, place) = K::bind(K::builder().drain_timeout(Duration::from_millis(20)), handler);
        let _client = place.connect();
        server.handle_request().unwrap();
        drop(server);
        let error = receive(&ended).unwrap_err();
        assert!(matches!(Error::of(&error), Some(Error::Cut { .. })), "{error:?}");
    }
    run(check::<socketserver::ThreadingTcpServer>);
}
