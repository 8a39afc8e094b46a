use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;
use lexopt::Parser;

use crate::loads::{self, Load};
use crate::server::{Kind, Settings};
use crate::soak;

/// What the command line asks for. `Serve` and `Stops` are the hidden commands with which the program runs itself.
pub enum Command {
    Help,
    Bar(Bar),
    Soak(Soak),
    Catalogue(Catalogue),
    Serve(Kind, Settings),
    Stops { kind: Kind, times: usize, seed: u64 },
}

pub struct Bar {
    /// In their own order.
    pub loads: Vec<&'static Load>,
    /// Only these, if there are any.
    pub servers: Vec<Kind>,
    pub quick: bool,
    pub seed: u64,
    pub json: Option<PathBuf>,
}

pub struct Soak {
    pub length: Duration,
    /// From one fault to the next.
    pub every: Duration,
    pub seed: u64,
    pub json: Option<PathBuf>,
}

pub struct Catalogue {
    /// Only these rows, if there are any.
    pub only: Vec<String>,
    /// Shows the rows without running their tests.
    pub list: bool,
    pub json: Option<PathBuf>,
}

pub fn help() -> String {
    let mut text = String::from(
        "faults: what the servers must survive, as tables\n\n\
         usage: faults bar [--only LOAD]… [--server KIND]… [--quick] [--seed N] [--json FILE]\n\
         \x20      faults soak [--minutes M] [--every SECONDS] [--seed N] [--json FILE]\n\
         \x20      faults catalogue [--only FAULT]… [--list] [--json FILE]\n\n\
         The first is the load bar, the second a mixed load with a fault every half minute, the third runs the tests\n\
         that check the catalogue of faults. Tables go to standard output, progress to standard error; the exit code\n\
         is 1 when a row fails.\n\n\
         \x20 --only LOAD      run this row alone; may be repeated\n\
         \x20 --server KIND    load this kind of server alone; may be repeated\n\
         \x20 --quick          smaller and shorter loads, and times with slack for a busy machine\n\
         \x20 --minutes M      how long the soak lasts (default: 10; five times --every at least)\n\
         \x20 --every SECONDS  from one fault of the soak to the next (default: 30)\n\
         \x20 --seed N         the dice of the mixed loads (default: 1)\n\
         \x20 --list           show the catalogue without running the tests\n\
         \x20 --json FILE      write the table to FILE as well\n\n\
         loads:\n",
    );
    for load in loads::ALL {
        text += &format!("  {:<4} {}\n", load.name, load.title);
    }
    text
}

pub fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_env();
    match parser.next()? {
        Some(Value(word)) if word == "bar" => bar(parser),
        Some(Value(word)) if word == "soak" => soak(parser),
        Some(Value(word)) if word == "catalogue" => catalogue(parser),
        Some(Value(word)) if word == "serve" => serve(parser),
        Some(Value(word)) if word == "stops" => stops(parser),
        None | Some(Short('h') | Long("help")) => Ok(Command::Help),
        Some(other) => Err(other.unexpected()),
    }
}

fn bar(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let mut only = Vec::new();
    let mut options = Bar { loads: Vec::new(), servers: Vec::new(), quick: false, seed: 1, json: None };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("only") => only.push(parser.value()?.parse_with(loads::named)?.name),
            Long("server") => options.servers.push(parser.value()?.parse()?),
            Long("quick") => options.quick = true,
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("json") => options.json = Some(parser.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    options.loads = loads::ALL.iter().filter(|load| only.is_empty() || only.contains(&load.name)).collect();
    Ok(Command::Bar(options))
}

fn soak(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let (minute, every) = (Duration::from_secs(60), Duration::from_secs(30));
    let mut options = Soak { length: 10 * minute, every, seed: 1, json: None };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("minutes") => options.length = minute.mul_f64(parser.value()?.parse_with(within(0.5, 100_000.0))?),
            Long("every") => {
                options.every = parser.value()?.parse_with(within(10.0, 3600.0)).map(Duration::from_secs_f64)?
            }
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("json") => options.json = Some(parser.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    let least = soak::least(options.every);
    if options.length < least {
        let (minutes, every) = (least.as_secs_f64() / 60.0, options.every.as_secs_f64());
        let words =
            format!("a soak with a fault every {every} s lasts {minutes:.2} minutes at least, or some never come");
        return Err(words.into());
    }
    Ok(Command::Soak(options))
}

fn catalogue(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let mut options = Catalogue { only: Vec::new(), list: false, json: None };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("only") => options.only.push(parser.value()?.parse_with(crate::catalogue::named)?),
            Long("list") => options.list = true,
            Long("json") => options.json = Some(parser.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Catalogue(options))
}

fn serve(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let kind = parser.value()?.parse()?;
    let mut settings = Settings::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("max") => settings.max = parser.value()?.parse()?,
            Long("read-timeout") => settings.read_timeout = millis(&mut parser)?,
            Long("write-timeout") => settings.write_timeout = millis(&mut parser)?,
            Long("deadline") => settings.deadline = millis(&mut parser)?,
            Long("user") => settings.user = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Serve(kind, settings))
}

fn stops(mut parser: Parser) -> Result<Command, lexopt::Error> {
    let kind = parser.value()?.parse()?;
    let (mut times, mut seed) = (1000, 1);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("times") => times = parser.value()?.parse()?,
            Long("seed") => seed = parser.value()?.parse()?,
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Stops { kind, times, seed })
}

fn millis(parser: &mut Parser) -> Result<Option<Duration>, lexopt::Error> {
    Ok(Some(Duration::from_millis(parser.value()?.parse()?)))
}

fn within(least: f64, most: f64) -> impl Fn(&str) -> Result<f64, String> {
    move |text| match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(_) => Err(format!("must be between {least} and {most}")),
        Err(error) => Err(format!("{error}")),
    }
}
