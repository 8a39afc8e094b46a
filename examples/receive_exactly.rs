//! Receives exactly as many bytes as it wants, from a server that sends them in pieces, and shows what comes of it when the server
//! ends too early.
//!
//! Shows: `read_exact` on a `Connection`, and its error, which says how much had come.
//!
//! Run: `cargo run --example receive_exactly`. It needs no network: the server is a thread of this program. With an address and a
//! number of bytes, `cargo run --example receive_exactly -- 127.0.0.1:10000 5`, it receives them from the server there.
//!
//! Expect: `received 40 bytes: one piece, another, 그리고 한 조각`, then `127.0.0.1:40000 ended after 4 of 10 bytes`, and exit code 0.
//! With an address, the first of these lines; where less comes, or nothing for 10 seconds, one line says so and the exit code is 1.
//!
//! Python's counterpart: the `recv_all(sock, length)` of the tutorials, a loop over `recv(length - len(data))` with a
//! `ConnectionError` where that is empty.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use common::text::shown;
use common::{say, ExampleResult};
use socketserver::{handler_fn, tcp, Connection, HandlerResult, TcpServer};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes that it can be told to receive; they are kept in memory.
const MOST: usize = 16 * 1024 * 1024;

const MESSAGE: &str = "one piece, another, 그리고 한 조각";

fn receive_exactly(connection: &mut Connection, count: usize) -> ExampleResult {
    let mut bytes = vec![0; count];
    connection.read_exact(&mut bytes)?;
    say(format_args!("received {count} bytes: {}", shown(&String::from_utf8_lossy(&bytes))))?;
    Ok(())
}

/// Sends the message in pieces, with characters cut in two, and then less than it should.
fn in_pieces(request: &mut Connection) -> HandlerResult {
    for piece in MESSAGE.as_bytes().chunks(5) {
        request.write_all(piece)?;
        // Long enough for the client to see the piece before the next one has come.
        thread::sleep(Duration::from_millis(20));
    }
    Ok(request.write_all(b"four")?)
}

fn by_itself() -> ExampleResult {
    let running = TcpServer::bind("127.0.0.1:0", handler_fn(in_pieces))?.spawn()?;
    let mut connection = tcp::connect(running.local_addr(), TIMEOUT)?;
    connection.set_read_timeout(TIMEOUT)?;
    receive_exactly(&mut connection, MESSAGE.len())?;
    match connection.read_exact(&mut [0; 10]) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => say(error)?,
        Err(error) => return Err(error.into()),
        Ok(()) => return Err("more has come than the server has sent".into()),
    }
    drop(connection);
    running.stop()?;
    Ok(())
}

fn receive_from(address: &str, count: usize) -> ExampleResult {
    let mut connection = tcp::connect(address, TIMEOUT)?;
    connection.set_read_timeout(TIMEOUT)?;
    receive_exactly(&mut connection, count)?;
    connection.close()?;
    Ok(())
}

fn main() -> ExitCode {
    let usage = format!("[ADDRESS COUNT]    (default: a server of its own; COUNT is at most {MOST})");
    common::run_with_arguments("receive_exactly", &usage, |arguments| match arguments {
        [] => Some(by_itself()),
        [address, count] if !address.starts_with('-') => {
            let count = count.parse().ok().filter(|count| *count <= MOST)?;
            Some(receive_from(address, count))
        }
        _ => None,
    })
}
