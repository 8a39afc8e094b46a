//! Asks a web server for a page over a raw connection and prints what comes back, head and all, to the last byte.
//!
//! Shows: `tcp::connect`, one deadline for everything, reading to the end.
//!
//! Run: start `http_server`, then `cargo run --example http_get -- 127.0.0.1:10000 /numbers`, or with a network
//! `cargo run --example http_get -- example.com`. The port is HTTP's own, 80, unless it is given, and the path is `/`. Where
//! `--bare` takes the place of the path, it sends the shortest request there ever was, `GET ` and a line end. Without arguments it
//! asks 127.0.0.1:10000.
//!
//! Expect: the response as it came, `HTTP/1.1 200 OK` first, and exit code 0. Where nobody listens, nothing is answered, or the
//! whole takes more than 10 seconds, one line says so and the exit code is 1.
//!
//! Python's counterpart: the tutorials'
//! `sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())` with a loop over `recv(4096)` until
//! it is empty, and `settimeout(10.0)`, which is for each `recv`; and their `sock.send("GET \n".encode())`.

mod common;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::{ExampleResult, DEFAULT_ADDRESS};
use socketserver::{tcp, Connection, Error};

/// For all of it, the name's look-up included.
const TIMEOUT: Duration = Duration::from_secs(10);

const BARE: &str = "GET \n";

/// A request that has the server close when it has answered, so that the response is all that comes.
fn request_for(host: &str, path: &str) -> String {
    // Neither spaces nor line ends nor Korean can stand in the line; a server reads them back from this.
    let escape = |byte: u8| match byte.is_ascii_graphic() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    let path: String = path.bytes().map(escape).collect();
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

fn get(host: &str, request: &str) -> ExampleResult {
    let started = Instant::now();
    let has_port = host.contains(':') && !host.ends_with(']');
    let address = if has_port { host.to_owned() } else { format!("{host}:80") };
    let mut connection = tcp::connect(address.as_str(), TIMEOUT)?;
    // Not nothing, which would be no limit that a connection takes.
    connection.set_deadline(TIMEOUT.saturating_sub(started.elapsed()).max(Duration::from_millis(1)))?;
    match exchange(&mut connection, request) {
        Ok(0) => Err(format!("{address} closed the connection before it had answered").into()),
        Ok(_) => Ok(()),
        Err(error) if matches!(Error::of(&error), Some(Error::Timeout { .. })) => {
            Err(format!("{address} has not sent all of its response within {TIMEOUT:?}").into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the length of the response.
fn exchange(connection: &mut Connection, request: &str) -> io::Result<u64> {
    connection.write_all(request.as_bytes())?;
    let mut stdout = io::stdout().lock();
    let length = io::copy(connection, &mut stdout)?;
    stdout.flush()?;
    Ok(length)
}

fn main() -> ExitCode {
    let usage =
        format!("[HOST[:PORT] [PATH | --bare]]    (default {DEFAULT_ADDRESS} /, port 80; --bare sends {BARE:?} alone)");
    let path = |words: &[String]| match words {
        [] => Some(Some("/".to_owned())),
        [bare] if bare == "--bare" => Some(None),
        [path] if path.starts_with('/') => Some(Some(path.clone())),
        _ => None,
    };
    common::run_with_address_and("http_get", &usage, path, |host, path| match path {
        Some(path) => get(host, &request_for(host, &path)),
        None => get(host, BARE),
    })
}
