//! Sockets that handlers on coroutines open themselves: connections to others, requests over UDP, look-ups. Their loop goes on meanwhile.
#![cfg(feature = "coroutine")]
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::coroutines::{ask, assert_goes_on, builder, connect, lines, serve, serve_as, Serving};
use common::{eventually, failures, receive, run, LONG};
use socketserver::coroutine::unblock;
use socketserver::{
    handler_fn, net, tcp, Connection, Datagram, Error, Handler, Phase, ThreadingTcpServer, ThreadingUdpServer,
    UdpClient,
};

/// A proxy: each client has a connection of its own to a server behind.
#[test]
fn a_handler_connects_and_waits_for_its_own_connections() {
    run(|| {
        let behind = ThreadingTcpServer::bind("127.0.0.1:0", handler_fn(lines)).unwrap().spawn().unwrap();
        let address = behind.local_addr();
        let handler = handler_fn(move |request: &mut Connection| {
            let mut upstream = tcp::connect(address, LONG)?;
            let mut line = String::new();
            while request.read_line(&mut line)? > 0 {
                if line == "silence\n" {
                    // Which the server behind answers with nothing.
                    upstream.set_read_timeout(Duration::from_millis(100))?;
                    line = format!("{:?}\n", upstream.read(&mut [0; 1]).unwrap_err().kind());
                    upstream.set_read_timeout(LONG)?;
                } else {
                    upstream.write_all(line.as_bytes())?;
                    line.clear();
                    upstream.read_line(&mut line)?;
                }
                request.write_all(line.as_bytes())?;
                line.clear();
            }
            Ok(())
        });
        let serving = serve(handler);
        let mut clients: Vec<TcpStream> = (0..50).map(|_| connect(&serving)).collect();
        for round in 0..20 {
            for client in &mut clients {
                let line = format!("{round}\n");
                assert_eq!(ask(client, line.as_bytes(), line.len()), line.as_bytes());
            }
        }
        let long = format!("{}\n", "x".repeat(60_000));
        assert!(ask(&mut clients[0], long.as_bytes(), long.len()) == long.as_bytes());
        // Others are served while one waits in vain.
        clients[0].write_all(b"silence\n").unwrap();
        assert_eq!(ask(&mut clients[1], b"meanwhile\n", 10), b"meanwhile\n");
        let mut answer = [0; 9];
        clients[0].read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"TimedOut\n");
        drop(clients);
        eventually("all have gone", || serving.handle().stats().active == 0);
        eventually("those behind too", || behind.handle().stats().active == 0);
        assert!(serving.stop().unwrap().is_clean());
        behind.stop().unwrap();
    });
}

#[test]
fn a_connect_that_fails_in_a_handler_is_its_error() {
    run(|| {
        let (handle_error, told) = failures();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let handler = handler_fn(move |_: &mut Connection| Ok(tcp::connect(address, LONG).map(drop)?));
        let serving = serve_as(builder().handle_error(handle_error), handler);
        let _client = connect(&serving);
        let failure = receive(&told);
        assert!(failure.contains(&format!("cannot connect to {address}")), "{failure}");
        serving.stop().unwrap();
    });
}

/// A handler that answers a line with itself, but `go` with what `what` makes of it, and so long as it took.
fn on_go<T: Send + Sync + 'static>(
    what: impl Fn() -> T + Clone + Send + 'static,
) -> (impl Handler + Clone, Receiver<(T, Duration)>) {
    let (sender, outcome) = channel();
    let handler = handler_fn(move |request: &mut Connection| {
        let mut line = String::new();
        request.read_line(&mut line)?;
        if line == "go\n" {
            let started = Instant::now();
            let result = what();
            sender.send((result, started.elapsed()))?;
        }
        Ok(request.write_all(line.as_bytes())?)
    });
    (handler, outcome)
}

fn go(serving: &Serving) -> TcpStream {
    let mut client = connect(serving);
    client.write_all(b"go\n").unwrap();
    client
}

/// What comes of it in a handler, and how long that took. Others are served meanwhile.
fn in_a_handler<T: Send + Sync + 'static>(what: impl Fn() -> T + Clone + Send + 'static) -> (T, Duration) {
    let (handler, outcome) = on_go(what);
    let serving = serve(handler);
    let _client = go(&serving);
    assert_goes_on(&serving);
    let result = receive(&outcome);
    serving.stop().unwrap();
    result
}

/// Connecting takes no thread: neither those who connect to somebody that does not answer are in the way of others, nor closures that block.
#[cfg(target_os = "linux")]
#[test]
fn connects_that_nobody_answers_are_in_nobodys_way() {
    run(|| {
        let silent = common::Silent::new();
        let behind = ThreadingTcpServer::bind("127.0.0.1:0", handler_fn(lines)).unwrap().spawn().unwrap();
        let (dead, alive) = (silent.address, behind.local_addr());
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (sender, outcome) = channel();
        let handler = handler_fn(move |request: &mut Connection| {
            let mut line = String::new();
            request.read_line(&mut line)?;
            match line.as_str() {
                "dead\n" => drop(tcp::connect(dead, LONG)?),
                "block\n" => {
                    let held = Arc::clone(&held);
                    let _ = unblock(move || held.lock().unwrap().recv_timeout(LONG))?;
                }
                _ => sender.send(tcp::connect(alive, LONG / 4).map(|_| ()).map_err(|error| error.to_string()))?,
            }
            Ok(())
        });
        let builder = builder().handle_error(|_| ()).drain_timeout(Duration::from_millis(50));
        let serving = serve_as(builder, handler);
        let mut waiting = Vec::new();
        for what in ["dead\n", "block\n"] {
            for _ in 0..70 {
                let mut client = connect(&serving);
                client.write_all(what.as_bytes()).unwrap();
                waiting.push(client);
            }
        }
        eventually("all are being served", || serving.handle().stats().active == 140);
        let _client = go(&serving);
        assert_eq!(receive::<Result<(), String>>(&outcome), Ok(()));
        drop(release);
        assert_eq!(serving.stop().unwrap().still_running, 0);
        behind.stop().unwrap();
    });
}

/// As RFC 8305 has it, and on a thread too.
#[cfg(target_os = "linux")]
#[test]
fn one_address_that_does_not_answer_costs_a_quarter_of_a_second() {
    run(|| {
        let silent = common::Silent::new();
        let behind = ThreadingTcpServer::bind("127.0.0.1:0", handler_fn(lines)).unwrap().spawn().unwrap();
        let addresses = [silent.address, behind.local_addr()];
        let (connected, took) = in_a_handler(move || {
            let mut connection = tcp::connect(addresses, LONG).map_err(|error| error.to_string())?;
            let mut answer = String::new();
            connection.write_all(b"hello\n").and_then(|()| connection.read_line(&mut answer)).unwrap();
            Ok::<_, String>((connection.peer_addr().to_string(), answer))
        });
        assert_eq!(connected, Ok((addresses[1].to_string(), "hello\n".to_owned())));
        assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(20), "{took:?}");
        behind.stop().unwrap();
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_connect_ends_at_its_deadline() {
    run(|| {
        let silent = common::Silent::new();
        let address = silent.address;
        let limit = Duration::from_millis(300);
        let (connected, took) = in_a_handler(move || tcp::connect(address, limit).map(drop));
        assert!(matches!(&connected, Err(Error::Timeout { phase: Phase::Connect, .. })), "{connected:?}");
        assert!(took >= limit && took < limit + Duration::from_secs(10), "{took:?}");
    });
}

/// A server over UDP that answers each datagram with itself, a while later.
fn slow_echo(after: Duration) -> socketserver::Running<SocketAddr> {
    let handler = handler_fn(move |request: &mut Datagram| {
        std::thread::sleep(after);
        Ok(request.reply(request.data())?)
    });
    ThreadingUdpServer::bind("127.0.0.1:0", handler).unwrap().spawn().unwrap()
}

#[test]
fn a_request_over_udp_suspends() {
    run(|| {
        let behind = slow_echo(Duration::from_millis(200));
        let address = behind.local_addr();
        let handler = handler_fn(move |request: &mut Connection| {
            let mut line = String::new();
            request.read_line(&mut line)?;
            if line.starts_with('?') {
                // One client asks twice, so that the socket is used again.
                let mut client = UdpClient::connect(address)?;
                line = String::from_utf8(client.request(line.as_bytes())?)?;
                line = String::from_utf8(client.request_identified(line.as_bytes())?)?;
            }
            Ok(request.write_all(line.as_bytes())?)
        });
        let serving = serve(handler);
        let started = Instant::now();
        let mut asking: Vec<TcpStream> = (0..20).map(|_| connect(&serving)).collect();
        for (number, client) in asking.iter_mut().enumerate() {
            client.write_all(format!("?{number:02}\n").as_bytes()).unwrap();
        }
        assert_goes_on(&serving);
        for (number, client) in asking.iter_mut().enumerate() {
            let mut answer = [0; 4];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, *format!("?{number:02}\n").as_bytes());
        }
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(400), "each has waited for both: {took:?}");
        assert!(took < Duration::from_millis(200) * 20, "not one after the other: {took:?}");
        serving.stop().unwrap();
        behind.stop().unwrap();
    });
}

/// At its deadline, having asked again; at once, where nobody is there and that is asked for.
#[test]
fn a_request_over_udp_that_nobody_answers_ends() {
    run(|| {
        let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (silent, nobody) = (mute.local_addr().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let closed = nobody.local_addr().unwrap();
        drop(nobody);
        let limit = Duration::from_millis(300);
        let ((first, stats, second), took) = in_a_handler(move || {
            let mut client = UdpClient::builder().timeout(limit).connect(silent).unwrap();
            let first = client.request(b"?").map_err(|error| error.to_string());
            let second = UdpClient::builder().fail_fast(true).connect(closed).unwrap().request(b"?");
            (first, client.stats(), second.map_err(|error| error.to_string()))
        });
        assert!(first.as_ref().is_err_and(|error| error.contains("timed out after 300ms")), "{first:?}");
        assert!(stats.retried > 0 && stats.sent == stats.retried + 1 && stats.timed_out == 1, "{stats:?}");
        assert!(second.as_ref().is_err_and(|error| error.contains("refused")), "{second:?}");
        assert!(took >= limit && took < limit + Duration::from_secs(10), "{took:?}");
        drop(mute);
    });
}

/// One client by turns on the coroutines of two loops, and on a thread.
#[test]
fn a_udp_client_goes_from_loop_to_loop_and_to_a_thread() {
    run(|| {
        let behind = slow_echo(Duration::ZERO);
        let mut client = UdpClient::connect(behind.local_addr()).unwrap();
        assert_eq!(client.request(b"first").unwrap(), b"first");
        let kept = Arc::new(Mutex::new(Some(client)));
        let theirs = Arc::clone(&kept);
        let handler = handler_fn(move |request: &mut Connection| {
            let mut line = String::new();
            while request.read_line(&mut line)? > 0 {
                // Taken out, and not locked while it waits.
                let mut client = theirs.lock().unwrap().take().ok_or("somebody has it")?;
                let answer = client.request(line.as_bytes());
                *theirs.lock().unwrap() = Some(client);
                request.write_all(&answer?)?;
                line.clear();
            }
            Ok(())
        });
        let serving = serve_as(builder().workers(2), handler);
        let mut clients: Vec<TcpStream> = (0..4).map(|_| connect(&serving)).collect();
        for round in 0..50 {
            let line = format!("{round}\n");
            let index = round % clients.len();
            assert_eq!(ask(&mut clients[index], line.as_bytes(), line.len()), line.as_bytes());
            if round % 10 == 0 {
                let mut client = kept.lock().unwrap().take().unwrap();
                assert_eq!(client.request(b"on a thread").unwrap(), b"on a thread");
                *kept.lock().unwrap() = Some(client);
            }
        }
        let stats = kept.lock().unwrap().as_ref().unwrap().stats();
        assert_eq!((stats.sent, stats.retried, stats.renewed), (56, 0, 0));
        drop(clients);
        serving.stop().unwrap();
        behind.stop().unwrap();
    });
}

#[test]
fn a_name_is_looked_up_on_a_coroutine() {
    run(|| {
        let behind = ThreadingTcpServer::bind("127.0.0.1:0", handler_fn(lines)).unwrap().spawn().unwrap();
        let port = behind.local_addr().port();
        let ((address, connected), _) = in_a_handler(move || {
            let address = net::gethostbyname("localhost", LONG).map_err(|error| error.to_string());
            let connected = tcp::connect(("localhost", port), LONG);
            (address, connected.map(|connection| connection.peer_addr().to_string()).map_err(|error| error.to_string()))
        });
        assert_eq!(address, Ok(std::net::Ipv4Addr::LOCALHOST));
        assert_eq!(connected, Ok(behind.local_addr().to_string()));
        behind.stop().unwrap();
    });
}

/// It has room, so nothing is queued, and no thread sends it.
#[cfg(target_os = "linux")]
#[test]
fn a_try_write_to_a_fresh_connection_goes_out_at_once() {
    run(|| {
        let behind = ThreadingTcpServer::bind("127.0.0.1:0", handler_fn(lines)).unwrap().spawn().unwrap();
        let address = behind.local_addr();
        let (handler, outcome) = on_go(move || {
            let mut most = 0;
            for _ in 0..20 {
                let mut connection = tcp::connect(address, LONG).unwrap();
                connection.writer().try_write(b"hello\n").unwrap();
                most = most.max(common::threads_named("ss-sender"));
                let mut answer = String::new();
                connection.read_line(&mut answer).unwrap();
                assert_eq!(answer, "hello\n");
            }
            most
        });
        let serving = serve(handler);
        let _client = go(&serving);
        assert_eq!(receive(&outcome).0, 0);
        serving.stop().unwrap();
        behind.stop().unwrap();
    });
}

/// Whatever its handlers have opened, a loop keeps nothing of it.
#[cfg(target_os = "linux")]
#[test]
fn sockets_of_handlers_leave_no_descriptor_behind() {
    fn descriptors_of(behind: SocketAddr, echo: SocketAddr) -> usize {
        let _connection = tcp::connect(behind, LONG).unwrap();
        let mut client = UdpClient::connect(echo).unwrap();
        assert_eq!(client.request(b"?").unwrap(), b"?");
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    // Other tests of this program open descriptors too, so this one has a process of its own.
    const CHILD: &str = "SOCKETSERVER_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sockets_of_handlers_leave_no_descriptor_behind", "--nocapture"])
            .env(CHILD, "1")
            .status();
        assert!(child.unwrap().success());
        return;
    }
    run(|| {
        let behind = ThreadingTcpServer::bind("127.0.0.1:0", handler_fn(lines)).unwrap().spawn().unwrap();
        let echo = slow_echo(Duration::ZERO);
        let (tcp, udp) = (behind.local_addr(), echo.local_addr());
        let (handler, outcome) = on_go(move || descriptors_of(tcp, udp));
        let serving = serve(handler);
        let mut counted = Vec::new();
        for _ in 0..300 {
            drop(go(&serving));
            counted.push(receive(&outcome).0);
        }
        let (first, last) = (counted[..100].iter().max(), counted[200..].iter().min());
        assert!(last <= first, "{counted:?}");
        serving.stop().unwrap();
        behind.stop().unwrap();
        echo.stop().unwrap();
    });
}
