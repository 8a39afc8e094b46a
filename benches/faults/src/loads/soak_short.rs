use std::thread;
use std::time::{Duration, Instant};

use super::Scale;
use crate::mix::{self, Record};
use crate::process::Server;
use crate::report::{Row, Unit};
use crate::server::Kind;

const MIB: f64 = 1024.0 * 1024.0;

/// L10. All servers at the same time, each with a mix of its own.
pub fn run(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    let length = scale.seconds(120.0, 3.0);
    row.done = format!("churn, slow clients, panics, resets for {} s, seed {}", length.as_secs(), scale.seed);
    let server = Server::start(kind, &mix::settings())?;
    let before = server.resident()?;
    let (record, ()) = mix::run(&server, scale.seed, Instant::now(), || {
        thread::sleep(length);
        Ok(())
    })?;
    counts(row, &record);
    row.check("no hang", words(&record.hangs), record.hangs.is_empty());
    row.check("no error of an honest client", words(&record.errors), record.errors.is_empty());
    row.check("panics are counted", server.state()?.panics, server.state()?.panics == record.panics);
    let p99 = record.p99(Duration::ZERO, Duration::MAX).unwrap_or(Duration::MAX);
    row.at_most("p99 of the honest", p99, scale.time(Duration::from_millis(100)));
    let grown = record.memory.last().map_or(0, |(_, bytes)| bytes.saturating_sub(before));
    row.memory("growth from the start", grown as f64, 32.0 * MIB, Unit::Mib);
    if !scale.quick {
        slope(row, &record, Duration::from_secs(30), MIB);
    }
    server.check_leaks(row)?;
    server.check_stop(row)
}

pub fn counts(row: &mut Row, record: &Record) {
    let Record { visits, panics, resets, .. } = *record;
    row.check(
        "some visits, panics and resets",
        format!("{visits}, {panics} and {resets}"),
        visits > 0 && panics > 0 && resets > 0,
    );
    row.tell("honest requests, cut", format!("{}, {}", record.honest.len(), record.cut));
}

/// In bytes a minute.
pub fn slope(row: &mut Row, record: &Record, from: Duration, limit: f64) {
    let expected = format!("memory grows < {:.0} KiB a minute after {} s", limit / 1024.0, from.as_secs());
    match record.slope(from) {
        Some(slope) => row.check(expected, format!("{:.1} KiB", slope / 1024.0), slope < limit),
        None => row.tell(expected, "too short to tell"),
    }
}

/// The first few.
pub fn words(events: &[(Duration, String)]) -> String {
    let mut words: Vec<String> =
        events.iter().take(3).map(|(at, what)| format!("at {:.2} s {what}", at.as_secs_f64())).collect();
    if events.len() > 3 {
        words.push(format!("{} more", events.len() - 3));
    }
    if words.is_empty() {
        return "0".to_owned();
    }
    words.join("; ")
}
