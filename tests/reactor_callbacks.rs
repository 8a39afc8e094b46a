//! Everything that a callback can do to its connection, done in every callback: the contract holds, and others are not harmed.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use common::reactor::{fill, flood, serving, until_lost, Probe, ReactorKind, Told};
use common::{failures, read_byte, receive, Served, LONG};
use socket2::Socket;
use socketserver::reactor::WriteStatus;
use socketserver::Transport;

every_reactor! {
    close_in_every_callback
    close_twice_in_every_callback
    abort_in_every_callback
    close_and_abort_in_every_callback
    pause_and_close_in_every_callback
    fail_in_every_callback
    close_and_fail_in_every_callback
    panic_in_every_callback
    close_and_panic_in_every_callback
    too_much_in_every_callback
    marks_that_move_in_every_callback
    the_last_of_many_notices_can_close
    the_last_of_many_notices_can_panic
}

/// In which callback the connection is treated so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Made,
    Data,
    Eof,
    PauseWriting,
    ResumeWriting,
    TimedOut,
    ShuttingDown,
    Lost,
}

impl At {
    const ALL: [At; 8] =
        [At::Made, At::Data, At::Eof, At::PauseWriting, At::ResumeWriting, At::TimedOut, At::ShuttingDown, At::Lost];

    fn of(told: &Told) -> At {
        match told {
            Told::Made => At::Made,
            Told::Data(_) => At::Data,
            Told::Eof => At::Eof,
            Told::PauseWriting => At::PauseWriting,
            Told::ResumeWriting => At::ResumeWriting,
            Told::TimedOut => At::TimedOut,
            Told::ShuttingDown => At::ShuttingDown,
            Told::Lost(_) => At::Lost,
        }
    }

    /// The name in what `handle_error` is told.
    fn stage(self) -> &'static str {
        match self {
            At::Made => "connection_made",
            At::Data => "data_received",
            At::Eof => "eof_received",
            At::PauseWriting => "pause_writing",
            At::ResumeWriting => "resume_writing",
            At::TimedOut => "timed_out",
            At::ShuttingDown => "shutting_down",
            At::Lost => "connection_lost",
        }
    }

    /// What makes this callback come about, from within.
    fn provoke(self, told: &Told, transport: &mut Transport) {
        match (self, told) {
            (At::PauseWriting | At::ResumeWriting, Told::Made) => transport.set_write_buffer_limits(0, 0).unwrap(),
            (At::PauseWriting | At::ResumeWriting, Told::Data(_)) => {
                fill(transport);
            }
            (At::TimedOut, Told::Made) => transport.set_timeout(Duration::from_millis(5)).unwrap(),
            _ => {}
        }
    }

    /// What makes it come about, from without. Returns the client, where there still is one.
    fn call_forth(self, served: &Served, told: &Receiver<Told>) -> Option<Socket> {
        let mut client = served.connect();
        match self {
            At::Made | At::TimedOut => {}
            At::Data | At::PauseWriting | At::ResumeWriting => client.write_all(b"x").unwrap(),
            At::Eof => client.shutdown(Shutdown::Write).unwrap(),
            At::ShuttingDown => {
                assert_eq!(receive(told), Told::Made);
                served.handle.shutdown();
            }
            At::Lost => return None,
        }
        Some(client)
    }
}

/// What is expected of a connection that was treated so in the one callback.
struct Outcome {
    /// The error that `connection_lost` gets.
    error: Option<&'static str>,
    /// How often `handle_error` is told.
    reports: usize,
    panics: u64,
}

const CLEAN: Outcome = Outcome { error: None, reports: 0, panics: 0 };

fn check<K: ReactorKind>(act: fn(&mut Transport), expected: &Outcome) {
    for at in At::ALL {
        for from_then_on in [false, true] {
            check_at::<K>(at, from_then_on, act, expected);
        }
    }
}

fn check_at<K: ReactorKind>(at: At, from_then_on: bool, act: fn(&mut Transport), expected: &Outcome) {
    let (handle_error, reports) = failures();
    let acted = AtomicUsize::new(0);
    let (probe, told) = Probe::new(move |told, transport| {
        at.provoke(told, transport);
        let begun = acted.load(Ordering::SeqCst) > 0;
        if At::of(told) == at || from_then_on && begun {
            acted.fetch_add(1, Ordering::SeqCst);
            act(transport);
        }
    });
    let served = serving(K::bind(K::builder().handle_error(handle_error), probe));
    let client = at.call_forth(&served, &told);
    // Reads whatever there is, to whatever end.
    let reading = client.map(|mut client| std::thread::spawn(move || io::copy(&mut client, &mut io::sink())));
    let seen = until_lost(&told);
    let context = format!("{at:?}, from then on: {from_then_on}: {seen:?}");
    drop(reading.map(|reading| reading.join().unwrap()));

    assert_contract(&seen, at, &context);
    let Some(Told::Lost(error)) = seen.last() else { panic!("{context}") };
    let text = error.as_ref().map_or("", |(_, text)| text);
    if at != At::Lost {
        assert_eq!(error.is_some(), expected.error.is_some(), "{context}");
        assert!(text.ends_with(expected.error.unwrap_or("")), "{context}");
    }
    served.idle();
    let stats = served.handle.stats();
    served.stop();
    assert_eq!(told.try_iter().count(), 0, "{context}");

    let reports: Vec<String> = reports.try_iter().collect();
    // When it is over, closing and failing are too late, and panicking is not.
    let panics_at_the_end = if at == At::Lost || from_then_on { expected.panics } else { 0 };
    let (in_time, panics) = match at {
        At::Lost => (0, 0),
        _ => (expected.reports, expected.panics),
    };
    assert_eq!(reports.len(), in_time + panics_at_the_end as usize, "{context}: {reports:?}");
    assert_eq!(stats.panics, panics + panics_at_the_end, "{context}");
    if expected.panics > 0 {
        assert!(reports[0].starts_with(at.stage()), "{context}: {reports:?}");
        assert!(reports.iter().all(|report| report.ends_with("panicked: so it goes")), "{context}: {reports:?}");
    }
}

/// Order, pairs, and exactly one end, which is the last.
fn assert_contract(seen: &[Told], at: At, context: &str) {
    let count = |of: At| seen.iter().filter(|told| At::of(told) == of).count();
    // That of a connection that is stopped has been looked at already.
    assert_eq!(count(At::Made), usize::from(at != At::ShuttingDown), "{context}");
    assert_eq!(count(At::Lost), 1, "{context}");
    assert!(count(At::Eof) <= 1 && count(At::ShuttingDown) <= 1, "{context}");
    let (paused, resumed) = (count(At::PauseWriting), count(At::ResumeWriting));
    assert!(paused == resumed || paused == resumed + 1, "{context}");
    if let Some(end) = seen.iter().position(|told| *told == Told::Eof) {
        assert!(seen[end..].iter().all(|told| !told.is_data()), "{context}");
    }
    assert_eq!(count(at), 1, "{context}");
}

fn close_in_every_callback<K: ReactorKind>() {
    check::<K>(
        |transport| {
            transport.close();
            assert_eq!(transport.write(b"too late"), WriteStatus::Closed);
        },
        &CLEAN,
    );
}

fn close_twice_in_every_callback<K: ReactorKind>() {
    check::<K>(
        |transport| {
            transport.close();
            transport.close();
        },
        &CLEAN,
    );
}

fn abort_in_every_callback<K: ReactorKind>() {
    check::<K>(
        |transport| {
            transport.abort();
            assert_eq!(transport.write(b"too late"), WriteStatus::Closed);
        },
        &CLEAN,
    );
}

fn close_and_abort_in_every_callback<K: ReactorKind>() {
    check::<K>(
        |transport| {
            transport.write(b"some");
            transport.close();
            transport.abort();
            transport.close();
        },
        &CLEAN,
    );
}

fn pause_and_close_in_every_callback<K: ReactorKind>() {
    check::<K>(
        |transport| {
            transport.pause_reading();
            transport.close();
            transport.pause_reading();
        },
        &CLEAN,
    );
}

fn fail_in_every_callback<K: ReactorKind>() {
    let expected = Outcome { error: Some("no more"), reports: 1, panics: 0 };
    check::<K>(
        |transport| {
            transport.fail("no more");
            transport.fail("not that");
        },
        &expected,
    );
}

fn close_and_fail_in_every_callback<K: ReactorKind>() {
    let expected = Outcome { error: Some("no more"), reports: 1, panics: 0 };
    check::<K>(
        |transport| {
            transport.close();
            transport.fail("no more");
            transport.abort();
        },
        &expected,
    );
}

fn panic_in_every_callback<K: ReactorKind>() {
    let expected = Outcome { error: Some("panicked: so it goes"), reports: 1, panics: 1 };
    check::<K>(|_| panic!("so it goes"), &expected);
}

/// The first decision is not taken back, and the panic is told all the same.
fn close_and_panic_in_every_callback<K: ReactorKind>() {
    let expected = Outcome { error: Some("panicked: so it goes"), reports: 1, panics: 1 };
    check::<K>(
        |transport| {
            transport.write(b"some");
            transport.fail("no more");
            panic!("so it goes");
        },
        &expected,
    );
}

fn too_much_in_every_callback<K: ReactorKind>() {
    let expected = Outcome { error: Some("answer to be written in pieces?)"), reports: 1, panics: 0 };
    check::<K>(
        |transport| {
            // Nothing may wait.
            transport.set_write_buffer_limits(1, 0).unwrap();
            transport.set_write_buffer_hard_limit(1).unwrap();
            while transport.write(&[b'.'; 65536]) != WriteStatus::Closed {}
            assert_eq!(transport.write(b"too late"), WriteStatus::Closed);
        },
        &expected,
    );
}

fn marks_that_move_in_every_callback<K: ReactorKind>() {
    check::<K>(
        |transport| {
            let hard = 1 << 20;
            transport.set_write_buffer_limits(hard, hard).unwrap();
            transport.set_write_buffer_limits(0, 0).unwrap();
            transport.set_write_buffer_limits(hard, 0).unwrap();
            transport.close();
        },
        &CLEAN,
    );
}

/// With something in the buffer, has `pause_writing` and `resume_writing` follow each other until there were so many of them, and then does
/// that.
fn after_notices<K: ReactorKind>(most: usize, act: fn(&mut Transport)) -> Vec<Told> {
    let notices = AtomicUsize::new(0);
    let (probe, told) = Probe::new(move |told, transport| match told {
        Told::Made => {
            flood(transport);
            // So that the request is read.
            transport.set_write_buffer_limits(64 << 20, 0).unwrap();
        }
        Told::Data(_) => transport.set_write_buffer_limits(0, 0).unwrap(),
        Told::PauseWriting | Told::ResumeWriting => {
            if notices.fetch_add(1, Ordering::SeqCst) + 1 >= most {
                return act(transport);
            }
            let mark = if *told == Told::PauseWriting { 64 << 20 } else { 0 };
            transport.set_write_buffer_limits(mark, mark).unwrap();
        }
        _ => {}
    });
    let served = serving(K::bind(K::builder().handle_error(|_| {}), probe));
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(receive(&told), Told::Made);
    // Without the peer's doing anything.
    let mut seen: Vec<Told> = (0..=most).map(|_| receive(&told)).collect();
    let reading = std::thread::spawn(move || io::copy(&mut client, &mut io::sink()));
    seen.extend(until_lost(&told));
    drop(reading.join().unwrap());
    served.stop();
    seen
}

fn the_last_of_many_notices_can_close<K: ReactorKind>() {
    for most in 1..=20 {
        let seen = after_notices::<K>(most, |transport| {
            transport.close();
        });
        assert_eq!(seen.len(), most + 2, "{seen:?}");
        assert_eq!(seen.last(), Some(&Told::Lost(None)));
    }
}

fn the_last_of_many_notices_can_panic<K: ReactorKind>() {
    for most in 1..=20 {
        let seen = after_notices::<K>(most, |_| panic!("so it goes"));
        assert_eq!(seen.len(), most + 2, "{seen:?}");
    }
}

/// The other connections of the loop go on, whatever one of them does.
#[test]
fn a_panic_harms_no_other_connection() {
    common::run(|| {
        let (probe, _told) = Probe::new(|told, transport| {
            if let Told::Data(data) = told {
                assert_ne!(data, b"!", "so it goes");
                transport.write(data);
            }
        });
        let builder = <common::reactor::ReactorTcp as ReactorKind>::builder().handle_error(|_| {});
        let served = serving(common::reactor::ReactorTcp::bind(builder, probe));
        let mut steady = served.connect();
        for _ in 0..20 {
            let mut client = served.connect();
            client.write_all(b"!").unwrap();
            assert_eq!(read_byte(&mut client), None);
            steady.write_all(b"x").unwrap();
            assert_eq!(read_byte(&mut steady), Some(b'x'));
        }
        assert_eq!(served.handle.stats().panics, 20);
        assert!(served.handle.stats().active <= 2);
        drop(steady);
        served.handle.shutdown_within(LONG);
        served.stop();
    });
}
