//! `ReactorUdp`: datagrams on the event loop.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Arc;
use std::time::Duration;

use common::{eventually, failures, own_address, receive, run, LONG};
use socketserver::reactor::{DatagramProtocol, DatagramTransport, ReactorUdp};
use socketserver::{Address, Error, Overload, Running};

/// A callback, and what it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Made,
    Datagram(Vec<u8>, SocketAddr),
    Error(io::ErrorKind),
    Lost(Option<io::ErrorKind>),
}

type Script = Box<dyn Fn(&Told, &mut DatagramTransport) + Send>;

/// Tells the test of every callback, then does what the test wants.
struct Probe {
    script: Script,
    told: Sender<Told>,
}

impl Probe {
    fn new(script: impl Fn(&Told, &mut DatagramTransport) + Send + 'static) -> (Probe, Receiver<Told>) {
        let (sender, told) = channel();
        (Probe { script: Box::new(script), told: sender }, told)
    }

    fn tell(&self, transport: &mut DatagramTransport, told: Told) {
        let _ = self.told.send(told.clone());
        (self.script)(&told, transport);
    }
}

impl DatagramProtocol for Probe {
    fn connection_made(&mut self, transport: &mut DatagramTransport) {
        self.tell(transport, Told::Made);
    }

    fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr) {
        self.tell(transport, Told::Datagram(data.to_vec(), peer));
    }

    fn error_received(&mut self, transport: &mut DatagramTransport, error: &io::Error) {
        self.tell(transport, Told::Error(error.kind()));
    }

    fn connection_lost(&mut self, transport: &mut DatagramTransport, error: Option<&io::Error>) {
        self.tell(transport, Told::Lost(error.map(io::Error::kind)));
    }
}

/// What `ReactorUdp::builder` gives.
type UdpBuilder = socketserver::server::Builder<socketserver::udp::UdpListener, socketserver::reactor::EventLoops>;

fn echo(told: &Told, transport: &mut DatagramTransport) {
    if let Told::Datagram(data, peer) = told {
        transport.send_to(data, *peer).unwrap();
    }
}

fn serve(
    builder: UdpBuilder,
    script: impl Fn(&Told, &mut DatagramTransport) + Send + 'static,
) -> (Running<SocketAddr>, Receiver<Told>) {
    let (probe, told) = Probe::new(script);
    (builder.bind(own_address(), probe).unwrap().spawn().unwrap(), told)
}

/// Its own port, and only that server's datagrams.
fn client(server: SocketAddr) -> UdpSocket {
    let client = client_of_nobody();
    client.connect(server).unwrap();
    client
}

/// One that takes anybody's.
fn client_of_nobody() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

fn exchange(client: &UdpSocket, data: &[u8]) -> Vec<u8> {
    client.send(data).unwrap();
    received(client)
}

fn received(client: &UdpSocket) -> Vec<u8> {
    let mut answer = vec![0; 65_536];
    let count = client.recv(&mut answer).unwrap();
    answer.truncate(count);
    answer
}

#[test]
fn echoes_and_says_who_asked() {
    run(|| {
        let (running, told) = serve(ReactorUdp::builder(), echo);
        assert_ne!(running.local_addr().port(), 0);
        assert_eq!(receive(&told), Told::Made);
        let clients: Vec<UdpSocket> = (0..5).map(|_| client(running.local_addr())).collect();
        for (number, client) in clients.iter().enumerate() {
            let text = format!("from {number}").into_bytes();
            assert_eq!(exchange(client, &text), text);
            assert_eq!(receive(&told), Told::Datagram(text, client.local_addr().unwrap()));
        }
        let handle = running.handle();
        assert!(running.stop().unwrap().is_clean());
        assert_eq!(receive(&told), Told::Lost(None));
        assert!(told.recv().is_err(), "the last, and the protocol has been dropped");
        let stats = handle.stats();
        assert_eq!((stats.accepted, stats.dropped, stats.active), (5, 0, 0));
    });
}

/// More than one turn reads, in order, and none twice.
#[test]
fn a_burst_is_served_in_order() {
    run(|| {
        let (running, told) = serve(ReactorUdp::builder(), |_, _| {});
        assert_eq!(receive(&told), Told::Made);
        let client = client(running.local_addr());
        for number in 0..100_u8 {
            client.send(&[number]).unwrap();
        }
        for number in 0..100_u8 {
            assert_eq!(receive(&told), Told::Datagram(vec![number], client.local_addr().unwrap()));
        }
        running.stop().unwrap();
    });
}

#[test]
fn an_empty_datagram_is_one() {
    run(|| {
        let (running, told) = serve(ReactorUdp::builder(), echo);
        let client = client(running.local_addr());
        assert_eq!(exchange(&client, b""), b"");
        assert_eq!(receive(&told), Told::Made);
        assert_eq!(receive(&told), Told::Datagram(Vec::new(), client.local_addr().unwrap()));
        running.stop().unwrap();
    });
}

#[test]
fn what_is_longer_than_the_limit_is_dropped_and_counted() {
    run(|| {
        let (running, told) = serve(ReactorUdp::builder().max_packet_size(100), echo);
        let client = client(running.local_addr());
        client.send(&[1; 101]).unwrap();
        client.send(&[1; 60_000]).unwrap();
        assert_eq!(exchange(&client, &[2; 100]), [2; 100]);
        let stats = running.handle().stats();
        assert_eq!((stats.accepted, stats.dropped), (1, 2));
        running.stop().unwrap();
        let datagrams = told.try_iter().filter(|told| matches!(told, Told::Datagram(..))).count();
        assert_eq!(datagrams, 1);
    });
}

#[test]
fn the_longest_datagram_goes_both_ways_and_a_longer_one_is_refused_before_it_is_sent() {
    run(|| {
        let (sender, refused) = channel();
        let (running, _told) = serve(ReactorUdp::builder(), move |told, transport| {
            if let Told::Datagram(data, peer) = told {
                sender.send(transport.send_to(&vec![0; 65_508], *peer).unwrap_err()).unwrap();
                sender.send(transport.send_to(&vec![0; 65_528], "[::1]:9".parse().unwrap()).unwrap_err()).unwrap();
                transport.send_to(data, *peer).unwrap();
            }
        });
        let client = client(running.local_addr());
        let longest = common::reactor::pattern(65_507);
        assert!(exchange(&client, &longest) == longest);
        for most in ["65507", "65527"] {
            let error = receive(&refused);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&format!("at most {most}")), "{error}");
        }
        assert_eq!(running.handle().stats().dropped, 0);
        running.stop().unwrap();
    });
}

/// That nobody is there any more, the server is told by ICMP.
#[test]
fn answers_to_nobody_end_nothing() {
    run(|| {
        let (running, told) = serve(ReactorUdp::builder(), |told, transport| {
            if let Told::Datagram(data, peer) = told {
                for _ in 0..20 {
                    // Whatever the system says: some say that the one before could not be delivered.
                    let _ = transport.send_to(data, *peer);
                }
            }
        });
        for _ in 0..5 {
            let gone = client(running.local_addr());
            gone.send(b"bye").unwrap();
            drop(gone);
        }
        let client = client(running.local_addr());
        assert_eq!(exchange(&client, b"x"), b"x");
        assert!(told.try_iter().all(|told| !matches!(told, Told::Lost(_))));
        running.stop().unwrap();
    });
}

#[test]
fn a_panic_costs_one_datagram() {
    run(|| {
        let (handle_error, failures) = failures();
        let (running, told) = serve(ReactorUdp::builder().handle_error(handle_error), |told, transport| {
            match told {
                Told::Made => panic!("at the start"),
                Told::Datagram(data, _) => assert_ne!(data, b"!", "not that"),
                Told::Lost(_) => panic!("at the end"),
                Told::Error(_) => {}
            }
            echo(told, transport);
        });
        assert_eq!(receive(&failures), "connection_made panicked: at the start");
        let client = client(running.local_addr());
        for _ in 0..3 {
            client.send(b"!").unwrap();
            assert_eq!(exchange(&client, b"x"), b"x");
            let failure = receive(&failures);
            let expected = format!("datagram_received of {}", client.local_addr().unwrap());
            assert!(failure.starts_with(&expected) && failure.contains("not that"), "{failure}");
        }
        let handle = running.handle();
        running.stop().unwrap();
        assert_eq!(receive(&failures), "connection_lost panicked: at the end");
        assert_eq!(failures.try_iter().count(), 0);
        assert_eq!(handle.stats().panics, 5);
        assert_eq!(told.try_iter().filter(|told| matches!(told, Told::Lost(_))).count(), 1);
    });
}

#[test]
fn the_protocol_can_close_it() {
    run(|| {
        let (running, told) = serve(ReactorUdp::builder(), |told, transport| {
            echo(told, transport);
            if matches!(told, Told::Datagram(data, _) if data == b"close") {
                transport.close();
                let peer = ([127, 0, 0, 1], 9).into();
                assert_eq!(transport.send_to(b"x", peer).unwrap_err().kind(), io::ErrorKind::NotConnected);
            }
        });
        let address = running.local_addr();
        let client = client(address);
        assert_eq!(exchange(&client, b"close"), b"close");
        client.send(b"too late").unwrap_or_default();
        let closed = Told::Datagram(b"close".to_vec(), client.local_addr().unwrap());
        for expected in [Told::Made, closed, Told::Lost(None)] {
            assert_eq!(receive(&told), expected);
        }
        eventually("the port is free", || UdpSocket::bind(address).is_ok());
        running.stop().unwrap();
        assert!(told.recv().is_err());
    });
}

#[test]
fn it_can_be_closed_at_once() {
    run(|| {
        let (running, told) = serve(ReactorUdp::builder(), |told, transport| {
            if *told == Told::Made {
                transport.close();
            }
        });
        assert_eq!(receive(&told), Told::Made);
        assert_eq!(receive(&told), Told::Lost(None));
        running.stop().unwrap();
    });
}

#[test]
fn a_callback_can_stop_the_server() {
    run(|| {
        let (running, told) = serve(ReactorUdp::builder(), |told, transport| {
            echo(told, transport);
            if matches!(told, Told::Datagram(..)) {
                transport.server().shutdown();
            }
        });
        let address = running.local_addr();
        let client = client(address);
        assert_eq!(exchange(&client, b"x"), b"x");
        assert!(running.join().unwrap().is_clean());
        UdpSocket::bind(address).unwrap();
        assert_eq!(told.iter().last(), Some(Told::Lost(None)));
    });
}

#[test]
fn stops_in_every_state() {
    run(|| {
        // Before the start.
        let (probe, told) = Probe::new(echo);
        let mut server = ReactorUdp::bind(own_address(), probe).unwrap();
        let address = server.local_addr();
        server.handle().shutdown();
        server.serve_forever().unwrap();
        assert!(matches!(server.serve_forever(), Err(Error::Closed { .. })));
        UdpSocket::bind(address).unwrap();
        drop(told);
        // Never started, and dropped.
        let (probe, _told) = Probe::new(echo);
        let server = ReactorUdp::bind(own_address(), probe).unwrap();
        let address = server.local_addr();
        drop(server);
        UdpSocket::bind(address).unwrap();
        // Running, and dropped.
        let (running, _told) = serve(ReactorUdp::builder(), echo);
        let address = running.local_addr();
        assert_eq!(exchange(&client(address), b"x"), b"x");
        drop(running);
        UdpSocket::bind(address).unwrap();
    });
}

#[test]
fn bad_settings_and_addresses_are_errors_that_say_so() {
    run(|| {
        let bind = |builder: UdpBuilder, address: &str| builder.bind(address, Probe::new(|_, _| {}).0).unwrap_err();
        let error = bind(ReactorUdp::builder().max_packet_size(65_536), "127.0.0.1:0");
        assert!(matches!(error, Error::InvalidSetting { setting: "max_packet_size", .. }), "{error}");
        let error = bind(ReactorUdp::builder(), "127.0.0.1");
        assert!(matches!(error, Error::InvalidAddress { .. }), "{error}");
        let taken = UdpSocket::bind(own_address()).unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = bind(ReactorUdp::builder(), &address);
        assert!(matches!(&error, Error::Bind { address: at, .. } if *at == address), "{error}");
        assert!(error.to_string().contains("does another server run there?"), "{error}");
    });
}

#[test]
fn settings_without_effect_are_errors_that_say_so() {
    run(|| {
        let check = |setting: &str, builder: UdpBuilder| {
            let error = builder.bind("127.0.0.1:0", Probe::new(|_, _| {}).0).unwrap_err();
            assert!(matches!(error, Error::InvalidSetting { setting: named, .. } if named == setting), "{error}");
        };
        let builder = ReactorUdp::builder;
        check("max_connections", builder().max_connections(10));
        check("max_per_address", builder().max_per_address(1));
        check("overload", builder().overload(Overload::Reject(b"busy")));
        check("workers", builder().workers(2));
        check("write_buffer_limits", builder().write_buffer_limits(100, 10));
        check("write_buffer_hard_limit", builder().write_buffer_hard_limit(2_000_000));
        check("read_while_full", builder().read_while_full(true));
        check("reply_timeout", builder().reply_timeout(Duration::ZERO));
        check("deliver_truncated", builder().deliver_truncated(true));
        #[cfg(all(feature = "recvmmsg", target_os = "linux"))]
        check("receive_batch", builder().receive_batch(2));
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = builder().workers(2).from_listener(socket, Probe::new(|_, _| {}).0).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { setting: "workers", .. }), "{error}");
    });
}

#[test]
fn verify_request_is_asked_for_each_datagram() {
    run(|| {
        let (handle_error, failures) = failures();
        let honest = client_of_nobody();
        let (friend, panics) = (honest.local_addr().unwrap(), client_of_nobody());
        let feared = Address::Inet(panics.local_addr().unwrap());
        let builder = ReactorUdp::builder().handle_error(handle_error).verify_request(move |peer| {
            assert_ne!(*peer, feared, "of all people");
            peer.as_socket_addr() == Some(friend)
        });
        let (running, told) = serve(builder, echo);
        assert_eq!(receive(&told), Told::Made);
        honest.connect(running.local_addr()).unwrap();
        for _ in 0..3 {
            client(running.local_addr()).send(b"stranger").unwrap();
            panics.send_to(b"!", running.local_addr()).unwrap();
            assert_eq!(exchange(&honest, b"x"), b"x");
            assert_eq!(receive(&told), Told::Datagram(b"x".to_vec(), friend));
            let failure = receive(&failures);
            assert!(failure.starts_with("verify_request") && failure.contains("of all people"), "{failure}");
        }
        let stats = running.handle().stats();
        assert_eq!((stats.accepted, stats.rejected, stats.panics, stats.dropped), (9, 6, 3, 0));
        running.stop().unwrap();
    });
}

#[test]
fn answers_have_their_limit() {
    run(|| {
        let other = client_of_nobody();
        let elsewhere = other.local_addr().unwrap();
        let (sender, refused) = channel();
        let (running, _told) = serve(ReactorUdp::builder().answer_limit(3), move |told, transport| {
            let Told::Datagram(data, peer) = told else { return };
            let error = transport.send_to(&vec![1; 3 * data.len() + 1], *peer).unwrap_err();
            sender.send((error.kind(), error.to_string())).unwrap();
            transport.send_to(&vec![2; 2 * data.len()], *peer).unwrap();
            // What the system did not take does not count.
            transport.send_to(&[0; 65_508], *peer).unwrap_err();
            transport.send_to(data, *peer).unwrap();
            sender.send((transport.send_to(b"x", *peer).unwrap_err().kind(), String::new())).unwrap();
            // That is no answer.
            transport.send_to(&[3; 1000], elsewhere).unwrap();
            // It is an error of the callback's for that one datagram alone.
            panic!("with the limit used up");
        });
        let client = client(running.local_addr());
        for _ in 0..3 {
            assert_eq!(exchange(&client, &[7; 10]), [2; 20]);
            assert_eq!(received(&client), [7; 10]);
            assert_eq!(received(&other), [3; 1000]);
            let (kind, reason) = receive(&refused);
            assert_eq!(kind, io::ErrorKind::PermissionDenied);
            assert!(reason.contains("an answer of 31 bytes") && reason.contains("the limit of 30"), "{reason}");
            assert_eq!(receive(&refused).0, io::ErrorKind::PermissionDenied);
        }
        running.stop().unwrap();
    });
}

#[test]
fn a_transport_knows_its_socket_and_its_server() {
    run(|| {
        let (sender, seen) = channel();
        let (running, _told) =
            serve(ReactorUdp::builder().recv_buffer_size(8192).broadcast(true), move |told, transport| {
                if *told == Told::Made {
                    assert_eq!(transport.write_buffer_size(), 0);
                    let options =
                        (transport.socket().broadcast().unwrap(), transport.socket().recv_buffer_size().unwrap());
                    sender.send((transport.local_addr(), transport.server().local_addr(), options)).unwrap();
                }
            });
        let (local, server, (broadcast, buffer)) = receive(&seen);
        assert_eq!(local, running.local_addr());
        assert_eq!(server.as_socket_addr(), Some(local));
        assert!(broadcast);
        assert!((8192..=32_768).contains(&buffer), "{buffer}");
        running.stop().unwrap();
    });
}

/// The protocol needs not be `Clone`, nor `Sync`; what it has it keeps from one datagram to the next.
#[test]
fn one_value_serves_everybody() {
    struct Counting(std::cell::Cell<u8>, #[allow(dead_code)] Arc<()>);

    impl DatagramProtocol for Counting {
        fn datagram_received(&mut self, transport: &mut DatagramTransport, _: &[u8], peer: SocketAddr) {
            self.0.set(self.0.get() + 1);
            transport.send_to(&[self.0.get()], peer).unwrap();
        }
    }

    run(|| {
        let kept = Arc::new(());
        let protocol = Counting(std::cell::Cell::new(0), Arc::clone(&kept));
        let running = ReactorUdp::bind(own_address(), protocol).unwrap().spawn().unwrap();
        for number in 1..=5 {
            assert_eq!(exchange(&client(running.local_addr()), b""), [number]);
        }
        running.stop().unwrap();
        assert_eq!(Arc::strong_count(&kept), 1, "it has been dropped");
    });
}
