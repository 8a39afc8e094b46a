//! What the network does to a datagram server: clients that have gone, floods, forged senders. The numbers are those of the catalogue of
//! faults.
#![cfg(target_os = "linux")]
// /proc tells what the system has dropped, and all of 127/8 is this machine's
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/linux_udp.rs"]
mod linux_udp;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use common::datagrams::{DatagramKind, Spot};
use common::{
    echo, eventually, own_address, receive, run, watchdog, BuilderOf, ComposedKind, Kind, Reach, Served, LONG,
};
use linux_udp::{drops, Forger};
use socketserver::{handler_fn, Datagram, Handled, Handler, ThreadingUdpServer, UdpServer};

fn udp(spot: &Spot) -> SocketAddr {
    match spot {
        Spot::Udp(address) => *address,
        Spot::Unix(..) => panic!("{spot:?}"),
    }
}

/// Lines of the log that speak of something, and when they came.
struct Lines(Mutex<Vec<(Instant, String)>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push((Instant::now(), format!("{} {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}

fn logging() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LINES).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

/// At least one line, and never two within a second.
fn assert_logged_at_most_once_a_second(what: &str) {
    let lines = LINES.0.lock().unwrap();
    let times: Vec<Instant> = lines.iter().filter(|(_, line)| line.contains(what)).map(|(at, _)| *at).collect();
    assert!(!times.is_empty(), "nothing of {what} in the log");
    for pair in times.windows(2) {
        // The line is timed a moment after the throttle let it through.
        assert!(pair[1] - pair[0] > Duration::from_millis(900), "{what}: {:?}", pair[1] - pair[0]);
    }
}

/// U5: an answer to a port that nobody is bound to. On a socket that is not connected the system says nothing of it.
#[test]
fn ten_thousand_clients_that_have_gone_do_not_end_the_server() {
    fn check<K: DatagramKind + ComposedKind>() {
        let (mut server, spot) = K::bind(K::builder(), echo());
        for _ in 0..2_500 {
            // Four that have gone before any is answered.
            (0..4).for_each(|_| spot.client().send(b"who is there?"));
            for _ in 0..4 {
                assert!(matches!(server.handle_request().unwrap(), Handled::Served));
            }
        }
        let served = Served::new((server, spot));
        assert_eq!(served.place.ask(b"still there?"), b"still there?");
        served.expect_accepted(10_001);
        let stats = served.handle.stats();
        assert_eq!((stats.handler_errors, stats.accept_errors, stats.dropped), (0, 0, 0));
        assert!(served.stop().is_clean());
    }
    run(check::<UdpServer>);
    run(check::<ThreadingUdpServer>);
}

/// The same on a Unix socket, where the answer fails.
#[test]
fn unix_clients_that_have_gone_are_errors_of_their_requests_alone() {
    fn check<K: DatagramKind + ComposedKind>() {
        let (handle_error, told) = common::failures();
        let (mut server, spot) = K::bind(K::builder().handle_error(handle_error), echo());
        for _ in 0..200 {
            let client = spot.client();
            client.send(b"who is there?");
            drop(client);
            assert!(matches!(server.handle_request().unwrap(), Handled::Served));
            assert!(receive(&told).contains("refused"));
        }
        let served = Served::new((server, spot));
        assert_eq!(served.place.ask(b"still there?"), b"still there?");
        served.expect_accepted(201);
        assert_eq!(served.handle.stats().handler_errors, 200);
        served.stop();
    }
    run(check::<socketserver::UnixDatagramServer>);
    run(check::<socketserver::ThreadingUnixDatagramServer>);
}

/// U5 on a socket that is connected: there receiving fails, with ECONNREFUSED, once for each answer that found nobody.
#[test]
fn a_refusal_on_a_connected_socket_does_not_end_the_server() {
    let _watchdog = watchdog();
    logging();
    let client_address = UdpSocket::bind(own_address()).unwrap().local_addr().unwrap();
    let socket = UdpSocket::bind(own_address()).unwrap();
    socket.connect(client_address).unwrap();
    let address = socket.local_addr().unwrap();
    let builder = UdpServer::builder().timeout(Duration::ZERO);
    let mut server = builder.from_listener(socket, echo()).unwrap();
    let client = || {
        let client = UdpSocket::bind(client_address).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client.connect(address).unwrap();
        client
    };
    let mut refusals = 0;
    let mut serve_all = |server: &mut UdpServer| loop {
        match server.handle_request().unwrap() {
            Handled::Served => {}
            Handled::AcceptError(error) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                refusals += 1;
            }
            Handled::TimedOut => return,
            other => panic!("{other:?}"),
        }
    };
    for _ in 0..300 {
        client().send(b"who is there?").unwrap();
        serve_all(&mut server);
    }
    assert_eq!(refusals, 300);
    let handle = server.handle();
    assert_eq!((handle.stats().accepted, handle.stats().accept_errors), (300, 300));
    // While it serves for ever, too; a refusal that comes between is the next answer's error at most.
    let served = Served::new((server, Spot::Udp(address)));
    for _ in 0..300 {
        client().send(b"who is there?").unwrap();
    }
    eventually("a client is answered", || {
        let client = client();
        client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        client.send(b"x").is_ok() && client.recv(&mut [0; 10]).is_ok()
    });
    assert!(served.stop().is_clean());
    let lines = LINES.0.lock().unwrap();
    let own = lines.iter().filter(|(_, line)| line.contains(&address.to_string()));
    assert!((1..20).contains(&own.clone().count()), "{:?}", *lines);
    assert!(own.clone().all(|(_, line)| line.contains("lost a request, or an earlier answer, on ")), "{:?}", *lines);
}

/// U5, U6: whatever fails again and again is said once a second.
#[test]
fn a_flood_of_failing_requests_is_not_a_flood_of_lines() {
    let _watchdog = watchdog();
    logging();
    let reason = format!("so it goes in {}", std::process::id());
    let told = reason.clone();
    let served = ThreadingUdpServer::serve(handler_fn(move |_: &mut Datagram| Err(told.clone().into())));
    let client = served.place.client();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2500) {
        for _ in 0..50 {
            client.send(b"x");
        }
        served.idle();
    }
    assert!(served.handle.stats().handler_errors > 100);
    served.stop();
    assert_logged_at_most_once_a_second(&reason);
}

/// A server whose handlers wait until the sender that belongs to it has been dropped.
fn slow<K: DatagramKind>(builder: BuilderOf<K>) -> (Served<Spot>, Sender<()>) {
    let (release, held) = channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let handler = handler_fn(move |_: &mut Datagram| {
        let _ = held.lock().unwrap().recv_timeout(LONG);
        Ok(())
    });
    (K::serve_as(builder, handler), release)
}

/// U9: what a burst of so many came to, with a handler as slow as the burst is long: served, dropped, lost by the system.
fn burst<K: DatagramKind>(builder: BuilderOf<K>, count: u64) -> (u64, u64, u64) {
    let (served, release) = slow::<K>(builder);
    let client = served.place.client();
    (0..count).for_each(|_| client.send(&[b'x'; 64]));
    drop(release);
    let address = udp(&served.place);
    eventually("all are accounted for", || {
        let stats = served.handle.stats();
        stats.active == 0 && stats.accepted + stats.dropped + drops(address) == count
    });
    let lost = drops(address);
    let stats = served.handle.stats();
    served.stop();
    (stats.accepted, stats.dropped, lost)
}

#[test]
fn a_burst_is_served_dropped_and_counted_or_dropped_by_the_system() {
    let _watchdog = watchdog();
    // One at a time: nobody is there to receive, so the system keeps what its buffer holds.
    let (served, dropped, lost) = burst::<UdpServer>(UdpServer::builder(), 2000);
    assert_eq!((served + lost, dropped), (2000, 0));
    assert!(served > 100 && lost > 100, "{served} served, {lost} lost");
    // Threads: the server receives all the time, and keeps what its queue holds.
    let builder = ThreadingUdpServer::builder().max_connections(4).queue(100);
    let (served, dropped, lost) = burst::<ThreadingUdpServer>(builder, 2000);
    assert_eq!(served + dropped + lost, 2000);
    // How many of the others come so far is the scheduler's to say.
    assert!(served >= 104, "{served} served, {dropped} dropped, {lost} lost");
    // The default queue is larger than what the system keeps by itself.
    let (served, _, lost) = burst::<ThreadingUdpServer>(ThreadingUdpServer::builder().max_connections(4), 1000);
    assert_eq!(served + lost, 1000);
}

/// The larger the system's buffer, the more of a burst is kept.
#[test]
fn a_larger_receive_buffer_keeps_more_of_a_burst() {
    let _watchdog = watchdog();
    let (small, _, _) = burst::<UdpServer>(UdpServer::builder().recv_buffer_size(4096), 500);
    let (large, _, _) = burst::<UdpServer>(UdpServer::builder().recv_buffer_size(100 * 1024), 500);
    assert!(small < 100 && large > 2 * small, "{small} and {large}");
}

/// Answers questions alone.
fn careful() -> impl Handler<Datagram> + Clone {
    handler_fn(|request: &mut Datagram| match request.data().strip_prefix(b"ask ") {
        Some(question) => Ok(request.reply(&[b"answer ", question].concat())?),
        None => Ok(()),
    })
}

/// U10: a datagram that seems to come from another server is answered to that one, which is silent about the answer.
#[test]
fn two_servers_made_to_face_each_other_fall_silent() {
    let _watchdog = watchdog();
    let socket = UdpSocket::bind(own_address()).unwrap();
    let forger = socket.try_clone().unwrap();
    let second =
        Served::new((UdpServer::from_socket(socket, careful()).unwrap(), Spot::Udp(forger.local_addr().unwrap())));
    let first = UdpServer::serve(careful());
    for question in ["ask this", "nonsense", "", "answer that"] {
        forger.send_to(question.as_bytes(), udp(&first.place)).unwrap();
    }
    first.expect_accepted(4);
    eventually("the one answer has come", || second.handle.stats().accepted == 1);
    std::thread::sleep(Duration::from_secs(1));
    first.expect_accepted(4);
    second.expect_accepted(1);
    first.stop();
    second.stop();
}

/// U10: nobody sends from port 0, so nobody is to be answered there.
#[test]
fn a_forged_sender_of_port_0_is_dropped_and_counted() {
    fn check<K: DatagramKind>() {
        let (sender, peers) = channel();
        let served = K::serve(handler_fn(move |request: &mut Datagram| {
            Ok(sender.send(request.peer_addr().as_socket_addr().unwrap())?)
        }));
        let SocketAddr::V4(server) = udp(&served.place) else { unreachable!() };
        let forger = |port| Forger::new(SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 9), port));
        let Some(from_port_0) = forger(0) else { return };
        for count in 1..=100 {
            from_port_0.send(b"x", server);
            eventually("it is dropped", || served.handle.stats().dropped == count);
        }
        // Which is not so for any other port.
        forger(9).unwrap().send(b"x", server);
        assert_eq!(receive(&peers), SocketAddr::from(([127, 0, 0, 9], 9)));
        served.expect_accepted(1);
        assert_eq!(served.handle.stats().dropped, 100);
        served.stop();
    }
    run(check::<UdpServer>);
    run(check::<ThreadingUdpServer>);
}

/// To say nothing, or a word that waits for nothing, takes neither a thread nor a hold on the socket that outlives the server.
#[test]
fn turning_datagrams_away_takes_no_threads() {
    fn check<K: DatagramKind>() {
        let served = K::serve_as(K::builder().verify_request(|_| false), echo());
        let client = served.place.client();
        (0..100).for_each(|_| client.send(b"x"));
        eventually("all are turned away", || served.handle.stats().rejected == 100);
        assert_eq!(common::threads_named("ss-leave"), 0);
        let spot = served.place.clone();
        served.stop();
        assert!(spot.is_closed());
    }
    run(check::<UdpServer>);
    run(check::<ThreadingUdpServer>);
}

/// The soak of the catalogue (L8), for a moment: four senders, and what was sent is served or counted.
#[test]
fn four_senders_and_every_datagram_accounted_for() {
    fn check<K: DatagramKind>() {
        const EACH: u64 = 5_000;
        let served = K::serve(echo());
        let address = udp(&served.place);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let client = served.place.client();
                    (0..EACH).for_each(|_| client.send(&[7; 64]));
                });
            }
        });
        eventually("all are accounted for", || {
            let stats = served.handle.stats();
            stats.active == 0 && stats.accepted + stats.dropped + drops(address) == 4 * EACH
        });
        assert_eq!(served.handle.stats().handler_errors, 0);
        assert_eq!(served.place.ask(b"x"), b"x");
        served.stop();
    }
    run(check::<UdpServer>);
    run(check::<ThreadingUdpServer>);
}
