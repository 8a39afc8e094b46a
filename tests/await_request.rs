//! `await_request`: a handler that serves one request after another lets a stop pass, and no request is lost for it.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{eventually, failures, read_all, read_byte, receive, Reach as _, StreamKind, LONG};
use socketserver::{handler_fn, Connection, Error, HandlerResult, Phase};

every_stream_kind! {
    an_idle_client_holds_up_no_stop
    a_request_that_has_begun_is_served_to_its_end
    a_request_that_has_come_is_served_although_the_server_stops
    an_answer_that_is_being_read_is_not_lost
    whoever_has_waited_for_long_is_let_go_at_once
    there_is_none_when_the_peer_has_ended
    it_waits_within_the_read_timeout_and_the_deadline
    what_has_been_read_ahead_is_a_request
}

/// Answers each line with itself.
fn answer_lines(request: &mut Connection) -> HandlerResult {
    while request.await_request()? {
        answer_line(request)?;
    }
    Ok(())
}

fn answer_line(request: &mut Connection) -> io::Result<()> {
    let mut line = String::new();
    request.read_line(&mut line)?;
    request.write_all(line.as_bytes())
}

fn an_idle_client_holds_up_no_stop<K: StreamKind>() {
    // One that has never asked for anything comes first where only one is served at a time.
    for lines in [&b""[..], b"one\ntwo\n"] {
        let ((handle_error, told), drain) = (failures(), LONG * 10);
        let served =
            K::serve_as(K::builder().drain_timeout(drain).handle_error(handle_error), handler_fn(answer_lines));
        let mut client = served.connect();
        client.write_all(lines).unwrap();
        let mut answer = vec![0; lines.len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, lines);
        eventually("it is being served", || served.handle.stats().active == 1);
        let started = Instant::now();
        let report = served.stop();
        assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
        assert_eq!((report.drained, report.abandoned, report.still_running), (1, 0, 0));
        assert_eq!(read_byte(&mut client), None);
        assert_eq!(told.try_iter().count(), 0);
    }
}

fn a_request_that_has_begun_is_served_to_its_end<K: StreamKind>() {
    let (sender, begun) = channel();
    let served = K::serve(handler_fn(move |request: &mut Connection| {
        while request.await_request()? {
            sender.send(())?;
            answer_line(request)?;
        }
        Ok(())
    }));
    let mut client = served.connect();
    client.write_all(b"ha").unwrap();
    receive(&begun);
    served.handle.shutdown();
    client.write_all(b"lf\n").unwrap();
    assert_eq!(read_all(&mut client), b"half\n");
    drop(client);
    let report = served.join().unwrap();
    assert_eq!((report.drained, report.abandoned), (1, 0));
}

/// Half of it is enough.
fn a_request_that_has_come_is_served_although_the_server_stops<K: StreamKind>() {
    let (sender, begun) = channel();
    let served = K::serve(handler_fn(move |request: &mut Connection| {
        answer_line(request)?;
        eventually("a shutdown", || request.server().is_shutting_down());
        sender.send(request.await_request()?)?;
        answer_line(request)?;
        answer_lines(request)
    }));
    let mut client = served.connect();
    client.write_all(b"one\n").unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
    client.write_all(b"ha").unwrap();
    served.handle.shutdown();
    assert!(receive::<bool>(&begun));
    client.write_all(b"lf\n").unwrap();
    assert_eq!(read_all(&mut client), b"half\n");
    drop(client);
    let report = served.join().unwrap();
    assert_eq!((report.drained, report.abandoned), (1, 0));
}

/// The client asks for the next thing while it still reads the last answer, of which a part waits in the server's system.
fn an_answer_that_is_being_read_is_not_lost<K: StreamKind>() {
    loop {
        let (sender, answered) = channel();
        let served = K::serve(handler_fn(move |request: &mut Connection| {
            // As much as the system takes although nobody reads, and more than it gives a client that does not.
            let answer = match request.local_addr()?.as_socket_addr() {
                Some(_) => vec![b'.'; 500_000],
                None => vec![b'.'; 150_000],
            };
            while request.await_request()? {
                request.read_line(&mut String::new())?;
                request.write_all(&answer)?;
                sender.send(answer.len())?;
            }
            Ok(())
        }));
        let mut client = served.connect();
        let started = Instant::now();
        client.write_all(b"one\n").unwrap();
        let length = receive(&answered);
        served.handle.shutdown();
        eventually("the listener is closed", || served.place.is_closed());
        // What the stop does next is done by then, or the test only tests less.
        std::thread::sleep(Duration::from_millis(50));
        let asked = client.write_all(b"two\n");
        // Or it would have been let go before.
        if started.elapsed() < Duration::from_millis(900) {
            asked.unwrap();
            let received = read_all(&mut client).len();
            // The first alone, where the stop came before the wait for the next.
            assert!(received == length || received == 2 * length, "{received} of {length} bytes");
            drop(client);
            assert!(served.join().unwrap().is_clean());
            return;
        }
    }
}

/// Within the second that a close takes care for, however long the drain may last.
fn whoever_has_waited_for_long_is_let_go_at_once<K: StreamKind>() {
    let (sender, answered) = channel();
    let served = K::serve(handler_fn(move |request: &mut Connection| {
        request.write_all(b"+")?;
        sender.send(())?;
        answer_lines(request)
    }));
    let mut client = served.connect();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    receive(&answered);
    std::thread::sleep(Duration::from_millis(1500));
    let started = Instant::now();
    assert!(served.stop().is_clean());
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    assert_eq!(read_byte(&mut client), None);
}

fn there_is_none_when_the_peer_has_ended<K: StreamKind>() {
    let (sender, answers) = channel();
    let served = K::serve(handler_fn(move |request: &mut Connection| {
        Ok(sender.send((request.await_request()?, request.await_request()?))?)
    }));
    drop(served.connect());
    assert_eq!(receive(&answers), (false, false));
    served.stop();
}

fn it_waits_within_the_read_timeout_and_the_deadline<K: StreamKind>() {
    let limit = Duration::from_millis(50);
    let (sender, phases) = channel();
    let handler = handler_fn(move |request: &mut Connection| {
        request.set_read_timeout(limit)?;
        for _ in 0..2 {
            let error = request.await_request().unwrap_err();
            let Some(Error::Timeout { phase, after, .. }) = Error::of(&error) else { panic!("{error}") };
            sender.send((*phase, *after))?;
            request.set_read_timeout(None)?;
            request.set_deadline(limit)?;
        }
        // It can still be read.
        request.set_deadline(None)?;
        request.write_all(b"+")?;
        answer_lines(request)
    });
    let served = K::serve(handler);
    let mut client = served.connect();
    assert_eq!(receive(&phases), (Phase::Read, limit));
    assert_eq!(receive(&phases), (Phase::Request, limit));
    assert_eq!(read_byte(&mut client), Some(b'+'));
    client.write_all(b"x\n").unwrap();
    client.read_exact(&mut [0; 2]).unwrap();
    served.stop();
}

/// Bytes in the buffer, a frame or a line that a timeout has interrupted.
fn what_has_been_read_ahead_is_a_request<K: StreamKind>() {
    use socketserver::framing::LengthPrefix;

    let (sender, answers) = channel();
    let served = K::serve(handler_fn(move |request: &mut Connection| {
        request.set_read_timeout(Duration::from_millis(20))?;
        let mut line = String::new();
        request.read_line(&mut line).unwrap_err();
        let mut answer = vec![request.await_request()?];
        request.write_all(b"+")?;
        request.set_read_timeout(LONG)?;
        request.read_line(&mut line)?;
        assert_eq!(line, "half\n");
        answer.push(request.await_request()?);
        request.set_read_timeout(Duration::from_millis(20))?;
        request.read_frame(LengthPrefix::U16_BE).unwrap_err();
        answer.push(request.await_request()?);
        request.write_all(b"+")?;
        request.set_read_timeout(LONG)?;
        assert_eq!(request.read_frame(LengthPrefix::U16_BE)?.unwrap(), b"abc");
        Ok(sender.send(answer)?)
    }));
    let mut client = served.connect();
    client.write_all(b"ha").unwrap();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    client.write_all(b"lf\n\0\x03ab").unwrap();
    assert_eq!(read_byte(&mut client), Some(b'+'));
    client.write_all(b"c").unwrap();
    assert_eq!(receive(&answers), [true, true, true]);
    drop(client);
    served.stop();
}

/// A stop and a wait that begin together, again and again: neither misses the other.
#[test]
fn a_stop_that_comes_as_the_wait_begins_ends_it() {
    common::run(|| {
        for _ in 0..20 {
            let (sender, begins) = channel();
            let begins = Arc::new(Mutex::new(begins));
            let served = <socketserver::ThreadingTcpServer as common::Kind>::serve(handler_fn(
                move |request: &mut Connection| {
                    receive(&begins.lock().unwrap());
                    while request.await_request()? {}
                    Ok(())
                },
            ));
            let mut client = served.connect();
            eventually("it is being served", || served.handle.stats().active == 1);
            sender.send(()).unwrap();
            served.handle.shutdown();
            assert_eq!(read_byte(&mut client), None);
            // Or the close would give it a second to end too.
            drop(client);
            assert!(served.join().unwrap().is_clean());
        }
    });
}
