//! What a peer, a stream, a listener or an error value of the wrong kind does, and what it must not do to anybody else.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use common::{echo, eventually, failures, held, read_all, read_byte, receive, watchdog, Kind, Served, LONG};
use socket2::{Domain, Socket, Type};
use socketserver::framing::FramingError;
use socketserver::server::{AcceptError, Dispatch, Job, Listener, Prepare, Readiness, Refused, Sequential, Threading};
use socketserver::{
    handler_fn, tcp, Address, Connection, Error, RequestContext, Server, Stage, Stream, TcpServer, ThreadingTcpServer,
    Wait,
};

/// A sender that handlers can share.
fn shared<T: Send + 'static>() -> (impl Fn(T) + Clone + Send + Sync + 'static, Receiver<T>) {
    let (sender, receiver) = channel();
    let sender = Arc::new(Mutex::new(sender));
    (move |value| drop(sender.lock().unwrap().send(value)), receiver)
}

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

/// An error whose text cannot be had.
#[derive(Debug)]
enum Unspeakable {
    Fails,
    Panics,
}

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unspeakable::Fails => Err(fmt::Error),
            Unspeakable::Panics => panic!("in Display"),
        }
    }
}

impl std::error::Error for Unspeakable {}

/// Formats what it is given, as any logger does.
struct Formats;

static LINES: AtomicUsize = AtomicUsize::new(0);

impl log::Log for Formats {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.fetch_add(1, Ordering::Relaxed);
        let _ = record.args().to_string();
    }

    fn flush(&self) {}
}

fn log_everything() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Formats).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

#[test]
fn an_error_that_cannot_be_formatted_harms_nobody() {
    fn check<K: Kind>(hook: bool) {
        for panics in [false, true] {
            let handler = handler_fn(move |request: &mut Connection| {
                let mut byte = [0];
                match (request.read(&mut byte)?, panics) {
                    (0, _) => {}
                    (_, false) => return Err(Unspeakable::Fails.into()),
                    (_, true) => return Err(Unspeakable::Panics.into()),
                }
                request.write_all(b"hello")?;
                Ok(())
            });
            let (handle_error, told) = failures();
            let builder = if hook { K::builder().handle_error(handle_error) } else { K::builder() };
            let served = Served::new(K::bind(builder, handler));
            let lines = LINES.load(Ordering::Relaxed);
            for round in 1..4 {
                assert_eq!(served.exchange(b"!"), b"");
                assert_eq!(served.exchange(b""), b"hello");
                eventually("it was counted", || served.handle.stats().handler_errors == round);
            }
            if hook {
                // Where the text fails, what there is of it is told.
                assert_eq!(told.try_iter().count(), if panics { 0 } else { 3 });
            } else {
                assert!(LINES.load(Ordering::Relaxed) > lines);
            }
            served.idle();
            served.stop();
        }
    }
    let _watchdog = watchdog();
    log_everything();
    for hook in [false, true] {
        check::<TcpServer>(hook);
        check::<ThreadingTcpServer>(hook);
    }
}

/// What a [`Bad`] stream does wrong.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Fault {
    /// Nothing: it takes all that is written.
    #[default]
    None,
    /// `try_write` takes nothing, and says so with a zero.
    TryWriteZero,
    /// Nothing is taken, and `write` says so with a zero.
    WriteZero,
    /// `write` waits to be let on.
    Stuck,
    /// `write` fails with an error that cannot be formatted, `try_write` likewise once it has taken a byte.
    Fails,
    /// `write` panics.
    WritePanics,
    /// `shutdown(Both)` panics.
    ShutdownPanics,
}

/// A stream of one's own, whose peer has nothing to say.
#[derive(Debug, Default)]
struct Bad {
    fault: Fault,
    written: Mutex<Vec<u8>>,
    /// Told when a write begins.
    begun: Mutex<Option<Sender<()>>>,
    /// A write goes on when this is true.
    go: AtomicBool,
}

impl Bad {
    fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Bad { fault, ..Bad::default() })
    }

    fn written(&self) -> usize {
        self.written.lock().unwrap().len()
    }
}

impl Stream for Bad {
    fn read(&self, _: &mut [u8], _: Wait) -> io::Result<usize> {
        if matches!(self.fault, Fault::Fails | Fault::WritePanics) {
            eventually("it is cut", || self.go.load(Ordering::Acquire));
        }
        Ok(0)
    }

    fn write(&self, buf: &[u8], _: Wait) -> io::Result<usize> {
        if let Some(begun) = &*self.begun.lock().unwrap() {
            let _ = begun.send(());
        }
        match self.fault {
            Fault::WriteZero => return Ok(0),
            Fault::Fails => return Err(io::Error::other(Unspeakable::Panics)),
            Fault::WritePanics => panic!("in write"),
            Fault::Stuck => eventually("it is let on", || self.go.load(Ordering::Acquire)),
            _ => {}
        }
        self.written.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match self.fault {
            // A long message is taken in part; a short one is left to a thread.
            Fault::Fails if buf.len() == 8 => Ok(1),
            Fault::Fails if buf.len() == 7 => Err(io::Error::other(Unspeakable::Fails)),
            Fault::TryWriteZero | Fault::WriteZero => Ok(0),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        assert!(self.fault != Fault::ShutdownPanics || how != Shutdown::Both, "in shutdown");
        if how == Shutdown::Both && self.fault != Fault::Stuck {
            self.go.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// Accepts each of its streams once.
struct Few(Vec<Arc<Bad>>);

impl Listener for Few {
    type Request = Connection;
    type Addr = Address;

    fn local_addr(&self) -> Address {
        Address::Other("a few".into())
    }

    fn register(&mut self, _: &Readiness<'_>) -> io::Result<()> {
        Ok(())
    }

    fn accept(&mut self, context: &RequestContext) -> Result<Connection, AcceptError> {
        let stream = self.0.pop().ok_or(AcceptError::WouldBlock)?;
        Ok(Connection::new(context, stream, Address::Unnamed))
    }
}

#[test]
fn a_stream_that_takes_nothing_at_once_is_written_to_by_a_thread() {
    let _watchdog = watchdog();
    for fault in [Fault::TryWriteZero, Fault::WriteZero] {
        let stream = Bad::new(fault);
        let (tell, told) = shared();
        let handler = handler_fn(move |request: &mut Connection| {
            tell(request.writer().try_write(b"one").map_err(|error| error.kind()));
            tell(request.flush().and_then(|()| request.write_all(b"two")).map_err(|error| error.kind()));
            Ok(())
        });
        let builder = Server::<Few, Threading>::builder();
        let running = builder.from_listener(Few(vec![Arc::clone(&stream)]), handler).unwrap().spawn().unwrap();
        assert_eq!(receive(&told), Ok(()));
        if fault == Fault::TryWriteZero {
            assert_eq!(receive(&told), Ok(()));
            assert_eq!(*stream.written.lock().unwrap(), b"onetwo");
        } else {
            // Nothing can ever be sent: an error, rather than a thread that turns for ever.
            assert!(receive(&told).is_err());
            assert_eq!(stream.written(), 0);
        }
        eventually("the request has ended", || running.handle().stats().active == 0);
        running.stop().unwrap();
    }
}

/// The stream takes nothing, so that what was accepted is exactly what waits.
#[test]
fn the_limit_of_the_queue_counts_what_is_being_sent() {
    const LIMIT: usize = 1 << 20;
    const PIECE: usize = 1 << 18;
    let _watchdog = watchdog();
    let (begin, begun) = channel();
    let stream = Bad::new(Fault::Stuck);
    *stream.begun.lock().unwrap() = Some(begin);
    let (tell, told) = shared();
    let (release, wait) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let handler = handler_fn(move |request: &mut Connection| {
        tell(request.writer());
        let _ = wait.lock().unwrap().recv_timeout(LONG);
        Ok(())
    });
    let builder = Server::<Few, Threading>::builder().write_queue(LIMIT);
    let running = builder.from_listener(Few(vec![Arc::clone(&stream)]), handler).unwrap().spawn().unwrap();
    let writer = receive(&told);
    writer.try_write(&[0; PIECE]).unwrap();
    // From here on the first piece is no longer in the queue, but not sent either.
    receive(&begun);
    let mut accepted = PIECE;
    let full = loop {
        match writer.try_write(&[0; PIECE]) {
            Ok(()) => accepted += PIECE,
            Err(error) => break error,
        }
    };
    assert_eq!((accepted, full.kind()), (LIMIT, io::ErrorKind::WouldBlock));
    // Nothing that was accepted is lost, and what has been sent makes room.
    stream.go.store(true, Ordering::Release);
    eventually("all has been sent", || stream.written() == LIMIT);
    eventually("there is room again", || writer.try_write(&[0; LIMIT]).is_ok());
    drop(release);
    eventually("the request has ended", || running.handle().stats().active == 0);
    assert_eq!(stream.written(), 2 * LIMIT);
    running.stop().unwrap();
}

/// The sending thread gives such a peer up as it does one that does not read, and the handler that waits for it is told.
#[test]
fn a_stream_that_fails_or_panics_in_the_sending_thread_ends_its_request() {
    let _watchdog = watchdog();
    for fault in [Fault::Fails, Fault::WritePanics] {
        let (tell, told) = shared();
        let handler = handler_fn(move |request: &mut Connection| {
            request.writer().try_write(b"short")?;
            tell(request.read(&mut [0]));
            Ok(())
        });
        let builder = Server::<Few, Threading>::builder().read_timeout(None);
        let running = builder.from_listener(Few(vec![Bad::new(fault)]), handler).unwrap().spawn().unwrap();
        let error = receive(&told).unwrap_err();
        assert!(matches!(Error::of(&error), Some(Error::Poisoned { .. })), "{error}");
        eventually("the request has ended", || running.handle().stats().active == 0);
        running.stop().unwrap();
    }
}

/// Who broadcasts must not be hit by a panic over one member's error.
#[test]
fn an_error_of_a_stream_that_cannot_be_formatted_reaches_who_writes_as_an_error() {
    let _watchdog = watchdog();
    let (tell, told) = shared();
    let handler = handler_fn(move |request: &mut Connection| {
        let writer = request.writer();
        let failed = writer.try_write(&[0; 8]).map_err(|error| error.kind());
        let again = writer.try_write(&[0; 8]).map_err(|error| error.kind());
        tell((failed, again));
        Ok(())
    });
    let builder = Server::<Few, Threading>::builder();
    let running = builder.from_listener(Few(vec![Bad::new(Fault::Fails)]), handler).unwrap().spawn().unwrap();
    assert_eq!(receive(&told), (Err(io::ErrorKind::Other), Err(io::ErrorKind::BrokenPipe)));
    eventually("the request has ended", || running.handle().stats().active == 0);
    running.stop().unwrap();
}

#[test]
fn a_stream_that_panics_when_it_is_cut_does_not_keep_the_server_from_stopping() {
    fn check<D: Dispatch + Default>() {
        let (handler, release) = held();
        let stream = Bad::new(Fault::ShutdownPanics);
        let running = Server::<Few, D>::builder()
            .drain_timeout(Duration::from_millis(50))
            .from_listener(Few(vec![Arc::clone(&stream)]), handler)
            .unwrap()
            .spawn()
            .unwrap();
        eventually("the handler runs", || stream.written() == 1);
        let handle = running.handle();
        // The watchdog's business, if it hangs.
        let report = running.stop().unwrap();
        assert!(!report.is_clean(), "{report:?}");
        drop(release);
        eventually("the request has ended", || handle.stats().active == 0);
    }
    let _watchdog = watchdog();
    check::<Sequential>();
    check::<Threading>();
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
    let served = Served::new(<ThreadingTcpServer as Kind>::bind(builder, handler));
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
    fn check<K: Kind>() {
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
    fn check<K: Kind>() {
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

/// Panics with its first request, and runs the others.
#[derive(Debug, Default)]
struct Flinches(AtomicBool);

impl Dispatch for Flinches {
    fn dispatch(&self, job: Job) -> Result<(), Refused> {
        assert!(self.0.swap(true, Ordering::AcqRel), "in dispatch");
        job.run();
        Ok(())
    }

    fn runs_inline(&self) -> bool {
        true
    }
}

#[test]
fn a_dispatch_that_panics_costs_that_request_alone() {
    let _watchdog = watchdog();
    let (tell, told) = shared();
    let running = TcpServer::builder()
        .dispatch(Flinches::default())
        .handle_error(move |failure| tell((failure.stage(), failure.to_string())))
        .bind("127.0.0.1:0", echo())
        .unwrap()
        .spawn()
        .unwrap();
    let place = common::Place::Tcp(running.local_addr());
    assert_eq!(read_all(&mut place.connect()), b"");
    let (stage, text) = receive(&told);
    assert_eq!(stage, Stage::Dispatch);
    assert!(text.ends_with(" panicked: in dispatch"), "{text}");
    assert_eq!(place.exchange(b"hello"), b"hello");
    eventually("no request is under way", || running.handle().stats().active == 0);
    assert_eq!(running.handle().stats().panics, 1);
    assert!(running.stop().unwrap().is_clean());
}

/// A listener whose clients say a line first.
struct Greeted(tcp::TcpListener);

impl Listener for Greeted {
    type Request = Connection;
    type Addr = SocketAddr;

    fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
        self.0.register(readiness)
    }

    fn accept(&mut self, context: &RequestContext) -> Result<Connection, AcceptError> {
        self.0.accept(context)
    }

    fn preparation(&self) -> Option<Arc<dyn Prepare<Connection>>> {
        Some(Arc::new(Greeting))
    }
}

struct Greeting;

impl Prepare<Connection> for Greeting {
    fn prepare(&self, request: &mut Connection, _deadline: Instant) -> io::Result<()> {
        request.read_line(&mut String::new()).map(drop)
    }
}

fn greeted() -> Greeted {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Greeted(tcp::TcpListener::try_from(listener).unwrap())
}

#[test]
fn a_preparation_may_be_given_for_ever() {
    fn check<D: Dispatch + Default>() {
        let running = Server::<Greeted, D>::builder()
            .prepare_timeout(Duration::MAX)
            .from_listener(greeted(), echo())
            .unwrap()
            .spawn()
            .unwrap();
        let place = common::Place::Tcp(running.local_addr());
        assert_eq!(place.exchange(b"greetings\nhello"), b"hello");
        running.stop().unwrap();
    }
    let _watchdog = watchdog();
    check::<Sequential>();
    check::<Threading>();
}

#[test]
fn the_time_for_a_preparation_is_not_the_requests() {
    let _watchdog = watchdog();
    let hour = Duration::from_secs(3600);
    for within in [None, Some(hour)] {
        let (tell, told) = shared();
        let begun = Instant::now();
        let running = Server::<Greeted, Threading>::builder()
            .prepare_timeout(LONG)
            .request_deadline(within)
            .from_listener(
                greeted(),
                handler_fn(move |request: &mut Connection| {
                    tell(request.deadline());
                    Ok(())
                }),
            )
            .unwrap()
            .spawn()
            .unwrap();
        assert_eq!(common::Place::Tcp(running.local_addr()).exchange(b"greetings\n"), b"");
        match (within, receive(&told)) {
            (None, None) => {}
            (Some(_), Some(at)) => assert!(at >= begun + hour && at <= Instant::now() + hour),
            (_, deadline) => panic!("{deadline:?} for {within:?}"),
        }
        running.stop().unwrap();
    }
}

#[test]
fn a_client_that_says_nothing_is_cut_when_the_time_for_its_preparation_is_over() {
    let _watchdog = watchdog();
    let (tell, told) = shared();
    let limit = Duration::from_millis(100);
    let running = Server::<Greeted, Threading>::builder()
        .prepare_timeout(limit)
        .read_timeout(None)
        .handle_error(move |failure| tell((failure.stage(), failure.is_disconnect())))
        .from_listener(greeted(), echo())
        .unwrap()
        .spawn()
        .unwrap();
    let started = Instant::now();
    let mut silent = common::Place::Tcp(running.local_addr()).connect();
    assert_eq!(read_byte(&mut silent), None);
    assert!(started.elapsed() >= limit);
    assert_eq!(receive(&told), (Stage::Prepare, true));
    eventually("the request has ended", || running.handle().stats().active == 0);
    running.stop().unwrap();
}
