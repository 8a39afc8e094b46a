//! Datagram servers: stopping and dropping in every state, the hooks, and `handle_request`.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[macro_use]
#[path = "common/datagrams.rs"]
mod datagrams;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use common::{eventually, expect_interval, failures, receive, Served, LONG};
use datagrams::{accepted, echo, held, DatagramKind, Spot};
use socketserver::server::Cause;
use socketserver::{handler_fn, Datagram, Error, Failure, Handled, Stage};

const SHORT: Duration = Duration::from_millis(50);

every_datagram_kind! {
    a_stop_before_the_start_makes_it_return_at_once
    a_server_serves_once
    shutdown_is_idempotent_from_many_threads
    a_handler_can_shut_its_server_down
    a_request_under_way_is_served_to_its_end
    the_address_is_free_when_the_last_request_has_ended
    join_returns_although_a_handler_computes_on
    a_request_that_is_not_blocked_on_is_left_alone
    a_datagram_that_waits_at_a_stop_finds_a_free_place
    dropped_when_it_was_never_started
    dropped_when_it_was_stopped_but_never_started
    dropped_while_it_runs_and_is_idle
    dropped_while_a_handler_computes_on
    dropped_after_the_end
    dropped_in_a_panic
    dropped_by_its_own_handler
    a_handle_outlives_its_server
    an_answer_after_the_drop_arrives
    a_panic_in_verify_request_counts_as_a_no
    a_panic_in_handle_error_harms_nobody
    a_failure_says_the_stage_the_peer_and_the_cause
    service_actions_run_at_their_interval
    a_panic_in_service_actions_harms_nobody
    service_actions_can_shut_the_server_down
    handle_request_serves_one
    handle_request_times_out
    handle_request_with_a_timeout_of_zero_looks_once
    handle_request_ends_at_a_shutdown
    a_panic_in_handle_timeout_harms_nobody
}

threading_datagram_kinds! {
    dropped_with_requests_that_handle_request_gave_to_threads
}

fn a_stop_before_the_start_makes_it_return_at_once<K: DatagramKind>() {
    let (mut server, spot) = K::bind(K::builder(), echo());
    server.handle().shutdown();
    assert!(server.handle().is_shutting_down());
    assert!(server.serve_forever().unwrap().is_clean());
    assert!(spot.is_free());

    let (server, spot) = K::bind(K::builder(), echo());
    server.handle().shutdown_within(Duration::ZERO);
    assert!(server.spawn().unwrap().join().unwrap().is_clean());
    assert!(spot.is_free());
}

fn a_server_serves_once<K: DatagramKind>() {
    let (mut server, _spot) = K::bind(K::builder(), echo());
    let address = server.local_addr().to_string();
    server.handle().shutdown();
    server.serve_forever().unwrap();
    for error in [server.serve_forever().unwrap_err(), server.handle_request().unwrap_err()] {
        assert!(matches!(&error, Error::Closed { address: a } if *a == address), "{error:?}");
    }
    assert!(matches!(server.spawn().unwrap_err(), Error::Closed { .. }));
}

fn shutdown_is_idempotent_from_many_threads<K: DatagramKind>() {
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
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let handle = served.handle.clone();
    assert!(served.join().unwrap().is_clean());
    handle.shutdown();
    assert!(handle.is_shutting_down());
}

/// In Python a deadlock.
fn a_handler_can_shut_its_server_down<K: DatagramKind>() {
    let served = K::serve(handler_fn(|request: &mut Datagram| {
        request.server().shutdown();
        Ok(request.reply(b"bye")?)
    }));
    let client = served.place.client();
    assert_eq!(client.ask(b""), b"bye");
    let spot = served.place.clone();
    assert!(served.join().unwrap().is_clean());
    assert!(spot.is_free());
}

fn a_request_under_way_is_served_to_its_end<K: DatagramKind>() {
    let handler = handler_fn(|request: &mut Datagram| {
        request.reply(b"+")?;
        eventually("a shutdown", || request.server().is_shutting_down());
        Ok(request.reply(b"-")?)
    });
    let served = K::serve(handler);
    let client = served.place.client();
    client.begin();
    let report = served.stop();
    assert_eq!((report.drained, report.abandoned, report.still_running), (1, 0, 0));
    assert_eq!(client.receive(), b"-");
}

/// A UDP port is the socket's that the request answers through. A Unix path is gone as soon as nothing is received any more.
fn the_address_is_free_when_the_last_request_has_ended<K: DatagramKind>() {
    let (handler, release) = held();
    let served = K::serve(handler);
    let (client, spot) = (served.place.client(), served.place.clone());
    client.begin();
    served.handle.shutdown();
    if !K::is_udp() {
        eventually("the path is gone", || spot.is_free());
    } else {
        assert!(!spot.is_free());
    }
    drop(release);
    assert_eq!(served.join().unwrap().drained, 1);
    assert!(spot.is_free());
}

fn join_returns_although_a_handler_computes_on<K: DatagramKind>() {
    let (handler, release) = held();
    let (server, spot) = K::bind(K::builder().drain_timeout(SHORT), handler);
    let running = server.spawn().unwrap();
    let handle = running.handle();
    spot.client().begin();
    let started = Instant::now();
    let report = running.stop().unwrap();
    assert!(started.elapsed() < LONG / 2, "not before the handler ended");
    assert_eq!((report.drained, report.abandoned, report.still_running), (0, 1, 1));
    assert_eq!(handle.stats().active, 1);
    drop(release);
    eventually("the handler ends", || handle.stats().active == 0);
    eventually("the address is free", || spot.is_free());
}

/// Python's `block_on_close = False`.
fn a_request_that_is_not_blocked_on_is_left_alone<K: DatagramKind>() {
    let handler = handler_fn(|request: &mut Datagram| {
        request.reply(b"+")?;
        eventually("a shutdown", || request.server().is_shutting_down());
        std::thread::sleep(SHORT);
        Ok(request.reply(b"-")?)
    });
    let (server, spot) = K::bind(K::builder().block_on_close(false).drain_timeout(Duration::ZERO), handler);
    let running = server.spawn().unwrap();
    let handle = running.handle();
    let client = spot.client();
    client.begin();
    let report = running.stop().unwrap();
    assert_eq!((report.drained, report.abandoned), (0, 0));
    assert_eq!(client.receive(), b"-");
    eventually("the handler ends", || handle.stats().active == 0);
    assert_eq!(handle.stats().handler_errors, 0);
}

/// As a client in the kernel's queue does.
fn a_datagram_that_waits_at_a_stop_finds_a_free_place<K: DatagramKind>() {
    let stop = Arc::new(Mutex::new(None::<Box<dyn FnOnce() + Send>>));
    let of_hook = Arc::clone(&stop);
    // The stop comes during a request, when another one waits already.
    let handler = handler_fn(move |request: &mut Datagram| {
        if let Some(stop) = of_hook.lock().unwrap().take() {
            stop();
        }
        Ok(request.reply(request.data())?)
    });
    let (server, spot) = K::bind(K::builder(), handler);
    let (handle, client) = (server.handle(), spot.client());
    let sends = spot.client();
    *stop.lock().unwrap() = Some(Box::new(move || {
        sends.send(b"too late?");
        handle.shutdown();
    }));
    client.send(b"first");
    let served = Served::new((server, spot));
    assert_eq!(client.receive(), b"first");
    let handle = served.handle.clone();
    assert!(served.join().unwrap().is_clean());
    // On a sequential server somebody else sees to the stop meanwhile, and closes the socket.
    assert!((1..=2).contains(&handle.stats().accepted));
    assert_eq!(handle.stats().dropped, 0);
}

fn dropped_when_it_was_never_started<K: DatagramKind>() {
    let (server, spot) = K::bind(K::builder(), echo());
    let client = spot.client();
    client.send(b"nobody will see this");
    drop(server);
    assert!(spot.is_free());
}

fn dropped_when_it_was_stopped_but_never_started<K: DatagramKind>() {
    let (server, spot) = K::bind(K::builder(), echo());
    server.handle().shutdown();
    drop(server);
    assert!(spot.is_free());
}

fn dropped_while_it_runs_and_is_idle<K: DatagramKind>() {
    let (server, spot) = K::bind(K::builder(), echo());
    let running = server.spawn().unwrap();
    assert_eq!(spot.ask(b"x"), b"x");
    let handle = running.handle();
    eventually("it is idle", || handle.stats().active == 0);
    drop(running);
    assert!(spot.is_free());
    assert!(handle.is_shutting_down());
}

fn dropped_while_a_handler_computes_on<K: DatagramKind>() {
    let (handler, release) = held();
    let (server, spot) = K::bind(K::builder().drain_timeout(None), handler);
    let running = server.spawn().unwrap();
    spot.client().begin();
    let handle = running.handle();
    drop(running);
    assert_eq!(handle.stats().active, 1);
    drop(release);
    eventually("the handler ends", || handle.stats().active == 0);
    eventually("the address is free", || spot.is_free());
}

fn dropped_after_the_end<K: DatagramKind>() {
    let (mut server, spot) = K::bind(K::builder(), echo());
    let handle = server.handle();
    handle.shutdown();
    server.serve_forever().unwrap();
    assert!(spot.is_free());
    drop(server);
    handle.shutdown();
}

fn dropped_in_a_panic<K: DatagramKind>() {
    for started in [false, true] {
        let (sender, spots) = channel::<Spot>();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let (server, spot) = K::bind(K::builder(), echo());
            sender.send(spot).unwrap();
            if started {
                let _running = server.spawn().unwrap();
                panic!("with a server that runs");
            }
            panic!("with a server that was never started");
        }));
        assert!(panicked.is_err());
        assert!(receive(&spots).is_free());
    }
}

/// The last owner of a `Running` may be a handler of that very server.
fn dropped_by_its_own_handler<K: DatagramKind>() {
    type Mailbox = Arc<Mutex<Option<Box<dyn Send>>>>;
    let mailbox = Mailbox::default();
    let of_handler = Mailbox::clone(&mailbox);
    let handler = handler_fn(move |request: &mut Datagram| {
        drop(of_handler.lock().unwrap().take());
        Ok(request.reply(b"bye")?)
    });
    let (server, spot) = K::bind(K::builder(), handler);
    let running = server.spawn().unwrap();
    let handle = running.handle();
    *mailbox.lock().unwrap() = Some(Box::new(running));
    assert_eq!(spot.ask(b""), b"bye");
    assert!(handle.is_shutting_down());
    eventually("the address is free", || spot.is_free());
}

fn a_handle_outlives_its_server<K: DatagramKind>() {
    let (server, spot) = K::bind(K::builder(), echo());
    let handle = server.handle();
    let address = handle.local_addr();
    drop(server);
    handle.shutdown();
    handle.shutdown_within(Duration::ZERO);
    assert_eq!(handle.local_addr(), address);
    assert_eq!(handle.stats().accepted, 0);
    assert!(spot.is_free());
}

/// From the server's own address, which a connected client insists upon.
fn an_answer_after_the_drop_arrives<K: DatagramKind>() {
    let handler = handler_fn(|request: &mut Datagram| {
        request.reply(b"+")?;
        eventually("a shutdown", || request.server().is_shutting_down());
        Ok(request.reply(b"late")?)
    });
    let (server, spot) = K::bind(K::builder(), handler);
    let running = server.spawn().unwrap();
    let client = spot.client();
    client.begin();
    drop(running);
    assert_eq!(client.receive(), b"late");
}

fn dropped_with_requests_that_handle_request_gave_to_threads<K: DatagramKind>() {
    let (handler, release) = held();
    let (mut server, spot) = K::bind(K::builder().drain_timeout(None), handler);
    let client = spot.client();
    client.send(b"x");
    assert!(matches!(server.handle_request().unwrap(), Handled::Served));
    assert_eq!(client.receive(), b"+");
    let handle = server.handle();
    drop(server);
    drop(release);
    eventually("the handler ends", || handle.stats().active == 0);
    eventually("the address is free", || spot.is_free());
}

/// In Python the end of the server.
fn a_panic_in_verify_request_counts_as_a_no<K: DatagramKind>() {
    let (handle_error, told) = failures();
    let first = AtomicUsize::new(0);
    let builder = K::builder().handle_error(handle_error).verify_request(move |_| {
        assert!(first.fetch_add(1, Ordering::SeqCst) > 0, "cannot say");
        true
    });
    let served = K::serve_as(builder, echo());
    let client = served.place.client();
    client.send(b"x");
    assert_eq!(receive(&told), format!("verify_request of {} panicked: cannot say", client.address()));
    served.idle();
    client.hears_nothing();
    assert_eq!(client.ask(b"y"), b"y");
    accepted(&served, 2);
    let stats = served.handle.stats();
    assert_eq!((stats.rejected, stats.panics), (1, 1));
    served.stop();
}

/// In Python the end of the server.
fn a_panic_in_handle_error_harms_nobody<K: DatagramKind>() {
    let builder = K::builder().handle_error(|failure| panic!("what is one to do about {failure}"));
    let served = K::serve_as(builder, handler_fn(|_: &mut Datagram| Err("an error".into())));
    (0..3).for_each(|_| served.place.client().send(b""));
    accepted(&served, 3);
    let stats = served.handle.stats();
    assert_eq!((stats.handler_errors, stats.panics), (3, 3));
    assert!(served.stop().is_clean());
}

fn a_failure_says_the_stage_the_peer_and_the_cause<K: DatagramKind>() {
    let (sender, told) = channel();
    let sender = Mutex::new(sender);
    let builder = K::builder().handle_error(move |failure: &Failure| {
        let Cause::Error(error) = failure.cause() else { panic!("{failure}") };
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        sender.lock().unwrap().send((failure.stage(), failure.peer().cloned(), kind)).unwrap();
    });
    let handler = handler_fn(|request: &mut Datagram| {
        std::io::Read::read_exact(request, &mut [0; 10])?;
        Ok(())
    });
    let served = K::serve_as(builder, handler);
    let client = served.place.client();
    client.send(b"half");
    let expected = (Stage::Handle, Some(client.address()), Some(std::io::ErrorKind::UnexpectedEof));
    assert_eq!(receive(&told), expected);
    served.stop();
}

fn service_actions_run_at_their_interval<K: DatagramKind>() {
    const INTERVAL: Duration = Duration::from_millis(20);
    let (sender, ran) = channel();
    let builder = K::builder().service_actions(INTERVAL, move |_| sender.send(Instant::now()).unwrap());
    let started = Instant::now();
    let served = K::serve_as(builder, echo());
    expect_interval(&ran, started, INTERVAL);
    assert_eq!(served.place.ask(b"x"), b"x");
    receive(&ran);
    served.stop();
    ran.try_iter().count();
    assert!(ran.recv().is_err(), "the hook is dropped with the server");
}

/// In Python the end of the server.
fn a_panic_in_service_actions_harms_nobody<K: DatagramKind>() {
    let (handle_error, told) = failures();
    let builder =
        K::builder().handle_error(handle_error).service_actions(Duration::from_millis(1), |_| panic!("no action"));
    let served = K::serve_as(builder, echo());
    for _ in 0..3 {
        assert_eq!(receive(&told), "service_actions panicked: no action");
        assert_eq!(served.place.ask(b"x"), b"x");
    }
    served.stop();
}

fn service_actions_can_shut_the_server_down<K: DatagramKind>() {
    let builder = K::builder().service_actions(Duration::from_millis(1), |server| server.shutdown());
    let (mut server, spot) = K::bind(builder, echo());
    assert!(server.serve_forever().unwrap().is_clean());
    assert!(spot.is_free());
}

fn handle_request_serves_one<K: DatagramKind>() {
    let (mut server, spot) = K::bind(K::builder(), echo());
    let client = spot.client();
    (1..4u8).for_each(|number| client.send(&[number]));
    for number in 1..4u8 {
        assert!(matches!(server.handle_request().unwrap(), Handled::Served));
        assert_eq!(client.receive(), [number]);
        client.hears_nothing();
    }
    // After which it can serve for ever.
    let served = Served::new((server, spot));
    assert_eq!(client.ask(b"x"), b"x");
    accepted(&served, 4);
    served.stop();
}

fn timing_out<K: DatagramKind>(timeout: Duration) {
    let count = Arc::new(AtomicUsize::new(0));
    let hook = Arc::clone(&count);
    let builder = K::builder().timeout(timeout).handle_timeout(move |_| {
        hook.fetch_add(1, Ordering::SeqCst);
    });
    let (mut server, spot) = K::bind(builder, echo());
    let started = Instant::now();
    assert!(matches!(server.handle_request().unwrap(), Handled::TimedOut));
    assert!(started.elapsed() >= timeout);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // What waits already is served, whatever the timeout.
    let client = spot.client();
    client.send(b"x");
    assert!(matches!(server.handle_request().unwrap(), Handled::Served));
    assert_eq!(client.receive(), b"x");
}

fn handle_request_times_out<K: DatagramKind>() {
    timing_out::<K>(Duration::from_millis(30));
}

fn handle_request_with_a_timeout_of_zero_looks_once<K: DatagramKind>() {
    timing_out::<K>(Duration::ZERO);
}

fn handle_request_ends_at_a_shutdown<K: DatagramKind>() {
    let (mut server, _spot) = K::bind(K::builder(), echo());
    let handle = server.handle();
    let waiting = std::thread::spawn(move || [server.handle_request(), server.handle_request()]);
    handle.shutdown();
    for outcome in waiting.join().unwrap() {
        assert!(matches!(outcome.unwrap(), Handled::ShutDown));
    }
}

fn a_panic_in_handle_timeout_harms_nobody<K: DatagramKind>() {
    let (handle_error, told) = failures();
    let builder = K::builder()
        .timeout(Duration::from_millis(1))
        .handle_error(handle_error)
        .handle_timeout(|_| panic!("nobody came"));
    let (mut server, _spot) = K::bind(builder, echo());
    for _ in 0..2 {
        assert!(matches!(server.handle_request().unwrap(), Handled::TimedOut));
        assert_eq!(receive(&told), "handle_timeout panicked: nobody came");
    }
}
