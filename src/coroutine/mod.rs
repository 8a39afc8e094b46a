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
//! # Threads, coroutines or protocols: which when
//! The same work on a machine with two processors (AMD EPYC, Linux 6.18), the server on one and the load on the other: processor time an
//! exchange, as a multiple of a hand-written epoll loop's in the same run, and resident memory an idle connection. tokio's current-thread runtime is
//! there to compare.
//!
//! | | [`ThreadingTcpServer`](crate::ThreadingTcpServer) | [`CoroutineTcpServer`] | [`ReactorTcpServer`](crate::ReactorTcpServer) | tokio |
//! |---|---|---|---|---|
//! | connect, 64-byte echo, close | 1.35 | 1.07 | 1.05 | 1.08 |
//! | 64-byte echo, 64 connections | 1.74 | 1.12 | 1.09 | 1.09 |
//! | 64-byte echo, 1,000 connections | 2.52 | 1.21 (to 1.32 in other runs) | 1.06 | 1.10 |
//! | 64 KiB echo, 16 connections | 1.17 | 1.07 | 1.10 | 1.09 |
//! | 10,000 idle connections, KiB each | 15 (of 4,000) | 9.5 | 0.5 | 4.8 |
//!
//! * **Threads** for handlers that compute, or call what blocks and cannot be told apart from what does not; for up to some hundreds of clients; where
//!   all processors are to work. One handler that misbehaves costs its thread.
//! * **Coroutines** for handlers that wait for their clients and for other servers, straight-line, with thousands of clients. A handler that computes
//!   or blocks holds up its loop, and a lock held across a wait can deadlock it.
//! * **Protocols** for tens of thousands of connections that are mostly idle, and for the least cost an exchange; at the price of callbacks, and of a
//!   state that one keeps by hand.
//!
//! # What suspends, and what holds the loop up
//! A coroutine runs on a stack of its own, on the thread of its event loop, until it waits; then the loop goes on with others. What waits so:
//!
//! * reading and writing a [`Connection`](crate::Connection) of the server's, its deadlines, its close, and waiting for the turn to write;
//! * [`tcp::connect`](crate::tcp::connect), and the connection that it returns in a handler, which lasts no longer than the server;
//! * the requests of a [`UdpClient`](crate::UdpClient), which may also go from one handler to the next, whatever loop or thread that is on;
//! * looking names up, in [`net`](crate::net) or to connect;
//! * [`sleep`], and [`unblock`] until its closure has run.
//!
//! Everything else that waits holds up all connections of the loop, as it would in a callback: `std::thread::sleep`, files, a socket of
//! std's, a channel, a computation. Such things belong in [`unblock`].
//!
//! There is one coroutine a request. What needs two, such as a proxy that copies in both directions at once, has a thread of its own for the
//! other: connections and [writers](crate::Connection::writer) can be used on any thread, and wait there as usual.
//!
//! A lock of std's that is held across a wait can hold the loop up for ever: another coroutine that wants it blocks the very thread on which the one
//! that has it would go on. Give it back first. Thread-locals are shared by all coroutines of a loop, and change under one who waits.
//!
//! A connection stays on its loop, and its coroutine on its thread. One that reads and writes without ever having to wait lets others have their
//! turn after 256 KiB or 16 operations, failed ones included. Only [`try_write`](crate::ConnectionWriter::try_write) never does: it may be called with
//! a lock held, as a broadcast does, and a loop of nothing else computes.
//!
//! # Stacks
//! Each coroutine has one, of [`stack_size`](crate::server::Builder::stack_size), of which only what is touched becomes memory, with a page
//! below it that must not be touched. A handler that overflows it (deep recursion, large arrays) ends the process with a message and SIGSEGV, rather than corrupt
//! memory. (For the message, the first such server of a process takes SIGSEGV and SIGBUS over; at the first that is no overflow, it gives
//! the signal back to who had it before. The message comes on the threads that std has started.) Those that are not used any more are kept for the next, 64 a loop and 16 MiB at the most; the memory
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
/// [`Error::Cut`](crate::Error::Cut), of the kind [`io::ErrorKind::ConnectionAborted`], where the request has been cut meanwhile, by its
/// server's stop. Never on a thread.
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
