//! `UdpClient`: one deadline for everything, and no answer but this request's own.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/lossy.rs"]
mod lossy;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{scope, JoinHandle};
use std::time::{Duration, Instant};

use common::{eventually, own_address, receive, watchdog, LONG};
use lossy::{Dice, Faults, Lossy, MOST_WAYS};
use socketserver::udp::{RequestId, UdpClientBuilder};
use socketserver::{Error, Phase, UdpClient};

/// A pause or a timeout that is meant to run out.
const SHORT: Duration = Duration::from_millis(20);

/// What a machine that has other things to do may add to a timeout.
const SLACK: Duration = Duration::from_secs(2);

/// A socket that answers, or does not. Where no other test's client has been, whose late answers would come here.
fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(own_address()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A peer that is served by a thread until it is dropped.
struct Peer {
    socket: Arc<UdpSocket>,
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// Sends what `answer` makes of a datagram back to where that came from.
    fn answering(answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        Peer::on(peer().0, answer)
    }

    fn echoing() -> Self {
        Peer::answering(|data| Some(data.to_vec()))
    }

    fn on(socket: UdpSocket, mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let (socket, over) = (Arc::new(socket), Arc::new(AtomicBool::new(false)));
        let address = socket.local_addr().unwrap();
        let (its_socket, told) = (Arc::clone(&socket), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            loop {
                let (length, from) = its_socket.recv_from(&mut buffer).unwrap();
                if told.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(answer) = answer(&buffer[..length]) {
                    its_socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Peer { socket, address, over, thread: Some(thread) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.socket.send_to(&[], self.address).unwrap();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the peer has panicked");
    }
}

/// An address where nobody is, nor will be.
fn nobody() -> SocketAddr {
    UdpSocket::bind(own_address()).unwrap().local_addr().unwrap()
}

/// A client that waits for as long as it takes, and asks once.
fn patient() -> UdpClientBuilder {
    UdpClient::builder().timeout(LONG).retries(0)
}

#[track_caller]
fn assert_timed_out(error: &Error, timeout: Duration) {
    assert!(matches!(error, Error::Timeout { phase: Phase::Answer, after, .. } if *after == timeout), "{error:?}");
}

#[test]
fn a_request_is_answered() {
    let _watchdog = watchdog();
    let peer = Peer::answering(|data| Some([b"you said ", data].concat()));
    let mut client = UdpClient::connect(peer.address).unwrap();
    // A machine that is busy may need more than the half second after which a request is repeated.
    client.set_retries(0).unwrap();
    client.set_timeout(LONG).unwrap();
    assert_eq!(client.peer_addr(), peer.address);
    assert!(client.local_addr().ip().is_loopback());
    assert_eq!(client.request(b"one").unwrap(), b"you said one");
    assert_eq!(client.request_matching(b"two", |answer| answer.ends_with(b"two")).unwrap(), b"you said two");
    let stats = client.stats();
    assert_eq!((stats.sent, stats.received), (2, 2));
    assert_eq!((stats.passed_over, stats.timed_out, stats.refused, stats.truncated), (0, 0, 0, 0));
}

#[test]
fn every_form_of_an_address_is_taken() {
    let _watchdog = watchdog();
    let peer = Peer::echoing();
    let (host, port) = (peer.address.ip().to_string(), peer.address.port());
    let clients = [
        patient().connect((host.as_str(), port)),
        patient().connect(peer.address.to_string()),
        patient().connect(peer.address.to_string().as_str()),
        patient().connect([peer.address; 2]),
        // Nobody can be at port 0, so it is the second that is taken.
        patient().connect([SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), peer.address]),
        patient().source_address(own_address()).connect([SocketAddr::from((Ipv6Addr::LOCALHOST, port)), peer.address]),
    ];
    for client in clients {
        let mut client = client.unwrap();
        assert_eq!(client.peer_addr(), peer.address);
        assert_eq!(client.request(b"hello").unwrap(), b"hello");
    }
}

#[test]
fn a_name_is_looked_up() {
    let _watchdog = watchdog();
    // Which family it means first differs between machines, and a UDP connect does not find out whether somebody is there.
    let v6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0));
    let socket = match &v6 {
        Ok(v6) => UdpSocket::bind((Ipv4Addr::LOCALHOST, v6.local_addr().unwrap().port())),
        Err(_) => UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)),
    };
    // Somebody may have the port in the other family.
    let Ok(socket) = socket else { return };
    let port = socket.local_addr().unwrap().port();
    let echo = |data: &[u8]| Some(data.to_vec());
    let _peers = (Peer::on(socket, echo), v6.map(|v6| Peer::on(v6, echo)));
    let mut client = patient().connect(("localhost", port)).unwrap();
    assert_eq!(client.request(b"hello").unwrap(), b"hello");
}

#[test]
fn ipv6_is_asked() {
    let _watchdog = watchdog();
    let Ok(socket) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
    let peer = Peer::on(socket, |data| Some(data.to_vec()));
    let mut client = patient().connect(peer.address).unwrap();
    assert!(client.local_addr().is_ipv6());
    assert_eq!(client.request(b"hello").unwrap(), b"hello");
    assert_eq!(client.request_identified(b"hello").unwrap(), b"hello");
    client.renew().unwrap();
    assert_eq!(client.request(&[7; 65_527]).unwrap(), [7; 65_527]);
    let error = client.request(&[7; 65_528]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: 65_528, limit: 65_527, .. }), "{error:?}");
    assert_eq!(client.stats().sent, 3);
}

/// U1: the kernel lets in the peer alone.
#[test]
fn datagrams_from_elsewhere_are_never_seen() {
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let mut strangers = vec![UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()];
    if cfg!(target_os = "linux") {
        // Another address, and the peer's own port.
        let mut other = own_address();
        other.set_port(address.port());
        strangers.push(UdpSocket::bind(other).unwrap());
    }
    let forge = |to: SocketAddr, count: usize| {
        for stranger in strangers.iter().cycle().take(count) {
            stranger.send_to(b"forged", to).unwrap();
        }
    };
    let mut client = patient().connect(address).unwrap();
    forge(client.local_addr(), 100);
    scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                let (_, from) = peer.recv_from(&mut [0; 100]).unwrap();
                forge(from, 5_000);
                peer.send_to(b"genuine", from).unwrap();
            }
        });
        assert_eq!(client.request(b"?").unwrap(), b"genuine");
        assert_eq!(client.request_matching(b"?", |_| true).unwrap(), b"genuine");
    });
    let stats = client.stats();
    assert_eq!((stats.received, stats.passed_over, stats.renewed), (2, 0, 0));
}

/// U2, as far as it goes without a raw socket: the wrong ids come from the true address.
#[test]
fn a_million_wrong_ids_are_passed_over() {
    const FORGED: u64 = 1_000_000;
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let mut client = patient().recv_buffer_size(4 << 20).connect(address).unwrap();
    let answered = AtomicBool::new(false);
    let started = Instant::now();
    scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 100];
            let (length, from) = peer.recv_from(&mut buffer).unwrap();
            let (id, payload) = RequestId::split(&buffer[..length]).unwrap();
            let right = u64::from_be_bytes(id.to_bytes());
            for wrong in 1..=FORGED {
                // All that differ in one bit are among them.
                let wrong = if wrong < 64 { 1 << wrong } else { wrong };
                let forged = RequestId::from((right ^ wrong).to_be_bytes()).prefix(b"forged");
                peer.send_to(&forged, from).unwrap();
            }
            // What the client's buffer had no room for is gone.
            while !answered.load(Ordering::SeqCst) {
                peer.send_to(&id.prefix(payload), from).unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let answer = client.request_identified(b"genuine");
        answered.store(true, Ordering::SeqCst);
        assert_eq!(answer.unwrap(), b"genuine");
    });
    let stats = client.stats();
    println!("of {FORGED} forged ones {} were passed over, in {:?}", stats.passed_over, started.elapsed());
    assert!(started.elapsed() < LONG);
    assert!(stats.passed_over > 1_000, "{stats:?}");
    assert_eq!(stats.received, stats.passed_over + 1);
}

#[test]
fn wrong_answers_do_not_extend_the_deadline() {
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let timeout = Duration::from_millis(300);
    let mut client = UdpClient::builder().timeout(timeout).retries(1).connect(address).unwrap();
    // Faster than they are looked at, so that there is always one; and so slowly that each is waited for.
    for (pause, look) in [(Duration::ZERO, Duration::from_millis(2)), (Duration::from_millis(5), Duration::ZERO)] {
        let over = AtomicBool::new(false);
        scope(|scope| {
            scope.spawn(|| {
                let (_, from) = peer.recv_from(&mut [0; 100]).unwrap();
                let started = Instant::now();
                while !over.load(Ordering::SeqCst) && started.elapsed() < 5 * SLACK {
                    // Once the client's port is another, nobody is there.
                    let _ = peer.send_to(b"wrong", from);
                    if !pause.is_zero() {
                        std::thread::sleep(pause);
                    }
                }
            });
            let before = client.stats();
            let started = Instant::now();
            let no = |_: &[u8]| {
                if !look.is_zero() {
                    std::thread::sleep(look);
                }
                false
            };
            let error = client.request_matching(b"?", no).unwrap_err();
            let elapsed = started.elapsed();
            over.store(true, Ordering::SeqCst);
            assert_timed_out(&error, timeout);
            assert!(elapsed >= timeout && elapsed < timeout + SLACK, "{elapsed:?}");
            let passed_over = client.stats().passed_over - before.passed_over;
            println!("{passed_over} wrong ones, {:?} past the deadline", elapsed - timeout);
            assert!(passed_over > 1);
            // Nor do they keep the request from being repeated.
            assert!(client.stats().retried > before.retried);
        });
        // Whatever else was sent is not for the next port.
        while let Ok(true) = discard(&peer) {}
    }
}

/// Takes what has come. Whether there was anything.
fn discard(socket: &UdpSocket) -> io::Result<bool> {
    socket.set_nonblocking(true)?;
    let got = socket.recv(&mut [0; 100]).is_ok();
    socket.set_nonblocking(false)?;
    Ok(got)
}

/// U3: the answer to a request that timed out comes after the next request.
#[test]
fn a_late_answer_is_never_the_next_requests() {
    let _watchdog = watchdog();
    const THREADS: u32 = 20;
    const PAIRS: u32 = 250;
    let ask = || {
        let (peer, address) = peer();
        scope(|scope| {
            scope.spawn(move || {
                let mut buffer = [0; 100];
                let mut held: Option<(Vec<u8>, SocketAddr)> = None;
                let mut answered = 0;
                while answered < PAIRS {
                    let (length, from) = peer.recv_from(&mut buffer).unwrap();
                    // A thread that was held up may have had no time to send one.
                    if buffer[0] == b'h' {
                        held = Some((buffer[..length].to_vec(), from));
                        continue;
                    }
                    if let Some((late, first)) = held.take() {
                        assert_ne!(first, from);
                        for _ in 0..2 {
                            peer.send_to(&late, first).unwrap();
                        }
                    }
                    peer.send_to(&buffer[..length], from).unwrap();
                    answered += 1;
                }
            });
            let mut client = patient().connect(address).unwrap();
            for number in 0..PAIRS {
                client.set_timeout(Duration::from_millis(2)).unwrap();
                client.request(format!("hold {number}").as_bytes()).unwrap_err();
                client.set_timeout(LONG).unwrap();
                let next = format!("answer {number}").into_bytes();
                assert_eq!(client.request(&next).unwrap(), next);
            }
            let stats = client.stats();
            assert_eq!((stats.timed_out, stats.passed_over), (u64::from(PAIRS), 0));
            assert!(stats.sent > u64::from(PAIRS) * 3 / 2, "{stats:?}");
        });
    };
    scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(ask))));
}

/// U3: the first attempt is answered after the second, when the next request has been sent already.
#[test]
fn an_answer_to_an_earlier_attempt_is_never_the_next_requests() {
    let _watchdog = watchdog();
    const REQUESTS: u32 = 300;
    let (peer, address) = peer();
    scope(|scope| {
        scope.spawn(move || {
            let mut buffer = [0; 100];
            let mut held: Option<(Vec<u8>, SocketAddr)> = None;
            let mut seen = HashSet::new();
            while seen.len() < REQUESTS as usize {
                let (length, from) = peer.recv_from(&mut buffer).unwrap();
                let data = buffer[..length].to_vec();
                if let Some((answer, first)) = held.take() {
                    if answer == data {
                        assert_eq!(from, first, "an attempt of the same request from another port");
                        seen.insert(data.clone());
                        peer.send_to(&data, from).unwrap();
                        held = Some((data, from));
                        continue;
                    }
                    // The earlier one's answer again, in front of anything else.
                    peer.send_to(&answer, first).unwrap();
                }
                held = Some((data, from));
            }
        });
        let mut client = UdpClient::builder()
            .timeout(LONG)
            .retries(10)
            .first_retry(Duration::from_millis(2))
            .connect(address)
            .unwrap();
        for number in 0..REQUESTS {
            let request = number.to_be_bytes();
            assert_eq!(client.request(&request).unwrap(), request);
        }
        let stats = client.stats();
        assert!(stats.retried >= u64::from(REQUESTS), "{stats:?}");
        assert_eq!(stats.renewed, u64::from(REQUESTS) - 1);
    });
}

/// U3: what only the network does: answers come twice, one of them after the next request was sent from the same port.
#[test]
fn an_answer_that_comes_twice_is_never_the_next_requests() {
    let _watchdog = watchdog();
    const THREADS: u32 = 20;
    const REQUESTS: u32 = 10_000;
    let peer = Peer::echoing();
    let late = Faults { doubled: 60, delay: Duration::from_millis(6), ..Faults::default() };
    let network = Lossy::before(peer.address, Faults::default(), late, 11);
    let totals = Mutex::new((0, 0));
    let ask = |thread: u32| {
        let mut client = patient().connect(network.address).unwrap();
        for number in 0..REQUESTS / THREADS / 2 {
            let request = [thread.to_be_bytes(), number.to_be_bytes()].concat();
            assert_eq!(client.request_identified(&request).unwrap(), request);
            assert_eq!(client.request_matching(&request, |answer| answer == request).unwrap(), request);
        }
        let stats = client.stats();
        let mut totals = totals.lock().unwrap();
        *totals = (totals.0 + stats.passed_over, totals.1 + stats.renewed);
    };
    scope(|scope| (0..THREADS).for_each(|thread| drop(scope.spawn(move || ask(thread)))));
    let doubled = network.fates.doubled.load(Ordering::Relaxed);
    let (passed_over, renewed) = *totals.lock().unwrap();
    println!("{doubled} came twice; {passed_over} passed over, {renewed} ports renewed");
    assert!(doubled > u64::from(REQUESTS) / 2);
    assert!(passed_over > 0 && renewed > 0);
}

/// A copy that comes between two requests is no answer to the second, even for `request`, which takes what comes.
#[test]
fn what_comes_between_two_requests_answers_neither() {
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let mut client = patient().connect(address).unwrap();
    let asked = |client: &mut UdpClient, request: &[u8], answers: &[&[u8]]| {
        scope(|scope| {
            scope.spawn(|| {
                let (_, from) = peer.recv_from(&mut [0; 100]).unwrap();
                answers.iter().for_each(|answer| assert_eq!(peer.send_to(answer, from).unwrap(), answer.len()));
            });
            client.request(request).unwrap()
        })
    };
    // The scope has ended, so the copies have come.
    assert_eq!(asked(&mut client, b"first", &[b"1", b"1", b"1"]), b"1");
    let before = client.local_addr();
    assert_eq!(asked(&mut client, b"second", &[b"2"]), b"2");
    assert_ne!(client.local_addr(), before);
    assert_eq!(client.stats().renewed, 1);
    assert_eq!(client.stats().received, 2);
}

/// U4 and L9.
#[test]
fn most_requests_survive_a_bad_network() {
    let _watchdog = watchdog();
    const THREADS: u64 = 64;
    let requests = if std::env::var("SOCKETSERVER_FAULTS").is_ok_and(|which| which == "long") { 12_800 } else { 2_048 };
    let bad = Faults { lost: 30, doubled: 5, delay: Duration::from_millis(5) };
    let peer = Peer::answering(|data| RequestId::split(data).map(|(id, data)| id.prefix(&[b"re: ", data].concat())));
    let network = Lossy::before(peer.address, bad, bad, 2024);
    let timeout = Duration::from_millis(1_200);
    let builder = UdpClient::builder().timeout(timeout).first_retry(Duration::from_millis(80));
    let seen = Mutex::new((0_u64, Duration::ZERO, 0_u64, 0_u64));
    let ask = |thread: u64| {
        let mut client = builder.clone().connect(network.address).unwrap();
        for number in 0..requests / THREADS {
            let request = format!("request {number} of {thread}");
            let started = Instant::now();
            let answer = client.request_identified(request.as_bytes());
            let late = started.elapsed().saturating_sub(timeout);
            let mut seen = seen.lock().unwrap();
            match answer {
                Ok(answer) => {
                    assert_eq!(answer, format!("re: {request}").into_bytes());
                    seen.0 += 1;
                }
                Err(error) => assert_timed_out(&error, timeout),
            }
            seen.1 = seen.1.max(late);
            seen.2 += u64::from(late > Duration::from_millis(50));
        }
        seen.lock().unwrap().3 += client.stats().passed_over;
    };
    scope(|scope| (0..THREADS).for_each(|thread| drop(scope.spawn(move || ask(thread)))));
    let (answered, worst, late, passed_over) = *seen.lock().unwrap();
    println!(
        "{answered} of {requests} answered ({:.1} %), {passed_over} datagrams passed over; at worst {worst:?} past the deadline, \
         {late} by more than 50 ms; {:?}",
        100.0 * answered as f64 / requests as f64,
        network.fates,
    );
    assert!(answered * 10 >= requests * 9);
    assert!(answered < requests, "nothing was lost");
    assert!(worst < SLACK);
}

/// U5.
#[test]
fn a_refusal_is_a_hint_until_the_deadline() {
    let _watchdog = watchdog();
    let address = nobody();
    let timeout = Duration::from_millis(300);
    let mut client = UdpClient::builder().timeout(timeout).first_retry(SHORT / 4).connect(address).unwrap();
    for round in 1..=2 {
        let started = Instant::now();
        let error = client.request(b"anybody?").unwrap_err();
        assert!(started.elapsed() >= timeout && started.elapsed() < timeout + SLACK);
        assert!(matches!(&error, Error::Refused { .. }), "{error:?}");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with(&format!("{address} refused the datagram: ")), "{error}");
        let stats = client.stats();
        assert_eq!((stats.sent, stats.timed_out), (stats.retried + round, round));
        // Three, where the machine leaves the time.
        assert!(stats.retried >= round && stats.retried <= 3 * round, "{stats:?}");
        assert!(stats.refused >= round, "{stats:?}");
    }
    // A wait by itself has the same rule.
    client.send(b"anybody?").unwrap();
    let started = Instant::now();
    assert!(matches!(client.recv().unwrap_err(), Error::Refused { .. }));
    assert!(started.elapsed() >= timeout);
}

/// U5, and on a port where the last refusal may wait to be told in place of sending.
#[test]
fn a_refusal_ends_a_request_at_once_where_that_is_wanted() {
    let _watchdog = watchdog();
    let mut client = UdpClient::builder().timeout(LONG).fail_fast(true).connect(nobody()).unwrap();
    for _ in 0..5 {
        let started = Instant::now();
        let error = client.request(b"anybody?").unwrap_err();
        assert!(matches!(&error, Error::Refused { .. }), "{error:?}");
        assert!(started.elapsed() < LONG / 2);
    }
    client.send(b"anybody?").unwrap();
    assert!(matches!(client.recv().unwrap_err(), Error::Refused { .. }));
    let stats = client.stats();
    assert_eq!((stats.sent, stats.retried, stats.refused, stats.timed_out), (6, 0, 6, 0));
    client.set_fail_fast(false);
    client.set_timeout(SHORT).unwrap();
    client.request(b"anybody?").unwrap_err();
    assert!(client.stats().timed_out > 0);
}

/// Sending one after the other, without waiting, goes on whatever is refused.
#[test]
#[cfg(target_os = "linux")] // where a refusal is told at once, on loopback
fn sending_survives_refusals() {
    let _watchdog = watchdog();
    let address = nobody();
    let mut client = patient().connect(address).unwrap();
    let port = client.local_addr();
    for _ in 0..10 {
        client.send(b"anybody?").unwrap();
    }
    let stats = client.stats();
    assert_eq!((stats.sent, stats.refused), (10, 9));
    assert_eq!(client.local_addr(), port);
    // What was refused before a request is no hint for it.
    let peer = Peer::on(UdpSocket::bind(address).unwrap(), |data| Some(data.to_vec()));
    client.set_fail_fast(true);
    assert_eq!(client.request(b"now").unwrap(), b"now");
    drop(peer);
}

#[test]
fn a_peer_that_comes_later_is_found() {
    let _watchdog = watchdog();
    let address = nobody();
    let first_retry = Duration::from_millis(40);
    let mut client = UdpClient::builder().timeout(LONG).retries(10).first_retry(first_retry).connect(address).unwrap();
    let (answer, peer) = scope(|scope| {
        let peer = scope.spawn(|| {
            std::thread::sleep(first_retry * 2);
            Peer::on(UdpSocket::bind(address).unwrap(), |data| Some(data.to_vec()))
        });
        (client.request(b"anybody?"), peer.join().unwrap())
    });
    assert_eq!(answer.unwrap(), b"anybody?");
    let stats = client.stats();
    assert!(stats.retried >= 1 && stats.refused >= 1, "{stats:?}");
    assert_eq!(client.request(b"still there?").unwrap(), b"still there?");
    drop(peer);
}

#[test]
fn a_request_is_repeated_in_growing_pauses_and_not_too_often() {
    let _watchdog = watchdog();
    for retries in [0, 1, 3, 6] {
        let (peer, address) = peer();
        let (pause, timeout) = (Duration::from_millis(4), Duration::from_secs(1));
        let mut client =
            UdpClient::builder().timeout(timeout).retries(retries).first_retry(pause).connect(address).unwrap();
        let started = Instant::now();
        let (arrivals, error) = scope(|scope| {
            let watch = scope.spawn(|| {
                let mut arrivals = Vec::new();
                let mut buffer = [0; 100];
                loop {
                    let (length, from) = peer.recv_from(&mut buffer).unwrap();
                    match &buffer[..length] {
                        b"over" => return arrivals,
                        data => arrivals.push((started.elapsed(), data.to_vec(), from)),
                    }
                }
            });
            let error = client.request(b"?").unwrap_err();
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().send_to(b"over", address).unwrap();
            (watch.join().unwrap(), error)
        });
        assert_timed_out(&error, timeout);
        assert_eq!(error.to_string(), format!("waiting for an answer timed out after 1s ({address})"));
        assert!(started.elapsed() >= timeout);
        let stats = client.stats();
        assert_eq!((stats.sent, stats.retried), (arrivals.len() as u64, arrivals.len() as u64 - 1));
        assert!(arrivals.len() <= 1 + retries as usize);
        // Fewer only where the machine was so late that the next would have come after the deadline.
        let last = arrivals.last().unwrap().0;
        let all_sent = arrivals.len() == 1 + retries as usize;
        assert!(all_sent || last + pause * 5 / 4 * (1 << (arrivals.len() - 1)) > timeout / 2, "{arrivals:?}");
        let port = client.local_addr();
        // None earlier than three quarters of its pause after the one before it.
        let mut earliest = Duration::ZERO;
        for (number, (at, data, from)) in arrivals.iter().enumerate() {
            assert!(*at >= earliest, "attempt {number}: {at:?} and not before {earliest:?}");
            assert_eq!((data.as_slice(), *from), (&b"?"[..], port));
            earliest += (pause * 3 / 4) * (1 << number);
        }
    }
}

/// The default: after a quarter of the timeout.
#[test]
fn the_first_repetition_comes_after_a_quarter_of_the_timeout() {
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let mut client = UdpClient::connect(address).unwrap();
    assert_eq!(client.timeout(), Duration::from_secs(5));
    client.set_timeout(Duration::from_millis(400)).unwrap();
    let started = Instant::now();
    scope(|scope| {
        scope.spawn(|| {
            let (_, first) = peer.recv_from(&mut [0; 10]).unwrap();
            let (_, second) = peer.recv_from(&mut [0; 10]).unwrap();
            assert_eq!(first, second);
            assert!(started.elapsed() >= Duration::from_millis(75));
            let _ = peer.send_to(b"!", second);
        });
        match client.request(b"?") {
            Ok(answer) => assert_eq!(answer, b"!"),
            Err(error) => assert!(started.elapsed() > Duration::from_millis(400), "{error}"),
        }
    });
    assert!(client.stats().retried >= 1);
}

#[test]
fn the_port_is_fresh_after_trouble_and_stays_without() {
    let _watchdog = watchdog();
    let silent = Arc::new(AtomicUsize::new(0));
    let ignore = Arc::clone(&silent);
    let peer = Peer::answering(move |data| match ignore.load(Ordering::SeqCst) {
        0 => Some(data.to_vec()),
        _ => {
            ignore.fetch_sub(1, Ordering::SeqCst);
            None
        }
    });
    let mut client = patient().connect(peer.address).unwrap();
    let mut ports = vec![client.local_addr()];
    let mut renewed = |client: &mut UdpClient| {
        // Whether it shows at the next request.
        assert_eq!(client.request(b"next").unwrap(), b"next");
        let is_new = client.local_addr() != *ports.last().unwrap();
        assert_eq!(client.stats().renewed, ports.len() as u64 - u64::from(!is_new));
        if is_new {
            ports.push(client.local_addr());
        }
        is_new
    };
    for _ in 0..20 {
        assert!(!renewed(&mut client));
    }
    client.request_identified(b"id").unwrap();
    client.request_matching(b"all", |_| true).unwrap();
    assert!(!renewed(&mut client), "all has gone well");

    silent.store(1, Ordering::SeqCst);
    client.set_timeout(SHORT).unwrap();
    assert_timed_out(&client.request(b"?").unwrap_err(), SHORT);
    client.set_timeout(LONG).unwrap();
    assert!(renewed(&mut client), "it timed out");
    assert!(!renewed(&mut client));

    silent.store(1, Ordering::SeqCst);
    client.set_retries(10).unwrap();
    client.set_timeout(Duration::from_secs(1)).unwrap(); // a first pause of a quarter of it
    let repeated = client.request(b"?").map(|answer| assert_eq!(answer, b"?"));
    client.set_retries(0).unwrap();
    client.set_timeout(LONG).unwrap();
    assert!(repeated.is_err() || client.stats().retried > 0);
    assert!(renewed(&mut client), "it was repeated");
    assert!(!renewed(&mut client));

    let panicked = catch_unwind(AssertUnwindSafe(|| client.request_matching(b"?", |_| panic!("meant to happen"))));
    assert!(panicked.is_err());
    assert!(renewed(&mut client), "the predicate panicked");

    client.send(b"by hand").unwrap();
    assert_eq!(client.recv().unwrap(), b"by hand");
    assert!(renewed(&mut client), "something was sent without a request");

    client.set_timeout(SHORT).unwrap();
    client.request_matching(b"?", |_| false).unwrap_err();
    client.set_timeout(LONG).unwrap();
    assert!(renewed(&mut client), "something was passed over");

    client.request(&[0; 65_508]).unwrap_err();
    assert!(!renewed(&mut client), "nothing was sent");
    client.renew().unwrap();
    assert!(client.local_addr() != *ports.last().unwrap());
}

/// A datagram of the peer's that is passed over before the right one may be followed by more like it.
#[test]
fn the_port_is_fresh_after_something_was_passed_over() {
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let mut client = patient().connect(address).unwrap();
    scope(|scope| {
        scope.spawn(|| {
            let (_, first) = peer.recv_from(&mut [0; 10]).unwrap();
            peer.send_to(b"wrong", first).unwrap();
            peer.send_to(b"right", first).unwrap();
            let (_, second) = peer.recv_from(&mut [0; 10]).unwrap();
            assert_ne!(first, second);
            peer.send_to(b"wrong", first).unwrap();
            peer.send_to(b"right", second).unwrap();
        });
        assert_eq!(client.request_matching(b"?", |answer| answer == b"right").unwrap(), b"right");
        assert_eq!(client.request(b"?").unwrap(), b"right");
    });
    assert_eq!(client.stats().passed_over, 1);
}

#[test]
fn a_conversation_by_hand_keeps_its_port() {
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let mut client = UdpClient::builder().timeout(SHORT).connect(address).unwrap();
    let port = client.local_addr();
    for _ in 0..3 {
        client.send(b"subscribe").unwrap();
        assert_timed_out(&client.recv().unwrap_err(), SHORT);
    }
    for _ in 0..3 {
        assert_eq!(peer.recv_from(&mut [0; 100]).unwrap(), (9, port));
    }
    client.set_timeout(LONG).unwrap();
    peer.send_to(b"news", port).unwrap();
    peer.send_to(b"", port).unwrap();
    assert_eq!(client.recv().unwrap(), b"news");
    assert_eq!(client.recv().unwrap(), b"");
    assert_eq!(client.local_addr(), port);
    // Nor has it a use for the answers to a request that failed.
    client.set_timeout(SHORT).unwrap();
    client.request(b"?").unwrap_err();
    let port = client.local_addr();
    client.send(b"subscribe").unwrap();
    assert_ne!(client.local_addr(), port);
}

/// U6.
#[test]
fn an_answer_above_the_limit_is_an_error_and_never_cut() {
    let _watchdog = watchdog();
    let peer = Peer::answering(|data| Some(vec![b'x'; usize::from(u16::from_be_bytes(data.try_into().unwrap()))]));
    let mut client = patient().max_packet_size(16).connect(peer.address).unwrap();
    for (length, fits) in
        [(16_u16, true), (17, false), (0, true), (1000, false), (15, true), (65_507, false), (16, true)]
    {
        match client.request(&length.to_be_bytes()) {
            Ok(answer) => assert!(fits && answer.len() == usize::from(length), "{length}"),
            Err(error) => {
                assert!(!fits, "{length}: {error}");
                assert!(matches!(&error, Error::Truncated { limit: 16, .. }), "{error:?}");
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                assert!(error.to_string().contains(&peer.address.to_string()), "{error}");
            }
        }
    }
    assert_eq!(client.stats().truncated, 3);
    // The predicate never sees a part of one.
    let error = client.request_matching(&[0, 17], |_| panic!("shown")).unwrap_err();
    assert!(matches!(error, Error::Truncated { .. }), "{error:?}");
    client.send(&[0, 17]).unwrap();
    assert!(matches!(client.recv().unwrap_err(), Error::Truncated { limit: 16, .. }));

    let mut client = patient().connect(peer.address).unwrap();
    assert_eq!(client.request(&65_507_u16.to_be_bytes()).unwrap().len(), 65_507);
    let mut client = patient().max_packet_size(0).connect(peer.address).unwrap();
    assert_eq!(client.request(&[0, 0]).unwrap(), b"");
    assert!(matches!(client.request(&[0, 1]).unwrap_err(), Error::Truncated { limit: 0, .. }));
}

/// Somebody who does not know the id cannot end the request.
#[test]
fn only_an_answer_of_its_own_can_be_too_long() {
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let mut client = patient().max_packet_size(12).connect(address).unwrap();
    scope(|scope| {
        scope.spawn(|| {
            for answer in [&b"good"[..], b"too long"] {
                let mut buffer = [0; 100];
                let (length, from) = peer.recv_from(&mut buffer).unwrap();
                let (id, _) = RequestId::split(&buffer[..length]).unwrap();
                for forged in [&b""[..], b"short", b"no id in here", &[0; 1000]] {
                    peer.send_to(forged, from).unwrap();
                }
                peer.send_to(&id.prefix(answer), from).unwrap();
            }
        });
        assert_eq!(client.request_identified(b"?").unwrap(), b"good");
        assert!(matches!(client.request_identified(b"?").unwrap_err(), Error::Truncated { limit: 12, .. }));
    });
    assert_eq!(client.stats().passed_over, 8);
}

/// U7.
#[test]
fn a_request_that_no_datagram_can_carry_is_refused_before_it_is_sent() {
    let _watchdog = watchdog();
    let peer = Peer::echoing();
    let most = vec![b'x'; 65_507];
    let more = vec![b'x'; 65_508];
    let mut client = patient().connect(peer.address).unwrap();
    let check = |error: Error, size| {
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&format!("{size} bytes to {}", peer.address)), "{error}");
        assert!(matches!(error, Error::TooLarge { size: its, limit: 65_507, .. } if its == size), "{error:?}");
    };
    check(client.request(&more).unwrap_err(), 65_508);
    check(client.request_matching(&more, |_| true).unwrap_err(), 65_508);
    check(client.request_identified(&more[..65_500]).unwrap_err(), 65_508);
    check(client.send(&more).unwrap_err(), 65_508);
    assert_eq!(client.stats(), Default::default());
    assert_eq!(client.request(&most).unwrap(), most);
    assert_eq!(client.request_identified(&most[..65_499]).unwrap(), most[..65_499]);
    assert_eq!(client.stats().sent, 2);

    // An IPv4 address written as an IPv6 one is IPv4 on the wire.
    let IpAddr::V4(v4) = peer.address.ip() else { unreachable!() };
    let mapped = SocketAddr::from((v4.to_ipv6_mapped(), peer.address.port()));
    if let Ok(mut client) = patient().connect(mapped) {
        let error = client.request(&more).unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 65_507, .. }), "{error:?}");
        assert_eq!(client.request(&most).unwrap(), most);
    }
}

/// U8.
#[test]
fn empty_requests_and_answers_are_valid() {
    let _watchdog = watchdog();
    let peer = Peer::echoing();
    let mut client = patient().connect(peer.address).unwrap();
    for _ in 0..1_000 {
        assert_eq!(client.request(b"").unwrap(), b"");
    }
    assert_eq!(client.request_identified(b"").unwrap(), b"");
    client.send(b"").unwrap();
    assert_eq!(client.recv().unwrap(), b"");
    let stats = client.stats();
    assert_eq!((stats.sent, stats.received, stats.renewed), (1_002, 1_002, 0));
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let _watchdog = watchdog();
    let (_peer, address) = peer();
    let builder = UdpClient::builder;
    for (setting, builder) in [
        ("timeout", builder().timeout(Duration::ZERO)),
        ("retries", builder().retries(11)),
        ("first_retry", builder().first_retry(Duration::ZERO)),
        ("max_packet_size", builder().max_packet_size(65_536)),
        ("source_address", builder().source_address("127.0.0.1:4000".parse().unwrap())),
    ] {
        let error = builder.connect(address).unwrap_err();
        assert!(matches!(&error, Error::InvalidSetting { setting: its, .. } if *its == setting), "{error:?}");
        assert!(error.to_string().starts_with(&format!("{setting} cannot be ")), "{error}");
    }
    let mut client = builder().retries(10).timeout(Duration::MAX).first_retry(Duration::MAX).connect(address).unwrap();
    assert!(matches!(client.set_timeout(Duration::ZERO), Err(Error::InvalidSetting { setting: "timeout", .. })));
    assert!(matches!(client.set_retries(u32::MAX), Err(Error::InvalidSetting { setting: "retries", .. })));
    assert_eq!(client.timeout(), Duration::MAX);
}

#[test]
fn extreme_timeouts_work() {
    let _watchdog = watchdog();
    let peer = Peer::echoing();
    let mut client = UdpClient::builder().timeout(Duration::MAX).connect(peer.address).unwrap();
    assert_eq!(client.request(b"?").unwrap(), b"?");
    client.set_timeout(Duration::from_nanos(1)).unwrap();
    assert_timed_out(&client.request(b"?").unwrap_err(), Duration::from_nanos(1));
    client.set_timeout(LONG).unwrap();
    assert_eq!(client.request(b"?").unwrap(), b"?");
}

#[test]
fn an_address_that_cannot_be_asked_is_told() {
    let _watchdog = watchdog();
    assert!(matches!(UdpClient::connect("127.0.0.1").unwrap_err(), Error::InvalidAddress { .. }));
    let error = UdpClient::connect("127.0.0.1:0").unwrap_err();
    assert!(matches!(&error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("port 0"), "{error}");
    // Never registered, by RFC 6761. Where there is no name server it may take its time to say so.
    match UdpClient::connect("no-such-host.invalid:53").unwrap_err() {
        Error::Resolve { name, .. } => assert!(name.contains("no-such-host.invalid"), "{name}"),
        Error::Timeout { phase: Phase::Resolve, .. } => {}
        other => panic!("{other:?}"),
    }
    // Kept for documentation, by RFC 5737, and so no address of this machine.
    let foreign = UdpClient::builder().source_address("192.0.2.1:0".parse().unwrap());
    let error = foreign.connect("127.0.0.1:53").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    let mixed = UdpClient::builder().source_address("127.0.0.1:0".parse().unwrap()).connect("[::1]:53").unwrap_err();
    assert!(mixed.to_string().contains("no address of the wanted family"), "{mixed}");
}

#[test]
fn options_are_set_on_every_port() {
    let _watchdog = watchdog();
    let peer = Peer::echoing();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let mut client = patient()
        .recv_buffer_size(20_000)
        .source_address((Ipv4Addr::LOCALHOST, 0).into())
        .configure(move |socket| {
            counted.fetch_add(1, Ordering::SeqCst);
            socket.set_ttl_v4(7)
        })
        .connect(peer.address)
        .unwrap();
    for call in 1..=3 {
        assert_eq!(calls.load(Ordering::SeqCst), call);
        assert_eq!(client.socket().ttl_v4().unwrap(), 7);
        // Linux doubles it, for its own bookkeeping. Its default is more.
        assert!((20_000..=40_000).contains(&client.socket().recv_buffer_size().unwrap()));
        // U11: nobody else can take the port.
        assert!(!client.socket().reuse_address().unwrap());
        assert_eq!(UdpSocket::bind(client.local_addr()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        client.renew().unwrap();
    }
    assert_eq!(client.request(b"?").unwrap(), b"?");
}

/// What keeps the fresh port from being had is the request's error, and over when it is over.
#[test]
fn a_port_that_cannot_be_made_is_the_requests_error() {
    let _watchdog = watchdog();
    let peer = Peer::echoing();
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = Arc::clone(&broken);
    let configure = move |_: socketserver::socket2::SockRef<'_>| match is_broken.load(Ordering::SeqCst) {
        false => Ok(()),
        true => Err(io::Error::other("out of order")),
    };
    let mut client = patient().configure(configure).connect(peer.address).unwrap();
    broken.store(true, Ordering::SeqCst);
    assert_eq!(client.request(b"one").unwrap(), b"one");
    client.send(b"two").unwrap();
    for _ in 0..4 {
        let error = client.request(b"three").unwrap_err();
        assert!(matches!(&error, Error::Connect { .. }), "{error:?}");
        assert!(error.to_string().contains("out of order"), "{error}");
    }
    broken.store(false, Ordering::SeqCst);
    assert_eq!(client.request(b"four").unwrap(), b"four");
    assert_eq!(client.stats().sent, 3);
}

#[test]
fn request_ids_are_random_and_in_front() {
    let mut seen = HashSet::new();
    for _ in 0..10_000 {
        assert!(seen.insert(RequestId::random().unwrap()));
    }
    let id = RequestId::from([0, 1, 2, 3, 4, 5, 6, 0xff]);
    assert_eq!(id.to_string(), "00010203040506ff");
    assert_eq!(format!("{id:?}"), "RequestId(00010203040506ff)");
    assert_eq!(id.prefix(b"payload"), b"\0\x01\x02\x03\x04\x05\x06\xffpayload");
    assert_eq!(RequestId::split(&id.prefix(b"payload")), Some((id, &b"payload"[..])));
    assert_eq!(RequestId::split(&id.prefix(b"")), Some((id, &b""[..])));
    assert_eq!(RequestId::split(&id.to_bytes()[..7]), None);
    assert_eq!(RequestId::split(b""), None);
}

/// The same request has the same id each time it is sent, by which a server can recognise it; another has another.
#[test]
fn a_repetition_is_the_same_datagram() {
    let _watchdog = watchdog();
    let (sender, datagrams) = channel();
    let peer = Peer::answering(move |data| {
        sender.send(data.to_vec()).unwrap();
        None
    });
    let mut client =
        UdpClient::builder().timeout(SHORT * 4).retries(1).first_retry(SHORT).connect(peer.address).unwrap();
    let mut ids = HashSet::new();
    for _ in 0..3 {
        client.request_identified(b"?").unwrap_err();
        let first = receive(&datagrams);
        eventually("what was repeated has come, or was not", || match datagrams.try_recv() {
            Ok(again) => {
                assert_eq!(again, first);
                true
            }
            Err(_) => client.stats().sent < 2 * (ids.len() as u64 + 1),
        });
        assert!(ids.insert(first));
    }
}

#[test]
fn a_client_can_be_handed_to_another_thread() {
    fn assert_traits<T: Send + Sync + std::fmt::Debug>(_: &T) {}
    let _watchdog = watchdog();
    let peer = Peer::echoing();
    let builder = patient();
    assert_traits(&builder);
    let mut client = builder.connect(peer.address).unwrap();
    assert_traits(&client);
    assert!(format!("{client:?}").contains(&peer.address.to_string()));
    let answer = std::thread::spawn(move || client.request(b"?")).join().unwrap();
    assert_eq!(answer.unwrap(), b"?");
}

/// Where `interruptions_extend_nothing` finds its child.
const CHILD: &str = "SOCKETSERVER_UDP_CLIENT_CHILD";

/// Not a test: the client that is interrupted, in a process of its own.
#[test]
#[cfg(target_os = "linux")]
fn child_client() {
    let Ok(address) = std::env::var(CHILD) else { return };
    let _watchdog = watchdog();
    let mut client = UdpClient::builder().timeout(Duration::from_secs(1)).connect(address).unwrap();
    let started = Instant::now();
    let error = client.request(b"begin").unwrap_err();
    println!("CHILD> {} {:?}", started.elapsed().as_millis(), error.kind());
    // What came while the process was stopped has come in time, whatever the clock says by then.
    client.set_retries(0).unwrap();
    let answer = client.request(b"stop me").map(|answer| String::from_utf8(answer).unwrap());
    println!("CHILD> {answer:?}");
}

/// A stop and its end interrupt a wait (EINTR), which shall neither end it nor begin it anew.
#[test]
#[cfg(target_os = "linux")]
fn interruptions_extend_nothing() {
    use nix::sys::signal::{kill, Signal};
    use nix::unistd::Pid;
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["child_client", "--exact", "--nocapture"])
        .env(CHILD, address.to_string())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let mut buffer = [0; 100];
    peer.recv_from(&mut buffer).unwrap();
    peer.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let disturbed = Instant::now();
    let from = loop {
        kill(pid, Signal::SIGSTOP).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        kill(pid, Signal::SIGCONT).unwrap();
        match peer.recv_from(&mut buffer) {
            Ok((length, from)) if &buffer[..length] == b"stop me" => break from,
            // What is disturbed for ever must not pass.
            _ => assert!(disturbed.elapsed() < LONG),
        }
        assert!(disturbed.elapsed() < LONG);
    };
    kill(pid, Signal::SIGSTOP).unwrap();
    // Each thread on its own: one that is not stopped yet would take the answer at once.
    eventually("every thread is stopped", || {
        let mut threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        threads.all(|thread| std::fs::read_to_string(thread.path().join("stat")).unwrap().contains(") T "))
    });
    peer.send_to(b"in time", from).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    kill(pid, Signal::SIGCONT).unwrap();
    let output = child.wait_with_output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut told = output.lines().filter_map(|line| line.split_once("CHILD> ")).map(|(_, told)| told);
    let (elapsed, kind) = told.next().unwrap().split_once(' ').unwrap();
    println!("a timeout of 1 s was {elapsed} ms");
    assert_eq!(kind, "TimedOut");
    let elapsed = Duration::from_millis(elapsed.parse().unwrap());
    assert!(elapsed >= Duration::from_secs(1) && elapsed < Duration::from_secs(1) + SLACK, "{elapsed:?}");
    assert_eq!(told.next(), Some("Ok(\"in time\")"));
}

/// What the dice of a seed say, they say again.
#[test]
fn the_bad_network_is_as_bad_as_it_says() {
    let _watchdog = watchdog();
    let (mut dice, mut again) = (Dice(7), Dice(7));
    assert!((0..100).all(|_| dice.throw() == again.throw()));
    let peer = Peer::echoing();
    let network = Lossy::before(peer.address, Faults { lost: 100, ..Faults::default() }, Faults::default(), 1);
    let mut client = UdpClient::builder().timeout(SHORT).retries(0).connect(network.address).unwrap();
    assert_timed_out(&client.request(b"?").unwrap_err(), SHORT);
    drop(network);
    let network = Lossy::before(peer.address, Faults::default(), Faults { doubled: 100, ..Faults::default() }, 1);
    let mut client = patient().connect(network.address).unwrap();
    client.send(b"?").unwrap();
    assert_eq!((client.recv().unwrap(), client.recv().unwrap()), (b"?".to_vec(), b"?".to_vec()));
}

/// A client's fresh port may be an old one of another's. That others come and go must not take the answer of such a one.
#[test]
fn the_bad_network_keeps_the_ways_that_are_in_use() {
    let _watchdog = watchdog();
    let (server, address) = peer();
    let network = Lossy::before(address, Faults::default(), Faults::default(), 1);
    let clients: Vec<UdpSocket> = (0..=MOST_WAYS)
        .map(|_| {
            let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            client.connect(network.address).unwrap();
            client
        })
        .collect();
    let ask = |client: &UdpSocket| {
        client.send(b"?").unwrap();
        server.recv_from(&mut [0; 10]).unwrap().1
    };
    let (last, others) = clients.split_last().unwrap();
    let ways: HashSet<SocketAddr> = others.iter().map(ask).collect();
    assert_eq!(ways.len(), MOST_WAYS);
    let way = ask(&clients[0]);
    assert!(ways.contains(&way));
    assert!(!ways.contains(&ask(last)));
    server.send_to(b"!", way).unwrap();
    clients[0].set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(clients[0].recv(&mut [0; 10]).unwrap(), 1);
}
