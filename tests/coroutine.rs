//! Handlers on coroutines: many on one thread, each with its turn; what they panic with, their stacks, their settings.
#![cfg(feature = "coroutine")]

mod common;

use std::io::{BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::coroutines::{ask, assert_goes_on, builder, connect, lines, serve, serve_as};
use common::{eventually, receive, run};
use socketserver::coroutine::{sleep, CoroutineTcpServer, Coroutines};
use socketserver::reactor::Reactor;
use socketserver::server::Builder;
use socketserver::tcp::TcpListener;
#[cfg(unix)]
use socketserver::CoroutineUnixServer;
use socketserver::{
    handler_fn, Connection, Error, Handler, HandlerResult, Protocol, ReactorTcpServer, Stage, Transport,
};

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
fn a_listener_of_stds_is_served_as_one_of_our_own() {
    run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = CoroutineTcpServer::from_listener(listener, handler_fn(lines)).unwrap();
        assert_eq!(server.local_addr(), address);
        assert!(format!("{server:?}").contains(&address.to_string()));
        let serving = server.spawn().unwrap();
        assert_goes_on(&serving);
        assert!(serving.stop().unwrap().is_clean());
    });
}

#[test]
#[cfg(unix)]
fn a_unix_listener_of_stds_is_served_too() {
    run(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let server = CoroutineUnixServer::from_listener(listener, handler_fn(lines)).unwrap();
        let serving = server.spawn().unwrap();
        let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        client.write_all(b"hello\n").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "hello\n");
        serving.stop().unwrap();
        assert!(path.exists(), "the path is whoever's bound it");
    });
}

/// Beside callbacks, on one thread.
#[test]
fn a_reactor_has_coroutines_beside_callbacks() {
    #[derive(Clone)]
    struct Shout;
    impl Protocol for Shout {
        fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
            transport.write(&data.to_ascii_uppercase());
        }
    }
    run(|| {
        let coroutines = CoroutineTcpServer::bind("127.0.0.1:0", handler_fn(lines)).unwrap();
        let callbacks = ReactorTcpServer::bind("127.0.0.1:0", Shout).unwrap();
        let addresses = [coroutines.local_addr(), callbacks.local_addr()];
        let mut reactor = Reactor::new();
        reactor.add(coroutines);
        reactor.add(callbacks);
        let running = reactor.spawn().unwrap();
        let mut clients = addresses.map(|address| TcpStream::connect(address).unwrap());
        for answers in [[b"one\n", b"ONE\n"], [b"two\n", b"TWO\n"]] {
            for (client, answer) in clients.iter_mut().zip(answers) {
                assert_eq!(ask(client, &answers[0][..], 4), answer);
            }
        }
        drop(clients);
        assert!(running.stop().unwrap().is_clean());
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

/// A stack that overflows ends the process, says so, and does not write elsewhere. That of a thread is told by std as before.
#[test]
#[cfg(target_os = "linux")]
fn a_stack_that_overflows_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;

    use nix::libc::{SIGABRT, SIGSEGV};
    use nix::sys::signal::{raise, sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};

    const CHILD: &str = "SOCKETSERVER_OVERFLOW";

    fn deep(depth: u64) -> u64 {
        let array = std::hint::black_box([depth; 64]);
        if depth == 0 {
            return array[0];
        }
        deep(depth - 1).wrapping_add(array[7])
    }

    extern "C" fn earlier(_: nix::libc::c_int) {
        let _ = nix::unistd::write(std::io::stderr(), b"an earlier handler: overflowed its stack?\n");
    }

    if let Ok(place) = std::env::var(CHILD) {
        let overflow = || println!("{}", deep(std::hint::black_box(1_000_000)));
        let on_coroutine = place == "coroutine";
        if place == "sent" {
            let once = SaFlags::SA_RESETHAND;
            let earlier = SigAction::new(SigHandler::Handler(earlier), once, SigSet::empty());
            // SAFETY: the handler does nothing but write to a descriptor.
            unsafe { sigaction(Signal::SIGSEGV, &earlier) }.unwrap();
        }
        let handler = handler_fn(move |request: &mut Connection| {
            if on_coroutine {
                overflow();
            }
            lines(request)
        });
        let serving = serve_as(builder().stack_size(64 * 1024), handler);
        assert_goes_on(&serving);
        if place == "sent" {
            // The first is the earlier handler's, who wants no more than one.
            raise(Signal::SIGSEGV).unwrap();
            raise(Signal::SIGSEGV).unwrap();
        }
        let thread = std::thread::Builder::new().stack_size(64 * 1024).name("deep".into()).spawn(overflow).unwrap();
        thread.join().unwrap();
        return;
    }
    run(|| {
        for (place, words, signal) in [
            ("coroutine", "a handler on a coroutine has overflowed its stack (", SIGSEGV),
            ("thread", "thread 'deep'", SIGABRT),
            ("sent", "an earlier handler", SIGSEGV),
        ] {
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_stack_that_overflows_ends_the_process", "--nocapture"])
                .env(CHILD, place)
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&child.stderr);
            // The address sanitizer tells it in words of its own.
            let sanitized = told.contains("AddressSanitizer");
            let said = told.contains(words) && told.contains("overflowed its stack");
            assert!(sanitized || (said && child.status.signal() == Some(signal)), "{:?} {told}", child.status);
            assert!(told.len() < 2000, "it is said once: {told}");
        }
    });
}

#[test]
fn settings_that_cannot_be_are_named() {
    fn refused(builder: Builder<TcpListener, Coroutines>) -> Error {
        builder.bind("127.0.0.1:0", handler_fn(lines)).map(drop).unwrap_err()
    }
    fn named(builder: Builder<TcpListener, Coroutines>) -> &'static str {
        match refused(builder) {
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
    {
        // It says how many would be taken.
        let text = refused(builder().max_connections(1_000_000_000)).to_string();
        let rest = text.strip_prefix("max_connections cannot be 1000000000: ").unwrap();
        let most: usize = rest.split_once(' ').unwrap().0.parse().unwrap();
        drop(builder().max_connections(most).bind("127.0.0.1:0", handler_fn(lines)).unwrap());
        assert!(refused(builder().max_connections(most + 1)).to_string().contains(rest));
    }
}
