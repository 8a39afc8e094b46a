//! T12, T13, T14: clients that trickle, that do not read, that read a little at a time; and the write path over a stream that takes
//! a few bytes at a time.

use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::framing::LengthPrefix;
use socketserver::server::Sequential;
use socketserver::{handler_fn, Connection, Handled, HandlerResult, Server};

use crate::client::Client;
use crate::harness::{count, pattern, percentile, Random, Watchdog};
use crate::parent::{status, Child};
use crate::scripted::{Choppy, Handed};

const MIB: usize = 1024 * 1024;

/// What a busy machine may add to a deadline. Without the deadline it would be for ever.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn t12_clients_that_trickle_are_cut_at_the_deadline_of_the_request() {
    let _watchdog = Watchdog::new();
    let deadline = Duration::from_millis(1500);
    let mut child = Child::start("threading max=1000 read-timeout=1000 deadline=1500");
    let slow = count(100, 400);
    // A request that never ends, a byte at a time, each well within the read timeout.
    let began = Instant::now();
    let mut trickling: Vec<Client> = (0..slow).map(|_| child.connect()).collect();
    let connected = began.elapsed();
    trickling.iter().for_each(|client| client.socket().set_nonblocking(true).unwrap());
    let mut answers = Vec::new();
    let mut cuts = Vec::new();
    let mut longest_round = Duration::ZERO;
    while !trickling.is_empty() {
        assert!(began.elapsed() < connected + deadline + SLACK, "{} of {slow} are not cut", trickling.len());
        let round = Instant::now();
        while round.elapsed() < Duration::from_millis(200) {
            trickling.retain_mut(|client| match client.wire.get_mut().read(&mut [0; 16]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
                _ => {
                    cuts.push(began.elapsed());
                    false
                }
            });
            answers.push(child.connect().timed_ping());
            thread::sleep(Duration::from_millis(5));
        }
        for client in &mut trickling {
            let _ = client.wire.get_mut().write(b"p");
        }
        longest_round = longest_round.max(round.elapsed());
    }
    let first = cuts.iter().min().unwrap();
    // Unless this machine was so busy that a byte came late.
    if longest_round < Duration::from_millis(900) {
        assert!(*first >= deadline, "cut after {first:?}");
    }
    let typical = percentile(&mut answers, 50);
    assert!(typical < Duration::from_millis(100), "honest clients wait {typical:?} for their answers");
    assert_eq!(child.stats().handler_errors, slow as u64);
    child.check_leaks();
}

#[test]
fn t13_clients_that_do_not_read_are_cut_and_cost_no_memory() {
    let _watchdog = Watchdog::new();
    // By the whole request's deadline, and by the timeout of a write without progress.
    // The latter waits for the whole timeout after the last little that the kernel took, which on a busy machine takes its time.
    for (role, limit) in [
        ("threading deadline=1000", Duration::from_secs(1) + SLACK),
        ("threading write-timeout=1000", Duration::from_secs(20)),
    ] {
        let mut child = Child::start(role);
        child.connect().ping();
        let before = status(child.pid, "VmRSS");
        let began = Instant::now();
        let deaf = 20;
        let mut clients: Vec<Client> = (0..deaf).map(|_| child.connect()).collect();
        for client in &mut clients {
            // So that the kernel does not take megabytes for each of them.
            client.socket().set_recv_buffer_size(16 * 1024).unwrap();
            client.say(&format!("send {}", 64 * MIB)).unwrap();
        }
        let mut answers = Vec::new();
        let mut most = before;
        while child.stats().handler_errors < deaf {
            assert!(began.elapsed() < limit, "{:?}", child.stats());
            most = most.max(status(child.pid, "VmRSS"));
            answers.push(child.connect().timed_ping());
            thread::sleep(Duration::from_millis(5));
        }
        // A stack and a piece of the answer each, in KiB.
        let each = (most - before) / deaf as usize;
        assert!(each < 256, "{each} KiB a client");
        assert!(began.elapsed() >= Duration::from_secs(1), "cut after {:?}", began.elapsed());
        let typical = percentile(&mut answers, 50);
        assert!(typical < Duration::from_millis(100), "honest clients wait {typical:?} for their answers");
        // What the client finds is the beginning of the answer.
        clients[0].expect_pattern(0, 4096);
        drop(clients);
        child.check_leaks();
    }
}

#[test]
fn t14_small_buffers_and_a_reader_of_small_pieces() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("threading-unix write-timeout=1000 path={}", folder.path().join("socket").display());
    // Slow, but never without progress: the write timeout is no limit on the whole. (On the Unix socket nothing but the send buffer
    // lies between the two; TCP has the receive buffer, which takes much of this.)
    for role in ["threading write-timeout=1000", &unix] {
        let mut child = Child::start(role);
        let length = count(512 * 1024, 8 * MIB);
        let mut client = child.connect();
        client.say("small-buffer").unwrap();
        client.say(&format!("send {length}")).unwrap();
        let began = Instant::now();
        let mut at = 0;
        while at < length {
            let piece = 1024.min(length - at);
            client.expect_pattern(at, piece);
            at += piece;
            // Slower than the timeout as a whole.
            if began.elapsed() < Duration::from_millis(1500) {
                thread::sleep(Duration::from_millis(10));
            }
        }
        assert!(began.elapsed() > Duration::from_secs(1));
        client.ping();
        drop(client);
        assert_eq!(child.stats().handler_errors, 0);
        child.check_leaks();
    }
}

/// One request over a scripted stream, served by `handler`.
fn served(stream: Arc<Choppy>, handler: impl FnMut(&mut Connection) -> HandlerResult + Clone + Send + 'static) {
    let (listener, streams) = Handed::new();
    let mut server = Server::<Handed, Sequential>::builder().from_listener(listener, handler_fn(handler)).unwrap();
    streams.send(stream).unwrap();
    let handled = server.handle_request().unwrap();
    assert!(matches!(handled, Handled::Served), "{handled:?}");
    // The handlers' own assertions among them.
    assert_eq!(server.handle().stats().panics, 0);
}

#[test]
fn t14_whatever_the_stream_does_to_writes_nothing_is_lost_repeated_or_swapped() {
    let _watchdog = Watchdog::new();
    let cases = count(2_000, 10_000);
    for seed in 0..cases as u64 {
        let failures = [0, 100, 20][(seed % 3) as usize];
        let stream = Choppy::new(seed, failures, Vec::new());
        // What was handed over successfully, and whether anything failed.
        let written = Arc::new(Mutex::new((Vec::new(), false)));
        let noted = Arc::clone(&written);
        served(Arc::clone(&stream), move |request| {
            let mut random = Random::new(seed + 1_000_000);
            let writer = request.writer();
            for _ in 0..10 {
                let mut written = noted.lock().unwrap();
                let piece = pattern(written.0.len(), random.below(100) + 1);
                let result = match random.below(4) {
                    0 => request.write_all(&piece).map(|()| piece.len()),
                    1 => request.write(&piece),
                    2 => writer.clone().write_all(&piece).map(|()| piece.len()),
                    _ => writer.try_write(&piece).map(|()| piece.len()),
                };
                match result {
                    Ok(count) => written.0.extend_from_slice(&piece[..count]),
                    Err(error) => {
                        // A retry is not safe after a failure, and the crate says so, unless nothing had gone out.
                        assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "100 bytes are below the queue's limit");
                        written.1 = true;
                        return Ok(());
                    }
                }
            }
            let flushed = request.flush();
            noted.lock().unwrap().1 |= flushed.is_err();
            Ok(())
        });
        let (handed, failed) = std::mem::take(&mut *written.lock().unwrap());
        let sent = stream.sent();
        assert_eq!(sent, pattern(0, sent.len()), "seed {seed}: lost, repeated or swapped");
        assert!(failed || sent == handed, "seed {seed}: {} of {} bytes, and no error", sent.len(), handed.len());
        assert!(failures > 0 || !failed, "seed {seed}: an error of nothing");
    }
}

#[test]
fn t14_after_a_failure_half_way_nothing_more_goes_out() {
    let _watchdog = Watchdog::new();
    let mut half_way = 0;
    for seed in 0..count(500, 5_000) as u64 {
        let stream = Choppy::new(seed, 10, Vec::new());
        let inside = Arc::clone(&stream);
        let poisoned = Arc::new(Mutex::new(false));
        let noted = Arc::clone(&poisoned);
        served(Arc::clone(&stream), move |request| {
            let before = inside.sent().len();
            if request.write_all(&[b'x'; 100]).is_ok() {
                return Ok(());
            }
            let partly = inside.sent().len() > before;
            let sent = inside.sent().len();
            for _ in 0..3 {
                if partly {
                    let errors = [request.write_all(b"y"), request.writer().try_write(b"y"), request.flush()];
                    for error in errors {
                        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
                    }
                    assert_eq!(inside.sent().len(), sent);
                }
            }
            *noted.lock().unwrap() = partly;
            Ok(())
        });
        half_way += usize::from(*poisoned.lock().unwrap());
        assert!(!stream.sent().contains(&b'y') || !*poisoned.lock().unwrap());
    }
    assert!(half_way > 50, "only {half_way} failures half-way: the test tests nothing");
}

#[test]
fn t14_reads_in_pieces_and_interrupted_lose_nothing() {
    let _watchdog = Watchdog::new();
    for seed in 0..count(500, 5_000) as u64 {
        let mut input = b"a line\nanother\n".to_vec();
        LengthPrefix::U16_BE.encode(&pattern(0, 1000), &mut input).unwrap();
        input.extend(pattern(0, 5000));
        served(Choppy::new(seed, 0, input), |request| {
            let mut line = String::new();
            request.read_line(&mut line)?;
            request.read_line(&mut line)?;
            assert_eq!(line, "a line\nanother\n");
            assert_eq!(request.read_frame(LengthPrefix::U16_BE)?.unwrap(), pattern(0, 1000));
            let mut rest = vec![0; 4000];
            request.read_exact(&mut rest)?;
            assert_eq!(rest, pattern(0, 4000));
            rest.clear();
            request.read_to_end(&mut rest)?;
            assert_eq!(rest.len(), 1000);
            Ok(())
        });
    }
}

#[test]
fn t14_messages_of_many_writers_do_not_mix() {
    let _watchdog = Watchdog::new();
    for seed in 0..count(30, 500) as u64 {
        let stream = Choppy::new(seed, 0, Vec::new());
        served(Arc::clone(&stream), |request| {
            thread::scope(|scope| {
                for name in b'a'..b'e' {
                    let writer = request.writer();
                    scope.spawn(move || {
                        for number in 0..30_usize {
                            let message = [vec![name; number], b"\n".to_vec()].concat();
                            if number % 2 == 0 {
                                writer.clone().write_all(&message).unwrap();
                            } else {
                                writer.try_write(&message).unwrap();
                            }
                        }
                    });
                }
            });
            Ok(())
        });
        let sent = stream.sent();
        let mut next = [0_usize; 4];
        for line in sent.split(|byte| *byte == b'\n') {
            let Some(name) = line.first() else { continue };
            assert!(line.iter().all(|byte| byte == name), "seed {seed}: {:?}", String::from_utf8_lossy(line));
            // Each writer's messages arrive in its order, whole.
            let number = &mut next[usize::from(name - b'a')];
            *number += 1;
            assert_eq!(line.len(), *number, "seed {seed}");
        }
        assert_eq!(next, [29; 4], "seed {seed}");
    }
}
