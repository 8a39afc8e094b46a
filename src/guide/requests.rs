//! The life of a request.
//!
//! # 1. In the kernel's queue
//! The kernel completes the connection, and queues it: [`backlog`](Builder::backlog) of them, 4,096 unless set otherwise or unless the system's
//! own limit is lower. A client whose connection does not fit is not refused: its SYN is dropped, and it tries again after a second, then after three.
//! So a long queue costs a little memory, and a short one costs seconds.
//!
//! # 2. Accepted, when there is a place
//! There are [`max_connections`](Builder::max_connections) places, exactly. With [`Overload::Wait`], the default, nobody is accepted
//! while all are taken: who comes waits in the queue, and the client's own timeout is the limit. With [`Overload::Reject`] the client is
//! accepted, gets the farewell, and is closed; up to 64 threads do so side by side, so that one that is slow to listen holds up nobody, and beyond
//! those clients are closed at once. A server that serves one at a time always waits.
//!
//! A failing accept does not end the server, unless the listening socket itself has become unusable
//! ([`Error::Accept`](crate::Error::Accept)). What concerns one client is passed over (it reset its connection, a firewall forbade it); a shortage,
//! of descriptors, memory or threads, has the server back off for 5 to 100 ms, and try again as soon as one of its own connections has
//! closed. It is counted ([`Stats`](crate::Stats)), and said in the log once a second at the most; of a request for which there is no thread
//! [`handle_error`](Builder::handle_error) is told as well.
//!
//! # 3. On its thread, coroutine or loop
//! | | runs on | and holds it until |
//! |---|---|---|
//! | [`TcpServer`](crate::TcpServer) | the serving thread | the connection is closed |
//! | [`ThreadingTcpServer`](crate::ThreadingTcpServer) | a thread that is idle, or a new one | the connection is closed |
//! | `CoroutineTcpServer` | a coroutine on the loop with the fewest connections | it waits |
//! | [`ReactorTcpServer`](crate::ReactorTcpServer) | the loop with the fewest connections | the callback returns |
//!
//! There, on a thread of its own without holding up others, and on a loop quickly:
//! 1. the listener's [preparation](crate::server::Prepare), where a listener of your own has one: a TLS handshake, a PROXY header. It has 10 s
//!    ([`prepare_timeout`](Builder::prepare_timeout)). Event loops and coroutines have none;
//! 2. [`verify_request`](Builder::verify_request): `false`, and the client is turned away;
//! 3. the places of its address, where [`max_per_address`](Builder::max_per_address) limits them.
//!
//! # 4. Handled
//! A clone of the handler runs [`setup`](Handler::setup), [`handle`](Handler::handle), [`finish`](Handler::finish). If `setup` fails, neither of the others
//! runs; `finish` runs after `handle` whether that returned, failed or panicked. A [`Protocol`](crate::Protocol) is made anew for each connection and hears
//! `connection_made`, `data_received`, `eof_received`, `connection_lost`.
//!
//! Each read and write ends by the timeouts; everything together by the [`request_deadline`](Builder::request_deadline), which counts from
//! the accept, or by the deadline that the handler has set in its place. An error or a panic ends this request alone. It is counted, and told to
//! [`handle_error`](Builder::handle_error) once, with the [`Stage`](crate::Stage) that it happened in.
//!
//! # 5. Closed
//! What [writers](crate::Connection::writer) have queued is sent; the peer reads the end of the file; what it is still sending is read and thrown away
//! for up to a second. Closing at once would have the kernel send a reset where unread bytes are left, and a reset destroys what the peer has
//! not read yet, the last answer first (RFC 1122, 4.2.2.13). A connection whose last write failed half-way is reset instead: half an
//! answer must not look like a whole one.
//!
//! Then its place is free, for the next of the queue.
//!
//! # Datagrams
//! A datagram is received in one piece, or dropped and counted where it is longer than [`max_packet_size`](Builder::max_packet_size). Before
//! threads it waits in a [`queue`](Builder::queue). Nothing is answered unless the handler says so by [`Datagram::reply`](crate::Datagram::reply), or
//! [`Overload::Reject`] has words for those who find no place; [`answer_limit`](Builder::answer_limit), which is off unless set, bounds how much
//! longer than the question an answer may be, because the sender's address may be forged.

#[allow(unused_imports)] // for the documentation
use crate::{server::Builder, Handler, Overload};
