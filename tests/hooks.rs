//! The hooks and `handle_request`: what each is told, and that none can harm the server.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use common::{
    echo, eventually, expect_interval, failures, held, read_all, read_byte, receive, shared, Caller, ComposedKind,
    Kind, Reach, Served, ServerOf, Serves, StreamKind,
};
use socket2::Socket;
use socketserver::server::Cause;
use socketserver::{handler_fn, Connection, Failure, Handled, Overload, Stage};

every_kind! {
    a_panic_in_verify_request_counts_as_a_no
    a_panic_in_handle_error_harms_nobody
    a_failure_says_the_stage_the_peer_and_the_cause
    without_a_hook_a_panic_is_logged_beside_an_error
    service_actions_run_at_their_interval
    a_panic_in_service_actions_harms_nobody
    service_actions_can_shut_the_server_down
}

composed_kinds! {
    handle_request_serves_one
    handle_request_times_out
    handle_request_with_a_timeout_of_zero_looks_once
    handle_request_ends_at_a_shutdown
    a_panic_in_handle_timeout_harms_nobody
    handle_request_turns_away_who_is_not_verified
}

every_stream_kind! {
    a_peer_that_resets_harms_nobody
}

threading_stream_kinds! {
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
    let served = K::serve_as(builder, echo());
    let mut client = served.place.call(b"x");
    assert_eq!(receive(&told), format!("verify_request of {} panicked: cannot say", client.address()));
    served.idle();
    client.hears_nothing();
    assert_eq!(served.place.ask(b"y"), b"y");
    served.expect_accepted(2);
    let stats = served.handle.stats();
    assert_eq!((stats.rejected, stats.panics), (1, 1));
    served.stop();
}

/// In Python the end of the server.
fn a_panic_in_handle_error_harms_nobody<K: Kind>() {
    let builder = K::builder().handle_error(|failure| panic!("what is one to do about {failure}"));
    let served = K::serve_as(builder, handler_fn(|_: &mut K::Request| Err("an error".into())));
    for count in 1..=3 {
        let mut client = served.place.call(b"");
        served.expect_accepted(count);
        client.hears_nothing();
    }
    let stats = served.handle.stats();
    assert_eq!((stats.handler_errors, stats.panics), (3, 3));
    assert!(served.stop().is_clean());
}

fn a_failure_says_the_stage_the_peer_and_the_cause<K: Kind>() {
    let (tell, told) = shared();
    let builder = K::builder().handle_error(move |failure: &Failure| {
        let Cause::Error(error) = failure.cause() else { panic!("{failure}") };
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        tell((failure.stage(), failure.peer().cloned(), kind, failure.is_disconnect()));
    });
    let handler = handler_fn(|request: &mut K::Request| Ok(request.read_exact(&mut [0; 10])?));
    let served = K::serve_as(builder, handler);
    let client = served.place.call(b"half");
    let expected = (Stage::Handle, Some(client.address()), Some(io::ErrorKind::UnexpectedEof), true);
    assert_eq!(receive(&told), expected);
    served.stop();
}

/// What is said in the log, with the target it is said to.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(format!("{} {} {}", record.target(), record.level(), record.args()));
    }

    fn flush(&self) {}
}

/// Recurring trouble is a line a second, but one kind of it does not hide another.
fn without_a_hook_a_panic_is_logged_beside_an_error<K: Kind>() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LINES).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
    // Other tests' lines are in the log too, and clients' addresses come again.
    let kind = std::any::type_name::<K>();
    let requests = Arc::new(AtomicUsize::new(0));
    let handler = move |_: &mut K::Request| match requests.fetch_add(1, Ordering::SeqCst) {
        0 => Err(format!("an error of {kind}").into()),
        _ => panic!("a panic of {kind}"),
    };
    let served = K::serve(handler_fn(handler));
    let clients = [1, 2].map(|count| {
        let client = served.place.call(b"");
        served.expect_accepted(count);
        client
    });
    let lines: Vec<String> = LINES.0.lock().unwrap().iter().filter(|line| line.ends_with(kind)).cloned().collect();
    let expected = [("failed: an error", 0), ("panicked: a panic", 1)]
        .map(|(what, client)| format!("socketserver WARN handle of {} {what} of {kind}", clients[client].address()));
    assert_eq!(lines, expected);
    served.stop();
}

fn service_actions_run_at_their_interval<K: Kind>() {
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
fn a_panic_in_service_actions_harms_nobody<K: Kind>() {
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

fn service_actions_can_shut_the_server_down<K: Kind>() {
    let builder = K::builder().service_actions(Duration::from_millis(1), |server| server.shutdown());
    let (mut server, place) = K::bind(builder, echo());
    assert!(server.serve_forever().unwrap().is_clean());
    assert!(place.is_closed());
}

fn handle_request_serves_one<K: ComposedKind>() {
    let (mut server, place) = K::bind(K::builder(), echo());
    let mut clients: Vec<_> = (1..4u8).map(|number| (number, place.call(&[number]))).collect();
    for (number, client) in &mut clients {
        assert!(matches!(server.handle_request().unwrap(), Handled::Served));
        assert_eq!(client.answer(), [*number]);
        assert_eq!(server.handle().stats().accepted, u64::from(*number));
    }
    // After which it can serve for ever.
    let served = Served::new((server, place));
    assert_eq!(served.place.ask(b"x"), b"x");
    served.expect_accepted(4);
    served.stop();
}

fn timing_out<K: ComposedKind>(timeout: Duration) {
    let count = Arc::new(AtomicUsize::new(0));
    let hook = Arc::clone(&count);
    let builder = K::builder().timeout(timeout).handle_timeout(move |_| {
        hook.fetch_add(1, Ordering::SeqCst);
    });
    let (mut server, place) = K::bind(builder, echo());
    let started = Instant::now();
    assert!(matches!(server.handle_request().unwrap(), Handled::TimedOut));
    assert!(started.elapsed() >= timeout);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // Somebody who waits already is served, whatever the timeout.
    let mut client = place.call(b"x");
    eventually("the client is served", || matches!(server.handle_request().unwrap(), Handled::Served));
    assert_eq!(client.answer(), b"x");
}

fn handle_request_times_out<K: ComposedKind>() {
    timing_out::<K>(Duration::from_millis(30));
}

fn handle_request_with_a_timeout_of_zero_looks_once<K: ComposedKind>() {
    timing_out::<K>(Duration::ZERO);
}

fn handle_request_ends_at_a_shutdown<K: ComposedKind>() {
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

fn a_panic_in_handle_timeout_harms_nobody<K: ComposedKind>() {
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

fn a_peer_that_resets_harms_nobody<K: StreamKind>() {
    let (handle_error, told) = failures();
    let handler = handler_fn(|request: &mut Connection| {
        request.write_all(b"+")?;
        loop {
            request.write_all(&[0; 65536])?;
        }
    });
    let served = K::serve_as(K::builder().handle_error(handle_error), handler);
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

fn handle_request_turns_away_who_is_not_verified<K: ComposedKind>() {
    let (mut server, place) = K::bind(K::builder().verify_request(|_| false), echo());
    let mut client = place.call(b"x");
    let handled = server.handle_request().unwrap();
    // Where a thread serves, it is a thread that asks.
    let expected =
        if K::is_threading() { matches!(handled, Handled::Served) } else { matches!(handled, Handled::Rejected) };
    assert!(expected, "{handled:?}");
    eventually("it is turned away", || server.handle().stats().rejected == 1 && server.handle().stats().active == 0);
    client.hears_nothing();
}

fn handle_request_turns_away_at_the_ceiling<K: StreamKind + ComposedKind>() {
    let (handler, release) = held();
    let builder = K::builder().max_connections(1).overload(Overload::Reject(b"full\n"));
    let (mut server, place) = K::bind(builder, handler);
    let accept = |server: &mut ServerOf<K>| -> (Socket, Handled) {
        let client = place.call(b"");
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
