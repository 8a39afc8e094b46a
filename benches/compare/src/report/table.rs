use std::fmt::Write;

use super::{Report, Row, ScenarioReport};
use crate::measure::Metric;

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
    let mut text = format!("\n{}: {}\n", scenario.name, scenario.title);
    text += &align(&cells(scenario));
    for verdict in &scenario.verdicts {
        let seen = verdict.seen.map_or("-".to_owned(), |seen| format!("{seen:.2}"));
        let _ = writeln!(text, "  target {}: {}: {seen}, {}", verdict.peer, verdict.text, verdict.outcome.word());
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
    let mut heading = vec!["server".to_owned()];
    for &metric in &metrics {
        heading.push(metric.heading().to_owned());
        if metric == Metric::ProcessorRatio {
            heading.push("(all rounds)".to_owned());
        }
    }
    let mut lines = vec![heading];
    for row in &scenario.rows {
        let mut line = vec![row.peer.name().to_owned()];
        for &metric in &metrics {
            line.push(match row.median.get(&metric) {
                Some(value) => format!("{value:.*}", metric.decimals()),
                None => "-".to_owned(),
            });
            if metric == Metric::ProcessorRatio {
                line.push(range(row, metric));
            }
        }
        lines.push(line);
    }
    lines
}

fn range(row: &Row, metric: Metric) -> String {
    let values = row.values(metric);
    let Some(lowest) = values.iter().copied().reduce(f64::min) else { return "-".to_owned() };
    let highest = values.iter().copied().fold(lowest, f64::max);
    format!("{lowest:.2}-{highest:.2}")
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

    #[test]
    fn columns_line_up_by_characters() {
        let lines = [vec!["server".to_owned(), "µs".to_owned()], vec!["a".to_owned(), "100".to_owned()]];
        assert_eq!(align(&lines), "  server   µs\n  a       100\n");
    }
}
