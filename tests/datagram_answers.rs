//! What a datagram server sends, and to whom: answers that find no room, answers that fail, words for those who are turned away; and what it
//! says in the log of what it does not serve.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use common::datagrams::{DatagramKind, Spot};
#[cfg(target_os = "linux")]
use common::BuilderOf;
use common::{echo, eventually, held, receive, run, Kind, Reach, Served, LONG};
use socketserver::server::Threading;
use socketserver::udp::Identified;
use socketserver::{handler_fn, Datagram, Overload, ThreadingUdpServer, UdpServer};

threading_datagram_kinds! {
    words_in_leaving_are_for_longer_datagrams_alone
}

fn words_in_leaving_are_for_longer_datagrams_alone<K: DatagramKind<Dispatch = Threading>>() {
    let (handler, release) = held();
    let served = K::serve_as(K::builder().max_connections(1).queue(0).overload(Overload::Reject(b"busy")), handler);
    served.place.client().begin();
    let other = served.place.client();
    for short in [&b""[..], b"1", b"1234"] {
        let rejected = served.handle.stats().rejected;
        other.send(short);
        eventually("it is turned away", || served.handle.stats().rejected == rejected + 1);
        // Who is over the limit is answered by another thread, one after another.
        assert_eq!(other.ask(b"12345"), b"busy");
        other.hears_nothing();
    }
    drop(release);
    served.stop();
}

fn udp(spot: &Spot) -> SocketAddr {
    spot.address().as_socket_addr().unwrap()
}

/// faults.md, U10: two servers that are set upon each other by a forged address.
#[test]
fn two_full_servers_do_not_go_on_answering_each_other() {
    fn full(words: &'static [u8]) -> (Served<Spot>, std::sync::mpsc::Sender<()>) {
        let (release, wait) = channel::<()>();
        let wait = std::sync::Arc::new(Mutex::new(wait));
        // Sends to whom it is told to, from the server's own address.
        let handler = handler_fn(move |request: &mut Datagram| {
            if let Ok(victim) = std::str::from_utf8(request.data())?.parse::<SocketAddr>() {
                let socket = request.socket().unwrap();
                for length in 1..200 {
                    socket.send_to(&vec![b'x'; length], &victim.into())?;
                }
            }
            request.reply(b"+")?;
            let _ = wait.lock().unwrap().recv_timeout(LONG);
            Ok(())
        });
        let builder = ThreadingUdpServer::builder().max_connections(1).queue(0).overload(Overload::Reject(words));
        (ThreadingUdpServer::serve_as(builder, handler), release)
    }
    run(|| {
        let ((one, release_one), (other, release_other)) = (full(b"busy"), full(b"busy, come again"));
        other.place.client().begin();
        let first = one.place.client();
        first.send(udp(&other.place).to_string().as_bytes());
        assert_eq!(first.receive(), b"+");
        // 199 from the one to the other, of which the other answers those longer than its words, and of those the one answers each once.
        let done = || (one.handle.stats().rejected, other.handle.stats().rejected);
        eventually("they have answered each other", || done() == (183, 199 + 183));
        let until = Instant::now() + Duration::from_millis(200);
        while Instant::now() < until {
            assert_eq!(done(), (183, 199 + 183), "and that was all");
            std::thread::yield_now();
        }
        drop((release_one, release_other));
        one.stop();
        other.stop();
    });
}

/// What was not sent could not flood anybody.
#[test]
fn an_answer_that_fails_does_not_count_towards_the_limit() {
    run(|| {
        let (sender, outcomes) = channel();
        let handler = handler_fn(move |request: &mut Datagram| {
            for length in [65_508, 65_507, 14_493, 1] {
                sender.send(request.reply(&vec![0; length]).err().map(|error| error.kind()))?;
            }
            Ok(())
        });
        let served = UdpServer::serve_as(UdpServer::builder().answer_limit(2), handler);
        served.place.client().send(&[0; 40_000]);
        let expected = [Some(io::ErrorKind::InvalidInput), None, None, Some(io::ErrorKind::PermissionDenied)];
        expected.into_iter().for_each(|outcome| assert_eq!(receive(&outcomes), outcome));
        served.stop();
    });
}

/// On a Unix socket it is the receiver's queue that is full, for as long as he likes.
#[test]
#[cfg(target_os = "linux")] // where that queue has a length
fn one_who_does_not_read_his_answers_holds_nobody_up_for_long() {
    use socketserver::UnixDatagramServer;

    fn check(timeout: Option<Duration>) {
        let (sender, outcomes) = channel();
        let handler = handler_fn(move |request: &mut Datagram| {
            if request.data() != b"flood me" {
                return Ok(request.reply(request.data())?);
            }
            let (sent, started, error) = loop {
                let started = Instant::now();
                match request.reply(b"x") {
                    Ok(()) => continue,
                    Err(error) => break (request.peer_addr(), started, error),
                }
            };
            Ok(sender.send((sent, started.elapsed(), error.kind(), error.to_string()))?)
        });
        let builder = UnixDatagramServer::builder();
        let builder = match timeout {
            Some(timeout) => builder.reply_timeout(timeout),
            None => builder,
        };
        let served = UnixDatagramServer::serve_as(builder, handler);
        let deaf = served.place.client();
        deaf.send(b"flood me");
        let (peer, waited, kind, error) = receive(&outcomes);
        let timeout = timeout.unwrap_or(Duration::from_millis(100));
        assert_eq!((peer, kind), (deaf.address(), io::ErrorKind::TimedOut), "{error}");
        assert!(waited >= timeout && waited < timeout + Duration::from_secs(2), "{waited:?}");
        // Others are turned to, if not answered: what he has not read may be all that the server can have under way.
        let other = served.place.client();
        other.send(b"hello");
        served.expect_accepted(2);
        // And when he has read it, all are served again.
        deaf.0.set_nonblocking(true).unwrap();
        while (&deaf.0).read(&mut [0; 10]).is_ok() {}
        deaf.0.set_nonblocking(false).unwrap();
        assert_eq!(deaf.ask(b"hello"), b"hello");
        assert_eq!(served.place.ask(b"hello"), b"hello");
        served.stop();
    }
    run(|| {
        check(None);
        check(Some(Duration::ZERO));
        check(Some(Duration::from_millis(20)));
    });
}

/// A server whose handler sends until it is told why it cannot, and tells for how long, again and again until it is cut or `most` times.
#[cfg(target_os = "linux")]
fn sending_in_vain(
    builder: BuilderOf<socketserver::UnixDatagramServer>,
    most: usize,
) -> (Served<Spot>, std::sync::mpsc::Receiver<(Duration, io::ErrorKind)>) {
    let (sender, outcomes) = channel();
    let handler = handler_fn(move |request: &mut Datagram| {
        let mut failures = 0;
        while failures < most {
            let started = Instant::now();
            if let Err(error) = request.reply(b"x") {
                failures += 1;
                sender.send((started.elapsed(), error.kind()))?;
            }
        }
        Ok(())
    });
    (socketserver::UnixDatagramServer::serve_as(builder, handler), outcomes)
}

#[test]
#[cfg(target_os = "linux")]
fn an_answer_waits_for_its_timeout_and_no_longer() {
    run(|| {
        const TIMEOUT: Duration = Duration::from_millis(20);
        let builder = socketserver::UnixDatagramServer::builder().reply_timeout(TIMEOUT);
        let (served, outcomes) = sending_in_vain(builder, 20);
        let deaf = served.place.client();
        deaf.send(b"flood me");
        let waits: Vec<Duration> = (0..20).map(|_| receive(&outcomes).0).collect();
        assert!(waits.iter().all(|wait| *wait >= TIMEOUT), "{waits:?}");
        // Some on a busy machine, but not all.
        assert!(waits.iter().any(|wait| *wait < TIMEOUT + TIMEOUT / 4), "{waits:?}");
        served.stop();
    });
}

/// So that the handler is not still running when the server has stopped.
#[test]
#[cfg(target_os = "linux")]
fn an_answer_that_waits_for_room_is_cut_at_the_drain_deadline() {
    run(|| {
        let builder = socketserver::UnixDatagramServer::builder().reply_timeout(LONG).drain_timeout(Duration::ZERO);
        let (served, outcomes) = sending_in_vain(builder, 2);
        let deaf = served.place.client();
        deaf.send(b"flood me");
        eventually("it begins", || served.handle.stats().active == 1);
        let report = served.stop();
        assert_eq!((report.drained, report.abandoned, report.still_running), (0, 1, 0));
        // The one that waited, and all that follow.
        for _ in 0..2 {
            assert_eq!(receive(&outcomes).1, io::ErrorKind::ConnectionAborted);
        }
    });
}

/// What is said in the log.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

/// The lines about a server.
fn lines_about(address: &str) -> Vec<String> {
    LINES.0.lock().unwrap().iter().filter(|line| line.contains(address)).cloned().collect()
}

/// What is not served is said to be, and why; a flood of it in no flood of lines.
#[test]
fn a_dropped_datagram_is_a_line_in_the_log_once_a_second() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LINES).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
    run(|| {
        // Too long.
        let served = UdpServer::serve_as(UdpServer::builder().max_packet_size(10), echo());
        let client = served.place.client();
        let address = served.handle.local_addr().to_string();
        for number in 1..=1000 {
            client.send(&[0; 11]);
            eventually("it is dropped", || served.handle.stats().dropped == number);
        }
        let about = lines_about(&format!("dropped on {address}"));
        let expected = format!(
            "WARN a datagram was dropped on {address}: one from {} has more than 10 bytes (max_packet_size)",
            client.address()
        );
        assert_eq!(about[0], expected);
        assert!(about.len() < 5, "{} lines in what may be a second or two", about.len());
        served.stop();

        // Without a request id.
        let served = UdpServer::serve(Identified::new(echo::<Datagram>()));
        let client = served.place.client();
        client.send(b"1234567");
        eventually("it is dropped", || served.handle.stats().dropped == 1);
        let about = lines_about(&format!("dropped on {}", served.handle.local_addr()));
        assert!(about[0].ends_with(&format!("too short to bear a request id, from {}", client.address())), "{about:?}");
        served.stop();

        // Beyond the queue.
        let (handler, release) = held();
        let builder = ThreadingUdpServer::builder().max_connections(1).queue(2);
        let served = ThreadingUdpServer::serve_as(builder, handler);
        let client = served.place.client();
        client.begin();
        (0..3).for_each(|_| client.send(b"x"));
        eventually("one is dropped", || served.handle.stats().dropped == 1);
        let about = lines_about(&format!("dropped on {}", served.handle.local_addr()));
        assert!(about[0].ends_with(": 2 wait for a place already"), "{about:?}");
        drop(release);
        served.stop();
    });
}
