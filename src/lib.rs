//! Python's `socketserver` for Rust: write one [`Handler`], pick a server, and it serves.
//!
//! ```
//! use socketserver::{Connection, Handler, HandlerResult, ThreadingTcpServer};
//! use std::io::{BufRead, Write};
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
//! fn main() -> socketserver::Result<()> {
//!     let mut server = ThreadingTcpServer::bind("127.0.0.1:0", Echo)?;
//!     println!("listening on {}", server.local_addr());
//!     # server.handle().shutdown(); // or this example would never end
//!     server.serve_forever()?;
//!     Ok(())
//! }
//! ```
//!
//! # Which server
//! | | one client at a time | a thread for each client | a coroutine for each client | callbacks |
//! |---|---|---|---|---|
//! | TCP | [`TcpServer`] | [`ThreadingTcpServer`] | `CoroutineTcpServer` | [`ReactorTcpServer`] |
//! | Unix socket | `UnixStreamServer` | `ThreadingUnixStreamServer` | `CoroutineUnixServer` | `ReactorUnixServer` |
//! | UDP | [`UdpServer`] | [`ThreadingUdpServer`] | | [`ReactorUdp`] |
//! | Unix datagram socket | `UnixDatagramServer` | `ThreadingUnixDatagramServer` | | |
//!
//! The same handler serves on all stream servers of the first three columns: a [`Connection`] is one type, whatever lies
//! under it. Datagram servers take a handler of [`Datagram`]s. A
//! sequential server suits requests that take no time, or that must not run side by side; one slow client holds up all
//! others. A threading server suits nearly everything else, up to some thousands of clients at once: threads are reused,
//! and there are never more than [`max_connections`](server::Builder::max_connections).
//!
//! An event-driven server runs a [`Protocol`] instead of a handler: callbacks that never wait. It suits very many clients
//! that are mostly idle (half a KiB each, where a thread takes fifteen), and exchanges so short that switching threads would
//! cost more than they do. It does not suit callbacks that compute for long or call what blocks: they hold all others up. For
//! loops of your own there is the [`Selector`](reactor::Selector). See [`reactor`].
//!
//! With the feature `coroutine`, the handlers of threading servers run unchanged on coroutines over such an event loop, at nearly its
//! cost. The page of the module `coroutine` says which of the three when.
//!
//! A blocking server is a [listener](server::Listener) composed with a [dispatch strategy](server::Dispatch), and you can
//! bring either of your own: see [`server`].
//!
//! # From Python
//! The gist; [`porting`] goes through Python's `socketserver`, `selectors`, `socket` and the networking half of `asyncio` word by word, says
//! what is different, and has programs side by side.
//!
//! | Python | here |
//! |---|---|
//! | `BaseRequestHandler.setup`, `handle`, `finish` | [`Handler`] |
//! | `self.request`, `self.rfile`, `self.wfile` | [`Connection`] |
//! | `self.request` of a datagram server | [`Datagram`] |
//! | `self.client_address`, `self.server` | [`peer_addr`](Connection::peer_addr), [`server`](Connection::server) |
//! | `serve_forever`, `handle_request`, `shutdown` | [`Server::serve_forever`], [`Server::handle_request`], [`ServerHandle::shutdown`] |
//! | `server_close`, `with` | drop |
//! | `verify_request`, `handle_error`, `handle_timeout`, `service_actions` | hooks of the [`Builder`](server::Builder), same names |
//! | `request_queue_size`, `allow_reuse_address`, `allow_reuse_port` | `backlog`, `reuse_address`, `reuse_port` |
//! | `ThreadingMixIn`, overriding `process_request` | [`server::Threading`], [`server::Dispatch`] |
//! | overriding `get_request` | [`server::Listener`] |
//! | `socket.create_connection` | [`tcp::connect`] |
//! | a connected `SOCK_DGRAM` socket, `settimeout` and a loop of retries | [`UdpClient`] |
//! | `selectors.DefaultSelector` | [`reactor::Selector`] |
//! | `asyncio.Protocol`, `Transport`, `loop.create_server` | [`Protocol`], [`Transport`], [`ReactorTcpServer`] |
//! | `connect_ex` on a non-blocking socket | [`tcp::connect_nonblocking`] |
//! | `getaddrinfo`, `gethostbyname`, `getservbyname`, … | [`net`] |
//! | `ForkingMixIn` | none: a forked child has only one of its parent's threads, and locks that the others held stay locked. For several processes, start them as such and let them share a port with [`reuse_port`](server::Builder::reuse_port). |
//!
//! # Limits
//! Every wait has an end and every queue a bound, unless you say otherwise:
//!
//! | | default | set by |
//! |---|---|---|
//! | requests at once | 1 sequential; 1,024 threading, 10,000 event-driven and with coroutines, or the descriptor limit less 64 | [`max_connections`](server::Builder::max_connections) |
//! | more than that | wait in the kernel's queue | [`overload`](server::Builder::overload) |
//! | that queue | 4,096 clients, or the kernel's own limit | [`backlog`](server::Builder::backlog) |
//! | a read without progress | 60 s | [`read_timeout`](server::Builder::read_timeout) |
//! | a write without progress | 30 s | [`write_timeout`](server::Builder::write_timeout) |
//! | a whole request, which is the whole connection | none | [`request_deadline`](server::Builder::request_deadline); for one command of a session [`set_deadline`](Connection::set_deadline) |
//! | the stack of a coroutine; closures of `unblock` at once in a process | 256 KiB; 64, more wait | `stack_size` |
//! | a line, a frame | 64 KiB, 1 MiB | [`max_line`](server::Builder::max_line), [`max_frame`](server::Builder::max_frame) |
//! | what may wait for a slow peer of a broadcast | 256 KiB | [`write_queue`](server::Builder::write_queue) |
//! | what may wait to be sent to a peer of an event-driven server | 1 MiB, paused above 64 KiB | [`write_buffer_hard_limit`](server::Builder::write_buffer_hard_limit), [`write_buffer_limits`](server::Builder::write_buffer_limits) |
//! | requests of one address at once | none | [`max_per_address`](server::Builder::max_per_address) |
//! | requests under way at a stop | 10 s, then their sockets are shut down | [`drain_timeout`](server::Builder::drain_timeout) |
//! | a datagram | 65,535 bytes, which is all; where less is allowed, longer ones are dropped and counted | [`max_packet_size`](server::Builder::max_packet_size) |
//! | datagrams that wait for a thread | over UDP 1,024, then they are dropped and counted; on a Unix socket none, and the sender waits | [`queue`](server::Builder::queue) |
//! | an answer to a datagram that finds no room | waits for 1 ms over UDP, 100 ms on a Unix socket | [`reply_timeout`](server::Builder::reply_timeout) |
//! | a request over UDP | 5 s, in which it is sent up to four times | [`UdpClient`] |
//!
//! # Stopping
//! [`ServerHandle::shutdown`] can be called on any thread and takes effect at once. The listener closes; requests under way
//! go on for up to the drain timeout (a handler can look at [`ServerHandle::is_shutting_down`], and one that waits in
//! [`Connection::await_request`] for the next request is let go); then their sockets are shut down, so that reads and writes fail with [`Error::Cut`]. [`serve_forever`](Server::serve_forever) returns a
//! [`ShutdownReport`] of how that went. A protocol is told ([`Protocol::shutting_down`]), and closes its connection unless it has
//! work under way.
//!
//! ```
//! # use socketserver::{handler_fn, Connection, ThreadingTcpServer};
//! # fn main() -> socketserver::Result<()> {
//! # let server = ThreadingTcpServer::bind("127.0.0.1:0", handler_fn(|_: &mut Connection| Ok(())))?;
//! let handle = server.handle(); // for a handler, another thread, the closure that `ctrlc` calls
//! let running = server.spawn()?; // serve_forever on a thread of its own
//! handle.shutdown();
//! let report = running.join()?;
//! assert_eq!(report.abandoned, 0);
//! # Ok(()) }
//! ```
//!
//! # Trouble
//! An error or a panic in a handler or a hook ends that request alone; it is told to
//! [`handle_error`](server::Builder::handle_error), or without such a hook to the [`log`](https://docs.rs/log). Shortages (of descriptors, memory,
//! threads) make the server back off and try again; they never end it. A failed accept is logged, and a client for whom there is no thread is
//! told to `handle_error`. All of it is counted ([`ServerHandle::stats`]), and recurring trouble is logged once a second. With
//! `panic = "abort"` a panic ends the process, as it must.
//!
//! # More
//! The [`guide`] has the life of a request, the reason for each default, what a stop does step by step, how to test a handler, and deploying:
//! systemd, load balancers, several processes on one port.
//!
//! # Features
//! None is on by default, and none changes what the rest does.
//! * `coroutine`: the module of that name, with `CoroutineTcpServer`. It brings `corosensei` and `nix`, and the only `unsafe` of this crate, a few
//!   blocks in one module; without it, `unsafe` is forbidden.
//! * `dns-lookup`: reverse look-ups in [`net`], and the host name on systems that keep it in no file.
//! * `recvmmsg`: a UDP server may receive several datagrams by one system call (`receive_batch` of its builder). Linux.
#![cfg_attr(not(feature = "coroutine"), forbid(unsafe_code))]
#![cfg_attr(feature = "coroutine", deny(unsafe_code))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod clock;
mod connection;
mod control;
#[cfg(feature = "coroutine")]
#[cfg_attr(docsrs, doc(cfg(feature = "coroutine")))]
pub mod coroutine;
mod datagram;
mod error;
pub mod framing;
pub mod guide;
mod handler;
pub mod net;
mod poller;
pub mod porting;
pub mod reactor;
pub mod server;
mod socket_listener;
mod socket_stream;
mod stream;
mod sync;
mod sys;
#[cfg(feature = "coroutine")]
mod task;
pub mod tcp;
pub mod udp;
#[cfg(unix)]
pub mod unix;

pub use address::Address;
pub use connection::{Connection, ConnectionWriter, Keepalive, RequestContext};
pub use control::{ServerHandle, ShutdownReport, Stats};
#[cfg(feature = "coroutine")]
#[cfg_attr(docsrs, doc(cfg(feature = "coroutine")))]
pub use coroutine::CoroutineTcpServer;
#[cfg(all(feature = "coroutine", unix))]
#[cfg_attr(docsrs, doc(cfg(feature = "coroutine")))]
pub use coroutine::CoroutineUnixServer;
pub use datagram::Datagram;
pub use error::{Error, Phase, Result};
pub use handler::{handler_fn, Handler, HandlerFn, HandlerResult};
#[cfg(unix)]
pub use reactor::ReactorUnixServer;
pub use reactor::{
    DatagramProtocol, DatagramTransport, Protocol, ReactorTcpServer, ReactorUdp, Transport, TransportHandle,
};
pub use server::{Cause, Failure, Handled, Overload, Running, Server, Stage};
pub use stream::{Stream, Wait};
// Their types are part of this crate's interface.
pub use tcp::{TcpServer, ThreadingTcpServer};
pub use udp::{ThreadingUdpServer, UdpClient, UdpServer};
#[cfg(unix)]
pub use unix::{ThreadingUnixDatagramServer, ThreadingUnixStreamServer, UnixDatagramServer, UnixStreamServer};
pub use {mio, socket2};

/// The examples in README.md, compiled and run as those in the documentation are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
