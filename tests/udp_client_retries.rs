//! `UdpClient`: when it asks again, over a network that loses and delays, and where nobody is.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/lossy.rs"]
mod lossy;
#[path = "common/peers.rs"]
mod peers;

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::Mutex;
use std::thread::scope;
use std::time::{Duration, Instant};

use common::{eventually, receive, watchdog, LONG};
use lossy::{Dice, Faults, Lossy, MOST_WAYS};
use peers::{assert_timed_out, nobody, patient, peer, Peer, SHORT, SLACK};
use socketserver::socket2::SockRef;
use socketserver::udp::RequestId;
use socketserver::{Error, UdpClient};

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

/// U4 and L9.
#[test]
fn most_requests_survive_a_bad_network() {
    const THREADS: u64 = 64;
    let requests = if std::env::var("SOCKETSERVER_FAULTS").is_ok_and(|which| which == "long") { 12_800 } else { 2_048 };
    let _watchdog = watchdog();
    let bad = Faults { lost: 30, doubled: 5, delay: Duration::from_millis(5) };
    let peer = Peer::answering(|data| RequestId::split(data).map(|(id, data)| id.prefix(&[b"re: ", data].concat())));
    let network = Lossy::before(common::own_address(), peer.address, bad, bad, 2024);
    let timeout = Duration::from_millis(1_200);
    let builder = UdpClient::builder().timeout(timeout).first_retry(Duration::from_millis(80));
    let (next, answered, passed_over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    // How far past the deadline those were that were not answered.
    let late = Mutex::new(Vec::new());
    let ask = || {
        let mut client = builder.clone().connect(network.address).unwrap();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= requests {
                break;
            }
            let request = format!("request {number}");
            let started = Instant::now();
            match client.request_identified(request.as_bytes()) {
                Ok(answer) => {
                    assert_eq!(answer, format!("re: {request}").into_bytes());
                    assert!(started.elapsed() < timeout + SLACK);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => {
                    let elapsed = started.elapsed();
                    assert_timed_out(&error, timeout);
                    late.lock().unwrap().push(elapsed.checked_sub(timeout).unwrap());
                }
            }
        }
        passed_over.fetch_add(client.stats().passed_over, Ordering::SeqCst);
    };
    scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(ask))));
    let mut late = late.into_inner().unwrap();
    late.sort_unstable();
    let (worst, median) = (*late.last().expect("nothing was lost"), late[late.len() / 2]);
    let answered = answered.into_inner();
    println!(
        "{answered} of {requests} answered ({:.1} %), {} datagrams passed over; the others {median:?} past the deadline, at worst \
         {worst:?}; {:?}",
        100.0 * answered as f64 / requests as f64,
        passed_over.into_inner(),
        network.fates,
    );
    // 93.2 % are to be expected.
    assert!(answered * 10 >= requests * 9);
    assert_eq!(answered + late.len() as u64, requests);
    // Half of them in time, because the machine may have others to serve; and none without an end.
    assert!(median < Duration::from_millis(50), "{median:?}");
    assert!(worst < SLACK, "{worst:?}");
}

/// U4: whatever the timeout, it is over a tick of the system's clock later. The best of many: the promise is about the client, not about
/// what else the machine does.
#[test]
fn a_request_ends_at_its_deadline() {
    let _watchdog = watchdog();
    let (_peer, address) = peer();
    for millis in [1, 10, 100, 500] {
        let timeout = Duration::from_millis(millis);
        let mut client = UdpClient::builder().timeout(timeout).connect(address).unwrap();
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let started = Instant::now();
            assert_timed_out(&client.request(b"?").unwrap_err(), timeout);
            best = best.min(started.elapsed().checked_sub(timeout).unwrap());
        }
        println!("{timeout:?}: {best:?} late");
        assert!(best < Duration::from_millis(50), "{timeout:?}: {best:?} late");
    }
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

/// U5, and where the refusal is told in place of a repetition: what `is_answer` is shown takes so long that the next is due.
#[test]
#[cfg(target_os = "linux")] // where a refusal is told at once, on loopback
fn a_refusal_in_place_of_a_repetition_ends_a_request_too() {
    let _watchdog = watchdog();
    let (peer, address) = peer();
    let (sender, sockets) = channel();
    let configure = move |socket: SockRef<'_>| sender.send(socket.try_clone()?).map_err(io::Error::other);
    let builder = UdpClient::builder().timeout(LONG).retries(10).first_retry(SHORT).fail_fast(true);
    let mut client = builder.configure(configure).connect(address).unwrap();
    let (socket, (sender, gone)) = (receive(&sockets), channel());
    let error = scope(|scope| {
        scope.spawn(move || {
            let (_, from) = peer.recv_from(&mut [0; 10]).unwrap();
            peer.send_to(b"no answer", from).unwrap();
            drop(peer);
            sender.send(()).unwrap();
        });
        let is_answer = |_: &[u8]| {
            receive(&gone);
            socket.send(b"anybody?").unwrap();
            std::thread::sleep(SHORT * 10);
            false
        };
        client.request_matching(b"?", is_answer).unwrap_err()
    });
    assert!(matches!(&error, Error::Refused { .. }), "{error:?}");
    let stats = client.stats();
    assert_eq!((stats.sent, stats.refused, stats.timed_out), (1 + stats.retried, 1, 0));
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

/// What the dice of a seed say, they say again.
#[test]
fn the_bad_network_is_as_bad_as_it_says() {
    let _watchdog = watchdog();
    let (mut dice, mut again) = (Dice(7), Dice(7));
    assert!((0..100).all(|_| dice.throw() == again.throw()));
    let peer = Peer::echoing();
    let network = Lossy::before(
        common::own_address(),
        peer.address,
        Faults { lost: 100, ..Faults::default() },
        Faults::default(),
        1,
    );
    let mut client = UdpClient::builder().timeout(SHORT).retries(0).connect(network.address).unwrap();
    assert_timed_out(&client.request(b"?").unwrap_err(), SHORT);
    drop(network);
    let network = Lossy::before(
        common::own_address(),
        peer.address,
        Faults::default(),
        Faults { doubled: 100, ..Faults::default() },
        1,
    );
    let mut client = patient().connect(network.address).unwrap();
    client.send(b"?").unwrap();
    assert_eq!((client.recv().unwrap(), client.recv().unwrap()), (b"?".to_vec(), b"?".to_vec()));
}

/// A client's fresh port may be an old one of another's. That others come and go must not take the answer of such a one.
#[test]
fn the_bad_network_keeps_the_ways_that_are_in_use() {
    let _watchdog = watchdog();
    let (server, address) = peer();
    let network = Lossy::before(common::own_address(), address, Faults::default(), Faults::default(), 1);
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
