//! What a review of the event loop and its first user found, a test each.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};

use common::reactor::{lost, ReactorKind, Told};
use common::{eventually, own_address, read_all, read_byte, receive, run, watchdog};
use socketserver::framing::LineDecoder;
use socketserver::reactor::{DatagramProtocol, DatagramTransport, Framed, MessageProtocol, Reactor, ReactorUdp};
use socketserver::{Error, ReactorTcpServer, Transport};

every_reactor! {
    what_a_handle_has_sent_goes_out_before_a_close
    what_a_broadcast_has_sent_goes_out_before_a_close
    an_error_that_panics_in_its_drop_ends_that_connection_alone
    a_filter_that_panics_in_its_drop_ends_nothing
}

/// Also at the end of the stream, where the default closes.
fn what_a_handle_has_sent_goes_out_before_a_close<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if let Told::Data(data) = told {
            transport.handle().write(b"1").unwrap();
            if data == b"close" {
                transport.close();
                // What comes after the close is refused rather than lost.
                assert!(transport.handle().write(b"2").is_err());
            }
        }
    });
    for request in [&b"close"[..], b"end"] {
        let mut client = served.connect();
        client.write_all(request).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut client), b"1", "{request:?}");
        drop(client);
        assert_eq!(lost(&told), None);
    }
    served.stop();
}

fn what_a_broadcast_has_sent_goes_out_before_a_close<K: ReactorKind>() {
    let (served, _told) = K::probe(|told, transport| {
        if told.is_data() {
            transport.broadcaster().broadcast(b"all").unwrap();
            transport.close();
        }
    });
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(read_all(&mut client), b"all");
    drop(client);
    served.stop();
}

#[derive(Debug)]
struct Bomb;

impl std::fmt::Display for Bomb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a bomb")
    }
}

impl std::error::Error for Bomb {}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in the drop of an error");
    }
}

fn an_error_that_panics_in_its_drop_ends_that_connection_alone<K: ReactorKind>() {
    let (served, _told) = K::probe(|told, transport| match told {
        Told::Data(data) if data == b"bomb" => transport.fail(Bomb),
        Told::Data(data) => drop(transport.write(data)),
        _ => {}
    });
    let mut other = served.connect();
    let mut client = served.connect();
    client.write_all(b"bomb").unwrap();
    assert_eq!(read_byte(&mut client), None);
    other.write_all(b"x").unwrap();
    assert_eq!(read_byte(&mut other), Some(b'x'));
    drop((client, other));
    served.idle();
    served.stop();
}

fn a_filter_that_panics_in_its_drop_ends_nothing<K: ReactorKind>() {
    let (served, _told) = K::probe(|told, transport| {
        if told.is_data() {
            let bomb = Bomb;
            let filter = move |_: &Transport| !bomb.to_string().is_empty();
            transport.broadcaster().broadcast_to(b"+", filter).unwrap();
        }
    });
    let mut client = served.connect();
    for _ in 0..3 {
        client.write_all(b"x").unwrap();
        assert_eq!(read_byte(&mut client), Some(b'+'));
    }
    drop(client);
    served.stop();
}

/// Answers each line. Holds the loop up at `hold`, and at `ping` tells how many lines have been answered since.
#[derive(Clone)]
struct Lines {
    answered: Arc<AtomicUsize>,
    holds: Sender<()>,
    go_on: Arc<Mutex<Receiver<()>>>,
    pings: Sender<usize>,
}

impl MessageProtocol for Lines {
    fn message_received(&mut self, transport: &mut Transport, line: &[u8]) {
        match line {
            b"hold" => {
                self.holds.send(()).unwrap();
                receive(&self.go_on.lock().unwrap());
                self.answered.store(0, Ordering::SeqCst);
            }
            b"ping" => self.pings.send(self.answered.load(Ordering::SeqCst)).unwrap(),
            _ => {
                self.answered.fetch_add(1, Ordering::SeqCst);
                transport.write(line);
                transport.write(b"\n");
            }
        }
    }
}

/// However many messages a read brings, others wait for a share of them only.
#[test]
fn a_flood_of_short_messages_leaves_others_their_turns() {
    let _watchdog = watchdog();
    let ((holds, held), (release, go_on), (pings, pinged)) = (channel(), channel(), channel());
    let lines = Lines { answered: Arc::default(), holds, go_on: Arc::new(Mutex::new(go_on)), pings };
    let served = common::reactor::ReactorTcp::serve(Framed::new(LineDecoder::new(), lines));
    let (mut holder, mut hog, mut other) = (served.connect(), served.connect(), served.connect());
    holder.write_all(b"hold\n").unwrap();
    receive(&held);
    // All of it is there when the loop goes on, the flood first.
    hog.write_all(&[b'\n'; 60_000]).unwrap();
    other.write_all(b"ping\n").unwrap();
    release.send(()).unwrap();
    let before = receive(&pinged);
    assert!(before <= 4096, "{before} messages were delivered before another connection had its turn");
    let mut answers = vec![0; 60_000];
    std::io::Read::read_exact(&mut hog, &mut answers).unwrap();
    assert!(answers.iter().all(|byte| *byte == b'\n'));
    drop((holder, hog, other));
    served.stop();
}

/// A read stops before urgent data, so that a short one is not the last.
#[test]
#[cfg(target_os = "linux")]
fn what_comes_after_urgent_data_is_delivered() {
    let _watchdog = watchdog();
    for _ in 0..20 {
        let (begun, go_on) = (channel(), channel());
        let (begun_sender, go_on) = (Mutex::new(begun.0), (go_on.0, Mutex::new(go_on.1)));
        let (hold, held) = go_on;
        let (served, _told) = common::reactor::ReactorTcp::probe(move |told, transport| {
            if let Told::Data(data) = told {
                if data == b"hold" {
                    // The loop is held up until all of it is there.
                    begun_sender.lock().unwrap().send(()).unwrap();
                    receive(&held.lock().unwrap());
                } else {
                    transport.write(data);
                }
            }
        });
        let (mut holder, mut client) = (served.connect(), served.connect());
        client.write_all(b"1").unwrap();
        assert_eq!(read_byte(&mut client), Some(b'1'));
        holder.write_all(b"hold").unwrap();
        receive(&begun.1);
        client.write_all(b"aaa").unwrap();
        client.send_out_of_band(b"U").unwrap();
        client.write_all(b"bbb").unwrap();
        hold.send(()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&mut client), b"aaabbb");
        drop((client, holder));
        served.stop();
    }
}

struct Counts(Arc<AtomicUsize>);

impl DatagramProtocol for Counts {
    fn connection_made(&mut self, _: &mut DatagramTransport) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn datagram_received(&mut self, _: &mut DatagramTransport, _: &[u8], _: SocketAddr) {}

    fn connection_lost(&mut self, _: &mut DatagramTransport, _: Option<&std::io::Error>) {
        self.0.fetch_add(100, Ordering::SeqCst);
    }
}

#[test]
fn a_udp_server_that_never_served_calls_nothing() {
    run(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        drop(ReactorUdp::bind(own_address(), Counts(Arc::clone(&calls))).unwrap());
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        let running = ReactorUdp::bind(own_address(), Counts(Arc::clone(&calls))).unwrap().spawn().unwrap();
        eventually("it is served", || calls.load(Ordering::SeqCst) == 1);
        running.stop().unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 101);
    });
}

#[test]
fn a_server_that_has_served_cannot_be_served_again_by_a_reactor() {
    run(|| {
        let mut server = ReactorTcpServer::bind(own_address(), common::reactor::Echo).unwrap();
        server.handle().shutdown();
        server.serve_forever().unwrap();
        let mut reactor = Reactor::new();
        assert!(!reactor.handle().is_shutting_down(), "there is nothing that could be");
        reactor.add(server);
        assert!(matches!(reactor.serve_forever(), Err(Error::Closed { .. })));
    });
}
