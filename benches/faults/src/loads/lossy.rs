#[path = "../../../../tests/common/lossy.rs"]
mod network;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{Error, UdpClient};

use self::network::{Faults, Lossy};
use super::Scale;
use crate::client::message;
use crate::process::Server;
use crate::report::{Row, Time};
use crate::server::{Kind, Settings};

const CLIENTS: u64 = 64;

/// In percent, each way.
const LOST: u64 = 30;

/// What a request may take altogether.
const DEADLINE: Duration = Duration::from_secs(2);

/// L9.
pub fn run(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    let window = scale.seconds(28.0, 2.0);
    row.done = format!("{CLIENTS} clients at once, {LOST} % lost each way, delays, some twice");
    let server = Server::start(kind, &Settings::default())?;
    let faults = Faults { lost: LOST, doubled: 5, delay: Duration::from_millis(20) };
    let proxy = Lossy::before("127.0.0.1:0".parse()?, server.address(), faults, faults, scale.seed);
    let end = Instant::now() + window;
    let (address, mut whole) = (proxy.address, Outcome::default());
    thread::scope(|scope| -> anyhow::Result<()> {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || ask(address, number, end))).collect();
        for client in clients {
            whole.add(client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(())
    })?;
    let share = 100.0 * whole.answered as f64 / (whole.answered + whole.timed_out).max(1) as f64;
    let asked = whole.answered + whole.timed_out;
    // 1 − 0.51⁴ = 93.2 % are to be expected, of many, and of those that are asked while the machine stands still none.
    let least = scale.pick(90.0, 60.0);
    row.check(format!("≥ {least} % of {asked} answered"), format!("{share:.1} %"), share >= least);
    row.none("wrong answer", whole.wrong);
    row.none("other error", whole.failed);
    row.at_most("longest request", whole.longest, DEADLINE + scale.time(Duration::from_millis(50)));
    let fates = &proxy.fates;
    row.tell(
        "passed, lost, doubled",
        format!(
            "{}, {}, {}",
            fates.passed.load(Ordering::Relaxed),
            fates.lost.load(Ordering::Relaxed),
            fates.doubled.load(Ordering::Relaxed),
        ),
    );
    row.tell("deadline", Time(DEADLINE));
    drop(proxy);
    server.check_leaks(row)?;
    server.check_stop(row)
}

#[derive(Default)]
struct Outcome {
    answered: u64,
    timed_out: u64,
    wrong: u64,
    failed: u64,
    longest: Duration,
}

impl Outcome {
    fn add(&mut self, other: Outcome) {
        self.answered += other.answered;
        self.timed_out += other.timed_out;
        self.wrong += other.wrong;
        self.failed += other.failed;
        self.longest = self.longest.max(other.longest);
    }
}

fn ask(server: std::net::SocketAddr, client: u64, end: Instant) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut udp =
        UdpClient::builder().timeout(DEADLINE).retries(3).first_retry(Duration::from_millis(100)).connect(server)?;
    for number in 0.. {
        let began = Instant::now();
        if began >= end {
            break;
        }
        let request = message(64, client << 32 | number);
        let answer = udp.request_identified(&request);
        outcome.longest = outcome.longest.max(began.elapsed());
        match answer {
            Ok(answer) if answer == request => outcome.answered += 1,
            Ok(_) => outcome.wrong += 1,
            Err(Error::Timeout { .. }) => outcome.timed_out += 1,
            Err(_) => outcome.failed += 1,
        }
    }
    Ok(outcome)
}
