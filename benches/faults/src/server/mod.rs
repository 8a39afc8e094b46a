//! The servers under load. Each is this program in a process of its own, which is told on its standard input what else to do and
//! answers, a line of JSON each, on its standard output.

pub mod stops;
mod talk;
mod udp;

use std::fmt;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{getrlimit, setrlimit, Resource as Limit};
use nix::sys::signal::Signal;
use nix::unistd::{setgroups, setresgid, setresuid, Gid, Uid};
use serde::{Deserialize, Serialize};
use socketserver::server::{Builder, Listener, Running};
#[cfg(feature = "coroutine")]
use socketserver::CoroutineTcpServer;
use socketserver::{Connection, ReactorTcpServer, ServerHandle, ThreadingTcpServer};

use self::talk::{EventTalk, Talk, MOST};
use self::udp::HANDLED;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Threading,
    Reactor,
    #[cfg(feature = "coroutine")]
    Coroutine,
    UdpSequential,
    UdpThreading,
    UdpReactor,
    /// Whose requests bear ids, for the clients behind a bad network.
    UdpIdentified,
}

impl Kind {
    /// Those with connections.
    pub const STREAMS: &'static [Kind] = &[
        Kind::Threading,
        Kind::Reactor,
        #[cfg(feature = "coroutine")]
        Kind::Coroutine,
    ];
    /// Those that can have very many at once.
    pub const LOOPS: &'static [Kind] = &[
        Kind::Reactor,
        #[cfg(feature = "coroutine")]
        Kind::Coroutine,
    ];
    pub const DATAGRAMS: &'static [Kind] = &[Kind::UdpSequential, Kind::UdpThreading, Kind::UdpReactor];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Threading => "threading",
            Kind::Reactor => "reactor",
            #[cfg(feature = "coroutine")]
            Kind::Coroutine => "coroutine",
            Kind::UdpSequential => "udp",
            Kind::UdpThreading => "udp-threading",
            Kind::UdpReactor => "udp-reactor",
            Kind::UdpIdentified => "udp-identified",
        }
    }

    pub fn is_udp(self) -> bool {
        !Kind::STREAMS.contains(&self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        let mut all = Kind::STREAMS.iter().chain(Kind::DATAGRAMS).chain(&[Kind::UdpIdentified]);
        all.find(|kind| kind.name() == name).copied().ok_or_else(|| format!("no such server: {name}"))
    }
}

/// What a server is told. None is the crate's default.
#[derive(Clone, Default)]
pub struct Settings {
    /// Requests at once; 0 is the default.
    pub max: usize,
    pub read_timeout: Option<Duration>,
    pub write_timeout: Option<Duration>,
    pub deadline: Option<Duration>,
    /// The user that the process becomes, who has no other.
    pub user: Option<u32>,
}

impl Settings {
    /// Short, so that threads are back to their number at the start soon after a load.
    pub const IDLE_THREADS_STAY: Duration = Duration::from_millis(100);

    pub fn with_max(max: usize) -> Settings {
        Settings { max, ..Settings::default() }
    }

    pub fn arguments(&self) -> Vec<String> {
        let mut words = vec!["--max".to_owned(), self.max.to_string()];
        let timeouts = [
            ("--read-timeout", self.read_timeout),
            ("--write-timeout", self.write_timeout),
            ("--deadline", self.deadline),
        ];
        for (name, timeout) in timeouts {
            words.extend(timeout.into_iter().flat_map(|timeout| [name.to_owned(), timeout.as_millis().to_string()]));
        }
        words.extend(self.user.into_iter().flat_map(|user| ["--user".to_owned(), user.to_string()]));
        words
    }

    fn tune<L: Listener<Request = Connection>, D>(&self, mut builder: Builder<L, D>) -> Builder<L, D> {
        if self.max > 0 {
            builder = builder.max_connections(self.max);
        }
        if let Some(timeout) = self.read_timeout {
            builder = builder.read_timeout(timeout);
        }
        if let Some(timeout) = self.write_timeout {
            builder = builder.write_timeout(timeout);
        }
        builder.request_deadline(self.deadline)
    }
}

/// What a server can be made to run out of.
#[derive(Clone, Copy, Debug)]
pub enum Resource {
    Descriptors,
    Threads,
}

impl Resource {
    pub fn name(self) -> &'static str {
        match self {
            Resource::Descriptors => "descriptors",
            Resource::Threads => "threads",
        }
    }
}

/// What a server says of itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct State {
    pub accepted: u64,
    pub active: u64,
    pub rejected: u64,
    pub handler_errors: u64,
    pub panics: u64,
    pub accept_errors: u64,
    pub spawn_failures: u64,
    pub dropped: u64,
    /// The most handlers at once, as they counted themselves.
    pub most: u64,
    /// Datagrams that a handler has seen.
    pub handled: u64,
}

/// How its stop went.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Stopped {
    pub drained: usize,
    pub abandoned: usize,
    pub still_running: usize,
    pub millis: u64,
}

/// Serves until standard input ends.
pub fn serve(kind: Kind, settings: &Settings) -> anyhow::Result<()> {
    // Panics are part of the load; their traces are not.
    std::panic::set_hook(Box::new(|_| {}));
    crate::namespace::raise_descriptor_limit()?;
    if let Some(user) = settings.user {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
        setgroups(&[]).context("leaving root's groups")?;
        setresgid(group, group, group).context("becoming another group")?;
        setresuid(user, user, user).context("becoming another user")?;
    }
    // Should whoever measures be killed. After the change of user, which forgets it.
    set_pdeathsig(Signal::SIGKILL)?;
    obey(start(kind, settings)?)
}

fn start(kind: Kind, settings: &Settings) -> socketserver::Result<Running<SocketAddr>> {
    const ANY: &str = "127.0.0.1:0";
    match kind {
        Kind::Threading => {
            let builder = ThreadingTcpServer::builder().idle_thread_timeout(Settings::IDLE_THREADS_STAY);
            settings.tune(builder).bind(ANY, Talk)?.spawn()
        }
        Kind::Reactor => settings.tune(ReactorTcpServer::builder()).bind(ANY, EventTalk::default())?.spawn(),
        #[cfg(feature = "coroutine")]
        Kind::Coroutine => settings.tune(CoroutineTcpServer::builder()).bind(ANY, Talk)?.spawn(),
        Kind::UdpSequential => udp::sequential(ANY),
        Kind::UdpThreading => udp::threading(ANY),
        Kind::UdpReactor => udp::reactor(ANY),
        Kind::UdpIdentified => udp::identified(ANY),
    }
}

fn obey(running: Running<SocketAddr>) -> anyhow::Result<()> {
    tell(&running.local_addr())?;
    let handle = running.handle();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line == "stop" {
            let began = Instant::now();
            let report = running.stop()?;
            return tell(&Stopped {
                drained: report.drained,
                abandoned: report.abandoned,
                still_running: report.still_running,
                millis: u64::try_from(began.elapsed().as_millis())?,
            });
        }
        match line.strip_prefix("limit ") {
            Some(words) => tell(&limit(words)?)?,
            None => tell(&state(&handle))?,
        }
    }
    Ok(())
}

/// Sets one of its own soft limits, as `descriptors 10` and `threads all` say.
fn limit(words: &str) -> anyhow::Result<()> {
    let (name, limit) = words.split_once(' ').context("a limit without a number")?;
    let resource = if name == Resource::Descriptors.name() { Limit::RLIMIT_NOFILE } else { Limit::RLIMIT_NPROC };
    let (_, most) = getrlimit(resource)?;
    let limit = if limit == "all" { most } else { limit.parse()? };
    Ok(setrlimit(resource, limit, most)?)
}

fn state(handle: &ServerHandle) -> State {
    let stats = handle.stats();
    State {
        accepted: stats.accepted,
        active: stats.active,
        rejected: stats.rejected,
        handler_errors: stats.handler_errors,
        panics: stats.panics,
        accept_errors: stats.accept_errors,
        spawn_failures: stats.spawn_failures,
        dropped: stats.dropped,
        most: MOST.load(Ordering::SeqCst),
        handled: HANDLED.load(Ordering::SeqCst),
    }
}

fn tell(what: &impl Serialize) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", serde_json::to_string(what)?)?;
    Ok(output.flush()?)
}
