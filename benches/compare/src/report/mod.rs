//! What a run gave, as it is written to JSON and read from it.

pub mod chart;
pub mod table;
pub mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::measure::median;
use crate::metric::{Metric, Sample};
use crate::scenario::Scenario;
use crate::servers::Kind;

use self::target::Verdict;

#[derive(Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    pub rounds: usize,
    pub window_seconds: f64,
    pub scenarios: Vec<ScenarioReport>,
}

#[derive(Serialize, Deserialize)]
pub struct ScenarioReport {
    pub name: String,
    pub title: String,
    /// The server that ratios are taken to, where there are several: the first that was not skipped.
    pub reference: Option<Kind>,
    pub rows: Vec<Row>,
    pub verdicts: Vec<Verdict>,
}

/// One server in one scenario.
#[derive(Serialize, Deserialize)]
pub struct Row {
    pub peer: Kind,
    pub median: Sample,
    /// To the reference, each round's figure to that of the same round.
    pub ratio: BTreeMap<Metric, Ratio>,
    /// By round; None where it failed.
    pub rounds: Vec<Option<Sample>>,
    pub failures: Vec<String>,
    /// Why it was not run at all, where this machine cannot have it.
    pub skipped: Option<String>,
}

/// Of all rounds' ratios.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    pub median: f64,
    pub lowest: f64,
    pub highest: f64,
}

impl Report {
    /// Reads what has been written as JSON.
    pub fn read(path: &Path) -> anyhow::Result<Report> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report of this version's --json", path.display()))
    }

    /// Only those of the scenarios, and of the servers where there are any, without the targets, which are for all of them.
    pub fn keep(&mut self, scenarios: &[&Scenario], peers: &[Kind]) {
        self.scenarios.retain(|report| scenarios.iter().any(|scenario| scenario.name == report.name));
        if peers.is_empty() {
            return;
        }
        for scenario in &mut self.scenarios {
            scenario.rows.retain(|row| peers.contains(&row.peer));
            scenario.verdicts.clear();
        }
    }

    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }

    pub fn has_failures(&self) -> bool {
        self.scenarios.iter().flat_map(|scenario| &scenario.rows).any(|row| !row.failures.is_empty())
    }

    pub fn has_misses(&self) -> bool {
        self.scenarios.iter().flat_map(|scenario| &scenario.verdicts).any(|verdict| verdict.outcome.is_miss())
    }
}

impl Row {
    pub fn new(peer: Kind) -> Row {
        Row {
            peer,
            median: Sample::new(),
            ratio: BTreeMap::new(),
            rounds: Vec::new(),
            failures: Vec::new(),
            skipped: None,
        }
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

    /// This row's figure divided by another's, round by round; None where there is none, or nothing to divide by.
    pub fn ratios(&self, other: &Row, metric: Metric) -> Vec<Option<f64>> {
        let figure = |sample: &Option<Sample>| sample.as_ref()?.get(&metric).copied();
        let ratio = |own: Option<f64>, other: Option<f64>| Some(own? / other.filter(|&other| other > 0.0)?);
        self.rounds.iter().zip(&other.rounds).map(|(own, other)| ratio(figure(own), figure(other))).collect()
    }

    fn all_ratios(&self, other: &Row) -> BTreeMap<Metric, Ratio> {
        let ratio = |metric| Some((metric, Ratio::of(self.ratios(other, metric).into_iter().flatten().collect())?));
        self.metrics().into_iter().filter(|metric| metric.has_ratio()).filter_map(ratio).collect()
    }

    /// What was measured in any of the rounds.
    fn metrics(&self) -> BTreeSet<Metric> {
        self.rounds.iter().flatten().flat_map(|sample| sample.keys().copied()).collect()
    }
}

impl Ratio {
    fn of(ratios: Vec<f64>) -> Option<Ratio> {
        let lowest = ratios.iter().copied().reduce(f64::min)?;
        let highest = ratios.iter().copied().reduce(f64::max)?;
        Some(Ratio { median: median(ratios)?, lowest, highest })
    }
}

impl ScenarioReport {
    /// With what follows from the rounds: the medians, and the ratios to the first row that was not skipped.
    pub fn of(name: &str, title: &str, mut rows: Vec<Row>) -> ScenarioReport {
        for row in &mut rows {
            let median = |metric| Some((metric, median(row.values(metric))?));
            row.median = row.metrics().into_iter().filter_map(median).collect();
        }
        let mut run = rows.iter().filter(|row| row.skipped.is_none());
        let first = run.next().filter(|_| run.next().is_some());
        let reference = first.map(|first| first.peer);
        let ratios: Vec<_> = rows.iter().map(|row| first.map(|first| row.all_ratios(first))).collect();
        for (row, ratios) in rows.iter_mut().zip(ratios) {
            row.ratio = ratios.unwrap_or_default();
        }
        ScenarioReport { name: name.to_owned(), title: title.to_owned(), reference, rows, verdicts: Vec::new() }
    }

    pub fn row(&self, peer: Kind) -> Option<&Row> {
        self.rows.iter().find(|row| row.peer == peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    fn row(peer: Kind, figures: &[(Metric, f64)]) -> Row {
        Row { rounds: vec![Some(figures.iter().copied().collect())], ..Row::new(peer) }
    }

    #[test]
    fn ratios_are_to_the_first_that_was_not_skipped() {
        let skipped = Row::skipped(Kind::Libuv, "no compiler".to_owned());
        let rows = vec![skipped, row(Kind::Mio, &[(Metric::P50Us, 20.0)]), row(Kind::Tokio, &[(Metric::P50Us, 30.0)])];
        let report = ScenarioReport::of("", "", rows);
        assert_eq!(report.reference, Some(Kind::Mio));
        assert!(report.rows[0].ratio.is_empty());
        assert_eq!(report.rows[2].ratio[&Metric::P50Us], Ratio { median: 1.5, lowest: 1.5, highest: 1.5 });
    }

    #[test]
    fn what_is_written_can_be_read_and_chosen_from() {
        let rows = vec![row(Kind::Epoll, &[(Metric::P50Us, 20.0)]), row(Kind::UdpStd, &[(Metric::P50Us, 30.0)])];
        let scenarios =
            vec![ScenarioReport::of("connect", "a title", rows), ScenarioReport::of("idle", "", Vec::new())];
        let written = Report { machine: Machine::example(), rounds: 1, window_seconds: 0.5, scenarios };
        let file = tempfile::NamedTempFile::new().unwrap();
        written.write(file.path()).unwrap();

        let mut read = Report::read(file.path()).unwrap();
        assert_eq!(table::render(&read), table::render(&written));
        read.keep(&[scenario::named("connect").unwrap()], &[Kind::UdpStd]);
        let [connect] = read.scenarios.as_slice() else { panic!("{} scenarios", read.scenarios.len()) };
        assert_eq!(connect.rows.iter().map(|row| row.peer).collect::<Vec<_>>(), [Kind::UdpStd]);
        assert_eq!(connect.rows[0].ratio[&Metric::P50Us].median, 1.5);
    }

    #[test]
    fn one_server_alone_has_no_ratio() {
        let report = ScenarioReport::of("", "", vec![row(Kind::Mio, &[(Metric::P50Us, 20.0)])]);
        assert_eq!(report.reference, None);
        assert!(report.rows[0].ratio.is_empty());
    }

    #[test]
    fn there_is_no_ratio_to_nothing_nor_of_what_says_how_it_was_measured() {
        let figures = [(Metric::ResidentIdleKib, 0.0), (Metric::ServerBusy, 50.0)];
        let report = ScenarioReport::of("", "", vec![row(Kind::Epoll, &figures), row(Kind::Mio, &figures)]);
        assert!(report.rows[1].ratio.is_empty());
    }
}
