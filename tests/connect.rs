//! `tcp::connect`: one deadline for everything, and all that went wrong on the way.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use common::Silent;
use common::{own_address, watchdog, Kind, LONG};
use socketserver::tcp::{connect, Connector};
use socketserver::{handler_fn, Address, Connection, Error, Phase, ThreadingTcpServer};

const MOMENT: Duration = Duration::from_millis(100);

/// An address where nobody listens, nor will.
fn refusing() -> SocketAddr {
    TcpListener::bind(own_address()).unwrap().local_addr().unwrap()
}

fn attempts(error: Error) -> Vec<(SocketAddr, io::ErrorKind)> {
    match error {
        Error::Connect { attempts, .. } => attempts.iter().map(|(address, error)| (*address, error.kind())).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_is_a_client() {
    let _watchdog = watchdog();
    let served = ThreadingTcpServer::serve(handler_fn(|request: &mut Connection| {
        let mut line = String::new();
        while request.read_line(&mut line)? > 0 {
            write!(request, "you said {line}")?;
            line.clear();
        }
        Ok(())
    }));
    let address = served.handle.local_addr().as_socket_addr().unwrap();
    let mut connection = connect(address, LONG).unwrap();
    assert_eq!(connection.peer_addr(), Address::Inet(address));
    assert!(connection.nodelay().unwrap());
    let mut writer = connection.writer();
    writeln!(connection, "one").unwrap();
    std::thread::spawn(move || writeln!(writer, "two")).join().unwrap().unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "you said one\nyou said two\n");
    // It belongs to no server, and its handle stops nothing.
    let unserved = connection.server();
    unserved.shutdown();
    assert_eq!(unserved.stats(), socketserver::Stats::default());
    connection.close().unwrap();
    assert!(served.stop().is_clean());
}

#[test]
fn every_form_of_an_address_connects() {
    let _watchdog = watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port();
    connect(address, LONG).unwrap();
    connect(("127.0.0.1", port), LONG).unwrap();
    connect(address.to_string(), None).unwrap();
    connect(address.to_string().as_str(), LONG).unwrap();
    connect([refusing(), address], LONG).unwrap();
    // Whether it means ::1 too or not.
    connect(("localhost", port), LONG).unwrap();
    connect(format!("localhost:{port}"), LONG).unwrap();
    connect(format!("LocalHost:{port}"), LONG).unwrap();
}

#[test]
fn ipv6_connects() {
    let _watchdog = watchdog();
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
    let address = listener.local_addr().unwrap();
    let connection = connect(format!("[::1]:{}", address.port()), LONG).unwrap();
    assert_eq!(connection.peer_addr(), Address::Inet(address));
    connect(address, LONG).unwrap();
}

#[test]
fn a_refusal_is_told_with_its_address() {
    let _watchdog = watchdog();
    let address = refusing();
    let error = connect(address, LONG).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot connect to {address}: ")), "{text}");
    assert!(text.ends_with(" (is no server running there?)"), "{text}");
    assert_eq!(text.matches(&address.to_string()).count(), 1, "{text}");
    assert_eq!(attempts(error), [(address, io::ErrorKind::ConnectionRefused)]);
}

/// Python: `all_errors=True`.
#[test]
fn every_address_that_was_tried_is_told() {
    let _watchdog = watchdog();
    let addresses = [refusing(), refusing(), refusing()];
    let error = connect(addresses, LONG).unwrap_err();
    let text = error.to_string();
    assert!(addresses.iter().all(|address| text.matches(&format!("{address}: ")).count() >= 1), "{text}");
    assert_eq!(attempts(error), addresses.map(|address| (address, io::ErrorKind::ConnectionRefused)));
}

#[test]
#[cfg(target_os = "linux")]
fn the_timeout_is_one_for_everything() {
    let _watchdog = watchdog();
    let silent = [Silent::new(), Silent::new(), Silent::new()];
    let addresses: Vec<SocketAddr> = silent.iter().map(|silent| silent.address).collect();
    for addresses in [&addresses[..1], &addresses[..]] {
        let timeout = Duration::from_millis(300);
        let started = Instant::now();
        let error = connect(addresses, timeout).unwrap_err();
        assert!(started.elapsed() >= timeout);
        assert!(started.elapsed() < LONG / 2);
        assert!(error.to_string().contains(&addresses[0].to_string()), "{error}");
        assert!(error.to_string().contains("connecting timed out after 300ms"), "{error}");
        assert!(matches!(error, Error::Timeout { phase: Phase::Connect, after, .. } if after == timeout));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn one_that_does_not_answer_and_one_that_refuses_are_both_told() {
    let _watchdog = watchdog();
    let (silent, refusing) = (Silent::new(), refusing());
    let error = connect([silent.address, refusing], Duration::from_millis(600)).unwrap_err();
    let mut told = attempts(error);
    told.sort();
    let mut expected = [(silent.address, io::ErrorKind::TimedOut), (refusing, io::ErrorKind::ConnectionRefused)];
    expected.sort();
    assert_eq!(told, expected);
}

#[test]
#[cfg(target_os = "linux")]
fn an_address_that_does_not_answer_costs_little() {
    let _watchdog = watchdog();
    let silent = Silent::new();
    let listener = TcpListener::bind(own_address()).unwrap();
    let good = listener.local_addr().unwrap();
    let started = Instant::now();
    let connection = connect([silent.address, good], None).unwrap();
    assert_eq!(connection.peer_addr(), Address::Inet(good));
    // Its own patience is minutes.
    assert!(started.elapsed() < LONG / 2);
}

/// And one that refuses costs nothing: the next is tried at once, within a timeout that leaves no room for a pause.
#[test]
fn the_first_that_answers_is_taken() {
    let _watchdog = watchdog();
    let listener = TcpListener::bind(own_address()).unwrap();
    let good = listener.local_addr().unwrap();
    let mut addresses = vec![refusing(); 1];
    addresses.extend((0..4).map(|_| refusing()));
    addresses.push(good);
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        let connection = connect(&addresses, LONG).unwrap();
        assert_eq!(connection.peer_addr(), Address::Inet(good));
        best = best.min(started.elapsed());
    }
    assert!(best < Duration::from_millis(250), "{best:?}");
}

#[test]
#[cfg(target_os = "linux")] // where all of 127/8 is this machine's
fn a_source_address_is_bound() {
    let _watchdog = watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = own_address();
    let connector = Connector::new().timeout(LONG).source_address(source);
    let connection = connector.connect(listener.local_addr().unwrap()).unwrap();
    let (_, seen) = listener.accept().unwrap();
    assert_eq!(seen.ip(), source.ip());
    assert_eq!(connection.local_addr().unwrap(), Address::Inet(seen));
    // Only addresses of its family are tried.
    let mixed = [SocketAddr::from((Ipv6Addr::LOCALHOST, seen.port())), listener.local_addr().unwrap()];
    assert_eq!(connector.connect(mixed).unwrap().peer_addr(), Address::Inet(mixed[1]));
    let error = connector.connect(mixed[0]).unwrap_err();
    assert!(error.to_string().contains("no address of the wanted family"), "{error}");
    assert_eq!(attempts(error), []);
}

#[test]
fn a_source_address_that_is_not_ours_is_told() {
    let _watchdog = watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Kept for documentation, by RFC 5737.
    let source = "192.0.2.1:0".parse().unwrap();
    let address = listener.local_addr().unwrap();
    let error = Connector::new().source_address(source).timeout(LONG).connect(address).unwrap_err();
    assert_eq!(attempts(error), [(address, io::ErrorKind::AddrNotAvailable)]);
}

#[test]
fn a_zero_timeout_is_refused_and_a_tiny_one_is_not() {
    let _watchdog = watchdog();
    let error = connect("127.0.0.1:1", Duration::ZERO).unwrap_err();
    assert!(matches!(&error, Error::InvalidSetting { setting: "timeout", .. }), "{error:?}");
    assert!(error.to_string().starts_with("timeout cannot be zero"), "{error}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    match connect(listener.local_addr().unwrap(), Duration::from_nanos(1)) {
        Ok(_) | Err(Error::Timeout { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
    connect(listener.local_addr().unwrap(), Duration::MAX).unwrap();
}

#[test]
fn odd_input_is_an_error_that_names_it() {
    let _watchdog = watchdog();
    let long = "a".repeat(10_000) + ":80";
    let odd = [
        "",
        ":",
        "::",
        ":::",
        "[",
        "]",
        "[]",
        "[]:",
        "[]:80",
        "[::1]",
        "[::1]80",
        "::1:80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1:99999999999999999999",
        "256.0.0.1:80",
        "1.2.3:x y",
        "a b:80",
        "a\0b:80",
        "a\n:80",
        "http://localhost:80/",
        "localhost/:80",
        "*:80",
        "80",
        "\u{1F980}:",
        "[::1%]:80",
        "[fe80::1%nosuchinterface]:80",
        "127.0.0.1:0x50",
        "١٢٧.0.0.1:80",
        &long,
    ];
    for text in odd {
        match connect(text, MOMENT) {
            Err(Error::InvalidAddress { address, reason }) => {
                assert_eq!(address, text);
                assert!(!reason.is_empty());
            }
            Err(Error::Resolve { name, .. }) => assert!(text.contains(&name) || name == text, "{name}"),
            Err(Error::Timeout { address, .. }) => assert_eq!(address, text),
            other => panic!("{text:?}: {other:?}"),
        }
    }
    // There is nobody at port 0, and the system says so in its own way.
    assert!(matches!(connect("127.0.0.1:0", LONG).unwrap_err(), Error::Connect { .. }));
    assert!(matches!(connect(Vec::<SocketAddr>::new(), LONG).unwrap_err(), Error::InvalidAddress { .. }));
}

#[test]
fn a_name_that_does_not_exist_is_told() {
    let _watchdog = watchdog();
    // Never registered, by RFC 6761. Where there is no name server it may take its time to say so.
    match connect("no-such-host.invalid:80", Duration::from_secs(5)).unwrap_err() {
        Error::Resolve { name, .. } => assert!(name.contains("no-such-host.invalid"), "{name}"),
        Error::Timeout { phase: Phase::Resolve, address, .. } => {
            assert!(address.contains("no-such-host.invalid"), "{address}");
        }
        other => panic!("{other:?}"),
    }
}
