//! What becomes of datagrams that are lost, forged, or too many.

use crate::load::udp::burst::Bursts;
use crate::load::udp::{forgery, loss};
use crate::metric::{Metric, Sample};
use crate::process::Server;
use crate::servers::{Kind, Settings};

/// This crate's client over a network that loses datagrams.
pub fn loss(kind: Kind, settings: &Settings, requests: usize, lost: u64) -> anyhow::Result<Sample> {
    let server = Server::start(kind, settings)?;
    let (outcome, latencies) = loss::run(server.address(), requests, lost)?;
    server.stop()?;
    let requests = requests as f64;
    Ok(Sample::from([
        (Metric::Unanswered, outcome.unanswered as f64 * 100.0 / requests),
        (Metric::Wrong, outcome.wrong as f64),
        (Metric::PastDeadlineMs, outcome.past_deadline.as_secs_f64() * 1e3),
        (Metric::StallMs, outcome.stall.as_secs_f64() * 1e3),
        (Metric::SentPerRequest, outcome.sent as f64 / requests),
        (Metric::P50Us, latencies.value_at_quantile(0.5) as f64 / 1e3),
        (Metric::P99Us, latencies.value_at_quantile(0.99) as f64 / 1e3),
        (Metric::TookSeconds, outcome.took.as_secs_f64()),
    ]))
}

/// This crate's client, waiting for an answer among forgeries.
pub fn forgery(kind: Kind, settings: &Settings, forgeries: u64) -> anyhow::Result<Sample> {
    let server = Server::start(kind, settings)?;
    let outcome = forgery::run(server.address(), forgeries)?;
    server.stop()?;
    Ok(Sample::from([
        (Metric::Sent, forgeries as f64),
        (Metric::PassedOver, outcome.passed_over as f64),
        (Metric::Wrong, outcome.wrong as f64),
        (Metric::Unanswered, outcome.unanswered as f64 * 100.0),
        (Metric::PastDeadlineMs, outcome.past_deadline.as_secs_f64() * 1e3),
        (Metric::StallMs, outcome.stall.as_secs_f64() * 1e3),
    ]))
}

/// More than a slow server can take, again and again. What it takes up after the first burst is what grows.
pub fn bursts(kind: Kind, settings: &Settings, bursts: usize, datagrams: usize) -> anyhow::Result<Sample> {
    let server = Server::start(kind, settings)?;
    let mut load = Bursts::new(server.address())?;
    let mut account = load.send(datagrams)?;
    let first = server.resident()?;
    for _ in 1..bursts {
        account = load.send(datagrams)?;
    }
    let last = server.resident()?;
    server.stop()?;
    let mib = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
    Ok(Sample::from([
        (Metric::Sent, account.sent as f64),
        (Metric::Handled, account.handled as f64),
        (Metric::DroppedByServer, account.dropped as f64),
        (Metric::DroppedByKernel, account.dropped_by_kernel as f64),
        (Metric::Unaccounted, account.unaccounted() as f64),
        (Metric::ResidentFirstMib, mib(first)),
        (Metric::ResidentLastMib, mib(last)),
        (Metric::BurstGrowth, (last as f64 - first as f64) / first as f64 * 100.0),
    ]))
}
