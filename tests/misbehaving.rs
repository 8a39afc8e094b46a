//! What a peer of the wrong kind does, and what it must not do to anybody else.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{eventually, read_byte, receive, shared, watchdog, Kind, Served, StreamKind, LONG};
use socket2::{Domain, Socket, Type};
use socketserver::framing::FramingError;
use socketserver::{handler_fn, Connection, Error, TcpServer, ThreadingTcpServer};

/// A client that takes little at a time.
fn small_client(address: SocketAddr) -> Socket {
    let client = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(8 * 1024).unwrap();
    client.connect(&address.into()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

/// A silent client from an address of its own.
#[cfg(target_os = "linux")]
fn client_from(source: &str, address: SocketAddr) -> Socket {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client.bind(&SocketAddr::new(source.parse().unwrap(), 0).into()).unwrap();
    client.connect(&address.into()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

/// Each of the refused would have cost a second of the only thread.
#[test]
#[cfg(target_os = "linux")]
fn clients_refused_by_verify_request_do_not_hold_up_a_sequential_server() {
    let _watchdog = watchdog();
    let running = TcpServer::builder()
        .verify_request(|peer| peer.as_socket_addr().unwrap().ip().to_string() == "127.0.0.1")
        .bind("127.0.0.1:0", held_open())
        .unwrap()
        .spawn()
        .unwrap();
    let refused: Vec<Socket> = (0..20).map(|_| client_from("127.0.0.2", running.local_addr())).collect();
    let started = Instant::now();
    let mut honest = client_from("127.0.0.1", running.local_addr());
    assert_eq!(read_byte(&mut honest), Some(b'+'));
    assert!(started.elapsed() < Duration::from_secs(2), "it waited {:?}", started.elapsed());
    // The listener's queue keeps their order.
    assert_eq!(running.handle().stats().rejected, 20);
    drop((honest, refused));
    running.stop().unwrap();
}

/// Each of those over the limit would have kept one of the three places for a second.
#[test]
#[cfg(target_os = "linux")]
fn clients_over_the_limit_per_address_occupy_no_places() {
    let _watchdog = watchdog();
    let running = ThreadingTcpServer::builder()
        .max_connections(4)
        .max_per_address(1)
        .bind("127.0.0.1:0", held_open())
        .unwrap()
        .spawn()
        .unwrap();
    let mut first = client_from("127.0.0.2", running.local_addr());
    assert_eq!(read_byte(&mut first), Some(b'+'));
    let over: Vec<Socket> = (0..40).map(|_| client_from("127.0.0.2", running.local_addr())).collect();
    let started = Instant::now();
    let mut honest = client_from("127.0.0.1", running.local_addr());
    assert_eq!(read_byte(&mut honest), Some(b'+'));
    assert!(started.elapsed() < Duration::from_secs(3), "it waited {:?}", started.elapsed());
    eventually("all others were turned away", || running.handle().stats().rejected == 40);
    drop((first, honest, over));
    running.stop().unwrap();
}

/// Says `+`, and stays until the client ends.
#[cfg(target_os = "linux")]
fn held_open() -> impl socketserver::Handler + Clone {
    handler_fn(|request: &mut Connection| {
        request.write_all(b"+")?;
        let _ = request.read(&mut [0])?;
        Ok(())
    })
}

#[test]
fn a_writer_whose_turn_is_long_in_coming_is_not_timed_out_while_the_peer_reads() {
    const QUEUED: usize = 4 << 20;
    const PIECE: usize = 32 * 1024;
    let timeout = Duration::from_secs(1);
    let _watchdog = watchdog();
    let (tell, told) = shared();
    let builder = ThreadingTcpServer::builder().write_timeout(timeout).write_queue(QUEUED);
    let served = Served::new(<ThreadingTcpServer as Kind>::bind(
        builder,
        handler_fn(move |request: &mut Connection| {
            request.set_send_buffer_size(4096)?;
            request.writer().try_write(&vec![b'q'; QUEUED])?;
            let started = Instant::now();
            let written = request.write_all(b"x");
            tell((started.elapsed(), written.map_err(|error| error.to_string())));
            Ok(())
        }),
    ));
    let common::Place::Tcp(address) = served.place else { panic!("no address") };
    let mut client = small_client(address);
    // It takes longer over all than the timeout, but far less over any part.
    let mut piece = vec![0; PIECE];
    for _ in 0..QUEUED / PIECE {
        client.read_exact(&mut piece).unwrap();
        std::thread::sleep(Duration::from_millis(15));
    }
    assert_eq!(read_byte(&mut client), Some(b'x'));
    let (waited, written) = receive(&told);
    assert_eq!(written, Ok(()));
    assert!(waited > timeout, "it waited no longer than {waited:?}, which shows nothing");
    drop(client);
    served.stop();
}

#[test]
fn those_who_write_on_and_on_do_not_keep_a_finished_request_open() {
    let _watchdog = watchdog();
    let (tell, told) = shared();
    let (release, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let running = ThreadingTcpServer::builder()
        .write_queue(1 << 20)
        .bind(
            "127.0.0.1:0",
            handler_fn(move |request: &mut Connection| {
                request.set_send_buffer_size(4096)?;
                tell(request.writer());
                let _ = wait.lock().unwrap().recv_timeout(LONG);
                Ok(())
            }),
        )
        .unwrap()
        .spawn()
        .unwrap();
    let mut client = small_client(running.local_addr());
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while client.read(&mut buffer).unwrap_or(0) > 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let writer = receive(&told);
    while writer.try_write(&[1; 20_000]).is_ok() {}
    drop(release);
    let started = Instant::now();
    let refused = loop {
        match writer.try_write(&[1; 20_000]) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => break error,
            result => {
                assert!(started.elapsed() < Duration::from_secs(20), "{result:?}, long after the handler has returned");
                std::thread::yield_now();
            }
        }
    };
    assert_eq!(refused.kind(), io::ErrorKind::NotConnected, "{refused}");
    eventually("the request has ended", || running.handle().stats().active == 0);
    assert!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
    reading.join().unwrap();
    running.stop().unwrap();
}

#[test]
fn the_limit_of_a_line_holds_across_read_timeouts() {
    const LIMIT: usize = 1000;
    let _watchdog = watchdog();
    let (tick, ticks) = shared();
    let (tell, told) = shared();
    let handler = handler_fn(move |request: &mut Connection| {
        let mut line = String::new();
        let result = loop {
            match request.read_line(&mut line) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => tick(line.len()),
                result => break result,
            }
        };
        tell((line.len(), result));
        Ok(())
    });
    let builder = ThreadingTcpServer::builder().max_line(LIMIT).read_timeout(Duration::from_millis(20));
    let served = ThreadingTcpServer::serve_as(builder, handler);
    let send = |pieces: &[usize]| {
        let mut client = served.connect();
        let mut sent = 0;
        for &piece in pieces {
            client.write_all(&vec![b'a'; piece]).unwrap();
            sent += piece;
            // The handler has had this piece and a timeout behind it, or has given up.
            if sent <= LIMIT {
                while receive(&ticks) < sent {}
            }
        }
        if sent <= LIMIT {
            client.write_all(b"\n").unwrap();
        }
        let result = receive(&told);
        drop(client);
        while ticks.try_recv().is_ok() {}
        result
    };
    let (length, result) = send(&[400, 600]);
    assert_eq!((length, result.unwrap()), (LIMIT + 1, 1));
    let (length, result) = send(&[900, 900]);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let Some(Error::Framing { source, .. }) = Error::of(&error) else { panic!("{error}") };
    assert_eq!(*source, FramingError::LineTooLong { limit: LIMIT });
    assert!(length <= LIMIT, "{length} bytes of a line");
    served.stop();
}

/// The handler waits for somebody whom the sender has given up, and would wait for ever.
#[test]
fn a_request_whose_peer_takes_no_answers_ends_though_its_handler_only_reads() {
    fn check<K: StreamKind>() {
        let (tell, told) = shared();
        let handler = handler_fn(move |request: &mut Connection| {
            request.set_send_buffer_size(4096)?;
            request.writer().try_write(&vec![0; 8 << 20])?;
            tell(request.read(&mut [0]));
            Ok(())
        });
        let builder = K::builder().read_timeout(None).write_timeout(Duration::from_millis(200)).write_queue(8 << 20);
        let served = Served::new(K::bind(builder, handler));
        let client = served.connect();
        let error = receive(&told).unwrap_err();
        assert!(matches!(Error::of(&error), Some(Error::Poisoned { .. })), "{error}");
        served.idle();
        drop(client);
        served.stop();
    }
    let _watchdog = watchdog();
    check::<TcpServer>();
    check::<ThreadingTcpServer>();
    #[cfg(unix)]
    check::<socketserver::ThreadingUnixStreamServer>();
}

#[test]
fn half_an_answer_does_not_look_like_a_whole_one() {
    fn check<K: StreamKind>() {
        let (tell, told) = shared();
        let handler = handler_fn(move |request: &mut Connection| {
            request.set_deadline(Duration::from_millis(200))?;
            tell(request.write_all(&vec![0; 64 << 20]).map_err(|error| error.kind()));
            Ok(())
        });
        let served = Served::new(K::bind(K::builder(), handler));
        let mut client = served.connect();
        assert_eq!(receive(&told), Err(io::ErrorKind::TimedOut));
        let end = client.read_to_end(&mut Vec::new());
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        served.stop();
    }
    let _watchdog = watchdog();
    check::<TcpServer>();
    check::<ThreadingTcpServer>();
}

#[test]
#[cfg(unix)]
fn clients_without_addresses_can_be_told_apart() {
    let _watchdog = watchdog();
    let (tell, told) = shared();
    let served = socketserver::ThreadingUnixStreamServer::serve(handler_fn(move |request: &mut Connection| {
        tell((request.id(), request.writer().id(), request.peer_addr()));
        let _ = request.read(&mut [0])?;
        Ok(())
    }));
    let clients = [served.connect(), served.connect()];
    let (one, two) = (receive(&told), receive(&told));
    assert_eq!(one.2, two.2);
    assert_eq!((one.0, two.0), (one.1, two.1));
    assert_ne!(one.0, two.0);
    drop(clients);
    served.stop();
}
