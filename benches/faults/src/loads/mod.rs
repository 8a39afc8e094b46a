//! The load bar: what the servers must bear, and what is expected of them meanwhile.

mod big;
mod ceiling;
mod churn;
mod idle;
mod lossy;
mod slow;
pub mod soak_short;
mod stop_storm;
mod udp;

use std::thread;
use std::time::{Duration, Instant};

use crate::cli::Bar;
use crate::namespace::{self, Place};
use crate::report::{self, Row};
use crate::server::Kind;

/// A row of the bar.
pub struct Load {
    pub name: &'static str,
    pub title: &'static str,
    servers: &'static [Kind],
    turns: Turns,
    run: fn(&Scale, Kind, &mut Row) -> anyhow::Result<()>,
}

/// Which servers of a row are loaded at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turns {
    /// Never two: what is seen of one would be another's.
    OneByOne,
    /// All in a quick run, which has no time to lose; one by one in a full run, where rates count.
    TogetherWhenQuick,
    /// All: the load is there to last.
    Together,
}

/// L11 is the soak, a command of its own.
pub const ALL: &[Load] = &[
    Load {
        name: "L1",
        title: "very many idle connections",
        servers: Kind::LOOPS,
        turns: Turns::TogetherWhenQuick,
        run: idle::loops,
    },
    Load {
        name: "L2",
        title: "many idle connections, a thread each",
        servers: &[Kind::Threading],
        turns: Turns::TogetherWhenQuick,
        run: idle::threads,
    },
    Load {
        name: "L3",
        title: "clients that come, ask and go",
        servers: Kind::STREAMS,
        turns: Turns::TogetherWhenQuick,
        run: churn::closing,
    },
    Load {
        name: "L4",
        title: "the same, leaving with a reset",
        servers: Kind::STREAMS,
        turns: Turns::TogetherWhenQuick,
        run: churn::resetting,
    },
    Load {
        name: "L5",
        title: "slow clients beside honest ones",
        servers: Kind::STREAMS,
        turns: Turns::TogetherWhenQuick,
        run: slow::run,
    },
    Load {
        name: "L6",
        title: "more clients than places",
        servers: Kind::STREAMS,
        turns: Turns::TogetherWhenQuick,
        run: ceiling::run,
    },
    Load {
        name: "L7",
        title: "large echoes side by side",
        servers: Kind::STREAMS,
        turns: Turns::TogetherWhenQuick,
        run: big::run,
    },
    Load {
        name: "L8",
        title: "a flood of datagrams",
        servers: Kind::DATAGRAMS,
        turns: Turns::TogetherWhenQuick,
        run: udp::run,
    },
    Load {
        name: "L9",
        title: "UDP clients on a bad network",
        servers: &[Kind::UdpIdentified],
        turns: Turns::TogetherWhenQuick,
        run: lossy::run,
    },
    Load {
        name: "L10",
        title: "a mix of everything, for long",
        servers: Kind::STREAMS,
        turns: Turns::Together,
        run: soak_short::run,
    },
    // A port that one has just freed is any other's to take: it would be found open.
    Load {
        name: "L12",
        title: "started, loaded and stopped",
        servers: Kind::STREAMS,
        turns: Turns::OneByOne,
        run: stop_storm::run,
    },
];

pub fn named(name: &str) -> Result<&'static Load, String> {
    ALL.iter().find(|load| load.name.eq_ignore_ascii_case(name)).ok_or_else(|| match name {
        "L11" => "L11 is the soak: faults soak".to_owned(),
        _ => "no such load".to_owned(),
    })
}

/// How large the loads are, and how much patience there is.
pub struct Scale {
    quick: bool,
    seed: u64,
    place: Place,
    /// How many servers are loaded at the same time.
    at_once: usize,
}

/// Descriptors for all that is not a client: pipes to the servers, and what their state is read from.
const KEPT_BACK: usize = 200;

impl Scale {
    /// The first in a full run, the second in a quick one.
    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick {
            quick
        } else {
            full
        }
    }

    /// A limit on a time: as it is in a full run, and with so much slack in a quick one that only what hangs, or waits for what it should not
    /// wait for, exceeds it.
    fn time(&self, limit: Duration) -> Duration {
        self.pick(limit, (10 * limit).max(Duration::from_secs(5)))
    }

    fn seconds(&self, full: f64, quick: f64) -> Duration {
        Duration::from_secs_f64(self.pick(full, quick))
    }

    /// So many connections, or as many as the descriptors are for.
    fn connections(&self, full: usize, quick: usize) -> usize {
        let [count] = self.crowds([full], [quick]);
        count
    }

    /// So many connections of each sort at once, or fewer of each if there are not descriptors for all: this process has the clients of all
    /// servers that are loaded at the same time.
    fn crowds<const N: usize>(&self, full: [usize; N], quick: [usize; N]) -> [usize; N] {
        let wanted = self.pick(full, quick);
        let room = self.place.descriptors.saturating_sub(KEPT_BACK) / self.at_once;
        let all: usize = wanted.iter().sum();
        if all <= room {
            return wanted;
        }
        wanted.map(|count| (count * room / all).max(1))
    }

    /// Whether what the kernel counts for a whole network is this server's alone.
    fn alone(&self) -> bool {
        self.place.own && self.at_once == 1
    }
}

/// Runs what was asked for and prints it; false when a row fails.
pub fn run(options: &Bar) -> anyhow::Result<bool> {
    let place = namespace::enter()?;
    eprintln!("the load runs in {}", place.words);
    if cfg!(debug_assertions) && !options.quick {
        eprintln!("a debug build: the rates and times expected are those of a release build (--release)");
    }
    let mut scale = Scale { quick: options.quick, seed: options.seed, place, at_once: 1 };
    let mut rows = Vec::new();
    for load in &options.loads {
        rows.extend(scale.run(load, &options.servers));
    }
    println!("in {}, {}", scale.place.words, scale.pick("the whole bar", "quick: times with slack for a busy machine"));
    print!("{}", report::render(&rows));
    report::write_json(options.json.as_deref(), &rows)?;
    Ok(rows.iter().all(Row::passes))
}

impl Scale {
    fn run(&mut self, load: &Load, only: &[Kind]) -> Vec<Row> {
        let chosen = |kind: &Kind| only.is_empty() || only.contains(kind);
        let servers: Vec<Kind> = load.servers.iter().copied().filter(chosen).collect();
        let together = match load.turns {
            Turns::OneByOne => false,
            Turns::TogetherWhenQuick => self.quick,
            Turns::Together => true,
        };
        self.at_once = if together { servers.len().max(1) } else { 1 };
        let scale = &*self;
        let began = Instant::now();
        eprintln!("{:<4} {}…", load.name, load.title);
        let one = |kind: Kind| {
            let mut row = Row::new(load.name, kind, load.title);
            if let Err(error) = (load.run)(scale, kind, &mut row) {
                row.check("it can be run to its end", format!("{error:#}"), false);
            }
            row
        };
        let rows: Vec<Row> = if together {
            thread::scope(|scope| {
                let running: Vec<_> = servers.into_iter().map(|kind| scope.spawn(move || one(kind))).collect();
                let joined = running.into_iter().map(|thread| thread.join());
                joined.map(|row| row.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
            })
        } else {
            servers.into_iter().map(one).collect()
        };
        for row in &rows {
            for check in row.checks.iter().filter(|check| check.pass == Some(false)) {
                eprintln!("     {} FAILED: {}, and it was {}", row.server, check.expected, check.seen);
            }
        }
        eprintln!("     {:.1} s", began.elapsed().as_secs_f64());
        rows
    }
}
