//! What a stop does to handlers on coroutines, and a drop, whatever they are doing.
#![cfg(feature = "coroutine")]
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::coroutines::{ask, builder, connect, lines, serve, serve_as};
use common::{eventually, receive, run, LONG};
use socketserver::coroutine::{sleep, unblock};
use socketserver::{handler_fn, tcp, Connection, HandlerResult, ServerHandle, UdpClient};

/// What a handler waits in when a stop comes, and how it hears of it.
fn stopped_while(what: impl Fn(&mut Connection) -> HandlerResult + Clone + Send + 'static) -> (String, ServerHandle) {
    let (sender, outcome) = channel();
    let (began, begun) = channel();
    let handler = handler_fn(move |request: &mut Connection| {
        began.send(())?;
        let result = what(request);
        sender.send(match &result {
            Ok(()) => "well".to_owned(),
            Err(error) => error.to_string(),
        })?;
        result
    });
    let serving = serve_as(builder().handle_error(|_| ()).drain_timeout(Duration::from_millis(50)), handler);
    let handle = serving.handle();
    let _client = connect(&serving);
    receive(&begun);
    let before = Instant::now();
    let report = serving.stop().unwrap();
    assert!(before.elapsed() < Duration::from_secs(10));
    assert_eq!((report.drained, report.abandoned, report.still_running), (0, 1, 0));
    (receive(&outcome), handle)
}

#[test]
fn a_stop_cuts_whatever_a_handler_waits_in() {
    run(|| {
        // Who never answer.
        let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mute_address = mute.local_addr().unwrap();
        let cut = |what: Box<dyn Fn(&mut Connection) -> HandlerResult + Send + Sync>| {
            let what = Arc::new(what);
            let (error, _) = stopped_while(move |request| what(request));
            assert!(error.contains("cut off: the server is shutting down"), "{error}");
        };
        cut(Box::new(|request| Ok(request.read_line(&mut String::new()).map(drop)?)));
        cut(Box::new(|request| Ok(request.write_all(&vec![0; 64 << 20])?)));
        cut(Box::new(|_| Ok(sleep(LONG)?)));
        cut(Box::new(|_| {
            let (_release, held) = channel::<()>();
            let held = Arc::new(Mutex::new(held));
            let waits = unblock(move || held.lock().unwrap().recv_timeout(Duration::from_secs(1)).is_ok());
            Ok(waits.map(drop)?)
        }));
        #[cfg(target_os = "linux")]
        let silent = common::Silent::new();
        #[cfg(target_os = "linux")]
        cut(Box::new(move |_| Ok(tcp::connect(silent.address, LONG).map(drop)?)));
        cut(Box::new(move |_| Ok(UdpClient::connect(mute_address)?.request(b"?").map(drop)?)));
        let behind = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = behind.local_addr().unwrap();
        cut(Box::new(move |_| Ok(tcp::connect(address, LONG)?.read(&mut [0]).map(drop)?)));
    });
}

/// One that does not listen is unwound, and what is on its stack is dropped.
#[test]
fn a_handler_that_ignores_the_cut_is_unwound() {
    struct Witness(Sender<&'static str>);

    impl Drop for Witness {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    run(|| {
        let (sender, seen) = channel();
        let (began, begun) = channel();
        let handler = handler_fn(move |_: &mut Connection| {
            let _witness = Witness(sender.clone());
            began.send(())?;
            loop {
                let _ = sleep(Duration::from_millis(10));
            }
        });
        let serving = serve_as(builder().handle_error(|_| ()).drain_timeout(Duration::ZERO), handler);
        let handle = serving.handle();
        let _client = connect(&serving);
        receive(&begun);
        let report = serving.stop().unwrap();
        assert_eq!((report.abandoned, report.still_running), (1, 0));
        assert_eq!(receive(&seen), "dropped");
        assert_eq!(handle.stats().panics, 1);
    });
}

#[test]
fn one_that_computes_on_is_still_running() {
    run(|| {
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (began, begun) = channel();
        let handler = handler_fn(move |_: &mut Connection| {
            began.send(())?;
            let _ = held.lock().unwrap().recv_timeout(LONG);
            Ok(())
        });
        let serving = serve_as(builder().drain_timeout(Duration::from_millis(20)), handler);
        let _client = connect(&serving);
        receive(&begun);
        let report = serving.stop().unwrap();
        assert_eq!((report.abandoned, report.still_running), (1, 1));
        drop(release);
    });
}

/// As with threads: whoever may finish does.
#[test]
fn at_a_stop_handlers_have_the_drain_timeout() {
    run(|| {
        let serving = serve(handler_fn(lines));
        let handle = serving.handle();
        let mut client = connect(&serving);
        assert_eq!(ask(&mut client, b"before\n", 7), b"before\n");
        handle.shutdown();
        assert_eq!(ask(&mut client, b"after\n", 6), b"after\n");
        drop(client);
        let report = serving.join().unwrap();
        assert_eq!((report.drained, report.abandoned), (1, 0));
    });
}

/// Kept beyond its handler and its server, it has an end rather than wait for ever.
#[test]
fn a_handlers_connection_ends_with_the_server() {
    run(|| {
        let behind = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = behind.local_addr().unwrap();
        let (sender, kept) = channel();
        let sender = Mutex::new(sender);
        let sender = Arc::new(sender);
        let handler = handler_fn(move |_: &mut Connection| {
            let upstream = tcp::connect(address, LONG)?;
            Ok(sender.lock().unwrap().send(upstream)?)
        });
        let serving = serve(handler);
        let client = connect(&serving);
        let mut kept: Connection = receive(&kept);
        // On a thread, meanwhile, it works as any other.
        let (mut peer, _) = behind.accept().unwrap();
        kept.write_all(b"hello").unwrap();
        peer.read_exact(&mut [0; 5]).unwrap();
        let reading = std::thread::spawn(move || kept.read(&mut [0; 1]));
        drop(client);
        serving.stop().unwrap();
        // Not a clean end: what has come may not be all. Nor may the peer take it for one.
        assert_eq!(reading.join().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        assert_eq!(peer.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
}

/// Nobody stops it: it is just dropped, with handlers in every state.
#[test]
fn a_dropped_server_leaves_no_coroutine_behind() {
    run(|| {
        let alive = Arc::new(());
        let theirs = Arc::clone(&alive);
        let (began, begun) = channel();
        let handler = handler_fn(move |request: &mut Connection| {
            let _alive = Arc::clone(&theirs);
            began.send(())?;
            let mut line = String::new();
            request.read_line(&mut line)?;
            match line.as_str() {
                "sleep\n" => sleep(LONG)?,
                "unblock\n" => unblock(|| std::thread::sleep(Duration::from_millis(100)))?,
                "write\n" => request.write_all(&vec![0; 64 << 20])?,
                _ => {}
            }
            Ok(())
        });
        let serving = serve_as(builder().handle_error(|_| ()).drain_timeout(Duration::from_millis(50)), handler);
        let clients: Vec<TcpStream> = ["", "sleep\n", "unblock\n", "write\n"]
            .into_iter()
            .map(|line| {
                let mut client = connect(&serving);
                client.write_all(line.as_bytes()).unwrap();
                client
            })
            .collect();
        (0..4).for_each(|_| receive::<()>(&begun));
        let handle = serving.handle();
        drop(serving);
        eventually("all have ended", || handle.stats().active == 0);
        eventually("nothing is left of them", || Arc::strong_count(&alive) == 1);
        drop(clients);
    });
}
