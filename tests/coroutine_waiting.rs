//! What handlers on coroutines wait in, and what wakes them: reads and writes, sleeps, code that blocks, one another, connections of
//! their own.
#![cfg(feature = "coroutine")]

mod common;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::coroutines::{ask, assert_goes_on, builder, connect, serve, serve_as};
use common::{eventually, failures, meet, receive, run, LONG};
use socketserver::coroutine::{sleep, unblock};
use socketserver::{handler_fn, Connection, ConnectionWriter, Error, HandlerResult, Phase};

#[test]
fn a_read_timeout_and_a_deadline_end_a_wait() {
    run(|| {
        let (sender, errors) = channel();
        let handler = handler_fn(move |request: &mut Connection| {
            let started = Instant::now();
            let error = request.read(&mut [0; 8]).unwrap_err();
            sender.send((Error::of(&error).map(|error| format!("{error:?}")), started.elapsed()))?;
            Ok(())
        });
        let limit = Duration::from_millis(50);
        for (builder, phase) in [
            (builder().read_timeout(limit), Phase::Read),
            (builder().read_timeout(None).request_deadline(limit), Phase::Request),
            (builder().request_deadline(limit), Phase::Request),
        ] {
            let serving = serve_as(builder, handler.clone());
            let _client = connect(&serving);
            let (error, took) = receive(&errors);
            assert!(error.as_deref().is_some_and(|error| error.contains(&format!("phase: {phase:?}"))), "{error:?}");
            assert!(took >= limit && took < limit + Duration::from_secs(5), "{took:?}");
            serving.stop().unwrap();
        }
    });
}

/// However it trickles.
#[test]
fn a_deadline_bounds_a_line_that_never_ends() {
    run(|| {
        let (sender, errors) = channel();
        let handler = handler_fn(move |request: &mut Connection| {
            let error = request.read_line(&mut String::new()).unwrap_err();
            Ok(sender.send(error.kind())?)
        });
        let serving = serve_as(builder().request_deadline(Duration::from_millis(200)), handler);
        let _trickle = common::trickle(connect(&serving), b"x");
        assert_eq!(receive(&errors), io::ErrorKind::TimedOut);
        serving.stop().unwrap();
    });
}

/// However little it has to wait for bytes: a handler that sleeps in between, and a peer that is always ahead or always ready.
#[test]
fn a_deadline_holds_where_there_is_nothing_to_wait_for() {
    run(|| {
        for step in [|r: &mut Connection| r.read(&mut [0; 4096]).map(drop), |r: &mut Connection| r.write_all(b"x")] {
            let (sender, errors) = channel();
            let handler = handler_fn(move |request: &mut Connection| {
                for turns in 0..1000 {
                    sleep(Duration::from_millis(20))?;
                    if let Err(error) = step(request) {
                        return Ok(sender.send((error.kind(), turns))?);
                    }
                }
                Err("it went on".into())
            });
            let serving = serve_as(builder().request_deadline(Duration::from_millis(200)), handler);
            let mut ahead = connect(&serving);
            ahead.write_all(&[b'x'; 200_000]).unwrap();
            let (kind, turns) = receive(&errors);
            assert_eq!(kind, io::ErrorKind::TimedOut);
            assert!(turns <= 10, "{turns} turns of 20 ms within 200 ms");
            serving.stop().unwrap();
        }
    });
}

#[test]
fn a_write_to_one_who_does_not_read_ends_at_its_timeout() {
    run(|| {
        let (handle_error, told) = failures();
        let builder = builder().write_timeout(Duration::from_millis(50)).handle_error(handle_error);
        let serving = serve_as(builder, handler_fn(|r: &mut Connection| Ok(r.write_all(&vec![0; 64 << 20])?)));
        let _deaf = connect(&serving);
        let failure = receive(&told);
        assert!(failure.contains("timed out"), "{failure}");
        serving.stop().unwrap();
    });
}

#[test]
fn sleeping_suspends_and_takes_as_long_as_it_says() {
    run(|| {
        let (sender, slept) = channel();
        let handler = handler_fn(move |request: &mut Connection| {
            let mut line = String::new();
            request.read_line(&mut line)?;
            if line == "sleep\n" {
                let started = Instant::now();
                sleep(Duration::from_millis(300))?;
                sender.send(started.elapsed())?;
            }
            Ok(request.write_all(line.as_bytes())?)
        });
        let serving = serve(handler);
        let mut sleeper = connect(&serving);
        // What comes meanwhile does not end it early.
        sleeper.write_all(b"sleep\nand more\n").unwrap();
        let mut others = 0;
        let slept = loop {
            match slept.try_recv() {
                Ok(slept) => break slept,
                Err(_) => {
                    assert_goes_on(&serving);
                    others += 1;
                }
            }
        };
        assert!(others > 0, "others are served meanwhile");
        assert!(slept >= Duration::from_millis(300) && slept < Duration::from_secs(5), "{slept:?}");
        serving.stop().unwrap();
    });
}

#[test]
fn on_a_thread_they_just_wait() {
    let started = Instant::now();
    sleep(Duration::from_millis(20)).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(20));
    let thread = std::thread::current().id();
    assert!(unblock(move || std::thread::current().id() == thread).unwrap());
}

#[test]
fn what_blocks_runs_elsewhere_and_its_result_comes_back() {
    run(|| {
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let handler = handler_fn(move |request: &mut Connection| {
            let mut line = String::new();
            request.read_line(&mut line)?;
            if line == "block\n" {
                let (held, here) = (Arc::clone(&held), std::thread::current().id());
                let elsewhere = unblock(move || {
                    let _ = held.lock().unwrap().recv_timeout(LONG);
                    std::thread::current().id() != here
                })?;
                line = format!("{elsewhere}\n");
            }
            Ok(request.write_all(line.as_bytes())?)
        });
        let serving = serve(handler);
        let mut blocked = connect(&serving);
        blocked.write_all(b"block\n").unwrap();
        assert_goes_on(&serving);
        drop(release);
        let mut answer = String::new();
        BufReader::new(&blocked).read_line(&mut answer).unwrap();
        assert_eq!(answer, "true\n");
        serving.stop().unwrap();
    });
}

#[test]
fn a_panic_in_what_blocks_is_the_handlers() {
    run(|| {
        let (handle_error, told) = failures();
        let handler = handler_fn(|_: &mut Connection| Ok(unblock(|| panic!("elsewhere"))?));
        let serving = serve_as(builder().handle_error(handle_error), handler);
        let _client = connect(&serving);
        let failure = receive(&told);
        assert!(failure.starts_with("handle of ") && failure.ends_with("panicked: elsewhere"), "{failure}");
        serving.stop().unwrap();
    });
}

/// More than there are threads for it.
#[test]
fn two_hundred_that_block_are_all_run() {
    run(|| {
        let handler = handler_fn(|request: &mut Connection| {
            let number = unblock(|| {
                std::thread::sleep(Duration::from_millis(5));
                7u8
            })?;
            Ok(request.write_all(&[number])?)
        });
        let serving = serve(handler);
        let clients: Vec<TcpStream> = (0..200).map(|_| connect(&serving)).collect();
        for mut client in clients {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, [7]);
        }
        serving.stop().unwrap();
    });
}

/// A chat: each tells all others, and one who does not read holds nobody up.
#[test]
fn a_broadcast_reaches_all_but_the_one_who_does_not_read() {
    type Members = Arc<Mutex<Vec<ConnectionWriter>>>;

    fn member(request: &mut Connection, members: &Members) -> HandlerResult {
        members.lock().unwrap().push(request.writer());
        let mut line = String::new();
        while request.read_line(&mut line)? > 0 {
            // Not while the list is locked: a lock held across a wait would block the loop.
            let writers = members.lock().unwrap().clone();
            for writer in writers {
                let _ = writer.try_write(line.as_bytes());
            }
            line.clear();
        }
        Ok(())
    }

    run(|| {
        let members = Members::default();
        let shared = Arc::clone(&members);
        let serving = serve(handler_fn(move |request: &mut Connection| member(request, &shared)));
        let _deaf = connect(&serving);
        let mut speaker = connect(&serving);
        let mut listener = BufReader::new(connect(&serving));
        eventually("all are in", || members.lock().unwrap().len() == 3);
        // More than the deaf one's buffers hold.
        let line = format!("{}\n", "x".repeat(60_000));
        let heard = std::thread::spawn(move || {
            let mut total = 0;
            let mut line = String::new();
            while total < 300 {
                line.clear();
                assert_eq!(listener.read_line(&mut line).unwrap(), 60_001);
                total += 1;
            }
        });
        for _ in 0..300 {
            assert_eq!(ask(&mut speaker, line.as_bytes(), line.len()), line.as_bytes());
        }
        heard.join().unwrap();
        serving.handle().shutdown_within(Duration::ZERO);
        serving.join().unwrap();
    });
}

/// One coroutine writes while another waits for its turn at the same connection, and both on one thread.
#[test]
fn two_coroutines_write_to_one_connection_in_turn() {
    run(|| {
        let shared: Arc<Mutex<Option<ConnectionWriter>>> = Arc::default();
        let theirs = Arc::clone(&shared);
        let (began, begun) = channel();
        let handler = handler_fn(move |request: &mut Connection| {
            let other = theirs.lock().unwrap().take();
            match other {
                // The first, whose peer does not read for now.
                None => {
                    *theirs.lock().unwrap() = Some(request.writer());
                    began.send(())?;
                    let mut line = String::new();
                    request.read_line(&mut line)?;
                    request.write_all(&vec![b'a'; 8 << 20])?;
                    // Until the other has written, too.
                    request.read_line(&mut line)?;
                }
                Some(mut other) => {
                    began.send(())?;
                    other.write_all(&vec![b'b'; 1 << 20])?;
                    request.write_all(b"done")?;
                }
            }
            Ok(())
        });
        let serving = serve_as(builder().write_timeout(None).read_timeout(None), handler);
        let mut first = connect(&serving);
        receive(&begun);
        first.write_all(b"go\n").unwrap();
        let mut second = connect(&serving);
        receive(&begun);
        let mut all = vec![0; 9 << 20];
        first.read_exact(&mut all).unwrap();
        // In one piece each, whoever came first.
        let count = |byte| all.iter().filter(|&&one| one == byte).count();
        assert_eq!((count(b'a'), count(b'b')), (8 << 20, 1 << 20));
        assert_eq!(all.windows(2).filter(|pair| pair[0] != pair[1]).count(), 1);
        let mut done = [0; 4];
        second.read_exact(&mut done).unwrap();
        first.write_all(b"end\n").unwrap();
        assert!(serving.stop().unwrap().is_clean());
    });
}

#[test]
fn a_thread_writes_to_a_coroutines_connection() {
    run(|| {
        let (sender, writers) = channel::<ConnectionWriter>();
        let handler = handler_fn(move |request: &mut Connection| {
            sender.send(request.writer())?;
            let mut line = String::new();
            request.read_line(&mut line)?;
            Ok(())
        });
        let serving = serve(handler);
        let mut client = connect(&serving);
        let mut writer = receive(&writers);
        let thread = std::thread::spawn(move || writer.write_all(&vec![7; 16 << 20]));
        let mut all = vec![0; 16 << 20];
        client.read_exact(&mut all).unwrap();
        thread.join().unwrap().unwrap();
        client.write_all(b"end\n").unwrap();
        assert!(serving.stop().unwrap().is_clean());
    });
}

/// As a chat does that broadcasts with its members locked, however many of them are put out.
#[test]
fn a_refused_try_write_under_a_lock_lets_nobody_else_have_his_turn() {
    run(|| {
        let lock = Arc::new(Mutex::new(0_usize));
        let handler = handler_fn(move |request: &mut Connection| {
            let mut line = String::new();
            request.read_line(&mut line)?;
            let mut refused = lock.lock().unwrap();
            for _ in 0..200 {
                // More than may be queued for one who does not read.
                if request.writer().try_write(&[b'x'; 1 << 20]).is_err() {
                    *refused += 1;
                }
            }
            let answer = format!("{refused}\n");
            drop(refused);
            Ok(request.write_all(answer.as_bytes())?)
        });
        let serving = serve(handler);
        let mut clients: Vec<TcpStream> = (0..8).map(|_| connect(&serving)).collect();
        clients.iter_mut().for_each(|client| client.write_all(b"go\n").unwrap());
        let mut refused: Vec<usize> = clients
            .iter()
            .map(|client| {
                let mut answer = String::new();
                BufReader::new(client).read_line(&mut answer).unwrap();
                answer.trim().parse().unwrap()
            })
            .collect();
        refused.sort_unstable();
        assert_eq!(refused, (1..=8).map(|turn| turn * 200).collect::<Vec<_>>());
        serving.stop().unwrap();
    });
}

/// It counts from when a client was accepted, though the handlers of others hold the loop up before it is served.
#[test]
fn a_deadline_counts_from_the_acceptance() {
    run(|| {
        let limit = Duration::from_secs(100);
        let (sender, left) = channel();
        let handler = handler_fn(move |request: &mut Connection| {
            let deadline = request.deadline().ok_or("there is one")?;
            sender.send(deadline.saturating_duration_since(Instant::now()))?;
            std::thread::sleep(Duration::from_millis(200));
            Ok(())
        });
        let server = builder().request_deadline(limit).bind("127.0.0.1:0", handler).unwrap();
        // All are there before the first is served, so they are accepted together.
        let address = server.local_addr();
        let clients: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
        let serving = server.spawn().unwrap();
        let left: Vec<Duration> = clients.iter().map(|_| receive(&left)).collect();
        for (served, left) in (0..).zip(&left) {
            assert!(*left <= limit - Duration::from_millis(200) * served, "{left:?}");
        }
        drop(clients);
        serving.stop().unwrap();
    });
}

/// Both wait to be accepted, so the first is served before the second has been handed over, unless care is taken.
#[test]
fn a_handler_that_holds_its_loop_up_keeps_nobody_from_another() {
    run(|| {
        let arrived = Arc::new(AtomicUsize::new(0));
        let handler = handler_fn(move |request: &mut Connection| {
            meet(&arrived, 2);
            Ok(request.write_all(b"+")?)
        });
        let server = builder().workers(2).bind("127.0.0.1:0", handler).unwrap();
        let mut clients = [0, 1].map(|_| TcpStream::connect(server.local_addr()).unwrap());
        let serving = server.spawn().unwrap();
        for client in &mut clients {
            assert_eq!(client.read(&mut [0; 2]).unwrap(), 1);
        }
        serving.stop().unwrap();
    });
}
