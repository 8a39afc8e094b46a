//! The reading half of a connection: totals, timeouts, limits, frames.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use common::{pair, trickle, watchdog, LONG};
use socketserver::framing::{Decoder, FramingError, LengthPrefix, LineDecoder};
use socketserver::{Connection, Error, Phase};

const MOMENT: Duration = Duration::from_millis(60);

/// The phase and the limit of a timeout of this crate's, whose kind is the same on every system.
fn timeout(error: &io::Error) -> (Phase, Duration) {
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    match Error::of(error) {
        Some(Error::Timeout { phase, after, .. }) => (*phase, *after),
        other => panic!("{other:?}"),
    }
}

fn framing(error: &io::Error) -> &FramingError {
    match Error::of(error) {
        Some(Error::Framing { source, .. }) => source,
        other => panic!("{error}: {other:?}"),
    }
}

/// The deadline ends it all, although each single wait is short.
fn ends_at_the_deadline<T: std::fmt::Debug>(
    trickled: &'static [u8],
    read: impl FnOnce(&mut Connection) -> io::Result<T>,
) {
    let _watchdog = watchdog();
    let (mut connection, peer) = pair();
    let _trickle = trickle(peer, trickled);
    connection.set_read_timeout(LONG).unwrap();
    let started = Instant::now();
    connection.set_deadline(MOMENT).unwrap();
    let error = read(&mut connection).unwrap_err();
    assert!(started.elapsed() >= MOMENT);
    assert!(started.elapsed() < LONG / 2);
    assert_eq!(timeout(&error), (Phase::Request, MOMENT));
    assert!(error.to_string().contains("by the deadline timed out after 60ms"), "{error}");
    // From then on nothing works, without a wait.
    assert_eq!(timeout(&connection.write(b"x").unwrap_err()), (Phase::Request, MOMENT));
}

#[test]
fn read_exact_ends_at_the_deadline() {
    ends_at_the_deadline(b"x", |connection| connection.read_exact(&mut vec![0; 1 << 20]));
}

#[test]
fn read_line_ends_at_the_deadline() {
    ends_at_the_deadline(b"x", |connection| connection.read_line(&mut String::new()));
}

#[test]
fn read_until_ends_at_the_deadline() {
    ends_at_the_deadline(b"x", |connection| connection.read_until(0, &mut Vec::new()));
}

#[test]
fn read_to_end_ends_at_the_deadline() {
    ends_at_the_deadline(b"x", |connection| connection.read_to_end(&mut Vec::new()));
}

#[test]
fn read_to_string_ends_at_the_deadline() {
    ends_at_the_deadline(b"x", |connection| connection.read_to_string(&mut String::new()));
}

#[test]
fn read_frame_ends_at_the_deadline() {
    ends_at_the_deadline(b"\0", |connection| {
        connection.set_max_frame(1 << 30);
        let mut all = Vec::new();
        while let Some(frame) = connection.read_frame(LengthPrefix::U32_BE)? {
            all.extend(frame);
        }
        Ok(all)
    });
}

#[test]
fn adapters_of_std_end_at_the_deadline_too() {
    ends_at_the_deadline(b"x", |connection| connection.lines().next().transpose());
    ends_at_the_deadline(b"x\n", |connection| connection.lines().collect::<io::Result<Vec<_>>>());
    ends_at_the_deadline(b"x", |connection| connection.take(1 << 20).read_to_end(&mut Vec::new()));
    ends_at_the_deadline(b"x", |connection| io::BufReader::new(connection).read_until(0, &mut Vec::new()));
    ends_at_the_deadline(b"x", |connection| io::copy(connection, &mut io::sink()));
}

#[test]
fn a_silent_peer_ends_a_read_at_the_timeout() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    assert_eq!(connection.read_timeout(), Some(Duration::from_secs(60)));
    connection.set_read_timeout(MOMENT).unwrap();
    let started = Instant::now();
    let error = connection.read(&mut [0; 10]).unwrap_err();
    assert!(started.elapsed() >= MOMENT);
    assert_eq!(timeout(&error), (Phase::Read, MOMENT));
    assert!(error.to_string().starts_with("reading timed out after 60ms (127.0.0.1:"), "{error}");
    // Unlike Python's `rfile`, it can be read from afterwards.
    peer.write_all(b"late\n").unwrap();
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    assert_eq!(line, "late\n");
}

#[test]
fn a_deadline_can_be_lifted_and_set_anew() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    connection.set_deadline(Duration::from_nanos(1)).unwrap();
    assert!(connection.deadline().unwrap() <= Instant::now());
    connection.read(&mut [0]).unwrap_err();
    connection.set_deadline(None).unwrap();
    assert_eq!(connection.deadline(), None);
    peer.write_all(b"xy").unwrap();
    connection.read_exact(&mut [0]).unwrap();
    // What is in the buffer already needs no wait.
    connection.set_deadline(Duration::from_nanos(1)).unwrap();
    connection.read_exact(&mut [0]).unwrap();
    assert_eq!(timeout(&connection.read(&mut [0]).unwrap_err()).0, Phase::Request);
    connection.set_deadline(Duration::MAX).unwrap();
    assert_eq!(connection.deadline(), None, "beyond what the clock can say");
}

#[test]
fn a_line_past_its_limit_is_an_error_of_its_own_and_ends_reading() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    assert_eq!(connection.max_line(), 64 * 1024);
    connection.set_max_line(5);
    peer.write_all(b"12345\n123456\nshort\n").unwrap();
    let mut line = String::new();
    assert_eq!(connection.read_line(&mut line).unwrap(), 6);
    let error = connection.read_line(&mut line).unwrap_err();
    assert_eq!(framing(&error), &FramingError::LineTooLong { limit: 5 });
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(line, "12345\n", "nothing of the long one");
    for _ in 0..2 {
        let error = connection.read_line(&mut line).unwrap_err();
        assert_eq!(framing(&error), &FramingError::LineTooLong { limit: 5 });
        framing(&connection.read(&mut [0; 10]).unwrap_err());
        framing(&connection.read(&mut [0; 100_000]).unwrap_err());
    }
    // The other direction is as it was.
    connection.write_all(b"500 line too long\n").unwrap();
    connection.close().unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "500 line too long\n");
}

#[test]
fn a_line_without_an_end_takes_no_more_than_the_limit() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    let flood = std::thread::spawn(move || while peer.write_all(&[b'x'; 65536]).is_ok() {});
    let mut line = Vec::new();
    let error = connection.read_until(b'\n', &mut line).unwrap_err();
    assert_eq!(framing(&error), &FramingError::LineTooLong { limit: 64 * 1024 });
    assert!(line.is_empty());
    assert!(line.capacity() < 512 * 1024, "{}", line.capacity());
    drop(connection);
    flood.join().unwrap();
}

#[test]
fn a_last_line_needs_no_end_and_has_the_same_limit() {
    let _watchdog = watchdog();
    for (sent, expected) in [(&b"abc"[..], Some("abc")), (b"abcdef", None)] {
        let (mut connection, mut peer) = pair();
        connection.set_max_line(5);
        peer.write_all(sent).unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
        let mut line = String::new();
        match (connection.read_line(&mut line), expected) {
            (Ok(count), Some(expected)) => assert_eq!((count, line.as_str()), (3, expected)),
            (Err(error), None) => assert_eq!(framing(&error), &FramingError::LineTooLong { limit: 5 }),
            other => panic!("{other:?}"),
        }
        if expected.is_some() {
            assert_eq!(connection.read_line(&mut line).unwrap(), 0);
        }
    }
}

#[test]
fn a_character_may_straddle_two_reads() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    let text = "Grüße, 世界 🦀\n";
    let sender = std::thread::spawn(move || {
        peer.set_nodelay(true).unwrap();
        for byte in text.bytes() {
            peer.write_all(&[byte]).unwrap();
            std::thread::yield_now();
        }
        peer
    });
    let mut line = String::new();
    assert_eq!(connection.read_line(&mut line).unwrap(), text.len());
    assert_eq!(line, text);
    sender.join().unwrap();
}

#[test]
fn a_timeout_within_a_character_loses_nothing() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    connection.set_read_timeout(MOMENT).unwrap();
    let bytes = "ab世c\n".as_bytes();
    let mut line = String::new();
    for part in [&bytes[..1], &bytes[1..3], &bytes[3..4]] {
        peer.write_all(part).unwrap();
        timeout(&connection.read_line(&mut line).unwrap_err());
    }
    assert_eq!(line, "ab");
    peer.write_all(&bytes[4..]).unwrap();
    connection.read_line(&mut line).unwrap();
    assert_eq!(line, "ab世c\n");
}

/// As std's and Python's, and as the documentation warns.
#[test]
fn a_last_line_without_a_newline_is_a_line_unless_a_timeout_has_handed_it_over() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    peer.write_all(b"whole\nhal").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let mut line = String::new();
    assert_eq!(connection.read_line(&mut line).unwrap(), 6);
    line.clear();
    assert_eq!(connection.read_line(&mut line).unwrap(), 3);
    assert_eq!(line, "hal");
    assert_eq!(connection.read_line(&mut line).unwrap(), 0);

    let (mut connection, mut peer) = pair();
    connection.set_read_timeout(MOMENT).unwrap();
    peer.write_all(b"hal").unwrap();
    let mut line = String::new();
    timeout(&connection.read_line(&mut line).unwrap_err());
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(connection.read_line(&mut line).unwrap(), 0);
    assert_eq!(line, "hal");
}

#[test]
fn a_line_that_is_not_utf_8_is_an_error_and_the_next_is_read() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    peer.write_all(b"ok\nna\xefve\nok again\n").unwrap();
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    let error = connection.read_line(&mut line).unwrap_err();
    assert_eq!(framing(&error), &FramingError::InvalidUtf8 { at: 2 });
    assert_eq!(line, "ok\n");
    connection.read_line(&mut line).unwrap();
    assert_eq!(line, "ok\nok again\n");
}

#[test]
fn a_timeout_within_a_line_that_is_not_utf_8_ends_reading() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    connection.set_read_timeout(MOMENT).unwrap();
    peer.write_all(b"na\xefve").unwrap();
    let error = connection.read_line(&mut String::new()).unwrap_err();
    assert_eq!(framing(&error), &FramingError::InvalidUtf8 { at: 2 });
    peer.write_all(b", but whole\n").unwrap();
    let error = connection.read_line(&mut String::new()).unwrap_err();
    assert_eq!(framing(&error), &FramingError::InvalidUtf8 { at: 2 });
}

#[test]
fn an_end_in_the_middle_says_how_much_had_come() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    peer.write_all(b"abc").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let error = connection.read_exact(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(error.to_string().ends_with("ended after 3 of 10 bytes"), "{error}");
}

#[test]
fn frames_go_there_and_back() {
    let _watchdog = watchdog();
    let (mut connection, peer) = pair();
    std::thread::spawn(move || io::copy(&mut (&peer), &mut (&peer)).and_then(|_| peer.shutdown(Shutdown::Write)));
    let long = vec![7; 200_000];
    for prefix in [LengthPrefix::U32_BE, LengthPrefix::U32_LE, LengthPrefix::U64_BE] {
        for payload in [&b""[..], b"hello", &long] {
            connection.write_frame(prefix, payload).unwrap();
            assert_eq!(connection.read_frame(prefix).unwrap().as_deref(), Some(payload));
        }
    }
    connection.shutdown(Shutdown::Write).unwrap();
    assert_eq!(connection.read_frame(LengthPrefix::U32_BE).unwrap(), None);
}

#[test]
fn a_frame_is_taken_up_again_after_a_timeout() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    connection.set_read_timeout(MOMENT).unwrap();
    for part in [&b"\0"[..], b"\0\0", b"\x05he", b"ll"] {
        peer.write_all(part).unwrap();
        timeout(&connection.read_frame(LengthPrefix::U32_BE).unwrap_err());
    }
    peer.write_all(b"o\0\0\0\x01!").unwrap();
    assert_eq!(connection.read_frame(LengthPrefix::U32_BE).unwrap().unwrap(), b"hello");
    assert_eq!(connection.read_frame(LengthPrefix::U32_BE).unwrap().unwrap(), b"!");
}

#[test]
fn a_frame_past_its_limit_is_refused_before_it_is_read() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    assert_eq!(connection.max_frame(), 1024 * 1024);
    connection.set_max_frame(4);
    peer.write_all(b"\0\0\0\x04fits\xff\xff\xff\xff").unwrap();
    assert_eq!(connection.read_frame(LengthPrefix::U32_BE).unwrap().unwrap(), b"fits");
    for _ in 0..2 {
        let error = connection.read_frame(LengthPrefix::U32_BE).unwrap_err();
        assert_eq!(framing(&error), &FramingError::FrameTooLong { length: u32::MAX.into(), limit: 4 });
    }
    // On the way out, nothing is sent.
    let error = connection.write_frame(LengthPrefix::U32_BE, b"does not").unwrap_err();
    assert_eq!(framing(&error), &FramingError::FrameTooLong { length: 8, limit: 4 });
    connection.write_frame(LengthPrefix::U32_BE, b"fits").unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let mut sent = Vec::new();
    peer.read_to_end(&mut sent).unwrap();
    assert_eq!(sent, b"\0\0\0\x04fits");
}

#[test]
fn a_frame_that_ends_early_is_not_an_end() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    peer.write_all(b"\0\0\0\x05hel").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let error = connection.read_frame(LengthPrefix::U32_BE).unwrap_err();
    assert_eq!(framing(&error), &FramingError::Incomplete { received: 7, missing: 2 });
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_decoder_of_ones_own_reads_from_a_connection() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    peer.write_all(b"one\r\ntwo\r\nthree, which is long\r\n").unwrap();
    let mut lines = LineDecoder::new().strip_cr(true).max_line(10);
    assert_eq!(lines.read_from(&mut connection).unwrap(), Some(&b"one"[..]));
    // What it was read from is free to be written to.
    writeln!(connection, "go on").unwrap();
    assert_eq!(lines.read_from(&mut connection).unwrap(), Some(&b"two"[..]));
    let error = lines.read_from(&mut connection).unwrap_err();
    assert_eq!(FramingError::of(&error), Some(&FramingError::LineTooLong { limit: 10 }));
}

#[test]
fn small_and_large_reads_see_one_stream() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    let data: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    let expected = data.clone();
    let sender = std::thread::spawn(move || peer.write_all(&data).map(|()| drop(peer)));
    let mut got: Vec<u8> = Vec::new();
    for size in [1, 3, 5000, 100, 4096, 4095, 20_000, 7].into_iter().cycle() {
        let mut buffer = vec![0; size];
        match connection.read(&mut buffer).unwrap() {
            0 => break,
            count => got.extend(&buffer[..count]),
        }
    }
    assert!(got == expected, "{} bytes", got.len());
    sender.join().unwrap().unwrap();
    assert_eq!(connection.read(&mut []).unwrap(), 0);
}

#[test]
fn the_peers_end_is_an_end_every_time_it_is_asked_for() {
    let _watchdog = watchdog();
    let (mut connection, peer) = pair();
    drop::<TcpStream>(peer);
    for _ in 0..3 {
        assert_eq!(connection.read(&mut [0; 10]).unwrap(), 0);
        assert_eq!(connection.read(&mut [0; 10_000]).unwrap(), 0);
        assert_eq!(connection.read_line(&mut String::new()).unwrap(), 0);
        assert_eq!(connection.read_frame(LengthPrefix::U16_BE).unwrap(), None);
    }
}
