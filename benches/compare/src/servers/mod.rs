//! The servers that are measured, a file each. Those over TCP echo until the client closes, read into a buffer of the same
//! size, and have NODELAY on; those over UDP echo each datagram. What differs is how they come to the next byte.

mod epoll;
mod go;
mod libuv;
mod message_io;
mod mio;
pub mod program;
mod python;
mod socketserver;
mod std_threads;
mod tokio;
pub mod udp_forger;
mod udp_loop;
pub mod udp_slow;
mod udp_std;

use std::fmt;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use self::program::Recipe;
use crate::machine;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Kind {
    Epoll,
    Mio,
    Tokio,
    TokioMulti,
    MessageIo,
    Libuv,
    Go,
    Python,
    StdThreads,
    StdThreadsTimed,
    Threading,
    ThreadingUntimed,
    Sequential,
    Reactor,
    Coroutine,
    UdpLoop,
    UdpStd,
    UdpTokio,
    UdpSequential,
    UdpBatch,
    UdpThreading,
    UdpReactor,
    UdpForger,
    UdpSlow,
}

impl Kind {
    pub const ALL: [Kind; 24] = [
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
        Kind::Sequential,
        Kind::Reactor,
        Kind::Coroutine,
        Kind::UdpLoop,
        Kind::UdpStd,
        Kind::UdpTokio,
        Kind::UdpSequential,
        Kind::UdpBatch,
        Kind::UdpThreading,
        Kind::UdpReactor,
        Kind::UdpForger,
        Kind::UdpSlow,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Kind::Epoll => "epoll",
            Kind::Mio => "mio",
            Kind::Tokio => "tokio",
            Kind::TokioMulti => "tokio-multi",
            Kind::MessageIo => "message-io",
            Kind::Libuv => "libuv",
            Kind::Go => "go",
            Kind::Python => "python",
            Kind::StdThreads => "std-threads",
            Kind::StdThreadsTimed => "std-threads-timed",
            Kind::Threading => "threading",
            Kind::ThreadingUntimed => "threading-untimed",
            Kind::Sequential => "sequential",
            Kind::Reactor => "reactor",
            Kind::Coroutine => "coroutine",
            Kind::UdpLoop => "udp-loop",
            Kind::UdpStd => "udp-std",
            Kind::UdpTokio => "udp-tokio",
            Kind::UdpSequential => "udp-sequential",
            Kind::UdpBatch => "udp-batch",
            Kind::UdpThreading => "udp-threading",
            Kind::UdpReactor => "udp-reactor",
            Kind::UdpForger => "udp-forger",
            Kind::UdpSlow => "udp-slow",
        }
    }

    pub const fn about(self) -> &'static str {
        match self {
            Kind::Epoll => "a hand-written single-threaded epoll loop, the limit",
            Kind::Mio => "a plain single-threaded loop on mio",
            Kind::Tokio => "tokio's current-thread runtime, a task for every connection",
            Kind::TokioMulti => "tokio's multi-thread runtime, a task for every connection",
            Kind::MessageIo => "message-io, a callback for every event",
            Kind::Libuv => "a C program on libuv, skipped where it cannot be built",
            Kind::Go => "a Go program, a goroutine for every connection; skipped where it cannot be built",
            Kind::Python => "Python's socketserver.ThreadingTCPServer, skipped where there is no python3",
            Kind::StdThreads => "std alone, a thread spawned for every connection",
            Kind::StdThreadsTimed => "the same with the read and write timeouts that socketserver has by default",
            Kind::Threading => "socketserver::ThreadingTcpServer with its defaults",
            Kind::ThreadingUntimed => "socketserver::ThreadingTcpServer without read and write timeouts",
            Kind::Sequential => "socketserver::TcpServer, one connection after the other",
            Kind::Reactor => "socketserver::ReactorTcpServer, one thread for all connections",
            Kind::Coroutine => {
                "socketserver::CoroutineTcpServer, a handler on a coroutine for each connection, on one thread"
            }
            Kind::UdpLoop => "a hand-written loop of recvfrom and sendto, the limit over UDP",
            Kind::UdpStd => "std's UdpSocket, recv_from and send_to",
            Kind::UdpTokio => "tokio's UdpSocket on the current-thread runtime",
            Kind::UdpSequential => "socketserver::UdpServer, one datagram after the other",
            Kind::UdpBatch => "socketserver::UdpServer with receive_batch(32), the feature recvmmsg",
            Kind::UdpThreading => "socketserver::ThreadingUdpServer, a thread for each datagram, reused",
            Kind::UdpReactor => "socketserver::ReactorUdp, a callback for each datagram",
            Kind::UdpForger => "a peer that sends forgeries before it answers, for udp-forged",
            Kind::UdpSlow => "socketserver::ThreadingUdpServer whose 32 threads are slow, and count, for udp-burst",
        }
    }

    /// How it is made, where it is a program of its own.
    pub const fn recipe(self) -> Option<&'static Recipe> {
        match self {
            Kind::Libuv => Some(&libuv::RECIPE),
            Kind::Go => Some(&go::RECIPE),
            Kind::Python => Some(&python::RECIPE),
            _ => None,
        }
    }

    /// Whether it is one of this crate's servers.
    pub const fn is_own(self) -> bool {
        matches!(
            self,
            Kind::Threading
                | Kind::ThreadingUntimed
                | Kind::Sequential
                | Kind::Reactor
                | Kind::Coroutine
                | Kind::UdpSequential
                | Kind::UdpBatch
                | Kind::UdpThreading
                | Kind::UdpReactor
                | Kind::UdpSlow
        )
    }

    pub const fn transport(self) -> Transport {
        match self {
            Kind::UdpLoop
            | Kind::UdpStd
            | Kind::UdpTokio
            | Kind::UdpSequential
            | Kind::UdpBatch
            | Kind::UdpThreading
            | Kind::UdpReactor
            | Kind::UdpForger
            | Kind::UdpSlow => Transport::Udp,
            _ => Transport::Tcp,
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

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(name: String) -> Result<Kind, String> {
        name.parse()
    }
}

impl From<Kind> for &'static str {
    fn from(kind: Kind) -> &'static str {
        kind.name()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Tcp => "TCP",
            Transport::Udp => "UDP",
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
    /// Where those servers are that are programs of their own.
    pub programs: Vec<(Kind, PathBuf)>,
}

impl Settings {
    pub fn program(&self, kind: Kind) -> Option<&Path> {
        let (_, folder) = self.programs.iter().find(|(program, _)| *program == kind)?;
        Some(folder)
    }
}

/// A server that listens.
struct Started {
    address: SocketAddr,
    /// Serves on this thread until the process is ended.
    serve: Box<dyn FnOnce() -> anyhow::Result<()>>,
}

/// What socketserver has. std's 128 is too few for a crowd, and would be what is measured.
const BACKLOG: i32 = 4096;

fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // To listen again sets the backlog anew.
    rustix::net::listen(&listener, BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// With the receive buffer that the system gives.
fn bind() -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

/// Serves until a signal ends the process, having said on standard output where.
///
/// On the process's only thread where it can be, as an event loop in C has it: in a process with several, the C library does more for each call that can
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
        Kind::TokioMulti => tokio::start_multi(settings)?,
        Kind::MessageIo => message_io::start()?,
        Kind::Libuv | Kind::Go | Kind::Python => return program::exec(kind, settings),
        Kind::StdThreads => std_threads::start(settings, false)?,
        Kind::StdThreadsTimed => std_threads::start(settings, true)?,
        Kind::Threading => socketserver::start_threading(settings, true)?,
        Kind::ThreadingUntimed => socketserver::start_threading(settings, false)?,
        Kind::Sequential => socketserver::start_sequential(settings)?,
        Kind::Reactor => socketserver::start_reactor(settings)?,
        Kind::Coroutine => socketserver::start_coroutine(settings)?,
        Kind::UdpLoop => udp_loop::start(settings)?,
        Kind::UdpStd => udp_std::start(settings)?,
        Kind::UdpTokio => tokio::start_udp(settings)?,
        Kind::UdpSequential => socketserver::start_udp_sequential()?,
        Kind::UdpBatch => socketserver::start_udp_batch()?,
        Kind::UdpThreading => socketserver::start_udp_threading()?,
        Kind::UdpReactor => socketserver::start_udp_reactor()?,
        Kind::UdpForger => udp_forger::start()?,
        Kind::UdpSlow => udp_slow::start()?,
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
        Kind::Coroutine => socketserver::time_coroutine_stop(),
        _ => anyhow::bail!("{} is not stopped from inside its process, so there is nothing to time", kind.name()),
    }
}
