//! `ReactorUdp`: sockets from elsewhere, errors in a row, and datagrams that nobody can have sent.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[cfg(target_os = "linux")]
#[path = "common/linux_udp.rs"]
mod linux_udp;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{channel, Sender};

use common::{own_address, receive, run, LONG};
use socketserver::reactor::{DatagramProtocol, DatagramTransport, ReactorUdp};

/// Answers, and tells the test who asked.
struct Echo(Sender<SocketAddr>);

impl DatagramProtocol for Echo {
    fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr) {
        self.0.send(peer).unwrap();
        transport.send_to(data, peer).unwrap();
    }
}

/// As systemd hands one over: bound, blocking, with something in it already.
#[test]
fn a_socket_of_std_is_served() {
    run(|| {
        let socket = UdpSocket::bind(own_address()).unwrap();
        let address = socket.local_addr().unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.send_to(b"early", address).unwrap();
        let (sender, asked) = channel();
        let server = ReactorUdp::from_socket(socket, Echo(sender)).unwrap();
        assert_eq!(server.local_addr(), address);
        let running = server.spawn().unwrap();
        let mut answer = [0; 16];
        assert_eq!(client.recv_from(&mut answer).unwrap(), (5, address));
        assert_eq!(receive(&asked), client.local_addr().unwrap());
        // A blocking socket would hold the loop up now, and the stop.
        assert!(running.stop().unwrap().is_clean());
        UdpSocket::bind(address).unwrap();
    });
}

/// After so many errors as a turn takes, the socket was read no more until something else came: where mio stands on poll(2), never.
#[test]
fn errors_in_a_row_are_all_told() {
    /// Sends to nobody, again at each error that this brings about, up to a number.
    struct Persistent {
        nobody: SocketAddr,
        left: usize,
        told: Sender<io::ErrorKind>,
    }

    impl Persistent {
        fn send(&mut self, transport: &mut DatagramTransport) {
            // The system may tell of the error before here too.
            while self.left > 0 {
                self.left -= 1;
                match transport.send_to(b"x", self.nobody) {
                    Ok(()) => return,
                    Err(error) => self.told.send(error.kind()).unwrap(),
                }
            }
        }
    }

    impl DatagramProtocol for Persistent {
        fn connection_made(&mut self, transport: &mut DatagramTransport) {
            // A socket without a peer is not told.
            transport.socket().connect(&self.nobody.into()).unwrap();
            self.send(transport);
        }

        fn datagram_received(&mut self, _: &mut DatagramTransport, _: &[u8], _: SocketAddr) {}

        fn error_received(&mut self, transport: &mut DatagramTransport, error: &io::Error) {
            self.told.send(error.kind()).unwrap();
            self.send(transport);
        }
    }

    run(|| {
        let nobody = UdpSocket::bind(own_address()).unwrap().local_addr().unwrap();
        let (told, errors) = channel();
        let server = ReactorUdp::bind(own_address(), Persistent { nobody, left: 100, told }).unwrap();
        let running = server.spawn().unwrap();
        for _ in 0..100 {
            // Windows has the second word for it.
            let kind = receive(&errors);
            assert!(matches!(kind, io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset), "{kind}");
        }
        running.stop().unwrap();
    });
}

/// Nobody sends from port 0, so nobody is to be answered there.
#[cfg(target_os = "linux")]
#[test]
fn a_forged_sender_of_port_0_is_dropped_and_counted() {
    run(|| {
        let (sender, asked) = channel();
        let running = ReactorUdp::bind(own_address(), Echo(sender)).unwrap().spawn().unwrap();
        let SocketAddr::V4(server) = running.local_addr() else { unreachable!() };
        let forger = |port| linux_udp::Forger::new(std::net::SocketAddrV4::new([127, 0, 0, 9].into(), port));
        let Some(from_port_0) = forger(0) else { return };
        for _ in 0..100 {
            from_port_0.send(b"x", server);
        }
        // Which is not so for any other port.
        forger(9).unwrap().send(b"x", server);
        assert_eq!(receive(&asked), SocketAddr::from(([127, 0, 0, 9], 9)));
        let stats = running.handle().stats();
        assert_eq!((stats.accepted, stats.dropped), (1, 100));
        running.stop().unwrap();
    });
}
