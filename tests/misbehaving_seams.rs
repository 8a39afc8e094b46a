//! What a stream, a strategy or an error value of the wrong kind does, and what it must not do to anybody else.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use common::{echo, eventually, failures, held, read_all, receive, shared, watchdog, Served, StreamKind, LONG};
use socketserver::server::{AcceptError, Dispatch, Job, Listener, Readiness, Refused, Sequential, Threading};
use socketserver::{
    handler_fn, Address, Connection, Error, RequestContext, Server, Stage, Stream, TcpServer, ThreadingTcpServer, Wait,
};

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
    fn check<K: StreamKind>(hook: bool) {
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
