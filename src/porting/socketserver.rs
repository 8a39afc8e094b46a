//! Python's `socketserver`, word by word.
//!
//! What is different everywhere stands [one page up](super#what-is-different-everywhere).
//!
//! # Server classes
//! | Python | here | differences |
//! |---|---|---|
//! | `BaseServer` | [`Server`], a [`Listener`] composed with a [`Dispatch`] strategy | composed, not inherited from |
//! | `TCPServer` | [`TcpServer`] | |
//! | `ThreadingTCPServer` | [`ThreadingTcpServer`] | threads are reused, 1,024 at most by default |
//! | `UDPServer` | [`UdpServer`] | |
//! | `ThreadingUDPServer` | [`ThreadingUdpServer`] | 1,024 more datagrams wait for a thread ([`queue`](Builder::queue)), then they are dropped and counted |
//! | `UnixStreamServer` | [`UnixStreamServer`] | mode 0600; the path is unlinked at the stop, and one that a killed server left behind is removed if [`remove_stale`] says so |
//! | `ThreadingUnixStreamServer` | [`ThreadingUnixStreamServer`] | |
//! | `UnixDatagramServer` | [`UnixDatagramServer`] | a client that did not bind is an error of `reply`, which says so |
//! | `ThreadingUnixDatagramServer` | [`ThreadingUnixDatagramServer`] | 1,024 threads at most; then datagrams stay in the socket and their senders wait, unless a [`queue`](Builder::queue) is set. The rest as above |
//! | `ThreadingMixIn` | [`Threading`], which the `Threading…` servers have | see [below](#mix-ins) |
//! | `ForkingMixIn`, `ForkingTCPServer`, `ForkingUDPServer`, `ForkingUnixStreamServer`, `ForkingUnixDatagramServer` | none | fork and threads do not mix; several processes share a port with [`reuse_port`](Builder::reuse_port) |
//!
//! The same handler serves on all four stream servers, and with the feature `coroutine` on `CoroutineTcpServer` and `CoroutineUnixServer`. For many thousands of clients there is, beyond Python's module,
//! [`ReactorTcpServer`](crate::ReactorTcpServer): see [`asyncio`](super::asyncio).
//!
//! # Methods of a server
//! | Python | here | differences |
//! |---|---|---|
//! | `TCPServer((host, port), Handler)` | `TcpServer::bind("host:port", handler)`, or [`builder`](Server::builder), settings, `bind` | a value, not a class: it is cloned for each request |
//! | `bind_and_activate=False` | `from_listener` ([`TcpServer`](Server::from_listener), [`Builder`](Builder::from_listener)), `from_socket` ([`UdpServer`](Server::from_socket)) | for options that the builder does not have, make the socket with [`socket2`](https://docs.rs/socket2/0.6/socket2/) first |
//! | `serve_forever(poll_interval)` | [`Server::serve_forever`] | no polling; returns a [`ShutdownReport`](crate::ShutdownReport); on a thread of its own: [`Server::spawn`] |
//! | `shutdown()` | [`ServerHandle::shutdown`], got from [`Server::handle`], in a handler from [`Connection::server`] or [`Datagram::server`] | returns at once; to wait, [`Running::stop`](crate::Running::stop) or [`Running::join`](crate::Running::join) |
//! | `server_close()`, `with`, `__exit__` | dropping the server | what is under way gets the drain timeout; Python joins its threads without one |
//! | `handle_request()` | [`Server::handle_request`] | says what happened: [`Handled`](crate::Handled) |
//! | `fileno()` | none: the server waits by itself | for a loop of your own, [`tcp::listen`](crate::tcp::listen) on a [`Selector`](crate::reactor::Selector) |
//!
//! # Methods to override
//! There is nothing to inherit from. A hook is a closure given to the builder; what replaces a part of the server is a trait.
//!
//! | Python | here | differences |
//! |---|---|---|
//! | `verify_request(request, client_address)` | [`Builder::verify_request`] | gets the address alone, and runs where the handler would; what has to read first is a [`Prepare`](crate::server::Prepare) or the handler |
//! | `verify_request` that looks at the datagram, `request[0]` | the handler: look at [`Datagram::data`] first, and return `Ok(())` without a [`reply`](Datagram::reply) | it counts as accepted. As a step of its own, a handler that holds another and calls it or not, as [`Identified`](crate::udp::Identified) does |
//! | `handle_error(request, client_address)` | [`Builder::handle_error`] | gets a [`Failure`](crate::Failure): stage, peer, error or panic; each once; the default logs, at most a line a second |
//! | `handle_timeout()` | [`Builder::handle_timeout`] | |
//! | `service_actions()` | [`Builder::service_actions`] | at an interval that you choose, not every half second |
//! | `process_request(request, client_address)` | a [`Dispatch`] of your own, given to [`Builder::dispatch`] | gets an opaque [`Job`](crate::server::Job) to run anywhere |
//! | `process_request_thread` | [`Job::run`](crate::server::Job::run) | |
//! | `finish_request(request, client_address)` | a handler that holds another and calls it, as [`Identified`](crate::udp::Identified) does | |
//! | `get_request()` | a [`Listener`] of your own, given to [`Builder::from_listener`] | never waits; a TLS handshake is a [`Prepare`](crate::server::Prepare), which runs in the worker |
//! | `shutdown_request(request)`, `close_request(request)` | nothing to do: after `finish`, [`Connection::close`] is called | the last answer reaches a client that is still sending; for a reset, [`Connection::abort`] |
//! | `server_bind()`, `server_activate()` | settings of the builder, else `from_listener` | |
//!
//! # Attributes of a server
//! Settings are the builder's, so none can come too late; in Python those of an instance do nothing after its construction.
//!
//! | Python | here | differences |
//! |---|---|---|
//! | `server_address` | [`Server::local_addr`], in a handler [`ServerHandle::local_addr`] | |
//! | `socket` | none: options are the builder's | `server.socket.settimeout(…)` is [`timeout`](Builder::timeout); multicast is [`join_multicast`](Server::join_multicast) |
//! | `RequestHandlerClass` | the handler given to `bind` | |
//! | `address_family` | the address: `127.0.0.1:80`, `[::1]:80` | both at once: `[::]` with [`dual_stack`](Builder::dual_stack) |
//! | `socket_type` | the server's type | |
//! | `request_queue_size` | [`Builder::backlog`] | 4,096, Python's 5 |
//! | `allow_reuse_address` | [`Builder::reuse_address`] | on, Python's off. UDP servers have none: two could share the port |
//! | `allow_reuse_port` | [`Builder::reuse_port`] | |
//! | `timeout` (of the server) | [`Builder::timeout`] | for `handle_request` alone, as in Python |
//! | `max_packet_size` | [`Builder::max_packet_size`] | 65,535, which on a Unix socket can be more, Python's 8,192; longer datagrams are dropped and counted, not cut. With [`deliver_truncated`](Builder::deliver_truncated) they are cut and say so |
//! | attributes of your own, `self.server.members` | a field of the handler: an [`Arc`](std::sync::Arc), where it changes with a [`Mutex`](std::sync::Mutex) | |
//!
//! # Mix-ins
//! | Python | here | differences |
//! |---|---|---|
//! | `class S(ThreadingMixIn, TCPServer)` | [`ThreadingTcpServer`], or any listener with [`Threading`] by [`Builder::dispatch`] | |
//! | `class S(ThreadingMixIn, UDPServer)` | [`ThreadingUdpServer`], or `UdpServer::builder().dispatch(Threading::default())` | a thread for each datagram, reused |
//! | `daemon_threads` | none: no thread of Rust's keeps a process alive | |
//! | `block_on_close` | [`Builder::block_on_close`] | waits for [`drain_timeout`](Builder::drain_timeout), not without end |
//! | no limit on threads | [`Builder::max_connections`], [`Builder::overload`], [`Builder::max_per_address`] | |
//! | `ForkingMixIn.max_children` | [`Builder::max_connections`] | of threads |
//! | `ForkingMixIn.active_children`, `collect_children()`, `timeout` | none; how many requests are under way says [`Stats::active`](crate::Stats::active) | |
//!
//! # Request handlers
//! | Python | here | differences |
//! |---|---|---|
//! | `BaseRequestHandler`, `StreamRequestHandler` | [`Handler`], or a closure by [`handler_fn`](crate::handler_fn) | the request is an argument, not an attribute |
//! | `DatagramRequestHandler` | [`Handler<Datagram>`](Handler), or a closure of a [`Datagram`] | answers only when told to |
//! | `setup()` | [`Handler::setup`] | if it fails, neither of the others runs, as in Python |
//! | `handle()` | [`Handler::handle`] | |
//! | `finish()` | [`Handler::finish`] | runs after a panic too; does not hide what `handle` failed with |
//! | `super().setup()`, `super().finish()` | nothing to do | |
//! | `request` of a stream server, `connection` | [`Connection`]: [`Read`], [`BufRead`] and [`Write`] in one | `recv`, `sendall` and the rest: see [`socket`](super::socket#methods-of-a-socket) |
//! | `request` of a datagram server, `(data, socket)` | [`Datagram`]: [`data`](Datagram::data), [`reply`](Datagram::reply) | |
//! | `client_address` | [`Connection::peer_addr`], [`Datagram::peer_addr`] | an [`Address`](crate::Address), which prints as one writes it; `client_address[0]` is [`as_socket_addr`](crate::Address::as_socket_addr) and its `ip()` |
//! | `server` | [`Connection::server`], [`Datagram::server`] | a [`ServerHandle`]: stop, counters, address |
//!
//! # Attributes of a stream handler
//! | Python | here | differences |
//! |---|---|---|
//! | `rfile.readline()` | [`Connection::read_line`]; without the line end, a [`LineDecoder`](crate::framing::LineDecoder) | at most 64 KiB ([`max_line`](Builder::max_line)); decodes UTF-8 |
//! | `for line in self.rfile` | `while request.read_line(&mut line)? > 0 { … line.clear(); }` | the buffer is reused, so it has to be cleared; with [`await_request`](Connection::await_request) before each line, a stop does not wait for idle clients |
//! | `rfile.read(n)` | [`Connection::read_exact`] | fewer bytes before the end are an error; where they are none, `request.by_ref().take(n).read_to_end(&mut data)` |
//! | `rfile.read()` | [`read_to_end`](Read::read_to_end), [`read_to_string`](Read::read_to_string) | without a limit, as in Python: put a `take` before it |
//! | `rfile.read1(n)`, `rfile.peek()` | [`Connection::read`], [`Connection::fill_buf`] | |
//! | `wfile.write(data)` | [`Connection::write_all`]; text by `writeln!(request, …)`, which goes out in one piece | |
//! | `wfile.flush()` | [`Connection::flush`] | waits for what [writers](Connection::writer) have queued; writes themselves are not buffered |
//! | `rbufsize` | none: 8 KiB | |
//! | `wbufsize` | 0, as Python's default; for a buffer, [`io::BufWriter`] around the request | its last flush can fail: call `flush` yourself |
//! | `timeout` (of the handler) | [`Builder::read_timeout`], [`Builder::write_timeout`], or [`Connection::set_read_timeout`] | 60 s and 30 s, Python's none. After one the call can be repeated, with the same `String` (see [`read_line`](Connection#method.read_line)); Python's `rfile` cannot be read any more |
//! | `disable_nagle_algorithm` | [`Builder::nodelay`] | on, Python's off |
//!
//! # Attributes of a datagram handler
//! | Python | here | differences |
//! |---|---|---|
//! | `packet`, `request[0]` | [`Datagram::data`] | |
//! | `socket`, `request[1]` | [`Datagram::socket`] for its options; to answer, [`Datagram::reply`] | |
//! | `socket.sendto(data, self.client_address)` | [`Datagram::reply`] | as often as you like; waits for room 1 ms at most over UDP, 100 ms on a Unix socket ([`reply_timeout`](Builder::reply_timeout)) |
//! | `self.request[1].sendto(data, other_peer)`, from the server's port to somebody else | [`Datagram::socket`] and its [`send_to`](https://docs.rs/socket2/0.6/socket2/struct.Socket.html#method.send_to) | [below](#a-datagram-to-somebody-else). Never waits: kind [`WouldBlock`](io::ErrorKind::WouldBlock) where there is no room; [`answer_limit`](Builder::answer_limit) does not count it |
//! | `rfile` | the [`Datagram`] itself, which is [`Read`] and [`BufRead`] | |
//! | `wfile` | a `Vec<u8>` of your own, then one [`Datagram::reply`] in `finish`: see [below](#a-datagramrequesthandler) | Python sends what is in it at the end, if need be an empty datagram, after an exception too |
//!
//! # A `StreamRequestHandler`
//! ```python
//! class Upper(socketserver.StreamRequestHandler):
//!     timeout = 30
//!
//!     def handle(self):
//!         for line in self.rfile:
//!             self.wfile.write(line.upper())
//!
//! with socketserver.ThreadingTCPServer(("127.0.0.1", 10000), Upper) as server:
//!     server.serve_forever()
//! ```
//!
//! ```
//! use socketserver::{Connection, Handler, HandlerResult, ThreadingTcpServer};
//! use std::io::{BufRead, Write};
//! use std::time::Duration;
//!
//! #[derive(Clone)]
//! struct Upper;
//!
//! impl Handler for Upper {
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
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = ThreadingTcpServer::builder()
//!     .read_timeout(Duration::from_secs(30))
//!     .bind("127.0.0.1:0", Upper)?;
//! let running = server.spawn()?; // or `server.serve_forever()?` on this thread
//! # let mut client = socketserver::tcp::connect(running.local_addr(), Duration::from_secs(5))?;
//! # client.write_all(b"hello\nworld\n")?;
//! # let mut answer = String::new();
//! # client.read_line(&mut answer)?;
//! # client.read_line(&mut answer)?;
//! # assert_eq!(answer, "HELLO\nWORLD\n");
//! # drop(client);
//! running.stop()?;
//! # Ok(()) }
//! ```
//!
//! # A `BaseRequestHandler` with one `recv`
//! ```python
//! class Once(socketserver.BaseRequestHandler):
//!     def handle(self):
//!         data = self.request.recv(1024).strip()
//!         print(f"{self.client_address[0]} wrote: {data.decode()}")
//!         self.request.sendall(data.upper())
//! ```
//!
//! ```
//! use socketserver::{handler_fn, Connection, TcpServer};
//! use std::io::{Read, Write};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let once = |request: &mut Connection| {
//!     let mut buffer = [0; 1024];
//!     let count = request.read(&mut buffer)?;
//!     let data = String::from_utf8_lossy(&buffer[..count]);
//!     let data = data.trim();
//!     println!("{} wrote: {data}", request.peer_addr());
//!     request.write_all(data.to_uppercase().as_bytes())?;
//!     Ok(())
//! };
//! let running = TcpServer::bind("127.0.0.1:0", handler_fn(once))?.spawn()?;
//! # let mut client = socketserver::tcp::connect(running.local_addr(), std::time::Duration::from_secs(5))?;
//! # client.write_all(b"hello\r\n")?;
//! # let mut answer = String::new();
//! # client.read_to_string(&mut answer)?;
//! # assert_eq!(answer, "HELLO");
//! # drop(client);
//! running.stop()?;
//! # Ok(()) }
//! ```
//!
//! One `recv`, or one `read`, need not be one message, in Python as here: TCP may deliver half of it. Where the client sends lines,
//! [`Connection::read_line`] is as short and right.
//!
//! # A chat on `ThreadingMixIn`
//! ```python
//! members, lock = {}, threading.Lock()
//!
//! class Chat(socketserver.StreamRequestHandler):
//!     def setup(self):
//!         super().setup()
//!         with lock:
//!             members[id(self)] = self.wfile
//!
//!     def handle(self):
//!         self.wfile.write(b"welcome\n")
//!         for line in self.rfile:
//!             with lock:
//!                 for member, wfile in members.items():
//!                     if member != id(self):
//!                         wfile.write(line)  # one who does not read holds up everyone
//!
//!     def finish(self):
//!         with lock:
//!             del members[id(self)]
//!         super().finish()
//!
//! class ChatServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
//!     daemon_threads = True
//! ```
//!
//! ```
//! use socketserver::{Connection, ConnectionWriter, Handler, HandlerResult, ThreadingTcpServer};
//! use std::collections::HashMap;
//! use std::io::{BufRead, Write};
//! use std::sync::{Arc, Mutex};
//!
//! #[derive(Clone, Default)]
//! struct Chat {
//!     members: Arc<Mutex<HashMap<u64, ConnectionWriter>>>,
//! }
//!
//! impl Handler for Chat {
//!     fn setup(&mut self, request: &mut Connection) -> HandlerResult {
//!         self.members.lock().unwrap().insert(request.id(), request.writer());
//!         Ok(())
//!     }
//!
//!     fn handle(&mut self, request: &mut Connection) -> HandlerResult {
//!         request.write_all(b"welcome\n")?;
//!         let mut line = String::new();
//!         while request.read_line(&mut line)? > 0 {
//!             for (member, writer) in self.members.lock().unwrap().iter() {
//!                 if *member != request.id() && writer.try_write(line.as_bytes()).is_err() {
//!                     let _ = writer.shutdown(); // does not keep up, or has gone
//!                 }
//!             }
//!             line.clear();
//!         }
//!         Ok(())
//!     }
//!
//!     fn finish(&mut self, request: &mut Connection) -> HandlerResult {
//!         self.members.lock().unwrap().remove(&request.id());
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let running = ThreadingTcpServer::builder()
//!     .read_timeout(None) // people may be silent for as long as they like
//!     .bind("127.0.0.1:0", Chat::default())?
//!     .spawn()?;
//! # let mut clients = Vec::new();
//! # for _ in 0..3 {
//! #     let mut client = socketserver::tcp::connect(running.local_addr(), std::time::Duration::from_secs(5))?;
//! #     let mut welcome = String::new();
//! #     client.read_line(&mut welcome)?;
//! #     assert_eq!(welcome, "welcome\n");
//! #     clients.push(client);
//! # }
//! # clients[0].write_all("안녕하세요\n".as_bytes())?;
//! # clients[1].write_all(b"hello\n")?;
//! # for (client, said) in [(0, "hello\n"), (1, "안녕하세요\n")] {
//! #     let mut line = String::new();
//! #     clients[client].read_line(&mut line)?;
//! #     assert_eq!(line, said);
//! # }
//! # drop(clients);
//! running.stop()?;
//! # Ok(()) }
//! ```
//!
//! If `setup` fails, `finish` does not run, in Python as here; so the welcome, which may fail, is sent by `handle`. For thousands of members
//! there are callbacks and a [`Broadcaster`](crate::reactor::Broadcaster).
//!
//! # A `UDPServer`
//! ```python
//! class Shout(socketserver.BaseRequestHandler):
//!     def handle(self):
//!         data, sock = self.request
//!         sock.sendto(data.upper(), self.client_address)
//!
//! with socketserver.UDPServer(("127.0.0.1", 10000), Shout) as server:
//!     server.serve_forever()
//! ```
//!
//! ```
//! use socketserver::{Datagram, Handler, HandlerResult, UdpServer};
//!
//! #[derive(Clone)]
//! struct Shout;
//!
//! impl Handler<Datagram> for Shout {
//!     fn handle(&mut self, request: &mut Datagram) -> HandlerResult {
//!         request.reply(&request.data().to_ascii_uppercase())?;
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let running = UdpServer::bind("127.0.0.1:0", Shout)?.spawn()?;
//! # let mut client = socketserver::UdpClient::connect(running.local_addr())?;
//! # assert_eq!(client.request(b"hello")?, b"HELLO");
//! running.stop()?;
//! # Ok(()) }
//! ```
//!
//! # A `DatagramRequestHandler`
//! ```python
//! class Greet(socketserver.DatagramRequestHandler):
//!     def handle(self):
//!         for name in self.rfile:
//!             self.wfile.write(b"hello, " + name)
//! ```
//!
//! ```
//! use socketserver::{Datagram, Handler, HandlerResult, UdpServer};
//! use std::io::{BufRead, Write};
//!
//! #[derive(Clone, Default)]
//! struct Greet {
//!     wfile: Vec<u8>, // empty for each datagram: each is served by a clone
//! }
//!
//! impl Handler<Datagram> for Greet {
//!     fn handle(&mut self, request: &mut Datagram) -> HandlerResult {
//!         let mut name = String::new();
//!         while request.read_line(&mut name)? > 0 {
//!             write!(self.wfile, "hello, {name}")?;
//!             name.clear();
//!         }
//!         Ok(())
//!     }
//!
//!     fn finish(&mut self, request: &mut Datagram) -> HandlerResult {
//!         request.reply(&self.wfile)?; // after an error of `handle` too, as in Python
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let running = UdpServer::bind("127.0.0.1:0", Greet::default())?.spawn()?;
//! # let mut client = socketserver::UdpClient::connect(running.local_addr())?;
//! # assert_eq!(client.request(b"Guido\nBarry\n")?, b"hello, Guido\nhello, Barry\n");
//! # assert_eq!(client.request(b"Guido\n")?, b"hello, Guido\n");
//! running.stop()?;
//! # Ok(()) }
//! ```
//!
//! # A datagram to somebody else
//! By [`Datagram::socket`], which is `None` where mio has neither epoll nor kqueue (it stands on poll(2) there, or on Windows). A
//! [`ReactorUdp`](crate::ReactorUdp) sends to anybody on every system, and its [`send_to`](crate::DatagramTransport::send_to) keeps what
//! finds no room.
//!
//! ```python
//! def handle(self):
//!     data, sock = self.request
//!     sock.sendto(data, other_peer)
//! ```
//!
//! ```
//! use socketserver::{handler_fn, Datagram, UdpServer};
//! use std::net::SocketAddr;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let other = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! # other.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
//! let other_peer: SocketAddr = "127.0.0.1:10001".parse()?;
//! # let other_peer = other.local_addr()?;
//! let forward = move |request: &mut Datagram| {
//!     let socket = request.socket().ok_or("this system keeps the socket to itself")?;
//!     socket.send_to(request.data(), &other_peer.into())?; // an error of kind WouldBlock where there is no room now
//!     Ok(())
//! };
//! let running = UdpServer::bind("127.0.0.1:0", handler_fn(forward))?.spawn()?;
//! # std::net::UdpSocket::bind("127.0.0.1:0")?.send_to(b"hello", running.local_addr())?;
//! # let mut data = [0; 16];
//! # let (count, from) = other.recv_from(&mut data)?;
//! # assert_eq!((&data[..count], from), (&b"hello"[..], running.local_addr()));
//! running.stop()?;
//! # Ok(()) }
//! ```

#![cfg_attr(not(unix), doc = "[`UnixStreamServer`]: crate::server")]
#![cfg_attr(not(unix), doc = "[`ThreadingUnixStreamServer`]: crate::server")]
#![cfg_attr(not(unix), doc = "[`UnixDatagramServer`]: crate::server")]
#![cfg_attr(not(unix), doc = "[`ThreadingUnixDatagramServer`]: crate::server")]
#![cfg_attr(not(unix), doc = "[`remove_stale`]: crate::server::Builder")]
#![cfg_attr(unix, doc = "[`remove_stale`]: crate::server::Builder::remove_stale")]
#![doc(alias(
    "BaseServer",
    "TCPServer",
    "ThreadingTCPServer",
    "UDPServer",
    "ThreadingUDPServer",
    "ThreadingMixIn",
    "ForkingMixIn",
    "ForkingTCPServer",
    "ForkingUDPServer",
    "ForkingUnixStreamServer",
    "ForkingUnixDatagramServer",
    "BaseRequestHandler",
    "StreamRequestHandler",
    "DatagramRequestHandler",
    "RequestHandlerClass",
    "bind_and_activate",
    "poll_interval",
    "server_bind",
    "server_activate",
    "server_close",
    "server_address",
    "get_request",
    "process_request",
    "process_request_thread",
    "finish_request",
    "shutdown_request",
    "close_request",
    "address_family",
    "socket_type",
    "request_queue_size",
    "allow_reuse_address",
    "allow_reuse_port",
    "daemon_threads",
    "max_children",
    "active_children",
    "collect_children",
    "client_address",
    "rfile",
    "wfile",
    "rbufsize",
    "wbufsize",
    "disable_nagle_algorithm",
    "packet"
))]

#[allow(unused_imports)] // for the documentation
use crate::{
    server::{Builder, Dispatch, Listener, Threading},
    socket2, Connection, Datagram, Handler, Server, ServerHandle, TcpServer, ThreadingTcpServer, ThreadingUdpServer,
    UdpServer,
};
#[cfg(unix)]
#[allow(unused_imports)] // for the documentation
use crate::{ThreadingUnixDatagramServer, ThreadingUnixStreamServer, UnixDatagramServer, UnixStreamServer};
#[allow(unused_imports)] // for the documentation
use std::io::{self, BufRead, Read, Write};
