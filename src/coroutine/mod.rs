//! Blocking handlers at an event loop's cost: the very [`Handler`](crate::Handler) that [`ThreadingTcpServer`](crate::ThreadingTcpServer) runs
//! on threads, on coroutines over the [`reactor`](crate::reactor). In Python that is `socketserver` under gevent.
//!
//! ```
//! use socketserver::coroutine::CoroutineTcpServer;
//! use socketserver::{Connection, Handler, HandlerResult};
//! use std::io::{BufRead, Read, Write};
//!
//! #[derive(Clone)]
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn handle(&mut self, request: &mut Connection) -> HandlerResult {
//!         let mut line = String::new();
//!         while request.read_line(&mut line)? > 0 {
//!             request.write_all(line.as_bytes())?;
//!             line.clear();
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let running = CoroutineTcpServer::bind("127.0.0.1:0", Echo)?.spawn()?;
//!
//! let mut client = std::net::TcpStream::connect(running.local_addr())?;
//! client.write_all(b"hello\n")?;
//! let mut answer = [0; 6];
//! client.read_exact(&mut answer)?;
//! assert_eq!(&answer, b"hello\n");
//! drop(client);
//! assert!(running.stop()?.is_clean());
//! # Ok(()) }
//! ```
//!
//! # What suspends, and what holds the loop up
//! A coroutine runs on a stack of its own, on the thread of its event loop, until it waits; then the loop goes on with others. What waits so:
//!
//! * reading and writing a [`Connection`](crate::Connection) of the server's, its deadlines, its close, and waiting for the turn to write;
//! * [`tcp::connect`](crate::tcp::connect), and the connection that it returns in a handler, which lasts no longer than the server;
//! * [`sleep`], and [`unblock`] until its closure has run.
//!
//! Everything else that waits holds up all connections of the loop, as it would in a callback: `std::thread::sleep`, files, a socket of
//! std's, [`UdpClient`](crate::UdpClient), looking names up in [`net`](crate::net), a computation. Such things belong in [`unblock`].
//!
//! A lock of std's that is held across a wait can hold the loop up for ever: another coroutine that wants it blocks the very thread on which the one
//! that has it would go on. Give it back first. Thread-locals are shared by all coroutines of a loop, and change under one who waits.
//!
//! A connection stays on its loop, and its coroutine on its thread. One that reads and writes without ever having to wait lets others have their
//! turn after 256 KiB or 16 operations.
//!
//! # Stacks
//! Each coroutine has one, of [`stack_size`](crate::server::Builder::stack_size), of which only what is touched becomes memory, with a page
//! below it that must not be touched. A handler that overflows it (deep recursion, large arrays) ends the process with SIGSEGV, rather than corrupt
//! memory. Those that are not used any more are kept for the next, 64 a loop and 16 MiB at the most; the memory
//! of others is given back.
//!
//! # A stop
//! Handlers have the drain timeout, as on threads. Then their connections are cut, and whatever else they wait for fails too, with
//! [`ConnectionAborted`](std::io::ErrorKind::ConnectionAborted). One that goes on reading, writing or waiting after that is
//! unwound, as by a panic (which with `panic = "abort"` ends the process). One that computes, and does none of these, holds up the loop, and counts as
//! still running.
//!
//! A handler's `clone` must not wait: it runs under a lock, and waiting in it is an error. Nor can a `drop` wait that runs while a panic unwinds;
//! what it reads or writes then fails where it would have to wait.

mod server;

use std::io;
use std::time::{Duration, Instant};

#[cfg(unix)]
pub use server::CoroutineUnixServer;
pub use server::{CoroutineServer, CoroutineTcpServer, Coroutines};

pub use crate::task::unblock;

use crate::clock::after;
use crate::task;

/// Waits, so long. On a coroutine the loop goes on meanwhile; on a thread it is `std::thread::sleep`.
///
/// # Errors
/// [`io::ErrorKind::ConnectionAborted`] where the request has been cut meanwhile, by its server's stop. Never on a thread.
pub fn sleep(duration: Duration) -> io::Result<()> {
    let Some(task) = task::current() else {
        std::thread::sleep(duration);
        return Ok(());
    };
    let until = after(Instant::now(), duration);
    loop {
        match task::wait(&task, Some(until)) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Ok(()),
            Err(error) => return Err(error),
            // Woken for nothing, such as by a byte for its connection.
            Ok(()) if Instant::now() >= until => return Ok(()),
            Ok(()) => {}
        }
    }
}
