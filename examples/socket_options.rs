//! Sets the usual socket options on both ends of a connection, and shows what they were before and what the system has made of
//! them.
//!
//! Shows: `Connection::socket`, which has every option to be read and to be set, `set_nodelay`, `set_keepalive` and the like for
//! the usual ones, and the settings of a server's builder, which its connections begin with.
//!
//! Run: `cargo run --example socket_options`. It needs no network: the servers are threads of this program, on ports that the
//! system chooses.
//!
//! Expect: a line for each option with its four values, and exit code 0. TCP_NODELAY is on from the start, unlike Python's, and so
//! is a server's SO_REUSEADDR; Linux gives a buffer twice the size that it is asked for, for its own book-keeping.
//!
//! Python's counterpart: the tutorials' `sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)`, with SO_REUSEADDR, SO_RCVBUF,
//! SO_SNDBUF and TCP_NODELAY in its place, and `sock.getsockopt`.

mod common;

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use common::ExampleResult;
use socketserver::server::{Builder, Sequential};
use socketserver::tcp::{self, TcpListener};
use socketserver::{handler_fn, Connection, Keepalive, TcpServer};

/// Everything here happens within this machine; what takes so long has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

const BUFFER: usize = 8192;

type Options = [(&'static str, String); 5];

fn options(connection: &Connection) -> io::Result<Options> {
    let socket = connection.socket().ok_or(io::ErrorKind::Unsupported)?;
    let switch = |on| if on { "on" } else { "off" }.to_owned();
    Ok([
        ("SO_REUSEADDR", switch(socket.reuse_address()?)),
        ("SO_KEEPALIVE", switch(socket.keepalive()?)),
        ("SO_RCVBUF", socket.recv_buffer_size()?.to_string()),
        ("SO_SNDBUF", socket.send_buffer_size()?.to_string()),
        ("TCP_NODELAY", switch(socket.tcp_nodelay()?)),
    ])
}

/// A probe after a minute of silence, then one every ten seconds; three that are not answered end the connection.
fn keepalive() -> Keepalive {
    Keepalive::new(Duration::from_secs(60)).interval(Duration::from_secs(10)).retries(3)
}

fn set(connection: &Connection) -> io::Result<()> {
    // The usual ones the connection has itself; this one is meant for listening sockets, where the builder sets it.
    connection.socket().ok_or(io::ErrorKind::Unsupported)?.set_reuse_address(true)?;
    connection.set_keepalive(keepalive())?;
    connection.set_recv_buffer_size(BUFFER)?;
    connection.set_send_buffer_size(BUFFER)?;
    connection.set_nodelay(false)
}

/// Connects to a server with these settings. Returns the options of the client's end before and after [`set`], and of the server's.
fn connect_to(server: Builder<TcpListener, Sequential>) -> ExampleResult<[Options; 3]> {
    let (sender, receiver) = mpsc::channel();
    let handler = handler_fn(move |request: &mut Connection| Ok(sender.send(options(request)?)?));
    let running = server.bind("127.0.0.1:0", handler)?.spawn()?;
    let connection = tcp::connect(running.local_addr(), TIMEOUT)?;
    let before = options(&connection)?;
    set(&connection)?;
    let after = options(&connection)?;
    let accepted = receiver.recv_timeout(TIMEOUT)?;
    connection.close()?;
    running.stop()?;
    Ok([before, after, accepted])
}

fn row(name: impl Display, values: [&dyn Display; 4]) -> io::Result<()> {
    let [before, after, by_default, as_built] = values;
    common::say(format_args!("{name:<14}{before:>13}{after:>13}{by_default:>13}{as_built:>13}"))
}

fn main() -> ExitCode {
    common::run("socket_options", || {
        let [before, after, by_default] = connect_to(TcpServer::builder())?;
        let as_built = TcpServer::builder().reuse_address(false).keepalive(keepalive()).nodelay(false);
        let [_, _, as_built] = connect_to(as_built)?;

        row("", [&"client", &"client, set", &"server", &"server, set"])?;
        let server = by_default.into_iter().zip(as_built);
        for (((name, before), (_, after)), ((_, by_default), (_, as_built))) in
            before.into_iter().zip(after).zip(server)
        {
            row(name, [&before, &after, &by_default, &as_built])?;
        }
        Ok(())
    })
}
