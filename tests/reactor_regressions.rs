//! Bugs of asyncio's transports and of others like it, each with a test that is named after it.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::time::Instant;

use common::reactor::{fill, lost, narrow, pattern, read_out, serving, until_lost, Probe, ReactorKind, Told};
use common::{failures, read_all, receive, run, LONG};
use socketserver::reactor::{Broadcaster, DatagramProtocol, DatagramTransport, ReactorUdp, WriteStatus};
use socketserver::{Transport, TransportHandle};

every_reactor! {
    cpython_127655_every_way_in_meets_the_flow_control
    cpython_146507_the_buffers_size_is_known_without_counting
    cpython_91166_thousands_of_pieces_are_sent
    cpython_103462_what_is_left_of_a_write_is_sent
    cpython_155888_an_empty_write_does_not_hang_the_close
    cpython_156512_the_end_comes_once_when_resume_writing_closes
    asyncio_359_the_end_comes_once_when_pause_writing_aborts
    twisted_7153_a_callback_is_never_called_within_another
    cpython_76944_write_says_what_became_of_the_data
    cpython_70850_close_abandons_nothing_that_was_written
}

/// The ways to write to a connection.
#[derive(Debug, Clone, Copy)]
enum Way {
    Transport,
    Handle,
    Broadcast,
}

fn cpython_127655_every_way_in_meets_the_flow_control<K: ReactorKind>() {
    type Ways = (TransportHandle, Broadcaster);
    for way in [Way::Transport, Way::Handle, Way::Broadcast] {
        let (sender, ways) = channel::<Ways>();
        let (served, told) = K::probe(move |told, transport| match told {
            Told::Made => {
                transport.set_write_buffer_hard_limit(64 << 20).unwrap();
                sender.send((transport.handle(), transport.broadcaster())).unwrap();
            }
            Told::Data(_) => {
                transport.write(&vec![b'.'; 16 << 20]);
            }
            Told::PauseWriting => assert!(transport.write_buffer_size() > 64 * 1024),
            Told::ResumeWriting => transport.close(),
            _ => {}
        });
        let mut client = narrow(&served.place);
        let (handle, broadcaster) = receive(&ways);
        assert_eq!(receive(&told), Told::Made);
        match way {
            Way::Transport => client.write_all(b"x").unwrap(),
            Way::Handle => handle.write(&vec![b'.'; 16 << 20]).unwrap(),
            Way::Broadcast => broadcaster.broadcast(&vec![b'.'; 16 << 20]).unwrap(),
        }
        let mut next = receive(&told);
        if next.is_data() {
            next = receive(&told);
        }
        assert_eq!(next, Told::PauseWriting, "{way:?}");
        read_all(&mut client);
        drop(client);
        assert_eq!(until_lost(&told)[0], Told::ResumeWriting, "{way:?}");
        served.stop();
    }
}

fn cpython_146507_the_buffers_size_is_known_without_counting<K: ReactorKind>() {
    const PIECES: usize = 100_000;
    let (served, told) = K::probe(|told, transport| {
        if *told == Told::Made {
            transport.set_write_buffer_hard_limit(1 << 30).unwrap();
            fill(transport);
            let before = transport.write_buffer_size();
            let started = Instant::now();
            for piece in 1..=PIECES {
                transport.write(b"ten bytes.");
                assert_eq!(transport.write_buffer_size(), before + 10 * piece);
            }
            assert!(started.elapsed() < LONG / 4, "{:?}", started.elapsed());
            transport.abort();
        }
    });
    let _client = served.connect();
    assert_eq!(lost(&told), None);
    served.stop();
}

/// sendmsg takes at most 1,024 pieces.
fn cpython_91166_thousands_of_pieces_are_sent<K: ReactorKind>() {
    let (served, told) = K::probe(|told, transport| {
        if told.is_data() {
            let filled = fill(transport);
            for piece in 0..20_000_u32 {
                transport.write(&piece.to_be_bytes());
            }
            transport.write(&(filled as u64).to_be_bytes());
            transport.close();
        }
    });
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let answer = read_all(&mut client);
    let (answer, filled) = answer.split_at(answer.len() - 8);
    let pieces = &answer[u64::from_be_bytes(filled.try_into().unwrap()) as usize..];
    assert_eq!(pieces.len(), 80_000);
    for (number, piece) in pieces.chunks(4).enumerate() {
        assert_eq!(piece, (number as u32).to_be_bytes());
    }
    assert_eq!(lost(&told), None);
    served.stop();
}

fn cpython_103462_what_is_left_of_a_write_is_sent<K: ReactorKind>() {
    const LENGTH: usize = 5_000_000;
    let (served, _told) = K::probe(|told, transport| match told {
        Told::Made => transport.set_write_buffer_hard_limit(2 * LENGTH).unwrap(),
        Told::Data(_) => {
            transport.write(&pattern(LENGTH));
        }
        _ => {}
    });
    let mut client = narrow(&served.place);
    for _ in 0..3 {
        client.write_all(b"x").unwrap();
        let mut answer = vec![0; LENGTH];
        client.read_exact(&mut answer).unwrap();
        assert!(answer == pattern(LENGTH));
    }
    drop(client);
    served.stop();
}

fn cpython_155888_an_empty_write_does_not_hang_the_close<K: ReactorKind>() {
    for full in [false, true] {
        let (served, told) = K::probe(move |told, transport| {
            if *told == Told::Made {
                assert_eq!(transport.write(b""), WriteStatus::Sent);
                if full {
                    fill(transport);
                    transport.write(b"");
                    transport.write(b"end");
                    transport.write(b"");
                }
                transport.close();
            }
        });
        let mut client = served.connect();
        client.shutdown(Shutdown::Write).unwrap();
        let answer = read_all(&mut client);
        assert!(if full { answer.ends_with(b"end") } else { answer.is_empty() });
        assert_eq!(lost(&told), None);
        served.stop();
    }
}

/// Fills the buffer above the mark, and does that in the callback.
fn at_the_marks<K: ReactorKind>(at: Told, act: fn(&mut Transport)) {
    let (handle_error, failures) = failures();
    let which = at.clone();
    let (probe, told) = Probe::new(move |told, transport| {
        if told.is_data() {
            transport.set_write_buffer_limits(0, 0).unwrap();
            fill(transport);
        }
        if *told == which {
            act(transport);
        }
    });
    let served = serving(K::bind(K::builder().handle_error(handle_error), probe));
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    let reading = std::thread::spawn(move || drop(read_out(&mut client)));
    let seen = until_lost(&told);
    assert!(seen.contains(&at), "{seen:?}");
    assert_eq!(seen.last(), Some(&Told::Lost(None)));
    reading.join().unwrap();
    served.stop();
    assert_eq!(told.try_iter().count(), 0, "the end came twice");
    assert_eq!(failures.try_iter().count(), 0);
}

fn cpython_156512_the_end_comes_once_when_resume_writing_closes<K: ReactorKind>() {
    at_the_marks::<K>(Told::ResumeWriting, Transport::close);
    at_the_marks::<K>(Told::ResumeWriting, Transport::abort);
}

fn asyncio_359_the_end_comes_once_when_pause_writing_aborts<K: ReactorKind>() {
    at_the_marks::<K>(Told::PauseWriting, Transport::abort);
    at_the_marks::<K>(Told::PauseWriting, Transport::close);
}

fn twisted_7153_a_callback_is_never_called_within_another<K: ReactorKind>() {
    let running = AtomicUsize::new(0);
    let (served, told) = K::probe(move |told, transport| {
        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
        match told {
            Told::Data(_) => {
                transport.set_write_buffer_limits(0, 0).unwrap();
                fill(transport);
                transport.set_write_buffer_limits(1 << 20, 1 << 20).unwrap();
                transport.set_write_buffer_limits(0, 0).unwrap();
            }
            Told::PauseWriting => {
                transport.set_write_buffer_limits(1 << 20, 1 << 20).unwrap();
                transport.write(b"more");
            }
            Told::ResumeWriting => {
                transport.write(b"more");
                transport.close();
                transport.abort();
            }
            _ => {}
        }
        running.fetch_sub(1, Ordering::SeqCst);
    });
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    let expected = [Told::Made, Told::Data(b"x".to_vec()), Told::PauseWriting, Told::ResumeWriting, Told::Lost(None)];
    assert_eq!(until_lost(&told), expected);
    assert_eq!(served.handle.stats().panics, 0);
    served.stop();
}

fn cpython_76944_write_says_what_became_of_the_data<K: ReactorKind>() {
    let (sender, statuses) = channel();
    let (served, told) = K::probe(move |told, transport| match told {
        Told::Data(_) => {
            let mut seen = vec![transport.write(b"a little")];
            fill(transport);
            assert!(transport.write_buffer_size() <= 8192);
            seen.push(transport.write(&[b'.'; 8192]));
            seen.push(transport.write(&[b'.'; 64 * 1024]));
            transport.close();
            seen.push(transport.write(b"too late"));
            sender.send(seen).unwrap();
        }
        Told::Lost(_) => sender.send(vec![transport.write(b"too late")]).unwrap(),
        _ => {}
    });
    let mut client = served.connect();
    client.write_all(b"x").unwrap();
    let expected = [WriteStatus::Sent, WriteStatus::Buffered, WriteStatus::AboveHighMark, WriteStatus::Closed];
    assert_eq!(receive(&statuses), expected);
    client.shutdown(Shutdown::Write).unwrap();
    read_all(&mut client);
    assert_eq!(receive(&statuses), [WriteStatus::Closed]);
    assert_eq!(lost(&told), None);
    served.stop();
}

fn cpython_70850_close_abandons_nothing_that_was_written<K: ReactorKind>() {
    let (served, _told) = K::probe(|told, transport| {
        if let Told::Data(_) = told {
            let written = fill(transport);
            transport.write(&vec![b'.'; 900_000]);
            transport.write(format!("{}", written + 900_000).as_bytes());
            transport.close();
        }
    });
    for _ in 0..5 {
        let mut client = narrow(&served.place);
        client.write_all(b"x").unwrap();
        let answer = read_all(&mut client);
        let dots = answer.iter().take_while(|byte| **byte == b'.').count();
        assert_eq!(std::str::from_utf8(&answer[dots..]).unwrap(), dots.to_string());
    }
    served.stop();
}

/// What it is sent, it sends back; before that, it tries what cannot be sent.
struct Stumbling(Arc<AtomicUsize>);

impl DatagramProtocol for Stumbling {
    fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr) {
        self.0.fetch_add(1, Ordering::SeqCst);
        transport.send_to(b"to nobody", ([127, 0, 0, 1], 0).into()).unwrap_err();
        transport.send_to(data, peer).unwrap();
    }
}

fn udp_client(server: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

/// Also 135444, which counted the header.
#[test]
fn cpython_113812_an_empty_datagram_is_one() {
    run(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let running = ReactorUdp::bind("127.0.0.1:0", Stumbling(Arc::clone(&count))).unwrap().spawn().unwrap();
        let client = udp_client(running.local_addr());
        client.send(b"").unwrap();
        assert_eq!(client.recv(&mut [0; 16]).unwrap(), 0);
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert_eq!(running.handle().stats().accepted, 1);
        running.stop().unwrap();
    });
}

#[test]
fn cpython_156698_a_datagram_that_cannot_be_sent_stops_no_other() {
    run(|| {
        let running = ReactorUdp::bind("127.0.0.1:0", Stumbling(Arc::default())).unwrap().spawn().unwrap();
        let client = udp_client(running.local_addr());
        for number in 0..100_u8 {
            client.send(&[number]).unwrap();
            let mut answer = [0; 16];
            assert_eq!(client.recv(&mut answer).unwrap(), 1);
            assert_eq!(answer[0], number);
        }
        running.stop().unwrap();
    });
}
