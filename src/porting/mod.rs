//! From Python to this crate: Python's classes, methods, attributes and idioms on the left, what to write here on the right.
//!
//! A page for each of Python's modules, in the order of its documentation, with programs side by side:
//!
//! * [`socketserver`]: every class, method and attribute; both kinds of request; the mix-ins
//! * [`selectors`], with `select.select`, `poll` and `epoll`
//! * [`socket`]: connecting, listening, reading, writing, timeouts, options, names
//! * [`asyncio`]: protocols, transports, servers, streams
//!
//! The search box above knows Python's words: `wfile`, `recv_into`, `EVENT_READ`, `call_soon_threadsafe` lead to these pages. *None* in a
//! table means that there is no counterpart, and says what to do instead.
//!
//! # What is different everywhere
//! * **A stop is immediate.** [`ServerHandle::shutdown`] does not poll, does not wait and cannot deadlock, whoever calls it and whenever;
//!   requests under way get [`drain_timeout`](Builder::drain_timeout), then they are cut. To wait for the end, [`Running::join`] or
//!   [`Running::stop`]. A server serves once: after a stop, bind a new one.
//! * **Defaults are finite.** Python waits for ever and queues without limit unless told otherwise; here "for ever" has to be said
//!   (`read_timeout(None)`). The [table](crate#limits) has all limits.
//! * **Deadlines are total where Python's timeouts are for each call.** A timeout is for a wait without progress;
//!   [`request_deadline`](Builder::request_deadline) and [`Connection::set_deadline`] end everything together, however slowly it
//!   trickles. [`tcp::connect`] has one deadline for the look-up and all addresses, a [`UdpClient`] one for all repetitions.
//! * **Each request has a handler of its own**, a clone of the one given to `bind`. So `&mut self` is private to the request, what
//!   `setup` puts into a field is there in `handle`, and what requests share is an [`Arc`](std::sync::Arc) in a field. Where Python sets
//!   attributes on `self.server`, the shared field takes their place.
//! * **Errors are returned, not raised, and told once**: `?` hands them up, `handle_error` or the [`log`](https://docs.rs/log) is told of each that ends a
//!   request, and no error or panic of a handler or a hook ends the server.
//! * **An end of file is an end of file.** A connection that the server's stop has cut says [`Error::Cut`], not a clean end; after a write
//!   that failed half-way, later ones fail too ([`Error::Poisoned`]). A client whose answer was cut half-way sees a reset: from an
//!   event-driven server always, from the others where unsent bytes are thrown away.
//! * **No `""` for all interfaces**: an address is text such as `"0.0.0.0:80"`, `"[::]:80"` or `"localhost:80"`, or a pair
//!   `("localhost", 80)`, and an empty host is an error. `[::]` is IPv6 alone unless [`dual_stack`](Builder::dual_stack) is on. See
//!   [`ToEndpoint`](crate::net::ToEndpoint).
//! * **Datagrams are never cut**, and nothing is answered unless a handler says so.
//! * **Other defaults of the sockets**: TCP_NODELAY is on, SO_REUSEADDR too (TCP only), and the kernel's queue is 4,096 rather than 5. A
//!   Unix socket has mode 0600, and its path is unlinked at the stop.
//! * **No fork.** A forked child has only one of its parent's threads, and locks that the others held stay locked. For several processes,
//!   start them as such and let them share the port with [`reuse_port`](Builder::reuse_port).
//! * **No `async`.** A handler blocks, on a thread of its own or not; a protocol is called back and never waits.
//!
//! # Idioms
//! | Python | here |
//! |---|---|
//! | `with socketserver.TCPServer(…) as server:` | `let mut server = TcpServer::bind(…)?;`: whatever goes out of scope closes itself |
//! | `threading.Thread(target=server.serve_forever, daemon=True).start()` | [`Server::spawn`], which gives a [`Running`] |
//! | `server.shutdown(); thread.join(); server.server_close()` | [`Running::stop`] |
//! | `except KeyboardInterrupt:` around `serve_forever()` | none in std or here. With the crate `ctrlc`: `let handle = server.handle(); ctrlc::set_handler(move \|\| handle.shutdown())?;` |
//! | `server.server_address[1]` after binding port 0 | `server.local_addr().port()` |
//! | `"…".encode()`, `data.decode()` | `"…".as_bytes()`, [`framing::utf8`](fn@crate::framing::utf8). [`Connection::read_line`] decodes whole lines, so no character is cut in two |
//! | `data.decode(errors="replace")` | [`String::from_utf8_lossy`] |
//! | `struct.pack("!I", n)`, `struct.unpack("!I", …)` | `n.to_be_bytes()`, `u32::from_be_bytes(…)`; for length-prefixed messages [`Connection::write_frame`] and [`Connection::read_frame`] |
//! | `if not data: break` after `recv` | `Ok(0)` from [`Connection::read`]; 0 from [`Connection::read_line`] |
//! | `print(…)`, `traceback.print_exc()` in a server | the [`log`](https://docs.rs/log) crate with a logger of your choice; without one nothing is printed |
//!
//! # Exceptions
//! Binding, connecting and serving return an [`Error`], reading and writing an [`std::io::Error`], whose
//! [`kind`](std::io::Error::kind) is below. [`Error::of`] finds the first within the second; `?` makes the second of the first. `errno` is
//! [`raw_os_error`](std::io::Error::raw_os_error).
//!
//! | Python | here |
//! |---|---|
//! | `OSError`, `socket.error` | [`std::io::Error`], [`Error`] |
//! | `TimeoutError`, `socket.timeout` | kind [`TimedOut`](ErrorKind::TimedOut) on every system; [`Error::Timeout`] says which [`Phase`](crate::Phase) ran out |
//! | `ConnectionRefusedError` | kind [`ConnectionRefused`](ErrorKind::ConnectionRefused): within [`Error::Connect`], which has what each address said (Python: `all_errors=True`); over UDP [`Error::Refused`] |
//! | `ConnectionResetError` | kind [`ConnectionReset`](ErrorKind::ConnectionReset) |
//! | `ConnectionAbortedError` | kind [`ConnectionAborted`](ErrorKind::ConnectionAborted): of the system, [`Error::Cut`], or [`Error::WriteBufferFull`] |
//! | `BrokenPipeError` | kind [`BrokenPipe`](ErrorKind::BrokenPipe): the peer has gone, or [`Error::Poisoned`] |
//! | `BlockingIOError` | kind [`WouldBlock`](ErrorKind::WouldBlock), of mio's sockets in a loop of your own and of `try_write`; a [`Connection`] waits |
//! | `InterruptedError` | whatever waits here begins anew with the time that is left, as Python does |
//! | `EOFError`, `asyncio.IncompleteReadError` | kind [`UnexpectedEof`](ErrorKind::UnexpectedEof) |
//! | `asyncio.LimitOverrunError` | [`FramingError::LineTooLong`](crate::framing::FramingError::LineTooLong), [`FramingError::FrameTooLong`](crate::framing::FramingError::FrameTooLong) |
//! | `UnicodeDecodeError` | kind [`InvalidData`](ErrorKind::InvalidData), [`FramingError::InvalidUtf8`](crate::framing::FramingError::InvalidUtf8) |
//! | `socket.gaierror`, `socket.herror` | [`Error::Resolve`] |
//! | `OSError: [Errno 98] Address already in use` | [`Error::Bind`], kind [`AddrInUse`](ErrorKind::AddrInUse) |
//! | `ValueError`, `OverflowError`, `TypeError` of an address or a setting | [`Error::InvalidAddress`], [`Error::InvalidSetting`]; mostly the compiler says it |
//! | `KeyError`, `ValueError` of a selector | [`Error::NotRegistered`], [`Error::AlreadyRegistered`], [`Error::SelectorClosed`] |

#![doc(alias(
    "Python",
    "KeyboardInterrupt",
    "OSError",
    "TimeoutError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "ConnectionAbortedError",
    "BrokenPipeError",
    "BlockingIOError",
    "InterruptedError",
    "EOFError",
    "IncompleteReadError",
    "LimitOverrunError",
    "UnicodeDecodeError",
    "gaierror",
    "herror",
    "errno"
))]

pub mod asyncio;
pub mod selectors;
pub mod socket;
pub mod socketserver;

#[allow(unused_imports)] // for the documentation
use crate::{server::Builder, tcp, Connection, Error, Running, Server, ServerHandle, UdpClient};
#[allow(unused_imports)] // for the documentation
use std::io::{BufRead, ErrorKind, Read};
