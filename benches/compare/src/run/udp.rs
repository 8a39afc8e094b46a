//! What becomes of datagrams that are lost, forged, or too many.

use crate::load::udp::{forgery, loss};
use crate::measure::{Metric, Sample};
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
