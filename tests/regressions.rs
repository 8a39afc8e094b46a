//! One test for each bug that was found, named after it.
// Clippy lets tests unwrap and panic, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use socketserver::{
    handler_fn, Connection, Datagram, Handled, Overload, ServerHandle, TcpServer, ThreadingTcpServer,
    ThreadingUdpServer,
};

/// What takes so long has failed.
const WATCHDOG: Duration = Duration::from_secs(20);

fn echo(request: &mut Connection) -> socketserver::HandlerResult {
    let mut received = Vec::new();
    request.read_to_end(&mut received)?;
    request.write_all(&received)?;
    Ok(())
}

/// Says something and ends its direction; the answer is what comes until the server ends the other.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WATCHDOG))?;
    stream.write_all(b"hello")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A thread that is only starting counts as idle. A request that came meanwhile was signalled to a condition variable on
/// which nobody waited, and the signal counted as under way for ever after: once the threads had gone idle, nobody was
/// woken for a request before one of them had been idle for its whole timeout.
#[test]
fn a_request_is_not_left_waiting_for_the_idle_timeout() {
    for _ in 0..100 {
        let server = ThreadingTcpServer::builder()
            .idle_thread_timeout(Duration::from_secs(3600))
            .bind("127.0.0.1:0", handler_fn(echo))
            .unwrap();
        let running = server.spawn().unwrap();
        let address = running.local_addr();
        // Several at once, so that threads start while others finish.
        let clients: Vec<_> = (0..6).map(|_| std::thread::spawn(move || ask(address))).collect();
        for client in clients {
            assert_eq!(client.join().unwrap().unwrap(), "hello");
        }
        // And some when all threads are idle.
        for _ in 0..3 {
            assert_eq!(ask(address).unwrap(), "hello");
        }
        running.stop().unwrap();
    }
}

/// `Failure` displays as one line by its own documentation, but a line break in a handler's error or panic, perhaps of a client's
/// making, went into the log as it was.
#[test]
fn a_failure_is_one_line_whatever_the_handler_put_into_its_error() {
    let (failures, failed) = channel();
    let server = ThreadingTcpServer::builder()
        .handle_error(move |failure| failures.send(failure.to_string()).unwrap())
        .bind(
            "127.0.0.1:0",
            handler_fn(|request: &mut Connection| {
                let mut said = String::new();
                request.read_to_string(&mut said)?;
                assert!(!said.starts_with("panic"), "{said}");
                Err(said.into())
            }),
        )
        .unwrap();
    let running = server.spawn().unwrap();
    for (said, shown) in [
        ("x\nERROR forged\r\u{1b}[2K", " failed: x\\nERROR forged\\r\\u{1b}[2K"),
        ("panic\nERROR forged", " panicked: panic\\nERROR forged"),
    ] {
        let mut stream = TcpStream::connect(running.local_addr()).unwrap();
        stream.write_all(said.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let failure = failed.recv_timeout(WATCHDOG).unwrap();
        assert!(failure.starts_with("handle of 127.0.0.1:") && failure.ends_with(shown), "{failure:?}");
    }
    running.stop().unwrap();
}

/// A stop that came while `service_actions` ran had the listener closed elsewhere, and the serving thread went on to accept
/// from it: `serve_forever` returned `Error::Accept` rather than its report.
#[test]
fn a_stop_during_service_actions_is_no_error() {
    let handle: Arc<OnceLock<ServerHandle>> = Arc::default();
    let stops = Arc::clone(&handle);
    let server = ThreadingTcpServer::builder()
        .service_actions(Duration::from_millis(1), move |_| {
            let Some(handle) = stops.get() else { return };
            handle.shutdown();
            // Lingers until the listener has been closed.
            let address = handle.local_addr().as_socket_addr().unwrap();
            while TcpStream::connect(address).is_ok() {
                std::thread::yield_now();
            }
        })
        .bind("127.0.0.1:0", handler_fn(echo))
        .unwrap();
    handle.set(server.handle()).unwrap();
    let running = server.spawn().unwrap();
    let (ended, end) = channel();
    std::thread::spawn(move || ended.send(running.join()));
    end.recv_timeout(WATCHDOG).unwrap().unwrap();
}

/// Where the peer had ended its direction at once, the system had no connection left to shut down, and said so.
#[test]
fn ending_both_directions_is_no_error_when_the_peer_is_quick() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        let mut connection = socketserver::tcp::connect(listener.local_addr().unwrap(), WATCHDOG).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let peer = std::thread::spawn(move || peer.read(&mut [0]).unwrap());
        connection.shutdown(Shutdown::Both).unwrap();
        assert_eq!(peer.join().unwrap(), 0);
    }
}

/// The builders of the event-driven servers had none of the settings of the socket: no `backlog`, no `keepalive`, no `mode`.
#[test]
#[cfg(unix)]
fn the_settings_of_the_socket_are_those_of_the_event_driven_servers_too() {
    use std::os::unix::fs::PermissionsExt;

    use socketserver::{Keepalive, Protocol, ReactorTcpServer, ReactorUnixServer, Transport};

    #[derive(Clone)]
    struct Echo;

    impl Protocol for Echo {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            transport.write(data);
        }
    }

    let builder = || {
        ReactorTcpServer::builder()
            .backlog(16)
            .reuse_address(true)
            .reuse_port(true)
            .dual_stack(false)
            .nodelay(true)
            .keepalive(Keepalive::new(Duration::from_secs(60)))
    };
    let first = builder().bind("127.0.0.1:0", Echo).unwrap();
    let second = builder().bind(first.local_addr(), Echo).unwrap();
    assert_eq!(first.local_addr(), second.local_addr());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let _server = ReactorUnixServer::builder().mode(0o660).remove_stale(true).bind(&path, Echo).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
}

/// What callbacks broadcast was sent when the loop had seen to everybody who had said something. Where many had at once, more than the
/// mebibyte that may wait came together, and the rest was refused, though nothing held the loop up.
#[test]
fn what_many_say_at_once_is_broadcast_whole() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Barrier;

    use socketserver::{Protocol, ReactorTcpServer, Transport};

    const SPEAKERS: usize = 60;
    const SPEECH: usize = 40 * 1024;

    #[derive(Clone)]
    struct Hall {
        all_have_spoken: Arc<Barrier>,
        refused: Arc<AtomicUsize>,
        /// The connection's first byte: the listener, the one who holds the loop up until all have spoken, a speaker.
        role: u8,
    }

    impl Protocol for Hall {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            if self.role == 0 {
                self.role = data[0];
                transport.write(b"!");
                return;
            }
            if self.role == b'h' {
                self.all_have_spoken.wait();
                return;
            }
            let speaker = transport.id();
            if transport.broadcaster().broadcast_to(data, move |member| member.id() != speaker).is_err() {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    let (all_have_spoken, refused) = (Arc::new(Barrier::new(2)), Arc::new(AtomicUsize::new(0)));
    let hall = Hall { all_have_spoken: Arc::clone(&all_have_spoken), refused: Arc::clone(&refused), role: 0 };
    // Those who only speak are told too, and do not read it.
    let builder = ReactorTcpServer::builder().read_while_full(true).write_buffer_hard_limit(SPEAKERS * SPEECH);
    let running = builder.bind("127.0.0.1:0", hall).unwrap().spawn().unwrap();
    let join = |role: &[u8]| {
        let mut stream = TcpStream::connect(running.local_addr()).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream.write_all(role).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream
    };
    let mut listener = join(b"l");
    let mut holder = join(b"h");
    let mut speakers: Vec<_> = (0..SPEAKERS).map(|_| join(b"s")).collect();

    holder.write_all(b"hold").unwrap();
    for speaker in &mut speakers {
        speaker.write_all(&[b'x'; SPEECH]).unwrap();
    }
    all_have_spoken.wait();
    let mut heard = vec![0; SPEAKERS * SPEECH];
    listener.read_exact(&mut heard).unwrap_or_else(|error| panic!("{refused:?} refused: {error}"));
    assert_eq!(refused.load(Ordering::Relaxed), 0);
}

/// Who found no place for a datagram was woken for only if it had found none at the beginning of the turn too. Those of a burst that filled
/// the places waited until another datagram came, if ever one did.
#[test]
fn a_burst_that_fills_the_places_is_served_without_another_datagram() {
    let echo = |request: &mut Datagram| Ok(request.reply(request.data())?);
    let server = ThreadingUdpServer::builder().max_connections(1).bind("127.0.0.1:0", handler_fn(echo)).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(WATCHDOG)).unwrap();
    client.connect(server.local_addr()).unwrap();
    for number in 0..5 {
        client.send(&[number]).unwrap();
    }
    let running = server.spawn().unwrap();
    for number in 0..5 {
        let mut answer = [0];
        client.recv(&mut answer).unwrap();
        assert_eq!(answer, [number]);
    }
    running.stop().unwrap();
}

/// With threads and a queue, `Overload::Reject`'s words were never said: what did not fit the queue was dropped in silence.
#[test]
fn the_farewell_is_said_to_who_does_not_fit_the_queue() {
    let (release, held) = channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let hold = move |request: &mut Datagram| {
        request.reply(b"+")?;
        let _ = held.lock().unwrap().recv_timeout(WATCHDOG);
        Ok(())
    };
    let builder = ThreadingUdpServer::builder().max_connections(1).queue(1).overload(Overload::Reject(b"busy"));
    let running = builder.bind("127.0.0.1:0", handler_fn(hold)).unwrap().spawn().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(WATCHDOG)).unwrap();
    client.connect(running.local_addr()).unwrap();
    let mut answer = [0; 10];
    client.send(b"served").unwrap();
    client.recv(&mut answer).unwrap();
    for _ in 0..2 {
        client.send(b"waits, or does not fit").unwrap();
    }
    let length = client.recv(&mut answer).unwrap();
    assert_eq!(&answer[..length], b"busy");
    drop(release);
    running.stop().unwrap();
}

/// A sequential server with `Overload::Reject` took in all who waited when it turned to them, and turned away all but the first, where its
/// documentation lets them wait.
#[test]
fn a_sequential_server_turns_nobody_away() {
    let server =
        TcpServer::builder().overload(Overload::Reject(b"busy")).bind("127.0.0.1:0", handler_fn(echo)).unwrap();
    let address = server.local_addr();
    let mut clients: Vec<_> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
    let running = server.spawn().unwrap();
    for client in &mut clients {
        client.set_read_timeout(Some(WATCHDOG)).unwrap();
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello");
    }
    running.stop().unwrap();
}

/// `handle_request` said that a datagram had been rejected when it had been put into the queue.
#[test]
fn handle_request_rejects_nobody_who_may_wait() {
    let (release, held) = channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let hold = move |_: &mut Datagram| {
        let _ = held.lock().unwrap().recv_timeout(WATCHDOG);
        Ok(())
    };
    let builder = ThreadingUdpServer::builder().max_connections(1).timeout(Duration::from_millis(10));
    let mut server = builder.bind("127.0.0.1:0", handler_fn(hold)).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.local_addr()).unwrap();
    for _ in 0..2 {
        client.send(b"x").unwrap();
    }
    assert!(matches!(server.handle_request().unwrap(), Handled::Served));
    assert!(matches!(server.handle_request().unwrap(), Handled::TimedOut));
    drop(release);
    while !matches!(server.handle_request().unwrap(), Handled::Served) {}
    assert_eq!(server.handle().stats().accepted, 2);
}
