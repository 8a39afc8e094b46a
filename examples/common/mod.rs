//! What the example programs have in common: their argument, the signals that stop them, and how they end.
//!
//! They end with 0 when all went well, with 1 after one line that says what did not, with 2 after a wrong command line.

// Each example is a program of its own and uses a part of this.
#![allow(dead_code)]

pub(crate) mod app_message;
pub(crate) mod chat;
pub(crate) mod members;
pub(crate) mod messages;
pub(crate) mod text;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socketserver::reactor::SelectorWaker;
use socketserver::{Cause, Error, Failure, ServerHandle, ShutdownReport};

pub(crate) type ExampleResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Where the echo servers listen, and the echo client calls, unless told otherwise.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:10000";

/// Runs a program that takes an address, or none.
pub(crate) fn run_with_address(name: &str, program: impl FnOnce(&str) -> ExampleResult) -> ExitCode {
    let none = |words: &[String]| words.is_empty().then_some(());
    run_with_address_and(name, &format!("[ADDRESS]    (default {DEFAULT_ADDRESS})"), none, |address, ()| {
        program(address)
    })
}

/// Runs a program that takes an address and a number from 1 to `most`, called `what`; the number may be left out, or both.
pub(crate) fn run_with_address_and_number(
    name: &str,
    what: &str,
    default: usize,
    most: usize,
    program: impl FnOnce(&str, usize) -> ExampleResult,
) -> ExitCode {
    let usage = format!("[ADDRESS [{what}]]    (default {DEFAULT_ADDRESS} {default}; at most {most})");
    let number = |words: &[String]| match words {
        [] => Some(default),
        [number] => number.parse().ok().filter(|number| (1..=most).contains(number)),
        _ => None,
    };
    run_with_address_and(name, &usage, number, program)
}

/// Runs a program that takes an address and one of some words, of which the first is the default; the word may be left out, or both.
pub(crate) fn run_with_address_and_choice<T: Copy>(
    name: &str,
    choices: &[(&str, T)],
    program: impl FnOnce(&str, T) -> ExampleResult,
) -> ExitCode {
    let names: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let default = names.first().copied().unwrap_or_default();
    let usage = format!("[ADDRESS [{}]]    (default {DEFAULT_ADDRESS} {default})", names.join("|"));
    let choice = |words: &[String]| match words {
        [] => choices.first().map(|(_, choice)| *choice),
        [chosen] => choices.iter().find(|(word, _)| word == chosen).map(|(_, choice)| *choice),
        _ => None,
    };
    run_with_address_and(name, &usage, choice, program)
}

/// Runs a program that takes an address and what `parse` makes of the words behind it: `None` where they are wrong. All of them may be
/// left out.
pub(crate) fn run_with_address_and<T>(
    name: &str,
    usage: &str,
    parse: impl FnOnce(&[String]) -> Option<T>,
    program: impl FnOnce(&str, T) -> ExampleResult,
) -> ExitCode {
    run_with_arguments(name, usage, |arguments| match arguments {
        [] => parse(&[]).map(|words| program(DEFAULT_ADDRESS, words)),
        [address, words @ ..] if !address.starts_with('-') => parse(words).map(|words| program(address, words)),
        _ => None,
    })
}

/// Runs a program with a command line of its own kind: `program` returns `None` where it is wrong, and `usage` says how it should be.
pub(crate) fn run_with_arguments(
    name: &str,
    usage: &str,
    program: impl FnOnce(&[String]) -> Option<ExampleResult>,
) -> ExitCode {
    let arguments: Result<Vec<String>, _> =
        std::env::args_os().skip(1).map(|argument| argument.into_string()).collect();
    match arguments.ok().and_then(|arguments| program(&arguments)) {
        Some(result) => end(name, result),
        None => wrong_usage(&format!("{name} {usage}")),
    }
}

/// Runs a program that takes no arguments.
pub(crate) fn run(name: &str, program: impl FnOnce() -> ExampleResult) -> ExitCode {
    match std::env::args_os().nth(1) {
        None => end(name, program()),
        Some(_) => wrong_usage(name),
    }
}

fn wrong_usage(usage: &str) -> ExitCode {
    complain(format_args!("usage: {usage}"));
    ExitCode::from(2)
}

fn end(name: &str, result: ExampleResult) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("{name}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Waits so long, whatever the handler runs on.
pub(crate) fn pause(duration: Duration) {
    #[cfg(feature = "coroutine")]
    let _ = socketserver::coroutine::sleep(duration);
    #[cfg(not(feature = "coroutine"))]
    std::thread::sleep(duration);
}

/// A line on stderr, all at once, because stderr keeps nothing back and others may be writing to the same terminal. Unlike `eprintln!` it
/// does not panic where nobody reads stderr any more.
pub(crate) fn complain(line: impl Display) {
    let _speaking = Speaking::begin();
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// For `handle_error`: what has failed, but for those whom a stop has cut off. The farewell counts them.
pub(crate) fn complain_of(failure: &Failure) {
    let Cause::Error(error) = failure.cause() else { return complain(failure) };
    match error.downcast_ref().and_then(Error::of) {
        Some(Error::Cut { .. }) => {}
        _ => complain(failure),
    }
}

/// What a server's clients get to finish when it is told to stop. Whoever presses Ctrl-C expects the prompt back, and half a second
/// passes for at once.
pub(crate) const GRACE: Duration = Duration::from_millis(300);

/// Stops the server at Ctrl-C, SIGTERM or SIGHUP: it takes no more clients, and those it has get [`GRACE`] to finish. The second signal
/// cuts them off.
pub(crate) fn stop_on_signals(handle: ServerHandle) -> ExampleResult {
    let notice = format!("stopping: clients have {GRACE:?} to finish; a second signal stops at once");
    stop_within_on_signals(handle, GRACE, notice)
}

/// Stops a server that has nobody to wait for.
pub(crate) fn stop_at_once_on_signals(handle: ServerHandle) -> ExampleResult {
    stop_within_on_signals(handle, Duration::ZERO, "stopping".to_owned())
}

fn stop_within_on_signals(handle: ServerHandle, grace: Duration, notice: String) -> ExampleResult {
    ctrlc::set_handler(move || {
        let is_first = !handle.is_shutting_down();
        let left = if is_first { grace } else { Duration::ZERO };
        handle.shutdown_within(left);
        // A thread of its own, because this one is needed for the second signal, and may itself be stuck below.
        let watch = move || end_where_nobody_listens(left);
        if let Err(error) = std::thread::Builder::new().spawn(watch) {
            complain(error);
        }
        if is_first {
            complain(&notice);
        }
    })?;
    Ok(())
}

/// What is left of half a second after [`GRACE`], for a server to say what it has to say.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Ends the process where the server should have ended and cannot, because a thread waits in a write to a pipe, or a terminal, from which
/// nobody reads: a handler of a sequential server has the main thread. Nothing can call it back from there.
fn end_where_nobody_listens(grace: Duration) {
    std::thread::sleep(grace);
    loop {
        std::thread::sleep(LAST_WORDS);
        if SPEAKING.load(Ordering::Relaxed) > 0 {
            std::process::exit(0);
        }
    }
}

/// How many threads are just writing to stdout or stderr.
static SPEAKING: AtomicUsize = AtomicUsize::new(0);

struct Speaking;

impl Speaking {
    fn begin() -> Self {
        SPEAKING.fetch_add(1, Ordering::Relaxed);
        Speaking
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        SPEAKING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has Ctrl-C, SIGTERM or SIGHUP end the selector's wait.
pub(crate) fn wake_on_signals(waker: SelectorWaker) -> ExampleResult {
    ctrlc::set_handler(move || drop(waker.wake()))?;
    Ok(())
}

/// What a read or write came to; `None` where it would have had to wait.
pub(crate) fn unless_it_would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
        result => result.map(Some),
    }
}

/// A line on stdout; an error rather than `println!`'s panic where nobody reads it any more.
pub(crate) fn say(line: impl Display) -> io::Result<()> {
    let _speaking = Speaking::begin();
    writeln!(io::stdout(), "{line}")
}

/// A line on stdout that nobody has to read: what a server tells of its clients, who are served even where stdout is closed.
pub(crate) fn tell(line: impl Display) {
    let _ = say(line);
}

/// Says where the server listens. Scripts wait for this line, so it must not be held back in a buffer.
pub(crate) fn announce(address: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()
}

/// Says how the stop went.
pub(crate) fn farewell(report: ShutdownReport) {
    complain(format_args!(
        "stopped: {} clients finished, {} were cut off, {} handlers still run",
        report.drained, report.abandoned, report.still_running
    ));
}
