//! `receive_batch`: several datagrams received by one system call are served as if they had been received one by one.
#![cfg(all(feature = "recvmmsg", target_os = "linux"))]
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read};
use std::net::UdpSocket;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use common::datagrams::{Client, DatagramKind};
use common::{echo, eventually, receive, run, BuilderOf, Kind, Served};
use socketserver::udp::UdpListener;
use socketserver::{handler_fn, Datagram, Error, Handled, ThreadingUdpServer, UdpServer};

/// Over both servers, and batches that are filled and not.
fn check(test: impl Fn(usize) + Copy + Send + 'static) {
    run(move || [2, 3, 32, 1024].into_iter().for_each(test));
}

fn builder<K: DatagramKind<Listener = UdpListener>>(batch: usize) -> BuilderOf<K> {
    K::builder().receive_batch(batch)
}

#[test]
fn they_are_received_together() {
    run(|| {
        let (sender, seen) = channel();
        let handler = handler_fn(move |request: &mut Datagram| {
            // What the system has still; there is no waiting for it.
            let left = request.socket().unwrap().recv(&mut [std::mem::MaybeUninit::uninit(); 10]);
            Ok(sender.send((request.data()[0], left.map_err(|error| error.kind())))?)
        });
        let (server, spot) = <UdpServer as Kind>::bind(builder::<UdpServer>(4), handler);
        let client = spot.client();
        (0..5u8).for_each(|number| client.send(&[number]));
        let served = Served::new((server, spot));
        // Of five, four come at once, and what is left is the fifth.
        assert_eq!(receive(&seen), (0, Ok(1)));
        for number in 1..4 {
            assert_eq!(receive(&seen), (number, Err(io::ErrorKind::WouldBlock)));
        }
        served.stop();
    });
}

#[test]
fn everybody_gets_his_own_answers_in_order() {
    check(|batch| {
        let served = UdpServer::serve_as(builder::<UdpServer>(batch), echo());
        let clients: Vec<Client> = (0..8).map(|_| served.place.client()).collect();
        for round in 0..50u8 {
            for (number, client) in clients.iter().enumerate() {
                client.send(&[round, number as u8]);
                client.send(&[]);
                client.send(&vec![round; 1000 + number]);
            }
            for (number, client) in clients.iter().enumerate() {
                assert_eq!(client.receive(), [round, number as u8]);
                assert_eq!(client.receive(), []);
                assert_eq!(client.receive(), vec![round; 1000 + number]);
            }
        }
        served.expect_accepted(8 * 50 * 3);
        assert_eq!(served.handle.stats().accept_errors, 0);
        served.stop();
    });
}

#[test]
fn over_ipv6() {
    if UdpSocket::bind("[::1]:0").is_err() {
        return; // the machine has none
    }
    check(|batch| {
        let running = builder::<ThreadingUdpServer>(batch).bind("[::1]:0", echo()).unwrap().spawn().unwrap();
        let client = UdpSocket::bind("[::1]:0").unwrap();
        client.connect(running.local_addr()).unwrap();
        client.set_read_timeout(Some(common::LONG)).unwrap();
        let mut answer = [0; 10];
        for _ in 0..100 {
            client.send(b"hello").unwrap();
            assert_eq!(client.recv(&mut answer).unwrap(), 5);
        }
        running.stop().unwrap();
    });
}

#[test]
fn what_is_too_long_is_dropped_among_them() {
    check(|batch| {
        let (server, spot) = <UdpServer as Kind>::bind(builder::<UdpServer>(batch).max_packet_size(10), echo());
        let client = spot.client();
        for _ in 0..10 {
            client.send(&[1; 10]);
            client.send(&[2; 11]);
        }
        let served = Served::new((server, spot));
        (0..10).for_each(|_| assert_eq!(client.receive(), [1; 10]));
        eventually("the last is dropped", || served.handle.stats().dropped == 10);
        client.hears_nothing();
        served.stop();
    });
}

#[test]
fn at_a_stop_each_is_served_or_counted() {
    check(|batch| {
        let handler = handler_fn(|request: &mut Datagram| {
            request.server().shutdown();
            Ok(())
        });
        let (mut server, spot) = <UdpServer as Kind>::bind(builder::<UdpServer>(batch), handler);
        let client = spot.client();
        (0..2).for_each(|_| client.send(b"x"));
        let handle = server.handle();
        assert!(server.serve_forever().unwrap().is_clean());
        drop(server);
        let stats = handle.stats();
        assert!(stats.accepted >= 1);
        assert_eq!(stats.accepted + stats.dropped, 2, "{stats:?}");
    });
}

#[test]
fn one_request_at_a_time_serves_them_one_after_another() {
    check(|batch| {
        let (mut server, spot) = <UdpServer as Kind>::bind(builder::<UdpServer>(batch).timeout(Duration::ZERO), echo());
        let client = spot.client();
        for _ in 0..20 {
            (0..5u8).for_each(|number| client.send(&[number]));
            for number in 0..5u8 {
                assert!(matches!(server.handle_request().unwrap(), Handled::Served));
                let mut answer = [0; 2];
                assert_eq!((&client.0).read(&mut answer).unwrap(), 1);
                assert_eq!(answer[0], number);
                client.hears_nothing();
            }
            assert!(matches!(server.handle_request().unwrap(), Handled::TimedOut));
        }
    });
}

/// Nor where mio stands on poll(2), and has to see that nothing is left before it waits for more.
#[test]
fn whoever_asks_again_and_again_is_not_kept_waiting() {
    check(|batch| {
        let served = UdpServer::serve_as(builder::<UdpServer>(batch), echo());
        let client = served.place.client();
        let started = Instant::now();
        (0..200).for_each(|_| assert_eq!(client.ask(b"x"), b"x"));
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        served.stop();
    });
}

/// What was known of the queue when the last request was taken is not what there is to take now.
#[test]
fn a_single_look_finds_what_has_come_since() {
    check(|batch| {
        let (mut server, spot) = <UdpServer as Kind>::bind(builder::<UdpServer>(batch).timeout(Duration::ZERO), echo());
        let client = spot.client();
        for _ in 0..10 {
            client.send(b"x");
            assert!(matches!(server.handle_request().unwrap(), Handled::Served));
        }
        assert!(matches!(server.handle_request().unwrap(), Handled::TimedOut));
    });
}

#[test]
fn a_flood_over_all_threads_loses_nothing_unseen() {
    run(|| {
        let builder = builder::<ThreadingUdpServer>(32).max_connections(4).queue(16).recv_buffer_size(1 << 20);
        let served = ThreadingUdpServer::serve_as(builder, echo());
        let clients: Vec<Client> = (0..4).map(|_| served.place.client()).collect();
        let mut sent = 0;
        for _ in 0..500 {
            clients.iter().for_each(|client| client.send(b"hello"));
            sent += clients.len() as u64;
            // No more under way than the system's buffer holds.
            let known = |stats: socketserver::Stats| stats.accepted + stats.dropped;
            eventually("it keeps up", || known(served.handle.stats()) + 200 >= sent);
        }
        eventually("all are served or counted", || {
            let stats = served.handle.stats();
            stats.accepted + stats.dropped == sent && stats.active == 0
        });
        served.stop();
    });
}

#[test]
fn sizes_that_cannot_be_are_named() {
    for batch in [0, 1025, usize::MAX] {
        let error = UdpServer::try_bind(builder::<UdpServer>(batch), echo()).map(drop).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { setting: "receive_batch", .. }), "{error}");
    }
}
