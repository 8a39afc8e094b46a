//! What the blocking servers promise of limits, hooks, settings and counters, asked of the event-driven ones.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use common::reactor::{lost, serving, until_lost, Echo, Probe, ReactorKind, ReactorTcp, ReactorTcpWorkers, Told};
use common::{eventually, expect_interval, failures, meet, own_address, read_byte, receive, run, Place, Reach};
use socket2::Socket;
use socketserver::{Error, Overload, Protocol, ReactorTcpServer, Stage, Transport};

every_reactor! {
    echoes_to_three_clients_in_turn
    a_thousand_clients_at_once
    a_request_that_is_not_verified_is_closed
    a_panic_in_verify_request_counts_as_a_no
    a_panic_in_handle_error_harms_nobody
    a_failure_says_the_stage_and_the_peer
    service_actions_run_at_their_interval
    a_panic_in_service_actions_harms_nobody
    service_actions_can_shut_the_server_down
    settings_that_make_no_sense_are_errors_that_say_so
    an_address_that_is_taken_is_an_error_that_says_so
}

fn echoes_to_three_clients_in_turn<K: ReactorKind>() {
    let (server, place) = K::bind(K::builder(), Echo);
    let address = server.local_addr().into();
    let served = serving((server, place.clone()));
    assert_eq!(served.handle.local_addr(), address);
    for text in [&b"hello\n"[..], b"", b"a longer text\nof two lines\n"] {
        assert_eq!(served.exchange(text), text);
    }
    let handle = served.handle.clone();
    assert!(served.stop().is_clean());
    let stats = handle.stats();
    assert_eq!((stats.accepted, stats.active, stats.rejected, stats.handler_errors), (3, 0, 0, 0));
    assert!(place.is_closed());
}

fn a_thousand_clients_at_once<K: ReactorKind>() {
    let served = K::serve(Echo);
    let mut clients: Vec<Socket> = (0..1000).map(|_| served.connect()).collect();
    for _ in 0..2 {
        for client in &mut clients {
            client.write_all(b"ping").unwrap();
        }
        for client in &mut clients {
            let mut answer = [0; 4];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"ping");
        }
    }
    assert_eq!(served.handle.stats().active, 1000);
    drop(clients);
    served.idle();
    served.stop();
}

fn a_request_that_is_not_verified_is_closed<K: ReactorKind>() {
    let (sender, peers) = channel();
    let (probe, told) = Probe::new(|_, _| {});
    let builder = K::builder().verify_request(move |peer| {
        sender.send(peer.clone()).unwrap();
        false
    });
    let served = serving(K::bind(builder, probe));
    for _ in 0..3 {
        let mut client = served.connect();
        let local = client.local_addr().unwrap().as_socket();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_byte(&mut client), None);
        assert_eq!(receive(&peers).as_socket_addr(), local);
    }
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.rejected, stats.handler_errors), (3, 3, 0));
    served.stop();
    assert_eq!(told.try_iter().count(), 0, "it had no protocol");
}

fn a_panic_in_verify_request_counts_as_a_no<K: ReactorKind>() {
    let (handle_error, told) = failures();
    let first = AtomicUsize::new(0);
    let builder = K::builder().handle_error(handle_error).verify_request(move |_| {
        assert!(first.fetch_add(1, Ordering::SeqCst) > 0, "cannot say");
        true
    });
    let served = serving(K::bind(builder, Echo));
    assert_eq!(served.exchange(b"x"), b"");
    let failure = receive(&told);
    assert!(failure.starts_with("verify_request of ") && failure.ends_with("panicked: cannot say"), "{failure}");
    assert_eq!(served.exchange(b"x"), b"x");
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.accepted, stats.rejected, stats.panics), (2, 1, 1));
    served.stop();
}

fn a_panic_in_handle_error_harms_nobody<K: ReactorKind>() {
    let builder = K::builder().handle_error(|failure| panic!("what is one to do about {failure}"));
    let (probe, told) = Probe::new(|told, transport| match told {
        Told::Data(data) if data == b"f" => transport.fail("an error"),
        Told::Data(_) => panic!("a panic"),
        _ => {}
    });
    let served = serving(K::bind(builder, probe));
    for request in [b"f", b"p", b"f"] {
        assert_eq!(served.exchange(request), b"");
        assert!(lost(&told).is_some());
    }
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.handler_errors, stats.panics), (2, 1 + 3));
    assert!(served.stop().is_clean());
}

fn a_failure_says_the_stage_and_the_peer<K: ReactorKind>() {
    let (sender, told) = channel();
    let sender = Mutex::new(sender);
    let builder = K::builder().handle_error(move |failure| {
        let seen = (failure.stage(), failure.peer().cloned(), failure.is_disconnect());
        sender.lock().unwrap().send(seen).unwrap();
    });
    let (probe, _told) = Probe::new(|told, transport| match told {
        Told::Data(data) if data == b"f" => transport.fail("an error"),
        Told::Data(_) => transport.fail(io::Error::from(io::ErrorKind::ConnectionReset)),
        Told::Eof => panic!("a panic"),
        _ => {}
    });
    let served = serving(K::bind(builder, probe));
    for (request, stage, disconnect) in
        [(&b"f"[..], Stage::Transport, false), (b"r", Stage::Transport, true), (b"", Stage::EofReceived, false)]
    {
        let mut client = served.connect();
        client.write_all(request).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (seen, peer, is_disconnect) = receive(&told);
        assert_eq!((seen, is_disconnect), (stage, disconnect));
        assert_eq!(peer.unwrap().as_socket_addr(), client.local_addr().unwrap().as_socket());
    }
    served.stop();
}

fn service_actions_run_at_their_interval<K: ReactorKind>() {
    const INTERVAL: Duration = Duration::from_millis(20);
    let (sender, ran) = channel();
    let builder = K::builder().service_actions(INTERVAL, move |_| sender.send(Instant::now()).unwrap());
    let started = Instant::now();
    let served = serving(K::bind(builder, Echo));
    expect_interval(&ran, started, INTERVAL);
    assert_eq!(served.exchange(b"x"), b"x");
    receive(&ran);
    served.stop();
    ran.try_iter().count();
    assert!(ran.recv().is_err(), "the hook is dropped with the server");
}

fn a_panic_in_service_actions_harms_nobody<K: ReactorKind>() {
    let (handle_error, told) = failures();
    let builder =
        K::builder().handle_error(handle_error).service_actions(Duration::from_millis(1), |_| panic!("no action"));
    let served = serving(K::bind(builder, Echo));
    for _ in 0..3 {
        assert_eq!(receive(&told), "service_actions panicked: no action");
        assert_eq!(served.exchange(b"x"), b"x");
    }
    served.stop();
}

fn service_actions_can_shut_the_server_down<K: ReactorKind>() {
    let builder = K::builder().service_actions(Duration::from_millis(1), |server| server.shutdown());
    let served = serving(K::bind(builder, Echo));
    let place = served.place.clone();
    assert!(served.join().unwrap().is_clean());
    assert!(place.is_closed());
}

fn settings_that_make_no_sense_are_errors_that_say_so<K: ReactorKind>() {
    let builder = K::builder;
    let refused = [
        (builder().workers(0), "workers"),
        (builder().workers(1025), "workers"),
        (builder().workers(usize::MAX), "workers"),
        (builder().write_buffer_limits(10, 11), "write_buffer_limits"),
        (builder().write_buffer_limits(2 << 20, 0), "write_buffer_hard_limit"),
        (builder().write_buffer_hard_limit(1000), "write_buffer_hard_limit"),
        (builder().write_buffer_limits(0, 0).write_buffer_hard_limit(0), "write_buffer_hard_limit"),
        (builder().read_timeout(Duration::ZERO), "read_timeout"),
        (builder().write_timeout(Duration::ZERO), "write_timeout"),
        (builder().request_deadline(Duration::ZERO), "request_deadline"),
        (builder().max_connections(0), "max_connections"),
        (builder().max_per_address(0), "max_per_address"),
        (builder().overload(Overload::Reject(&[b'x'; 5000])), "overload"),
        (builder().service_actions(Duration::ZERO, |_| {}), "service_actions interval"),
    ];
    for (builder, name) in refused {
        let error = K::try_bind(builder, Echo).unwrap_err();
        assert!(matches!(&error, Error::InvalidSetting { setting, .. } if *setting == name), "{name}: {error}");
        assert!(error.to_string().starts_with(&format!("{name} cannot be ")), "{error}");
    }
    // And those that are strange but make sense.
    let strange = builder().write_buffer_limits(0, 0).read_timeout(None).write_timeout(None).request_deadline(None);
    let served = serving(K::bind(strange.read_timeout(Duration::MAX).drain_timeout(Duration::MAX), Echo));
    assert_eq!(served.exchange(b"x"), b"x");
    served.stop();
}

fn an_address_that_is_taken_is_an_error_that_says_so<K: ReactorKind>() {
    let (_server, place) = K::bind(K::builder(), Echo);
    let error = match &place {
        Place::Tcp(address) => ReactorTcpServer::bind(*address, Echo).unwrap_err(),
        #[cfg(unix)]
        Place::Unix(path, _) => socketserver::ReactorUnixServer::bind(path, Echo).unwrap_err(),
    };
    assert!(matches!(&error, Error::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse), "{error}");
}

#[test]
fn connections_are_spread_evenly_over_the_loops() {
    run(|| {
        let (sender, threads) = channel();
        let (probe, _told) = Probe::new(move |told, transport| {
            if *told == Told::Made {
                sender.send(std::thread::current().id()).unwrap();
                transport.write(b"+");
            }
        });
        let served = serving(ReactorTcpWorkers::bind(ReactorTcpWorkers::builder(), probe));
        let mut clients: Vec<(ThreadId, Socket)> = Vec::new();
        let join = |clients: &mut Vec<(ThreadId, Socket)>| {
            let mut client = served.connect();
            assert_eq!(read_byte(&mut client), Some(b'+'));
            clients.push((receive(&threads), client));
        };
        let counts = |clients: &Vec<(ThreadId, Socket)>| {
            let mut counts: HashMap<ThreadId, usize> = HashMap::new();
            for (thread, _) in clients {
                *counts.entry(*thread).or_default() += 1;
            }
            counts
        };
        for _ in 0..30 {
            join(&mut clients);
        }
        let spread = counts(&clients);
        assert!(spread.len() == 3 && spread.values().all(|count| *count == 10), "{spread:?}");
        // One loop's connections go, and the newcomers take their places.
        let emptied = clients[0].0;
        clients.retain(|(thread, _)| *thread != emptied);
        eventually("they have gone", || served.handle.stats().active == 20);
        for _ in 0..10 {
            join(&mut clients);
        }
        assert_eq!(counts(&clients)[&emptied], 10);
        drop(clients);
        served.stop();
    });
}

#[test]
fn a_listener_of_stds_is_served() {
    run(|| {
        let listener = std::net::TcpListener::bind(own_address()).unwrap();
        let server = ReactorTcpServer::from_listener(listener, Echo).unwrap();
        let place = Place::Tcp(server.local_addr());
        let served = serving((server, place));
        assert_eq!(served.exchange(b"x"), b"x");
        served.stop();
        #[cfg(unix)]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let server = socketserver::ReactorUnixServer::from_listener(listener, Echo).unwrap();
            let served = serving((server, Place::Unix(path.clone(), Arc::new(folder))));
            assert_eq!(served.exchange(b"x"), b"x");
            served.stop();
            let error = ReactorTcpServer::builder().workers(0).bind("127.0.0.1:0", Echo).unwrap_err();
            assert!(matches!(error, Error::InvalidSetting { .. }));
        }
    });
}

/// Small writes go out at once.
#[test]
fn nodelay_is_on() {
    #[derive(Clone)]
    struct Nodelay;

    impl Protocol for Nodelay {
        fn connection_made(&mut self, transport: &mut Transport) {
            transport.set_nodelay(true).unwrap();
        }

        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            // In two pieces, which with Nagle's algorithm would take a delayed acknowledgment.
            transport.write(&data[..1]);
            transport.write(&data[1..]);
        }
    }

    run(|| {
        for served in [ReactorTcp::serve(Nodelay), ReactorTcp::serve(Echo)] {
            let mut client = served.connect();
            let started = Instant::now();
            for _ in 0..100 {
                client.write_all(b"ab").unwrap();
                client.read_exact(&mut [0; 2]).unwrap();
            }
            // A hundred delayed acknowledgments take four seconds.
            assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
            drop(client);
            served.stop();
        }
    });
}

/// `until_lost` is how most of these tests end; here it ends a connection of every kind at a stop.
#[test]
fn the_callbacks_of_a_stop_come_in_order() {
    run(|| {
        let (served, told) = ReactorTcp::probe(|_, _| {});
        let _client = served.connect();
        assert_eq!(receive(&told), Told::Made);
        served.handle.shutdown();
        assert_eq!(until_lost(&told), [Told::ShuttingDown, Told::Lost(None)]);
        served.join().unwrap();
    });
}

/// Both wait to be accepted, so the first is served before the second has been handed over, unless care is taken.
#[test]
fn a_callback_that_holds_its_loop_up_keeps_nobody_from_another() {
    #[derive(Clone)]
    struct Meets(Arc<AtomicUsize>);

    impl Protocol for Meets {
        fn connection_made(&mut self, transport: &mut Transport) {
            meet(&self.0, 2);
            transport.write(b"+");
            transport.close();
        }

        fn data_received(&mut self, _: &mut Transport, _: &[u8]) {}
    }

    run(|| {
        let builder = ReactorTcpServer::builder().workers(2);
        let server = builder.bind("127.0.0.1:0", Meets(Arc::new(AtomicUsize::new(0)))).unwrap();
        let address = server.local_addr();
        let mut clients = [0, 1].map(|_| std::net::TcpStream::connect(address).unwrap());
        let serving = server.spawn().unwrap();
        for client in &mut clients {
            assert_eq!(client.read(&mut [0; 2]).unwrap(), 1);
        }
        serving.stop().unwrap();
    });
}
