//! What a run gave, as it is written to JSON.

pub mod table;
pub mod target;

use serde::Serialize;

use crate::machine::Machine;
use crate::measure::{median, Metric, Sample};
use crate::servers::Kind;

use self::target::Verdict;

#[derive(Serialize)]
pub struct Report {
    pub machine: Machine,
    pub rounds: usize,
    pub window_seconds: f64,
    pub scenarios: Vec<ScenarioReport>,
}

#[derive(Serialize)]
pub struct ScenarioReport {
    pub name: &'static str,
    pub title: &'static str,
    pub rows: Vec<Row>,
    pub verdicts: Vec<Verdict>,
}

/// One server in one scenario.
#[derive(Serialize)]
pub struct Row {
    #[serde(serialize_with = "name")]
    pub peer: Kind,
    pub median: Sample,
    /// By round; None where it failed.
    pub rounds: Vec<Option<Sample>>,
    pub failures: Vec<String>,
    /// Why it was not run at all, where this machine cannot have it.
    pub skipped: Option<String>,
}

impl Report {
    pub fn has_failures(&self) -> bool {
        self.scenarios.iter().flat_map(|scenario| &scenario.rows).any(|row| !row.failures.is_empty())
    }

    pub fn has_misses(&self) -> bool {
        self.scenarios.iter().flat_map(|scenario| &scenario.verdicts).any(|verdict| verdict.outcome.is_miss())
    }
}

impl Row {
    pub fn new(peer: Kind) -> Row {
        Row { peer, median: Sample::new(), rounds: Vec::new(), failures: Vec::new(), skipped: None }
    }

    pub fn skipped(peer: Kind, why: String) -> Row {
        Row { skipped: Some(why), ..Row::new(peer) }
    }

    /// Takes in the result of one more round.
    pub fn push(&mut self, result: anyhow::Result<Sample>) {
        if let Err(error) = &result {
            self.failures.push(format!("{error:#}"));
        }
        self.rounds.push(result.ok());
    }

    pub fn values(&self, metric: Metric) -> Vec<f64> {
        self.rounds.iter().flatten().filter_map(|sample| sample.get(&metric).copied()).collect()
    }

    /// This row's figure divided by another's, round by round.
    pub fn ratios(&self, other: &Row, metric: Metric) -> Vec<Option<f64>> {
        let figure = |sample: &Option<Sample>| sample.as_ref()?.get(&metric).copied();
        self.rounds.iter().zip(&other.rounds).map(|(own, other)| Some(figure(own)? / figure(other)?)).collect()
    }
}

impl ScenarioReport {
    /// Works out what follows from the rounds: the ratios to the first row that was not skipped, and the medians.
    pub fn complete(&mut self) {
        if let Some(first) = self.rows.iter().find(|row| row.skipped.is_none()) {
            let ratios: Vec<_> = self.rows.iter().map(|row| row.ratios(first, Metric::ProcessorUs)).collect();
            for (row, ratios) in self.rows.iter_mut().zip(ratios) {
                for (sample, ratio) in row.rounds.iter_mut().zip(ratios) {
                    if let (Some(sample), Some(ratio)) = (sample, ratio) {
                        sample.insert(Metric::ProcessorRatio, ratio);
                    }
                }
            }
        }
        for row in &mut self.rows {
            let metrics: Vec<Metric> = row.rounds.iter().flatten().flat_map(|sample| sample.keys().copied()).collect();
            for metric in metrics {
                if let Some(value) = median(row.values(metric)) {
                    row.median.insert(metric, value);
                }
            }
        }
    }

    pub fn row(&self, peer: Kind) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == peer)
    }
}

fn name<S: serde::Serializer>(peer: &Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(peer.name())
}
