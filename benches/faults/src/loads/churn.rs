use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::Scale;
use crate::client::{message, Client};
use crate::footprint::listen_overflows;
use crate::process::Server;
use crate::report::{Row, Time};
use crate::server::{Kind, Settings};

const CLIENTS: u64 = 4;

/// L3.
pub fn closing(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    row.done = format!("{CLIENTS} clients: connect, 64 bytes echoed, close");
    run(scale, kind, row, visit)
}

/// L4.
pub fn resetting(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    row.done = format!("{CLIENTS} clients: connect, 64 bytes echoed, reset");
    run(scale, kind, row, |server, number| {
        let mut client = Client::connect(server)?;
        client.exchange(&message(64, number))?;
        client.reset()
    })
}

pub fn visit(server: SocketAddr, number: u64) -> io::Result<()> {
    let mut client = Client::connect(server)?;
    client.exchange(&message(64, number))
}

type Visit = fn(SocketAddr, u64) -> io::Result<()>;

fn run(scale: &Scale, kind: Kind, row: &mut Row, visit: Visit) -> anyhow::Result<()> {
    let server = Server::start(kind, &Settings::default())?;
    let overflows = listen_overflows()?;
    let window = scale.seconds(10.0, 1.0);
    let (address, end) = (server.address(), Instant::now() + window);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || Tally::of((0..).map(|visit| client + CLIENTS * visit), address, end, visit))
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut whole = Tally::new();
    for tally in tallies {
        whole.add(tally);
    }
    let rate = whole.times.len() as f64 / window.as_secs_f64();
    // What a busy machine does in a debug build is no measure; that it does something is.
    let least = match kind {
        Kind::Threading => scale.pick(4000.0, 20.0),
        _ => scale.pick(8000.0, 20.0),
    };
    row.check(format!("≥ {least} a second"), format!("{rate:.0}"), rate >= least);
    row.at_most("p99.9", whole.quantile(0.999), scale.time(Duration::from_millis(100)));
    row.tell("p50, p99", format!("{}, {}", Time(whole.quantile(0.5)), Time(whole.quantile(0.99))));
    row.check("no error, no wrong answer", whole.errors(), whole.errors.is_empty());
    let overflows = listen_overflows()? - overflows;
    if scale.alone() {
        row.none("overflow of the queue", overflows);
    } else {
        row.tell("overflows of all queues of the network", overflows);
    }
    server.check_leaks(row)?;
    server.check_stop(row)
}

/// How visits went.
pub struct Tally {
    /// Microseconds.
    pub times: Histogram<u64>,
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
    pub fn new() -> Tally {
        let times = Histogram::new_with_bounds(1, 60_000_000, 3);
        // Bounds that the crate takes; they are the same every time.
        Tally { times: times.unwrap_or_else(|_| unreachable!("bounds in order")), errors: BTreeMap::new() }
    }

    fn of(numbers: impl Iterator<Item = u64>, server: SocketAddr, end: Instant, visit: Visit) -> Tally {
        let mut tally = Tally::new();
        for number in numbers {
            let began = Instant::now();
            if began >= end {
                break;
            }
            let outcome = visit(server, number);
            tally.count(began, outcome);
        }
        tally
    }

    pub fn count(&mut self, began: Instant, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => self.times.saturating_record(began.elapsed().as_micros() as u64),
            Err(error) => *self.errors.entry(error.to_string()).or_default() += 1,
        }
    }

    pub fn add(&mut self, other: Tally) {
        // Of the same bounds, so that there is nothing that could not be added.
        let _ = self.times.add(&other.times);
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }

    pub fn quantile(&self, part: f64) -> Duration {
        Duration::from_micros(self.times.value_at_quantile(part))
    }

    pub fn errors(&self) -> String {
        let words: Vec<_> = self.errors.iter().map(|(error, count)| format!("{count} × {error}")).collect();
        if words.is_empty() {
            "0".to_owned()
        } else {
            words.join("; ")
        }
    }
}
