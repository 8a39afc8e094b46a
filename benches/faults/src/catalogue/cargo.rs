use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::process::{Command, Stdio};

use anyhow::{ensure, Context};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    Ignored,
    /// Its process ended before it did.
    Unfinished,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Ignored => "is ignored",
            Outcome::Unfinished => "did not end",
        })
    }
}

/// Whether the catalogue means this test by that name: the test itself, or the module it is in.
pub fn is_meant(name: &str, test: &str) -> bool {
    test.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Runs the tests of one file that are meant, and returns how each ended.
pub fn run(target: &str, names: &[&str]) -> anyhow::Result<BTreeMap<String, Outcome>> {
    let mut listing = cargo_test(target);
    listing.args(["--", "--list"]).stderr(Stdio::inherit());
    let listed = listing.output().with_context(|| format!("listing the tests of {target}"))?;
    ensure!(listed.status.success(), "the tests of {target} cannot be listed: cargo ended with {}", listed.status);
    let text = String::from_utf8_lossy(&listed.stdout);
    let tests = text.lines().filter_map(|line| line.strip_suffix(": test"));
    let tests: Vec<&str> = tests.filter(|test| names.iter().any(|name| is_meant(name, test))).collect();
    eprintln!("{target}: {} tests…", tests.len());
    if tests.is_empty() {
        // Without a name, all of the file would be run.
        return Ok(BTreeMap::new());
    }
    let mut running = cargo_test(target);
    running.args(["--", "--exact"]).args(&tests).stderr(Stdio::inherit());
    let ran = running.output().with_context(|| format!("running the tests of {target}"))?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let ended = tests.iter().map(|test| ((*test).to_owned(), outcome(&text, test))).collect();
    if !ran.status.success() {
        // What failed, and why, is in it.
        eprint!("{text}");
    }
    Ok(ended)
}

/// A line such as `test name ... ok`, behind which there may be something that the test wrote.
fn outcome(text: &str, test: &str) -> Outcome {
    let words = text.lines().find_map(|line| line.strip_prefix("test ")?.strip_prefix(test)?.strip_prefix(" ... "));
    match words {
        Some(words) if words.ends_with("ok") => Outcome::Passed,
        Some(words) if words.ends_with("FAILED") => Outcome::Failed,
        Some(words) if words.contains("ignored") => Outcome::Ignored,
        _ => Outcome::Unfinished,
    }
}

/// Features are those of the test command, so that nothing is built twice.
fn cargo_test(target: &str) -> Command {
    let (package, test) = match target.split_once('/') {
        Some((folder, test)) => (format!("socketserver-{folder}"), test),
        None => ("socketserver".to_owned(), target),
    };
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command
        .args(["test", "--locked", "--all-features", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .args(["--package", &package, "--test", test])
        .stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_test_or_a_module_of_them() {
        assert!(is_meant("empty", "empty"));
        assert!(is_meant("empty", "empty::udp_server"));
        assert!(!is_meant("empty", "empty_ones"));
    }

    #[test]
    fn outcomes_are_told_by_the_line_of_the_test() {
        let text = "test a ... ok\ntest a::b ... FAILED\ntest c ... ignored, why\n";
        assert_eq!(outcome(text, "a"), Outcome::Passed);
        assert_eq!(outcome(text, "a::b"), Outcome::Failed);
        assert_eq!(outcome(text, "c"), Outcome::Ignored);
        assert_eq!(outcome(text, "d"), Outcome::Unfinished);
    }
}
