//! What CPython's test_socketserver asks of a server, asked of every kind of server.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{
    echo, failures, held, read_all, read_byte, receive, shared, BuilderOf, Caller, ComposedKind, Kind, Place, Reach,
    Served, Serves, StreamKind, Talk, LONG,
};
use socketserver::server::{Builder, Listener, Threading};
use socketserver::{handler_fn, Connection, Handler, HandlerResult};

every_kind! {
    echoes_to_three_clients_in_turn
    shutdown_right_after_the_start
    close_immediately
    an_error_is_handled_once
    a_panic_is_handled_once
    setup_and_finish_run_in_pythons_order
    a_request_that_is_not_verified_is_not_served
    a_request_knows_its_ends_and_its_server
    a_stop_takes_effect_at_once
}

composed_kinds! {
    a_closed_server_is_gone
}

every_stream_kind! {
    what_is_written_is_seen_without_a_flush
    sixteen_mebibytes_are_not_truncated
    the_address_can_be_bound_again
}

threading_kinds! {
    threads_are_reused
    idle_threads_are_reaped
    threads_end_with_the_server
    requests_are_served_side_by_side
}

/// Python: `test_TCPServer` and its eleven siblings, `test_UDPServer` and its five.
fn echoes_to_three_clients_in_turn<K: Kind>() {
    let (server, place) = K::bind(K::builder(), echo());
    let address = server.handle().local_addr();
    assert_eq!(address, place.address());
    if let Some(address) = address.as_socket_addr() {
        assert_ne!(address.port(), 0);
    }
    let served = Served::new((server, place.clone()));
    assert_eq!(served.handle.local_addr(), address);
    for text in [&b"hello\n"[..], b"", b"a longer text\nof two lines\n"] {
        assert_eq!(served.place.ask(text), text);
    }
    let handle = served.handle.clone();
    assert!(served.stop().is_clean());
    let stats = handle.stats();
    assert_eq!((stats.accepted, stats.active, stats.rejected, stats.dropped), (3, 0, 0, 0));
    assert_eq!((stats.handler_errors, stats.panics, stats.accept_errors, stats.spawn_failures), (0, 0, 0, 0));
    assert!(place.is_closed());
}

/// Python: `test_shutdown` (bpo-2302).
fn shutdown_right_after_the_start<K: Kind>() {
    let servers: Vec<_> = (0..20).map(|_| K::serve(echo())).collect();
    for served in servers {
        assert!(served.stop().is_clean());
    }
}

/// Python: `test_close_immediately`.
fn close_immediately<K: Kind>() {
    let (server, place) = K::bind(K::builder(), echo());
    assert!(!place.is_closed());
    drop(server);
    assert!(place.is_closed());
}

/// Python: `test_context_manager`.
fn a_closed_server_is_gone<K: ComposedKind>() {
    let (mut server, place) = K::bind(K::builder(), echo());
    let mut client = place.call(b"x");
    server.handle_request().unwrap();
    assert_eq!(client.answer(), b"x");
    drop(server);
    place.closes();
}

fn failing<K: Kind>(handler: impl Handler<K::Request> + Clone, expected: &str) -> socketserver::Stats {
    let (handle_error, told) = failures();
    let served = K::serve_as(K::builder().handle_error(handle_error), handler);
    for _ in 0..2 {
        let mut client = served.place.call(b"hello\n");
        assert_eq!(receive(&told), format!("handle of {}{expected}", client.address()));
        served.idle();
        client.hears_nothing();
    }
    let handle = served.handle.clone();
    assert!(served.stop().is_clean());
    assert_eq!(told.try_iter().count(), 0);
    handle.stats()
}

/// Python: `test_sync_handled`, `test_threading_handled`.
fn an_error_is_handled_once<K: Kind>() {
    let stats = failing::<K>(handler_fn(|_: &mut K::Request| Err("so it goes".into())), " failed: so it goes");
    assert_eq!((stats.accepted, stats.handler_errors, stats.panics), (2, 2, 0));
}

/// Python: `test_sync_not_handled`, `test_threading_not_handled`, where it ends the server.
fn a_panic_is_handled_once<K: Kind>() {
    let stats = failing::<K>(handler_fn(|_: &mut K::Request| panic!("so it goes")), " panicked: so it goes");
    assert_eq!((stats.accepted, stats.handler_errors, stats.panics), (2, 0, 2));
}

/// Tells what of it runs, and fails where the request says.
#[derive(Clone)]
struct Script {
    tell: Sender<&'static str>,
    words: String,
}

impl Script {
    fn step(&self, name: &'static str) -> HandlerResult {
        self.tell.send(name)?;
        match self.words.split_once(' ') {
            Some(("fail", stages)) if stages.contains(name) => Err(format!("{name} of old").into()),
            Some(("panic", stages)) if stages.contains(name) => panic!("{name} of old"),
            _ => Ok(()),
        }
    }
}

impl<R: Talk> Handler<R> for Script {
    fn setup(&mut self, request: &mut R) -> HandlerResult {
        request.read_line(&mut self.words)?;
        self.step("setup")
    }

    fn handle(&mut self, _: &mut R) -> HandlerResult {
        self.step("handle")
    }

    fn finish(&mut self, request: &mut R) -> HandlerResult {
        // Also after a panic it can be answered. Python's DatagramRequestHandler always does.
        request.say(b"bye")?;
        self.step("finish")
    }
}

fn setup_and_finish_run_in_pythons_order<K: Kind>() {
    let (tell, order) = channel();
    let (handle_error, told) = failures();
    let served = K::serve_as(K::builder().handle_error(handle_error), Script { tell, words: String::new() });
    for (words, steps, failure) in [
        ("ok", 3, ""),
        ("fail setup", 1, "setup of PEER failed: setup of old"),
        ("panic setup", 1, "setup of PEER panicked: setup of old"),
        ("fail handle", 3, "handle of PEER failed: handle of old"),
        ("panic handle", 3, "handle of PEER panicked: handle of old"),
        ("fail finish", 3, "finish of PEER failed: finish of old"),
        ("fail handle finish", 3, "handle of PEER failed: handle of old; after it, finish failed: finish of old"),
    ] {
        let mut client = served.place.call(words.as_bytes());
        for step in &["setup", "handle", "finish"][..steps] {
            assert_eq!(receive(&order), *step, "{words}");
        }
        if !failure.is_empty() {
            assert_eq!(receive(&told), failure.replace("PEER", &client.address().to_string()));
        }
        served.idle();
        if steps == 3 {
            assert_eq!(client.answer(), b"bye", "{words}");
        }
        client.hears_nothing();
    }
    let handle = served.handle.clone();
    served.stop();
    assert_eq!(told.try_iter().count() + order.try_iter().count(), 0);
    assert_eq!((handle.stats().handler_errors, handle.stats().panics), (4, 2));
}

/// Python: `SocketWriterTest.test_basics`, and `wbufsize = 0`.
fn what_is_written_is_seen_without_a_flush<K: StreamKind>() {
    let served = K::serve(handler_fn(|request: &mut Connection| {
        request.write_all(b"+")?;
        assert_eq!(request.fill_buf()?, b"-", "the client answers what it has seen");
        Ok(())
    }));
    let mut client = served.connect();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    client.write_all(b"-").unwrap();
    assert_eq!(read_byte(&mut client), None);
    served.idle();
    assert_eq!(served.handle.stats().panics, 0);
    served.stop();
}

/// Python: `SocketWriterTest.test_write`.
fn sixteen_mebibytes_are_not_truncated<K: StreamKind>() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let byte = |at: usize| (at % 251) as u8;
    let served = K::serve(handler_fn(move |request: &mut Connection| {
        let data: Vec<u8> = (0..LENGTH).map(byte).collect();
        request.write_all(&data)?;
        Ok(())
    }));
    let mut client = served.connect();
    // The writer has to wait for the reader.
    let started = client.recv_buffer_size();
    assert!(started.unwrap() < LENGTH);
    let data = read_all(&mut client);
    assert_eq!(data.len(), LENGTH);
    assert!(data.iter().enumerate().all(|(at, &got)| got == byte(at)));
    served.stop();
}

/// Python: `test_shutdown_request_called_if_verify_request_false` (bpo-26309).
fn a_request_that_is_not_verified_is_not_served<K: Kind>() {
    let (tell, peers) = shared();
    let builder = K::builder().verify_request(move |peer| {
        tell(peer.clone());
        false
    });
    let served = K::serve_as(builder, handler_fn(|_: &mut K::Request| panic!("must not run")));
    for count in 1..=3 {
        let mut client = served.place.call(b"hello\n");
        assert_eq!(receive(&peers), client.address());
        served.expect_accepted(count);
        client.hears_nothing();
    }
    let stats = served.handle.stats();
    assert_eq!((stats.rejected, stats.panics, stats.handler_errors, stats.dropped), (3, 0, 0, 0));
    served.stop();
}

fn a_request_knows_its_ends_and_its_server<K: Kind>() {
    let (tell, ends) = shared();
    let served = K::serve(handler_fn(move |request: &mut K::Request| {
        tell((request.ends()?, request.serving()));
        Ok(())
    }));
    let client = served.place.call(b"x");
    let ((peer, local), server) = receive(&ends);
    assert_eq!(peer, client.address());
    assert_eq!(local, served.place.address());
    assert_eq!(server.local_addr(), local);
    assert!(!server.is_shutting_down());
    server.shutdown();
    assert!(served.join().unwrap().is_clean());
    assert!(server.is_shutting_down());
}

/// Not in Python, whose servers look every half second. The best of many: the promise is about the server, not about what
/// else the machine does.
fn a_stop_takes_effect_at_once<K: Kind>() {
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let served = K::serve(echo());
        assert_eq!(served.place.ask(b"x"), b"x");
        served.idle();
        let started = Instant::now();
        served.stop();
        best = best.min(started.elapsed());
    }
    assert!(best < Duration::from_millis(10), "{best:?}");
}

/// Python's `allow_reuse_address`: the closed connection of this end lingers in TIME_WAIT. A Unix path is unlinked.
fn the_address_can_be_bound_again<K: StreamKind>() {
    let served = K::serve(handler_fn(|_: &mut Connection| Ok(())));
    let address = served.place.clone();
    let mut client = served.connect();
    assert_eq!(read_byte(&mut client), None);
    served.stop();
    match address {
        Place::Tcp(address) => {
            let again = socketserver::TcpServer::bind(address, echo()).unwrap();
            assert_eq!(again.local_addr(), address);
        }
        #[cfg(unix)]
        Place::Unix(path, _folder) => {
            assert!(!path.exists());
            let _closed = socketserver::UnixStreamServer::bind(&path, echo()).unwrap();
        }
    }
}

/// Sends when the thread that holds it ends.
struct AtThreadEnd(Sender<()>);

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

thread_local! {
    static AT_END: std::cell::RefCell<Option<AtThreadEnd>> = const { std::cell::RefCell::new(None) };
}

fn telling_of_the_end<R: Talk>(ended: Sender<()>) -> impl Handler<R> + Clone {
    handler_fn(move |request: &mut R| {
        AT_END.with(|at_end| {
            at_end.borrow_mut().get_or_insert_with(|| AtThreadEnd(ended.clone()));
        });
        Ok(request.say(b"+")?)
    })
}

/// Python: `test_threads_reaped` (bpo-37193), which asks for fewer than ten.
fn threads_are_reused<K: Kind>() {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&threads);
    let served = K::serve(handler_fn(move |request: &mut K::Request| {
        seen.lock().unwrap().insert(std::thread::current().id());
        Ok(request.say(b"+")?)
    }));
    for _ in 0..10 {
        assert_eq!(served.place.ask(b""), b"+");
        served.idle();
    }
    assert_eq!(threads.lock().unwrap().len(), 1);
    served.stop();
}

fn idle_threads_are_reaped<K: ComposedKind<Strategy = Threading>>() {
    let (sender, ended) = channel();
    let builder = K::builder().idle_thread_timeout(Duration::from_millis(10));
    let served = K::serve_as(builder, telling_of_the_end(sender));
    let started = Instant::now();
    for _ in 0..3 {
        assert_eq!(served.place.ask(b""), b"+");
        receive(&ended);
    }
    // By default it would be after 30 s.
    assert!(started.elapsed() < LONG / 3);
    served.stop();
}

fn threads_end_with_the_server<K: ComposedKind<Strategy = Threading>>() {
    let (sender, ended) = channel();
    let builder = K::builder().idle_thread_timeout(Duration::from_secs(600));
    let served = K::serve_as(builder, telling_of_the_end(sender));
    assert_eq!(served.place.ask(b""), b"+");
    served.stop();
    receive(&ended);
}

fn requests_are_served_side_by_side<K: Kind>() {
    let (handler, release) = held();
    let served = K::serve(handler);
    let mut clients: Vec<_> = (0..5).map(|_| served.place.begin()).collect();
    assert_eq!(served.handle.stats().active, 5);
    drop(release);
    served.idle();
    clients.iter_mut().for_each(Caller::hears_nothing);
    assert!(served.stop().is_clean());
}

/// One driver, whatever the builder was told.
#[test]
fn the_builder_of_each_kind_is_the_same_builder() {
    fn settings<L: Listener>(builder: Builder<L, Threading>) -> Builder<L, Threading> {
        builder.max_connections(7).drain_timeout(None).stack_size(256 * 1024)
    }
    fn check<K: ComposedKind<Strategy = Threading>>() {
        let builder: BuilderOf<K> = settings(K::builder());
        let served = K::serve_as(builder, echo());
        assert_eq!(served.place.ask(b"x"), b"x");
        served.stop();
    }
    common::run(check::<socketserver::ThreadingTcpServer>);
    common::run(check::<socketserver::ThreadingUdpServer>);
    #[cfg(unix)]
    common::run(check::<socketserver::ThreadingUnixStreamServer>);
    #[cfg(unix)]
    common::run(check::<socketserver::ThreadingUnixDatagramServer>);
}

/// Says how many came before.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl<R: Talk> Handler<R> for Counting {
    fn handle(&mut self, request: &mut R) -> HandlerResult {
        Ok(request.say(self.0.fetch_add(1, Ordering::SeqCst).to_string().as_bytes())?)
    }
}

/// The same handler on every kind, unchanged.
#[test]
fn a_handler_that_counts_shares_an_arc() {
    let _watchdog = common::watchdog();
    let handler = Counting::default();
    fn serve<K: Kind>(handler: impl Handler<K::Request> + Clone) -> Vec<u8> {
        let served = K::serve(handler);
        let answer = served.place.ask(b"hello\n");
        served.stop();
        answer
    }
    assert_eq!(serve::<socketserver::TcpServer>(handler.clone()), b"0");
    assert_eq!(serve::<socketserver::ThreadingTcpServer>(handler.clone()), b"1");
    assert_eq!(serve::<socketserver::UdpServer>(handler.clone()), b"2");
    assert_eq!(serve::<socketserver::ThreadingUdpServer>(handler.clone()), b"3");
    assert_eq!(handler.0.load(Ordering::SeqCst), 4);
}
