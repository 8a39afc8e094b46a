//! What the examples take for a message, and how they make text of bytes: `examples/common/messages.rs` and `text.rs`.
// The examples use all of these, and Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "../examples/common/messages.rs"]
mod messages;
#[path = "../examples/common/text.rs"]
mod text;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{pair, receive, watchdog};
use messages::{Messages, MOST, PAUSE};
use socketserver::framing::FramingError;
use socketserver::{Address, Connection, Error, Phase, Stream, Wait};
use text::{begun_character, shown, TextDecoder};

/// One, two, three and four bytes a character.
const TEXT: &str = "aé안🦀";

/// What a connection waits for its first byte in these tests.
const READ_TIMEOUT: Duration = Duration::from_secs(7);

/// What comes of a peer, one after another; then it ends.
#[derive(Debug)]
enum Step {
    Bytes(Vec<u8>),
    /// A silence longer than a pause and shorter than the read timeout.
    Pause,
    /// One that is longer than the read timeout, too.
    Silence,
}
use Step::{Pause, Silence};

fn bytes(bytes: impl AsRef<[u8]>) -> Step {
    Step::Bytes(bytes.as_ref().to_vec())
}

/// A peer with whom no time passes.
#[derive(Debug)]
struct Script(Mutex<VecDeque<Step>>);

impl Stream for Script {
    fn read(&self, buf: &mut [u8], wait: Wait) -> io::Result<usize> {
        let mut steps = self.0.lock().unwrap();
        loop {
            match steps.pop_front() {
                None => return Ok(0),
                Some(Step::Bytes(mut bytes)) => {
                    let rest = bytes.split_off(buf.len().min(bytes.len()));
                    if !rest.is_empty() {
                        steps.push_front(Step::Bytes(rest));
                    }
                    buf[..bytes.len()].copy_from_slice(&bytes);
                    return Ok(bytes.len());
                }
                Some(Silence) => return Err(ErrorKind::TimedOut.into()),
                Some(Pause) if wait.timeout == Some(PAUSE) => return Err(ErrorKind::TimedOut.into()),
                Some(Pause) => assert_eq!(wait.timeout, Some(READ_TIMEOUT)),
            }
        }
    }

    /// Everything, and what it was does not matter here.
    fn write(&self, buf: &[u8], _: Wait) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn shutdown(&self, _: Shutdown) -> io::Result<()> {
        Ok(())
    }
}

fn connection(steps: impl IntoIterator<Item = Step>) -> Connection {
    // A read of no bytes would be the end.
    let is_something = |step: &Step| !matches!(step, Step::Bytes(bytes) if bytes.is_empty());
    let script = Script(Mutex::new(steps.into_iter().filter(is_something).collect()));
    let mut connection = Connection::from_stream(Arc::new(script), Address::Unnamed);
    connection.set_read_timeout(READ_TIMEOUT).unwrap();
    connection
}

/// All messages of a peer, to its end.
fn messages(steps: impl IntoIterator<Item = Step>) -> Vec<String> {
    let mut connection = connection(steps);
    let mut messages = Messages::new();
    let mut read = Vec::new();
    while let Some(message) = messages.next(&mut connection).unwrap() {
        read.push(message);
        assert_eq!(connection.read_timeout(), Some(READ_TIMEOUT));
    }
    assert_eq!(messages.next(&mut connection).unwrap(), None, "an end stays one");
    read
}

fn framing_error(error: &io::Error) -> &FramingError {
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    assert!(matches!(Error::of(error), Some(Error::Framing { .. })), "{error}");
    FramingError::of(error).unwrap()
}

#[test]
fn lines_are_messages() {
    assert_eq!(messages([]), [""; 0]);
    assert_eq!(messages([bytes("one\ntwo\r\n\n\r\nfive\n")]), ["one", "two", "", "", "five"]);
    assert_eq!(messages([bytes("one\n"), Pause, bytes("two\n"), Pause]), ["one", "two"]);
    // Only the `\r` of the line end goes.
    assert_eq!(messages([bytes("a\rb\r\r\n \n")]), ["a\rb\r", " "]);
}

#[test]
fn a_pause_or_the_end_ends_a_message_that_has_no_line_end() {
    assert_eq!(messages([bytes("one")]), ["one"]);
    assert_eq!(messages([Pause, bytes("one"), Pause, Pause, bytes("two"), Pause]), ["one", "two"]);
    assert_eq!(messages([bytes("one\ntwo"), Pause, bytes("three\nfour")]), ["one", "two", "three", "four"]);
    assert_eq!(messages([bytes("no pause,"), bytes(" one"), bytes(" message"), Pause]), ["no pause, one message"]);
    assert_eq!(messages([bytes("a\r"), Pause, bytes("b\r")]), ["a\r", "b\r"]);
    assert_eq!(messages([bytes("a\r"), bytes("\nb")]), ["a", "b"]);
}

#[test]
fn nothing_ends_a_message_within_a_character() {
    for split in 0..=TEXT.len() {
        let (first, rest) = TEXT.as_bytes().split_at(split);
        let read = messages([bytes(first), Pause, bytes(rest), Pause]);
        if TEXT.is_char_boundary(split) {
            let parts = [&TEXT[..split], &TEXT[split..]];
            assert_eq!(read, parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>());
        } else {
            assert_eq!(read, [TEXT]);
        }
        // Without a pause, it does not matter where.
        assert_eq!(messages([bytes(first), bytes(rest), Pause]), [TEXT]);
    }
    let one_by_one = "🦀\n".bytes().flat_map(|byte| [bytes([byte]), Pause]);
    // A pause can end it before its line end comes, which then is a message of its own.
    assert_eq!(messages(one_by_one), ["🦀", ""]);
}

#[test]
fn pieces_of_every_size() {
    let lines: Vec<String> = (0..60).map(|number| format!("{number} {}", TEXT.repeat(number * 7 % 40))).collect();
    for end in ["", "\n", "\r\n"] {
        let sent = lines.join("\r\n") + end;
        for size in (1..50).chain([999, 8191, 8192, 8193]) {
            assert_eq!(messages(sent.as_bytes().chunks(size).map(bytes)), lines, "pieces of {size} bytes");
        }
    }
}

#[test]
fn what_is_not_utf8_is_an_error_and_ends_its_own_message() {
    for (bad, at) in [(&b"ab\xff"[..], 2), (b"\xb0\xa1", 0), (b"ok\x80\x80\x80\x80", 2), (b"\xe0\x80", 0)] {
        for (end, next) in [(Pause, "next\n"), (bytes(""), "\nnext\n")] {
            let mut connection = connection([bytes(bad), end, bytes(next)]);
            let mut messages = Messages::new();
            let error = messages.next(&mut connection).unwrap_err();
            assert_eq!(framing_error(&error), &FramingError::InvalidUtf8 { at });
            assert_eq!(messages.next(&mut connection).unwrap().as_deref(), Some("next"));
            assert_eq!(messages.next(&mut connection).unwrap(), None);
        }
    }
    // The end, or a line's, comes within a character.
    for end in ["", "\n"] {
        let mut connection = connection([bytes([&"가나".as_bytes()[..5], end.as_bytes()].concat())]);
        let mut messages = Messages::new();
        let error = messages.next(&mut connection).unwrap_err();
        assert_eq!(framing_error(&error), &FramingError::InvalidUtf8 { at: 3 });
        assert_eq!(messages.next(&mut connection).unwrap(), None);
    }
}

#[test]
fn a_message_has_64_kib_at_most() {
    let longest = "가".repeat(MOST / 3) + "x";
    assert_eq!(longest.len(), 65_536);
    for end in ["", "\n", "\r\n"] {
        assert_eq!(messages([bytes(format!("{longest}{end}"))]), [longest.as_str()]);
        let many = messages([bytes(format!("{longest}\nbetween\n{longest}{end}")), Pause, bytes(&longest)]);
        assert_eq!(many, [&longest, "between", &longest, &longest]);

        let mut connection = connection([bytes(format!("good\n{longest}y{end}")), Pause, bytes("never read\n")]);
        let mut messages = Messages::new();
        assert_eq!(messages.next(&mut connection).unwrap().as_deref(), Some("good"));
        for _ in 0..3 {
            let error = messages.next(&mut connection).unwrap_err();
            assert_eq!(framing_error(&error), &FramingError::LineTooLong { limit: MOST });
        }
    }
}

#[test]
fn a_message_may_be_allowed_less() {
    let mut messages = Messages::new().at_most(TEXT.len());
    let lengths = [format!("{TEXT}\r\n"), format!("{TEXT}\n"), TEXT.to_owned(), format!("{TEXT}x")];
    let mut connection = connection(lengths.into_iter().flat_map(|sent| [bytes(sent), Pause]));
    for _ in 0..3 {
        assert_eq!(messages.next(&mut connection).unwrap().as_deref(), Some(TEXT));
    }
    let error = messages.next(&mut connection).unwrap_err();
    assert_eq!(framing_error(&error), &FramingError::LineTooLong { limit: TEXT.len() });
}

#[test]
fn whoever_has_ended_a_line_may_be_taken_for_one_who_always_does() {
    let mut messages = Messages::new().lines_once_seen();
    let steps = ["one", "two\nth", "ree", "\nfo", "ur"].map(bytes);
    let mut connection = connection(steps.into_iter().flat_map(|step| [step, Pause]));
    for expected in ["one", "two", "three", "four"] {
        assert_eq!(messages.next(&mut connection).unwrap().as_deref(), Some(expected));
    }
    assert_eq!(messages.next(&mut connection).unwrap(), None);
}

#[test]
fn the_read_timeout_is_for_the_first_byte_and_for_the_rest_of_a_character() {
    let (first, rest) = "한글".as_bytes().split_at(4);
    let mut connection = connection([Silence, bytes(first), Silence, Pause, bytes(rest)]);
    let mut messages = Messages::new();
    for _ in 0..2 {
        let error = messages.next(&mut connection).unwrap_err();
        match Error::of(&error) {
            Some(Error::Timeout { phase: Phase::Read, after, .. }) => assert_eq!(*after, READ_TIMEOUT),
            _ => panic!("{error:?}"),
        }
        assert_eq!(connection.read_timeout(), Some(READ_TIMEOUT));
    }
    // Nothing is lost by it.
    assert_eq!(messages.next(&mut connection).unwrap().as_deref(), Some("한글"));
}

#[test]
fn an_echo_can_end_as_its_message_did() {
    let sent = ["one\n", "two\r\n", "three", "\n", "four\r", "five\n"];
    let mut connection = connection(sent.into_iter().flat_map(|sent| [bytes(sent), Pause]));
    let mut messages = Messages::new();
    assert_eq!(messages.line_end(), "");
    for sent in sent {
        let read = messages.next(&mut connection).unwrap().unwrap();
        assert_eq!(read + messages.line_end(), sent);
    }
}

#[test]
fn an_answer_is_all_that_comes_before_a_pause() {
    let mut connection = connection([
        bytes("one"),
        Pause,
        bytes("two\n"),
        Pause,
        bytes("three\r\n"),
        bytes("\nfour\r\n"),
        Pause,
        bytes(&TEXT.as_bytes()[..2]),
        Pause,
        bytes(&TEXT.as_bytes()[2..]),
        Pause,
        bytes("last\nwords"),
    ]);
    let mut messages = Messages::new();
    for answer in ["one", "two", "three\r\n\nfour", TEXT, "last\nwords"] {
        assert_eq!(messages.next_answer(&mut connection).unwrap().as_deref(), Some(answer));
    }
    assert_eq!(messages.next_answer(&mut connection).unwrap(), None);
}

#[test]
fn whoever_asks_is_answered_or_told_that_he_is_not() {
    let mut connection = connection([Pause, bytes("one\ntwo"), Pause, bytes("three"), Silence, Silence]);
    let mut messages = Messages::new();
    assert_eq!(messages.ask(&mut connection, "what?").unwrap(), "one\ntwo");
    assert_eq!(messages.ask(&mut connection, "and?").unwrap(), "three");
    assert_eq!(messages.ask(&mut connection, "and?").unwrap_err().kind(), ErrorKind::TimedOut);
    let error = messages.ask(&mut connection, "and?").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(error.to_string().ends_with("closed the connection before it had answered"), "{error}");
}

#[test]
fn an_answer_has_64_kib_at_most() {
    let mut connection = connection([bytes("\n".repeat(MOST + 1)), Pause, bytes("\n".repeat(MOST + 2))]);
    let mut messages = Messages::new();
    assert_eq!(messages.next_answer(&mut connection).unwrap().unwrap().len(), MOST);
    let error = messages.next_answer(&mut connection).unwrap_err();
    assert_eq!(framing_error(&error), &FramingError::LineTooLong { limit: MOST });
}

/// Messages as another thread reads them from a socket, and the peer that sends them.
fn reading() -> (Receiver<io::Result<Option<String>>>, TcpStream) {
    let (mut connection, peer) = pair();
    let (sender, read) = channel();
    std::thread::spawn(move || {
        let mut messages = Messages::new();
        loop {
            let message = messages.next(&mut connection);
            let ended = !matches!(message, Ok(Some(_)));
            if sender.send(message).is_err() || ended {
                return;
            }
        }
    });
    (read, peer)
}

#[test]
fn on_a_socket_too_a_pause_ends_a_message() {
    let _watchdog = watchdog();
    let (read, mut peer) = reading();
    for text in ["hello", TEXT, "안녕하세요, 서버!", " "] {
        peer.write_all(text.as_bytes()).unwrap();
        assert_eq!(receive(&read).unwrap().as_deref(), Some(text));
    }
    peer.write_all("line\nanother\r\nrest".as_bytes()).unwrap();
    for text in ["line", "another", "rest"] {
        assert_eq!(receive(&read).unwrap().as_deref(), Some(text));
    }
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(receive(&read).unwrap(), None);
}

#[test]
fn on_a_socket_too_no_pause_ends_a_message_within_a_character() {
    let _watchdog = watchdog();
    for split in (1..TEXT.len()).filter(|split| !TEXT.is_char_boundary(*split)) {
        let (read, mut peer) = reading();
        let (first, rest) = TEXT.as_bytes().split_at(split);
        peer.write_all(first).unwrap();
        assert_eq!(read.recv_timeout(PAUSE * 5).unwrap_err(), RecvTimeoutError::Timeout, "split at byte {split}");
        peer.write_all(rest).unwrap();
        assert_eq!(receive(&read).unwrap().as_deref(), Some(TEXT));
    }
}

#[test]
fn a_deadline_takes_no_message_away() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    connection.set_deadline(PAUSE / 2).unwrap();
    peer.write_all(b"just in time").unwrap();
    let mut messages = Messages::new();
    match messages.next(&mut connection) {
        Ok(read) => assert_eq!(read.as_deref(), Some("just in time")),
        // Where this machine took so long to come here, it was not.
        Err(error) => assert!(matches!(Error::of(&error), Some(Error::Timeout { phase: Phase::Request, .. }))),
    }
    let error = messages.next(&mut connection).unwrap_err();
    assert!(matches!(Error::of(&error), Some(Error::Timeout { phase: Phase::Request, .. })), "{error:?}");
}

#[test]
fn text_in_pieces_is_whole_again() {
    for size in 1..=TEXT.len() {
        let mut decoder = TextDecoder::default();
        let text: String = TEXT.as_bytes().chunks(size).map(|piece| decoder.decode(piece)).collect();
        assert_eq!(text, TEXT, "pieces of {size} bytes");
        assert_eq!(decoder.finish(), "");
    }
    let mut decoder = TextDecoder::default();
    assert_eq!(decoder.decode(&TEXT.as_bytes()[..7]), "aé안");
    assert_eq!(decoder.finish(), "\u{fffd}");
    assert_eq!(decoder.finish(), "");
    // What is not UTF-8 holds nothing up.
    assert_eq!(decoder.decode(b"a\xffb"), "a\u{fffd}b");
    assert_eq!(decoder.decode(b"\x80\x80\x80\x80"), "\u{fffd}".repeat(4));
    assert_eq!(decoder.decode(b"\xed\x95"), "");
    assert_eq!(decoder.decode(b"x\xed\x95\x9c"), "\u{fffd}x한");
}

#[test]
fn a_character_that_has_begun() {
    for character in ["é", "안", "🦀"] {
        for length in 1..character.len() {
            let begun = &character.as_bytes()[..length];
            assert_eq!(begun_character(begun), begun);
            assert_eq!(begun_character(&[b"before", begun].concat()), begun);
        }
        assert_eq!(begun_character(character.as_bytes()), b"");
    }
    for text in [&b""[..], b"abc", b"\xff", b"\x80", b"\x80\x80\x80\x80", b"\xc0", b"\xe0\x80", b"\xf8\x88\x80\x80"] {
        assert_eq!(begun_character(text), b"", "{text:?}");
    }
}

#[test]
fn shown_text_stays_on_its_line() {
    assert_eq!(shown("안녕, 🦀 it's \"me\"\r\n"), "안녕, 🦀 it's \"me\"");
    assert_eq!(shown("one\ntwo\t\u{1b}[2J\u{7f}\u{9b}\n\n"), "one\\ntwo\\t\\u{1b}[2J\\u{7f}\\u{9b}");
}
