//! `UdpClient`: one deadline for everything, whom it asks and from where, and its settings.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/peers.rs"]
mod peers;

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{eventually, own_address, watchdog, LONG};
use peers::{assert_timed_out, patient, peer, Peer, SLACK};
use socketserver::udp::RequestId;
use socketserver::{Error, Phase, UdpClient};

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

#[test]
fn what_is_not_sent_in_time_counts_as_timed_out_once() {
    let _watchdog = watchdog();
    let (_peer, address) = peer();
    let mut client = UdpClient::connect(address).unwrap();
    client.set_timeout(Duration::from_nanos(1)).unwrap();
    for (count, result) in [(1, client.request(b"x").map(drop)), (2, client.send(b"x"))] {
        assert!(matches!(result, Err(Error::Timeout { .. })), "{count}: {result:?}");
    }
    assert_eq!((client.stats().timed_out, client.stats().sent), (2, 0));
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
