//! The rounds: servers are started, put under load and stopped, and what was measured becomes the report.

mod contender;
mod programs;
mod udp;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;

use crate::cli::Options;
use crate::load::closed_loop::ClosedLoop;
use crate::load::crowd::{Crowd, Held};
use crate::load::greedy::Greedy;
use crate::load::udp::closed_loop::ClosedLoop as DatagramLoop;
use crate::load::{Sliced, Totals};
use crate::machine::Machine;
use crate::measure::listen_drops;
use crate::metric::{Metric, Sample};
use crate::process::{self, Server};
use crate::report::{Report, Row, ScenarioReport};
use crate::scenario::{Lifetime, Load, Scenario, Stay};
use crate::servers::{Kind, Settings};

use self::contender::{take_turns, Contender};
use self::programs::Programs;

/// Before the window: threads are started, caches and branch predictors filled.
const WARM_UP: Duration = Duration::from_millis(500);

/// Runs the scenarios one after the other.
pub fn all(options: &Options, machine: Machine) -> anyhow::Result<Report> {
    let asked_for = options.scenarios.iter().flat_map(|scenario| peers(scenario, options));
    let programs = Programs::build(asked_for.copied());
    let scenarios = options.scenarios.iter().map(|scenario| run(scenario, options, &machine, &programs)).collect();
    let window_seconds = options.window.as_secs_f64();
    Ok(Report { machine, rounds: options.rounds, window_seconds, scenarios })
}

/// Every round has each server once, in a new process.
fn run(scenario: &Scenario, options: &Options, machine: &Machine, programs: &Programs) -> ScenarioReport {
    let mut rows: Vec<Row> = peers(scenario, options).iter().map(|&kind| row(kind, &scenario.load, programs)).collect();
    let kinds: Vec<Kind> = rows.iter().filter(|row| row.skipped.is_none()).map(|row| row.peer).collect();
    let settings = Settings {
        buffer: scenario.load.buffer(),
        // Room for connections that the server has not yet seen to be closed.
        connections: scenario.load.connections().max(1024),
        cpu: machine.server_cpu,
        programs: programs.folders(),
    };
    for round in 1..=options.rounds {
        let progress = |kind: Kind, result: &anyhow::Result<Sample>| {
            let shown = match result {
                Ok(sample) => show(sample),
                Err(error) => format!("failed: {error:#}"),
            };
            eprintln!("[{}] round {round} of {}, {}: {shown}", scenario.name, options.rounds, kind.name());
        };
        let results = measure(&scenario.load, &kinds, &settings, options.window, &progress);
        for (row, result) in rows.iter_mut().filter(|row| row.skipped.is_none()).zip(results) {
            row.push(result);
        }
    }
    let mut report = ScenarioReport::of(scenario.name, scenario.title, rows);
    // Servers chosen by hand are compared among themselves; the targets are for the scenario's own.
    if options.peers.is_empty() {
        report.verdicts = scenario.targets.iter().map(|target| target.judge(&report)).collect();
    }
    report
}

fn peers<'a>(scenario: &'a Scenario, options: &'a Options) -> &'a [Kind] {
    if options.peers.is_empty() {
        scenario.peers
    } else {
        &options.peers
    }
}

/// The row of a server that can be had, and speaks what the load does.
fn row(kind: Kind, load: &Load, programs: &Programs) -> Row {
    if kind.transport() != load.transport() {
        return Row::skipped(kind, format!("it serves {} only", kind.transport()));
    }
    match programs.why_skipped(kind) {
        Some(why) => Row::skipped(kind, why.to_owned()),
        None => Row::new(kind),
    }
}

/// One round: a result for each of the servers, told to `progress` as it comes.
fn measure(
    load: &Load,
    kinds: &[Kind],
    settings: &Settings,
    window: Duration,
    progress: &dyn Fn(Kind, &anyhow::Result<Sample>),
) -> Vec<anyhow::Result<Sample>> {
    let told = |kind: Kind, result: anyhow::Result<Sample>| {
        progress(kind, &result);
        result
    };
    match *load {
        Load::Exchanges { connections, bytes, lifetime } => {
            let load = |server| ClosedLoop::new(server, connections, bytes, lifetime);
            in_turns(kinds, settings, window, load, &told)
        }
        Load::Datagrams { clients, bytes } => {
            let load = |server| DatagramLoop::new(server, clients, bytes);
            in_turns(kinds, settings, window, load, &told)
        }
        Load::Loss { requests, percent } => {
            let one = |&kind| told(kind, udp::loss(kind, settings, requests, percent));
            kinds.iter().map(one).collect()
        }
        Load::Forgery { forgeries } => {
            let one = |&kind| told(kind, udp::forgery(kind, settings, forgeries));
            kinds.iter().map(one).collect()
        }
        Load::Bursts { bursts, datagrams } => {
            let one = |&kind| told(kind, udp::bursts(kind, settings, bursts, datagrams));
            kinds.iter().map(one).collect()
        }
        Load::Growth { few, many, bytes } => {
            let one = |&kind| told(kind, growth(kind, settings, [few, many], bytes, window));
            kinds.iter().map(one).collect()
        }
        Load::Crowd { connections, stay } => {
            let one = |&kind| told(kind, crowd(kind, settings, connections, stay));
            kinds.iter().map(one).collect()
        }
        Load::Greedy { pings, bytes } => {
            let one = |&kind| told(kind, greedy(kind, settings, pings, bytes, window));
            kinds.iter().map(one).collect()
        }
        Load::Stops { times } => {
            let one = |&kind| told(kind, stops(kind, times, settings.cpu));
            kinds.iter().map(one).collect()
        }
    }
}

/// All servers are up at once and take turns.
fn in_turns<L: Sliced>(
    kinds: &[Kind],
    settings: &Settings,
    window: Duration,
    load: impl Fn(SocketAddr) -> anyhow::Result<L>,
    told: &dyn Fn(Kind, anyhow::Result<Sample>) -> anyhow::Result<Sample>,
) -> Vec<anyhow::Result<Sample>> {
    let mut contenders: Vec<_> = kinds.iter().map(|&kind| Contender::start(kind, settings, &load)).collect();
    take_turns(&mut contenders, window);
    let ended = kinds.iter().zip(contenders);
    ended.map(|(&kind, contender)| told(kind, contender.and_then(Contender::finish))).collect()
}

/// The figures are those of the many, with both processor times and what they grew by.
fn growth(
    kind: Kind,
    settings: &Settings,
    connections: [usize; 2],
    bytes: usize,
    window: Duration,
) -> anyhow::Result<Sample> {
    let mut pair = connections.map(|count| {
        Contender::start(kind, settings, |server| ClosedLoop::new(server, count, bytes, Lifetime::WholeRun))
    });
    take_turns(&mut pair, window);
    let [few, many] = pair.map(|contender| contender.and_then(Contender::finish));
    Ok(with_growth(&few.context("over few connections")?, many.context("over many connections")?))
}

fn with_growth(few: &Sample, mut many: Sample) -> Sample {
    if let (Some(&few), Some(many_us)) = (few.get(&Metric::ProcessorUs), many.remove(&Metric::ProcessorUs)) {
        many.insert(Metric::ProcessorFewUs, few);
        many.insert(Metric::ProcessorManyUs, many_us);
        many.insert(Metric::ProcessorGrowth, many_us / few);
    }
    many
}

fn crowd(kind: Kind, settings: &Settings, connections: usize, stay: Stay) -> anyhow::Result<Sample> {
    let server = Server::start(kind, settings)?;
    let drops_before = listen_drops()?;
    let outcome = Crowd::run(&server, connections, stay)?;
    let drops = listen_drops()? - drops_before;
    server.stop()?;
    let mut sample = Sample::from([
        (Metric::ConnectMaxMs, outcome.slowest_connect.as_secs_f64() * 1e3),
        (Metric::ConnectAllMs, outcome.all_connected.as_secs_f64() * 1e3),
        (Metric::AnswerAllMs, outcome.all_answered.as_secs_f64() * 1e3),
        (Metric::ListenDrops, drops as f64),
    ]);
    if let (Some(held), Stay::Idle { hold, .. }) = (outcome.held, stay) {
        let each = |resident: u64| (resident as f64 - held.resident_before as f64) / 1024.0 / connections as f64;
        sample.insert(Metric::ResidentIdleKib, each(held.resident.idle));
        sample.insert(Metric::ResidentUsedKib, each(held.resident.used));
        sample.insert(Metric::IdleUsPerSecond, held.idle_time.as_secs_f64() * 1e6 / hold.as_secs_f64());
        if let Some(growth) = resident_growth(&held) {
            sample.insert(Metric::ResidentGrowth, growth);
        }
    }
    Ok(sample)
}

/// What a second crowd added to the whole process at the first one's peak, in percent of it.
fn resident_growth(held: &Held) -> Option<f64> {
    let (first, second) = (held.resident.peak() as f64, held.second.as_ref()?.peak() as f64);
    Some((second - first) / first * 100.0)
}

fn greedy(kind: Kind, settings: &Settings, pings: usize, bytes: usize, window: Duration) -> anyhow::Result<Sample> {
    let server = Server::start(kind, settings)?;
    let mut load = Greedy::new(server.address(), pings, bytes)?;
    load.run(WARM_UP, server.clock())?;
    let totals = load.run(window, server.clock())?;
    let mut sample = waits_and_shares(load.latencies(), &totals);
    let mib = load.stream_bytes() as f64 / 1024.0 / 1024.0;
    sample.insert(Metric::GreedyMibPerSecond, mib / totals.elapsed.as_secs_f64());
    drop(load);
    server.stop()?;
    Ok(sample)
}

fn stops(kind: Kind, times: usize, cpu: usize) -> anyhow::Result<Sample> {
    let mut took = Histogram::<u64>::new(3)?;
    for line in process::measure_stops(kind, times, cpu)?.lines() {
        took.record(line.parse().with_context(|| format!("not a number of nanoseconds: {line:?}"))?)?;
    }
    anyhow::ensure!(took.len() == times as u64, "{} stops instead of {times}", took.len());
    Ok(Sample::from([
        (Metric::StopP50Ms, took.value_at_quantile(0.5) as f64 / 1e6),
        (Metric::StopP99Ms, took.value_at_quantile(0.99) as f64 / 1e6),
        (Metric::StopMaxMs, took.max() as f64 / 1e6),
    ]))
}

/// How long answers took, and who was busy meanwhile.
fn waits_and_shares(latencies: &Histogram<u64>, totals: &Totals) -> Sample {
    let percent = |time: Duration| time.as_secs_f64() * 100.0 / totals.elapsed.as_secs_f64();
    let others = totals.machine_time.saturating_sub(totals.server_time + totals.load_time);
    Sample::from([
        (Metric::P50Us, latencies.value_at_quantile(0.5) as f64 / 1e3),
        (Metric::P99Us, latencies.value_at_quantile(0.99) as f64 / 1e3),
        (Metric::ServerBusy, percent(totals.server_time)),
        (Metric::LoadBusy, percent(totals.load_time)),
        (Metric::OthersBusy, percent(others)),
    ])
}

fn show(sample: &Sample) -> String {
    let figures = sample.iter().map(|(metric, value)| format!("{} {value:.*}", metric.heading(), metric.decimals()));
    figures.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::crowd::Resident;

    #[test]
    fn growth_is_from_few_to_many() {
        let few = Sample::from([(Metric::ProcessorUs, 4.0), (Metric::P50Us, 9.0)]);
        let many = Sample::from([(Metric::ProcessorUs, 6.0), (Metric::P50Us, 90.0)]);
        let expected = Sample::from([
            (Metric::ProcessorFewUs, 4.0),
            (Metric::ProcessorManyUs, 6.0),
            (Metric::ProcessorGrowth, 1.5),
            (Metric::P50Us, 90.0),
        ]);
        assert_eq!(with_growth(&few, many), expected);
    }

    #[test]
    fn a_second_crowd_is_compared_with_the_first_ones_peak() {
        let first = Resident { idle: 1000, used: 2000 };
        let mut held = Held { resident_before: 500, resident: first, idle_time: Duration::ZERO, second: None };
        assert_eq!(resident_growth(&held), None);
        held.second = Some(Resident { idle: 2100, used: 1900 });
        assert_eq!(resident_growth(&held), Some(5.0));
    }
}
