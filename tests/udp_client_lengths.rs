//! `UdpClient`: requests and answers that are too long, and those that are empty.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/peers.rs"]
mod peers;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::thread::scope;

use common::watchdog;
use peers::{patient, peer, Peer};
use socketserver::udp::RequestId;
use socketserver::Error;

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
