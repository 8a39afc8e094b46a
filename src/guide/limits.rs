//! Every limit, and the reason for its default.
//!
//! Python waits for ever and queues without limit unless told otherwise, and so do most servers that are written by hand. Here a wait for a client has
//! an end and each queue a bound; "for ever" has to be said, by `None`. (Two limits are none until you set them, because only you can know them:
//! `request_deadline` and `max_per_address`.) What runs into a limit is an error that says what took too long or was too long, and what the limit was;
//! or it is counted ([`Stats`](crate::Stats)).
//!
//! | setting | default | why so much, and no more |
//! |---|---|---|
//! | [`max_connections`](Builder::max_connections) | 1 on a sequential server | that is what it is |
//! | | 1,024 with threads | a thread takes 15 KiB at rest, and a system with a thousand runnable ones has other troubles. 8,000 at the most: a process with about 16,000 threads aborts as a whole, because the kernel lets it have 65,530 memory mappings, of which each takes four |
//! | | 10,000 on event loops and with coroutines | what descriptors and memory usually allow: half a KiB each, or ten with a coroutine's stack |
//! | | or the descriptor limit less 64 | who accepts until there are no descriptors has none left for its files |
//! | [`overload`](Builder::overload) | [`Overload::Wait`] | a client that waits is served late; one that is refused tries again at once |
//! | [`backlog`](Builder::backlog) | 4,096 | with 128, opening 8,000 connections takes 14 seconds and more, because the kernel drops what does not fit and clients wait for a second; with 4,096 half a second |
//! | [`read_timeout`](Builder::read_timeout) | 60 s without progress | a client that has gone without a word (a laptop that was closed) must not keep its place for ever. It is no limit on a slow one |
//! | [`write_timeout`](Builder::write_timeout) | 30 s without progress | who has not read for half a minute will not |
//! | [`request_deadline`](Builder::request_deadline) | none | nobody but you knows how long an honest request takes. Without one, a client that sends a byte a minute keeps its place: set it. A request is the whole connection here; where clients keep theirs for many commands, a handler gives each its own by [`set_deadline`](crate::Connection::set_deadline), which replaces this one. On coroutines it ends reading and writing, not `coroutine::sleep`, nor a request of a [`UdpClient`](crate::UdpClient), which has a limit of its own |
//! | [`max_per_address`](Builder::max_per_address) | none | many clients share an address behind a router. Without it, one host can take all places: set it |
//! | [`max_line`](Builder::max_line), [`max_frame`](Builder::max_frame) | 64 KiB, 1 MiB | a length prefix is looked at before anything is allocated |
//! | [`write_queue`](Builder::write_queue) | 256 KiB | what `try_write` may keep for a slow peer of a broadcast |
//! | [`write_buffer_limits`](Builder::write_buffer_limits) | paused above 64 KiB, resumed at 16 KiB | a peer of a protocol that does not read is not read either, so it cannot make the server fill its memory with answers |
//! | [`write_buffer_hard_limit`](Builder::write_buffer_hard_limit) | 1 MiB | for what is written to it without its asking; beyond it the connection is closed |
//! | [`prepare_timeout`](Builder::prepare_timeout) | 10 s | a TLS handshake takes three round trips |
//! | [`drain_timeout`](Builder::drain_timeout) | 10 s | less than the 90 s of systemd and the 30 s of Kubernetes before they kill. `docker stop` waits for 10 s: set less there |
//! | [`idle_thread_timeout`](Builder::idle_thread_timeout) | 10 s | a thread that is kept saves starting one, which costs more than a short request |
//! | [`max_packet_size`](Builder::max_packet_size) | 65,535 bytes | all that a datagram over UDP can have. Its memory is used as far as datagrams fill it |
//! | [`answer_limit`](Builder::answer_limit) | none | an answer may be longer than the question. Where strangers can ask, set it: their addresses may be forged |
//! | [`queue`](Builder::queue) | 1,024 datagrams over UDP | a burst; more would be answered too late to be of use. On a Unix socket none, because there the sender waits |
//! | [`reply_timeout`](Builder::reply_timeout) | 1 ms over UDP, 100 ms on Unix sockets | an answer that finds no room must not hold up a server that does one thing at a time |
//! | the stack of a coroutine | 256 KiB | of which what is touched becomes memory, mostly two pages |
//! | closures of `coroutine::unblock` at once | 64 a process | as many look-ups, [at the most](crate::net#time-limits) |
//! | a request of [`UdpClient`](crate::UdpClient) | 5 s, asked up to four times | with 30 % of the datagrams lost each way, more than nine of ten requests are answered |
//!
//! # Where strangers can reach the server
//! ```
//! use std::time::Duration;
//! use socketserver::{handler_fn, Connection, ThreadingTcpServer};
//!
//! # fn main() -> socketserver::Result<()> {
//! let server = ThreadingTcpServer::builder()
//!     .request_deadline(Duration::from_secs(120)) // however slowly it trickles
//!     .max_per_address(32)
//!     .max_line(8 * 1024)
//!     .bind("127.0.0.1:0", handler_fn(|_: &mut Connection| Ok(())))?;
//! # drop(server);
//! # Ok(()) }
//! ```
//! And look at [`Stats`](crate::Stats) from time to time: who was turned away, what failed, panicked or was dropped, and which shortages there were is
//! counted there.

#[allow(unused_imports)] // for the documentation
use crate::{server::Builder, Overload};
