//! The catalogue of faults: what causes each, what is expected, and which tests of this repository check it. They are run, and a test that is
//! named here and does not exist is a failure.

mod cargo;
mod clients;
mod datagrams;
mod lifetimes;

use std::collections::BTreeMap;

use serde::Serialize;

use self::cargo::Outcome;
use crate::cli::Catalogue;
use crate::report;
use crate::table;

struct Fault {
    name: &'static str,
    fault: &'static str,
    injected: &'static str,
    expected: &'static str,
    checks: &'static [Checks],
    /// What of it nothing checks.
    gap: Option<&'static str>,
}

/// Tests of one file.
struct Checks {
    /// `faults` is `tests/faults`, `models/gate` is `tests/models/tests/gate.rs`.
    target: &'static str,
    /// A name, or that of a module all of whose tests are meant: those that ask every kind of server.
    tests: &'static [&'static str],
}

#[derive(Serialize)]
struct Row {
    fault: &'static str,
    what: &'static str,
    injected: &'static str,
    expected: &'static str,
    seen: String,
    not_covered: Option<&'static str>,
    /// None if nothing was run.
    pass: Option<bool>,
    tests: Vec<String>,
}

fn all() -> impl Iterator<Item = &'static Fault> {
    clients::ALL.iter().chain(lifetimes::ALL).chain(datagrams::ALL)
}

pub fn named(name: &str) -> Result<String, String> {
    let found = all().find(|fault| fault.name.eq_ignore_ascii_case(name));
    found.map(|fault| fault.name.to_owned()).ok_or_else(|| "no such fault".to_owned())
}

/// Runs the tests and prints the table; false when one fails or does not exist.
pub fn run(options: &Catalogue) -> anyhow::Result<bool> {
    let wanted = |fault: &&Fault| options.only.is_empty() || options.only.iter().any(|name| name == fault.name);
    let faults: Vec<&Fault> = all().filter(wanted).collect();
    let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for checks in faults.iter().flat_map(|fault| fault.checks) {
        targets.entry(checks.target).or_default().extend(checks.tests);
    }
    let mut outcomes = BTreeMap::new();
    if !options.list {
        for (target, names) in &mut targets {
            names.sort_unstable();
            names.dedup();
            outcomes.insert(*target, cargo::run(target, names)?);
        }
    }
    let rows: Vec<Row> = faults.iter().map(|fault| row(fault, &outcomes)).collect();
    print!("{}", render(&rows));
    report::write_json(options.json.as_deref(), &rows)?;
    Ok(rows.iter().all(|row| row.pass != Some(false)))
}

fn row(fault: &Fault, outcomes: &BTreeMap<&str, BTreeMap<String, Outcome>>) -> Row {
    let (mut passed, mut wrong, mut tests) = (0, Vec::new(), Vec::new());
    for checks in fault.checks {
        for &name in checks.tests {
            let full = format!("{} {name}", checks.target);
            if let Some(outcomes) = outcomes.get(checks.target) {
                let mine: Vec<_> = outcomes.iter().filter(|(test, _)| cargo::is_meant(name, test)).collect();
                passed += mine.iter().filter(|(_, outcome)| **outcome == Outcome::Passed).count();
                if mine.is_empty() {
                    wrong.push(format!("there is no test {full}"));
                }
                let failed = mine.iter().filter(|(_, outcome)| **outcome != Outcome::Passed);
                wrong.extend(failed.map(|(test, outcome)| format!("{} {test} {outcome}", checks.target)));
            }
            tests.push(full);
        }
    }
    let ran = fault.checks.iter().any(|checks| outcomes.contains_key(checks.target));
    let seen = match (ran, wrong.is_empty()) {
        (false, _) => format!("{} tests or groups of them", tests.len()),
        (true, true) => format!("{passed} tests passed"),
        (true, false) => wrong.join("; "),
    };
    Row {
        fault: fault.name,
        what: fault.fault,
        injected: fault.injected,
        expected: fault.expected,
        seen,
        not_covered: fault.gap,
        pass: ran.then_some(wrong.is_empty()),
        tests,
    }
}

fn render(rows: &[Row]) -> String {
    let mut lines = vec![["", "fault", "what was injected", "expected", "seen", "pass"].map(str::to_owned).to_vec()];
    for row in rows {
        let pass = match row.pass {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        lines.push([row.fault, row.what, row.injected, row.expected, &row.seen, pass].map(str::to_owned).to_vec());
    }
    let mut text = table::align(&lines);
    for row in rows {
        if let Some(gap) = row.not_covered {
            text += &format!("{}: not covered: {gap}\n", row.fault);
        }
    }
    let failed = rows.iter().filter(|row| row.pass == Some(false)).count();
    text + &format!("{} faults, {failed} failed\n", rows.len())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// By their words in the source, which is quick; to run the catalogue asks the tests themselves.
    #[test]
    fn every_test_that_is_named_exists() {
        for fault in super::all() {
            for checks in fault.checks {
                for name in checks.tests {
                    let file = source(checks.target, name);
                    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                    let word = name.rsplit("::").next().unwrap_or(name);
                    let mut words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                    assert!(
                        words.any(|found| found == word),
                        "{}: there is no {word} in {}",
                        fault.name,
                        file.display()
                    );
                }
            }
        }
    }

    fn source(target: &str, name: &str) -> PathBuf {
        let tests = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests"));
        if let Some((package, file)) = target.split_once('/') {
            return tests.join(package).join("tests").join(file).with_extension("rs");
        }
        match name.split_once("::") {
            Some((module, _)) => tests.join(target).join(module).with_extension("rs"),
            None => tests.join(target).with_extension("rs"),
        }
    }
}
