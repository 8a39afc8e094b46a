//! Runs into the timeouts of connecting, reading and writing and into the total one, and shows what their errors say.
//!
//! Shows: `tcp::connect` with its timeout, the timeouts of reading and writing, which are for no progress at all, `set_deadline`,
//! which is for everything together, and how a program tells them apart.
//!
//! Run: `cargo run --example timeouts`. It needs no network: the servers that do not answer are its own. With an address,
//! `cargo run --example timeouts -- 127.0.0.1:10000`, it asks nothing of the server there and waits for what that says.
//!
//! Expect: a line for each timeout, within two seconds, and exit code 0. With an address, three lines: connected, and what reading
//! came to within a second and within two; where nobody listens, one line says so and the exit code is 1.
//!
//! Python's counterpart: the tutorials' `sock.settimeout(5.0)` with `except socket.timeout`, which is one timeout for whatever is
//! waited for and begins anew with each `recv`, so that a server which sends a byte now and then is never given up.

mod common;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use common::{say, ExampleResult};
use socketserver::mio::net::TcpStream;
use socketserver::socket2::{Domain, Socket, Type};
use socketserver::{handler_fn, tcp, Connection, Error, HandlerResult, Phase, ThreadingTcpServer};

/// Everything here happens within this machine, where a server that answers does so at once.
const SHORT: Duration = Duration::from_millis(200);
const TOTAL: Duration = Duration::from_millis(500);

/// For a server anywhere.
const CONNECT: Duration = Duration::from_secs(5);
const READ: Duration = Duration::from_secs(1);
const READ_TO_END: Duration = Duration::from_secs(2);

/// More than the system takes for a peer that does not read.
const TOO_MUCH: usize = 64 * 1024 * 1024;

fn main() -> ExitCode {
    common::run_with_arguments("timeouts", "[ADDRESS]    (default: servers of its own)", |arguments| match arguments {
        [] => Some(by_itself()),
        [address] if !address.starts_with('-') => Some(against(address)),
        _ => None,
    })
}

fn by_itself() -> ExampleResult {
    let (_listener, _waiting, full) = full()?;
    expect(Phase::Connect, "connect", tcp::connect(full, SHORT).map(drop).map_err(io::Error::from))?;

    // Connections are made by the system; of a server that does not accept them, nothing is to be seen but that it is silent.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let mut connection = tcp::connect(silent.local_addr()?, CONNECT)?;
    connection.set_read_timeout(SHORT)?;
    expect(Phase::Read, "read", connection.read(&mut [0; 1]).map(drop))?;
    connection.set_write_timeout(SHORT)?;
    expect(Phase::Write, "write", connection.write_all(&vec![0; TOO_MUCH]))?;

    let running = ThreadingTcpServer::builder()
        .handle_error(|_| {}) // It sends until its client has gone.
        .bind("127.0.0.1:0", handler_fn(dribble))?
        .spawn()?;
    // The timeout of its reads never runs out: something comes all the time.
    let mut connection = tcp::connect(running.local_addr(), CONNECT)?;
    connection.set_deadline(TOTAL)?;
    expect(Phase::Request, "read to the end", connection.read_to_end(&mut Vec::new()).map(drop))?;
    drop(connection);
    running.stop()?;
    Ok(())
}

/// A listening socket whose queue is full, those who wait in it, and its address: on Linux, who comes now is left without an answer.
fn full() -> io::Result<(Socket, Vec<TcpStream>, SocketAddr)> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    listener.listen(0)?;
    let address = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    let waiting = (0..4).map(|_| Ok(tcp::connect_nonblocking(address)?)).collect::<io::Result<_>>()?;
    Ok((listener, waiting, address))
}

/// A server that takes its time.
fn dribble(request: &mut Connection) -> HandlerResult {
    loop {
        request.write_all(b".")?;
        thread::sleep(SHORT / 4);
    }
}

fn expect(phase: Phase, what: &str, result: io::Result<()>) -> ExampleResult {
    match result {
        Err(error) if timed_out(&error) == Some(phase) => Ok(say(format_args!("{what}: {error}"))?),
        Err(error) => Err(format!("{what} should have timed out: {error}").into()),
        Ok(()) => Err(format!("{what} should have timed out").into()),
    }
}

/// What was waited for, where that took too long. Who need not know asks for `error.kind()`, which is `TimedOut` then.
fn timed_out(error: &io::Error) -> Option<Phase> {
    match Error::of(error) {
        Some(Error::Timeout { phase, .. }) => Some(*phase),
        _ => None,
    }
}

fn against(address: &str) -> ExampleResult {
    let mut connection = tcp::connect(address, CONNECT)?;
    say(format_args!("connect: connected to {}", connection.peer_addr()))?;
    connection.set_read_timeout(READ)?;
    tell("read", connection.read(&mut [0; 4096]).map(|length| length as u64))?;
    connection.set_deadline(READ_TO_END)?;
    connection.set_read_timeout(None)?;
    tell("read to the end", io::copy(&mut connection, &mut io::sink()))
}

fn tell(what: &str, result: io::Result<u64>) -> ExampleResult {
    match result {
        Ok(length) => Ok(say(format_args!("{what}: {length} bytes"))?),
        // The connection is as good as before: what comes later can still be read.
        Err(error) if timed_out(&error).is_some() => Ok(say(format_args!("{what}: {error}"))?),
        Err(error) => Err(error.into()),
    }
}
