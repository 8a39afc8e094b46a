//! What a stop does.
//!
//! [`ServerHandle::shutdown`] and [`shutdown_within`](ServerHandle::shutdown_within) may come from any thread: `ctrlc`'s, a handler's, another
//! server's; before the start, during it, twice. They never wait. They take effect within 10 ms, because the serving thread is woken and does not poll; or,
//! where a callback or a hook keeps that thread, within 50 ms, when the listening socket is closed over its head.
//!
//! # The order
//! 1. Connections that are in the kernel's queue already are taken, once, as far as there are places: they came before the stop. (Not where the serving
//!    thread is kept, as above.)
//! 2. The listening socket is closed: new clients are refused at once, and the port is free for a successor. The path of a Unix socket is unlinked, if it
//!    is still the server's own.
//! 3. Requests under way have the [`drain_timeout`](Builder::drain_timeout). A handler may look at [`ServerHandle::is_shutting_down`]. One that
//!    waits in [`await_request`](crate::Connection::await_request) is let go. A protocol is told by
//!    [`shutting_down`](Protocol::shutting_down), whose default closes; [`Framed`](crate::reactor::Framed) waits for the other half of a message
//!    first.
//! 4. What is left then is cut: its sockets are shut down under it, and its reads and writes fail with [`Error::Cut`], never with a clean end
//!    of file: half an upload must not look like a whole one.
//! 5. [`serve_forever`](crate::Server::serve_forever) returns a [`ShutdownReport`].
//!
//! With [`block_on_close(false)`](Builder::block_on_close) it returns after the second, and what is under way is left to itself. Datagrams have no sockets of
//! their own: they share the server's, which is closed when the last of them has ended, and what the fourth step does to them is that
//! [`reply`](crate::Datagram::reply) fails.
//!
//! # What becomes of a request
//! | which, at the drain deadline | is | in the report |
//! |---|---|---|
//! | has ended by itself since the stop | well | [`drained`](ShutdownReport::drained) |
//! | waits in `await_request` | told that there is none, a second after its last answer at the latest, and ends well | `drained` |
//! | reads or writes, on a thread or a coroutine | told by an error, and ends | [`abandoned`](ShutdownReport::abandoned) |
//! | waits on a coroutine, in `sleep`, `unblock`, `tcp::connect` or a request over UDP | the same | `abandoned` |
//! | goes on waiting on a coroutine, and ignores all errors | unwound, as by a panic | `abandoned` |
//! | computes, or waits for something else on a thread | left alone: nothing can end it but itself | `abandoned` and [`still_running`](ShutdownReport::still_running) |
//! | computes on a loop, as a callback or on a coroutine | the same, and so are all others of its loop meanwhile | `abandoned` and `still_running` |
//! | is a protocol's connection | closed with a reset; `connection_lost` says why | `abandoned` |
//!
//! ```
//! use std::time::Duration;
//! use socketserver::{handler_fn, Connection, Error, ThreadingTcpServer};
//! use std::io::Read;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let patient = handler_fn(|request: &mut Connection| {
//!     let error = request.read(&mut [0; 8]).err().ok_or("the client has said something")?;
//!     assert!(matches!(Error::of(&error), Some(Error::Cut { .. })));
//!     Ok(())
//! });
//! let server = ThreadingTcpServer::builder().drain_timeout(Duration::from_millis(50)).bind("127.0.0.1:0", patient)?;
//! let running = server.spawn()?;
//! let silent = std::net::TcpStream::connect(running.local_addr())?;
//! while running.handle().stats().active == 0 {
//!     std::thread::yield_now();
//! }
//! let report = running.stop()?; // shuts down, and waits for the end
//! assert_eq!((report.drained, report.abandoned, report.still_running), (0, 1, 0));
//! # drop(silent);
//! # Ok(()) }
//! ```
//!
//! # Clients that stay
//! Many clients keep their connection open from one request to the next. Nobody but the handler knows when there is none under way, so one that waits for
//! the next in a read has each stop take the whole drain timeout, and its client cut. With [`await_request`](crate::Connection::await_request)
//! the stop takes milliseconds, or a second from the last answer on, and half a request that has come is still served:
//!
//! ```
//! use std::io::{BufRead, Write};
//! use socketserver::{handler_fn, Connection, ThreadingTcpServer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let session = handler_fn(|request: &mut Connection| {
//!     let mut line = String::new();
//!     while request.await_request()? {
//!         request.read_line(&mut line)?;
//!         request.write_all(line.as_bytes())?;
//!         line.clear();
//!     }
//!     Ok(())
//! });
//! let running = ThreadingTcpServer::bind("127.0.0.1:0", session)?.spawn()?;
//! let mut client = Connection::from(std::net::TcpStream::connect(running.local_addr())?);
//! client.write_all(b"hello\n")?;
//! client.read_line(&mut String::new())?;
//! // It asks for nothing more, and stays.
//! let started = std::time::Instant::now();
//! assert!(running.stop()?.is_clean());
//! assert!(started.elapsed() < std::time::Duration::from_secs(5));
//! # drop(client);
//! # Ok(()) }
//! ```
//!
//! # Without a stop
//! A server or a [`Running`](crate::Running) that is dropped is stopped, and the drop waits only until the listening socket is closed. Requests under
//! way then have what the stop would give them, on threads of their own; a process that ends meanwhile ends them.
//!
//! # Signals
//! With the crate `ctrlc` and its feature `termination`, for SIGINT, SIGTERM and SIGHUP. Its closure runs on a thread of its own; within a signal
//! handler itself, such as one of sigaction(2), `shutdown` must not be called, because it takes a lock (signal-safety(7)):
//!
//! ```no_run
//! use socketserver::{handler_fn, Connection, ThreadingTcpServer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut server = ThreadingTcpServer::bind("127.0.0.1:4711", handler_fn(|_: &mut Connection| Ok(())))?;
//! let handle = server.handle();
//! ctrlc::set_handler(move || handle.shutdown())?;
//! let report = server.serve_forever()?;
//! if !report.is_clean() {
//!     eprintln!("{} requests were cut, {} still compute", report.abandoned, report.still_running);
//! }
//! # Ok(()) }
//! ```

#[allow(unused_imports)] // for the documentation
use crate::{server::Builder, Error, Protocol, ServerHandle, ShutdownReport};
