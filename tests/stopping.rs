//! Stopping: `shutdown` in every state, the drain and its deadline, and what `join` reports.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, BufRead, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use common::{
    computing, echo, eventually, failures, held, read_byte, receive, Caller, ComposedKind, Kind, Reach, Serves,
    StreamKind, Talk, LONG,
};
use socketserver::{handler_fn, Connection, Error, Handler};

const SHORT: Duration = Duration::from_millis(50);

every_kind! {
    a_stop_before_the_start_makes_it_return_at_once
    shutdown_is_idempotent_from_many_threads
    a_handler_can_shut_its_server_down
    a_handler_sees_that_a_shutdown_is_under_way
    a_request_under_way_is_served_to_its_end
    join_returns_although_a_handler_computes_on
}

composed_kinds! {
    a_server_serves_once
    a_request_that_is_not_blocked_on_is_left_alone
}

every_stream_kind! {
    a_handler_blocked_in_a_read_is_cut_at_the_deadline
    a_handler_blocked_in_a_write_is_cut_at_the_deadline
    a_cut_upload_does_not_look_complete
    a_zero_drain_timeout_cuts_at_once
    shutdown_within_shortens_a_drain_under_way
    shutdown_within_does_not_lengthen_a_drain
    the_listener_is_closed_while_the_drain_goes_on
}

threading_stream_kinds! {
    a_report_counts_who_drained_and_who_was_cut
}

fn a_stop_before_the_start_makes_it_return_at_once<K: Kind>() {
    let (mut server, place) = K::bind(K::builder(), echo());
    server.handle().shutdown();
    assert!(server.handle().is_shutting_down());
    assert!(server.serve_forever().unwrap().is_clean());
    assert!(place.is_closed());

    let (server, place) = K::bind(K::builder(), echo());
    server.handle().shutdown_within(Duration::ZERO);
    assert!(server.spawn().unwrap().join().unwrap().is_clean());
    assert!(place.is_closed());
}

fn a_server_serves_once<K: ComposedKind>() {
    let (mut server, _place) = K::bind(K::builder(), echo());
    let address = server.local_addr().to_string();
    server.handle().shutdown();
    server.serve_forever().unwrap();
    for error in [server.serve_forever().unwrap_err(), server.handle_request().unwrap_err()] {
        assert!(matches!(&error, Error::Closed { address: a } if *a == address), "{error:?}");
        assert!(error.to_string().contains(&address), "{error}");
    }
    assert!(matches!(server.spawn().unwrap_err(), Error::Closed { .. }));
}

fn shutdown_is_idempotent_from_many_threads<K: Kind>() {
    let served = K::serve(echo());
    let together = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (handle, together) = (served.handle.clone(), Arc::clone(&together));
            std::thread::spawn(move || {
                together.wait();
                for _ in 0..100 {
                    handle.shutdown();
                    handle.shutdown_within(LONG);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let handle = served.handle.clone();
    assert!(served.join().unwrap().is_clean());
    // After the end too.
    handle.shutdown();
    assert!(handle.is_shutting_down());
}

/// In Python a deadlock.
fn a_handler_can_shut_its_server_down<K: Kind>() {
    let served = K::serve(handler_fn(|request: &mut K::Request| {
        request.serving().shutdown();
        Ok(request.say(b"bye")?)
    }));
    assert_eq!(served.place.ask(b""), b"bye");
    let place = served.place.clone();
    assert!(served.join().unwrap().is_clean());
    assert!(place.is_closed());
}

fn a_handler_sees_that_a_shutdown_is_under_way<K: Kind>() {
    let served = K::serve(handler_fn(|request: &mut K::Request| {
        request.say(b"+")?;
        eventually("a shutdown", || request.serving().is_shutting_down());
        Ok(request.say(b"-")?)
    }));
    let mut client = served.place.begin();
    let report = served.stop();
    assert_eq!((report.drained, report.abandoned, report.still_running), (1, 0, 0));
    assert_eq!(client.answer(), b"-");
}

fn a_request_under_way_is_served_to_its_end<K: Kind>() {
    let (handler, release) = held();
    let served = K::serve(handler);
    let mut client = served.place.begin();
    served.handle.shutdown();
    drop(release);
    let report = served.join().unwrap();
    assert_eq!((report.drained, report.abandoned, report.still_running), (1, 0, 0));
    client.hears_nothing();
}

fn join_returns_although_a_handler_computes_on<K: Kind>() {
    let (handler, release) = computing();
    let (server, place) = K::bind(K::builder().drain_timeout(SHORT), handler);
    let running = server.spawn().unwrap();
    let handle = running.handle();
    let _client = place.begin();
    let started = Instant::now();
    let report = running.stop().unwrap();
    assert!(started.elapsed() < LONG / 2, "not before the handler ended");
    assert_eq!((report.drained, report.abandoned, report.still_running), (0, 1, 1));
    assert!(!report.is_clean());
    assert!(place.is_closed_or_held());
    assert_eq!(handle.stats().active, 1);
    drop(release);
    eventually("the handler ends", || handle.stats().active == 0);
    place.closes();
}

/// Python's `block_on_close = False`.
fn a_request_that_is_not_blocked_on_is_left_alone<K: ComposedKind>() {
    let (release, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let handler = handler_fn(move |request: &mut K::Request| {
        request.say(b"+")?;
        let _ = wait.lock().unwrap().recv_timeout(LONG);
        Ok(request.say(b"-")?)
    });
    let (server, place) = K::bind(K::builder().block_on_close(false).drain_timeout(Duration::ZERO), handler);
    let running = server.spawn().unwrap();
    let handle = running.handle();
    let mut client = place.begin();
    let report = running.stop().unwrap();
    assert_eq!((report.drained, report.abandoned, report.still_running), (0, 0, 1));
    assert!(place.is_closed_or_held());
    drop(release);
    // Its end is as clean as any.
    assert_eq!(client.answer(), b"-");
    eventually("the handler ends", || handle.stats().active == 0);
    client.hears_nothing();
    assert_eq!(handle.stats().handler_errors, 0);
}

/// Runs `wait`, which blocks on the connection, and gives what it failed with. Says `+` first.
fn blocked(
    wait: impl Fn(&mut Connection) -> io::Result<usize> + Clone + Send + 'static,
) -> (impl Handler + Clone, Receiver<io::Result<usize>>) {
    let (sender, ended) = channel();
    let handler = handler_fn(move |request: &mut Connection| {
        request.write_all(b"+")?;
        Ok(sender.send(wait(request))?)
    });
    (handler, ended)
}

fn is_cut(result: io::Result<usize>) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted, "{error}");
    assert!(matches!(Error::of(&error), Some(Error::Cut { .. })), "{error:?}");
    assert!(error.to_string().contains("shutting down"), "{error}");
}

/// In Python the close waits for an idle client for ever.
fn a_handler_blocked_in_a_read_is_cut_at_the_deadline<K: StreamKind>() {
    let (handler, ended) = blocked(|request| request.read(&mut [0]));
    let (handle_error, told) = failures();
    let served = K::serve_as(K::builder().drain_timeout(SHORT).handle_error(handle_error), handler);
    let mut client = served.connect();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    let started = Instant::now();
    let report = served.stop();
    assert!(started.elapsed() >= SHORT);
    assert_eq!((report.drained, report.abandoned), (0, 1));
    is_cut(receive(&ended));
    assert_eq!(read_byte(&mut client), None);
    // The handler has taken it well; that the close cannot is at most a disconnect.
    assert!(told.try_iter().all(|failure| failure.starts_with("close of ") && failure.contains(" cut: ")));
}

fn a_handler_blocked_in_a_write_is_cut_at_the_deadline<K: StreamKind>() {
    let (handler, ended) = blocked(|request| {
        request.set_write_timeout(None)?;
        loop {
            request.write_all(&[0; 65536])?;
        }
    });
    let served = K::serve_as(K::builder().drain_timeout(SHORT), handler);
    let mut client = served.connect();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    let report = served.stop();
    assert_eq!((report.drained, report.abandoned), (0, 1));
    is_cut(receive(&ended));
}

/// After `shutdown(Both)` the kernel says a clean end of file.
fn a_cut_upload_does_not_look_complete<K: StreamKind>() {
    let (handler, ended) = blocked(|request| {
        let mut upload = Vec::new();
        let result = request.read_to_end(&mut upload);
        assert_eq!(upload, b"half of it");
        // Nor does anything that is tried afterwards.
        is_cut(request.read(&mut [0; 10]));
        is_cut(request.read(&mut [0; 65536]));
        is_cut(request.read_line(&mut String::new()));
        is_cut(request.fill_buf().map(<[u8]>::len));
        is_cut(request.write(b"x"));
        is_cut(request.write_all(b"x").map(|()| 0));
        is_cut(request.writer().try_write(b"x").map(|()| 0));
        is_cut(request.flush().map(|()| 0));
        result
    });
    let served = K::serve_as(K::builder().drain_timeout(SHORT), handler);
    let mut client = served.connect();
    client.write_all(b"half of it").unwrap();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    let handle = served.handle.clone();
    served.stop();
    is_cut(receive(&ended));
    eventually("the request ends", || handle.stats().active == 0);
    assert_eq!(handle.stats().panics, 0);
}

fn a_zero_drain_timeout_cuts_at_once<K: StreamKind>() {
    let (handler, ended) = blocked(|request| request.read(&mut [0]));
    let served = K::serve_as(K::builder().drain_timeout(Duration::ZERO), handler);
    let mut client = served.connect();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    assert_eq!(served.stop().abandoned, 1);
    is_cut(receive(&ended));
}

/// What a second Ctrl-C does.
fn shutdown_within_shortens_a_drain_under_way<K: StreamKind>() {
    let (handler, ended) = blocked(|request| request.read(&mut [0]));
    let served = K::serve_as(K::builder().drain_timeout(None), handler);
    let mut client = served.connect();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    served.handle.shutdown();
    served.handle.shutdown_within(SHORT);
    assert_eq!(served.join().unwrap().abandoned, 1);
    is_cut(receive(&ended));
}

fn shutdown_within_does_not_lengthen_a_drain<K: StreamKind>() {
    let (handler, _ended) = blocked(|request| request.read(&mut [0]));
    let served = K::serve_as(K::builder().drain_timeout(SHORT), handler);
    let mut client = served.connect();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    served.handle.shutdown();
    let started = Instant::now();
    served.handle.shutdown_within(LONG);
    served.handle.shutdown();
    assert_eq!(served.join().unwrap().abandoned, 1);
    assert!(started.elapsed() < LONG / 2);
}

fn the_listener_is_closed_while_the_drain_goes_on<K: StreamKind>() {
    let (handler, release) = held();
    let served = K::serve(handler);
    let _client = served.place.begin();
    served.handle.shutdown();
    // Each look may become a client that is served, if it is early enough.
    eventually("the listener is closed", || served.place.is_closed());
    assert!(served.handle.stats().active >= 1);
    drop(release);
    assert!(served.join().unwrap().drained >= 1);
}

fn a_report_counts_who_drained_and_who_was_cut<K: StreamKind + ComposedKind>() {
    // Served until its end comes, or computing on if it says so.
    let (release, computing) = channel::<()>();
    let computing = Arc::new(Mutex::new(computing));
    let handler = handler_fn(move |request: &mut Connection| {
        let mut words = String::new();
        request.write_all(b"+")?;
        if request.read_line(&mut words)? > 0 {
            request.write_all(b"!")?;
            let _ = computing.lock().unwrap().recv_timeout(LONG);
        }
        Ok(())
    });
    let served = K::serve_as(K::builder().drain_timeout(None), handler);
    let mut clients: Vec<_> = (0..6).map(|_| served.connect()).collect();
    for client in &mut clients {
        assert_eq!(read_byte(client), Some(b'+'));
    }
    clients[0].write_all(b"compute\n").unwrap();
    assert_eq!(read_byte(&mut clients[0]), Some(b'!'));
    served.handle.shutdown();
    for client in &mut clients[1..4] {
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_byte(client), None);
    }
    eventually("three have drained", || served.handle.stats().active == 3);
    served.handle.shutdown_within(Duration::ZERO);
    let report = served.join().unwrap();
    assert_eq!((report.drained, report.abandoned, report.still_running), (3, 3, 1));
    drop(release);
}
