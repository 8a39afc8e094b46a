//! A tour of every server the crate has.
//!
//! Shows: one handler, unchanged, on each kind of server; the clients' side; `spawn`, `shutdown` and what they report.
//!
//! Run: `cargo run --example tour`. It needs no network and no free port in particular: it uses ports of the loopback
//! interface that the system chooses, and Unix sockets in a temporary folder that it removes.
//!
//! Expect: for each server a few lines of what was said and how the stop went, a last line that counts the servers, and
//! exit code 0. An answer other than the expected one is an error, with exit code 1.
//!
//! Python's counterpart: `run_server` in CPython's `test_socketserver.py`, which does the same to every class of `socketserver`.

mod common;

#[cfg(unix)]
use std::io::BufReader;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use common::ExampleResult;
use socketserver::server::{Dispatch, Listener};
use socketserver::{tcp, Connection, Handler, HandlerResult, Server, TcpServer, ThreadingTcpServer};
#[cfg(unix)]
use socketserver::{Address, ThreadingUnixStreamServer, UnixStreamServer};

/// Everything here happens within this machine; what takes so long has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The handler that all of them serve with: it counts the lines and sends them back in capitals.
#[derive(Clone)]
struct Shout {
    lines: usize,
}

impl Handler for Shout {
    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let mut line = String::new();
        while request.read_line(&mut line)? > 0 {
            self.lines += 1;
            write!(request, "{}: {}", self.lines, line.to_uppercase())?;
            line.clear();
        }
        Ok(())
    }
}

const SHOUT: Shout = Shout { lines: 0 };

/// A server to be visited. A new kind of server is one more entry in [`STOPS`].
struct Stop {
    server: &'static str,
    python: &'static str,
    /// Starts it, talks to it and stops it. The folder is for its files.
    visit: fn(&Path) -> ExampleResult,
}

const STOPS: &[Stop] = &[
    Stop {
        server: "TcpServer",
        python: "TCPServer: one client at a time",
        visit: |_| visit(TcpServer::bind("127.0.0.1:0", SHOUT)?, tcp_client, Clients::OneByOne),
    },
    Stop {
        server: "ThreadingTcpServer",
        python: "ThreadingTCPServer: a thread for each client",
        visit: |_| visit(ThreadingTcpServer::bind("127.0.0.1:0", SHOUT)?, tcp_client, Clients::AtOnce),
    },
    Stop {
        server: "ThreadingTcpServer::from_listener",
        python: "ThreadingTCPServer with a socket of systemd's",
        visit: |_| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            visit(ThreadingTcpServer::from_listener(listener, SHOUT)?, tcp_client, Clients::AtOnce)
        },
    },
    #[cfg(unix)]
    Stop {
        server: "UnixStreamServer",
        python: "UnixStreamServer: one client at a time",
        visit: |folder| visit(UnixStreamServer::bind(folder.join("one.sock"), SHOUT)?, unix_client, Clients::OneByOne),
    },
    #[cfg(unix)]
    Stop {
        server: "ThreadingUnixStreamServer",
        python: "ThreadingUnixStreamServer: a thread for each client",
        visit: |folder| {
            visit(ThreadingUnixStreamServer::bind(folder.join("many.sock"), SHOUT)?, unix_client, Clients::AtOnce)
        },
    },
];

/// Whether the second client comes while the first is still there.
enum Clients {
    OneByOne,
    AtOnce,
}

/// A connected client: sends a line and returns the line that answers it.
type Client = Box<dyn FnMut(&str) -> io::Result<String>>;

fn main() -> ExitCode {
    common::run("tour", || {
        let folder = tempfile::tempdir()?;
        for stop in STOPS {
            say(format_args!("{} (Python's {})", stop.server, stop.python))?;
            (stop.visit)(folder.path()).map_err(|error| format!("{}: {error}", stop.server))?;
            say("")?;
        }
        say(format_args!("{} servers visited, all stopped cleanly", STOPS.len()))?;
        Ok(())
    })
}

/// Serves on a thread of the server's own, has two clients talk to it, and stops it.
fn visit<L: Listener, D: Dispatch>(
    server: Server<L, D>,
    connect: fn(&L::Addr) -> io::Result<Client>,
    clients: Clients,
) -> ExampleResult {
    let running = server.spawn()?;
    let handle = running.handle();
    say(format_args!("  listening on {}", running.local_addr()))?;

    let mut first = connect(&running.local_addr())?;
    talk("first", &mut first, "hello", "1: HELLO")?;
    if matches!(clients, Clients::OneByOne) {
        // The second client would wait for as long as the first is there.
        talk("first", &mut first, "goodbye", "2: GOODBYE")?;
        drop(first);
        let mut second = connect(&running.local_addr())?;
        talk("second", &mut second, "안녕하세요, Grüße", "1: 안녕하세요, GRÜSSE")?;
        drop(second);
    } else {
        let mut second = connect(&running.local_addr())?;
        talk("second", &mut second, "안녕하세요, Grüße", "1: 안녕하세요, GRÜSSE")?;
        talk("first", &mut first, "goodbye", "2: GOODBYE")?;
        drop((first, second));
    }

    // Both clients have gone, so there is nothing that the drain would have to wait for.
    let report = running.stop()?;
    let stats = handle.stats();
    say(format_args!(
        "  stopped: {} requests served, {} failed; at the stop {} drained, {} abandoned, {} still running",
        stats.accepted, stats.handler_errors, report.drained, report.abandoned, report.still_running
    ))?;
    match report.is_clean() && stats.accepted == 2 && stats.handler_errors == 0 {
        true => Ok(()),
        false => Err("two requests should have been served, without an error".into()),
    }
}

fn talk(name: &str, client: &mut Client, line: &str, expected: &str) -> ExampleResult {
    let answer = client(line)?;
    say(format_args!("  {name:>6} client: {line}  ->  {}", answer.trim_end()))?;
    match answer.trim_end() == expected {
        true => Ok(()),
        false => Err(format!("answered {answer:?} to {line:?}, and should have answered {expected:?}").into()),
    }
}

fn tcp_client(address: &SocketAddr) -> io::Result<Client> {
    let mut connection = tcp::connect(*address, TIMEOUT)?;
    connection.set_deadline(TIMEOUT)?;
    Ok(Box::new(move |line| {
        writeln!(connection, "{line}")?;
        let mut answer = String::new();
        connection.read_line(&mut answer)?;
        Ok(answer)
    }))
}

#[cfg(unix)]
fn unix_client(address: &Address) -> io::Result<Client> {
    let path = address.as_path().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    Ok(Box::new(move |line| {
        stream.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        reader.read_line(&mut answer)?;
        Ok(answer)
    }))
}

/// A line on stdout; an error rather than `println!`'s panic where nobody reads it any more.
fn say(line: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout(), "{line}")
}
