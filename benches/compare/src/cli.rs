use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;
use lexopt::Parser;

use crate::scenario::{self, Scenario};
use crate::servers::{Kind, Settings};

/// What the command line asks for. `Serve` and `Stops` are the hidden commands with which the program runs itself.
pub enum Command {
    Help,
    Compare(Options),
    Serve(Kind, Settings),
    Stops { kind: Kind, times: usize, cpu: usize },
}

pub struct Options {
    /// The scenarios to run, in their own order.
    pub scenarios: Vec<&'static Scenario>,
    /// Replaces every scenario's servers; the same one may stand here twice, which measures the noise.
    pub peers: Vec<Kind>,
    pub rounds: usize,
    pub window: Duration,
    /// A report that is shown instead of one that is measured.
    pub from: Option<PathBuf>,
    pub json: Option<PathBuf>,
    pub plot: Option<PathBuf>,
    pub check: bool,
}

pub fn help() -> String {
    let mut text = String::from(
        "compare: measures servers side by side\n\n\
         usage: compare [--only SCENARIO]… [--peer SERVER]… [--rounds N] [--seconds S] [--json FILE] [--plot FILE] [--check]\n\
         \x20      compare --from FILE [--only SCENARIO]… [--peer SERVER]… [--json FILE] [--plot FILE] [--check]\n\n\
         \x20 --only SCENARIO  run this scenario; may be repeated (default: all of them)\n\
         \x20 --peer SERVER    measure these servers instead of the scenario's own; may be repeated, the same one too\n\
         \x20 --rounds N       rounds, each with new processes, of which the medians are shown (default: 5)\n\
         \x20 --seconds S      how long a server is measured in a round (default: 2)\n\
         \x20 --json FILE      write every round, the medians and the ratios to FILE\n\
         \x20 --plot FILE      draw processor time an exchange as a multiple of the first server's, as SVG, to FILE\n\
         \x20 --from FILE      measure nothing: show and draw what an earlier run has written to FILE with --json\n\
         \x20 --check          exit with 1 when a target is missed or could not be measured; one that concerns\n\
         \x20                  a server skipped on this machine does not count\n\n\
         scenarios:\n",
    );
    for scenario in scenario::ALL {
        text += &format!("  {:<18} {}\n", scenario.name, scenario.title);
    }
    text += "\nservers:\n";
    for kind in Kind::ALL {
        text += &format!("  {:<18} {}\n", kind.name(), kind.about());
    }
    text
}

pub fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_env();
    match parser.next()? {
        Some(Value(word)) if word == "serve" => serve(parser),
        Some(Value(word)) if word == "stops" => stops(parser),
        // Not one of the hidden commands: read from the start again.
        _ => compare(Parser::from_env()),
    }
}

fn compare(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let mut only = Vec::new();
    let mut is_for_measuring = None;
    let mut options = Options {
        scenarios: Vec::new(),
        peers: Vec::new(),
        rounds: 5,
        window: Duration::from_secs(2),
        from: None,
        json: None,
        plot: None,
        check: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("only") => only.push(parser.value()?.parse_with(scenario::named)?),
            Long("peer") => options.peers.push(parser.value()?.parse()?),
            Long("rounds") => {
                options.rounds = parser.value()?.parse_with(positive)?;
                is_for_measuring = Some("--rounds");
            }
            Long("seconds") => {
                options.window = parser.value()?.parse_with(seconds)?;
                is_for_measuring = Some("--seconds");
            }
            Long("from") => options.from = Some(parser.value()?.into()),
            Long("plot") => options.plot = Some(parser.value()?.into()),
            Long("json") => options.json = Some(parser.value()?.into()),
            Long("check") => options.check = true,
            other => return Err(other.unexpected()),
        }
    }
    if let (Some(_), Some(option)) = (&options.from, is_for_measuring) {
        return Err(format!("with --from nothing is measured, so {option} says nothing").into());
    }
    options.scenarios = scenario::ALL
        .iter()
        .filter(|scenario| only.is_empty() || only.iter().any(|wanted: &&Scenario| wanted.name == scenario.name))
        .collect();
    Ok(Command::Compare(options))
}

fn serve(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let kind = parser.value()?.parse()?;
    let mut settings = Settings { buffer: 4096, connections: 1024, cpu: 0, programs: Vec::new() };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("buffer") => settings.buffer = parser.value()?.parse()?,
            Long("connections") => settings.connections = parser.value()?.parse()?,
            Long("cpu") => settings.cpu = parser.value()?.parse()?,
            Long("program") => settings.programs.push((kind, parser.value()?.into())),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Serve(kind, settings))
}

fn stops(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let kind = parser.value()?.parse()?;
    let (mut times, mut cpu) = (1000, 0);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("times") => times = parser.value()?.parse_with(positive)?,
            Long("cpu") => cpu = parser.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Stops { kind, times, cpu })
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.1..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("must be between 0.1 and 3600".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        match compare(Parser::from_args(arguments)) {
            Ok(Command::Compare(options)) => Ok(options),
            Ok(_) => Err("another command".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_report_is_drawn_from_a_file() {
        let options = parsed(&["--from", "figures.json", "--plot", "chart.svg", "--only", "echo-64"]).unwrap();
        assert_eq!(options.from, Some(PathBuf::from("figures.json")));
        assert_eq!(options.plot, Some(PathBuf::from("chart.svg")));
        assert_eq!(options.scenarios.iter().map(|scenario| scenario.name).collect::<Vec<_>>(), ["echo-64"]);
    }

    #[test]
    fn what_is_read_is_not_measured() {
        let error = parsed(&["--rounds", "3", "--from", "figures.json"]).err().unwrap();
        assert!(error.contains("--rounds"), "{error}");
    }
}
