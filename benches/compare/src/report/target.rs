use serde::Serialize;

use super::{Row, ScenarioReport};
use crate::measure::{median, Metric};
use crate::servers::Kind;

/// What two runs of the same server differ by here, as a share: `--peer epoll --peer epoll` shows it.
const NOISE: f64 = 0.03;

/// The most that one server's median of one figure may be.
pub struct Target {
    peer: Kind,
    metric: Metric,
    limit: f64,
    /// Where set, the limit is a multiple of this server's figure in the same round.
    times: Option<Kind>,
    /// What is granted beyond the limit, as a share of it.
    allowance: f64,
}

#[derive(Serialize)]
pub struct Verdict {
    pub peer: &'static str,
    pub text: String,
    pub limit: f64,
    pub seen: Option<f64>,
    /// None where it could not be measured.
    pub passed: Option<bool>,
}

impl Target {
    pub const fn of(peer: Kind, metric: Metric, limit: f64) -> Target {
        Target { peer, metric, limit, times: None, allowance: 0.0 }
    }

    pub const fn times(mut self, other: Kind) -> Target {
        self.times = Some(other);
        self
    }

    pub const fn within_noise(mut self) -> Target {
        self.allowance = NOISE;
        self
    }

    pub fn judge(&self, scenario: &ScenarioReport) -> Verdict {
        let seen = scenario.row(self.peer).and_then(|row| self.figure(scenario, row));
        Verdict {
            peer: self.peer.name(),
            text: self.text(),
            limit: self.limit,
            seen,
            passed: seen.map(|seen| seen <= self.limit * (1.0 + self.allowance)),
        }
    }

    fn figure(&self, scenario: &ScenarioReport, row: &Row) -> Option<f64> {
        let Some(other) = self.times else { return row.median.get(&self.metric).copied() };
        median(row.ratios(scenario.row(other)?, self.metric).into_iter().flatten().collect())
    }

    fn text(&self) -> String {
        let noise = if self.allowance > 0.0 { format!(" (±{:.0} %)", self.allowance * 100.0) } else { String::new() };
        match self.times {
            Some(other) => format!("{} ≤ {:.2} × {}{noise}", self.metric.heading(), self.limit, other.name()),
            None => format!("{} ≤ {}{noise}", self.metric.heading(), self.limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Sample;

    fn row(peer: Kind, figures: &[f64]) -> Row {
        let mut row = Row::new(peer);
        row.rounds = figures.iter().map(|&figure| Some(Sample::from([(Metric::ProcessorUs, figure)]))).collect();
        row
    }

    fn report(rows: Vec<Row>) -> ScenarioReport {
        let mut report = ScenarioReport { name: "", title: "", rows, verdicts: Vec::new() };
        report.complete();
        report
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        // The machine was twice as slow in the second round; the ratio is 1.2 in each all the same.
        let report = report(vec![row(Kind::Epoll, &[10.0, 20.0, 10.0]), row(Kind::Threading, &[12.0, 24.0, 12.0])]);
        let verdict = Target::of(Kind::Threading, Metric::ProcessorUs, 1.4).times(Kind::Epoll).judge(&report);
        assert!((verdict.seen.unwrap() - 1.2).abs() < 1e-9);
        assert_eq!(verdict.passed, Some(true));
        let median = report.row(Kind::Threading).unwrap().median[&Metric::ProcessorRatio];
        assert!((median - 1.2).abs() < 1e-9);
    }

    #[test]
    fn a_failed_round_is_left_out() {
        let mut slow = row(Kind::Threading, &[15.0, 15.0]);
        slow.rounds[0] = None;
        let report = report(vec![row(Kind::Epoll, &[10.0, 10.0]), slow]);
        let verdict = Target::of(Kind::Threading, Metric::ProcessorUs, 1.4).times(Kind::Epoll).judge(&report);
        assert_eq!((verdict.seen, verdict.passed), (Some(1.5), Some(false)));
    }

    #[test]
    fn what_was_not_measured_is_neither_pass_nor_miss() {
        let report = report(vec![row(Kind::Epoll, &[10.0])]);
        let verdict = Target::of(Kind::Threading, Metric::ProcessorUs, 1.4).times(Kind::Epoll).judge(&report);
        assert_eq!((verdict.seen, verdict.passed), (None, None));
    }

    #[test]
    fn noise_is_granted_where_it_is_asked_for() {
        let report = report(vec![row(Kind::StdThreads, &[100.0]), row(Kind::Threading, &[102.0])]);
        let strict = Target::of(Kind::Threading, Metric::ProcessorUs, 1.0).times(Kind::StdThreads);
        assert_eq!(strict.judge(&report).passed, Some(false));
        assert_eq!(strict.within_noise().judge(&report).passed, Some(true));
    }
}
