//! A small HTTP server to try `http_get` on, and browsers: a page at `/`, one of a mebibyte and more at `/numbers`, and a plain
//! word for everything else.
//!
//! Shows: a protocol of lines with every length bounded (`set_max_line`), errors that become answers, and a deadline that cuts
//! whoever sends his request a byte at a time.
//!
//! Run: `cargo run --example http_server -- 127.0.0.1:10000`, and in another terminal
//! `cargo run --example http_get -- 127.0.0.1:10000`. The address may be left out.
//!
//! Expect: `listening on 127.0.0.1:10000`, then a line for each client whose request or whose reading of the answer has not ended
//! within 5 seconds, or who vanishes. Ctrl-C or SIGTERM ends it with exit code 0.
//!
//! Python's counterpart: `http.server`, a `BaseHTTPRequestHandler` on `ThreadingHTTPServer`, without its files; and the servers on
//! the internet that the tutorials' clients ask. It takes the bare `GET ` of one of those as well as HTTP/1.1, and closes after
//! each answer.

mod common;

use std::borrow::Cow;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use socketserver::framing::FramingError;
use socketserver::{handler_fn, Connection, Error, HandlerResult, ThreadingTcpServer};

/// From the connection's acceptance to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The longest line of a request, in bytes, and the most header lines: what there can be of a request's head is 800 KiB, of which one line is kept.
const MAX_LINE: usize = 8 * 1024;
const MAX_HEADERS: usize = 100;

const OK: &str = "200 OK";
const BAD_REQUEST: &str = "400 Bad Request";
const NOT_FOUND: &str = "404 Not Found";
const NOT_ALLOWED: &str = "405 Method Not Allowed";
const TOO_LARGE: &str = "431 Request Header Fields Too Large";

struct Request {
    path: String,
    /// Whether the answer's head alone is wanted.
    head_only: bool,
}

/// Why there is no `Request`.
enum Trouble {
    /// The client has gone, or is too slow to be told anything.
    Lost(io::Error),
    /// What to tell him.
    Status(&'static str),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match Error::of(&error) {
            Some(Error::Framing { source: FramingError::LineTooLong { .. }, .. }) => Trouble::Status(TOO_LARGE),
            _ => Trouble::Lost(error),
        }
    }
}

/// Reads a request, but for its body; `None` where the client has ended without one.
fn read_request(connection: &mut Connection) -> Result<Option<Request>, Trouble> {
    connection.set_max_line(MAX_LINE);
    let Some(line) = read_line(connection)? else { return Ok(None) };
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let (method, path) = match *words {
        // As HTTP was before it had versions: no header follows, nor an empty line.
        ["GET"] => ("GET", "/"),
        ["GET", path] => ("GET", path),
        [method, path, version] if version.starts_with("HTTP/1.") => {
            let has_host = read_headers(connection)?;
            if version == "HTTP/1.1" && !has_host {
                return Err(Trouble::Status(BAD_REQUEST));
            }
            (method, path)
        }
        _ => return Err(Trouble::Status(BAD_REQUEST)),
    };
    if !path.starts_with('/') || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Trouble::Status(BAD_REQUEST));
    }
    match method {
        "GET" | "HEAD" => Ok(Some(Request { path: path.to_owned(), head_only: method == "HEAD" })),
        _ => Err(Trouble::Status(NOT_ALLOWED)),
    }
}

/// Reads to the empty line. Returns whether there was a `Host` among the headers, which is all that is asked of them here.
fn read_headers(connection: &mut Connection) -> Result<bool, Trouble> {
    let mut has_host = false;
    for _ in 0..=MAX_HEADERS {
        let line = read_line(connection)?.ok_or(Trouble::Status(BAD_REQUEST))?;
        if line.is_empty() {
            return Ok(has_host);
        }
        match line.split_once(':') {
            Some((name, _)) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                has_host |= name.eq_ignore_ascii_case("host");
            }
            _ => return Err(Trouble::Status(BAD_REQUEST)),
        }
    }
    Err(Trouble::Status(TOO_LARGE))
}

/// A line without its end; `None` where the client has ended.
fn read_line(connection: &mut Connection) -> Result<Option<String>, Trouble> {
    let mut line = Vec::new();
    if connection.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    // What the values of headers may have in them beside ASCII is of no interest.
    let line = String::from_utf8_lossy(&line);
    let line = line.strip_suffix('\n').ok_or(Trouble::Status(BAD_REQUEST))?;
    Ok(Some(line.strip_suffix('\r').unwrap_or(line).to_owned()))
}

fn page(path: &str) -> Option<&'static str> {
    // Written once, not while the time of each client runs.
    static NUMBERS: OnceLock<String> = OnceLock::new();
    match path.split('?').next() {
        Some("/") => Some("Hello from a socket server.\n소켓 서버가 인사드립니다.\n"),
        Some("/numbers") => Some(NUMBERS.get_or_init(|| (1..=200_000).map(|number| format!("{number}\n")).collect())),
        _ => None,
    }
}

/// The page of who is not given one.
fn told(status: &str) -> Cow<'static, str> {
    format!("{status}\n").into()
}

fn serve(connection: &mut Connection) -> HandlerResult {
    let (status, body, head_only) = match read_request(connection) {
        Ok(None) => return Ok(()),
        Ok(Some(request)) => match page(&request.path) {
            Some(page) => (OK, page.into(), request.head_only),
            None => (NOT_FOUND, told(NOT_FOUND), request.head_only),
        },
        Err(Trouble::Status(status)) => (status, told(status), false),
        Err(Trouble::Lost(error)) => return Err(error.into()),
    };
    let mut answer = format!(
        "HTTP/1.1 {status}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n",
        body.len()
    );
    if status == NOT_ALLOWED {
        answer.push_str("Allow: GET, HEAD\r\n");
    }
    answer.push_str("\r\n");
    if !head_only {
        answer.push_str(&body);
    }
    Ok(connection.write_all(answer.as_bytes())?)
}

fn main() -> ExitCode {
    common::run_with_address("http_server", |address| {
        let mut server = ThreadingTcpServer::builder()
            .max_connections(256)
            .request_deadline(DEADLINE)
            .handle_error(common::complain_of)
            .bind(address, handler_fn(serve))?;
        common::stop_on_signals(server.handle())?;
        common::announce(server.local_addr())?;
        common::farewell(server.serve_forever()?);
        Ok(())
    })
}
