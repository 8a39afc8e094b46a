//! The stop storm: a server started, loaded and stopped over and over, in a process of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use socketserver::server::Running;

use super::{start, tell, Kind, Settings};
use crate::client::{message, Client, Dice};
use crate::footprint::Footprint;

/// Clients that come and go while the server is stopped.
const CLIENTS: u64 = 4;

/// A stop comes at any moment up to this one.
const LATEST: Duration = Duration::from_millis(5);

/// Longer than a drain and whatever a client waits for.
const ROUND_LASTS_AT_MOST: Duration = Duration::from_secs(40);

/// What the process says in the end.
#[derive(Debug, Serialize, Deserialize)]
pub struct Storm {
    /// How long each stop took, sorted.
    pub micros: Vec<u64>,
    /// Whole answers.
    pub answered: u64,
    /// Connections that ended before the first byte of an answer, and were seen to.
    pub closed: u64,
    /// Answers that ended in their middle, or were wrong.
    pub broken: u64,
    /// Who heard nothing at all.
    pub hanging: u64,
    /// Requests that had to be cut at the drain deadline.
    pub cut: u64,
    /// Ports on which somebody still listened after the stop.
    pub still_open: u64,
    pub before: Footprint,
    pub after: Footprint,
}

pub fn storm(kind: Kind, times: usize, seed: u64) -> anyhow::Result<()> {
    std::panic::set_hook(Box::new(|_| {}));
    // Should whoever measures be killed.
    set_pdeathsig(Signal::SIGKILL)?;
    let rounds = watched();
    let mut dice = Dice::new(seed);
    let fates = Fates::default();
    let mut storm = Storm {
        micros: Vec::with_capacity(times),
        answered: 0,
        closed: 0,
        broken: 0,
        hanging: 0,
        cut: 0,
        still_open: 0,
        before: Footprint { descriptors: 0, threads: 0 },
        after: Footprint { descriptors: 0, threads: 0 },
    };
    // The first makes whatever is made once in a process.
    once(kind, Duration::ZERO, &fates, &mut storm)?;
    storm.before = settled(None)?;
    for _ in 0..times {
        let pause = Duration::from_micros(dice.below(LATEST.as_micros() as u64));
        once(kind, pause, &fates, &mut storm)?;
        rounds.fetch_add(1, Ordering::SeqCst);
    }
    storm.after = settled(Some(storm.before))?;
    storm.micros.remove(0);
    storm.micros.sort_unstable();
    storm.answered = fates.answered.load(Ordering::SeqCst);
    storm.closed = fates.closed.load(Ordering::SeqCst);
    storm.broken = fates.broken.load(Ordering::SeqCst);
    storm.hanging = fates.hanging.load(Ordering::SeqCst);
    tell(&storm)
}

/// A count of rounds, whose standing still ends the process.
fn watched() -> Arc<AtomicU64> {
    let rounds: Arc<AtomicU64> = Arc::default();
    let watched = Arc::clone(&rounds);
    thread::spawn(move || loop {
        let before = watched.load(Ordering::SeqCst);
        thread::sleep(ROUND_LASTS_AT_MOST);
        if watched.load(Ordering::SeqCst) == before {
            eprintln!("round {before} of the stops hangs");
            std::process::exit(3);
        }
    });
    rounds
}

fn once(kind: Kind, pause: Duration, fates: &Fates, storm: &mut Storm) -> anyhow::Result<()> {
    let running: Running<SocketAddr> = start(kind, &Settings::default())?;
    let address = running.local_addr();
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || while fates.meet(address, number) {});
        }
        thread::sleep(pause);
        let began = Instant::now();
        let report = running.stop();
        storm.micros.push(began.elapsed().as_micros() as u64);
        let report = report?;
        storm.cut += (report.abandoned + report.still_running) as u64;
        storm.still_open += u64::from(Client::connect(address).is_ok());
        Ok(())
    })
}

/// Descriptors and threads, when they no longer change or are no more than at the start.
fn settled(start: Option<Footprint>) -> anyhow::Result<Footprint> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut last = None;
    loop {
        thread::sleep(2 * Settings::IDLE_THREADS_STAY);
        let now = Footprint::of(std::process::id())?;
        let at_rest = start.map_or(last == Some(now), |start| now.is_within(start));
        if at_rest || Instant::now() > deadline {
            return Ok(now);
        }
        last = Some(now);
    }
}

#[derive(Default)]
struct Fates {
    answered: AtomicU64,
    closed: AtomicU64,
    broken: AtomicU64,
    hanging: AtomicU64,
}

impl Fates {
    /// One client's visit. False when the server no longer listens.
    fn meet(&self, server: SocketAddr, number: u64) -> bool {
        use std::io::{ErrorKind, Read, Write};
        let Ok(client) = Client::connect(server) else { return false };
        let message = message(64, number);
        let mut stream = client.stream();
        let mut answer = Vec::new();
        let heard = stream.write_all(&message).and_then(|()| {
            stream.shutdown(std::net::Shutdown::Write)?;
            stream.read_to_end(&mut answer)
        });
        let fate = match heard {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => &self.hanging,
            _ if answer == message => &self.answered,
            _ if answer.is_empty() => &self.closed,
            _ => &self.broken,
        };
        fate.fetch_add(1, Ordering::SeqCst);
        true
    }
}
