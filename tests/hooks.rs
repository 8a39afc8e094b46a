//! The hooks and `handle_request`: what each is told, and that none can harm the server.
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

use common::{echo, expect_interval, failures, held, read_all, read_byte, receive, Kind, Served};
use socket2::Socket;
use socketserver::server::Cause;
use socketserver::{handler_fn, Connection, Failure, Handled, Handler, HandlerResult, Overload, Stage};

every_kind! {
    a_panic_in_verify_request_counts_as_a_no
    a_panic_in_handle_error_harms_nobody
    a_failure_says_the_stage_the_peer_and_the_cause
    a_failing_setup_runs_nothing_else
    a_failing_finish_does_not_hide_the_handlers_error
    service_actions_run_at_their_interval
    a_panic_in_service_actions_harms_nobody
    service_actions_can_shut_the_server_down
    handle_request_serves_one
    handle_request_times_out
    handle_request_with_a_timeout_of_zero_looks_once
    handle_request_ends_at_a_shutdown
    a_panic_in_handle_timeout_harms_nobody
    a_peer_that_resets_harms_nobody
}

threading_kinds! {
    handle_request_turns_away_at_the_ceiling
}

/// In Python the end of the server, with a leak.
fn a_panic_in_verify_request_counts_as_a_no<K: Kind>() {
    let (handle_error, told) = failures();
    let first = AtomicUsize::new(0);
    let builder = K::builder().handle_error(handle_error).verify_request(move |_| {
        assert!(first.fetch_add(1, Ordering::SeqCst) > 0, "cannot say");
        true
    });
    let served = Served::new(K::bind(builder, echo()));
    assert_eq!(served.exchange(b"x"), b"");
    let failure = receive(&told);
    assert!(failure.starts_with("verify_request of ") && failure.ends_with("panicked: cannot say"), "{failure}");
    assert_eq!(served.exchange(b"x"), b"x");
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.rejected, stats.panics), (2, 1, 1));
    served.stop();
}

/// In Python the end of the server.
fn a_panic_in_handle_error_harms_nobody<K: Kind>() {
    let builder = K::builder().handle_error(|failure| panic!("what is one to do about {failure}"));
    let served = Served::new(K::bind(builder, handler_fn(|_: &mut Connection| Err("an error".into()))));
    for _ in 0..3 {
        assert_eq!(served.exchange(b""), b"");
    }
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.handler_errors, stats.panics), (3, 3));
    assert!(served.stop().is_clean());
}

fn a_failure_says_the_stage_the_peer_and_the_cause<K: Kind>() {
    let (sender, told) = channel();
    let sender = Mutex::new(sender);
    let builder = K::builder().handle_error(move |failure: &Failure| {
        let Cause::Error(error) = failure.cause() else { panic!("{failure}") };
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        let seen = (failure.stage(), failure.peer().cloned(), kind, failure.is_disconnect());
        sender.lock().unwrap().send(seen).unwrap();
    });
    let handler = handler_fn(|request: &mut Connection| {
        request.read_exact(&mut [0; 10])?;
        Ok(())
    });
    let served = Served::new(K::bind(builder, handler));
    let mut client = served.connect();
    client.write_all(b"half").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (stage, peer, kind, is_disconnect) = receive(&told);
    assert_eq!(stage, Stage::Handle);
    assert_eq!(peer.unwrap().as_socket_addr(), client.local_addr().unwrap().as_socket());
    assert_eq!(kind, Some(io::ErrorKind::UnexpectedEof));
    assert!(is_disconnect);
    served.stop();
}

/// Fails in the stages it is told to.
#[derive(Clone)]
struct Failing(&'static [Stage]);

impl Failing {
    fn at(&self, stage: Stage) -> HandlerResult {
        if self.0.contains(&stage) {
            return Err(format!("{stage} of old").into());
        }
        Ok(())
    }
}

impl Handler for Failing {
    fn setup(&mut self, _: &mut Connection) -> HandlerResult {
        self.at(Stage::Setup)
    }

    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        request.write_all(b"h")?;
        self.at(Stage::Handle)
    }

    fn finish(&mut self, request: &mut Connection) -> HandlerResult {
        request.write_all(b"f")?;
        self.at(Stage::Finish)
    }
}

fn a_failing_setup_runs_nothing_else<K: Kind>() {
    let (handle_error, told) = failures();
    let served = Served::new(K::bind(K::builder().handle_error(handle_error), Failing(&[Stage::Setup])));
    assert_eq!(served.exchange(b""), b"");
    let failure = receive(&told);
    assert!(failure.starts_with("setup of ") && failure.ends_with("failed: setup of old"), "{failure}");
    served.stop();
}

fn a_failing_finish_does_not_hide_the_handlers_error<K: Kind>() {
    let (handle_error, told) = failures();
    let handler = Failing(&[Stage::Handle, Stage::Finish]);
    let served = Served::new(K::bind(K::builder().handle_error(handle_error), handler));
    assert_eq!(served.exchange(b""), b"hf");
    let failure = receive(&told);
    let expected = "failed: handle of old; after it, finish failed: finish of old";
    assert!(failure.starts_with("handle of ") && failure.ends_with(expected), "{failure}");
    let handle = served.handle.clone();
    served.stop();
    assert_eq!(told.try_iter().count(), 0);
    assert_eq!(handle.stats().handler_errors, 1);
}

fn service_actions_run_at_their_interval<K: Kind>() {
    const INTERVAL: Duration = Duration::from_millis(20);
    let (sender, ran) = channel();
    let builder = K::builder().service_actions(INTERVAL, move |_| sender.send(Instant::now()).unwrap());
    let started = Instant::now();
    let served = Served::new(K::bind(builder, echo()));
    expect_interval(&ran, started, INTERVAL);
    assert_eq!(served.exchange(b"x"), b"x");
    receive(&ran);
    served.stop();
    ran.try_iter().count();
    assert!(ran.recv().is_err(), "the hook is dropped with the server");
}

/// In Python the end of the server.
fn a_panic_in_service_actions_harms_nobody<K: Kind>() {
    let (handle_error, told) = failures();
    let builder =
        K::builder().handle_error(handle_error).service_actions(Duration::from_millis(1), |_| panic!("no action"));
    let served = Served::new(K::bind(builder, echo()));
    for _ in 0..3 {
        assert_eq!(receive(&told), "service_actions panicked: no action");
        assert_eq!(served.exchange(b"x"), b"x");
    }
    served.stop();
}

fn service_actions_can_shut_the_server_down<K: Kind>() {
    let handle = Arc::new(Mutex::new(None::<socketserver::ServerHandle>));
    let of_hook = Arc::clone(&handle);
    let builder = K::builder().service_actions(Duration::from_millis(1), move |_| {
        if let Some(handle) = &*of_hook.lock().unwrap() {
            handle.shutdown();
        }
    });
    let (mut server, place) = K::bind(builder, echo());
    *handle.lock().unwrap() = Some(server.handle());
    assert!(server.serve_forever().unwrap().is_clean());
    assert!(place.is_closed());
}

fn handle_request_serves_one<K: Kind>() {
    let (mut server, place) = K::bind(K::builder(), echo());
    for text in [&b"one"[..], b"two"] {
        let mut client = place.connect();
        client.write_all(text).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(matches!(server.handle_request().unwrap(), Handled::Served));
        assert_eq!(read_all(&mut client), text);
    }
    // After which it can serve for ever.
    let served = Served::new((server, place));
    assert_eq!(served.exchange(b"three"), b"three");
    assert_eq!(served.handle.stats().accepted, 3);
    served.stop();
}

fn timing_out<K: Kind>(timeout: Duration) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let hook = Arc::clone(&count);
    let builder = K::builder().timeout(timeout).handle_timeout(move |_| {
        hook.fetch_add(1, Ordering::SeqCst);
    });
    let (mut server, place) = K::bind(builder, echo());
    let started = Instant::now();
    assert!(matches!(server.handle_request().unwrap(), Handled::TimedOut));
    assert!(started.elapsed() >= timeout);
    let timed_out = count.load(Ordering::SeqCst);
    // Somebody who waits already is served, whatever the timeout.
    let mut client = place.connect();
    client.shutdown(Shutdown::Write).unwrap();
    common::eventually("the client is served", || matches!(server.handle_request().unwrap(), Handled::Served));
    assert_eq!(read_all(&mut client), b"");
    timed_out
}

fn handle_request_times_out<K: Kind>() {
    assert_eq!(timing_out::<K>(Duration::from_millis(30)), 1);
}

fn handle_request_with_a_timeout_of_zero_looks_once<K: Kind>() {
    assert_eq!(timing_out::<K>(Duration::ZERO), 1);
}

fn handle_request_ends_at_a_shutdown<K: Kind>() {
    let (mut server, _place) = K::bind(K::builder(), echo());
    let handle = server.handle();
    let (sender, outcome) = channel();
    let waiting = std::thread::spawn(move || {
        sender.send(server.handle_request()).unwrap();
        server.handle_request()
    });
    handle.shutdown();
    assert!(matches!(receive(&outcome).unwrap(), Handled::ShutDown));
    assert!(matches!(waiting.join().unwrap().unwrap(), Handled::ShutDown));
}

fn a_panic_in_handle_timeout_harms_nobody<K: Kind>() {
    let (handle_error, told) = failures();
    let builder = K::builder()
        .timeout(Duration::from_millis(1))
        .handle_error(handle_error)
        .handle_timeout(|_| panic!("nobody came"));
    let (mut server, _place) = K::bind(builder, echo());
    for _ in 0..2 {
        assert!(matches!(server.handle_request().unwrap(), Handled::TimedOut));
        assert_eq!(receive(&told), "handle_timeout panicked: nobody came");
    }
}

fn a_peer_that_resets_harms_nobody<K: Kind>() {
    let (handle_error, told) = failures();
    let handler = handler_fn(|request: &mut Connection| {
        request.write_all(b"+")?;
        loop {
            request.write_all(&[0; 65536])?;
        }
    });
    let served = Served::new(K::bind(K::builder().handle_error(handle_error), handler));
    for _ in 0..3 {
        let mut client = served.connect();
        assert_eq!(read_byte(&mut client), Some(b'+'));
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let failure = receive(&told);
        assert!(failure.starts_with("handle of "), "{failure}");
    }
    assert!(served.stop().is_clean());
    assert_eq!(told.try_iter().count(), 0);
}

fn handle_request_turns_away_at_the_ceiling<K: Kind>() {
    let (handler, release) = held();
    let builder = K::builder().max_connections(1).overload(Overload::Reject(b"full\n"));
    let (mut server, place) = K::bind(builder, handler);
    let accept = |server: &mut common::ServerOf<K>| -> (Socket, Handled) {
        let client = place.connect();
        client.shutdown(Shutdown::Write).unwrap();
        (client, server.handle_request().unwrap())
    };
    let (mut first, handled) = accept(&mut server);
    assert!(matches!(handled, Handled::Served));
    let (mut second, handled) = accept(&mut server);
    assert!(matches!(handled, Handled::Rejected), "{handled:?}");
    assert_eq!(read_all(&mut second), b"full\n");
    drop(release);
    assert_eq!(read_all(&mut first), b"+");
}

#[test]
fn handle_request_turns_away_who_is_not_verified() {
    let _watchdog = common::watchdog();
    let builder = socketserver::TcpServer::builder().verify_request(|_| false);
    let (mut server, place) = <socketserver::TcpServer as Kind>::bind(builder, echo());
    let mut client = place.connect();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(matches!(server.handle_request().unwrap(), Handled::Rejected));
    assert_eq!(read_all(&mut client), b"");
}
