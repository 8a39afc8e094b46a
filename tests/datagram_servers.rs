//! What a datagram is to its handler, and what datagram servers do that others do not. What they have in common with others is asked
//! in the files of those.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, BufRead, Read};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use common::datagrams::{DatagramKind, Spot};
use common::{echo, eventually, held, receive, Reach, Served, Serves};
use socketserver::{handler_fn, Datagram, Error};

every_datagram_kind! {
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
    the_address_is_free_when_the_last_request_has_ended
    a_datagram_that_waits_at_a_stop_finds_a_free_place
}

/// By the next server at once, although SO_REUSEADDR is off: UDP has no TIME_WAIT. A Unix path is unlinked, which Python leaves behind.
fn the_address_can_be_bound_again<K: DatagramKind>() {
    let served = K::serve(echo());
    assert_eq!(served.place.ask(b"x"), b"x");
    let spot = served.place.clone();
    served.stop();
    match &spot {
        Spot::Udp(address) => {
            let again = socketserver::UdpServer::bind(*address, echo()).unwrap();
            assert_eq!(again.local_addr(), *address);
        }
        #[cfg(unix)]
        Spot::Unix(path, _folder) => {
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

/// U8.
fn a_thousand_empty_datagrams<K: DatagramKind>() {
    let served = K::serve(echo());
    let client = served.place.client();
    for _ in 0..1000 {
        assert_eq!(client.ask(b""), b"");
    }
    served.expect_accepted(1000);
    assert_eq!(client.ask(b"x"), b"x");
    served.stop();
}

/// Python's `DatagramRequestHandler` sends an empty datagram then.
fn nothing_is_answered_unless_the_handler_does<K: DatagramKind>() {
    let served = K::serve(handler_fn(|_: &mut Datagram| Ok(())));
    let client = served.place.client();
    client.send(b"hello");
    served.expect_accepted(1);
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

/// A UDP port is the socket's that the request answers through. A Unix path is gone as soon as nothing is received any more.
fn the_address_is_free_when_the_last_request_has_ended<K: DatagramKind>() {
    let (handler, release) = held();
    let served = K::serve(handler);
    let (client, spot) = (served.place.client(), served.place.clone());
    client.begin();
    served.handle.shutdown();
    if !K::is_udp() {
        eventually("the path is gone", || spot.is_closed());
    } else {
        assert!(!spot.is_closed());
    }
    drop(release);
    assert_eq!(served.join().unwrap().drained, 1);
    assert!(spot.is_closed());
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

/// A reply is refused before it is sent, and the socket is none the worse for it (U7).
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

/// Who sends to a full Unix socket waits. A queue before the threads would take in what finds no place, and drop it.
#[test]
#[cfg(target_os = "linux")] // elsewhere the sending fails
fn every_datagram_that_a_unix_socket_has_taken_is_served() {
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use common::{Kind, LONG};
    use socketserver::ThreadingUnixDatagramServer;

    const SENT: u64 = 3000;
    common::run(|| {
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let handler = handler_fn(move |_: &mut Datagram| {
            let _ = held.lock().unwrap().recv_timeout(LONG);
            Ok(())
        });
        let builder = ThreadingUnixDatagramServer::builder().max_connections(2);
        let served = ThreadingUnixDatagramServer::serve_as(builder, handler);
        let Spot::Unix(path, _) = &served.place else { panic!("{:?}", served.place) };
        let client = UnixDatagram::unbound().unwrap();
        client.connect(path).unwrap();
        client.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut sent = 0;
        let held_up = loop {
            match client.send(b"x") {
                Ok(_) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < SENT, "the sender was never held up");
        };
        assert_eq!(held_up.kind(), io::ErrorKind::WouldBlock);
        drop(release);
        client.set_write_timeout(Some(LONG)).unwrap();
        (sent..SENT).for_each(|_| assert_eq!(client.send(b"x").unwrap(), 1));
        served.expect_accepted(SENT);
        let stats = served.handle.stats();
        assert_eq!((stats.dropped, stats.rejected), (0, 0));
        served.stop();
    });
}

/// Over UDP what the system's buffer cannot hold is lost in any case.
#[test]
fn a_udp_server_keeps_1024_datagrams_that_wait_for_a_thread() {
    use common::Kind;
    use socketserver::ThreadingUdpServer;

    common::run(|| {
        let (handler, release) = held();
        let served = ThreadingUdpServer::serve_as(ThreadingUdpServer::builder().max_connections(1), handler);
        let client = served.place.client();
        let mut sent = 0;
        while served.handle.stats().dropped == 0 {
            client.send(b"x");
            sent += 1;
            assert!(sent < 100_000, "the queue has no end");
        }
        drop(release);
        // One more, which was being served; and what the system still had.
        eventually("those that waited are served", || served.handle.stats().accepted > 1024);
        served.stop();
    });
}
