//! Handlers on coroutines: what waits, what wakes, what a stop does, whatever they are doing.
#![cfg(feature = "coroutine")]
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{eventually, failures, receive, run, LONG};
use socketserver::coroutine::{sleep, unblock, CoroutineTcpServer, Coroutines};
use socketserver::server::Builder;
use socketserver::tcp::TcpListener;
use socketserver::{
    handler_fn, tcp, Connection, ConnectionWriter, Error, Handler, HandlerResult, Phase, Running, ServerHandle, Stage,
    ThreadingTcpServer,
};

type Serving = Running<SocketAddr>;

fn builder() -> Builder<TcpListener, Coroutines> {
    CoroutineTcpServer::builder()
}

fn serve(handler: impl Handler + Clone) -> Serving {
    serve_as(builder(), handler)
}

fn serve_as(builder: Builder<TcpListener, Coroutines>, handler: impl Handler + Clone) -> Serving {
    builder.bind("127.0.0.1:0", handler).unwrap().spawn().unwrap()
}

fn connect(serving: &Serving) -> TcpStream {
    let client = TcpStream::connect(serving.local_addr()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.set_write_timeout(Some(LONG)).unwrap();
    client
}

fn ask(client: &mut TcpStream, request: &[u8], length: usize) -> Vec<u8> {
    client.write_all(request).unwrap();
    let mut answer = vec![0; length];
    client.read_exact(&mut answer).unwrap();
    answer
}

fn lines(request: &mut Connection) -> HandlerResult {
    let mut line = String::new();
    while request.read_line(&mut line)? > 0 {
        request.write_all(line.as_bytes())?;
        line.clear();
    }
    Ok(())
}

/// That the loop serves others at once.
#[track_caller]
fn assert_goes_on(serving: &Serving) {
    assert_eq!(ask(&mut connect(serving), b"hello\n", 6), b"hello\n");
}

#[test]
fn a_thousand_clients_wait_side_by_side_on_one_thread() {
    run(|| {
        let serving = serve(handler_fn(lines));
        let mut clients: Vec<TcpStream> = (0..1000).map(|_| connect(&serving)).collect();
        for round in 0..3 {
            for client in clients.iter_mut().rev() {
                let line = format!("round {round}\n");
                assert_eq!(ask(client, line.as_bytes(), line.len()), line.as_bytes());
            }
        }
        assert_eq!(serving.handle().stats().active, 1000);
        drop(clients);
        eventually("all have gone", || serving.handle().stats().active == 0);
        let stats = serving.handle().stats();
        assert_eq!((stats.accepted, stats.handler_errors, stats.panics), (1000, 0, 0));
        assert!(serving.stop().unwrap().is_clean());
    });
}

#[test]
fn several_workers_share_the_clients() {
    run(|| {
        let (sender, threads) = channel();
        let handler = handler_fn(move |request: &mut Connection| {
            let before = std::thread::current().id();
            let mut line = String::new();
            request.read_line(&mut line)?;
            sleep(Duration::from_millis(1))?;
            // A coroutine stays on its thread.
            assert_eq!(std::thread::current().id(), before);
            sender.send(before)?;
            Ok(request.write_all(b"+")?)
        });
        let serving = serve_as(builder().workers(3), handler);
        let mut clients: Vec<TcpStream> = (0..30).map(|_| connect(&serving)).collect();
        clients.iter_mut().for_each(|client| assert_eq!(ask(client, b"x\n", 1), b"+"));
        let mut seen: Vec<_> = threads.try_iter().map(|id| format!("{id:?}")).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 3);
        serving.stop().unwrap();
    });
}

/// More than any buffer holds, both ways at once, byte for byte.
#[test]
fn megabytes_both_ways() {
    run(|| {
        let serving = serve(common::echo());
        let payload: Vec<u8> = (0..8_000_000u32).flat_map(|number| number.to_le_bytes()).take(8 << 20).collect();
        let mut client = connect(&serving);
        let (mut sending, sent) = (client.try_clone().unwrap(), payload.clone());
        let sender = std::thread::spawn(move || {
            sending.write_all(&sent).unwrap();
            sending.shutdown(Shutdown::Write).unwrap();
        });
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        sender.join().unwrap();
        assert!(answer == payload, "the bytes differ");
        serving.stop().unwrap();
    });
}

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

/// One that never has to wait leaves the others their turn.
#[test]
fn a_greedy_client_holds_nobody_up() {
    run(|| {
        let over = Arc::new(AtomicUsize::new(0));
        let serving = serve(common::echo());
        let greedy = connect(&serving);
        let (mut sending, mut reading, told) = (greedy.try_clone().unwrap(), greedy, Arc::clone(&over));
        let sender = std::thread::spawn(move || while sending.write_all(&[0; 65_536]).is_ok() {});
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 20];
            while told.load(Ordering::Relaxed) == 0 {
                reading.read_exact(&mut buffer).unwrap();
            }
            reading.shutdown(Shutdown::Both).unwrap();
        });
        let mut polite = connect(&serving);
        for _ in 0..200 {
            let before = Instant::now();
            assert_eq!(ask(&mut polite, b"ping\n", 5), b"ping\n");
            assert!(before.elapsed() < Duration::from_secs(5));
        }
        drop(polite);
        over.store(1, Ordering::Relaxed);
        reader.join().unwrap();
        sender.join().unwrap();
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

#[test]
fn a_panic_ends_its_coroutine_alone_and_finish_runs() {
    #[derive(Clone)]
    struct Bad(Sender<&'static str>);

    impl Handler for Bad {
        fn handle(&mut self, request: &mut Connection) -> HandlerResult {
            let mut line = String::new();
            request.read_line(&mut line)?;
            if line == "panic\n" {
                panic!("as told");
            }
            Ok(request.write_all(line.as_bytes())?)
        }

        fn finish(&mut self, _: &mut Connection) -> HandlerResult {
            // One that waits here is suspended as well.
            sleep(Duration::from_millis(1))?;
            Ok(self.0.send("finished")?)
        }
    }

    run(|| {
        let (sender, finished) = channel();
        let serving = serve_as(builder().handle_error(|_| ()), Bad(sender));
        for number in 1..=200 {
            let mut bad = connect(&serving);
            bad.write_all(b"panic\n").unwrap();
            assert_eq!(bad.read(&mut [0; 1]).unwrap(), 0);
            assert_eq!(receive(&finished), "finished");
            assert_goes_on(&serving);
            assert_eq!(receive(&finished), "finished");
            assert_eq!(serving.handle().stats().panics, number);
        }
        assert!(serving.stop().unwrap().is_clean());
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

/// A proxy: each client has a connection of its own to a server behind.
#[test]
fn a_handler_connects_and_waits_for_its_own_connections() {
    run(|| {
        let behind = ThreadingTcpServer::bind("127.0.0.1:0", handler_fn(lines)).unwrap().spawn().unwrap();
        let address = behind.local_addr();
        let handler = handler_fn(move |request: &mut Connection| {
            let mut upstream = tcp::connect(address, LONG)?;
            let mut line = String::new();
            while request.read_line(&mut line)? > 0 {
                if line == "silence\n" {
                    // Which the server behind answers with nothing.
                    upstream.set_read_timeout(Duration::from_millis(100))?;
                    line = format!("{:?}\n", upstream.read(&mut [0; 1]).unwrap_err().kind());
                    upstream.set_read_timeout(LONG)?;
                } else {
                    upstream.write_all(line.as_bytes())?;
                    line.clear();
                    upstream.read_line(&mut line)?;
                }
                request.write_all(line.as_bytes())?;
                line.clear();
            }
            Ok(())
        });
        let serving = serve(handler);
        let mut clients: Vec<TcpStream> = (0..50).map(|_| connect(&serving)).collect();
        for round in 0..20 {
            for client in &mut clients {
                let line = format!("{round}\n");
                assert_eq!(ask(client, line.as_bytes(), line.len()), line.as_bytes());
            }
        }
        let long = format!("{}\n", "x".repeat(60_000));
        assert!(ask(&mut clients[0], long.as_bytes(), long.len()) == long.as_bytes());
        // Others are served while one waits in vain.
        clients[0].write_all(b"silence\n").unwrap();
        assert_eq!(ask(&mut clients[1], b"meanwhile\n", 10), b"meanwhile\n");
        let mut answer = [0; 9];
        clients[0].read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"TimedOut\n");
        drop(clients);
        eventually("all have gone", || serving.handle().stats().active == 0);
        eventually("those behind too", || behind.handle().stats().active == 0);
        assert!(serving.stop().unwrap().is_clean());
        behind.stop().unwrap();
    });
}

#[test]
fn a_connect_that_fails_in_a_handler_is_its_error() {
    run(|| {
        let (handle_error, told) = failures();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        let handler = handler_fn(move |_: &mut Connection| Ok(tcp::connect(address, LONG).map(drop)?));
        let serving = serve_as(builder().handle_error(handle_error), handler);
        let _client = connect(&serving);
        let failure = receive(&told);
        assert!(failure.contains(&format!("cannot connect to {address}")), "{failure}");
        serving.stop().unwrap();
    });
}

/// Kept beyond its handler and its server, it has an end rather than wait for ever.
#[test]
fn a_handlers_connection_ends_with_the_server() {
    run(|| {
        let behind = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = behind.local_addr().unwrap();
        let (sender, kept) = channel();
        let sender = Mutex::new(sender);
        let sender = Arc::new(sender);
        let handler = handler_fn(move |_: &mut Connection| {
            let upstream = tcp::connect(address, LONG)?;
            Ok(sender.lock().unwrap().send(upstream)?)
        });
        let serving = serve(handler);
        let client = connect(&serving);
        let mut kept: Connection = receive(&kept);
        // On a thread, meanwhile, it works as any other.
        let (mut peer, _) = behind.accept().unwrap();
        kept.write_all(b"hello").unwrap();
        peer.read_exact(&mut [0; 5]).unwrap();
        let reading = std::thread::spawn(move || kept.read(&mut [0; 1]));
        drop(client);
        serving.stop().unwrap();
        assert!(!matches!(reading.join().unwrap(), Ok(1..)));
    });
}

/// A stack that overflows ends the process, and does not write elsewhere.
#[test]
#[cfg(target_os = "linux")]
fn a_stack_that_overflows_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;

    const CHILD: &str = "SOCKETSERVER_OVERFLOW";

    fn deep(depth: u64) -> u64 {
        let array = std::hint::black_box([depth; 64]);
        if depth == 0 {
            return array[0];
        }
        deep(depth - 1).wrapping_add(array[7])
    }

    if std::env::var_os(CHILD).is_some() {
        let handler = handler_fn(|_: &mut Connection| {
            println!("{}", deep(std::hint::black_box(1_000_000)));
            Ok(())
        });
        let serving = serve_as(builder().stack_size(64 * 1024), handler);
        let _client = connect(&serving);
        std::thread::sleep(LONG);
        return;
    }
    run(|| {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_stack_that_overflows_ends_the_process", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        // SIGSEGV, or SIGABRT where std knows the guard page for its own.
        let told = String::from_utf8_lossy(&child.stderr);
        let ended = matches!(child.status.signal(), Some(11 | 6)) || told.contains("AddressSanitizer");
        assert!(ended, "{:?}", child.status);
    });
}

/// What a handler waits in when a stop comes, and how it hears of it.
fn stopped_while(what: impl Fn(&mut Connection) -> HandlerResult + Clone + Send + 'static) -> (String, ServerHandle) {
    let (sender, outcome) = channel();
    let (began, begun) = channel();
    let handler = handler_fn(move |request: &mut Connection| {
        began.send(())?;
        let result = what(request);
        sender.send(match &result {
            Ok(()) => "well".to_owned(),
            Err(error) => error.to_string(),
        })?;
        result
    });
    let serving = serve_as(builder().handle_error(|_| ()).drain_timeout(Duration::from_millis(50)), handler);
    let handle = serving.handle();
    let _client = connect(&serving);
    receive(&begun);
    let before = Instant::now();
    let report = serving.stop().unwrap();
    assert!(before.elapsed() < Duration::from_secs(10));
    assert_eq!((report.drained, report.abandoned, report.still_running), (0, 1, 0));
    (receive(&outcome), handle)
}

#[test]
fn a_stop_cuts_whatever_a_handler_waits_in() {
    run(|| {
        let (error, _) = stopped_while(|request| Ok(request.read_line(&mut String::new()).map(drop)?));
        assert!(error.contains("cut"), "{error}");
        let (error, _) = stopped_while(|request| Ok(request.write_all(&vec![0; 64 << 20])?));
        assert!(error.contains("cut"), "{error}");
        let (error, _) = stopped_while(|_| Ok(sleep(LONG)?));
        assert!(error.contains("abort"), "{error}");
        let (error, _) = stopped_while(|_| {
            let (_release, held) = channel::<()>();
            let held = Arc::new(Mutex::new(held));
            let waits = unblock(move || held.lock().unwrap().recv_timeout(Duration::from_secs(1)).is_ok());
            Ok(waits.map(drop)?)
        });
        assert!(error.contains("abort"), "{error}");
    });
}

/// One that does not listen is unwound, and what is on its stack is dropped.
#[test]
fn a_handler_that_ignores_the_cut_is_unwound() {
    struct Witness(Sender<&'static str>);

    impl Drop for Witness {
        fn drop(&mut self) {
            let _ = self.0.send("dropped");
        }
    }

    run(|| {
        let (sender, seen) = channel();
        let (began, begun) = channel();
        let handler = handler_fn(move |_: &mut Connection| {
            let _witness = Witness(sender.clone());
            began.send(())?;
            loop {
                let _ = sleep(Duration::from_millis(10));
            }
        });
        let serving = serve_as(builder().handle_error(|_| ()).drain_timeout(Duration::ZERO), handler);
        let handle = serving.handle();
        let _client = connect(&serving);
        receive(&begun);
        let report = serving.stop().unwrap();
        assert_eq!((report.abandoned, report.still_running), (1, 0));
        assert_eq!(receive(&seen), "dropped");
        assert_eq!(handle.stats().panics, 1);
    });
}

#[test]
fn one_that_computes_on_is_still_running() {
    run(|| {
        let (release, held) = channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let (began, begun) = channel();
        let handler = handler_fn(move |_: &mut Connection| {
            began.send(())?;
            let _ = held.lock().unwrap().recv_timeout(LONG);
            Ok(())
        });
        let serving = serve_as(builder().drain_timeout(Duration::from_millis(20)), handler);
        let _client = connect(&serving);
        receive(&begun);
        let report = serving.stop().unwrap();
        assert_eq!((report.abandoned, report.still_running), (1, 1));
        drop(release);
    });
}

/// Nobody stops it: it is just dropped, with handlers in every state.
#[test]
fn a_dropped_server_leaves_no_coroutine_behind() {
    run(|| {
        let alive = Arc::new(());
        let theirs = Arc::clone(&alive);
        let (began, begun) = channel();
        let handler = handler_fn(move |request: &mut Connection| {
            let _alive = Arc::clone(&theirs);
            began.send(())?;
            let mut line = String::new();
            request.read_line(&mut line)?;
            match line.as_str() {
                "sleep\n" => sleep(LONG)?,
                "unblock\n" => unblock(|| std::thread::sleep(Duration::from_millis(100)))?,
                "write\n" => request.write_all(&vec![0; 64 << 20])?,
                _ => {}
            }
            Ok(())
        });
        let serving = serve_as(builder().handle_error(|_| ()).drain_timeout(Duration::from_millis(50)), handler);
        let clients: Vec<TcpStream> = ["", "sleep\n", "unblock\n", "write\n"]
            .into_iter()
            .map(|line| {
                let mut client = connect(&serving);
                client.write_all(line.as_bytes()).unwrap();
                client
            })
            .collect();
        (0..4).for_each(|_| receive::<()>(&begun));
        let handle = serving.handle();
        drop(serving);
        eventually("all have ended", || handle.stats().active == 0);
        eventually("nothing is left of them", || Arc::strong_count(&alive) == 1);
        drop(clients);
    });
}

/// As with threads: whoever may finish does.
#[test]
fn at_a_stop_handlers_have_the_drain_timeout() {
    run(|| {
        let serving = serve(handler_fn(lines));
        let handle = serving.handle();
        let mut client = connect(&serving);
        assert_eq!(ask(&mut client, b"before\n", 7), b"before\n");
        handle.shutdown();
        assert_eq!(ask(&mut client, b"after\n", 6), b"after\n");
        drop(client);
        let report = serving.join().unwrap();
        assert_eq!((report.drained, report.abandoned), (1, 0));
    });
}

#[test]
fn settings_that_cannot_be_are_named() {
    fn named(builder: Builder<TcpListener, Coroutines>) -> &'static str {
        match builder.bind("127.0.0.1:0", handler_fn(lines)).map(drop).unwrap_err() {
            Error::InvalidSetting { setting, .. } => setting,
            error => panic!("{error}"),
        }
    }
    assert_eq!(named(builder().workers(0)), "workers");
    assert_eq!(named(builder().stack_size(0)), "stack_size");
    assert_eq!(named(builder().stack_size(usize::MAX)), "stack_size");
    assert_eq!(named(builder().max_connections(0)), "max_connections");
    assert_eq!(named(builder().max_line(0)), "max_line");
    assert_eq!(named(builder().read_timeout(Duration::ZERO)), "read_timeout");
    #[cfg(target_os = "linux")]
    assert_eq!(named(builder().max_connections(1_000_000_000)), "max_connections");
}

/// Many more, one after another and side by side, than stacks are kept for.
#[test]
fn stacks_are_used_again() {
    run(|| {
        let serving = serve(handler_fn(|request: &mut Connection| Ok(request.write_all(b"+")?)));
        for _ in 0..20 {
            let clients: Vec<TcpStream> = (0..100).map(|_| connect(&serving)).collect();
            for mut client in clients {
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).unwrap();
                assert_eq!(answer, b"+");
            }
        }
        assert_eq!(serving.handle().stats().accepted, 2000);
        assert!(serving.stop().unwrap().is_clean());
    });
}

#[test]
fn a_handler_stage_is_named_as_on_threads() {
    run(|| {
        let (sender, stages): (Sender<Stage>, Receiver<Stage>) = channel();
        let sender = Mutex::new(sender);
        let builder = builder().handle_error(move |failure| sender.lock().unwrap().send(failure.stage()).unwrap());
        let serving = serve_as(builder, handler_fn(|_: &mut Connection| Err("no".into())));
        let _client = connect(&serving);
        assert_eq!(receive(&stages), Stage::Handle);
        serving.stop().unwrap();
    });
}
