//! How to test what you serve.
//!
//! A test needs no fixed port, no sleep and no process of its own. What a handler computes is best kept in a function of bytes or text, which needs
//! none of this page. What it reads and writes is tested as follows.
//!
//! # A handler of connections
//! A [`Connection`] can be made of one of std's sockets, and of any [`Stream`]. So a handler can be called on one end of a pair, while the
//! test has the other; no server takes part:
//!
//! ```
//! use socketserver::{Connection, Handler, HandlerResult};
//! use std::io::{BufRead, Read, Write};
//!
//! #[derive(Clone)]
//! struct Shout;
//!
//! impl Handler for Shout {
//!     fn handle(&mut self, request: &mut Connection) -> HandlerResult {
//!         let mut line = String::new();
//!         while request.read_line(&mut line)? > 0 {
//!             request.write_all(line.to_uppercase().as_bytes())?;
//!             line.clear();
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[cfg(unix)]
//! fn shouts_line_by_line() -> HandlerResult {
//!     let (request, mut client) = std::os::unix::net::UnixStream::pair()?;
//!     client.write_all(b"one\ntwo\n")?;
//!     client.shutdown(std::net::Shutdown::Write)?; // or the handler would wait for more
//!
//!     let mut request = Connection::from(request);
//!     request.set_deadline(std::time::Duration::from_secs(10))?; // a bug is an error then, and not a test that hangs
//!     Shout.handle(&mut request)?;
//!     request.close()?;
//!
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer)?;
//!     assert_eq!(answer, "ONE\nTWO\n");
//!     Ok(())
//! }
//! # #[cfg(unix)]
//! # shouts_line_by_line().unwrap();
//! ```
//!
//! What is written in advance must fit into the socket's buffers, and so must the answers; for more, or for a dialogue, call the handler on a thread. A server
//! would call [`setup`](Handler::setup) and [`finish`](Handler::finish) too. The settings are the defaults, not a builder's, and
//! [`Connection::server`] stops nothing. Where there are no Unix sockets, the pair is a loopback connection of std's.
//!
//! What a socket does not do on demand, such as a reset in the middle, a [`Stream`] in memory does:
//!
//! ```
//! use socketserver::{Address, Connection, Stream, Wait};
//! use std::collections::VecDeque;
//! use std::io::{self, BufRead};
//! use std::net::Shutdown;
//! use std::sync::{Arc, Mutex};
//!
//! /// Reads as what it is told to, one after the other, then as the end; what is written to it is collected.
//! #[derive(Debug, Default)]
//! struct Script {
//!     reads: Mutex<VecDeque<io::Result<&'static [u8]>>>,
//!     written: Mutex<Vec<u8>>,
//! }
//!
//! impl Stream for Script {
//!     fn read(&self, buf: &mut [u8], _: Wait) -> io::Result<usize> {
//!         match self.reads.lock().unwrap().pop_front() {
//!             Some(read) => io::Read::read(&mut read?, buf), // 8 KiB at the most
//!             None => Ok(0),
//!         }
//!     }
//!     fn write(&self, buf: &[u8], _: Wait) -> io::Result<usize> {
//!         self.written.lock().unwrap().extend(buf);
//!         Ok(buf.len())
//!     }
//!     fn shutdown(&self, _: Shutdown) -> io::Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> io::Result<()> {
//! let reads = [Ok(&b"wh"[..]), Ok(b"ole\nha"), Err(io::ErrorKind::ConnectionReset.into())];
//! let script = Arc::new(Script { reads: Mutex::new(reads.into()), ..Script::default() });
//! let mut request = Connection::from_stream(script.clone(), Address::Unnamed);
//!
//! let mut line = String::new();
//! request.read_line(&mut line)?;
//! assert_eq!(line, "whole\n");
//! assert_eq!(request.read_line(&mut line).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
//! # std::io::Write::write_all(&mut request, b"answer")?;
//! # assert_eq!(*script.written.lock().unwrap(), b"answer");
//! # Ok(()) }
//! ```
//!
//! # A handler of datagrams, a protocol
//! A [`Datagram`](crate::Datagram) and a [`Transport`](crate::Transport) cannot be made by hand: they are one end of a server. A datagram answers through
//! the server's socket, within the server's limits; a transport's writes, timeouts and close are done by the event loop that calls the protocol
//! back. Without these they would promise what nobody does. So the test takes a real server, on port 0 of the loopback interface: the system chooses a
//! port that is free, and tests can run side by side.
//!
//! ```
//! use socketserver::{handler_fn, Datagram, UdpClient, UdpServer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shout = |request: &mut Datagram| Ok(request.reply(&request.data().to_ascii_uppercase())?);
//! let running = UdpServer::bind("127.0.0.1:0", handler_fn(shout))?.spawn()?;
//!
//! let mut client = UdpClient::connect(running.local_addr())?; // no answer is an error after 5 s
//! assert_eq!(client.request(b"hello")?, b"HELLO");
//! assert!(running.stop()?.is_clean());
//! # Ok(()) }
//! ```
//!
//! A protocol, with a client that is a [`Connection`] as well, and so has timeouts and lines:
//!
//! ```
//! use socketserver::{tcp, Protocol, ReactorTcpServer, Transport};
//! use std::io::{BufRead, Write};
//! use std::time::Duration;
//!
//! #[derive(Clone)]
//! struct Shout;
//!
//! impl Protocol for Shout {
//!     fn data_received(&mut self, transport: &mut Transport, data: &[u8]) {
//!         transport.write(&data.to_ascii_uppercase());
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let running = ReactorTcpServer::bind("127.0.0.1:0", Shout)?.spawn()?;
//!
//! let mut client = tcp::connect(running.local_addr(), Duration::from_secs(5))?;
//! client.set_deadline(Duration::from_secs(10))?;
//! client.write_all(b"hello\n")?;
//! let mut answer = String::new();
//! client.read_line(&mut answer)?;
//! assert_eq!(answer, "HELLO\n");
//! drop(client);
//! assert!(running.stop()?.is_clean());
//! # Ok(()) }
//! ```
//!
//! # What went wrong
//! The server tells no client what a handler failed with. A test hears of it by [`handle_error`](Builder::handle_error), which may send it
//! through a channel, or looks at [`ServerHandle::stats`](crate::ServerHandle::stats). Where the handler runs under a server, what comes last is
//! [`Running::stop`](crate::Running::stop): its report says whether a request had to be cut.

#[allow(unused_imports)] // for the documentation
use crate::{server::Builder, Connection, Handler, Stream};
