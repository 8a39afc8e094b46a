use std::time::Duration;

use crate::metric::Metric;
use crate::report::target::Target;
use crate::servers::{Kind, Transport};

/// One kind of load, the servers it is put on, and what is expected of them.
pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    pub load: Load,
    /// The first one is what the ratios are taken to.
    pub peers: &'static [Kind],
    pub targets: &'static [Target],
}

pub enum Load {
    /// A closed loop: every connection sends, waits for the whole echo and sends again.
    Exchanges { connections: usize, bytes: usize, lifetime: Lifetime },
    /// A closed loop of clients that each send a datagram, wait for its echo and send again.
    Datagrams { clients: usize, bytes: usize },
    /// So many requests of this crate's client, through a network that loses so many percent of the datagrams each way.
    Loss { requests: usize, percent: u64 },
    /// Two requests of this crate's client, each answered with so many datagrams under a wrong id.
    Forgery { forgeries: u64 },
    /// Datagrams sent as fast as they can be, so many in each of so many bursts, to a server that is slower.
    Bursts { bursts: usize, datagrams: usize },
    /// The closed loop of `Exchanges` over few connections and over many, in turns and each on a server of its own.
    Growth { few: usize, many: usize, bytes: usize },
    /// Many connections opened as fast as they can be, answered once each.
    Crowd { connections: usize, stay: Stay },
    /// So many connections that ping with 64 bytes every 10 ms, beside one that echoes messages of so many bytes without
    /// a pause.
    Greedy { pings: usize, bytes: usize },
    /// An idle server started and stopped so many times, in one process.
    Stops { times: usize },
}

/// How long a connection of [`Load::Exchanges`] lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    WholeRun,
    OneExchange,
}

/// How long a connection of [`Load::Crowd`] stays.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    UntilAnswered,
    /// All are first left idle for so long, and stay until all have been answered. With `again`, when they have left
    /// as many others come to the same server.
    Idle {
        hold: Duration,
        again: bool,
    },
}

impl Load {
    /// What the server's handlers read into: room for one message, and a page at least.
    pub fn buffer(&self) -> usize {
        match self {
            Load::Exchanges { bytes, .. }
            | Load::Datagrams { bytes, .. }
            | Load::Growth { bytes, .. }
            | Load::Greedy { bytes, .. } => (*bytes).max(4096),
            Load::Crowd { .. }
            | Load::Loss { .. }
            | Load::Forgery { .. }
            | Load::Bursts { .. }
            | Load::Stops { .. } => 4096,
        }
    }

    pub fn connections(&self) -> usize {
        match self {
            Load::Exchanges { connections, .. } | Load::Crowd { connections, .. } => *connections,
            Load::Growth { many, .. } => *many,
            Load::Greedy { pings, .. } => pings + 1,
            Load::Datagrams { .. }
            | Load::Loss { .. }
            | Load::Forgery { .. }
            | Load::Bursts { .. }
            | Load::Stops { .. } => 0,
        }
    }

    pub fn transport(&self) -> Transport {
        match self {
            Load::Datagrams { .. } | Load::Loss { .. } | Load::Forgery { .. } | Load::Bursts { .. } => Transport::Udp,
            _ => Transport::Tcp,
        }
    }
}

pub fn named(name: &str) -> Result<&'static Scenario, String> {
    ALL.iter().find(|scenario| scenario.name == name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|scenario| scenario.name).collect();
        format!("no such scenario; there are {}", names.join(", "))
    })
}

/// An event-driven server costs hardly more than the least that the machine allows, and no more than others.
const REACTOR_TO_EPOLL: Target = Target::of(Kind::Reactor, Metric::ProcessorUs, 1.05).times(Kind::Epoll);
const REACTOR_TO_MIO: Target = Target::of(Kind::Reactor, Metric::ProcessorUs, 1.0).times(Kind::Mio).within_noise();
const REACTOR_TO_TOKIO: Target = Target::of(Kind::Reactor, Metric::ProcessorUs, 1.0).times(Kind::Tokio).within_noise();
const REACTOR_TO_LIBUV: Target = Target::of(Kind::Reactor, Metric::ProcessorUs, 1.0).times(Kind::Libuv).within_noise();

/// A handler that waits on a coroutine costs no more than a task of tokio's that awaits.
const COROUTINE_TO_TOKIO: Target =
    Target::of(Kind::Coroutine, Metric::ProcessorUs, 1.0).times(Kind::Tokio).within_noise();

/// Whatever bears many connections and many bytes.
const ECHOES: &[Kind] = &[
    Kind::Epoll,
    Kind::Mio,
    Kind::Tokio,
    Kind::TokioMulti,
    Kind::MessageIo,
    Kind::Libuv,
    Kind::Go,
    Kind::StdThreads,
    Kind::Threading,
    Kind::Reactor,
    Kind::Coroutine,
];

pub const ALL: &[Scenario] = &[
    Scenario {
        name: "connect",
        title: "connect, 64-byte echo, close: 32 clients at a time",
        load: Load::Exchanges { connections: 32, bytes: 64, lifetime: Lifetime::OneExchange },
        peers: &[
            Kind::Epoll,
            Kind::Mio,
            Kind::Tokio,
            Kind::TokioMulti,
            Kind::MessageIo,
            Kind::Libuv,
            Kind::Go,
            Kind::Python,
            Kind::StdThreads,
            Kind::Threading,
            Kind::Sequential,
            Kind::Reactor,
            Kind::Coroutine,
        ],
        targets: &[
            Target::of(Kind::Threading, Metric::ProcessorUs, 1.4).times(Kind::Epoll),
            REACTOR_TO_EPOLL,
            REACTOR_TO_MIO,
            REACTOR_TO_TOKIO,
            REACTOR_TO_LIBUV,
            COROUTINE_TO_TOKIO,
        ],
    },
    Scenario {
        name: "echo-64",
        title: "64-byte echo over 64 connections",
        load: Load::Exchanges { connections: 64, bytes: 64, lifetime: Lifetime::WholeRun },
        peers: &[
            Kind::Epoll,
            Kind::Mio,
            Kind::Tokio,
            Kind::TokioMulti,
            Kind::MessageIo,
            Kind::Libuv,
            Kind::Go,
            Kind::Python,
            Kind::StdThreads,
            Kind::StdThreadsTimed,
            Kind::Threading,
            Kind::ThreadingUntimed,
            Kind::Reactor,
            Kind::Coroutine,
        ],
        targets: &[
            Target::of(Kind::Threading, Metric::ProcessorUs, 1.0).times(Kind::StdThreads).within_noise(),
            Target::of(Kind::Threading, Metric::ProcessorUs, 1.0).times(Kind::StdThreadsTimed).within_noise(),
            Target::of(Kind::ThreadingUntimed, Metric::ProcessorUs, 1.0).times(Kind::StdThreads).within_noise(),
            REACTOR_TO_EPOLL,
            REACTOR_TO_MIO,
            REACTOR_TO_TOKIO,
            REACTOR_TO_LIBUV,
            COROUTINE_TO_TOKIO,
        ],
    },
    Scenario {
        name: "echo-1000",
        title: "64-byte echo over 1,000 connections",
        load: Load::Exchanges { connections: 1000, bytes: 64, lifetime: Lifetime::WholeRun },
        peers: ECHOES,
        targets: &[
            REACTOR_TO_EPOLL,
            REACTOR_TO_MIO,
            REACTOR_TO_TOKIO,
            REACTOR_TO_LIBUV,
            COROUTINE_TO_TOKIO,
            Target::of(Kind::Coroutine, Metric::ProcessorUs, 1.10).times(Kind::Epoll),
        ],
    },
    Scenario {
        name: "echo-64k",
        title: "64 KiB echo over 16 connections",
        load: Load::Exchanges { connections: 16, bytes: 64 * 1024, lifetime: Lifetime::WholeRun },
        peers: ECHOES,
        targets: &[REACTOR_TO_EPOLL, REACTOR_TO_MIO, REACTOR_TO_TOKIO, REACTOR_TO_LIBUV, COROUTINE_TO_TOKIO],
    },
    Scenario {
        name: "burst",
        title: "10,000 clients connecting at once, one 64-byte echo each",
        load: Load::Crowd { connections: 10_000, stay: Stay::UntilAnswered },
        peers: &[Kind::Epoll, Kind::StdThreads, Kind::Threading, Kind::Reactor, Kind::Coroutine],
        targets: &[
            Target::of(Kind::Threading, Metric::ConnectMaxMs, 900.0),
            Target::of(Kind::Reactor, Metric::ConnectMaxMs, 900.0),
        ],
    },
    Scenario {
        name: "idle",
        title: "4,000 connections left idle for 2 s, then one 64-byte echo each",
        load: Load::Crowd { connections: 4000, stay: Stay::Idle { hold: Duration::from_secs(2), again: false } },
        peers: &[
            Kind::Epoll,
            Kind::TokioMulti,
            Kind::MessageIo,
            Kind::Go,
            Kind::StdThreads,
            Kind::Threading,
            Kind::Coroutine,
        ],
        targets: &[
            Target::of(Kind::Threading, Metric::ResidentIdleKib, 24.0),
            Target::of(Kind::Threading, Metric::ResidentUsedKib, 24.0),
        ],
    },
    Scenario {
        name: "idle-10000",
        title: "10,000 connections left idle for 2 s, then one 64-byte echo each; then 10,000 others",
        load: Load::Crowd { connections: 10_000, stay: Stay::Idle { hold: Duration::from_secs(2), again: true } },
        peers: &[Kind::Epoll, Kind::Mio, Kind::Tokio, Kind::Libuv, Kind::Reactor, Kind::Coroutine],
        targets: &[
            Target::of(Kind::Coroutine, Metric::ResidentIdleKib, 10.0),
            Target::of(Kind::Coroutine, Metric::ResidentUsedKib, 10.0),
            Target::of(Kind::Coroutine, Metric::ConnectAllMs, 1_000.0),
            Target::of(Kind::Reactor, Metric::ResidentIdleKib, 0.5),
            Target::of(Kind::Reactor, Metric::ResidentUsedKib, 0.5),
            Target::of(Kind::Reactor, Metric::ResidentGrowth, 5.0),
            Target::of(Kind::Reactor, Metric::IdleUsPerSecond, 10_000.0),
        ],
    },
    Scenario {
        name: "many-19000",
        title: "19,000 connections open at once, one 64-byte echo each",
        load: Load::Crowd { connections: 19_000, stay: Stay::Idle { hold: Duration::from_secs(1), again: false } },
        peers: &[Kind::Epoll, Kind::Reactor, Kind::Coroutine],
        targets: &[],
    },
    Scenario {
        name: "greedy",
        title: "100 connections that ping every 10 ms, beside one that echoes 64 KiB messages without a pause",
        load: Load::Greedy { pings: 100, bytes: 64 * 1024 },
        peers: &[Kind::Epoll, Kind::Tokio, Kind::Reactor, Kind::Coroutine],
        targets: &[Target::of(Kind::Reactor, Metric::P99Us, 20_000.0)],
    },
    Scenario {
        name: "linear",
        title: "64-byte echo over 10,000 connections, next to the same over 100",
        load: Load::Growth { few: 100, many: 10_000, bytes: 64 },
        peers: &[Kind::Epoll, Kind::Reactor, Kind::Coroutine],
        targets: &[Target::of(Kind::Reactor, Metric::ProcessorGrowth, 1.5)],
    },
    Scenario {
        name: "udp-64",
        title: "64-byte datagrams echoed, 32 clients with one under way each",
        load: Load::Datagrams { clients: 32, bytes: 64 },
        peers: &[
            Kind::UdpLoop,
            Kind::UdpStd,
            Kind::UdpTokio,
            Kind::UdpSequential,
            Kind::UdpBatch,
            Kind::UdpThreading,
            Kind::UdpReactor,
        ],
        targets: &[
            Target::of(Kind::UdpSequential, Metric::ProcessorUs, 1.05).times(Kind::UdpLoop),
            Target::of(Kind::UdpSequential, Metric::ProcessorUs, 1.05).times(Kind::UdpStd),
        ],
    },
    Scenario {
        name: "udp-loss",
        title: "2,000 requests of UdpClient, 30 % of the datagrams lost each way",
        load: Load::Loss { requests: 2000, percent: 30 },
        peers: &[Kind::UdpSequential],
        targets: &[
            Target::of(Kind::UdpSequential, Metric::Unanswered, 10.0),
            Target::of(Kind::UdpSequential, Metric::Wrong, 0.0).in_every_round(),
            Target::of(Kind::UdpSequential, Metric::PastDeadlineMs, 50.0).in_every_round(),
        ],
    },
    Scenario {
        name: "udp-forged",
        title: "a million datagrams with a wrong id from the true peer, sent to a UdpClient that waits",
        load: Load::Forgery { forgeries: 1_000_000 },
        peers: &[Kind::UdpForger],
        targets: &[
            Target::of(Kind::UdpForger, Metric::Wrong, 0.0).in_every_round(),
            Target::of(Kind::UdpForger, Metric::Unanswered, 0.0).in_every_round(),
            Target::of(Kind::UdpForger, Metric::PastDeadlineMs, 50.0).in_every_round(),
        ],
    },
    Scenario {
        name: "udp-burst",
        title: "20 bursts of 10,000 datagrams to threads that are slow",
        load: Load::Bursts { bursts: 20, datagrams: 10_000 },
        peers: &[Kind::UdpSlow],
        targets: &[
            Target::of(Kind::UdpSlow, Metric::Unaccounted, 0.0).in_every_round(),
            Target::of(Kind::UdpSlow, Metric::BurstGrowth, 5.0),
        ],
    },
    Scenario {
        name: "shutdown",
        title: "shutdown to serve_forever returned, idle, 1,000 starts",
        load: Load::Stops { times: 1000 },
        peers: &[Kind::Threading, Kind::Sequential, Kind::Reactor, Kind::Coroutine],
        targets: &[
            Target::of(Kind::Threading, Metric::StopP99Ms, 10.0),
            Target::of(Kind::Sequential, Metric::StopP99Ms, 10.0),
            Target::of(Kind::Reactor, Metric::StopP99Ms, 10.0),
        ],
    },
];
