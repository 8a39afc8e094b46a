//! `UdpClient`: no answer but this request's own, whatever else comes, from whomever and however late.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[cfg(target_os = "linux")]
#[path = "common/linux_udp.rs"]
mod linux_udp;
#[path = "common/lossy.rs"]
mod lossy;
#[path = "common/peers.rs"]
mod peers;

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::scope;
use std::time::{Duration, Instant};

use common::{own_address, watchdog, LONG};
use lossy::{Faults, Lossy};
use peers::{assert_timed_out, patient, peer, Peer, SHORT, SLACK};
use socketserver::udp::RequestId;
use socketserver::UdpClient;

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

/// Has somebody send `count` answers with wrong ids before the peer sends the right one.
fn forged_before_the_right_one(peer: &UdpSocket, count: u64, forge: impl Fn(&[u8], SocketAddr) + Sync) {
    let mut client = patient().recv_buffer_size(4 << 20).connect(peer.local_addr().unwrap()).unwrap();
    let answered = AtomicBool::new(false);
    scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 100];
            let (length, from) = peer.recv_from(&mut buffer).unwrap();
            let (id, payload) = RequestId::split(&buffer[..length]).unwrap();
            let right = u64::from_be_bytes(id.to_bytes());
            for wrong in 1..=count {
                // All that differ in one bit are among them.
                let difference = if wrong < 64 { 1 << wrong } else { wrong };
                forge(&RequestId::from((right ^ difference).to_be_bytes()).prefix(b"forged"), from);
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
    assert_eq!(stats.received, stats.passed_over + 1);
    assert!(stats.passed_over > count / 10, "{stats:?}");
    #[cfg(target_os = "linux")]
    assert!(stats.passed_over + linux_udp::drops(client.local_addr()) >= count, "{stats:?}");
}

/// U2: the wrong ids come from the true address.
#[test]
fn a_million_wrong_ids_are_passed_over() {
    let _watchdog = watchdog();
    let (peer, _) = peer();
    for _ in 0..10 {
        forged_before_the_right_one(&peer, 100_000, |answer, to| {
            assert_eq!(peer.send_to(answer, to).unwrap(), answer.len());
        });
    }
}

/// U2: to the system, what says that it comes from the peer does.
#[test]
#[cfg(target_os = "linux")]
fn a_forged_source_does_not_make_a_wrong_id_right() {
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let SocketAddr::V4(source) = address else { unreachable!() };
    let Some(forger) = linux_udp::Forger::new(source) else { return };
    forged_before_the_right_one(&peer, 50_000, |answer, to| {
        let SocketAddr::V4(to) = to else { unreachable!() };
        forger.send(answer, to);
    });
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
    let network = Lossy::before(common::own_address(), peer.address, Faults::default(), late, 11);
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
