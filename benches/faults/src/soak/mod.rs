//! L11: the mix for long, and a fault every half minute.

mod fault;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context};
use nix::unistd::Uid;

use self::fault::{Fault, Injected};
use crate::cli::Soak;
use crate::loads::soak_short::{counts, slope, words};
use crate::mix::{self, Record};
use crate::namespace::{self, Place};
use crate::process::Server;
use crate::report::{self, Row, Time};
use crate::server::{Kind, Settings};

/// How long after a fault honest clients may still meet errors.
const AFTERMATH: Duration = Duration::from_millis(200);

/// Before p99 is looked at.
const WARM_UP: Duration = Duration::from_secs(5);

/// What p99 may rise by where it is a fraction of a millisecond, of which the machine itself makes more.
const NOISE: Duration = Duration::from_millis(2);

/// Users that have no processes but the servers: the kernel counts a user's threads.
const FIRST_USER: u32 = 61_000;

/// In less, some fault would never be injected: they come in turn, and none in the last interval.
pub fn least(every: Duration) -> Duration {
    every * (Fault::ALL.len() as u32 + 1)
}

/// Runs it and prints what was seen; false when a criterion is not met.
pub fn run(options: &Soak) -> anyhow::Result<bool> {
    let place = namespace::enter()?;
    eprintln!("the load runs in {}", place.words);
    let servers: Vec<Server> = (FIRST_USER..)
        .zip(Kind::STREAMS)
        .map(|(user, &kind)| {
            // Root's threads are not counted, so its servers become somebody else.
            let user = Uid::effective().is_root().then_some(user);
            Server::start(kind, &Settings { user, ..mix::settings() })
        })
        .collect::<anyhow::Result<_>>()?;
    for server in &servers {
        // What a server keeps from its largest crowd it has from the start, so that it is not taken for a leak.
        let unanswered = fault::crowd(server, fault::STAMPEDE);
        ensure!(unanswered == 0, "{unanswered} of the first crowd have no answer from {}", server.kind());
    }
    let began = Instant::now();
    let outcomes: Vec<anyhow::Result<Outcome>> = thread::scope(|scope| {
        let soaking: Vec<_> = servers.iter().map(|server| scope.spawn(move || soak(server, options, began))).collect();
        let joined = soaking.into_iter().map(|soaking| soaking.join());
        joined.map(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut rows = Vec::new();
    for (server, outcome) in servers.into_iter().zip(outcomes) {
        let kind = server.kind();
        match outcome {
            Ok(outcome) => rows.extend(judge(server, &outcome, options)),
            Err(error) => {
                let mut row = Row::new("L11", kind, "the soak");
                row.check("it can be run to its end", format!("{error:#}"), false);
                rows.push(row);
            }
        }
    }
    print(&rows, &place, options);
    report::write_json(options.json.as_deref(), &rows)?;
    Ok(rows.iter().all(Row::passes))
}

fn print(rows: &[Row], place: &Place, options: &Soak) {
    let (minutes, every) = (options.length.as_secs_f64() / 60.0, options.every.as_secs());
    println!("{minutes} minutes in {}, a fault every {every} s, seed {}", place.words, options.seed);
    print!("{}", report::render(rows));
}

struct Outcome {
    record: Record,
    injected: Vec<Injected>,
}

fn soak(server: &Server, options: &Soak, began: Instant) -> anyhow::Result<Outcome> {
    let (record, injected) = mix::run(server, options.seed, began, || {
        let mut injected = Vec::new();
        let mut faults = Fault::ALL.iter().cycle();
        let mut next = options.every;
        // The last comes a whole interval before the end, so that there is an afterwards to be measured.
        while next + options.every <= options.length {
            thread::sleep(next.saturating_sub(began.elapsed()));
            let fault = faults.next().context("there are faults")?;
            injected.push(fault.inject(server, began)?);
            if let Some(last) = injected.last() {
                eprintln!("{:>6.0} s  {:<10} {last}", last.began.as_secs_f64(), server.kind());
            }
            next += options.every;
        }
        thread::sleep(options.length.saturating_sub(began.elapsed()));
        Ok(injected)
    })?;
    Ok(Outcome { record, injected })
}

fn judge(server: Server, outcome: &Outcome, options: &Soak) -> Vec<Row> {
    let Outcome { record, injected } = outcome;
    let mut rows: Vec<Row> = Fault::ALL.iter().map(|fault| fault.judge(server.kind(), injected)).collect();
    let mut row =
        Row::new("L11", server.kind(), format!("churn, slow clients, panics, resets; {} faults", injected.len()));
    counts(&mut row, record);
    row.check("no hang", words(&record.hangs), record.hangs.is_empty());
    let (during, outside): (Vec<_>, Vec<_>) = record
        .errors
        .iter()
        .cloned()
        .partition(|(at, _)| injected.iter().any(|fault| (fault.began..fault.ended + AFTERMATH).contains(at)));
    row.tell("errors of honest clients during a fault", during.len());
    row.check(format!("none later than {} after one", Time(AFTERMATH)), words(&outside), outside.is_empty());

    let first = injected.first().map_or(options.length, |fault| fault.began);
    let last = injected.last().map_or(Duration::ZERO, |fault| fault.ended + WARM_UP);
    match (record.p99(WARM_UP, first), record.p99(last, options.length)) {
        (Some(before), Some(after)) => {
            let limit = before.mul_f64(1.2).max(before + NOISE);
            row.tell("p99 of the honest before the first fault", Time(before));
            row.at_most("p99 after the last", after, limit);
        }
        _ => row.check("honest requests before the first fault and after the last", "none", false),
    }
    let settled = Duration::from_secs(60).min(options.length / 3);
    slope(&mut row, record, settled, most_growth(options.length));
    row.tell("most descriptors, threads", format!("{}, {}", record.most_descriptors, record.most_threads));
    let ended = server.check_leaks(&mut row).and_then(|()| server.check_stop(&mut row));
    if let Err(error) = ended {
        row.check("it ends well", format!("{error:#}"), false);
    }
    rows.push(row);
    rows
}

/// In bytes a minute: less, the longer one looks, because a page more is a large step in a short time.
fn most_growth(length: Duration) -> f64 {
    let kib = match length.as_secs() / 60 {
        30.. => 64.0,
        10.. => 256.0,
        _ => 1024.0,
    };
    kib * 1024.0
}
