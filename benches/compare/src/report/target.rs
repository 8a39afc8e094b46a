use serde::{Deserialize, Serialize};

use super::{Row, ScenarioReport};
use crate::measure::median;
use crate::metric::Metric;
use crate::servers::Kind;

/// What two runs of the same server differ by here, as a share: `--peer epoll --peer epoll` shows it.
const NOISE: f64 = 0.03;

/// The most that one server's median of one figure may be, or its worst.
pub struct Target {
    peer: Kind,
    metric: Metric,
    limit: f64,
    /// Where set, the limit is a multiple of this server's figure in the same round.
    times: Option<Kind>,
    /// What is granted beyond the limit, as a share of it.
    allowance: f64,
    /// Whether the worst round counts and not the median: for what must never happen.
    in_every_round: bool,
}

#[derive(Serialize, Deserialize)]
pub struct Verdict {
    pub peer: Kind,
    pub text: String,
    pub limit: f64,
    pub seen: Option<f64>,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    Missed,
    /// A server that should have run did not, or gave no such figure.
    NotMeasured,
    /// A server that it concerns was skipped.
    NotApplicable,
}

impl Target {
    pub const fn of(peer: Kind, metric: Metric, limit: f64) -> Target {
        Target { peer, metric, limit, times: None, allowance: 0.0, in_every_round: false }
    }

    pub const fn times(mut self, other: Kind) -> Target {
        self.times = Some(other);
        self
    }

    pub const fn within_noise(mut self) -> Target {
        self.allowance = NOISE;
        self
    }

    pub const fn in_every_round(mut self) -> Target {
        self.in_every_round = true;
        self
    }

    pub fn judge(&self, scenario: &ScenarioReport) -> Verdict {
        let seen = scenario.row(self.peer).and_then(|row| self.figure(scenario, row));
        let outcome = match seen {
            Some(seen) if seen <= self.limit * (1.0 + self.allowance) => Outcome::Passed,
            Some(_) => Outcome::Missed,
            None if self.concerns_skipped(scenario) => Outcome::NotApplicable,
            None => Outcome::NotMeasured,
        };
        Verdict { peer: self.peer, text: self.text(), limit: self.limit, seen, outcome }
    }

    fn figure(&self, scenario: &ScenarioReport, row: &Row) -> Option<f64> {
        let figures = match self.times {
            Some(other) => row.ratios(scenario.row(other)?, self.metric).into_iter().flatten().collect(),
            None => row.values(self.metric),
        };
        if self.in_every_round {
            figures.into_iter().reduce(f64::max)
        } else {
            median(figures)
        }
    }

    fn concerns_skipped(&self, scenario: &ScenarioReport) -> bool {
        let mut rows = [Some(self.peer), self.times].into_iter().flatten().filter_map(|peer| scenario.row(peer));
        rows.any(|row| row.skipped.is_some())
    }

    fn text(&self) -> String {
        let noise = if self.allowance > 0.0 { format!(" (±{:.0} %)", self.allowance * 100.0) } else { String::new() };
        let rounds = if self.in_every_round { " in every round" } else { "" };
        match self.times {
            Some(other) => format!("{} ≤ {:.2} × {}{noise}{rounds}", self.metric.heading(), self.limit, other.name()),
            None => format!("{} ≤ {}{noise}{rounds}", self.metric.heading(), self.limit),
        }
    }
}

impl Outcome {
    /// Whether it is a failure under `--check`.
    pub fn is_miss(self) -> bool {
        matches!(self, Outcome::Missed | Outcome::NotMeasured)
    }

    pub fn word(self) -> &'static str {
        match self {
            Outcome::Passed => "pass",
            Outcome::Missed => "MISSED",
            Outcome::NotMeasured => "not measured",
            Outcome::NotApplicable => "not applicable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Sample;

    fn row(peer: Kind, figures: &[f64]) -> Row {
        let mut row = Row::new(peer);
        row.rounds = figures.iter().map(|&figure| Some(Sample::from([(Metric::ProcessorUs, figure)]))).collect();
        row
    }

    fn report(rows: Vec<Row>) -> ScenarioReport {
        ScenarioReport::of("", "", rows)
    }

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        // The machine was twice as slow in the second round; the ratio is 1.2 in each all the same.
        let report = report(vec![row(Kind::Epoll, &[10.0, 20.0, 10.0]), row(Kind::Threading, &[12.0, 24.0, 12.0])]);
        let verdict = Target::of(Kind::Threading, Metric::ProcessorUs, 1.4).times(Kind::Epoll).judge(&report);
        assert!((verdict.seen.unwrap() - 1.2).abs() < 1e-9);
        assert_eq!(verdict.outcome, Outcome::Passed);
        let median = report.row(Kind::Threading).unwrap().ratio[&Metric::ProcessorUs].median;
        assert!((median - 1.2).abs() < 1e-9);
    }

    #[test]
    fn a_failed_round_is_left_out() {
        let mut slow = row(Kind::Threading, &[15.0, 15.0]);
        slow.rounds[0] = None;
        let report = report(vec![row(Kind::Epoll, &[10.0, 10.0]), slow]);
        let verdict = Target::of(Kind::Threading, Metric::ProcessorUs, 1.4).times(Kind::Epoll).judge(&report);
        assert_eq!((verdict.seen, verdict.outcome), (Some(1.5), Outcome::Missed));
    }

    #[test]
    fn what_was_not_measured_is_neither_pass_nor_miss() {
        let report = report(vec![row(Kind::Epoll, &[10.0])]);
        let verdict = Target::of(Kind::Threading, Metric::ProcessorUs, 1.4).times(Kind::Epoll).judge(&report);
        assert_eq!((verdict.seen, verdict.outcome), (None, Outcome::NotMeasured));
        assert!(verdict.outcome.is_miss());
    }

    #[test]
    fn what_concerns_a_skipped_server_does_not_apply() {
        let report = report(vec![Row::skipped(Kind::Libuv, "no compiler".to_owned()), row(Kind::Threading, &[12.0])]);
        let against = Target::of(Kind::Threading, Metric::ProcessorUs, 1.0).times(Kind::Libuv).judge(&report);
        assert_eq!((against.seen, against.outcome), (None, Outcome::NotApplicable));
        let of_itself = Target::of(Kind::Libuv, Metric::ProcessorUs, 1.0).judge(&report);
        assert_eq!(of_itself.outcome, Outcome::NotApplicable);
        assert!(!of_itself.outcome.is_miss());
        let other = Target::of(Kind::Threading, Metric::ProcessorUs, 13.0).judge(&report);
        assert_eq!(other.outcome, Outcome::Passed);
    }

    #[test]
    fn noise_is_granted_where_it_is_asked_for() {
        let report = report(vec![row(Kind::StdThreads, &[100.0]), row(Kind::Threading, &[102.0])]);
        let strict = Target::of(Kind::Threading, Metric::ProcessorUs, 1.0).times(Kind::StdThreads);
        assert_eq!(strict.judge(&report).outcome, Outcome::Missed);
        assert_eq!(strict.within_noise().judge(&report).outcome, Outcome::Passed);
    }

    #[test]
    fn what_must_never_happen_is_judged_by_the_worst_round() {
        let report = report(vec![row(Kind::Threading, &[0.0, 0.0, 2.0])]);
        let usually = Target::of(Kind::Threading, Metric::ProcessorUs, 0.0);
        assert_eq!(usually.judge(&report).outcome, Outcome::Passed);
        let never = usually.in_every_round().judge(&report);
        assert_eq!((never.seen, never.outcome), (Some(2.0), Outcome::Missed));
    }
}
