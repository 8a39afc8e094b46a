//! The servers that are measured, a file each. All of them echo until the client closes, read into a buffer of the same
//! size, and have NODELAY on; what differs is how they come to the next byte.

mod epoll;
pub mod libuv;
mod mio;
mod socketserver;
mod std_threads;
mod tokio;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::machine;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Epoll,
    Mio,
    Tokio,
    Libuv,
    StdThreads,
    StdThreadsTimed,
    Threading,
    ThreadingUntimed,
    Sequential,
    Reactor,
}

impl Kind {
    pub const ALL: [Kind; 10] = [
        Kind::Epoll,
        Kind::Mio,
        Kind::Tokio,
        Kind::Libuv,
        Kind::StdThreads,
        Kind::StdThreadsTimed,
        Kind::Threading,
        Kind::ThreadingUntimed,
        Kind::Sequential,
        Kind::Reactor,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Epoll => "epoll",
            Kind::Mio => "mio",
            Kind::Tokio => "tokio",
            Kind::Libuv => "libuv",
            Kind::StdThreads => "std-threads",
            Kind::StdThreadsTimed => "std-threads-timed",
            Kind::Threading => "threading",
            Kind::ThreadingUntimed => "threading-untimed",
            Kind::Sequential => "sequential",
            Kind::Reactor => "reactor",
        }
    }

    pub const fn about(self) -> &'static str {
        match self {
            Kind::Epoll => "a hand-written single-threaded epoll loop, the limit",
            Kind::Mio => "a plain single-threaded loop on mio",
            Kind::Tokio => "tokio's current-thread runtime, a task for every connection",
            Kind::Libuv => "a C program on libuv, skipped where it cannot be built",
            Kind::StdThreads => "std alone, a thread spawned for every connection",
            Kind::StdThreadsTimed => "the same with the read and write timeouts that socketserver has by default",
            Kind::Threading => "socketserver::ThreadingTcpServer with its defaults",
            Kind::ThreadingUntimed => "socketserver::ThreadingTcpServer without read and write timeouts",
            Kind::Sequential => "socketserver::TcpServer, one connection after the other",
            Kind::Reactor => "socketserver::ReactorTcpServer, one thread for all connections",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Kind, String> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("no such server; there are {}", names.join(", "))
        })
    }
}

/// What a server is told.
#[derive(Clone)]
pub struct Settings {
    /// Bytes of a handler's buffer.
    pub buffer: usize,
    /// Connections that it must serve at once.
    pub connections: usize,
    pub cpu: usize,
    /// What a server that is a program of its own becomes.
    pub program: Option<PathBuf>,
}

/// A server that listens.
struct Started {
    address: SocketAddr,
    /// Serves on this thread until the process is ended.
    serve: Box<dyn FnOnce() -> anyhow::Result<()>>,
}

/// With the backlog that socketserver has: std's 128 is too few for a crowd, and would be what is measured.
fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // To listen again sets the backlog anew.
    rustix::net::listen(&listener, 4096)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until a signal ends the process, having said on standard output where.
///
/// On the process's only thread, as an event loop in C has it: in a process with several, the C library does more for each call that can
/// wait (four locked instructions an exchange, for the cancellation of threads).
pub fn serve(kind: Kind, settings: &Settings) -> anyhow::Result<()> {
    machine::pin(settings.cpu)?;
    machine::raise_descriptor_limit()?;
    // Should whoever measures be killed.
    set_pdeathsig(Signal::SIGKILL)?;
    let started = match kind {
        Kind::Epoll => epoll::start(settings)?,
        Kind::Mio => mio::start(settings)?,
        Kind::Tokio => tokio::start(settings)?,
        Kind::Libuv => return libuv::exec(settings),
        Kind::StdThreads => std_threads::start(settings, false)?,
        Kind::StdThreadsTimed => std_threads::start(settings, true)?,
        Kind::Threading => socketserver::start_threading(settings, true)?,
        Kind::ThreadingUntimed => socketserver::start_threading(settings, false)?,
        Kind::Sequential => socketserver::start_sequential(settings)?,
        Kind::Reactor => socketserver::start_reactor(settings)?,
    };
    let mut output = io::stdout();
    writeln!(output, "listening on {}", started.address)?;
    output.flush()?;
    (started.serve)()
}

/// Starts and stops an idle server so often and prints how long each stop took, in nanoseconds and one a line.
pub fn measure_stops(kind: Kind, times: usize, cpu: usize) -> anyhow::Result<()> {
    machine::pin(cpu)?;
    let mut output = io::stdout().lock();
    for _ in 0..times {
        writeln!(output, "{}", time_stop(kind)?.as_nanos())?;
    }
    Ok(())
}

fn time_stop(kind: Kind) -> anyhow::Result<Duration> {
    match kind {
        Kind::Threading => socketserver::time_threading_stop(),
        Kind::Sequential => socketserver::time_sequential_stop(),
        Kind::Reactor => socketserver::time_reactor_stop(),
        _ => anyhow::bail!("{} is not stopped from inside its process, so there is nothing to time", kind.name()),
    }
}
