//! What CPython's test_socketserver asks of a server, asked of every kind of server.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::collections::HashSet;
use std::io::{BufRead, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{echo, failures, held, read_all, read_byte, receive, BuilderOf, Kind, Place, Served};
use socketserver::server::{Builder, Listener, Threading};
use socketserver::{handler_fn, Address, Connection, Handler, HandlerResult};

every_kind! {
    echoes_to_three_clients_in_turn
    shutdown_right_after_the_start
    close_immediately
    a_closed_server_refuses
    an_error_is_handled_once
    a_panic_is_handled_once
    setup_and_finish_run_in_pythons_order
    what_is_written_is_seen_without_a_flush
    sixteen_mebibytes_are_not_truncated
    a_request_that_is_not_verified_is_closed
    verify_request_is_given_the_peer
    a_request_knows_its_ends_and_its_server
    a_stop_takes_effect_at_once
    the_address_can_be_bound_again
}

threading_kinds! {
    threads_are_reused
    idle_threads_are_reaped
    threads_end_with_the_server
    requests_are_served_side_by_side
}

/// Python: `test_TCPServer` and its eleven siblings.
fn echoes_to_three_clients_in_turn<K: Kind>() {
    let (server, place) = K::bind(K::builder(), echo());
    let address: Address = server.local_addr().into();
    match &place {
        Place::Tcp(tcp) => {
            assert_ne!(tcp.port(), 0);
            assert_eq!(address.as_socket_addr(), Some(*tcp));
        }
        #[cfg(unix)]
        Place::Unix(path, _) => assert_eq!(address.as_path(), Some(path.as_path())),
    }
    let served = Served::new((server, place.clone()));
    assert_eq!(served.handle.local_addr(), address);
    for text in [&b"hello\n"[..], b"", b"a longer text\nof two lines\n"] {
        assert_eq!(served.exchange(text), text);
    }
    let handle = served.handle.clone();
    assert!(served.stop().is_clean());
    let stats = handle.stats();
    assert_eq!((stats.accepted, stats.active, stats.rejected, stats.handler_errors), (3, 0, 0, 0));
    assert!(place.is_closed());
}

/// Python: `test_shutdown` (bpo-2302).
fn shutdown_right_after_the_start<K: Kind>() {
    let servers: Vec<Served> = (0..20).map(|_| K::serve(echo())).collect();
    for served in servers {
        assert!(served.stop().is_clean());
    }
}

/// Python: `test_close_immediately`.
fn close_immediately<K: Kind>() {
    let (server, place) = K::bind(K::builder(), echo());
    drop(server);
    assert!(place.is_closed());
}

/// Python: `test_context_manager`.
fn a_closed_server_refuses<K: Kind>() {
    let (mut server, place) = K::bind(K::builder().timeout(Duration::from_secs(60)), echo());
    let mut client = place.connect();
    client.shutdown(Shutdown::Write).unwrap();
    server.handle_request().unwrap();
    drop(server);
    assert!(place.is_closed());
    assert_eq!(read_all(&mut client), b"");
}

fn failing<K: Kind>(handler: impl Handler + Clone, expected: &str) -> socketserver::Stats {
    let (handle_error, told) = failures();
    let served = Served::new(K::bind(K::builder().handle_error(handle_error), handler));
    for _ in 0..2 {
        // The client is closed, cleanly, and the server goes on.
        assert_eq!(served.exchange(b"hello\n"), b"");
        let failure = receive(&told);
        assert!(failure.starts_with("handle of ") && failure.ends_with(expected), "{failure}");
    }
    let handle = served.handle.clone();
    assert!(served.stop().is_clean());
    assert_eq!(told.try_iter().count(), 0);
    handle.stats()
}

/// Python: `test_sync_handled`, `test_threading_handled`.
fn an_error_is_handled_once<K: Kind>() {
    let stats = failing::<K>(handler_fn(|_: &mut Connection| Err("so it goes".into())), " failed: so it goes");
    assert_eq!((stats.handler_errors, stats.panics), (2, 0));
}

/// Python: `test_sync_not_handled`, `test_threading_not_handled`, where it ends the server.
fn a_panic_is_handled_once<K: Kind>() {
    let stats = failing::<K>(handler_fn(|_: &mut Connection| panic!("so it goes")), " panicked: so it goes");
    assert_eq!((stats.handler_errors, stats.panics), (0, 2));
}

/// Tells what of it runs, and fails in `handle` as it is told.
#[derive(Clone)]
struct Script(Sender<&'static str>);

impl Handler for Script {
    fn setup(&mut self, _: &mut Connection) -> HandlerResult {
        Ok(self.0.send("setup")?)
    }

    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        self.0.send("handle")?;
        let mut word = String::new();
        request.read_line(&mut word)?;
        match word.as_str() {
            "panic\n" => panic!("told to"),
            "fail\n" => Err("told to".into()),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, request: &mut Connection) -> HandlerResult {
        self.0.send("finish")?;
        // Also after a panic the connection can be written to.
        Ok(request.write_all(b"bye\n")?)
    }
}

fn setup_and_finish_run_in_pythons_order<K: Kind>() {
    let (sender, order) = channel();
    let (handle_error, told) = failures();
    let served = Served::new(K::bind(K::builder().handle_error(handle_error), Script(sender)));
    for (word, failed) in [("ok\n", false), ("fail\n", true), ("panic\n", true)] {
        assert_eq!(served.exchange(word.as_bytes()), b"bye\n");
        assert_eq!([receive(&order), receive(&order), receive(&order)], ["setup", "handle", "finish"]);
        if failed {
            receive(&told);
        }
    }
    served.stop();
    assert_eq!(told.try_iter().count(), 0);
}

/// Python: `SocketWriterTest.test_basics`, and `wbufsize = 0`.
fn what_is_written_is_seen_without_a_flush<K: Kind>() {
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
fn sixteen_mebibytes_are_not_truncated<K: Kind>() {
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
fn a_request_that_is_not_verified_is_closed<K: Kind>() {
    let handler = handler_fn(|_: &mut Connection| panic!("must not run"));
    let served = Served::new(K::bind(K::builder().verify_request(|_| false), handler));
    for _ in 0..3 {
        assert_eq!(served.exchange(b"hello\n"), b"");
    }
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.rejected, stats.panics, stats.handler_errors), (3, 3, 0, 0));
    served.stop();
}

fn verify_request_is_given_the_peer<K: Kind>() {
    let (sender, peers) = channel();
    let sender = Mutex::new(sender);
    let builder = K::builder().verify_request(move |peer| sender.lock().unwrap().send(peer.clone()).is_ok());
    let served = Served::new(K::bind(builder, echo()));
    let mut client = served.connect();
    let local = client.local_addr().unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"");
    let expected = local.as_socket().map_or(Address::Unnamed, Address::Inet);
    assert_eq!(receive(&peers), expected);
    served.stop();
}

fn a_request_knows_its_ends_and_its_server<K: Kind>() {
    let (sender, ends) = channel();
    let served = K::serve(handler_fn(move |request: &mut Connection| {
        Ok(sender.send((request.peer_addr(), request.local_addr()?, request.server()))?)
    }));
    let client = served.connect();
    let (peer, local, server) = receive(&ends);
    assert_eq!(peer.as_socket_addr(), client.local_addr().unwrap().as_socket());
    assert_eq!(local, served.handle.local_addr());
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
        assert_eq!(served.exchange(b"x"), b"x");
        served.idle();
        let started = Instant::now();
        served.stop();
        best = best.min(started.elapsed());
    }
    assert!(best < Duration::from_millis(10), "{best:?}");
}

/// Python's `allow_reuse_address`: the closed connection of this end lingers in TIME_WAIT. A Unix path is unlinked.
fn the_address_can_be_bound_again<K: Kind>() {
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

fn telling_of_the_end(ended: Sender<()>) -> impl Handler + Clone {
    handler_fn(move |_: &mut Connection| {
        AT_END.with(|at_end| {
            at_end.borrow_mut().get_or_insert_with(|| AtThreadEnd(ended.clone()));
        });
        Ok(())
    })
}

/// Python: `test_threads_reaped` (bpo-37193), which asks for fewer than ten.
fn threads_are_reused<K: Kind>() {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&threads);
    let served = K::serve(handler_fn(move |_: &mut Connection| {
        seen.lock().unwrap().insert(std::thread::current().id());
        Ok(())
    }));
    for _ in 0..10 {
        assert_eq!(served.exchange(b""), b"");
        served.idle();
    }
    assert_eq!(threads.lock().unwrap().len(), 1);
    served.stop();
}

fn idle_threads_are_reaped<K: Kind<Dispatch = Threading>>() {
    let (sender, ended) = channel();
    let builder = K::builder().idle_thread_timeout(Duration::from_millis(10));
    let served = Served::new(K::bind(builder, telling_of_the_end(sender)));
    for _ in 0..3 {
        assert_eq!(served.exchange(b""), b"");
        receive(&ended);
    }
    served.stop();
}

fn threads_end_with_the_server<K: Kind<Dispatch = Threading>>() {
    let (sender, ended) = channel();
    let builder = K::builder().idle_thread_timeout(Duration::from_secs(600));
    let served = Served::new(K::bind(builder, telling_of_the_end(sender)));
    assert_eq!(served.exchange(b""), b"");
    served.stop();
    receive(&ended);
}

fn requests_are_served_side_by_side<K: Kind>() {
    let (handler, release) = held();
    let served = K::serve(handler);
    let mut clients: Vec<_> = (0..5).map(|_| served.place.begin()).collect();
    assert_eq!(served.handle.stats().active, 5);
    drop(release);
    for client in &mut clients {
        assert_eq!(read_byte(client), None);
    }
    assert!(served.stop().is_clean());
}

/// One driver, whatever the builder was told.
#[test]
fn the_builder_of_each_kind_is_the_same_builder() {
    fn settings<L: Listener<Request = Connection>>(builder: Builder<L, Threading>) -> Builder<L, Threading> {
        builder.max_connections(7).read_timeout(None).stack_size(256 * 1024)
    }
    fn check<K: Kind<Dispatch = Threading>>() {
        let builder: BuilderOf<K> = settings(K::builder());
        let served = Served::new(K::bind(builder, echo()));
        assert_eq!(served.exchange(b"x"), b"x");
        served.stop();
    }
    common::run(check::<socketserver::ThreadingTcpServer>);
    #[cfg(unix)]
    common::run(check::<socketserver::ThreadingUnixStreamServer>);
}

/// The same handler on every kind, unchanged.
#[test]
fn a_handler_that_counts_shares_an_arc() {
    let _watchdog = common::watchdog();
    let count = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&count);
    let handler = handler_fn(move |request: &mut Connection| {
        let mut line = String::new();
        request.read_line(&mut line)?;
        writeln!(request, "{} {}", shared.fetch_add(1, Ordering::SeqCst), line.trim_end())?;
        Ok(())
    });
    fn serve<K: Kind>(handler: impl Handler + Clone) -> Vec<u8> {
        let served = K::serve(handler);
        let answer = served.exchange(b"hello\n");
        served.stop();
        answer
    }
    assert_eq!(serve::<socketserver::TcpServer>(handler.clone()), b"0 hello\n");
    assert_eq!(serve::<socketserver::ThreadingTcpServer>(handler.clone()), b"1 hello\n");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}
