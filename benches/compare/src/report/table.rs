use std::fmt::Write;

use super::{Report, Row, ScenarioReport};
use crate::metric::Metric;

/// The whole report as text: a table for each scenario, its targets below it.
pub fn render(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "{}, {} processors, Linux {}; server on cpu {}, load on cpu {}\nmedians of {} rounds, {} s each\n",
        machine.processor,
        machine.processors,
        machine.kernel,
        machine.server_cpu,
        machine.load_cpu,
        report.rounds,
        report.window_seconds,
    );
    if !machine.separate_cpus {
        text += "one processor only: load and server share it, and the figures are coarse\n";
    }
    for scenario in &report.scenarios {
        text += &render_scenario(scenario);
    }
    text
}

fn render_scenario(scenario: &ScenarioReport) -> String {
    let mut text = format!("\n{}: {}", scenario.name, scenario.title);
    if let Some(reference) = scenario.reference {
        let _ = write!(text, " (× is to {})", reference.name());
    }
    text.push('\n');
    text += &align(&cells(scenario));
    for verdict in &scenario.verdicts {
        let seen = verdict.seen.map_or("-".to_owned(), |seen| format!("{seen:.2}"));
        let _ =
            writeln!(text, "  target {}: {}: {seen}, {}", verdict.peer.name(), verdict.text, verdict.outcome.word());
    }
    for row in &scenario.rows {
        if let Some(why) = &row.skipped {
            let _ = writeln!(text, "  skipped {}: {why}", row.peer.name());
        }
    }
    for row in scenario.rows.iter().filter(|row| !row.failures.is_empty()) {
        let _ = writeln!(text, "  FAILED {} in {} rounds: {}", row.peer.name(), row.failures.len(), row.failures[0]);
    }
    text
}

/// The heading and a line a server, the columns being what was measured in this scenario.
fn cells(scenario: &ScenarioReport) -> Vec<Vec<String>> {
    let mut metrics: Vec<Metric> = scenario.rows.iter().flat_map(|row| row.median.keys().copied()).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let heading = metrics.iter().map(|metric| metric.heading().to_owned());
    let mut lines = vec![["server".to_owned()].into_iter().chain(heading).collect::<Vec<_>>()];
    for row in &scenario.rows {
        let figures = metrics.iter().map(|&metric| cell(row, metric));
        lines.push([row.peer.name().to_owned()].into_iter().chain(figures).collect());
    }
    lines
}

/// A figure, and what multiple it is of the first server's. Of processor time, the figure to look at, also the lowest and the highest of
/// all rounds' multiples.
fn cell(row: &Row, metric: Metric) -> String {
    let Some(value) = row.median.get(&metric) else { return "-".to_owned() };
    let mut text = format!("{value:.*}", metric.decimals());
    if let Some(ratio) = row.ratio.get(&metric) {
        let _ = write!(text, " ×{}", multiple(ratio.median));
        if metric == Metric::ProcessorUs {
            let _ = write!(text, " ({}-{})", multiple(ratio.lowest), multiple(ratio.highest));
        }
    }
    text
}

/// Three digits, or all before the point where they are more.
pub fn multiple(ratio: f64) -> String {
    let decimals = match ratio {
        _ if ratio < 9.995 => 2,
        _ if ratio < 99.95 => 1,
        _ => 0,
    };
    format!("{ratio:.decimals$}")
}

/// Pads to columns: the first to the left, figures to the right.
fn align(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        text += "  ";
        for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
            let _ = if column == 0 { write!(text, "{cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Sample;
    use crate::servers::Kind;

    #[test]
    fn columns_line_up_by_characters() {
        let lines = [vec!["server".to_owned(), "µs".to_owned()], vec!["a".to_owned(), "100".to_owned()]];
        assert_eq!(align(&lines), "  server   µs\n  a       100\n");
    }

    #[test]
    fn a_multiple_has_three_digits() {
        let shown = [0.0, 1.0, 9.994, 9.996, 99.9, 99.96, 1234.4].map(multiple);
        assert_eq!(shown, ["0.00", "1.00", "9.99", "10.0", "99.9", "100", "1234"]);
    }

    #[test]
    fn a_figure_and_its_multiple_share_a_column() {
        let sample =
            |us| Sample::from([(Metric::PerSecond, 1e6 / us), (Metric::ProcessorUs, us), (Metric::Switches, 1.0)]);
        let mut epoll = Row::new(Kind::Epoll);
        epoll.rounds = vec![Some(sample(10.0)), Some(sample(20.0))];
        let mut threading = Row::new(Kind::Threading);
        threading.rounds = vec![Some(sample(12.0)), Some(sample(22.0))];
        let report = ScenarioReport::of("echo", "an echo", vec![epoll, threading]);
        let expected = "\n\
            echo: an echo (× is to epoll)\n\
            \x20 server          exch/s              cpu µs/exch  switches/exch\n\
            \x20 epoll      75000 ×1.00  15.00 ×1.00 (1.00-1.00)           1.00\n\
            \x20 threading  64394 ×0.87  17.00 ×1.15 (1.10-1.20)           1.00\n";
        assert_eq!(render_scenario(&report), expected);
    }

    #[test]
    fn the_widest_table_has_140_columns_at_most() {
        let echo = [
            (Metric::PerSecond, 250_000.0),
            (Metric::ProcessorUs, 180.0),
            (Metric::P50Us, 20_000.0),
            (Metric::P99Us, 500_000.0),
            (Metric::Switches, 12.0),
            (Metric::ServerBusy, 100.0),
            (Metric::LoadBusy, 100.0),
            (Metric::OthersBusy, 200.0),
        ];
        let mut growth = Sample::from(echo);
        growth.remove(&Metric::ProcessorUs);
        growth.extend([
            (Metric::ProcessorFewUs, 180.0),
            (Metric::ProcessorManyUs, 180.0),
            (Metric::ProcessorGrowth, 1.0),
        ]);
        for (sample, kind) in [(Sample::from(echo), Kind::ThreadingUntimed), (growth, Kind::Coroutine)] {
            let rows = [Kind::Epoll, kind].map(|peer| Row { rounds: vec![Some(sample.clone())], ..Row::new(peer) });
            let text = render_scenario(&ScenarioReport::of("", "", rows.into()));
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest.is_some_and(|width| width <= 140), "{widest:?} columns:\n{text}");
        }
    }
}
