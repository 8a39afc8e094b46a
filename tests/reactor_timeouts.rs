//! What ends a connection by the clock: silence, a write that makes no progress, a deadline.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::io::{self, Read, Write};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::reactor::{flood, lost, narrow, pattern, serving, until_lost, Probe, ReactorKind, Told};
use common::{failures, own_address, read_byte, receive, run, Place, LONG};
use socketserver::{Error, Phase, Protocol, ReactorTcpServer, Transport};

every_reactor! {
    a_silent_peer_is_given_up
    a_timeout_that_is_survived_comes_again
    a_timeout_can_be_set_and_taken_away
    traffic_puts_the_timeout_off
    answers_put_the_timeout_off
    a_peer_that_takes_nothing_is_given_up
    a_close_that_gets_nowhere_is_given_up
    a_deadline_ends_a_connection_that_is_busy
    a_deadline_can_be_set_and_taken_away
    a_timeout_runs_in_the_middle_of_others
}

const SOON: Duration = Duration::from_millis(50);

/// Sends the phase that ran out, and the limit.
#[derive(Clone)]
struct Watched {
    begin: fn(&mut Transport),
    ended: Sender<(Phase, Duration)>,
}

impl Watched {
    fn new(begin: fn(&mut Transport)) -> (Watched, Receiver<(Phase, Duration)>) {
        let (ended, phases) = channel();
        (Watched { begin, ended }, phases)
    }
}

impl Protocol for Watched {
    fn connection_made(&mut self, transport: &mut Transport) {
        (self.begin)(transport);
    }

    fn data_received(&mut self, _: &mut Transport, _: &[u8]) {}

    fn connection_lost(&mut self, transport: &mut Transport, error: Option<&io::Error>) {
        let error = error.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let Some(Error::Timeout { phase, address, after }) = Error::of(error) else { panic!("{error}") };
        assert_eq!(*address, transport.peer_addr().to_string());
        self.ended.send((*phase, *after)).unwrap();
    }
}

fn a_silent_peer_is_given_up<K: ReactorKind>() {
    let (handle_error, failures) = failures();
    let (watched, phases) = Watched::new(|_| {});
    let served = serving(K::bind(K::builder().read_timeout(SOON).handle_error(handle_error), watched));
    let started = Instant::now();
    let mut clients: Vec<_> = (0..5).map(|_| served.connect()).collect();
    for _ in 0..5 {
        assert_eq!(receive(&phases), (Phase::Read, SOON));
        assert!(receive(&failures).contains("reading timed out after 50ms"));
    }
    assert!(started.elapsed() >= SOON);
    for client in &mut clients {
        assert_eq!(read_byte(client), None);
    }
    served.idle();
    let stats = served.handle.stats();
    assert_eq!((stats.handler_errors, stats.panics), (5, 0));
    served.stop();
}

fn a_timeout_that_is_survived_comes_again<K: ReactorKind>() {
    let (sender, times) = channel();
    let sender = Mutex::new(sender);
    let (probe, told) = Probe::new(move |told, _| {
        if matches!(told, Told::TimedOut | Told::Made) {
            sender.lock().unwrap().send(Instant::now()).unwrap();
        }
    });
    let probe = probe.overriding(|told| *told == Told::TimedOut);
    let served = serving(K::bind(K::builder().read_timeout(SOON), probe));
    let client = served.connect();
    let times: Vec<Instant> = (0..5).map(|_| receive(&times)).collect();
    for pair in times.windows(2) {
        // The loop looks at the clock once a turn, which may have begun before.
        assert!(pair[1] - pair[0] >= SOON * 9 / 10, "{times:?}");
    }
    drop(client);
    let seen = until_lost(&told);
    assert!(seen.len() >= 6 && seen[1..5].iter().all(|told| *told == Told::TimedOut), "{seen:?}");
    assert_eq!(seen.last(), Some(&Told::Lost(None)));
    served.stop();
}

fn a_timeout_can_be_set_and_taken_away<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| match told {
        Told::Data(data) if data == b"soon" => transport.set_timeout(SOON).unwrap(),
        Told::TimedOut => {
            transport.set_timeout(None).unwrap();
            transport.write(b"!");
        }
        _ => {}
    });
    let probe = probe.overriding(|told| *told == Told::TimedOut);
    let served = serving(K::bind(K::builder().read_timeout(LONG * 2), probe));
    let mut client = served.connect();
    client.write_all(b"soon").unwrap();
    assert_eq!(read_byte(&mut client), Some(b'!'));
    // Several times what it was.
    client.set_read_timeout(Some(SOON * 4)).unwrap();
    let nothing = client.read(&mut [0]).unwrap_err();
    assert!(matches!(nothing.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
    drop(client);
    let expected = [Told::Made, Told::Data(b"soon".to_vec()), Told::TimedOut, Told::Eof, Told::Lost(None)];
    assert_eq!(until_lost(&told), expected);
    served.stop();
}

/// Keeps a connection busy for thrice its timeout; where this thread was not given the time to, again. Returns what it was told.
fn busy<K: ReactorKind>(
    script: fn(&Told, &mut Transport),
    mut step: impl FnMut(&mut socket2::Socket, &socketserver::TransportHandle),
) -> Vec<Told> {
    const TIMEOUT: Duration = Duration::from_millis(300);
    loop {
        let (sender, handles) = channel();
        let (probe, told) = Probe::new(move |told, transport| {
            if *told == Told::Made {
                sender.send(transport.handle()).unwrap();
            }
            script(told, transport);
        });
        let served = serving(K::bind(K::builder().read_timeout(TIMEOUT), probe));
        let mut client = served.connect();
        let handle = receive(&handles);
        let started = Instant::now();
        let mut last = started;
        let mut longest = Duration::ZERO;
        while started.elapsed() < TIMEOUT * 3 {
            step(&mut client, &handle);
            std::thread::sleep(Duration::from_millis(5));
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        drop(client);
        let seen = until_lost(&told);
        served.stop();
        if longest < TIMEOUT / 3 || !seen.contains(&Told::TimedOut) {
            return seen;
        }
    }
}

fn traffic_puts_the_timeout_off<K: ReactorKind>() {
    let seen = busy::<K>(|_, _| {}, |client, _| drop(client.write(b"x")));
    assert!(!seen.contains(&Told::TimedOut), "{seen:?}");
    assert_eq!(seen.last(), Some(&Told::Lost(None)));
}

fn answers_put_the_timeout_off<K: ReactorKind>() {
    let seen = busy::<K>(
        |_, _| {},
        |client, handle| {
            if handle.write(b"x").is_ok() {
                let _ = client.read(&mut [0]);
            }
        },
    );
    assert!(!seen.contains(&Told::TimedOut), "{seen:?}");
}

fn a_peer_that_takes_nothing_is_given_up<K: ReactorKind>() {
    for by_builder in [true, false] {
        let (watched, phases) = Watched::new(if by_builder {
            |transport| {
                flood(transport);
            }
        } else {
            |transport| {
                flood(transport);
                transport.set_write_timeout(SOON).unwrap();
            }
        });
        let builder = K::builder().write_timeout(if by_builder { SOON } else { LONG }).handle_error(|_| {});
        let served = serving(K::bind(builder, watched));
        let started = Instant::now();
        let _client = narrow(&served.place);
        assert_eq!(receive(&phases), (Phase::Write, SOON));
        assert!(started.elapsed() >= SOON);
        served.idle();
        served.stop();
    }
}

fn a_close_that_gets_nowhere_is_given_up<K: ReactorKind>() {
    let (watched, phases) = Watched::new(|transport| {
        flood(transport);
        transport.close();
    });
    let served = serving(K::bind(K::builder().write_timeout(SOON).handle_error(|_| {}), watched));
    let _client = narrow(&served.place);
    assert_eq!(receive(&phases), (Phase::Write, SOON));
    served.idle();
    served.stop();
}

/// A slow download is none that has stalled.
#[test]
fn a_slow_reader_is_not_cut() {
    const TIMEOUT: Duration = Duration::from_millis(400);
    run(|| loop {
        let listener = std::net::TcpListener::bind(own_address()).unwrap();
        // Inherited. With a large one, the last megabytes would leave at once.
        socket2::SockRef::from(&listener).set_send_buffer_size(4096).unwrap();
        let (probe, told) = Probe::new(|told, transport| {
            if told.is_data() {
                transport.write(&pattern(1 << 20));
                transport.close();
            }
        });
        let builder = ReactorTcpServer::builder().write_timeout(TIMEOUT).handle_error(|_| {});
        let server = builder.from_listener(listener, probe).unwrap();
        let place = Place::Tcp(server.local_addr());
        let served = serving((server, place));
        let mut client = narrow(&served.place);
        client.write_all(b"x").unwrap();
        let started = Instant::now();
        let (mut answer, mut last, mut longest) = (Vec::<u8>::new(), started, Duration::ZERO);
        let mut piece = vec![0; 4096];
        loop {
            match client.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.extend(&piece[..count]),
            }
            std::thread::sleep(Duration::from_millis(4));
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
        let error = lost(&told);
        served.stop();
        if error.is_some() && longest > TIMEOUT / 8 {
            // This machine was not slow but busy.
            continue;
        }
        assert_eq!(error, None);
        assert!(answer == pattern(1 << 20));
        break assert!(started.elapsed() > TIMEOUT * 2, "not slow enough to show anything");
    });
}

fn a_deadline_ends_a_connection_that_is_busy<K: ReactorKind>() {
    for by_builder in [true, false] {
        let (watched, phases) =
            Watched::new(if by_builder { |_| {} } else { |transport| transport.set_deadline(SOON).unwrap() });
        let within = by_builder.then_some(SOON);
        let served = serving(K::bind(K::builder().request_deadline(within).handle_error(|_| {}), watched));
        let started = Instant::now();
        let mut client = served.connect();
        while client.write_all(b"still here").is_ok() {
            assert!(started.elapsed() < LONG);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(receive(&phases), (Phase::Request, SOON));
        assert!(started.elapsed() >= SOON);
        served.idle();
        served.stop();
    }
}

fn a_deadline_can_be_set_and_taken_away<K: ReactorKind>() {
    let (probe, told) = Probe::new(|told, transport| match told {
        Told::Made => transport.set_deadline(None).unwrap(),
        Told::Data(_) => transport.set_deadline(SOON / 2).unwrap(),
        _ => {}
    });
    let served = serving(K::bind(K::builder().request_deadline(SOON).handle_error(|_| {}), probe));
    let mut client = served.connect();
    client.set_read_timeout(Some(SOON * 3)).unwrap();
    let nothing = client.read(&mut [0]).unwrap_err();
    assert!(matches!(nothing.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
    client.write_all(b"x").unwrap();
    let seen = until_lost(&told);
    assert_eq!(seen[..2], [Told::Made, Told::Data(b"x".to_vec())]);
    assert!(matches!(&seen[2], Told::Lost(Some((io::ErrorKind::TimedOut, _)))), "{seen:?}");
    served.stop();
}

/// Each has its own, in whatever order they come.
fn a_timeout_runs_in_the_middle_of_others<K: ReactorKind>() {
    let (sender, ended) = channel();
    let sender = Mutex::new(sender);
    let (probe, _told) = Probe::new(move |told, transport| match told {
        Told::Data(data) => {
            transport.set_timeout(Duration::from_millis(u64::from(data[0]) * 10)).unwrap();
            transport.write(b"+");
        }
        Told::TimedOut => sender.lock().unwrap().send(transport.id()).unwrap(),
        _ => {}
    });
    let served = serving(K::bind(K::builder().handle_error(|_| {}), probe));
    let delays = [9, 3, 200, 1, 6, 2, 200];
    let mut clients: Vec<_> = delays
        .iter()
        .map(|delay| {
            let mut client = served.connect();
            client.write_all(&[*delay]).unwrap();
            assert_eq!(read_byte(&mut client), Some(b'+'));
            client
        })
        .collect();
    for _ in 0..5 {
        receive(&ended);
    }
    for (client, delay) in clients.iter_mut().zip(delays) {
        if delay < 200 {
            assert_eq!(read_byte(client), None);
        }
    }
    drop(clients);
    served.stop();
}

/// It counts from when a client was accepted, though the callbacks of others hold the loop up before it is served.
#[test]
fn a_deadline_counts_from_the_acceptance() {
    #[derive(Clone)]
    struct Slow(Sender<(Instant, Duration)>, Option<Instant>);

    impl Protocol for Slow {
        fn connection_made(&mut self, _: &mut Transport) {
            self.1 = Some(Instant::now());
            std::thread::sleep(Duration::from_millis(100));
        }

        fn data_received(&mut self, _: &mut Transport, _: &[u8]) {}

        fn connection_lost(&mut self, _: &mut Transport, _: Option<&io::Error>) {
            let made = self.1.unwrap();
            self.0.send((made, made.elapsed())).unwrap();
        }
    }

    run(|| {
        let limit = Duration::from_secs(3);
        let (sender, lives) = channel();
        let server =
            ReactorTcpServer::builder().request_deadline(limit).bind(own_address(), Slow(sender, None)).unwrap();
        // All are there before the first is served, so they are accepted together; and more than a turn of the loop takes in.
        let address = server.local_addr();
        let clients: Vec<_> = (0..40).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let serving = server.spawn().unwrap();
        let lives = clients.iter().map(|_| receive(&lives));
        // The last was served when its time was over already.
        let (_, life) = lives.max().unwrap();
        assert!(life < limit / 2, "{life:?}");
        serving.stop().unwrap();
    });
}
