//! T23, T24, T25, T26: stops and drops, in every state and order.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::server::{Dispatch, Running, Sequential, Threading};
use socketserver::tcp::TcpListener;
use socketserver::{
    handler_fn, Connection, Error, Handled, HandlerResult, Server, ServerHandle, TcpServer, ThreadingTcpServer,
};

use crate::client::Client;
use crate::harness::{count, eventually, expect_free, long, own_loopback, percentile, Random, Watchdog};
use crate::parent::Child;
use crate::talk::Talk;

const LIMIT: Duration = Duration::from_secs(20);

/// What a busy machine may add to a promised time.
pub(crate) const SLACK: Duration = Duration::from_secs(2);

pub(crate) fn pause(random: &mut Random, most_micros: usize) {
    let micros = random.below(most_micros) as u64;
    let end = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < end {
        thread::yield_now();
    }
}

#[test]
fn t23_a_stop_takes_effect_at_once_whenever_it_comes() {
    let _watchdog = Watchdog::new();
    let mut random = Random::new(23);
    let mut times = Vec::new();
    for round in 0..count(300, 1000) {
        let running = if round % 2 == 0 {
            ThreadingTcpServer::bind("127.0.0.1:0", Talk).unwrap().spawn().unwrap()
        } else {
            TcpServer::bind("127.0.0.1:0", Talk).unwrap().spawn().unwrap()
        };
        pause(&mut random, 5000);
        let began = Instant::now();
        let report = running.stop().unwrap();
        times.push(began.elapsed());
        assert!(report.is_clean());
    }
    // Milliseconds on a quiet machine; one that looked now and then, as Python's does, would take hundreds for most.
    let typical = percentile(&mut times, if long() { 99 } else { 80 });
    assert!(typical < Duration::from_millis(50), "{typical:?}");
    assert!(times[times.len() - 1] < SLACK, "{:?}", times[times.len() - 1]);
}

/// Stops a server thrice and has a client come, each at a random moment, while `live` serves in one of four ways, until it has returned.
pub(crate) fn stop_from_everywhere(
    random: &mut Random,
    (handle, address): (ServerHandle, SocketAddr),
    live: impl FnOnce(usize),
) {
    let pauses: Vec<u64> = (0..4).map(|_| random.next() % 300).collect();
    let (client, how) = (random.below(2) == 0, random.below(4));
    thread::scope(|scope| {
        for pause in &pauses[..3] {
            let handle = handle.clone();
            scope.spawn(move || {
                thread::sleep(Duration::from_micros(*pause));
                handle.shutdown();
            });
        }
        if client {
            scope.spawn(move || {
                if let Ok(stream) = TcpStream::connect(address) {
                    let mut client = Client::over(crate::client::Wire::Tcp(stream));
                    // Served, or closed: both at once.
                    let _ = client.say("bye");
                    let _ = client.rest();
                }
            });
        }
        thread::sleep(Duration::from_micros(pauses[3]));
        live(how);
        handle.shutdown();
        assert!(handle.is_shutting_down());
    });
}

/// One server's life, with everything at a random moment.
fn interleaving<D: Dispatch + Default>(random: &mut Random) {
    let mut server = Server::<TcpListener, D>::bind("127.0.0.1:0", Talk).unwrap();
    if random.below(2) == 0 {
        // A handler that stops its own server.
        server = Server::<TcpListener, D>::bind(
            "127.0.0.1:0",
            handler_fn(|request: &mut Connection| {
                request.server().shutdown();
                request.server().shutdown();
                Ok(request.write_all(b"stopped\n")?)
            }),
        )
        .unwrap();
    }
    stop_from_everywhere(random, (server.handle(), server.local_addr()), |how| match how {
        0 => {
            server.serve_forever().unwrap();
            assert!(matches!(server.serve_forever(), Err(Error::Closed { .. })));
        }
        1 => drop(server.spawn().unwrap().stop().unwrap()),
        2 => drop(server.spawn().unwrap()),
        _ => drop(server),
    });
}

#[test]
fn t24_stops_before_during_and_after_from_everywhere_at_once() {
    let _watchdog = Watchdog::new();
    let mut random = Random::new(24);
    for round in 0..count(1_000, 10_000) {
        if round % 2 == 0 {
            interleaving::<Threading>(&mut random);
        } else {
            interleaving::<Sequential>(&mut random);
        }
    }
}

#[test]
fn t24_eight_threads_stop_a_server_twice_each() {
    let _watchdog = Watchdog::new();
    for _ in 0..count(50, 500) {
        let running = ThreadingTcpServer::bind("127.0.0.1:0", Talk).unwrap().spawn().unwrap();
        let (handle, together) = (running.handle(), Barrier::new(8));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    handle.shutdown();
                    handle.shutdown();
                });
            }
        });
        assert!(running.join().unwrap().is_clean());
    }
}

#[test]
fn t24_a_stop_before_the_start_makes_the_start_return() {
    let _watchdog = Watchdog::new();
    let mut server = ThreadingTcpServer::bind(own_loopback(), Talk).unwrap();
    let address = server.local_addr();
    server.handle().shutdown();
    assert!(matches!(server.handle_request().unwrap(), Handled::ShutDown));
    assert!(server.serve_forever().unwrap().is_clean());
    assert!(matches!(server.serve_forever(), Err(Error::Closed { .. })));
    assert!(matches!(server.handle_request(), Err(Error::Closed { .. })));
    expect_free(address);
    assert!(matches!(server.spawn(), Err(Error::Closed { .. })));
}

/// What the clients of a stopping server saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) complete: AtomicUsize,
    /// Closed or refused before the first byte of an answer.
    pub(crate) unserved: AtomicUsize,
    /// Ended in the middle of an answer, with an end of the file or an error.
    pub(crate) cut: AtomicUsize,
}

/// Connects, asks and is answered until nobody listens any more.
fn churn(address: SocketAddr, seen: &Seen) {
    const LENGTH: usize = 10_000;
    loop {
        let Ok(stream) = TcpStream::connect(address) else { return };
        let mut client = Client::over(crate::client::Wire::Tcp(stream));
        if client.say(&format!("send {LENGTH}")).and_then(|()| client.say("bye")).is_err() {
            seen.unserved.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        let (bytes, _) = client.rest();
        let (answer, bye) = bytes.split_at(bytes.len().min(LENGTH));
        assert!(answer == crate::harness::pattern(0, answer.len()), "other bytes than were sent");
        let outcome = match (answer.len(), bye) {
            (0, _) => &seen.unserved,
            (LENGTH, b"bye\n") => &seen.complete,
            _ => &seen.cut,
        };
        outcome.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn t25_a_stop_under_load_with_a_handler_that_reads_and_one_that_computes() {
    let _watchdog = Watchdog::new();
    let drain = Duration::from_millis(700);
    let computing = Arc::new(AtomicBool::new(true));
    let read_end = Arc::new(std::sync::Mutex::new(None));
    let (computes, ended) = (Arc::clone(&computing), Arc::clone(&read_end));
    let handler = handler_fn(move |request: &mut Connection| -> HandlerResult {
        let mut line = String::new();
        std::io::BufRead::read_line(request, &mut line)?;
        match line.trim_end() {
            "compute" => {
                request.write_all(b"computing\n")?;
                while computes.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                Ok(())
            }
            "read" => {
                request.write_all(b"reading\n")?;
                let read = std::io::Read::read(request, &mut [0]);
                *ended.lock().unwrap() = Some(read.map_err(|error| error.kind()));
                Ok(())
            }
            _ => {
                let length: usize = line.trim_end().strip_prefix("send ").ok_or("what?")?.parse()?;
                request.write_all(&crate::harness::pattern(0, length))?;
                Ok(request.write_all(b"bye\n")?)
            }
        }
    });
    let server = ThreadingTcpServer::builder().drain_timeout(drain).bind(own_loopback(), handler).unwrap();
    let running = server.spawn().unwrap();
    let address = running.local_addr();
    let (mut computing_client, mut reading_client) = (Client::tcp(address), Client::tcp(address));
    assert_eq!(computing_client.ask("compute").unwrap(), "computing");
    assert_eq!(reading_client.ask("read").unwrap(), "reading");
    let seen = Seen::default();
    let (report, took) = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| churn(address, &seen));
        }
        eventually(LIMIT, "the load is on", || seen.complete.load(Ordering::SeqCst) > 50);
        let began = Instant::now();
        let handle = running.handle();
        handle.shutdown();
        // The churning ends when nobody listens any more, well before the drain does.
        let report = running.join().unwrap();
        (report, began.elapsed())
    });
    // The handler that computes still does: `join` did not wait for it.
    assert!(took >= drain && took < drain + SLACK, "{took:?}");
    assert_eq!((report.abandoned, report.still_running), (2, 1), "{report:?}");
    assert_eq!(*read_end.lock().unwrap(), Some(Err(io::ErrorKind::ConnectionAborted)), "no clean end of the file");
    reading_client.expect_end();
    computing_client.expect_end();
    // Requests under way got the time they needed; whoever was still in the queue was turned away before the first byte.
    assert_eq!(seen.cut.load(Ordering::SeqCst), 0, "{seen:?}");
    expect_free(address);
    computing.store(false, Ordering::SeqCst);
}

#[test]
fn t25_idle_clients_do_not_hold_up_a_stop_longer_than_the_drain() {
    let _watchdog = Watchdog::new();
    for role in ["threading drain=300", "sequential drain=300"] {
        let mut child = Child::start(role);
        let mut client = child.connect();
        client.ping();
        let began = Instant::now();
        let report = child.stop();
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(300) && took < Duration::from_millis(300) + SLACK, "{role}: {took:?}");
        assert!(report.contains("drained: 0, abandoned: 1, still_running: 0"), "{role}: {report}");
        client.expect_end();
    }
}

/// A handler that waits for its client, and says when it has been cut.
fn waiting(cuts: &Arc<AtomicUsize>) -> impl socketserver::Handler + Clone {
    let cuts = Arc::clone(cuts);
    handler_fn(move |request: &mut Connection| {
        request.write_all(b"here\n")?;
        if std::io::Read::read(request, &mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionAborted) {
            cuts.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    })
}

#[test]
fn t26_a_drop_in_any_state_frees_the_port_and_never_hangs() {
    let _watchdog = Watchdog::new();
    dropped_in_all_states::<Threading>();
    dropped_in_all_states::<Sequential>();
}

fn dropped_in_all_states<D: Dispatch + Default>() {
    let cuts = Arc::new(AtomicUsize::new(0));
    let bind = || {
        let builder = Server::<TcpListener, D>::builder().drain_timeout(Duration::from_millis(200)).timeout(LIMIT);
        builder.bind(own_loopback(), waiting(&cuts)).unwrap()
    };
    let quickly = |what: &str, address: SocketAddr, dropping: Box<dyn FnOnce()>| {
        let began = Instant::now();
        dropping();
        assert!(began.elapsed() < SLACK, "{what}: {:?}", began.elapsed());
        expect_free(address);
    };
    let served = |address| {
        let mut client = Client::tcp(address);
        assert_eq!(client.hear().unwrap(), "here");
        client
    };

    let server = bind();
    quickly("bound", server.local_addr(), Box::new(|| drop(server)));

    let server = bind();
    let mut queued = Client::tcp(server.local_addr());
    quickly("bound, with somebody in the queue", server.local_addr(), Box::new(|| drop(server)));
    queued.expect_end();

    let running = bind().spawn().unwrap();
    quickly("serving nobody", running.local_addr(), Box::new(|| drop(running)));

    let running = bind().spawn().unwrap();
    let mut client = served(running.local_addr());
    let handle = running.handle();
    quickly("serving somebody", running.local_addr(), Box::new(|| drop(running)));
    client.expect_end();
    eventually(LIMIT, "the request is cut behind the scenes", || handle.stats().active == 0);
    assert_eq!(cuts.swap(0, Ordering::SeqCst), 1);

    let running = bind().spawn().unwrap();
    let mut client = served(running.local_addr());
    running.handle().shutdown();
    quickly("draining", running.local_addr(), Box::new(|| drop(running)));
    client.expect_end();

    let running = bind().spawn().unwrap();
    let handle = running.handle();
    handle.shutdown();
    eventually(LIMIT, "it has ended", || TcpStream::connect(running.local_addr()).is_err());
    quickly("stopped", running.local_addr(), Box::new(|| drop(running)));

    let mut server = bind();
    let mut client = Client::tcp(server.local_addr());
    client.end_writing();
    assert!(matches!(server.handle_request().unwrap(), Handled::Served));
    quickly("after a request", server.local_addr(), Box::new(|| drop(server)));
}

#[test]
fn t26_a_server_dropped_after_handle_request_cuts_what_its_threads_still_serve() {
    let _watchdog = Watchdog::new();
    let cuts = Arc::new(AtomicUsize::new(0));
    let builder = ThreadingTcpServer::builder().drain_timeout(Duration::from_millis(200)).timeout(LIMIT);
    let mut server = builder.bind(own_loopback(), waiting(&cuts)).unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    let mut client = Client::tcp(address);
    assert!(matches!(server.handle_request().unwrap(), Handled::Served));
    assert_eq!(client.hear().unwrap(), "here");
    let began = Instant::now();
    drop(server);
    expect_free(address);
    client.expect_end();
    assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    eventually(LIMIT, "the request has ended", || handle.stats().active == 0);
    assert_eq!(cuts.load(Ordering::SeqCst), 1);
}

#[test]
fn t26_servers_made_and_dropped_leave_nothing_behind() {
    let _watchdog = Watchdog::new();
    let mut child = Child::start("churn");
    for _ in 0..3 {
        assert_eq!(child.ask(&format!("servers {}", count(50, 500))), "done");
        child.check_footprint();
    }
}

/// In a child: makes, uses and drops servers.
pub(crate) fn churn_servers() {
    crate::child::tell(format_args!("{} /", std::process::id()));
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let servers: usize = line.strip_prefix("servers ").unwrap().parse().unwrap();
        for number in 0..servers {
            let builder = ThreadingTcpServer::builder().drain_timeout(Duration::ZERO);
            let running: Running<SocketAddr> = builder.bind("127.0.0.1:0", Talk).unwrap().spawn().unwrap();
            let mut client = Client::tcp(running.local_addr());
            if number % 3 > 0 {
                client.ping();
            }
            if number % 2 == 0 {
                drop(running);
            } else {
                running.stop().unwrap();
            }
            let _ = client.rest();
        }
        crate::child::tell("done");
    }
}
