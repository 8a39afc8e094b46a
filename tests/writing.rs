//! The writing half of a connection: totals, timeouts, poisoning, and writers in other threads.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{eventually, pair, receive, watchdog, Kind, LONG};
use socket2::SockRef;
use socketserver::{handler_fn, Connection, Error, Phase, Stream, ThreadingTcpServer, Wait};

const MOMENT: Duration = Duration::from_millis(60);

fn timeout(error: &io::Error) -> (Phase, Duration) {
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    match Error::of(error) {
        Some(Error::Timeout { phase, after, .. }) => (*phase, *after),
        other => panic!("{other:?}"),
    }
}

fn is_poisoned(result: io::Result<()>) {
    let error = result.unwrap_err();
    assert!(matches!(Error::of(&error), Some(Error::Poisoned { .. })), "{error:?}");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

/// A connection, its peer, and how many bytes fill everything on the way between them, which is full of `x`.
fn full() -> (Connection, TcpStream, usize) {
    let (connection, peer) = pair();
    // Sizes that are set do not grow.
    SockRef::from(&peer).set_recv_buffer_size(16 * 1024).unwrap();
    let (mut sent, mut last) = (0, Instant::now());
    {
        let socket = connection.socket().unwrap();
        socket.set_send_buffer_size(32 * 1024).unwrap();
        socket.set_nonblocking(true).unwrap();
        // Not full before nothing has been taken for a while: what was sent may still be on its way.
        while last.elapsed() < Duration::from_millis(100) {
            match socket.send(&[b'x'; 1000]).or_else(|_| socket.send(b"x")) {
                Ok(count) => (sent, last) = (sent + count, Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        }
        socket.set_nonblocking(false).unwrap();
    }
    (connection, peer, sent)
}

#[test]
fn write_all_ends_at_the_deadline_however_the_peer_trickles() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    let (stop, stopped) = channel::<()>();
    let reading = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(1)).is_err() && peer.read(&mut [0; 16384]).is_ok_and(|n| n > 0)
        {
        }
    });
    connection.set_write_timeout(LONG).unwrap();
    // Made before, because it may take as long as the deadline.
    let payload = vec![0; 1 << 30];
    let started = Instant::now();
    connection.set_deadline(Duration::from_millis(200)).unwrap();
    let error = connection.write_all(&payload).unwrap_err();
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert!(started.elapsed() < LONG / 2);
    assert_eq!(timeout(&error), (Phase::Request, Duration::from_millis(200)));
    connection.set_deadline(None).unwrap();
    is_poisoned(connection.write_all(b"more"));
    drop(stop);
    drop(connection);
    reading.join().unwrap();
}

#[test]
fn a_write_that_stops_half_way_poisons_the_writing_side_alone() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    let mut writer = connection.writer();
    assert_eq!(connection.write_timeout(), Some(Duration::from_secs(30)));
    connection.set_write_timeout(MOMENT).unwrap();
    let error = connection.write_all(&vec![0; 1 << 26]).unwrap_err();
    assert_eq!(timeout(&error), (Phase::Write, MOMENT));
    is_poisoned(connection.write_all(b"more"));
    is_poisoned(connection.write(b"more").map(drop));
    is_poisoned(connection.flush());
    is_poisoned(writeln!(connection, "more"));
    is_poisoned(writer.write_all(b"more"));
    is_poisoned(writer.try_write(b"more"));
    let told = connection.write_all(b"more").unwrap_err().to_string();
    assert!(told.contains("an earlier write failed part of the way (writing timed out after 60ms"), "{told}");
    // What comes can still be read.
    peer.write_all(b"line\n").unwrap();
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    assert_eq!(line, "line\n");
}

#[test]
fn a_write_that_times_out_before_its_first_byte_poisons_nothing() {
    let _watchdog = watchdog();
    let (mut connection, mut peer, filled) = full();
    connection.set_write_timeout(MOMENT).unwrap();
    assert_eq!(timeout(&connection.write_all(b"!").unwrap_err()), (Phase::Write, MOMENT));
    assert_eq!(timeout(&connection.write(b"!").unwrap_err()), (Phase::Write, MOMENT));
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all)
    });
    connection.set_write_timeout(LONG).unwrap();
    connection.write_all(b"?").unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let all = reading.join().unwrap().unwrap();
    assert_eq!(all.len(), filled + 1);
    assert_eq!(all.last(), Some(&b'?'));
}

#[test]
fn messages_of_many_writers_do_not_mix() {
    const EACH: usize = 300;
    let _watchdog = watchdog();
    let (mut connection, peer) = pair();
    let reader = std::thread::spawn(move || BufReader::new(peer).lines().collect::<io::Result<Vec<_>>>().unwrap());
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let mut writer = connection.writer();
            std::thread::spawn(move || {
                let long = "x".repeat(3000 * number);
                for count in 0..EACH {
                    match count % 3 {
                        0 => writer.write_all(format!("{number} {count} {long}\n").as_bytes()).unwrap(),
                        1 => writeln!(writer, "{} {} {}", number, count, long).unwrap(),
                        _ => loop {
                            match writer.try_write(format!("{number} {count} {long}\n").as_bytes()) {
                                Ok(()) => break,
                                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                                Err(error) => panic!("{error}"),
                            }
                        },
                    }
                }
            })
        })
        .collect();
    for count in 0..EACH {
        writeln!(connection, "c {count} ").unwrap();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    connection.shutdown(Shutdown::Write).unwrap();
    let lines = reader.join().unwrap();
    assert_eq!(lines.len(), 5 * EACH);
    for (who, length) in [("0", 0), ("1", 3000), ("2", 6000), ("3", 9000), ("c", 0)] {
        let of_one = lines.iter().filter_map(|line| line.strip_prefix(who));
        let expected = (0..EACH).map(|count| format!(" {count} {}", "x".repeat(length)));
        assert!(of_one.eq(expected), "whole, and in order: {who}");
    }
}

#[test]
fn try_write_is_bounded_never_waits_and_loses_nothing() {
    const LIMIT: usize = 256 * 1024;
    let _watchdog = watchdog();
    let (mut connection, mut peer, filled) = full();
    // For ever: a wait would hang the test.
    connection.set_write_timeout(None).unwrap();
    let writer = connection.writer();
    let mut expected = Vec::new();
    let refused = loop {
        let message = format!("message {}\n", expected.len()).into_bytes();
        match writer.try_write(&message) {
            Ok(()) => expected.extend(message),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    assert!(refused.to_string().contains("does not keep up"), "{refused}");
    // What the sender has in its hands has left the queue.
    assert!(expected.len() > LIMIT - 100 && expected.len() <= 2 * LIMIT, "{}", expected.len());
    let too_long = writer.try_write(&vec![0; LIMIT + 1]).unwrap_err();
    assert_eq!(too_long.kind(), io::ErrorKind::WouldBlock);
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all)
    });
    // A write that waits goes behind what was accepted before.
    connection.write_all(b"the last\n").unwrap();
    expected.extend(b"the last\n");
    connection.flush().unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let all = reading.join().unwrap().unwrap();
    assert!(all[filled..] == expected, "{} and not {}", all.len() - filled, expected.len());
}

#[test]
fn a_close_sends_what_is_queued() {
    let _watchdog = watchdog();
    let (connection, mut peer, filled) = full();
    let queued = vec![b'q'; 100_000];
    connection.writer().try_write(&queued).unwrap();
    let reading = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).map(|_| all)
    });
    connection.close().unwrap();
    assert!(reading.join().unwrap().unwrap()[filled..] == queued);
}

/// As in a client that has a thread for either direction.
#[test]
fn a_writer_half_closes_while_another_thread_reads() {
    let _watchdog = watchdog();
    let (mut connection, mut peer, filled) = full();
    let writer = connection.writer();
    let reading = std::thread::spawn(move || {
        let mut answer = String::new();
        connection.read_to_string(&mut answer).map(|_| (answer, connection))
    });
    let queued = vec![b'q'; 100_000];
    writer.try_write(&queued).unwrap();
    let ending = std::thread::spawn(move || writer.shutdown_write().map(|()| writer));
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert!(all[filled..] == queued, "{} and not {}", all.len() - filled, queued.len());
    let mut writer = ending.join().unwrap().unwrap();
    assert!(!writer.is_closed());
    for result in [writer.write_all(b"x"), writer.try_write(b"x"), writer.shutdown_write()] {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
    peer.write_all(b"the answer").unwrap();
    drop(peer);
    let (answer, connection) = reading.join().unwrap().unwrap();
    assert_eq!(answer, "the answer");
    connection.close().unwrap();
    assert_eq!(writer.shutdown_write().unwrap_err().kind(), io::ErrorKind::NotConnected);
}

/// A stuck peer must not keep the descriptor of a connection that has been dropped.
#[test]
fn a_dropped_connection_is_gone_although_its_queue_is_not_sent() {
    let _watchdog = watchdog();
    let (mut connection, mut peer, _) = full();
    connection.set_write_timeout(None).unwrap();
    let writer = connection.writer();
    writer.try_write(&vec![b'q'; 200_000]).unwrap();
    let mut blocked = connection.writer();
    let blocked = std::thread::spawn(move || blocked.write_all(b"blocked"));
    drop(connection);
    eventually("the writers notice", || writer.is_closed());
    blocked.join().unwrap().unwrap_err();
    let _ = io::copy(&mut peer, &mut io::sink());
}

#[test]
fn a_writer_outlives_its_request_and_says_so() {
    let _watchdog = watchdog();
    let (sender, writers) = channel();
    let served =
        ThreadingTcpServer::serve(handler_fn(move |request: &mut Connection| Ok(sender.send(request.writer())?)));
    // The end of the file, although there is a writer: it keeps no descriptor.
    assert_eq!(served.exchange(b""), b"");
    let mut writer = receive(&writers);
    served.idle();
    assert!(writer.is_closed());
    for result in [writer.write_all(b"x"), writer.try_write(b"x"), writeln!(writer, "x"), writer.flush()] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        assert!(error.to_string().contains("the request is over"), "{error}");
    }
    assert!(writer.peer_addr().as_socket_addr().is_some());
    served.stop();
}

#[test]
fn a_broadcast_is_not_held_up_by_one_who_does_not_read() {
    let _watchdog = watchdog();
    let members = Arc::new(Mutex::new(Vec::new()));
    let of_handler = Arc::clone(&members);
    let handler = handler_fn(move |request: &mut Connection| {
        of_handler.lock().unwrap().push(request.writer());
        // Until the client goes.
        io::copy(request, &mut io::sink())?;
        Ok(())
    });
    let builder = ThreadingTcpServer::builder().write_queue(10_000).drain_timeout(Duration::ZERO);
    let served = ThreadingTcpServer::serve_as(builder, handler);
    let (deaf, mut good) = (served.connect(), served.connect());
    eventually("both are members", || members.lock().unwrap().len() == 2);
    // In step with the good one, until the deaf one has been put out.
    let message = [b'm'; 5000];
    let mut rounds = 0;
    while members.lock().unwrap().len() == 2 {
        members.lock().unwrap().retain(|member| member.try_write(&message).is_ok());
        good.read_exact(&mut [0; 5000]).unwrap();
        rounds += 1;
    }
    assert!(rounds > 2);
    drop(deaf);
    served.stop();
}

/// Notes down how much is written at a time and how long each call may wait, takes at most a thousand bytes, and cannot say
/// what it would take at once.
#[derive(Debug)]
struct Noting {
    below: Arc<dyn Stream>,
    writes: Arc<Mutex<Vec<usize>>>,
    waits: Arc<Mutex<Vec<Wait>>>,
}

impl Stream for Noting {
    fn read(&self, buf: &mut [u8], wait: Wait) -> io::Result<usize> {
        self.waits.lock().unwrap().push(wait);
        self.below.read(buf, wait)
    }

    fn write(&self, buf: &[u8], wait: Wait) -> io::Result<usize> {
        let count = buf.len().min(1000);
        self.waits.lock().unwrap().push(wait);
        self.writes.lock().unwrap().push(count);
        self.below.write(&buf[..count], wait)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.below.shutdown(how)
    }
}

struct Notes {
    writes: Arc<Mutex<Vec<usize>>>,
    waits: Arc<Mutex<Vec<Wait>>>,
}

fn noted() -> (Connection, TcpStream, Notes) {
    let (mut connection, peer) = pair();
    let notes = Notes { writes: Arc::default(), waits: Arc::default() };
    let (writes, waits) = (Arc::clone(&notes.writes), Arc::clone(&notes.waits));
    connection.wrap_stream(|below| Ok(Arc::new(Noting { below, writes, waits }))).unwrap();
    (connection, peer, notes)
}

/// A slow but honest peer is not cut: the timeout is for each wait anew, the deadline is one for all.
#[test]
fn every_wait_for_progress_has_the_whole_timeout() {
    let _watchdog = watchdog();
    let (mut connection, mut peer, notes) = noted();
    connection.set_write_timeout(Duration::from_secs(7)).unwrap();
    connection.set_read_timeout(Duration::from_secs(9)).unwrap();
    connection.write_all(&[0; 5500]).unwrap();
    let exchange = std::thread::spawn(move || {
        for _ in 0..5 {
            peer.write_all(b"x").unwrap();
        }
        drop(peer.shutdown(Shutdown::Write));
        peer
    });
    connection.read_to_end(&mut Vec::new()).unwrap();
    let _peer = exchange.join().unwrap();
    for wait in notes.waits.lock().unwrap().drain(..6) {
        assert_eq!((wait.timeout, wait.deadline), (Some(Duration::from_secs(7)), None));
    }
    let reads = std::mem::take(&mut *notes.waits.lock().unwrap());
    assert!(reads.len() >= 2);
    for wait in reads {
        assert_eq!((wait.timeout, wait.deadline), (Some(Duration::from_secs(9)), None));
    }
    connection.set_deadline(LONG).unwrap();
    connection.write_all(&[0; 5500]).unwrap();
    let waits = std::mem::take(&mut *notes.waits.lock().unwrap());
    assert_eq!(waits.len(), 6);
    assert!(waits.iter().all(|wait| wait.deadline == connection.deadline()), "{waits:?}");
}

/// std's own goes out in as many pieces as the format string has.
#[test]
fn writeln_goes_out_in_one_piece() {
    let _watchdog = watchdog();
    let (mut connection, _peer, notes) = noted();
    writeln!(connection, "{}: {} and {:?}", 1, String::from("two"), [3, 4]).unwrap();
    let mut writer = connection.writer();
    write!(writer, "{}{}{}", 1, 2, 3).unwrap();
    connection.write_frame(socketserver::framing::LengthPrefix::U32_BE, b"payload").unwrap();
    assert_eq!(*notes.writes.lock().unwrap(), ["1: two and [3, 4]\n".len(), 3, 4 + 7]);
}

#[test]
fn partial_writes_lose_and_repeat_nothing() {
    let _watchdog = watchdog();
    let (mut connection, mut peer, notes) = noted();
    let data: Vec<u8> = (0..5500u32).map(|n| (n % 251) as u8).collect();
    connection.write_all(&data).unwrap();
    assert_eq!(*notes.writes.lock().unwrap(), [1000, 1000, 1000, 1000, 1000, 500]);
    assert_eq!(connection.write(&data).unwrap(), 1000);
    connection.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert!(all == [&data[..], &data[..1000]].concat());
}

#[test]
fn try_write_works_over_a_stream_that_only_waits() {
    let _watchdog = watchdog();
    let (mut connection, mut peer, _) = noted();
    let writer = connection.writer();
    let data = vec![b'd'; 10_000];
    for piece in data.chunks(1234) {
        writer.try_write(piece).unwrap();
    }
    connection.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert!(all == data);
}

struct Unwritable;

impl fmt::Display for Unwritable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

struct Panicking;

impl fmt::Display for Panicking {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("while it is formatted")
    }
}

#[test]
fn an_argument_that_fails_or_panics_while_it_is_formatted_sends_nothing() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    let mut writer = connection.writer();
    let error = writeln!(connection, "before {} after", Unwritable).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writeln!(writer, "before {}", Panicking)));
    panicked.unwrap_err();
    // Nobody has been left with the turn.
    writeln!(connection, "whole").unwrap();
    connection.close().unwrap();
    let mut all = String::new();
    peer.read_to_string(&mut all).unwrap();
    assert_eq!(all, "whole\n");
}

#[test]
fn a_queue_that_could_not_be_sent_is_an_error_of_the_next_write() {
    let _watchdog = watchdog();
    let (mut connection, peer, _) = full();
    connection.writer().try_write(&[b'q'; 1000]).unwrap();
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    is_poisoned_or_reset(connection.write_all(b"x"));
    is_poisoned_or_reset(connection.flush());
}

fn is_poisoned_or_reset(result: io::Result<()>) {
    let kind = result.unwrap_err().kind();
    assert!(matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{kind:?}");
}
