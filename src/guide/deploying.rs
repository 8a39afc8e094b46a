//! Behind systemd, behind a load balancer, and in several processes on one port.
//!
//! # systemd
//! A service that serves until SIGTERM, as in [`stopping`](super::stopping#signals), needs nothing more than this:
//!
//! ```ini
//! [Service]
//! ExecStart=/usr/local/bin/my-server 0.0.0.0:4711
//! # More than the server's drain_timeout, or its last requests are killed.
//! TimeoutStopSec=30
//! # max_connections, 64 and what the handlers open. Without it the soft limit is 1,024, and 64 less than that the default ceiling.
//! LimitNOFILE=12000
//! # With threads: max_connections, 64 for clients that are turned away, up to 1,024 that send to slow peers, and a few.
//! TasksMax=4000
//! Restart=on-failure
//! ```
//!
//! **Socket activation.** systemd opens the socket, and keeps it over restarts: clients that come meanwhile wait in its queue, and none is
//! refused. The unit of the socket, `my-server.socket` beside `my-server.service`, says where, and how long the queue is; the settings of how
//! to bind have no effect then:
//!
//! ```ini
//! [Socket]
//! ListenStream=0.0.0.0:4711
//! Backlog=4096
//!
//! [Install]
//! WantedBy=sockets.target
//! ```
//!
//! The process finds the socket as descriptor 3. To make one of std's listeners of it takes `unsafe`, which the crate `listenfd` has for you; it also
//! looks whether the descriptor was meant for this process:
//!
//! ```text
//! let inherited = ListenFd::from_env().take_tcp_listener(0)?.ok_or("started without a socket")?;
//! ```
//!
//! [`from_listener`](Builder::from_listener) serves it:
//!
//! ```
//! use socketserver::{handler_fn, Connection, ThreadingTcpServer};
//! use std::net::TcpListener;
//!
//! fn serve(inherited: TcpListener) -> socketserver::Result<()> {
//!     let mut server = ThreadingTcpServer::from_listener(inherited, handler_fn(|_: &mut Connection| Ok(())))?;
//!     # server.handle().shutdown();
//!     server.serve_forever()?;
//!     Ok(())
//! }
//! # serve(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
//! ```
//!
//! It sets the socket to non-blocking, for everybody who shares it: for systemd, which keeps it, and for the next process that is given it.
//!
//! A Unix socket of systemd's is taken in the same way, and its path is left to systemd.
//!
//! # A load balancer
//! **Who the client is.** Behind a balancer that works on connections, the peer's address is the balancer's. With its PROXY protocol on, the client's own
//! comes first on each connection, and a listener's [preparation](crate::server::Prepare) reads it, before `verify_request` and `max_per_address` look:
//!
//! ```
//! use socketserver::server::{AcceptError, Listener, Prepare, Readiness, Threading};
//! use socketserver::{handler_fn, tcp, Address, Connection, RequestContext, Server};
//! use std::io::{self, BufRead, ErrorKind, Write};
//! use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! /// A TCP listener for the balancer alone: bind it where nobody else can connect.
//! struct Balanced(tcp::TcpListener);
//!
//! impl Listener for Balanced {
//!     type Request = Connection;
//!     type Addr = SocketAddr;
//!
//!     fn local_addr(&self) -> SocketAddr {
//!         self.0.local_addr()
//!     }
//!     fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
//!         self.0.register(readiness)
//!     }
//!     fn accept(&mut self, context: &RequestContext) -> Result<Connection, AcceptError> {
//!         self.0.accept(context)
//!     }
//!     fn preparation(&self) -> Option<Arc<dyn Prepare<Connection>>> {
//!         Some(Arc::new(ProxyHeader))
//!     }
//! }
//!
//! /// `PROXY TCP4 192.0.2.7 203.0.113.1 56324 443`, at most 107 bytes with its line end.
//! struct ProxyHeader;
//!
//! impl Prepare<Connection> for ProxyHeader {
//!     fn prepare(&self, request: &mut Connection, _deadline: Instant) -> io::Result<()> {
//!         let usual = request.max_line();
//!         request.set_max_line(106); // and the newline
//!         let mut line = String::new();
//!         request.read_line(&mut line)?;
//!         request.set_max_line(usual);
//!         if !line.ends_with('\n') {
//!             // The end: a health check, which connects and says nothing, or a header that was cut.
//!             return Err(ErrorKind::UnexpectedEof.into());
//!         }
//!         match client(&line).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "no PROXY header"))? {
//!             Some(client) => request.set_peer_addr(Address::Inet(client)),
//!             None => {} // the balancer itself
//!         }
//!         Ok(())
//!     }
//! }
//!
//! /// The client that a header names, if it names one; `None` where it is no header.
//! fn client(line: &str) -> Option<Option<SocketAddr>> {
//!     let words: Vec<&str> = line.strip_suffix("\r\n")?.split(' ').collect();
//!     let (ip, port) = match words[..] {
//!         // A connection of the balancer's own, or one that it cannot say anything of: whatever follows is to be ignored.
//!         ["PROXY", "UNKNOWN", ..] => return Some(None),
//!         ["PROXY", "TCP4", from, _to, port, _to_port] => (from.parse::<Ipv4Addr>().ok()?.into(), port),
//!         ["PROXY", "TCP6", from, _to, port, _to_port] => (from.parse::<Ipv6Addr>().ok()?.into(), port),
//!         _ => return None,
//!     };
//!     Some(Some(SocketAddr::new(ip, port.parse().ok()?)))
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let who = handler_fn(|request: &mut Connection| Ok(writeln!(request, "you are {}", request.peer_addr())?));
//! // Not std's `bind`, whose backlog is 128.
//! let listener = TcpListener::from(tcp::listen("127.0.0.1:0")?);
//! # let (tell, told) = std::sync::mpsc::channel();
//! # let tell = std::sync::Mutex::new(tell);
//! let server = Server::<Balanced, Threading>::builder()
//!     # .handle_error(move |failure| tell.lock().unwrap().send((failure.stage(), failure.is_disconnect())).unwrap())
//!     .from_listener(Balanced(listener.try_into()?), who)?;
//! # let running = server.spawn()?;
//! # let call = |header: &str| -> io::Result<(String, String)> {
//! #     let mut client = std::net::TcpStream::connect(running.local_addr())?;
//! #     client.write_all(header.as_bytes())?;
//! #     client.shutdown(std::net::Shutdown::Write)?;
//! #     let mut answer = String::new();
//! #     io::Read::read_to_string(&mut client, &mut answer)?;
//! #     Ok((answer, client.local_addr()?.to_string()))
//! # };
//! # let six = "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n";
//! # let longest = format!("PROXY UNKNOWN {0} {0} 65535 65535\r\n", ["ffff"; 8].join(":"));
//! # assert_eq!(longest.len(), 107);
//! # assert_eq!(call("PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n")?.0, "you are 192.0.2.7:56324\n");
//! # assert_eq!(call(six)?.0, "you are [2001:db8::7]:56324\n");
//! # for unknown in ["PROXY UNKNOWN\r\n", &longest] {
//! #     let (answer, address) = call(unknown)?;
//! #     assert_eq!(answer, format!("you are {address}\n"));
//! # }
//! # assert!(told.try_recv().is_err());
//! # let disconnects = ["", "PROXY TCP4 192.0.2.7 203.0.113.1 56324 4", "PROXY UNKNOWN\r"];
//! # let others = [
//! #     six.replace("TCP6", "TCP4"), six.replace("TCP6", "TCPX"), six.replace('\r', ""), six.replace(" 443", ""), "GET /\r\n".into(),
//! #     longest.replace("\r\n", "5\r\n"), "PROXY TCP6 192.0.2.7 203.0.113.1 56324 443\r\n".into(),
//! # ];
//! # let others = others.iter().map(|header| (&header[..], false));
//! # for (header, disconnect) in disconnects.map(|header| (header, true)).into_iter().chain(others) {
//! #     assert_eq!(call(header).map_or(String::new(), |answer| answer.0), "", "{header}");
//! #     assert_eq!(told.recv()?, (socketserver::Stage::Prepare, disconnect), "{header}");
//! # }
//! # running.stop()?;
//! # Ok(()) }
//! ```
//!
//! A health check that connects and closes is counted among [`handler_errors`](crate::Stats::handler_errors), but as a
//! [disconnect](crate::Failure::is_disconnect) it is logged at debug level alone. Where the balancer can, have it send the header with its checks too.
//!
//! This is version 1 of the protocol, which is text. Version 2 is binary, and some balancers send no other; it takes a parser of its own, from a crate
//! or by the protocol's specification, in the same place.
//!
//! **Leaving without a failed request.** A balancer goes on sending clients for as long as it takes to notice. So have its health check fail first, wait for
//! that long, and only then call [`shutdown`](crate::ServerHandle::shutdown), which refuses new clients at once.
//!
//! **Timeouts.** A balancer that keeps connections to the server open expects to close them itself: let [`read_timeout`](Builder::read_timeout) be longer than its
//! idle timeout, or it will now and then send a request to a connection that the server is just closing. A
//! [`request_deadline`](Builder::request_deadline) is for the whole connection, however many questions and answers there are on it; for each
//! of them, the handler has [`set_deadline`](crate::Connection::set_deadline).
//!
//! # Several processes on one port
//! With [`reuse_port`](Builder::reuse_port) each process binds the same port, has a queue of its own, and the kernel spreads new connections over
//! the queues by a hash of the addresses (socket(7)). That takes more than one processor without threads that share anything, and one
//! process can be replaced while others serve.
//!
//! Each server has its limits for itself: with four processes, four times `max_connections` and `max_per_address`. A process that does not
//! accept, because its places are taken, keeps what is in its queue waiting although others have room; so let
//! [`max_connections`](Builder::max_connections) be ample. At a stop, what is in its queue is taken as far as there are places, and the rest is reset
//! (unless `net.ipv4.tcp_migrate_req` has the kernel pass it on).
//!
//! For several processors within one process, [`workers`](Builder::workers) gives an event-driven server as many loops, with one set of limits.
//!
//! # The system's own limits
//! | limit | is about | set by |
//! |---|---|---|
//! | descriptors of a process | connections; two for each request that connects onwards | `LimitNOFILE`, `ulimit -n` |
//! | threads | threading servers: 8,000 at the most | `TasksMax`, `kernel.threads-max`, `kernel.pid_max` |
//! | memory mappings | coroutines: two each | `vm.max_map_count` |
//! | the kernel's queue of a listener | [`backlog`](Builder::backlog) is cut to it | `net.core.somaxconn` (4,096) |
//! | half-open connections | connects at once from far away | `net.ipv4.tcp_max_syn_backlog` |
//! | receive buffer of a datagram socket | [`recv_buffer_size`](Builder::recv_buffer_size) is cut to it | `net.core.rmem_max` |

#[allow(unused_imports)] // for the documentation
use crate::server::Builder;
