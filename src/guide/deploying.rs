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
//! refused. The listening socket is descriptor 3, and [`from_listener`](Builder::from_listener) takes it, of std's type, such as the crate `listenfd`
//! makes of it. The backlog is then the unit's own (`Backlog=`), and the settings of how to bind have no effect.
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
//! A Unix socket of systemd's is taken in the same way, and its path is left to systemd.
//!
//! # A load balancer
//! **Who the client is.** Behind a balancer that works on connections, the peer's address is the balancer's. With its PROXY protocol on, the client's own
//! comes first on each connection, and a listener's [preparation](crate::server::Prepare) reads it, before `verify_request` and `max_per_address` look:
//!
//! ```
//! use socketserver::server::{AcceptError, Listener, Prepare, Readiness, Threading};
//! use socketserver::{handler_fn, tcp, Address, Connection, RequestContext, Server};
//! use std::io::{self, BufRead};
//! use std::net::{IpAddr, SocketAddr};
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
//! /// `PROXY TCP4 192.0.2.7 203.0.113.1 56324 443`, at most 107 bytes: version 1 of the protocol.
//! struct ProxyHeader;
//!
//! impl Prepare<Connection> for ProxyHeader {
//!     fn prepare(&self, request: &mut Connection, _deadline: Instant) -> io::Result<()> {
//!         let usual = request.max_line();
//!         request.set_max_line(107);
//!         let mut line = String::new();
//!         request.read_line(&mut line)?;
//!         request.set_max_line(usual);
//!         let mut words = line.split_ascii_whitespace().skip(2);
//!         let ip = words.next().and_then(|word| word.parse::<IpAddr>().ok());
//!         let port = words.nth(1).and_then(|word| word.parse().ok());
//!         match (line.starts_with("PROXY TCP"), ip, port) {
//!             (true, Some(ip), Some(port)) => request.set_peer_addr(Address::Inet(SocketAddr::new(ip, port))),
//!             _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "no PROXY header")),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let who = handler_fn(|request: &mut Connection| {
//!     use std::io::Write;
//!     Ok(writeln!(request, "you are {}", request.peer_addr())?)
//! });
//! let server = Server::<Balanced, Threading>::builder().from_listener(Balanced(listener.try_into()?), who)?;
//! # let running = server.spawn()?;
//! # let mut client = std::net::TcpStream::connect(running.local_addr())?;
//! # std::io::Write::write_all(&mut client, b"PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n")?;
//! # let mut answer = String::new();
//! # std::io::Read::read_to_string(&mut client, &mut answer)?;
//! # assert_eq!(answer, "you are 192.0.2.7:56324\n");
//! # running.stop()?;
//! # Ok(()) }
//! ```
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
