//! No descriptor is leaked. Counted in this process, so one test at a time.
#![cfg(target_os = "linux")]
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::{
    echo, eventually, failures, own_address, read_byte, receive, watchdog, Caller, Kind, Place, Reach, Serves,
};
use socketserver::{
    handler_fn, tcp, Connection, Overload, TcpServer, ThreadingTcpServer, ThreadingUdpServer,
    ThreadingUnixDatagramServer, ThreadingUnixStreamServer, UdpClient, UdpServer, UnixDatagramServer, UnixStreamServer,
};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Threads that have ended for everybody else may still be closing.
fn back_to(before: usize) {
    eventually(&format!("back to {before} descriptors, from {}", open()), || open() <= before);
}

fn balanced(test: impl FnOnce()) {
    let _watchdog = watchdog();
    let _alone = alone();
    let before = open();
    test();
    back_to(before);
}

/// Python: `test_tcpserver_bind_leak` (bpo-22435).
#[test]
fn a_bind_that_fails_leaks_nothing() {
    balanced(|| {
        let taken = std::net::TcpListener::bind(own_address()).unwrap();
        let address = taken.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        std::fs::write(&path, "").unwrap();
        let before = open();
        for _ in 0..1024 {
            ThreadingTcpServer::bind(address, echo()).unwrap_err();
            UnixStreamServer::bind(&path, echo()).unwrap_err();
        }
        assert_eq!(open(), before);
    });
}

fn every_state<K: Kind>() {
    balanced(|| {
        // Never started; stopped and never started; served and stopped; dropped while it runs.
        drop(K::bind(K::builder(), echo()));
        let (server, _place) = K::bind(K::builder(), echo());
        server.handle().shutdown();
        drop(server);
        let served = K::serve(echo());
        for _ in 0..3 {
            assert_eq!(served.place.ask(b"x"), b"x");
        }
        let handle = served.handle.clone();
        served.stop();
        let (server, place) = K::bind(K::builder(), echo());
        let running = server.spawn().unwrap();
        assert_eq!(place.ask(b"x"), b"x");
        drop(running);
        // A handle that is kept keeps nothing open.
        let before = open();
        drop(handle);
        assert!(open() <= before);
    });
}

#[test]
fn no_state_of_a_server_leaks() {
    every_state::<TcpServer>();
    every_state::<ThreadingTcpServer>();
    every_state::<UdpServer>();
    every_state::<ThreadingUdpServer>();
    every_state::<UnixStreamServer>();
    every_state::<ThreadingUnixStreamServer>();
    every_state::<UnixDatagramServer>();
    every_state::<ThreadingUnixDatagramServer>();
}

#[test]
fn a_kept_handle_keeps_no_descriptor() {
    let mut kept = Vec::new();
    balanced(|| {
        for _ in 0..10 {
            let served = ThreadingTcpServer::serve(echo());
            assert_eq!(served.exchange(b"x"), b"x");
            kept.push(served.handle.clone());
            served.stop();
        }
    });
    assert_eq!(kept.len(), 10);
}

#[test]
fn a_kept_writer_keeps_no_descriptor() {
    let (sender, writers) = std::sync::mpsc::channel();
    let mut kept = Vec::new();
    balanced(|| {
        let served =
            ThreadingTcpServer::serve(handler_fn(move |request: &mut Connection| Ok(sender.send(request.writer())?)));
        for _ in 0..10 {
            assert_eq!(served.exchange(b""), b"");
            kept.push(receive(&writers));
        }
        served.stop();
    });
    assert!(kept.iter().all(socketserver::ConnectionWriter::is_closed));
}

#[test]
fn errors_panics_and_rejections_leak_nothing() {
    fn check<K: Kind>() {
        balanced(|| {
            let (handle_error, told) = failures();
            let builder = K::builder().verify_request(|_| panic!("cannot say")).handle_error(handle_error);
            let served = K::serve_as(builder, echo());
            for _ in 0..5 {
                let mut client = served.place.call(b"x");
                receive(&told);
                served.idle();
                client.hears_nothing();
            }
            served.stop();
            let (handle_error, told) = failures();
            let handler = handler_fn(|_: &mut K::Request| panic!("so it goes"));
            let served = K::serve_as(K::builder().handle_error(handle_error), handler);
            for _ in 0..5 {
                let mut client = served.place.call(b"x");
                receive(&told);
                served.idle();
                client.hears_nothing();
            }
            served.stop();
        });
    }
    check::<TcpServer>();
    check::<ThreadingTcpServer>();
    check::<UdpServer>();
    check::<ThreadingUdpServer>();
    check::<ThreadingUnixStreamServer>();
    check::<ThreadingUnixDatagramServer>();
    balanced(|| {
        let handler = handler_fn(|request: &mut Connection| {
            request.write_all(b"+")?;
            std::io::copy(request, &mut std::io::sink())?;
            Ok(())
        });
        let builder = ThreadingTcpServer::builder().max_connections(1).overload(Overload::Reject(b"-"));
        let served = ThreadingTcpServer::serve_as(builder, handler);
        let mut first = served.connect();
        assert_eq!(read_byte(&mut first), Some(b'+'));
        for _ in 0..100 {
            assert_eq!(served.exchange(b""), b"-");
        }
        drop(first);
        served.stop();
    });
}

#[test]
fn a_cut_request_leaks_nothing() {
    balanced(|| {
        let handler = handler_fn(|request: &mut Connection| {
            request.write_all(b"+")?;
            std::io::copy(request, &mut std::io::sink())?;
            Ok(())
        });
        let builder = ThreadingTcpServer::builder().drain_timeout(Duration::ZERO);
        let served = ThreadingTcpServer::serve_as(builder, handler);
        let mut clients: Vec<_> = (0..10).map(|_| served.connect()).collect();
        for client in &mut clients {
            assert_eq!(read_byte(client), Some(b'+'));
        }
        assert_eq!(served.stop().abandoned, 10);
    });
}

#[test]
fn clients_leak_nothing() {
    balanced(|| {
        let served = ThreadingTcpServer::serve(echo());
        let Place::Tcp(address) = served.place else { panic!() };
        // Port 1 of an address that nobody else uses.
        let refusing = SocketAddr::from((own_address().ip(), 1));
        for _ in 0..20 {
            tcp::connect(address, Duration::from_secs(60)).unwrap();
            tcp::connect([refusing, address], Duration::from_secs(60)).unwrap();
            tcp::connect(refusing, Duration::from_secs(60)).unwrap_err();
        }
        served.stop();
    });
}

/// Every request that is not answered costs a socket, of which only the last is kept.
#[test]
fn udp_requests_leak_nothing() {
    let _watchdog = watchdog();
    let _alone = alone();
    // What the process keeps for its random numbers.
    drop(UdpClient::connect("127.0.0.1:9").unwrap());
    let before = open();
    let peer = std::net::UdpSocket::bind(own_address()).unwrap();
    let mut client = UdpClient::builder()
        .timeout(Duration::from_millis(1))
        .retries(1)
        .first_retry(Duration::from_micros(200))
        .connect(peer.local_addr().unwrap())
        .unwrap();
    let with_both = open();
    for _ in 0..1_000 {
        client.request_identified(b"?").unwrap_err();
        assert_eq!(open(), with_both);
    }
    assert_eq!(client.stats().renewed, 999);
    drop((client, peer));
    // Nor does a client that cannot be made.
    for _ in 0..100 {
        UdpClient::builder().source_address(([192, 0, 2, 1], 0).into()).connect("127.0.0.1:9").unwrap_err();
        UdpClient::connect("127.0.0.1:0").unwrap_err();
    }
    back_to(before);
}
