//! What the servers must survive, as tables that one command prints:
//! * the load bar, a table of loads, what is expected under each and what was seen;
//! * the soak, hours of mixed load if need be, with a fault every half minute;
//! * the catalogue of faults: what causes each, what is expected, and which test of this repository checks it.
//!
//! Every server is a process of its own, which is this program run again with a hidden command.
#![cfg(target_os = "linux")]

mod catalogue;
mod cli;
mod client;
mod footprint;
mod loads;
mod mix;
mod namespace;
mod process;
mod report;
mod server;
mod soak;
mod table;

use std::process::ExitCode;

use crate::cli::Command;

/// The program.
pub fn main() -> ExitCode {
    let command = match cli::parse() {
        Ok(command) => command,
        Err(error) => {
            eprintln!("faults: {error} (see faults --help)");
            return ExitCode::from(2);
        }
    };
    let outcome = match command {
        Command::Help => {
            print!("{}", cli::help());
            Ok(true)
        }
        Command::Bar(options) => loads::run(&options),
        Command::Soak(options) => soak::run(&options),
        Command::Catalogue(options) => catalogue::run(&options),
        Command::Serve(kind, settings) => server::serve(kind, &settings).map(|()| true),
        Command::Stops { kind, times, seed } => server::stops::storm(kind, times, seed).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}
