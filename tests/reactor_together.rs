//! `Reactor`: several servers on the same event loops.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::HashSet;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::channel;
use std::thread::ThreadId;
use std::time::Duration;

use common::reactor::{Echo, Probe, ReactorKind, ReactorTcp, Told};
use common::{eventually, own_address, read_byte, receive, run, Place, Reach, LONG};
use socketserver::reactor::{DatagramProtocol, DatagramTransport, Reactor, ReactorUdp};
use socketserver::{Error, Protocol, ReactorTcpServer, Transport};

#[derive(Clone)]
struct EchoDatagrams;

impl DatagramProtocol for EchoDatagrams {
    fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr) {
        transport.send_to(data, peer).unwrap();
    }
}

/// Says which of the servers it belongs to.
#[derive(Clone)]
struct Number(u8);

impl Protocol for Number {
    fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
        transport.write(&[self.0]);
    }
}

/// Two TCP servers, a UDP one, and a Unix one where there are such.
fn several() -> (Reactor, Vec<Place>, SocketAddr) {
    let mut reactor = Reactor::new();
    let mut places = Vec::new();
    for number in 0..2 {
        let (server, place) = ReactorTcp::bind(ReactorTcp::builder(), Number(number));
        reactor.add(server);
        places.push(place);
    }
    #[cfg(unix)]
    {
        use common::reactor::ReactorUnix;
        let (server, place) = ReactorUnix::bind(ReactorUnix::builder(), Number(2));
        reactor.add(server);
        places.push(place);
    }
    let udp = ReactorUdp::bind(own_address(), EchoDatagrams).unwrap();
    let datagrams = udp.local_addr();
    reactor.add(udp);
    (reactor, places, datagrams)
}

fn answers(place: &Place, number: usize) {
    let mut client = place.connect();
    client.write_all(b"?").unwrap();
    assert_eq!(read_byte(&mut client), Some(number as u8));
}

fn echoes(server: SocketAddr) {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.send(b"ping").unwrap();
    assert_eq!(client.recv(&mut [0; 16]).unwrap(), 4);
}

#[test]
fn each_is_served_by_its_own_protocol() {
    run(|| {
        let (reactor, places, datagrams) = several();
        let handles = reactor.handles();
        assert_eq!(handles.len(), places.len() + 1);
        let running = reactor.spawn().unwrap();
        for _ in 0..3 {
            for (number, place) in places.iter().enumerate() {
                answers(place, number);
            }
            echoes(datagrams);
        }
        let report = running.stop().unwrap();
        assert!(report.is_clean());
        for (handle, place) in handles.iter().zip(&places) {
            assert!(place.is_closed());
            assert_eq!(handle.stats().accepted, 3);
        }
        assert_eq!(handles.last().unwrap().stats().accepted, 3);
        UdpSocket::bind(datagrams).unwrap();
    });
}

#[test]
fn stopping_one_leaves_the_others() {
    run(|| {
        let (reactor, places, datagrams) = several();
        let handles = reactor.handles();
        let all = reactor.handle();
        assert_eq!(all.servers().len(), handles.len());
        let running = reactor.spawn().unwrap();
        for stopped in 0..places.len() {
            handles[stopped].shutdown();
            eventually("it is closed", || places[stopped].is_closed());
            for (number, place) in places.iter().enumerate().skip(stopped + 1) {
                answers(place, number);
            }
            echoes(datagrams);
            assert!(!all.is_shutting_down());
        }
        // And the last of them ends it.
        handles.last().unwrap().shutdown();
        assert!(all.is_shutting_down());
        assert!(running.join().unwrap().is_clean());
        UdpSocket::bind(datagrams).unwrap();
    });
}

#[test]
fn the_datagrams_can_be_the_first_to_stop() {
    run(|| {
        let (reactor, places, datagrams) = several();
        let handles = reactor.handles();
        let running = reactor.spawn().unwrap();
        handles.last().unwrap().shutdown();
        eventually("it is closed", || UdpSocket::bind(datagrams).is_ok());
        for (number, place) in places.iter().enumerate() {
            answers(place, number);
        }
        running.handle().shutdown();
        assert!(running.join().unwrap().is_clean());
    });
}

#[test]
fn reports_are_added_up() {
    run(|| {
        let mut reactor = Reactor::new();
        let mut clients = Vec::new();
        let mut tolds = Vec::new();
        for cut in [false, true, true] {
            let (probe, told) = Probe::new(|_, _| {});
            let probe = if cut { probe.overriding(|told| *told == Told::ShuttingDown) } else { probe };
            let (server, place) = ReactorTcp::bind(ReactorTcp::builder(), probe);
            reactor.add(server);
            clients.push(place.connect());
            tolds.push(told);
        }
        let running = reactor.spawn().unwrap();
        for told in &tolds {
            assert_eq!(receive(told), Told::Made);
        }
        running.handle().shutdown_within(Duration::from_millis(50));
        let report = running.join().unwrap();
        assert_eq!((report.drained, report.abandoned, report.still_running), (1, 2, 0));
    });
}

#[test]
fn connections_are_spread_over_the_loops_of_the_server_with_the_most() {
    run(|| {
        let (sender, threads) = channel();
        let (probe, _told) = Probe::new(move |told, transport| {
            if *told == Told::Made {
                sender.send(std::thread::current().id()).unwrap();
                transport.write(b"+");
            }
        });
        let mut reactor = Reactor::new();
        let (one, place) = ReactorTcp::bind(ReactorTcp::builder(), probe);
        let (two, _other) = ReactorTcp::bind(ReactorTcp::builder().workers(3), Echo);
        reactor.add(one);
        reactor.add(two);
        let running = reactor.spawn().unwrap();
        let clients: Vec<_> = (0..9)
            .map(|_| {
                let mut client = place.connect();
                assert_eq!(read_byte(&mut client), Some(b'+'));
                client
            })
            .collect();
        let used: HashSet<ThreadId> = (0..9).map(|_| receive(&threads)).collect();
        assert_eq!(used.len(), 3);
        drop(clients);
        running.stop().unwrap();
    });
}

#[test]
fn without_servers_there_is_nothing_to_serve() {
    run(|| {
        assert!(matches!(Reactor::new().serve_forever(), Err(Error::InvalidSetting { .. })));
        assert!(matches!(Reactor::new().spawn(), Err(Error::InvalidSetting { .. })));
    });
}

#[test]
fn it_serves_once() {
    run(|| {
        let (mut reactor, places, _) = several();
        reactor.handle().shutdown();
        assert!(reactor.serve_forever().unwrap().is_clean());
        assert!(places.iter().all(Place::is_closed));
        let error = reactor.serve_forever().unwrap_err();
        let Place::Tcp(first) = &places[0] else { panic!() };
        assert!(matches!(&error, Error::Closed { address } if *address == first.to_string()), "{error}");
    });
}

#[test]
fn a_server_that_was_stopped_before_is_closed_and_the_others_serve() {
    run(|| {
        let (reactor, places, datagrams) = several();
        reactor.handles()[0].shutdown();
        let running = reactor.spawn().unwrap();
        answers(&places[1], 1);
        echoes(datagrams);
        eventually("it is closed", || places[0].is_closed());
        running.stop().unwrap();
    });
}

#[test]
fn a_drop_frees_the_ports() {
    run(|| {
        // Never served.
        let (reactor, places, datagrams) = several();
        drop(reactor);
        assert!(places.iter().all(Place::is_closed));
        UdpSocket::bind(datagrams).unwrap();
        // While it runs, with a client.
        let (reactor, places, datagrams) = several();
        let running = reactor.spawn().unwrap();
        let mut client = places[0].connect();
        client.write_all(b"?").unwrap();
        assert_eq!(read_byte(&mut client), Some(0));
        drop(running);
        assert!(places.iter().all(Place::is_closed));
        UdpSocket::bind(datagrams).unwrap();
        assert_eq!(read_byte(&mut client), None);
    });
}

/// TCP and UDP on the same port, as echo servers have it.
#[test]
fn two_protocols_share_a_port() {
    run(|| {
        let mut reactor = Reactor::new();
        let tcp = ReactorTcpServer::bind(own_address(), Echo).unwrap();
        let address = tcp.local_addr();
        reactor.add(ReactorUdp::bind(address, EchoDatagrams).unwrap());
        reactor.add(tcp);
        let running = reactor.spawn().unwrap();
        echoes(address);
        assert_eq!(Place::Tcp(address).exchange(b"ping"), b"ping");
        running.stop().unwrap();
    });
}

#[test]
fn a_callback_of_one_can_stop_another() {
    run(|| {
        let mut reactor = Reactor::new();
        let (first, place) = ReactorTcp::bind(ReactorTcp::builder(), Echo);
        let handle = first.handle();
        let (probe, _told) = Probe::new(move |told, transport| {
            if told.is_data() {
                handle.shutdown();
                transport.write(b"!");
            }
        });
        let (second, other) = ReactorTcp::bind(ReactorTcp::builder(), probe);
        reactor.add(first);
        reactor.add(second);
        let running = reactor.spawn().unwrap();
        let mut client = other.connect();
        client.write_all(b"x").unwrap();
        assert_eq!(read_byte(&mut client), Some(b'!'));
        eventually("it is closed", || place.is_closed());
        client.write_all(b"x").unwrap();
        assert_eq!(read_byte(&mut client), Some(b'!'));
        drop(client);
        running.stop().unwrap();
    });
}

#[test]
fn stopping_one_of_two_udp_servers_leaves_the_other() {
    run(|| {
        let mut reactor = Reactor::new();
        let servers: Vec<ReactorUdp> =
            (0..2).map(|_| ReactorUdp::bind(own_address(), EchoDatagrams).unwrap()).collect();
        let addresses: Vec<SocketAddr> = servers.iter().map(ReactorUdp::local_addr).collect();
        for server in servers {
            reactor.add(server);
        }
        let handles = reactor.handles();
        let running = reactor.spawn().unwrap();
        echoes(addresses[0]);
        handles[0].shutdown();
        eventually("it is closed", || UdpSocket::bind(addresses[0]).is_ok());
        echoes(addresses[1]);
        running.stop().unwrap();
    });
}
