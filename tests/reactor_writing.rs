//! The write buffer of the event-driven servers: its marks, its hard limit, what it does to reading, and the close.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::reactor::{
    fill, flood, lost, narrow, pattern, read_out, serving, until_lost, Echo, Probe, ReactorKind, ReactorTcp, Told,
};
use common::{failures, own_address, read_all, read_byte, receive, run, within_patience, Place, Served, LONG};
use socketserver::reactor::WriteStatus;
use socketserver::{Error, Protocol, ReactorTcpServer, Transport};

every_reactor! {
    the_marks_are_exact
    a_high_mark_of_zero_pauses_whenever_anything_waits
    what_the_system_takes_at_once_pauses_nobody
    marks_that_make_no_sense_are_refused
    above_the_hard_limit_the_connection_is_closed
    the_hard_limit_can_be_raised
    an_echo_is_bounded_and_loses_nothing
    a_connection_that_is_full_is_not_read
    read_while_full_is_bounded_by_the_hard_limit
    a_producer_goes_on_at_resume_writing
    a_peer_that_still_sends_gets_the_last_answer
}

fn the_marks_are_exact<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| {
        let waiting = transport.write_buffer_size();
        match told {
            Told::Data(data) if data == b"1" => {
                flood(transport);
                let waiting = transport.write_buffer_size();
                // At the mark is not above it.
                transport.set_write_buffer_limits(waiting, waiting / 2).unwrap();
                transport.set_timeout(Duration::from_millis(10)).unwrap();
            }
            Told::TimedOut => {
                // Above it by a byte.
                transport.set_write_buffer_limits(waiting - 1, waiting / 2).unwrap();
                transport.set_timeout(None).unwrap();
            }
            Told::PauseWriting => {
                // Below the high mark, but not at the low one.
                transport.set_write_buffer_limits(64 << 20, waiting / 2).unwrap();
            }
            Told::Data(data) if data == b"2" => {
                transport.set_write_buffer_limits(64 << 20, waiting).unwrap();
            }
            Told::ResumeWriting => transport.abort(),
            _ => {}
        }
    });
    let served = K::serve(probe.overriding(|told| *told == Told::TimedOut));
    let mut client = narrow(&served.place);
    client.write_all(b"1").unwrap();
    let data = |text: &[u8]| Told::Data(text.to_vec());
    for expected in [Told::Made, data(b"1"), Told::TimedOut, Told::PauseWriting] {
        assert_eq!(receive(&told), expected);
    }
    client.write_all(b"2").unwrap();
    assert_eq!(until_lost(&told), [data(b"2"), Told::ResumeWriting, Told::Lost(None)]);
    served.stop();
}

fn a_high_mark_of_zero_pauses_whenever_anything_waits<K: ReactorKind>() {
    let rounds = AtomicUsize::new(0);
    let (probe, told) = Probe::new(move |told, transport| match told {
        Told::Data(_) => {
            fill(transport);
        }
        Told::PauseWriting => assert!(transport.write_buffer_size() > 0),
        Told::ResumeWriting => {
            assert_eq!(transport.write_buffer_size(), 0);
            if rounds.fetch_add(1, Ordering::SeqCst) == 2 {
                return transport.close();
            }
            assert!(fill(transport) > 0);
        }
        _ => {}
    });
    let served = serving(K::bind(K::builder().write_buffer_limits(0, 0), probe));
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    read_all(&mut client);
    let (pause, resume) = (Told::PauseWriting, Told::ResumeWriting);
    let notices: Vec<Told> = until_lost(&told).into_iter().filter(|told| *told == pause || *told == resume).collect();
    assert_eq!(notices, [pause.clone(), resume.clone(), pause.clone(), resume.clone(), pause, resume]);
    served.stop();
}

fn what_the_system_takes_at_once_pauses_nobody<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| {
        if told.is_data() {
            assert_eq!(transport.write(b"a little"), WriteStatus::Sent);
            assert_eq!(transport.write_buffer_size(), 0);
        }
    });
    let served = serving(K::bind(K::builder().write_buffer_limits(0, 0), probe));
    assert_eq!(served.exchange(b"x"), b"a little");
    assert_eq!(until_lost(&told), [Told::Made, Told::Data(b"x".to_vec()), Told::Eof, Told::Lost(None)]);
    served.stop();
}

fn marks_that_make_no_sense_are_refused<K: ReactorKind>() {
    let (sender, errors) = channel();
    let (served, _told) = K::probe(move |told, transport| {
        if *told == Told::Made {
            for result in [
                transport.set_write_buffer_limits(10, 11),
                transport.set_write_buffer_limits((1 << 20) + 1, 0),
                transport.set_write_buffer_hard_limit(64 * 1024 - 1),
                transport.set_write_buffer_hard_limit(0),
                transport.set_timeout(Duration::ZERO),
                transport.set_write_timeout(Duration::ZERO),
                transport.set_deadline(Duration::ZERO),
            ] {
                sender.send(result.unwrap_err()).unwrap();
            }
            // What was set before is still in force.
            fill(transport);
            assert_eq!(transport.write(&[0; 32 * 1024]), WriteStatus::Buffered);
            assert_eq!(transport.write(&[0; 64 * 1024]), WriteStatus::AboveHighMark);
        }
    });
    let client = served.connect();
    let names = [
        "write_buffer_limits",
        "write_buffer_hard_limit",
        "write_buffer_hard_limit",
        "write_buffer_hard_limit",
        "timeout",
        "write_timeout",
        "deadline",
    ];
    for name in names {
        let error = receive(&errors);
        assert!(matches!(&error, Error::InvalidSetting { setting, .. } if *setting == name), "{error}");
    }
    assert_eq!(served.handle.stats().panics, 0);
    drop(client);
    served.stop();
}

/// Sends the limit that `connection_lost` is told of.
#[derive(Clone)]
struct TooMuch(std::sync::mpsc::Sender<usize>);

impl Protocol for TooMuch {
    fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
        let before = fill(transport);
        assert!(before > 0);
        while transport.write(&[b'.'; 10_000]) != WriteStatus::Closed {
            assert!(transport.write_buffer_size() <= 200_000);
        }
        assert!(transport.write_buffer_size() > 190_000 || transport.write_buffer_size() == 0);
    }

    fn connection_lost(&mut self, _: &mut Transport, error: Option<&io::Error>) {
        let error = error.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        let Some(Error::WriteBufferFull { limit, .. }) = Error::of(error) else { panic!("{error}") };
        self.0.send(*limit).unwrap();
    }
}

fn above_the_hard_limit_the_connection_is_closed<K: ReactorKind>() {
    let (handle_error, failures) = failures();
    let (sender, limits) = channel();
    let builder = K::builder().write_buffer_hard_limit(200_000).handle_error(handle_error);
    let served = serving(K::bind(builder, TooMuch(sender)));
    for _ in 0..3 {
        let mut client = narrow(&served.place);
        client.write_all(b"x").unwrap();
        assert_eq!(receive(&limits), 200_000);
        let failure = receive(&failures);
        assert!(failure.starts_with("transport of ") && failure.contains("more than 200000 bytes"), "{failure}");
        let (_, end) = read_out(&mut client);
        assert!(end.is_err() || !matches!(served.place, Place::Tcp(_)), "it looks like the whole answer");
    }
    served.idle();
    assert_eq!(served.handle.stats().handler_errors, 3);
    served.stop();
    assert_eq!(failures.try_iter().count(), 0);
}

fn the_hard_limit_can_be_raised<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if told.is_data() {
            transport.set_write_buffer_hard_limit(20 << 20).unwrap();
            transport.write(&pattern(16 << 20));
            assert!(transport.write_buffer_size() > 1 << 20);
        }
    });
    let mut client = narrow(&served.place);
    client.write_all(b"x").unwrap();
    // Nobody reads before it has been written.
    for expected in [Told::Made, Told::Data(b"x".to_vec()), Told::PauseWriting] {
        assert_eq!(receive(&told), expected);
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert!(read_all(&mut client) == pattern(16 << 20));
    assert_eq!(lost(&told), None);
    served.stop();
}

/// Sends until nothing more is taken, which says how much was.
fn send_until_stuck(client: &mut socket2::Socket, data: &[u8]) -> io::Result<usize> {
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    while sent < data.len() {
        match client.write(&data[sent..data.len().min(sent + 65536)]) {
            Ok(count) => sent += count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
            Err(error) => return Err(error),
        }
    }
    client.set_write_timeout(Some(LONG)).unwrap();
    Ok(sent)
}

/// The three-line echo, a peer that sends and does not read, and then does.
fn an_echo_is_bounded_and_loses_nothing<K: ReactorKind>() {
    const LENGTH: usize = 40 << 20;
    let most = Arc::new(AtomicUsize::new(0));
    let by_script = Arc::clone(&most);
    let (served, told) = K::probe(move |told, transport| {
        if let Told::Data(data) = told {
            transport.write(data);
            by_script.fetch_max(transport.write_buffer_size(), Ordering::SeqCst);
        }
    });
    // Nobody looks.
    drop(told);
    let data = Arc::new(pattern(LENGTH));
    let mut client = served.connect();
    let sent = send_until_stuck(&mut client, &data).unwrap();
    assert!(sent < LENGTH, "everything was read, although nothing was taken");
    let mut writer = client.try_clone().unwrap();
    let rest = Arc::clone(&data);
    let writing = std::thread::spawn(move || {
        writer.write_all(&rest[sent..]).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    assert!(read_all(&mut client) == *data);
    writing.join().unwrap();
    // The high mark, and what one read brings.
    assert!(most.load(Ordering::SeqCst) <= 128 * 1024, "{most:?}");
    served.idle();
    assert_eq!(served.handle.stats().handler_errors, 0);
    served.stop();
}

/// Not even when what fills it comes from elsewhere; and it is read again once it has drained.
fn a_connection_that_is_full_is_not_read<K: ReactorKind>() {
    let (sender, handles) = channel();
    let (served, told) = K::probe(move |told, transport| match told {
        Told::Made => {
            transport.set_write_buffer_hard_limit(64 << 20).unwrap();
            sender.send(transport.handle()).unwrap();
        }
        Told::Data(_) => assert!(transport.write_buffer_size() <= 64 * 1024),
        _ => {}
    });
    let mut client = narrow(&served.place);
    receive(&handles).write(&vec![b'.'; 16 << 20]).unwrap();
    assert_eq!(receive(&told), Told::Made);
    assert_eq!(receive(&told), Told::PauseWriting);
    client.write_all(b"x").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    read_all(&mut client);
    let seen = until_lost(&told);
    assert!(seen.contains(&Told::Data(b"x".to_vec())), "{seen:?}");
    assert_eq!(served.handle.stats().panics, 0);
    served.stop();
}

fn read_while_full_is_bounded_by_the_hard_limit<K: ReactorKind>() {
    let (handle_error, failures) = failures();
    let served = serving(K::bind(K::builder().read_while_full(true).handle_error(handle_error), Echo));
    let mut client = served.connect();
    // It is read until too much waits, and then it is over.
    let result = send_until_stuck(&mut client, &pattern(40 << 20));
    assert!(result.is_err(), "{result:?}");
    assert!(receive(&failures).contains("more than 1048576 bytes"));
    served.stop();
}

/// Sends in pieces, and stops between `pause_writing` and `resume_writing`.
#[derive(Clone)]
struct Producer {
    left: &'static [u8],
    paused: bool,
}

impl Producer {
    const LENGTH: usize = 8 << 20;
    const PIECE: usize = 10_000;

    fn new() -> Self {
        Producer { left: pattern(Self::LENGTH).leak(), paused: false }
    }

    fn produce(&mut self, transport: &mut Transport) {
        while !self.left.is_empty() {
            let (piece, rest) = self.left.split_at(Self::PIECE.min(self.left.len()));
            self.left = rest;
            if transport.write(piece) == WriteStatus::AboveHighMark {
                return;
            }
        }
        transport.close();
    }
}

impl Protocol for Producer {
    fn data_received(&mut self, transport: &mut Transport, _: &[u8]) {
        self.produce(transport);
    }

    fn pause_writing(&mut self, transport: &mut Transport) {
        assert!(!self.paused);
        self.paused = true;
        let waiting = transport.write_buffer_size();
        assert!(waiting > 64 * 1024 && waiting <= 64 * 1024 + Self::PIECE, "{waiting}");
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        assert!(self.paused);
        self.paused = false;
        assert!(transport.write_buffer_size() <= 16 * 1024);
        self.produce(transport);
    }

    fn eof_received(&mut self, _: &mut Transport) {}
}

fn check_producer(served: &Served) {
    let mut client = narrow(&served.place);
    client.write_all(b"x").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::<u8>::new();
    let mut piece = vec![0; 30_000];
    loop {
        let count = client.read(&mut piece).unwrap();
        if count == 0 {
            break;
        }
        answer.extend(&piece[..count]);
        std::thread::yield_now();
    }
    assert_eq!(answer.len(), Producer::LENGTH);
    assert!(answer == pattern(Producer::LENGTH));
    served.idle();
    assert_eq!(served.handle.stats().panics, 0);
}

fn a_producer_goes_on_at_resume_writing<K: ReactorKind>() {
    let served = K::serve(Producer::new());
    for _ in 0..3 {
        check_producer(&served);
    }
    served.stop();
}

/// A listener whose connections have a small send buffer, which they inherit.
fn with_a_small_send_buffer() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind(own_address()).unwrap();
    socket2::SockRef::from(&listener).set_send_buffer_size(4096).unwrap();
    listener
}

#[test]
fn a_producer_goes_on_although_the_system_takes_little() {
    run(|| {
        let server = ReactorTcpServer::from_listener(with_a_small_send_buffer(), Producer::new()).unwrap();
        let place = Place::Tcp(server.local_addr());
        let served = serving((server, place));
        for _ in 0..2 {
            check_producer(&served);
        }
        served.stop();
    });
}

/// Whoever stops in the middle of a request must be able to read why.
fn a_peer_that_still_sends_gets_the_last_answer<K: ReactorKind>() {
    let (served, _told) = K::probe(|told, transport| {
        if told.is_data() {
            transport.write(b"enough");
            transport.close();
        }
    });
    let upload = Arc::new(vec![0; 4 << 20]);
    for _ in 0..200 {
        let answer = within_patience(|| {
            let mut client = served.connect();
            let mut writer = client.try_clone()?;
            let upload = Arc::clone(&upload);
            let writing = std::thread::spawn(move || {
                // To the end, or until it has been closed.
                let _ = writer.write_all(&upload);
                let _ = writer.shutdown(Shutdown::Write);
            });
            let mut answer = Vec::<u8>::new();
            let result = client.read_to_end(&mut answer);
            writing.join().unwrap();
            result.map(|_| answer)
        });
        assert_eq!(answer, b"enough");
    }
    served.idle();
    assert_eq!(served.handle.stats().handler_errors, 0);
    served.stop();
}

/// It is bounded in time, whatever the peer does.
#[test]
fn the_patience_of_a_close_has_an_end() {
    run(|| {
        let (ended, wait) = channel();
        let ended = Mutex::new(ended);
        let (served, _told) = ReactorTcp::probe(move |told, transport| {
            if told.is_data() {
                transport.write(b"enough");
                transport.close();
            }
            if told.is_lost() {
                ended.lock().unwrap().send(std::time::Instant::now()).unwrap();
            }
        });
        let mut silent = served.connect();
        silent.write_all(b"x").unwrap();
        let mut sending = served.connect();
        let sender = std::thread::spawn(move || while sending.write_all(&[0; 65536]).is_ok() {});
        let told: Vec<_> = (0..2).map(|_| receive(&wait)).collect();
        assert_eq!(read_byte(&mut silent), Some(b'e'));
        // The protocols have gone long before the sockets.
        served.idle();
        assert!(told.iter().all(|told| told.elapsed() >= Duration::from_millis(900)), "patience is a promise");
        sender.join().unwrap();
        served.stop();
    });
}
