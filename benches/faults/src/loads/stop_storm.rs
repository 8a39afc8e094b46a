use std::process::Stdio;
use std::time::Duration;

use anyhow::{ensure, Context};

use super::Scale;
use crate::process::itself;
use crate::report::Row;
use crate::server::stops::Storm;
use crate::server::Kind;

/// L12.
pub fn run(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    let times = scale.pick(1000, 60);
    row.done = format!("{times} times started, loaded by 4 clients, stopped");
    let output = itself()?
        .args(["stops", kind.name(), "--times", &times.to_string(), "--seed", &scale.seed.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting the process that starts and stops a server")?;
    ensure!(output.status.success(), "it ended with {}", output.status);
    let storm: Storm = serde_json::from_slice(&output.stdout).context("what it says")?;
    let at = |part: usize| {
        let micros = storm.micros.get((storm.micros.len() * part / 1000).min(storm.micros.len().saturating_sub(1)));
        Duration::from_micros(micros.copied().unwrap_or(u64::MAX))
    };
    row.at_most("p99 of the stops", at(990), scale.time(Duration::from_millis(50)));
    row.at_most("longest stop", at(1000), scale.time(Duration::from_millis(500)));
    row.check("some are answered", storm.answered, storm.answered > 0);
    row.none("answer cut short or wrong", storm.broken);
    row.none("client left waiting", storm.hanging);
    row.none("request cut at the drain deadline", storm.cut);
    if scale.place.own {
        row.none("port still open", storm.still_open);
    }
    row.tell("visibly closed before their answer", storm.closed);
    row.check(format!("in the end at most {}", storm.before), storm.after, storm.after.is_within(storm.before));
    Ok(())
}
