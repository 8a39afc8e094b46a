//! `Framed`: lines and frames from the event-driven servers, however the stream is cut.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::reactor::{fill, serving, ReactorKind};
use common::{eventually, failures, read_all, read_byte, receive, Served, LONG};
use socketserver::framing::{Decoder, FrameDecoder, FramingError, LengthPrefix, LineDecoder};
use socketserver::reactor::{Framed, MessageProtocol};
use socketserver::{Error, Transport};

every_reactor! {
    lines_come_whole_wherever_they_are_cut
    frames_come_whole_wherever_they_are_cut
    many_messages_in_one_piece_come_one_by_one
    a_message_of_megabytes_comes_whole
    a_last_line_without_its_end_is_delivered
    a_frame_that_is_cut_off_fails
    a_line_above_the_limit_fails
    a_frame_above_the_limit_fails
    whoever_overrides_framing_failed_has_the_last_word
    nothing_is_delivered_after_a_failure
    a_pause_in_the_middle_of_a_batch_holds_the_rest
    a_close_in_the_middle_of_a_batch_drops_the_rest
    a_last_line_that_closes_is_the_end
    a_batch_with_long_answers_is_held_while_the_buffer_is_full
    each_connection_has_a_decoder_of_its_own
    a_panic_in_message_received_ends_the_connection
    half_a_message_is_completed_at_a_stop
    whoever_is_between_messages_is_told_of_a_stop_at_once
    a_peer_that_ends_within_a_message_lets_the_stop_pass
    whoever_has_paused_reading_within_a_message_is_told_at_once
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Made,
    Message(Vec<u8>),
    Failed(FramingError),
    Eof,
    TimedOut,
    Lost(Option<io::ErrorKind>),
}

type Script = Arc<dyn Fn(&Seen, &mut Transport) + Send + Sync>;

/// Tells the test of what comes, and does what the test wants.
#[derive(Clone)]
struct Messages {
    seen: Sender<Seen>,
    script: Script,
    fails_itself: bool,
}

impl Messages {
    fn new(script: impl Fn(&Seen, &mut Transport) + Send + Sync + 'static) -> (Messages, Receiver<Seen>) {
        let (sender, seen) = channel();
        (Messages { seen: sender, script: Arc::new(script), fails_itself: false }, seen)
    }

    fn see(&self, transport: &mut Transport, seen: Seen) {
        let _ = self.seen.send(seen.clone());
        (self.script)(&seen, transport);
    }
}

impl MessageProtocol for Messages {
    fn connection_made(&mut self, transport: &mut Transport) {
        self.see(transport, Seen::Made);
    }

    fn message_received(&mut self, transport: &mut Transport, message: &[u8]) {
        self.see(transport, Seen::Message(message.to_vec()));
    }

    fn framing_failed(&mut self, transport: &mut Transport, error: FramingError) {
        self.see(transport, Seen::Failed(error.clone()));
        if !self.fails_itself {
            ByDefault.framing_failed(transport, error);
        }
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        self.see(transport, Seen::Eof);
        ByDefault.eof_received(transport);
    }

    fn timed_out(&mut self, transport: &mut Transport) {
        self.see(transport, Seen::TimedOut);
    }

    fn connection_lost(&mut self, transport: &mut Transport, error: Option<&io::Error>) {
        if let Some(error) = error.filter(|error| error.kind() != io::ErrorKind::Other) {
            assert!(matches!(Error::of(error), Some(Error::Framing { .. })), "{error}");
        }
        self.see(transport, Seen::Lost(error.map(io::Error::kind)));
    }
}

/// What the trait does by itself.
struct ByDefault;

impl MessageProtocol for ByDefault {
    fn message_received(&mut self, _: &mut Transport, _: &[u8]) {}
}

fn until_lost(seen: &Receiver<Seen>) -> Vec<Seen> {
    let mut all = Vec::new();
    loop {
        all.push(receive(seen));
        if matches!(all.last(), Some(Seen::Lost(_))) {
            return all;
        }
    }
}

fn message(text: &[u8]) -> Seen {
    Seen::Message(text.to_vec())
}

fn whole(messages: &[&[u8]]) -> Vec<Seen> {
    let mut all = vec![Seen::Made];
    all.extend(messages.iter().map(|text| message(text)));
    all.extend([Seen::Eof, Seen::Lost(None)]);
    all
}

fn cut_everywhere<K: ReactorKind>(decoder: impl Decoder + Clone + Send + 'static, stream: &[u8], expected: &[&[u8]]) {
    // The client goes on when the first piece has been looked at.
    let (protocol, seen) = Messages::new(|_, _| {});
    let served = K::serve(Framed::new(decoder, protocol));
    for cut in 0..=stream.len() {
        let mut client = served.connect();
        client.write_all(&stream[..cut]).unwrap();
        std::thread::yield_now();
        client.write_all(&stream[cut..]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(until_lost(&seen), whole(expected), "cut at {cut}");
    }
    // Byte by byte, each in a segment of its own.
    let mut client = served.connect();
    for byte in stream {
        client.write_all(&[*byte]).unwrap();
        std::thread::yield_now();
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(until_lost(&seen), whole(expected));
    served.stop();
}

fn lines_come_whole_wherever_they_are_cut<K: ReactorKind>() {
    let lines = LineDecoder::new().strip_cr(true);
    cut_everywhere::<K>(lines, b"first\n\r\n\nsecond line\r\nlast", &[b"first", b"", b"", b"second line", b"last"]);
}

fn frames_come_whole_wherever_they_are_cut<K: ReactorKind>() {
    let frames = FrameDecoder::new(LengthPrefix::U8);
    cut_everywhere::<K>(frames, b"\x05first\x00\x0bsecond line", &[b"first", b"", b"second line"]);
}

fn many_messages_in_one_piece_come_one_by_one<K: ReactorKind>() {
    let (protocol, seen) = Messages::new(|_, _| {});
    let served = K::serve(Framed::new(LineDecoder::new(), protocol));
    let mut client = served.connect();
    let stream: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    client.write_all(stream.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let all = until_lost(&seen);
    assert_eq!(all.len(), 20_003);
    for (number, line) in all[1..=20_000].iter().enumerate() {
        assert_eq!(*line, message(number.to_string().as_bytes()));
    }
    served.stop();
}

fn a_message_of_megabytes_comes_whole<K: ReactorKind>() {
    const LENGTH: usize = 5 << 20;
    let (protocol, seen) = Messages::new(|_, _| {});
    let served = K::serve(Framed::new(FrameDecoder::new(LengthPrefix::U32_BE).max_frame(LENGTH), protocol));
    let mut client = served.connect();
    let frame = common::reactor::pattern(LENGTH);
    client.write_all(&(LENGTH as u32).to_be_bytes()).unwrap();
    client.write_all(&frame).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(until_lost(&seen)[1] == Seen::Message(frame));
    served.stop();
}

fn a_last_line_without_its_end_is_delivered<K: ReactorKind>() {
    let (protocol, seen) = Messages::new(|seen, transport| {
        if let Seen::Message(line) = seen {
            transport.write(line);
        }
    });
    let served = K::serve(Framed::new(LineDecoder::new(), protocol));
    assert_eq!(served.exchange(b"one\ntwo"), b"onetwo");
    assert_eq!(until_lost(&seen), whole(&[b"one", b"two"]));
    served.stop();
}

/// What a decoder that is sent this fails with, and what the server tells of it.
fn failing<K: ReactorKind>(decoder: impl Decoder + Clone + Send + 'static, stream: &[u8], expected: &FramingError) {
    let (handle_error, told) = failures();
    let (protocol, seen) = Messages::new(|_, _| {});
    let served = serving(K::bind(K::builder().handle_error(handle_error), Framed::new(decoder, protocol)));
    assert_eq!(served.exchange(stream), b"");
    let all = until_lost(&seen);
    let expected_end = [Seen::Failed(expected.clone()), Seen::Lost(Some(expected.kind()))];
    assert_eq!(all[all.len() - 2..], expected_end);
    assert_eq!(all[..2], [Seen::Made, message(b"good")]);
    assert_eq!(all.len(), 4);
    let failure = receive(&told);
    assert!(failure.starts_with("transport of ") && failure.contains(&expected.to_string()), "{failure}");
    served.idle();
    assert_eq!(served.handle.stats().handler_errors, 1);
    served.stop();
    assert_eq!(told.try_iter().count(), 0);
}

fn a_frame_that_is_cut_off_fails<K: ReactorKind>() {
    let expected = FramingError::Incomplete { received: 4, missing: 6 };
    failing::<K>(FrameDecoder::new(LengthPrefix::U8), b"\x04good\x09cut", &expected);
}

fn a_line_above_the_limit_fails<K: ReactorKind>() {
    failing::<K>(LineDecoder::new().max_line(8), b"good\nnine byte\nlater\n", &FramingError::LineTooLong { limit: 8 });
}

fn a_frame_above_the_limit_fails<K: ReactorKind>() {
    let expected = FramingError::FrameTooLong { length: 200, limit: 100 };
    failing::<K>(FrameDecoder::new(LengthPrefix::U8).max_frame(100), b"\x04good\xc8", &expected);
}

fn whoever_overrides_framing_failed_has_the_last_word<K: ReactorKind>() {
    let (mut protocol, seen) = Messages::new(|seen, transport| {
        if let Seen::Failed(error) = seen {
            transport.write(format!("400 {error}").as_bytes());
            transport.close();
        }
    });
    protocol.fails_itself = true;
    let served = K::serve(Framed::new(LineDecoder::new().max_line(8), protocol));
    let error = FramingError::LineTooLong { limit: 8 };
    assert_eq!(served.exchange(b"much too long\nshort\n"), format!("400 {error}").as_bytes());
    assert_eq!(until_lost(&seen), [Seen::Made, Seen::Failed(error), Seen::Lost(None)]);
    served.idle();
    assert_eq!(served.handle.stats().handler_errors, 0);
    served.stop();
}

fn nothing_is_delivered_after_a_failure<K: ReactorKind>() {
    // Not even where the protocol takes it lightly: where the next message begins is not known, and the connection closes.
    let (mut protocol, seen) = Messages::new(|seen, transport| {
        if matches!(seen, Seen::Failed(_)) {
            transport.write(b"-");
        }
    });
    protocol.fails_itself = true;
    let served = K::serve(Framed::new(LineDecoder::new().max_line(8), protocol));
    let mut client = served.connect();
    client.write_all(b"much too long\n").unwrap();
    client.read_exact(&mut [0]).unwrap();
    let _ = client.write_all(b"short\n");
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(client);
    let all = until_lost(&seen);
    assert!(!all.iter().any(|seen| matches!(seen, Seen::Message(_))), "{all:?}");
    served.stop();
}

fn a_pause_in_the_middle_of_a_batch_holds_the_rest<K: ReactorKind>() {
    let (protocol, seen) = Messages::new(|seen, transport| match seen {
        Seen::Made => transport.set_timeout(Duration::from_millis(2)).unwrap(),
        Seen::Message(_) => transport.pause_reading(),
        Seen::TimedOut => transport.resume_reading(),
        _ => {}
    });
    let served = K::serve(Framed::new(LineDecoder::new(), protocol));
    let mut client = served.connect();
    client.write_all(b"1\n2\n3\n4").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    read_all(&mut client);
    let all = until_lost(&seen);
    // Between two messages there is a resumption, and the end comes after the last.
    let mut paused = false;
    for next in &all {
        match next {
            Seen::TimedOut => paused = false,
            Seen::Message(_) => assert!(!std::mem::replace(&mut paused, true), "{all:?}"),
            _ => {}
        }
    }
    let lines: Vec<&Seen> = all.iter().filter(|seen| **seen != Seen::TimedOut).collect();
    assert!(lines.into_iter().eq(&whole(&[b"1", b"2", b"3", b"4"])), "{all:?}");
    served.stop();
}

fn a_close_in_the_middle_of_a_batch_drops_the_rest<K: ReactorKind>() {
    let (protocol, seen) = Messages::new(|seen, transport| {
        if *seen == message(b"QUIT") {
            transport.write(b"bye");
            transport.close();
        }
    });
    let served = K::serve(Framed::new(LineDecoder::new(), protocol));
    assert_eq!(served.exchange(b"HELO\nQUIT\nMAIL\nmore"), b"bye");
    assert_eq!(until_lost(&seen), [Seen::Made, message(b"HELO"), message(b"QUIT"), Seen::Lost(None)]);
    served.stop();
}

fn a_last_line_that_closes_is_the_end<K: ReactorKind>() {
    let (protocol, seen) = Messages::new(|seen, transport| {
        if matches!(seen, Seen::Message(_)) {
            transport.close();
        }
    });
    let served = K::serve(Framed::new(LineDecoder::new(), protocol));
    assert_eq!(served.exchange(b"QUIT"), b"");
    assert_eq!(until_lost(&seen), [Seen::Made, message(b"QUIT"), Seen::Lost(None)]);
    served.stop();
}

/// One read brings thousands of requests; a peer that does not take the answers must not be closed for it.
fn a_batch_with_long_answers_is_held_while_the_buffer_is_full<K: ReactorKind>() {
    const REQUESTS: usize = 20_000;
    const ANSWER: usize = 1000;
    let (protocol, seen) = Messages::new(|seen, transport| match seen {
        Seen::Made => {
            fill(transport);
        }
        Seen::Message(line) => {
            assert!(transport.write_buffer_size() <= 64 * 1024, "it is full");
            let mut answer = line.clone();
            answer.resize(ANSWER, b'.');
            transport.write(&answer);
        }
        _ => {}
    });
    let served = K::serve(Framed::new(LineDecoder::new(), protocol));
    let mut client = served.connect();
    assert_eq!(receive(&seen), Seen::Made);
    let stream: String = (0..REQUESTS).map(|_| "x\n").collect();
    client.write_all(stream.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let answer = read_all(&mut client);
    assert_eq!(until_lost(&seen).last(), Some(&Seen::Lost(None)));
    assert_eq!(answer.iter().filter(|byte| **byte == b'x').count(), REQUESTS);
    served.stop();
}

fn each_connection_has_a_decoder_of_its_own<K: ReactorKind>() {
    let (protocol, _seen) = Messages::new(|seen, transport| {
        if let Seen::Message(line) = seen {
            transport.write(line);
        }
    });
    let served = K::serve(Framed::new(LineDecoder::new(), protocol));
    let mut clients: Vec<_> = (0..5).map(|_| served.connect()).collect();
    for piece in [&b"ab"[..], b"cd", b"ef\n"] {
        for client in &mut clients {
            client.write_all(piece).unwrap();
        }
    }
    for client in &mut clients {
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(client), b"abcdef");
    }
    served.stop();
}

fn a_panic_in_message_received_ends_the_connection<K: ReactorKind>() {
    let (handle_error, told) = failures();
    let (protocol, seen) = Messages::new(|seen, _| assert_ne!(*seen, message(b"2"), "not two"));
    let served = serving(K::bind(K::builder().handle_error(handle_error), Framed::new(LineDecoder::new(), protocol)));
    let mut client = served.connect();
    client.write_all(b"1\n2\n3\n").unwrap();
    let all = until_lost(&seen);
    assert_eq!(all, [Seen::Made, message(b"1"), message(b"2"), Seen::Lost(Some(io::ErrorKind::Other))]);
    assert!(receive(&told).contains("not two"));
    served.idle();
    assert_eq!(served.handle.stats().panics, 1);
    served.stop();
    assert_eq!(told.try_iter().count(), 0);
}

/// Stops the server, and waits until its loops have told those connections of it that there have been. With the others, each loop has one more
/// than before, which is told last, and says so.
fn stop(served: &Served, farewell: &[u8]) {
    let others = [(); 3].map(|()| served.connect());
    eventually("they are at home", || served.handle.stats().active == 4);
    served.handle.shutdown();
    for mut other in others {
        assert_eq!(read_all(&mut other), farewell);
    }
}

/// The rest of it comes after the stop; what follows is not served any more.
fn half_a_message_is_completed_at_a_stop<K: ReactorKind>() {
    let (messages, seen) = Messages::new(|seen, transport| {
        if let Seen::Message(message) = seen {
            transport.write(message);
        }
    });
    let served = serving(K::bind(K::builder(), Framed::new(LineDecoder::new(), messages)));
    let mut client = served.connect();
    client.write_all(b"one\nha").unwrap();
    client.read_exact(&mut [0; 3]).unwrap();
    stop(&served, b"");
    client.write_all(b"lf\nthree\n").unwrap();
    assert_eq!(read_all(&mut client), b"half");
    drop(client);
    let report = served.join().unwrap();
    assert_eq!((report.drained, report.abandoned), (4, 0));
    let messages: Vec<Seen> = seen.try_iter().filter(|seen| matches!(seen, Seen::Message(_))).collect();
    assert_eq!(messages, [message(b"one"), message(b"half")]);
}

fn whoever_is_between_messages_is_told_of_a_stop_at_once<K: ReactorKind>() {
    let (messages, seen) = Messages::new(|_, _| {});
    let served = serving(K::bind(K::builder(), Framed::new(FrameDecoder::new(LengthPrefix::U8), messages)));
    let mut client = served.connect();
    client.write_all(b"\x02ab").unwrap();
    assert_eq!([receive(&seen), receive(&seen)], [Seen::Made, message(b"ab")]);
    served.handle.shutdown();
    assert_eq!(read_all(&mut client), b"");
    drop(client);
    assert!(served.join().unwrap().is_clean());
}

fn a_peer_that_ends_within_a_message_lets_the_stop_pass<K: ReactorKind>() {
    /// Stays open when the peer has ended, until it is told.
    #[derive(Clone)]
    struct Stays(Sender<Vec<u8>>);

    impl MessageProtocol for Stays {
        fn message_received(&mut self, _: &mut Transport, message: &[u8]) {
            self.0.send(message.to_vec()).unwrap();
        }

        fn eof_received(&mut self, _: &mut Transport) {}

        fn shutting_down(&mut self, transport: &mut Transport) {
            transport.write(b"told");
            transport.close();
        }
    }

    let (sender, messages) = channel();
    let served = serving(K::bind(K::builder(), Framed::new(LineDecoder::new(), Stays(sender))));
    let mut client = served.connect();
    client.write_all(b"one\nha").unwrap();
    assert_eq!(receive(&messages), b"one");
    stop(&served, b"told");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"told");
    assert_eq!(receive(&messages), b"ha");
    assert!(served.join().unwrap().is_clean());
}

/// The other half would never be read.
fn whoever_has_paused_reading_within_a_message_is_told_at_once<K: ReactorKind>() {
    let (sender, handles) = channel();
    let sender = Mutex::new(sender);
    let (messages, seen) = Messages::new(move |seen, transport| {
        if *seen == Seen::Made {
            sender.lock().unwrap().send(transport.handle()).unwrap();
        }
    });
    let builder = K::builder().drain_timeout(LONG * 10);
    let served = serving(K::bind(builder, Framed::new(LineDecoder::new(), messages)));
    let mut client = served.connect();
    // In one piece, so that both have been read when the first is delivered.
    client.write_all(b"one\nha").unwrap();
    assert_eq!([receive(&seen), receive(&seen)], [Seen::Made, message(b"one")]);
    let handle = receive(&handles);
    handle.pause_reading().unwrap();
    handle.write(b"!").unwrap();
    assert_eq!(read_byte(&mut client), Some(b'!'));
    served.handle.shutdown();
    assert_eq!(read_all(&mut client), b"");
    drop(client);
    assert!(served.join().unwrap().is_clean());
}
