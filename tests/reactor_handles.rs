//! Writing to connections from elsewhere: handles and broadcasts, and bytes that a protocol gives back.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use common::reactor::{fill, lost, narrow, serving, until_lost, Probe, ReactorKind, Told};
use common::{eventually, read_all, read_byte, receive, Served, LONG};
use socket2::Socket;
use socketserver::{Transport, TransportHandle};

every_reactor! {
    threads_write_in_order_and_in_one_piece
    a_close_comes_after_what_was_written
    an_abort_comes_at_once
    another_thread_pauses_and_resumes_the_reading
    more_than_the_hard_limit_is_not_taken
    a_handle_knows_when_the_connection_is_over
    a_kept_handle_keeps_no_descriptor
    a_connection_writes_to_another
    a_connection_writes_to_itself_in_turn
    what_is_given_back_comes_again_with_what_comes_next
    what_is_given_back_comes_again_after_a_pause
    what_is_given_back_is_dropped_with_the_connection
}

/// A server, and a handle for each of so many clients of its.
fn handled<K: ReactorKind>(count: usize) -> (Served, Vec<(Socket, TransportHandle)>, Receiver<Told>) {
    let (sender, handles) = channel();
    let (served, told) = K::probe(move |told, transport| {
        if *told == Told::Made {
            sender.send(transport.handle()).unwrap();
        }
    });
    // One after the other, so that they go together.
    let members = (0..count).map(|_| (served.connect(), receive(&handles))).collect();
    (served, members, told)
}

fn handled_one<K: ReactorKind>() -> (Served, Socket, TransportHandle, Receiver<Told>) {
    let (served, mut members, told) = handled::<K>(1);
    let (client, handle) = members.remove(0);
    (served, client, handle, told)
}

/// Until it is taken.
fn write_with_patience(write: impl Fn() -> io::Result<()>) {
    eventually("there is room", || match write() {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    });
}

fn threads_write_in_order_and_in_one_piece<K: ReactorKind>() {
    const THREADS: usize = 4;
    const MESSAGES: usize = 2000;
    let (served, mut client, handle, _told) = handled_one::<K>();
    let together = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (handle, together) = (handle.clone(), Arc::clone(&together));
            std::thread::spawn(move || {
                together.wait();
                for number in 0..MESSAGES {
                    let message = format!("{thread} {number} {}\n", "x".repeat(number % 400));
                    write_with_patience(|| handle.write(message.as_bytes()));
                }
            })
        })
        .collect();
    let closing = std::thread::spawn(move || {
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        handle.close().unwrap();
    });
    let answer = String::from_utf8(read_all(&mut client)).unwrap();
    closing.join().unwrap();
    let mut next: HashMap<&str, usize> = HashMap::new();
    for line in answer.lines() {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let number = next.entry(words[0]).or_default();
        assert_eq!(words[1], number.to_string());
        assert_eq!(words[2].len(), *number % 400);
        *number += 1;
    }
    assert_eq!(next.len(), THREADS);
    assert!(next.values().all(|number| *number == MESSAGES));
    drop(client);
    served.stop();
}

fn a_close_comes_after_what_was_written<K: ReactorKind>() {
    let (served, mut client, handle, told) = handled_one::<K>();
    for _ in 0..100 {
        handle.write(&[b'.'; 5000]).unwrap();
    }
    handle.write(b"end").unwrap();
    handle.close().unwrap();
    let answer = read_all(&mut client);
    assert_eq!(answer.len(), 500_003);
    assert!(answer.ends_with(b".end"));
    drop(client);
    assert_eq!(lost(&told), None);
    served.stop();
}

fn an_abort_comes_at_once<K: ReactorKind>() {
    let (sender, handles) = channel();
    let (served, told) = K::probe(move |told, transport| {
        if *told == Told::Made {
            fill(transport);
            sender.send(transport.handle()).unwrap();
        }
    });
    // It does not read.
    let _client = narrow(&served.place);
    let handle = receive(&handles);
    handle.abort().unwrap();
    assert_eq!(until_lost(&told), [Told::Made, Told::Lost(None)]);
    served.idle();
    assert_eq!(handle.write(b"x").unwrap_err().kind(), io::ErrorKind::NotConnected);
    served.stop();
}

fn another_thread_pauses_and_resumes_the_reading<K: ReactorKind>() {
    let (served, mut client, handle, told) = handled_one::<K>();
    assert_eq!(receive(&told), Told::Made);
    handle.pause_reading().unwrap();
    // Commands are carried out in their order, so that what the client sends after this has come finds the reading paused.
    handle.write(b"paused").unwrap();
    client.read_exact(&mut [0; 6]).unwrap();
    client.write_all(b"x").unwrap();
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err(), "delivered during the pause");
    handle.resume_reading().unwrap();
    assert_eq!(receive(&told), Told::Data(b"x".to_vec()));
    drop(client);
    until_lost(&told);
    assert_eq!(handle.pause_reading().unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert_eq!(handle.resume_reading().unwrap_err().kind(), io::ErrorKind::NotConnected);
    served.stop();
}

fn more_than_the_hard_limit_is_not_taken<K: ReactorKind>() {
    let (sender, handles) = channel();
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (probe, told) = Probe::new(move |told, transport| {
        if *told == Told::Made {
            sender.send(transport.handle()).unwrap();
            receive(&wait.lock().unwrap());
        }
    });
    let served = serving(K::bind(K::builder().write_buffer_hard_limit(100_000), probe));
    let mut client = served.connect();
    let handle = receive(&handles);
    // The loop is held up.
    assert_eq!(handle.write(&[b'.'; 100_001]).unwrap_err().kind(), io::ErrorKind::InvalidInput, "never to be taken");
    let mut taken = 0;
    let error = loop {
        match handle.write(&[b'.'; 1000]) {
            Ok(()) => taken += 1000,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert!((90_000..=100_000).contains(&taken), "{taken}");
    release.send(()).unwrap();
    // All of what was taken comes, and there is room again.
    client.read_exact(&mut vec![0; taken]).unwrap();
    write_with_patience(|| handle.write(b"!"));
    assert_eq!(read_byte(&mut client), Some(b'!'));
    drop(client);
    assert_eq!(lost(&told), None);
    served.stop();
}

fn a_handle_knows_when_the_connection_is_over<K: ReactorKind>() {
    let (sender, handles) = channel();
    let (served, told) = K::probe(move |told, transport| {
        if told.is_data() {
            transport.write(b"bye");
            transport.close();
            sender.send(transport.handle()).unwrap();
        }
    });
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    let handle = receive(&handles);
    // Its socket is kept for a second, because the client keeps its side; but that is nobody's business.
    assert_eq!(lost(&told), None);
    eventually("it is over", || handle.is_closed());
    for result in [handle.write(b"x"), handle.close(), handle.abort()] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotConnected);
        assert!(error.to_string().contains(&handle.peer_addr().to_string()), "{error}");
    }
    assert_eq!(served.handle.stats().active, 1, "it lingers still, or this has shown nothing");
    drop(client);
    served.stop();
}

fn a_kept_handle_keeps_no_descriptor<K: ReactorKind>() {
    let (served, members, _told) = handled::<K>(10);
    let mut handles = Vec::new();
    for (mut client, handle) in members {
        handle.abort().unwrap();
        // The end is seen although there is a handle, so the descriptor has been closed.
        assert_eq!(read_byte(&mut client), None);
        handles.push(handle);
    }
    served.idle();
    assert!(handles.iter().all(TransportHandle::is_closed));
    served.stop();
}

fn a_connection_writes_to_another<K: ReactorKind>() {
    let last: Mutex<Option<TransportHandle>> = Mutex::default();
    let (served, _told) = K::probe(move |told, transport| match told {
        Told::Made => drop(last.lock().unwrap().get_or_insert_with(|| transport.handle())),
        Told::Data(data) => last.lock().unwrap().as_ref().unwrap().write(data).unwrap(),
        _ => {}
    });
    let mut first = served.connect();
    first.write_all(b"0").unwrap();
    assert_eq!(read_byte(&mut first), Some(b'0'));
    for _ in 0..5 {
        let mut other = served.connect();
        other.write_all(b"1").unwrap();
        assert_eq!(read_byte(&mut first), Some(b'1'));
    }
    drop(first);
    served.stop();
}

fn a_connection_writes_to_itself_in_turn<K: ReactorKind>() {
    let (served, _told) = K::probe(|told, transport| {
        if told.is_data() {
            // After this callback, and so after what it writes itself.
            transport.handle().write(b"3").unwrap();
            transport.handle().write(b"4").unwrap();
            transport.write(b"1");
            transport.write(b"2");
            transport.handle().close().unwrap();
        }
    });
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    assert_eq!(read_all(&mut client), b"1234");
    drop(client);
    served.stop();
}

/// Gives all but the first byte back.
fn one_at_a_time(told: &Told, transport: &mut Transport, seen: &AtomicUsize) {
    if let Told::Data(data) = told {
        assert_eq!(usize::from(data[0]), seen.fetch_add(1, Ordering::SeqCst) % 251);
        transport.push_back(&data[1..]);
    }
}

/// A protocol that needs more gives what there is back, and is asked again when more has come, not before.
fn what_is_given_back_comes_again_with_what_comes_next<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if let Told::Data(data) = told {
            match data.strip_suffix(b"!") {
                Some(whole) => drop(transport.write(whole)),
                None => {
                    let (first, second) = data.split_at(data.len() / 2);
                    transport.push_back(first);
                    transport.push_back(second);
                    transport.write(b".");
                }
            }
        }
    });
    let mut client = served.connect();
    for piece in [&b"one "[..], b"two "] {
        client.write_all(piece).unwrap();
        assert_eq!(read_byte(&mut client), Some(b'.'));
    }
    client.write_all(b"three!").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut client), b"one two three");
    assert_eq!(lost(&told), None);
    served.stop();
}

fn what_is_given_back_comes_again_after_a_pause<K: ReactorKind>() {
    let seen = Arc::new(AtomicUsize::new(0));
    let by_script = Arc::clone(&seen);
    let (probe, told) = Probe::new(move |told, transport| {
        match told {
            Told::Made => transport.set_timeout(Duration::from_millis(1)).unwrap(),
            Told::Data(_) => transport.pause_reading(),
            Told::TimedOut => transport.resume_reading(),
            _ => {}
        }
        one_at_a_time(told, transport, &by_script);
    });
    let served = K::serve(probe.overriding(|told| *told == Told::TimedOut));
    let mut client = served.connect();
    client.write_all(&(0..50).collect::<Vec<u8>>()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_byte(&mut client), None);
    let told = until_lost(&told);
    assert_eq!(seen.load(Ordering::SeqCst), 50, "{told:?}");
    // One by one, and the end of the stream after them.
    assert_eq!(told.iter().filter(|told| told.is_data()).count(), 50);
    assert_eq!(told[told.len() - 2..], [Told::Eof, Told::Lost(None)]);
    served.stop();
}

fn what_is_given_back_is_dropped_with_the_connection<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if let Told::Data(data) = told {
            transport.push_back(data);
            transport.close();
            transport.push_back(data);
        }
    });
    assert_eq!(served.exchange(b"x"), b"");
    assert_eq!(until_lost(&told), [Told::Made, Told::Data(b"x".to_vec()), Told::Lost(None)]);
    served.handle.shutdown_within(LONG);
    served.stop();
}
