//! Connections that belong to no server: a client's, one end of a pair. What the other tests show of a server's connections
//! holds for them too.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{self, BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use common::{watchdog, LONG};
use socketserver::framing::{Decoder, FramingError, LengthPrefix, LineDecoder};
use socketserver::{handler_fn, tcp, Connection, Error, Phase, ThreadingTcpServer};

fn pair() -> (Connection, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (ours.into(), theirs)
}

#[test]
fn a_handler_can_be_tried_without_a_server() {
    let _watchdog = watchdog();
    let (mut request, mut client) = pair();
    client.write_all(b"\x00\x05\xec\x95\x88hi").unwrap();
    assert_eq!(request.read_frame(LengthPrefix::U16_BE).unwrap().unwrap(), "안hi".as_bytes());
    request.write_frame(LengthPrefix::U8, b"ok").unwrap();
    let mut answer = [0; 3];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x02ok");
    assert!(!request.server().is_shutting_down());
    request.server().shutdown();
    writeln!(request, "its handle stops nothing").unwrap();
}

/// A socket that has been somebody's has timeouts of its own; they do not count.
#[test]
fn the_timeouts_are_the_connections() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut request = Connection::from(ours);
    request.set_read_timeout(LONG).unwrap();
    let writing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        theirs.write_all(b"late").unwrap();
    });
    let mut late = [0; 4];
    request.read_exact(&mut late).unwrap();
    writing.join().unwrap();
    request.set_read_timeout(Duration::from_millis(1)).unwrap();
    let (mut request, _theirs) = pair();
    request.set_read_timeout(Duration::from_millis(1)).unwrap();
    let error = request.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(Error::of(&error), Some(Error::Timeout { phase: Phase::Read, .. })), "{error}");
}

/// STARTTLS injection: what was sent in the clear must not be read as if it had come through the new stream.
#[test]
fn a_stream_is_not_put_over_bytes_that_have_come_already() {
    let _watchdog = watchdog();
    let (mut request, mut client) = pair();
    client.write_all(b"STARTTLS\ninjected\n").unwrap();
    let mut line = String::new();
    request.read_line(&mut line).unwrap();
    let error = request.wrap_stream(Ok).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);

    let (mut request, mut client) = pair();
    client.write_all(b"STARTTLS\n").unwrap();
    request.read_line(&mut line).unwrap();
    request.wrap_stream(Ok).unwrap();
    assert_eq!(request.wrap_stream(Ok).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
}

/// Whoever asks, and whichever way the line was read.
#[test]
fn a_line_that_is_too_long_is_found_in_the_error() {
    let _watchdog = watchdog();
    let expected = FramingError::LineTooLong { limit: 4 };
    let (mut request, mut client) = pair();
    request.set_max_line(4);
    client.write_all(b"too long\n").unwrap();
    let error = request.read_line(&mut String::new()).unwrap_err();
    assert_eq!(FramingError::of(&error), Some(&expected));

    let (mut request, mut client) = pair();
    client.write_all(b"too long\n").unwrap();
    let error = LineDecoder::new().max_line(4).read_from(&mut request).unwrap_err();
    assert_eq!(FramingError::of(&error), Some(&expected));
}

/// A member who does not keep up is put out, by somebody else, while the handler waits for them.
#[test]
fn a_writer_can_end_the_connection() {
    let _watchdog = watchdog();
    let (writers, put_out) = std::sync::mpsc::channel();
    let (ended, end) = std::sync::mpsc::channel();
    let handler = handler_fn(move |request: &mut Connection| {
        writers.send(request.writer())?;
        ended.send(request.read(&mut [0; 1])?)?;
        Ok(())
    });
    let running = ThreadingTcpServer::bind("127.0.0.1:0", handler).unwrap().spawn().unwrap();
    let mut client = tcp::connect(running.local_addr(), LONG).unwrap();
    let writer = put_out.recv().unwrap();
    writer.shutdown().unwrap();
    assert_eq!(end.recv().unwrap(), 0);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(writer.try_write(b"more").unwrap_err().kind(), io::ErrorKind::NotConnected);
    running.stop().unwrap();
    assert_eq!(writer.shutdown().unwrap_err().kind(), io::ErrorKind::NotConnected);
}

/// The whole of a preparation is bounded by the server, and the request has its own deadline again after it.
#[test]
fn a_dropped_writer_or_stream_is_nothing_to_the_other() {
    let _watchdog = watchdog();
    let (request, mut client) = pair();
    let writer = request.writer();
    drop(request);
    assert!(writer.is_closed());
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    let stream: Arc<dyn Fn() + Send + Sync> = Arc::new(move || drop(writer.clone()));
    stream();
}
