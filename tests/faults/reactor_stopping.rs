//! T23, T24, T25, T26 on an event loop: stops and drops, in every state and order.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use socketserver::server::Running;
use socketserver::{Error, Protocol, ReactorTcpServer, ReactorUnixServer, Transport};

use crate::client::{Client, Wire};
use crate::harness::{count, eventually, expect_free, long, own_loopback, pattern, percentile, Random, Watchdog};
use crate::parent::Child;
use crate::reactor_talk::EventTalk;
use crate::stopping::{pause, stop_from_everywhere, Seen, SLACK};

const LIMIT: Duration = Duration::from_secs(20);

fn bind(address: SocketAddr, workers: usize) -> ReactorTcpServer {
    ReactorTcpServer::builder().workers(workers).bind(address, EventTalk::default()).unwrap()
}

fn anywhere() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

#[test]
fn t23_a_stop_takes_effect_at_once_whenever_it_comes() {
    let _watchdog = Watchdog::new();
    let mut random = Random::new(23);
    let mut times = Vec::new();
    for round in 0..count(300, 1000) {
        let running = bind(anywhere(), 1 + round % 3).spawn().unwrap();
        pause(&mut random, 5000);
        let began = Instant::now();
        let report = running.stop().unwrap();
        times.push(began.elapsed());
        assert!(report.is_clean());
    }
    let typical = percentile(&mut times, if long() { 99 } else { 80 });
    println!("T23: p50 {:?}, p80/p99 {typical:?}, longest {:?}", times[times.len() / 2], times[times.len() - 1]);
    assert!(typical < Duration::from_millis(50), "{typical:?}");
    assert!(times[times.len() - 1] < SLACK, "{:?}", times[times.len() - 1]);
}

#[test]
fn t24_eight_threads_stop_a_server_twice_each() {
    let _watchdog = Watchdog::new();
    for round in 0..count(50, 500) {
        let running = bind(anywhere(), 1 + round % 2).spawn().unwrap();
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
    let mut server = bind(own_loopback(), 2);
    let address = server.local_addr();
    server.handle().shutdown();
    assert!(server.serve_forever().unwrap().is_clean());
    assert!(matches!(server.serve_forever(), Err(Error::Closed { .. })));
    expect_free(address);
    assert!(matches!(server.spawn(), Err(Error::Closed { .. })));
}

/// Stops its own server, in whatever callback it is asked in.
#[derive(Clone)]
struct Suicidal;

impl Protocol for Suicidal {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        transport.server().shutdown();
        transport.server().shutdown();
        transport.write(data);
    }

    fn connection_lost(&mut self, transport: &mut Transport, _: Option<&io::Error>) {
        transport.server().shutdown();
    }
}

#[test]
fn t24_stops_before_during_and_after_from_everywhere_at_once() {
    let _watchdog = Watchdog::new();
    let mut random = Random::new(24);
    for round in 0..count(1_000, 10_000) {
        let builder = ReactorTcpServer::builder().workers(1 + random.below(3));
        let mut server = if round % 2 == 0 {
            builder.bind(anywhere(), Suicidal).unwrap()
        } else {
            builder.bind(anywhere(), EventTalk::default()).unwrap()
        };
        stop_from_everywhere(&mut random, (server.handle(), server.local_addr()), |how| match how {
            0 => {
                server.serve_forever().unwrap();
                assert!(matches!(server.serve_forever(), Err(Error::Closed { .. })));
            }
            1 => drop(server.spawn().unwrap().stop().unwrap()),
            2 => drop(server.spawn().unwrap()),
            _ => drop(server),
        });
    }
}

#[test]
fn t25_who_waits_in_the_queue_at_a_stop_is_served() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("reactor-unix path={}", folder.path().join("socket").display());
    for role in ["reactor", "reactor workers=3", &unix] {
        let rounds = count(5, 50);
        let mut all_served = 0;
        for _ in 0..rounds {
            let mut child = Child::start(role);
            child.connect().ping();
            child.signal(Signal::SIGSTOP);
            let mut queued: Vec<Client> = (0..20).map(|_| child.connect()).collect();
            for client in &mut queued {
                client.say("ping x").unwrap();
            }
            // Read when the process goes on, at the same moment as the clients are seen.
            child.tell("stop");
            child.signal(Signal::SIGCONT);
            let served =
                queued.iter_mut().filter_map(|client| client.hear().ok()).filter(|line| line == "pong x").count();
            queued.iter_mut().for_each(Client::expect_end);
            drop(queued);
            assert!(child.answer().contains("abandoned: 0, still_running: 0"));
            all_served += usize::from(served == 20);
        }
        // The loop has 50 ms for it, which a busy machine may not give it.
        assert!(2 * all_served > rounds, "{role}: all were served at {all_served} of {rounds} stops");
    }
}

#[test]
fn t25_idle_clients_are_let_go_at_once() {
    let _watchdog = Watchdog::new();
    for role in ["reactor", "reactor workers=2"] {
        let mut child = Child::start(role);
        let mut clients: Vec<Client> = (0..50).map(|_| child.connect()).collect();
        clients.iter_mut().for_each(Client::ping);
        child.tell("stop");
        let began = Instant::now();
        let mut times = Vec::new();
        for client in &mut clients {
            client.expect_end();
            times.push(began.elapsed());
        }
        drop(clients);
        let report = child.answer();
        println!("T25: idle clients cut after {:?}, all is over after {:?}", times[49], began.elapsed());
        assert!(report.contains("drained: 50, abandoned: 0, still_running: 0"), "{role}: {report}");
        assert!(percentile(&mut times, 50) < Duration::from_millis(50), "{role}: {times:?}");
        assert!(began.elapsed() < SLACK, "{role}: {:?}", began.elapsed());
    }
}

/// Connects, asks and is answered until nobody listens any more.
fn churn(address: SocketAddr, seen: &Seen) {
    const LENGTH: usize = 10_000;
    loop {
        let Ok(stream) = TcpStream::connect(address) else { return };
        let mut client = Client::over(Wire::Tcp(stream));
        // In one piece, so that the loop has all of it or nothing.
        if client.say(&format!("send {LENGTH}\nbye")).is_err() {
            seen.unserved.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        let (bytes, _) = client.rest();
        let (answer, bye) = bytes.split_at(bytes.len().min(LENGTH));
        assert!(answer == pattern(0, answer.len()), "other bytes than were sent");
        let outcome = match (answer.len(), bye) {
            (0, _) => &seen.unserved,
            (LENGTH, b"bye\n") => &seen.complete,
            _ => &seen.cut,
        };
        outcome.fetch_add(1, Ordering::SeqCst);
    }
}

/// As the talk, and a line that holds the loop up for as long as it is told to.
#[derive(Clone)]
struct Stubborn {
    talk: EventTalk,
    computing: Arc<AtomicBool>,
}

impl Protocol for Stubborn {
    fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
        if data != b"compute\n" {
            return self.talk.data_received(transport, data);
        }
        transport.write(b"computing\n");
        while self.computing.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        self.talk.eof_received(transport);
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        self.talk.resume_writing(transport);
    }
}

#[test]
fn t25_a_stop_under_load_with_a_callback_that_computes() {
    let _watchdog = Watchdog::new();
    for workers in [1, 2] {
        let drain = Duration::from_millis(700);
        let computing = Arc::new(AtomicBool::new(true));
        let protocol = Stubborn { talk: EventTalk::default(), computing: Arc::clone(&computing) };
        let builder = ReactorTcpServer::builder().drain_timeout(drain).workers(workers);
        let running = builder.bind(own_loopback(), protocol).unwrap().spawn().unwrap();
        let (address, handle) = (running.local_addr(), running.handle());
        let (mut holder, mut slow) = (Client::tcp(address), Client::tcp(address));
        slow.say("send 100000000").unwrap();
        slow.expect_pattern(0, 1000);
        let seen = Seen::default();
        let (report, took) = thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| churn(address, &seen));
            }
            eventually(LIMIT, "the load is on", || seen.complete.load(Ordering::SeqCst) > 50);
            assert_eq!(holder.ask("compute").unwrap(), "computing");
            let began = Instant::now();
            handle.shutdown();
            let report = running.join().unwrap();
            (report, began.elapsed())
        });
        println!("T25: {workers} loops, one held up: joined after {took:?}, {report:?}, {seen:?}");
        assert!(took >= drain && took < drain + SLACK, "{took:?}");
        assert!(report.abandoned >= 2 && report.still_running >= 1, "{report:?}");
        // Cut although its loop is held up.
        holder.expect_end();
        // Requests that were taken got their whole answers; whoever was not was turned away before the first byte.
        assert_eq!(seen.cut.load(Ordering::SeqCst), 0, "{seen:?}");
        expect_free(address);
        drop(slow);
        computing.store(false, Ordering::SeqCst);
        eventually(LIMIT, "everything has ended", || handle.stats().active == 0);
    }
}

#[test]
fn t25_an_answer_under_way_is_sent_to_its_end_and_a_client_that_does_not_read_is_cut_visibly() {
    let _watchdog = Watchdog::new();
    let length = 20_000_000;
    let mut child = Child::start("reactor drain=1500");
    let (mut reader, mut deaf) = (child.connect(), child.connect());
    for client in [&mut reader, &mut deaf] {
        client.say(&format!("send {length}")).unwrap();
        client.expect_pattern(0, 1000);
    }
    let began = Instant::now();
    child.tell("stop");
    // What is written by then is sent. The protocol of this test does not say that it has more to write.
    let (bytes, error) = reader.rest();
    assert!(bytes == pattern(1000, bytes.len()), "other bytes than were sent");
    assert!(error.is_none() && bytes.len() > 64 * 1024, "{} bytes, {error:?}", bytes.len());
    let report = child.answer();
    assert!(began.elapsed() >= Duration::from_millis(1500), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_millis(1500) + SLACK, "{:?}", began.elapsed());
    assert!(report.contains("drained: 1, abandoned: 1, still_running: 0"), "{report}");
    let (_, error) = deaf.rest();
    assert!(error.is_some(), "half an answer ends like a whole one");
}

#[test]
fn t26_a_drop_in_any_state_frees_the_port_and_never_hangs() {
    let _watchdog = Watchdog::new();
    for workers in [1, 3] {
        let bind = || {
            let builder = ReactorTcpServer::builder().workers(workers).drain_timeout(Duration::from_millis(200));
            builder.bind(own_loopback(), EventTalk::default()).unwrap()
        };
        let quickly = |what: &str, address: SocketAddr, dropping: Box<dyn FnOnce()>| {
            let began = Instant::now();
            dropping();
            assert!(began.elapsed() < SLACK, "{what}: {:?}", began.elapsed());
            expect_free(address);
        };
        let served = |address| {
            let mut client = Client::tcp(address);
            client.ping();
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
        drop(client);
        eventually(LIMIT, "the connection has ended", || handle.stats().active == 0);

        let running = bind().spawn().unwrap();
        let mut deaf = served(running.local_addr());
        deaf.say("send 100000000").unwrap();
        deaf.hear_bytes(1);
        let handle = running.handle();
        handle.shutdown();
        quickly("draining", running.local_addr(), Box::new(|| drop(running)));
        eventually(LIMIT, "it is cut behind the scenes", || handle.stats().active == 0);

        let running = bind().spawn().unwrap();
        let mut client = served(running.local_addr());
        client.say("compute 500").unwrap();
        let handle = running.handle();
        quickly("computing", running.local_addr(), Box::new(|| drop(running)));
        eventually(LIMIT, "it ends when it has computed", || handle.stats().active == 0);

        let running = bind().spawn().unwrap();
        running.handle().shutdown();
        eventually(LIMIT, "it has ended", || TcpStream::connect(running.local_addr()).is_err());
        quickly("stopped", running.local_addr(), Box::new(|| drop(running)));
    }
}

#[test]
fn t26_servers_made_and_dropped_leave_nothing_behind() {
    let _watchdog = Watchdog::new();
    let mut child = Child::start("churn-reactors");
    for _ in 0..3 {
        assert_eq!(child.ask(&format!("servers {}", count(50, 500))), "done");
        child.check_footprint();
    }
}

/// In a child: makes, uses and drops servers.
pub(crate) fn churn_servers() {
    crate::child::tell(format_args!("{} /", std::process::id()));
    let folder = tempfile::tempdir().unwrap();
    for line in io::stdin().lines() {
        let line = line.unwrap();
        let servers: usize = line.strip_prefix("servers ").unwrap().parse().unwrap();
        for number in 0..servers {
            let drain = Duration::ZERO;
            if number % 2 == 0 {
                let builder = ReactorTcpServer::builder().drain_timeout(drain).workers(1 + number % 3);
                let server = builder.bind(anywhere(), EventTalk::default()).unwrap();
                let address = server.local_addr();
                use_up(number, server.spawn().unwrap(), || Client::tcp(address));
            } else {
                let builder = ReactorUnixServer::builder().drain_timeout(drain).workers(1 + number % 3);
                let path = folder.path().join("socket");
                let server = builder.bind(&path, EventTalk::default()).unwrap();
                use_up(number, server.spawn().unwrap(), || Client::unix(&path));
                assert!(!path.exists());
            }
        }
        crate::child::tell("done");
    }
}

fn use_up<A: Clone>(number: usize, running: Running<A>, connect: impl Fn() -> Client) {
    let mut client = connect();
    if number % 3 > 0 {
        client.ping();
    }
    if number % 4 < 2 {
        drop(running);
    } else {
        running.stop().unwrap();
    }
    let _ = client.rest();
}
