//! Sends the lines of its input to an echo server and prints what comes back.
//!
//! Shows: `tcp::connect` with one deadline for everything, and that a client's `Connection` is what a handler gets too.
//!
//! Run: start one of the echo servers, then `cargo run --example tcp_echo_client -- 127.0.0.1:10000` and type, or
//! `printf 'hello\n' | cargo run --example tcp_echo_client`. The address may be left out, and may be a name: `localhost:10000`.
//!
//! Expect: `Received: hello` for each line; the end of the input (Ctrl-D) ends it with exit code 0. Where nobody listens,
//! or the server goes away, one line says so and the exit code is 1. The server's bytes are printed as they are, control characters too: to
//! show what a stranger sends, see `common/text.rs`.
//!
//! Python's counterpart: the TCP client in the documentation of `socketserver`, made with `socket.create_connection`.

mod common;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::time::Duration;

use socketserver::tcp;

fn main() -> ExitCode {
    common::run_with_address("tcp_echo_client", |address| {
        let mut connection = tcp::connect(address, Duration::from_secs(10))?;
        let mut stdin = io::stdin().lock();
        let mut stdout = io::stdout().lock();
        let mut line = Vec::new();
        let mut answer = Vec::new();
        loop {
            line.clear();
            if stdin.read_until(b'\n', &mut line)? == 0 {
                connection.close()?;
                return Ok(());
            }
            if !line.ends_with(b"\n") {
                line.push(b'\n');
            }
            connection.write_all(&line)?;

            answer.clear();
            connection.read_until(b'\n', &mut answer)?;
            if !answer.ends_with(b"\n") {
                return Err(format!("{} closed the connection before it had answered", connection.peer_addr()).into());
            }
            stdout.write_all(b"Received: ")?;
            stdout.write_all(&answer)?;
            stdout.flush()?;
        }
    })
}
