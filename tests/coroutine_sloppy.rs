//! Handlers on coroutines that do what they should not: whatever that is, the others of their loop are served, and a stop ends it.
#![cfg(feature = "coroutine")]
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::coroutines::{self, connect, serve_as, Serving};
use common::{eventually, receive, run, LONG};
use socketserver::coroutine::{sleep, Coroutines};
use socketserver::server::Builder;
use socketserver::tcp::TcpListener;
use socketserver::{
    handler_fn, tcp, Connection, ConnectionWriter, Handler, HandlerResult, ThreadingTcpServer, UdpClient,
};

/// One that says nothing of the errors there will be, and waits but briefly for those who do not end.
fn builder() -> Builder<TcpListener, Coroutines> {
    coroutines::builder().handle_error(|_| ()).drain_timeout(Duration::from_millis(50))
}

/// A handler that answers a first byte `e` with itself, and does otherwise what it is told to.
fn sloppy(what: impl Fn(&mut Connection) -> HandlerResult + Clone + Send + 'static) -> impl Handler + Clone {
    handler_fn(move |request: &mut Connection| {
        let mut first = [0];
        request.read_exact(&mut first)?;
        if first == *b"e" {
            return Ok(request.write_all(&first)?);
        }
        what(request)
    })
}

#[track_caller]
fn assert_goes_on(serving: &Serving) {
    let mut client = connect(serving);
    client.write_all(b"e").unwrap();
    let mut answer = [0];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"e");
}

/// That it does not hold up others, nor its server's end.
fn check(what: impl Fn(&mut Connection) -> HandlerResult + Clone + Send + 'static) {
    for leaves in [false, true] {
        let (began, begun) = channel();
        let what = what.clone();
        let handler = sloppy(move |request| {
            began.send(())?;
            what(request)
        });
        let serving = serve_as(builder().request_deadline(Duration::from_millis(100)), handler);
        let mut client = connect(&serving);
        client.write_all(b"x").unwrap();
        receive::<()>(&begun);
        if leaves {
            drop(client);
            (0..20).for_each(|_| assert_goes_on(&serving));
            ends(serving);
        } else {
            (0..20).for_each(|_| assert_goes_on(&serving));
            ends(serving);
            drop(client);
        }
    }
}

/// That a stop ends all of its handlers, however long the machine takes over it.
#[track_caller]
fn ends(serving: Serving) {
    let handle = serving.handle();
    serving.stop().unwrap();
    eventually("its handlers have ended", || handle.stats().active == 0);
}

/// A server elsewhere whose answers have no end.
fn endless() -> Serving {
    let handler = handler_fn(|request: &mut Connection| loop {
        request.write_all(&[7; 65_536])?;
    });
    let builder = ThreadingTcpServer::builder().handle_error(|_| ()).drain_timeout(Duration::ZERO);
    builder.bind("127.0.0.1:0", handler).unwrap().spawn().unwrap()
}

#[test]
fn one_that_tries_again_after_its_deadline() {
    run(|| {
        check(|request| loop {
            match request.read(&mut [0; 8]) {
                Ok(0) => return Ok(()),
                _ => continue,
            }
        });
    });
}

#[test]
fn one_that_ignores_that_it_cannot_write() {
    run(|| {
        check(|request| loop {
            let _ = request.write_all(b"tick\n");
        });
    });
}

#[test]
fn one_that_reads_on_after_the_end() {
    run(|| {
        check(|request| loop {
            let _ = request.read(&mut [0; 8]);
        });
    });
}

/// From somebody else's connection, which has no end.
#[test]
fn one_that_copies_on_from_elsewhere() {
    run(|| {
        let behind = endless();
        let address = behind.local_addr();
        check(move |_| {
            let mut upstream = tcp::connect(address, LONG)?;
            loop {
                let _ = upstream.read(&mut [0; 4096]);
            }
        });
        behind.stop().unwrap();
    });
}

/// It runs under a lock, which the next client's wants too.
#[test]
fn a_clone_that_waits_is_an_error() {
    struct Waits(std::sync::mpsc::Sender<String>);

    impl Clone for Waits {
        fn clone(&self) -> Self {
            let told = sleep(Duration::from_millis(1)).map_err(|error| error.to_string());
            let _ = self.0.send(told.err().unwrap_or_default());
            Waits(self.0.clone())
        }
    }

    impl Handler for Waits {
        fn handle(&mut self, request: &mut Connection) -> HandlerResult {
            Ok(request.write_all(b"e")?)
        }
    }

    run(|| {
        let (sender, told) = channel();
        let serving = serve_as(builder(), Waits(sender));
        for _ in 0..3 {
            assert_goes_on(&serving);
            let error = receive(&told);
            assert!(error.contains("must not wait"), "{error}");
        }
        serving.stop().unwrap();
    });
}

/// What a drop has to say while a panic unwinds cannot wait for its turn.
#[test]
fn a_drop_that_writes_where_another_has_the_turn() {
    struct SaysBye(ConnectionWriter);

    impl Drop for SaysBye {
        fn drop(&mut self) {
            let _ = self.0.write_all(b"bye");
        }
    }

    run(|| {
        let shared: Arc<Mutex<Option<ConnectionWriter>>> = Arc::default();
        let theirs = Arc::clone(&shared);
        let (began, begun) = channel();
        let handler = sloppy(move |request| {
            let writer = theirs.lock().unwrap().take();
            began.send(())?;
            match writer {
                None => {
                    *theirs.lock().unwrap() = Some(request.writer());
                    // To one who does not read.
                    Ok(request.write_all(&vec![0; 64 << 20])?)
                }
                Some(writer) => {
                    let _bye = SaysBye(writer);
                    panic!("as told");
                }
            }
        });
        let serving = serve_as(builder().write_timeout(None), handler);
        let mut deaf = connect(&serving);
        deaf.write_all(b"x").unwrap();
        receive::<()>(&begun);
        eventually("its writer is there", || shared.lock().unwrap().is_some());
        let mut panics = connect(&serving);
        panics.write_all(b"x").unwrap();
        receive::<()>(&begun);
        (0..20).for_each(|_| assert_goes_on(&serving));
        assert_eq!(serving.stop().unwrap().still_running, 0);
    });
}

/// One that never waits, but only gives way, has its socket reported all the same: others may wait for it.
#[test]
fn a_thread_waits_for_room_at_one_who_never_waits() {
    run(|| {
        let behind = endless();
        let address = behind.local_addr();
        let (sender, writers) = channel();
        let handler = sloppy(move |request| {
            sender.send(request.writer())?;
            // It never has to wait for what it reads here.
            let mut upstream = tcp::connect(address, LONG)?;
            loop {
                upstream.read_exact(&mut [0; 65_536])?;
            }
        });
        let serving = serve_as(builder(), handler);
        let mut client = connect(&serving);
        client.write_all(b"x").unwrap();
        let mut writer: ConnectionWriter = receive(&writers);
        let writing = std::thread::spawn(move || writer.write_all(&vec![1; 16 << 20]));
        let mut all = vec![0; 16 << 20];
        client.read_exact(&mut all).unwrap();
        writing.join().unwrap().unwrap();
        serving.stop().unwrap();
        behind.stop().unwrap();
    });
}

/// Over loopback it succeeds, and fails, without any wait.
#[test]
fn one_that_connects_again_and_again() {
    run(|| {
        let behind = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let accepted = behind.local_addr().unwrap();
        std::thread::spawn(move || while behind.accept().is_ok() {});
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = nobody.local_addr().unwrap();
        drop(nobody);
        for address in [accepted, refused] {
            check(move |_| loop {
                let _ = tcp::connect(address, LONG);
            });
        }
    });
}

#[test]
fn one_that_sends_again_and_again_over_udp() {
    run(|| {
        let mute = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = mute.local_addr().unwrap();
        check(move |_| {
            let mut client = UdpClient::connect(address)?;
            // Every send fails from now on.
            client.socket().shutdown(std::net::Shutdown::Write)?;
            loop {
                let _ = client.send(b"?");
            }
        });
        check(move |_| loop {
            let _ = UdpClient::connect(address);
        });
        check(move |_| {
            let mut client = UdpClient::builder().timeout(Duration::from_millis(1)).connect(address)?;
            loop {
                let _ = client.request(b"?");
            }
        });
    });
}
