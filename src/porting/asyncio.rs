//! The networking half of Python's `asyncio`, word by word: protocols, transports, servers, streams.
//!
//! What is different everywhere stands [one page up](super#what-is-different-everywhere). Here it is this:
//!
//! * **Protocols are served by callbacks, streams by threads.** A coroutine that awaits one line after another is a [`Handler`] on a
//!   [`ThreadingTcpServer`]: it reads the same, less `await`, up to some thousands of clients. For more of them there is [`Protocol`].
//! * **No event loop to get hold of.** A server has its own and [`serve_forever`](ReactorTcpServer::serve_forever) runs it; with
//!   [`workers`](Builder::workers) it has several, and a [`Reactor`] serves several servers on the same ones.
//! * **Each connection has a clone of the protocol** given to `bind`, where asyncio has a `protocol_factory`. (A [`DatagramProtocol`] is one
//!   for all peers, as in asyncio.) Every callback gets the [`Transport`]; there is no need to keep it.
//! * **Callbacks are never called inside one another**: what a method brings about, such as [`pause_writing`](Protocol::pause_writing), is
//!   told when the callback has returned.
//! * **Every buffer has a limit.** A peer that does not read its answers is not read from either, so `pause_writing` need not be written for
//!   safety; above 1 MiB of unsent data it is put out.
//! * **Silent peers are given up** after 60 s, unless [`timed_out`](Protocol::timed_out) or the builder's
//!   [`read_timeout`](Builder::read_timeout) says otherwise.
//! * **A stop has a deadline and tells the protocols**: [`shutting_down`](Protocol::shutting_down), whose default closes.
//!
//! # Protocols
//! | asyncio | here | differences |
//! |---|---|---|
//! | `Protocol`, `BaseProtocol` | [`Protocol`] | |
//! | `connection_made(transport)` | [`Protocol::connection_made`] | |
//! | `data_received(data)` | [`Protocol::data_received`] | the bytes are lent, not copied |
//! | `eof_received()` | [`Protocol::eof_received`] | the default closes; to stay open, do not close (asyncio: return true) |
//! | `connection_lost(exc)` | [`Protocol::connection_lost`] | exactly once, last, after a panic too; errors are also told to [`handle_error`](Builder::handle_error) |
//! | `pause_writing()`, `resume_writing()` | [`Protocol::pause_writing`], [`Protocol::resume_writing`] | |
//! | none | [`Protocol::timed_out`], [`Protocol::shutting_down`] | |
//! | `DatagramProtocol` | [`DatagramProtocol`] | |
//! | `datagram_received(data, addr)`, `error_received(exc)` | [`DatagramProtocol::datagram_received`], [`DatagramProtocol::error_received`] | |
//! | `BufferedProtocol`: `get_buffer`, `buffer_updated` | none: `data_received` is lent the loop's own buffer | |
//! | `SubprocessProtocol`, pipes | none | |
//!
//! # Transports
//! | asyncio | here | differences |
//! |---|---|---|
//! | `Transport` | [`Transport`] | |
//! | `write(data)`, `writelines(list)` | [`Transport::write`] | says what became of it: [`WriteStatus`](crate::reactor::WriteStatus) |
//! | `close()` | [`Transport::close`] | given up where nothing can be sent for the [`write_timeout`](Builder::write_timeout) |
//! | `abort()` | [`Transport::abort`]; with a reset in any case, [`Transport::reset`] | a reset where something is thrown away |
//! | `is_closing()` | [`Transport::is_closing`] | |
//! | `pause_reading()`, `resume_reading()` | [`Transport::pause_reading`], [`Transport::resume_reading`] | |
//! | `is_reading()` | [`Transport::is_reading_paused`], its opposite | |
//! | `get_write_buffer_size()` | [`Transport::write_buffer_size`] | |
//! | `set_write_buffer_limits(high, low)` | [`Transport::set_write_buffer_limits`], for all [`Builder::write_buffer_limits`] | 64 KiB and 16 KiB, as in asyncio; the hard limit of 1 MiB comes on top |
//! | `get_write_buffer_limits()` | none: they are what you have set | |
//! | `get_extra_info("peername")`, `get_extra_info("sockname")` | [`Transport::peer_addr`], [`Transport::local_addr`] | |
//! | `get_extra_info("socket")` | none; [`Transport::set_nodelay`], the builder's settings | |
//! | `write_eof()`, `can_write_eof()` | none: `close` ends both directions; on threads, [`Connection::shutdown`] | |
//! | `set_protocol(p)`, `get_protocol()` | none: an enum of states within the protocol | |
//! | `DatagramTransport` | [`DatagramTransport`](crate::reactor::DatagramTransport) | |
//! | `sendto(data, addr)` | [`DatagramTransport::send_to`](crate::reactor::DatagramTransport::send_to) | says when too much waits |
//! | a dictionary of transports, and a loop that writes to all | [`Broadcaster`], got from [`Transport::broadcaster`] | |
//! | `loop.call_soon_threadsafe(transport.write, data)` | [`TransportHandle::write`], got from [`Transport::handle`] | says when the peer does not keep up |
//!
//! # The loop and its servers
//! | asyncio | here | differences |
//! |---|---|---|
//! | `loop.create_server(factory, host, port)` | [`ReactorTcpServer`] | |
//! | `create_server(…, backlog, reuse_address, reuse_port, sock)` | [`Builder::backlog`], [`Builder::reuse_address`], [`Builder::reuse_port`], `from_listener` | |
//! | `create_server(…, ssl=…)`, `start_tls` | none; on threads, a [`Prepare`](crate::server::Prepare) and [`Connection::wrap_stream`] | |
//! | `loop.create_unix_server` | [`ReactorUnixServer`] | |
//! | `loop.create_datagram_endpoint` | [`ReactorUdp`](crate::reactor::ReactorUdp) | as a server |
//! | `loop.create_connection`, `create_unix_connection` | none on the loop; [`tcp::connect`](crate::tcp::connect), or [`tcp::connect_nonblocking`](crate::tcp::connect_nonblocking) on a [`Selector`] | |
//! | `Server.serve_forever()`, `loop.run_forever()`, `loop.run_until_complete`, `asyncio.run(main())` | [`serve_forever`](ReactorTcpServer::serve_forever) | returns a [`ShutdownReport`](crate::ShutdownReport) |
//! | `Server.start_serving()`, `is_serving()` | [`spawn`](ReactorTcpServer::spawn), which serves on a thread of its own; [`ServerHandle::is_shutting_down`], its opposite | |
//! | `loop.stop()`, `Server.close()`, `close_clients()` | [`ServerHandle::shutdown`] | clients have the drain timeout; asyncio's `close()` leaves them alone: [`drain_timeout(None)`](Builder::drain_timeout) and a `shutting_down` that does not close |
//! | `Server.abort_clients()` | [`ServerHandle::shutdown_within`] with zero | |
//! | `Server.wait_closed()` | [`Running::join`](crate::Running::join) | |
//! | `Server.sockets` | [`local_addr`](ReactorTcpServer::local_addr) | |
//! | several servers on one loop | [`Reactor`] | |
//! | `loop.call_later(delay, f)`, `call_at` | for a connection, [`Transport::set_timeout`] and [`Transport::set_deadline`]; for a server, [`Builder::service_actions`]; in a loop of your own, [`Selector::set_timer`] | |
//! | `loop.call_soon(f)` | a plain call | |
//! | `loop.run_in_executor(None, f)`, `asyncio.to_thread` | a thread, which answers by a [`TransportHandle`] | |
//! | `loop.add_reader`, `add_writer`, `remove_reader`, `remove_writer`, `sock_recv`, `sock_sendall`, `sock_accept`, `sock_connect` | [`Selector`]: see [`selectors`](super::selectors) | |
//! | `loop.add_signal_handler(SIGINT, …)` | a crate for signals, such as `ctrlc`, and [`ServerHandle::shutdown`] | |
//! | `loop.set_exception_handler` | [`Builder::handle_error`] | |
//! | `loop.getaddrinfo`, `getnameinfo` | [`net`](crate::net), in a thread: they wait | |
//!
//! # Streams
//! | asyncio | here | differences |
//! |---|---|---|
//! | `start_server(callback, host, port)`, `start_unix_server` | [`ThreadingTcpServer`], [`ThreadingUnixStreamServer`] with a closure: [`handler_fn`](crate::handler_fn) | a thread for each client; on callbacks, [`Framed`] |
//! | `open_connection(host, port)`, `open_unix_connection` | [`tcp::connect`](crate::tcp::connect); std's `UnixStream::connect` and [`Connection::from`](Connection#trait-implementations) | |
//! | `StreamReader`, `StreamWriter` | [`Connection`], which is both | |
//! | `read(n)` | [`Connection::read`] | |
//! | `read(-1)` | [`read_to_end`](Read::read_to_end) | |
//! | `readline()` | [`Connection::read_line`]; on callbacks [`Framed`] with a [`LineDecoder`](crate::framing::LineDecoder) | at most 64 KiB: [`max_line`](Builder::max_line), asyncio's `limit` |
//! | `readexactly(n)` | [`Connection::read_exact`]; after a length, [`Connection::read_frame`], on callbacks [`Framed`] with a [`FrameDecoder`](crate::framing::FrameDecoder) | |
//! | `readuntil(separator)` | [`Connection::read_until`] | separators of one byte |
//! | `async for line in reader` | `while connection.read_line(&mut line)? > 0 { … line.clear(); }` | |
//! | `at_eof()` | [`Connection::fill_buf`] gives nothing | waits for what comes |
//! | `write(data)`, `writelines(list)`, `await drain()` | [`Connection::write_all`], which waits itself | |
//! | `write_eof()` | [`Connection::shutdown`] with `Shutdown::Write` | |
//! | `close()`, `wait_closed()` | [`Connection::close`] | a server calls it for you |
//! | `get_extra_info("peername")` | [`Connection::peer_addr`] | |
//! | `asyncio.wait_for(…, t)`, `asyncio.timeout(t)` | [`Connection::set_deadline`], for a whole request [`Builder::request_deadline`] | |
//! | `asyncio.Semaphore` around clients | [`Builder::max_connections`], [`Builder::max_per_address`] | |
//! | `asyncio.gather`, `create_task` | threads | |
//! | a writer of another client | [`ConnectionWriter`](crate::ConnectionWriter), got from [`Connection::writer`] | |
//!
//! # A `Protocol`
//! ```python
//! class Echo(asyncio.Protocol):
//!     def connection_made(self, transport):
//!         self.transport = transport
//!
//!     def data_received(self, data):
//!         self.transport.write(data)
//!
//! async def main():
//!     loop = asyncio.get_running_loop()
//!     server = await loop.create_server(Echo, "127.0.0.1", 10000)
//!     await server.serve_forever()
//!
//! asyncio.run(main())
//! ```
//!
//! ```
//! use socketserver::{Protocol, ReactorTcpServer, Transport};
//!
//! #[derive(Clone)]
//! struct Echo;
//!
//! impl Protocol for Echo {
//!     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
//!         transport.write(data);
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::io::{Read, Write};
//! let running = ReactorTcpServer::bind("127.0.0.1:0", Echo)?.spawn()?; // or `serve_forever` on this thread
//! # let mut client = socketserver::tcp::connect(running.local_addr(), std::time::Duration::from_secs(5))?;
//! # client.write_all(b"hello")?;
//! # let mut answer = [0; 5];
//! # client.read_exact(&mut answer)?;
//! # assert_eq!(&answer, b"hello");
//! # drop(client);
//! running.stop()?;
//! # Ok(()) }
//! ```
//!
//! # A stream of lines
//! ```python
//! async def greet(reader, writer):
//!     while line := await reader.readline():
//!         writer.write(b"hello, " + line)
//!         await writer.drain()
//!     writer.close()
//!
//! server = await asyncio.start_server(greet, "127.0.0.1", 10000)
//! ```
//!
//! ```
//! use socketserver::framing::LineDecoder;
//! use socketserver::reactor::{Framed, MessageProtocol};
//! use socketserver::{handler_fn, Connection, ReactorTcpServer, ThreadingTcpServer, Transport};
//! use std::io::{BufRead, Write};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // On threads, which reads as the coroutine does:
//! let greet = |request: &mut Connection| {
//!     let mut line = String::new();
//!     while request.read_line(&mut line)? > 0 {
//!         write!(request, "hello, {line}")?;
//!         line.clear();
//!     }
//!     Ok(())
//! };
//! let threads = ThreadingTcpServer::bind("127.0.0.1:0", handler_fn(greet))?.spawn()?;
//!
//! // On callbacks, for many thousands of clients:
//! #[derive(Clone)]
//! struct Greet;
//!
//! impl MessageProtocol for Greet {
//!     fn message_received(&mut self, transport: &mut Transport, line: &[u8]) {
//!         transport.write(&[b"hello, ", line, b"\n"].concat());
//!     }
//! }
//! let callbacks = ReactorTcpServer::bind("127.0.0.1:0", Framed::new(LineDecoder::new(), Greet))?.spawn()?;
//! # for running in [threads, callbacks] {
//! #     let mut client = socketserver::tcp::connect(running.local_addr(), std::time::Duration::from_secs(5))?;
//! #     client.write_all(b"Guido\n")?;
//! #     let mut line = String::new();
//! #     client.read_line(&mut line)?;
//! #     assert_eq!(line, "hello, Guido\n");
//! #     drop(client);
//! #     running.stop()?;
//! # }
//! # Ok(()) }
//! ```

#![cfg_attr(not(unix), doc = "[`ReactorUnixServer`]: crate::reactor::ReactorServer")]
#![cfg_attr(not(unix), doc = "[`ThreadingUnixStreamServer`]: crate::server")]
#![doc(alias(
    "BaseProtocol",
    "BufferedProtocol",
    "get_buffer",
    "buffer_updated",
    "writelines",
    "write_eof",
    "can_write_eof",
    "get_extra_info",
    "get_write_buffer_size",
    "get_write_buffer_limits",
    "set_protocol",
    "get_protocol",
    "is_reading",
    "create_server",
    "create_unix_server",
    "create_datagram_endpoint",
    "create_connection",
    "start_serving",
    "is_serving",
    "close_clients",
    "abort_clients",
    "wait_closed",
    "call_soon",
    "call_soon_threadsafe",
    "call_later",
    "call_at",
    "run_in_executor",
    "to_thread",
    "add_reader",
    "add_writer",
    "add_signal_handler",
    "set_exception_handler",
    "start_server",
    "open_connection",
    "start_tls",
    "StreamReader",
    "StreamWriter",
    "readline",
    "readexactly",
    "readuntil",
    "at_eof",
    "drain",
    "wait_for"
))]

#[cfg(unix)]
#[allow(unused_imports)] // for the documentation
use crate::reactor::ReactorUnixServer;
#[allow(unused_imports)] // for the documentation
use crate::reactor::{Broadcaster, DatagramProtocol, Framed, Reactor, Selector};
#[allow(unused_imports)] // for the documentation
use crate::server::Builder;
#[cfg(unix)]
#[allow(unused_imports)] // for the documentation
use crate::ThreadingUnixStreamServer;
#[allow(unused_imports)] // for the documentation
use crate::{
    Connection, Handler, Protocol, ReactorTcpServer, ServerHandle, ThreadingTcpServer, Transport, TransportHandle,
};
#[allow(unused_imports)] // for the documentation
use std::io::{BufRead, Read, Write};
