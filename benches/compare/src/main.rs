//! Measures servers side by side: every server is a process of its own, pinned to one processor, and answers the same
//! load from another. `README.md` beside this crate says what each scenario does and how to read the table.

mod cli;
mod load;
mod machine;
mod measure;
mod metric;
mod process;
mod report;
mod run;
mod scenario;
mod servers;

use std::fs;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::{Command, Options};
use crate::machine::Machine;
use crate::report::{chart, table, Report};

fn main() -> ExitCode {
    let command = match cli::parse() {
        Ok(command) => command,
        Err(error) => {
            eprintln!("compare: {error} (see compare --help)");
            return ExitCode::from(2);
        }
    };
    let outcome = match command {
        Command::Help => {
            print!("{}", cli::help());
            Ok(true)
        }
        Command::Compare(options) => compare(&options),
        Command::Serve(kind, settings) => servers::serve(kind, &settings).map(|()| true),
        Command::Stops { kind, times, cpu } => servers::measure_stops(kind, times, cpu).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for, or reads it, and prints it; false when something could not be run, or missed its target under `--check`.
fn compare(options: &Options) -> anyhow::Result<bool> {
    let report = match &options.from {
        None => run::all(options, Machine::prepare()?)?,
        Some(path) => {
            let mut report = Report::read(path)?;
            report.keep(&options.scenarios, &options.peers);
            report
        }
    };
    print!("{}", table::render(&report));
    if let Some(path) = &options.json {
        report.write(path)?;
    }
    if let Some(path) = &options.plot {
        fs::write(path, chart::svg(&report)?).with_context(|| format!("writing {}", path.display()))?;
    }
    let missed = options.check && report.has_misses();
    Ok(!(report.has_failures() || missed))
}
