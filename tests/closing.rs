//! The end of a connection: clean closes, half-closes, resets.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, BufRead, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{failures, pair, read_all, receive, watchdog, within_patience, Served, StreamKind, LONG};
use socket2::SockRef;
use socketserver::{handler_fn, Connection};

every_stream_kind! {
    the_answer_reaches_a_client_that_still_sends
    the_answer_reaches_it_after_a_half_close_too
    a_client_that_never_stops_sending_does_not_keep_its_place
    the_handler_may_end_its_direction_first
    the_client_may_end_its_direction_first
    both_directions_may_be_ended
    bytes_that_nobody_read_do_not_destroy_the_answer
}

/// A reset in place of the close would overtake the answer.
fn the_answer_reaches_a_client_that_still_sends<K: StreamKind>() {
    const ANSWER: &[u8] = b"413 that is too much\n";
    let served = K::serve(handler_fn(|request: &mut Connection| {
        request.read_exact(&mut [0; 10])?;
        request.write_all(ANSWER)?;
        Ok(())
    }));
    let request = vec![b'x'; 4 << 20];
    for _ in 0..3 {
        assert_eq!(within_patience(|| served.place.try_exchange(&request)), ANSWER);
    }
    served.idle();
    assert_eq!(served.handle.stats().handler_errors, 0);
    served.stop();
}

/// Nor does ending one's direction by hand spare the close its patience.
fn the_answer_reaches_it_after_a_half_close_too<K: StreamKind>() {
    let served = K::serve(handler_fn(|request: &mut Connection| {
        request.write_all(b"answer")?;
        request.shutdown(Shutdown::Write)?;
        Ok(())
    }));
    let request = vec![b'x'; 4 << 20];
    for _ in 0..3 {
        assert_eq!(within_patience(|| served.place.try_exchange(&request)), b"answer");
    }
    served.stop();
}

fn a_client_that_never_stops_sending_does_not_keep_its_place<K: StreamKind>() {
    let served = K::serve(handler_fn(|_: &mut Connection| Ok(())));
    let mut client = served.connect();
    let endless = std::thread::spawn(move || while client.write_all(&[b'x'; 4096]).is_ok() {});
    common::eventually("the request has begun", || served.handle.stats().accepted == 1);
    let started = Instant::now();
    served.idle();
    // A second, and what the machine adds to it.
    assert!(started.elapsed() < LONG / 2);
    endless.join().unwrap();
    served.stop();
}

/// "That was all, now your answer", as in HTTP/1.0 turned round.
fn the_handler_may_end_its_direction_first<K: StreamKind>() {
    let (handle_error, told) = failures();
    let (sender, received) = channel();
    let handler = handler_fn(move |request: &mut Connection| {
        request.write_all(b"question")?;
        request.shutdown(Shutdown::Write)?;
        let error = request.write_all(b"more").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected, "{error}");
        let mut answer = String::new();
        request.read_to_string(&mut answer)?;
        Ok(sender.send(answer)?)
    });
    let served = Served::new(K::bind(K::builder().handle_error(handle_error), handler));
    let mut client = served.connect();
    assert_eq!(read_all(&mut client), b"question");
    client.write_all(b"answer").unwrap();
    drop(client);
    assert_eq!(receive(&received), "answer");
    served.stop();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [""; 0]);
}

fn the_client_may_end_its_direction_first<K: StreamKind>() {
    let (handle_error, told) = failures();
    let handler = handler_fn(|request: &mut Connection| {
        let mut question = String::new();
        request.read_to_string(&mut question)?;
        write!(request, "{question}? yes")?;
        Ok(())
    });
    let served = Served::new(K::bind(K::builder().handle_error(handle_error), handler));
    assert_eq!(served.exchange(b"question"), b"question? yes");
    served.stop();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [""; 0]);
}

fn both_directions_may_be_ended<K: StreamKind>() {
    let (handle_error, told) = failures();
    let handler = handler_fn(|request: &mut Connection| {
        request.write_all(b"bye")?;
        request.shutdown(Shutdown::Both)?;
        assert_eq!(request.read(&mut [0])?, 0);
        Ok(())
    });
    let served = Served::new(K::bind(K::builder().handle_error(handle_error), handler));
    let mut client = served.connect();
    assert_eq!(read_all(&mut client), b"bye");
    drop(client);
    served.stop();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [""; 0]);
}

fn bytes_that_nobody_read_do_not_destroy_the_answer<K: StreamKind>() {
    let served = K::serve(handler_fn(|request: &mut Connection| {
        // The first line of two, of which the second stays in the buffer, and more in the kernel.
        let mut line = String::new();
        request.read_line(&mut line)?;
        request.write_all(line.as_bytes())?;
        Ok(())
    }));
    let request = [&b"first\nsecond\n"[..], &[b'x'; 50_000]].concat();
    for _ in 0..10 {
        assert_eq!(within_patience(|| served.place.try_exchange(&request)), b"first\n");
    }
    served.stop();
}

#[test]
fn a_close_is_clean() {
    let _watchdog = watchdog();
    let request = Arc::new(vec![b'x'; 4 << 20]);
    let got = within_patience(|| {
        let (mut connection, mut peer) = pair();
        connection.write_all(b"the last").unwrap();
        let request = Arc::clone(&request);
        let sending = std::thread::spawn(move || {
            peer.write_all(&request)?;
            peer.shutdown(Shutdown::Write)?;
            let mut all = String::new();
            peer.read_to_string(&mut all).map(|_| all)
        });
        connection.close().unwrap();
        sending.join().unwrap()
    });
    assert_eq!(got, "the last");
}

#[test]
fn a_drop_is_at_once() {
    let _watchdog = watchdog();
    let (connection, mut peer) = pair();
    drop(connection);
    assert_eq!(peer.read(&mut [0; 10]).unwrap(), 0);
}

#[test]
fn an_abort_is_a_reset() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    let writer = connection.writer();
    connection.abort();
    drop(connection);
    assert_eq!(peer.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(writer.is_closed());
}

#[test]
fn a_reset_is_an_error_and_not_an_end() {
    let _watchdog = watchdog();
    let (mut connection, peer) = pair();
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    assert_eq!(connection.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    // What was to be sent last could not be: nothing was.
    connection.close().unwrap();
}

#[test]
fn a_half_closed_connection_is_not_half_closed_twice() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    connection.write_all(b"x").unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"x");
    peer.write_all(b"y").unwrap();
    let mut byte = [0];
    connection.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"y");
    drop(peer);
    assert_eq!(connection.read(&mut byte).unwrap(), 0);
    connection.close().unwrap();
}

#[test]
fn shutting_down_reading_ends_reading_alone() {
    let _watchdog = watchdog();
    let (mut connection, mut peer) = pair();
    connection.shutdown(Shutdown::Read).unwrap();
    assert_eq!(connection.read(&mut [0]).unwrap(), 0);
    connection.write_all(b"x").unwrap();
    connection.close().unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"x");
}
