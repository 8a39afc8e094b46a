//! asyncio's contract of `Protocol` and `Transport`: which callback comes when, whatever the callbacks do.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::Mutex;
use std::time::Duration;

use common::reactor::{lost, narrow, pattern, serving, until_lost, Probe, ReactorKind, Told};
use common::{read_byte, receive, LONG};
use socketserver::reactor::WriteStatus;
use socketserver::Transport;

every_reactor! {
    callbacks_come_in_asyncios_order
    reading_starts_only_after_connection_made
    pause_reading_in_connection_made_is_honoured
    pausing_and_resuming_twice_is_once
    nothing_is_delivered_once_pause_reading_has_returned
    nothing_is_delivered_once_close_has_been_called
    the_end_of_the_stream_closes_after_the_flush
    a_half_open_connection_can_be_written_to
    a_half_open_connection_times_out
    data_before_a_reset_is_delivered
    close_flushes_megabytes_to_a_slow_reader
}

fn callbacks_come_in_asyncios_order<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if let Told::Data(data) = told {
            transport.write(data);
        }
    });
    for _ in 0..3 {
        assert_eq!(served.exchange(b"hello"), b"hello");
        let expected = [Told::Made, Told::Data(b"hello".to_vec()), Told::Eof, Told::Lost(None)];
        assert_eq!(until_lost(&told), expected);
    }
    // One that sends nothing.
    assert_eq!(served.exchange(b""), b"");
    assert_eq!(until_lost(&told), [Told::Made, Told::Eof, Told::Lost(None)]);
    let handle = served.handle.clone();
    assert!(served.stop().is_clean());
    assert_eq!(told.try_iter().count(), 0);
    let stats = handle.stats();
    assert_eq!((stats.accepted, stats.active, stats.handler_errors, stats.panics), (4, 0, 0, 0));
}

fn reading_starts_only_after_connection_made<K: ReactorKind>() {
    let (sent, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let made = AtomicUsize::new(0);
    let (served, told) = K::probe(move |told, _| match told {
        Told::Made => {
            // The data is there before this ends.
            receive(&wait.lock().unwrap());
            made.fetch_add(1, Ordering::SeqCst);
        }
        _ => assert_eq!(made.load(Ordering::SeqCst), 1),
    });
    let mut client = served.connect();
    client.write_all(b"early").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    sent.send(()).unwrap();
    let expected = [Told::Made, Told::Data(b"early".to_vec()), Told::Eof, Told::Lost(None)];
    assert_eq!(until_lost(&told), expected);
    served.stop();
}

const SOON: Duration = Duration::from_millis(20);

fn pause_reading_in_connection_made_is_honoured<K: ReactorKind>() {
    let (sent, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (probe, told) = Probe::new(move |told, transport| match told {
        Told::Made => {
            transport.pause_reading();
            assert!(transport.is_reading_paused());
            receive(&wait.lock().unwrap());
            transport.set_timeout(SOON).unwrap();
        }
        Told::TimedOut => {
            transport.resume_reading();
            transport.set_timeout(LONG).unwrap();
        }
        _ => {}
    });
    let served = K::serve(probe.overriding(|told| *told == Told::TimedOut));
    let mut client = served.connect();
    client.write_all(b"held").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    sent.send(()).unwrap();
    let expected = [Told::Made, Told::TimedOut, Told::Data(b"held".to_vec()), Told::Eof, Told::Lost(None)];
    assert_eq!(until_lost(&told), expected);
    served.stop();
}

fn pausing_and_resuming_twice_is_once<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| match told {
        Told::Made => {
            transport.resume_reading();
            transport.pause_reading();
            transport.pause_reading();
            transport.set_timeout(SOON).unwrap();
        }
        Told::TimedOut => {
            transport.resume_reading();
            transport.resume_reading();
            transport.set_timeout(LONG).unwrap();
        }
        _ => {
            // From any callback, the last too.
            transport.pause_reading();
            transport.resume_reading();
        }
    });
    let served = K::serve(probe.overriding(|told| *told == Told::TimedOut));
    assert_eq!(served.exchange(b"x"), b"");
    assert_eq!(until_lost(&told), [Told::Made, Told::TimedOut, Told::Data(b"x".to_vec()), Told::Eof, Told::Lost(None)]);
    served.stop();
}

fn nothing_is_delivered_once_pause_reading_has_returned<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| match told {
        Told::Made => transport.set_timeout(Duration::from_millis(2)).unwrap(),
        Told::Data(_) => transport.pause_reading(),
        Told::TimedOut => transport.resume_reading(),
        _ => {}
    });
    let served = K::serve(probe.overriding(|told| *told == Told::TimedOut));
    let data = pattern(1 << 20);
    let sent = data.clone();
    let mut client = served.connect();
    let client = std::thread::spawn(move || {
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_byte(&mut client), None);
    });
    let mut received = Vec::new();
    let mut paused = false;
    loop {
        match receive(&told) {
            Told::Data(data) => {
                assert!(!paused, "delivered after pause_reading");
                paused = true;
                received.extend(data);
            }
            Told::TimedOut => paused = false,
            // Nor is the end of the stream.
            Told::Eof => assert!(!paused),
            Told::Lost(error) => break assert_eq!(error, None),
            other => assert_eq!(other, Told::Made),
        }
    }
    assert!(received == data);
    client.join().unwrap();
    served.stop();
}

fn nothing_is_delivered_once_close_has_been_called<K: ReactorKind>() {
    let (sent, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (served, told) = K::probe(move |told, transport| match told {
        Told::Made => receive(&wait.lock().unwrap()),
        Told::Data(_) => transport.close(),
        _ => {}
    });
    let mut client = served.connect();
    // More than one read takes.
    client.set_nonblocking(true).unwrap();
    let mut written = 0;
    while written < 200_000 {
        match client.write(&[0; 4096]) {
            Ok(count) => written += count,
            Err(_) => break,
        }
    }
    assert!(written > 70_000, "{written}");
    client.shutdown(Shutdown::Write).unwrap();
    client.set_nonblocking(false).unwrap();
    sent.send(()).unwrap();
    let seen: Vec<Told> = std::iter::from_fn(|| Some(receive(&told))).take(3).collect();
    assert!(matches!(&seen[..], [Told::Made, Told::Data(_), Told::Lost(None)]), "{seen:?}");
    // And no reset for it.
    assert_eq!(read_byte(&mut client), None);
    served.stop();
    assert_eq!(told.try_iter().count(), 0);
}

const MEGABYTES: usize = 8 << 20;

/// Reads everything, slowly.
fn slowly(client: &mut impl Read) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut piece = vec![0; 50_000];
    loop {
        match client.read(&mut piece).unwrap() {
            0 => return answer,
            count => answer.extend(&piece[..count]),
        }
        if answer.len() % 7 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn answering_megabytes<K: ReactorKind>(script: impl Fn(&Told, &mut Transport) + Send + Sync + 'static) {
    let (served, told) = K::probe(move |told, transport| {
        match told {
            Told::Made => transport.set_write_buffer_hard_limit(2 * MEGABYTES).unwrap(),
            Told::Data(_) => {
                transport.write(&pattern(MEGABYTES));
            }
            _ => {}
        }
        script(told, transport);
    });
    let mut client = narrow(&served.place);
    client.write_all(b"x").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(slowly(&mut client) == pattern(MEGABYTES));
    assert_eq!(lost(&told), None);
    served.stop();
}

fn the_end_of_the_stream_closes_after_the_flush<K: ReactorKind>() {
    answering_megabytes::<K>(|_, _| {});
}

fn close_flushes_megabytes_to_a_slow_reader<K: ReactorKind>() {
    answering_megabytes::<K>(|told, transport| {
        if told.is_data() {
            transport.close();
            assert!(transport.is_closing());
            assert_eq!(transport.write(b"too late"), WriteStatus::Closed);
            transport.close();
        }
    });
}

fn a_half_open_connection_can_be_written_to<K: ReactorKind>() {
    let (sender, handles) = channel();
    let (probe, told) = Probe::new(move |told, transport| {
        if *told == Told::Eof {
            assert!(!transport.is_closing());
            transport.write(b"a");
            sender.send(transport.handle()).unwrap();
        }
    });
    let served = K::serve(probe.overriding(|told| *told == Told::Eof));
    let mut client = served.connect();
    client.shutdown(Shutdown::Write).unwrap();
    let handle = receive(&handles);
    assert_eq!(read_byte(&mut client), Some(b'a'));
    handle.write(b"b").unwrap();
    assert_eq!(read_byte(&mut client), Some(b'b'));
    handle.close().unwrap();
    assert_eq!(read_byte(&mut client), None);
    assert_eq!(until_lost(&told), [Told::Made, Told::Eof, Told::Lost(None)]);
    served.stop();
}

/// Half-closed sockets must not pile up.
fn a_half_open_connection_times_out<K: ReactorKind>() {
    let (probe, told) = Probe::new(|_, _| {});
    let probe = probe.overriding(|told| *told == Told::Eof);
    let served = serving(K::bind(K::builder().read_timeout(SOON), probe));
    let mut client = served.connect();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_byte(&mut client), None);
    let seen = until_lost(&told);
    assert_eq!(seen[..3], [Told::Made, Told::Eof, Told::TimedOut]);
    let Told::Lost(Some((kind, _))) = &seen[3] else { panic!("{seen:?}") };
    assert_eq!(*kind, io::ErrorKind::TimedOut);
    served.idle();
    served.stop();
}

fn data_before_a_reset_is_delivered<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if *told == Told::Made {
            transport.write(b"unread");
        }
    });
    for _ in 0..20 {
        let mut client = served.connect();
        client.peek(&mut [std::mem::MaybeUninit::uninit()]).unwrap();
        client.write_all(b"the last words").unwrap();
        // With something unread, which makes a reset of the close.
        drop(client);
        let seen = until_lost(&told);
        assert_eq!(seen[..2], [Told::Made, Told::Data(b"the last words".to_vec())]);
        let Told::Lost(Some((kind, _))) = &seen[2] else { panic!("{seen:?}") };
        assert_eq!(*kind, io::ErrorKind::ConnectionReset);
    }
    served.stop();
}
