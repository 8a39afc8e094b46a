use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::table;

/// One load against one server, and what was found.
#[derive(Serialize)]
pub struct Row {
    pub load: String,
    pub server: String,
    /// What was done.
    pub done: String,
    pub checks: Vec<Check>,
}

#[derive(Serialize)]
pub struct Check {
    pub expected: String,
    pub seen: String,
    /// None for what is only told.
    pub pass: Option<bool>,
}

impl Row {
    pub fn new(load: &str, server: impl fmt::Display, done: impl Into<String>) -> Row {
        Row { load: load.to_owned(), server: server.to_string(), done: done.into(), checks: Vec::new() }
    }

    pub fn passes(&self) -> bool {
        self.checks.iter().all(|check| check.pass != Some(false))
    }

    pub fn check(&mut self, expected: impl Into<String>, seen: impl fmt::Display, pass: bool) {
        self.checks.push(Check { expected: expected.into(), seen: seen.to_string(), pass: Some(pass) });
    }

    /// What cannot be held against a server on this machine, but is good to know.
    pub fn tell(&mut self, what: impl Into<String>, seen: impl fmt::Display) {
        self.checks.push(Check { expected: what.into(), seen: seen.to_string(), pass: None });
    }

    /// `what` is to be no longer than `limit`.
    pub fn at_most(&mut self, what: &str, seen: Duration, limit: Duration) {
        self.check(format!("{what} ≤ {}", Time(limit)), Time(seen), seen <= limit);
    }

    pub fn none(&mut self, what: &str, seen: u64) {
        self.check(format!("no {what}"), seen, seen == 0);
    }

    pub fn equal<T: PartialEq + fmt::Display>(&mut self, what: &str, seen: T, wanted: T) {
        self.check(format!("{what}: {wanted}"), &seen, seen == wanted);
    }

    /// Bytes, shown in `unit`.
    pub fn memory(&mut self, what: &str, seen: f64, limit: f64, unit: Unit) {
        let (name, size) = unit.describe();
        self.check(format!("{what} ≤ {:.0} {name}", limit / size), format!("{:.2} {name}", seen / size), seen <= limit);
    }
}

#[derive(Clone, Copy)]
pub enum Unit {
    Kib,
    Mib,
}

impl Unit {
    fn describe(self) -> (&'static str, f64) {
        match self {
            Unit::Kib => ("KiB", 1024.0),
            Unit::Mib => ("MiB", 1024.0 * 1024.0),
        }
    }
}

/// With as many digits as one looks at.
pub struct Time(pub Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_secs_f64() * 1000.0;
        match millis {
            _ if millis >= 1000.0 => write!(f, "{} s", (millis / 10.0).round() / 100.0),
            _ if millis >= 10.0 => write!(f, "{millis:.0} ms"),
            _ => write!(f, "{} ms", (millis * 100.0).round() / 100.0),
        }
    }
}

/// The table: a line for each check, what was done before the first of them.
pub fn render(rows: &[Row]) -> String {
    let words = |words: [&str; 6]| words.map(str::to_owned).to_vec();
    let mut lines = vec![words(["load", "server", "what was done", "expected", "seen", "pass"])];
    for row in rows {
        for (number, check) in row.checks.iter().enumerate() {
            let pass = match check.pass {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "-",
            };
            let done = if number == 0 { row.done.as_str() } else { "" };
            lines.push(words([&row.load, &row.server, done, &check.expected, &check.seen, pass]));
        }
    }
    let failed = rows.iter().filter(|row| !row.passes()).count();
    let checks: usize = rows.iter().map(|row| row.checks.iter().filter(|check| check.pass.is_some()).count()).sum();
    table::align(&lines) + &format!("{} rows, {checks} checks, {failed} rows failed\n", rows.len())
}

pub fn write_json(path: Option<&Path>, what: &impl Serialize) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = serde_json::to_string_pretty(what)?;
    fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
}
