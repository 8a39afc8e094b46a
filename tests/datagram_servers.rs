//! What CPython's test_socketserver asks of a datagram server, asked of every kind, and what a datagram can do.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[macro_use]
#[path = "common/datagrams.rs"]
mod datagrams;

use std::collections::HashSet;
use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{eventually, failures, receive, Served};
use datagrams::{accepted, echo, held, Client, DatagramKind};
use socketserver::{handler_fn, Address, Datagram, Error, Handler, HandlerResult};

every_datagram_kind! {
    echoes_to_three_clients_in_turn
    shutdown_right_after_the_start
    close_immediately
    a_closed_server_is_gone
    an_error_is_handled_once
    a_panic_is_handled_once
    setup_and_finish_run_in_pythons_order
    a_request_that_is_not_verified_is_not_served
    a_request_knows_its_ends_and_its_server
    a_stop_takes_effect_at_once
    the_address_can_be_bound_again
    an_empty_datagram_is_a_request
    a_thousand_empty_datagrams
    nothing_is_answered_unless_the_handler_does
    several_answers_come_in_order
    datagrams_are_served_whole_and_in_order
    a_datagram_can_be_read_like_a_file
    a_datagram_is_what_was_sent_however_it_was_read
    the_socket_can_be_configured
    a_long_datagram_is_whole
    debug_output_says_the_peer_and_the_length_and_not_the_data
}

threading_datagram_kinds! {
    threads_are_reused
    requests_are_served_side_by_side
}

/// Python: `test_UDPServer` and its five siblings.
fn echoes_to_three_clients_in_turn<K: DatagramKind>() {
    let (server, spot) = K::bind(K::builder(), echo());
    let address: Address = server.local_addr().into();
    assert_eq!(address, spot.address());
    if let Some(address) = address.as_socket_addr() {
        assert_ne!(address.port(), 0);
    }
    let served = Served::new((server, spot));
    assert_eq!(served.handle.local_addr(), address);
    for text in [&b"hello\n"[..], b"", b"a longer text\nof two lines\n"] {
        assert_eq!(served.place.ask(text), text);
    }
    let (handle, spot) = (served.handle.clone(), served.place.clone());
    assert!(served.stop().is_clean());
    let stats = handle.stats();
    assert_eq!((stats.accepted, stats.active, stats.rejected, stats.dropped), (3, 0, 0, 0));
    assert_eq!((stats.handler_errors, stats.panics, stats.accept_errors, stats.spawn_failures), (0, 0, 0, 0));
    assert!(spot.is_free());
}

/// Python: `test_shutdown` (bpo-2302).
fn shutdown_right_after_the_start<K: DatagramKind>() {
    let servers: Vec<_> = (0..20).map(|_| K::serve(echo())).collect();
    for served in servers {
        assert!(served.stop().is_clean());
    }
}

/// Python: `test_close_immediately`.
fn close_immediately<K: DatagramKind>() {
    let (server, spot) = K::bind(K::builder(), echo());
    assert!(!spot.is_free());
    drop(server);
    assert!(spot.is_free());
}

/// Python: `test_context_manager`.
fn a_closed_server_is_gone<K: DatagramKind>() {
    let (mut server, spot) = K::bind(K::builder(), echo());
    let client = spot.client();
    client.send(b"x");
    server.handle_request().unwrap();
    assert_eq!(client.receive(), b"x");
    drop(server);
    eventually("the address is free", || spot.is_free());
}

fn failing<K: DatagramKind>(handler: impl Handler<Datagram> + Clone, expected: &str) -> socketserver::Stats {
    let (handle_error, told) = failures();
    let served = K::serve_as(K::builder().handle_error(handle_error), handler);
    let client = served.place.client();
    for _ in 0..2 {
        client.send(b"hello");
        let failure = receive(&told);
        let expected = format!("handle of {}{expected}", client.address());
        assert_eq!(failure, expected);
        served.idle();
        client.hears_nothing();
    }
    let handle = served.handle.clone();
    assert!(served.stop().is_clean());
    assert_eq!(told.try_iter().count(), 0);
    handle.stats()
}

/// Python: `test_sync_handled`, `test_threading_handled`.
fn an_error_is_handled_once<K: DatagramKind>() {
    let stats = failing::<K>(handler_fn(|_: &mut Datagram| Err("so it goes".into())), " failed: so it goes");
    assert_eq!((stats.accepted, stats.handler_errors, stats.panics), (2, 2, 0));
}

/// Python: `test_sync_not_handled`, `test_threading_not_handled`, where it ends the server.
fn a_panic_is_handled_once<K: DatagramKind>() {
    let stats = failing::<K>(handler_fn(|_: &mut Datagram| panic!("so it goes")), " panicked: so it goes");
    assert_eq!((stats.accepted, stats.handler_errors, stats.panics), (2, 0, 2));
}

/// Tells what of it runs, and fails where the datagram says.
#[derive(Clone)]
struct Script(Sender<&'static str>);

impl Script {
    fn step(&self, name: &'static str, request: &Datagram) -> HandlerResult {
        self.0.send(name)?;
        match std::str::from_utf8(request.data())?.split_once(' ') {
            Some(("fail", stages)) if stages.contains(name) => Err(format!("{name} of old").into()),
            Some(("panic", stages)) if stages.contains(name) => panic!("{name} of old"),
            _ => Ok(()),
        }
    }
}

impl Handler<Datagram> for Script {
    fn setup(&mut self, request: &mut Datagram) -> HandlerResult {
        self.step("setup", request)
    }

    fn handle(&mut self, request: &mut Datagram) -> HandlerResult {
        self.step("handle", request)
    }

    fn finish(&mut self, request: &mut Datagram) -> HandlerResult {
        // Also after a panic it can be answered. Python's DatagramRequestHandler always does.
        request.reply(b"bye")?;
        self.step("finish", request)
    }
}

fn setup_and_finish_run_in_pythons_order<K: DatagramKind>() {
    let (sender, order) = channel();
    let (handle_error, told) = failures();
    let served = K::serve_as(K::builder().handle_error(handle_error), Script(sender));
    let client = served.place.client();
    for (words, steps, failure) in [
        ("ok", 3, ""),
        ("fail setup", 1, "setup of PEER failed: setup of old"),
        ("panic setup", 1, "setup of PEER panicked: setup of old"),
        ("fail handle", 3, "handle of PEER failed: handle of old"),
        ("panic handle", 3, "handle of PEER panicked: handle of old"),
        ("fail finish", 3, "finish of PEER failed: finish of old"),
        ("fail handle finish", 3, "handle of PEER failed: handle of old; after it, finish failed: finish of old"),
    ] {
        client.send(words.as_bytes());
        for step in &["setup", "handle", "finish"][..steps] {
            assert_eq!(receive(&order), *step, "{words}");
        }
        if !failure.is_empty() {
            assert_eq!(receive(&told), failure.replace("PEER", &client.address().to_string()));
        }
        served.idle();
        if steps == 3 {
            assert_eq!(client.receive(), b"bye", "{words}");
        }
        client.hears_nothing();
    }
    served.stop();
    assert_eq!(told.try_iter().count() + order.try_iter().count(), 0);
}

/// Python: `test_shutdown_request_called_if_verify_request_false` (bpo-26309).
fn a_request_that_is_not_verified_is_not_served<K: DatagramKind>() {
    let (sender, peers) = channel();
    let sender = Mutex::new(sender);
    let builder = K::builder().verify_request(move |peer| {
        sender.lock().unwrap().send(peer.clone()).unwrap();
        false
    });
    let served = K::serve_as(builder, handler_fn(|_: &mut Datagram| panic!("must not run")));
    let client = served.place.client();
    for _ in 0..3 {
        client.send(b"hello");
        assert_eq!(receive(&peers), client.address());
    }
    accepted(&served, 3);
    client.hears_nothing();
    let stats = served.handle.stats();
    assert_eq!((stats.rejected, stats.panics, stats.handler_errors, stats.dropped), (3, 0, 0, 0));
    served.stop();
}

fn a_request_knows_its_ends_and_its_server<K: DatagramKind>() {
    let (sender, ends) = channel();
    let served = K::serve(handler_fn(move |request: &mut Datagram| {
        Ok(sender.send((request.peer_addr(), request.local_addr(), request.server(), request.is_truncated()))?)
    }));
    let client = served.place.client();
    client.send(b"x");
    let (peer, local, server, truncated) = receive(&ends);
    assert_eq!(peer, client.address());
    assert_eq!(local, served.place.address());
    assert_eq!(server.local_addr(), local);
    assert!(!truncated);
    assert!(!server.is_shutting_down());
    server.shutdown();
    assert!(served.join().unwrap().is_clean());
    assert!(server.is_shutting_down());
}

/// Not in Python, whose servers look every half second. The best of many: the promise is about the server, not about what
/// else the machine does.
fn a_stop_takes_effect_at_once<K: DatagramKind>() {
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

/// By the next server at once, although SO_REUSEADDR is off: UDP has no TIME_WAIT. A Unix path is unlinked, which Python leaves behind.
fn the_address_can_be_bound_again<K: DatagramKind>() {
    let served = K::serve(echo());
    assert_eq!(served.place.ask(b"x"), b"x");
    let spot = served.place.clone();
    served.stop();
    match &spot {
        datagrams::Spot::Udp(address) => {
            let again = socketserver::UdpServer::bind(*address, echo()).unwrap();
            assert_eq!(again.local_addr(), *address);
        }
        #[cfg(unix)]
        datagrams::Spot::Unix(path, _folder) => {
            let _again = socketserver::UnixDatagramServer::bind(path, echo()).unwrap();
        }
    }
}

fn an_empty_datagram_is_a_request<K: DatagramKind>() {
    let (sender, lengths) = channel();
    let served = K::serve(handler_fn(move |request: &mut Datagram| {
        sender.send((request.data().len(), request.read(&mut [0; 10])?))?;
        Ok(request.reply(b"")?)
    }));
    let client = served.place.client();
    assert_eq!(client.ask(b""), b"");
    assert_eq!(receive(&lengths), (0, 0));
    // It was no end of anything.
    assert_eq!(client.ask(b"abc"), b"");
    assert_eq!(receive(&lengths), (3, 3));
    served.stop();
}

/// faults.md, U8.
fn a_thousand_empty_datagrams<K: DatagramKind>() {
    let served = K::serve(echo());
    let client = served.place.client();
    for _ in 0..1000 {
        assert_eq!(client.ask(b""), b"");
    }
    accepted(&served, 1000);
    assert_eq!(client.ask(b"x"), b"x");
    served.stop();
}

/// Python's `DatagramRequestHandler` sends an empty datagram then.
fn nothing_is_answered_unless_the_handler_does<K: DatagramKind>() {
    let served = K::serve(handler_fn(|_: &mut Datagram| Ok(())));
    let client = served.place.client();
    client.send(b"hello");
    accepted(&served, 1);
    client.hears_nothing();
    served.stop();
}

fn several_answers_come_in_order<K: DatagramKind>() {
    let served = K::serve(handler_fn(|request: &mut Datagram| {
        for word in request.data().split(|byte| *byte == b' ') {
            request.reply(word)?;
        }
        Ok(())
    }));
    let client = served.place.client();
    client.send(b"one two  three");
    for word in [&b"one"[..], b"two", b"", b"three"] {
        assert_eq!(client.receive(), word);
    }
    served.idle();
    client.hears_nothing();
    served.stop();
}

/// As many as any system's buffer holds.
fn datagrams_are_served_whole_and_in_order<K: DatagramKind>() {
    const COUNT: u8 = 8;
    let (sender, seen) = channel();
    let (server, spot) = K::bind(
        K::builder().max_connections(1),
        handler_fn(move |request: &mut Datagram| Ok(sender.send(request.data().to_vec())?)),
    );
    let client = spot.client();
    for number in 0..COUNT {
        client.send(&vec![number; usize::from(number) * 100]);
    }
    // All of them wait when it starts, which is one event.
    let served = Served::new((server, spot));
    for number in 0..COUNT {
        assert_eq!(receive(&seen), vec![number; usize::from(number) * 100]);
    }
    served.stop();
}

/// Python: the `rfile` of a `DatagramRequestHandler`.
fn a_datagram_can_be_read_like_a_file<K: DatagramKind>() {
    let served = K::serve(handler_fn(|request: &mut Datagram| {
        let mut first = String::new();
        request.read_line(&mut first)?;
        let mut two = [0; 2];
        request.read_exact(&mut two)?;
        let mut rest = Vec::new();
        let count = request.read_to_end(&mut rest)?;
        assert_eq!((request.read(&mut [0])?, request.fill_buf()?), (0, &b""[..]), "and ends");
        request.consume(usize::MAX);
        Ok(request.reply(format!("{first}|{two:?}|{count}|{}", String::from_utf8_lossy(&rest)).as_bytes())?)
    }));
    assert_eq!(
        served.place.ask("first\n\u{1}\u{2}das Übrige\n".as_bytes()),
        "first\n|[1, 2]|12|das Übrige\n".as_bytes()
    );
    served.stop();
}

fn a_datagram_is_what_was_sent_however_it_was_read<K: DatagramKind>() {
    let (sender, ended) = channel();
    let served = K::serve(handler_fn(move |request: &mut Datagram| {
        let short = request.read_exact(&mut [0; 100]).map_err(|error| error.kind());
        sender.send(short)?;
        request.consume(3);
        Ok(request.reply(request.data())?)
    }));
    assert_eq!(served.place.ask(b"hello"), b"hello");
    assert_eq!(receive(&ended), Err(io::ErrorKind::UnexpectedEof));
    served.stop();
}

fn the_socket_can_be_configured<K: DatagramKind>() {
    let served = K::serve(handler_fn(|request: &mut Datagram| {
        let before = request.socket().unwrap().recv_buffer_size()?;
        request.socket().unwrap().set_recv_buffer_size(16 * 1024)?;
        let after = request.socket().unwrap().recv_buffer_size()?;
        assert!(after < before, "{before} and {after}");
        Ok(request.reply(b"ok")?)
    }));
    assert_eq!(served.place.ask(b""), b"ok");
    served.stop();
}

/// 65,507 bytes are the most over IPv4; a Unix socket takes more, and the default of `max_packet_size` is 65,535.
fn a_long_datagram_is_whole<K: DatagramKind>() {
    let served = K::serve(echo());
    let client = served.place.client();
    let most = if K::is_udp() { 65_507 } else { 65_535 };
    for length in [1472, 1473, 8192, 8193, 60_000, most] {
        let data: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        assert!(client.ask(&data) == data, "{length}");
    }
    assert_eq!(served.handle.stats().dropped, 0);
    served.stop();
}

fn debug_output_says_the_peer_and_the_length_and_not_the_data<K: DatagramKind>() {
    let served = K::serve(handler_fn(|request: &mut Datagram| Ok(request.reply(format!("{request:?}").as_bytes())?)));
    let client = served.place.client();
    let text = String::from_utf8(client.ask(b"secret")).unwrap();
    assert!(text.contains("len: 6") && text.contains("truncated: false") && !text.contains("secret"), "{text}");
    assert!(text.contains(&format!("{:?}", client.address())), "{text}");
    served.stop();
}

/// Python: `test_threads_reaped` (bpo-37193), which asks for fewer than ten.
fn threads_are_reused<K: DatagramKind>() {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&threads);
    let served = K::serve(handler_fn(move |request: &mut Datagram| {
        seen.lock().unwrap().insert(std::thread::current().id());
        Ok(request.reply(b"")?)
    }));
    for _ in 0..10 {
        assert_eq!(served.place.ask(b""), b"");
        served.idle();
    }
    assert_eq!(threads.lock().unwrap().len(), 1);
    served.stop();
}

fn requests_are_served_side_by_side<K: DatagramKind>() {
    let (handler, release) = held();
    let served = K::serve(handler);
    let clients: Vec<Client> = (0..5).map(|_| served.place.client()).collect();
    clients.iter().for_each(Client::begin);
    assert_eq!(served.handle.stats().active, 5);
    drop(release);
    assert!(served.stop().is_clean());
}

/// A reply is refused before it is sent, and the socket is none the worse for it (faults.md, U7).
#[test]
fn an_answer_that_is_too_long_is_an_error_and_the_socket_goes_on() {
    fn check<K: DatagramKind>() {
        let (sender, errors) = channel();
        let served = K::serve(handler_fn(move |request: &mut Datagram| {
            if let Err(error) = request.reply(&vec![7; 65_508]) {
                let known = match Error::of(&error) {
                    Some(Error::TooLarge { address, size, limit }) => Some((address.clone(), *size, *limit)),
                    _ => None,
                };
                sender.send((error.kind(), known))?;
            }
            request.reply(&vec![7; 65_507])?;
            Ok(request.reply(request.data())?)
        }));
        let client = served.place.client();
        for text in [&b"one"[..], b"two"] {
            assert_eq!(client.ask(text).len(), 65_507);
            assert_eq!(client.receive(), text);
            let expected = (client.address().to_string(), 65_508, 65_507);
            assert_eq!(receive(&errors), (io::ErrorKind::InvalidInput, Some(expected)));
        }
        let handle = served.handle.clone();
        served.stop();
        assert_eq!(handle.stats().handler_errors, 0);
    }
    common::run(check::<socketserver::UdpServer>);
    common::run(check::<socketserver::ThreadingUdpServer>);
}

/// The same handler on every kind, unchanged.
#[test]
fn a_handler_that_counts_shares_an_arc() {
    let _watchdog = common::watchdog();
    let count = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&count);
    let handler = handler_fn(move |request: &mut Datagram| {
        let number = shared.fetch_add(1, Ordering::SeqCst);
        Ok(request.reply(number.to_string().as_bytes())?)
    });
    fn serve<K: DatagramKind>(handler: impl Handler<Datagram> + Clone) -> Vec<u8> {
        let served = K::serve(handler);
        let answer = served.place.ask(b"hello");
        served.stop();
        answer
    }
    assert_eq!(serve::<socketserver::UdpServer>(handler.clone()), b"0");
    assert_eq!(serve::<socketserver::ThreadingUdpServer>(handler.clone()), b"1");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}
