//! The high-level half of Python's `socket`, word by word.
//!
//! What is different everywhere stands [one page up](super#what-is-different-everywhere), with the
//! [exceptions](super#exceptions). Here it is this:
//!
//! * **No socket that is not yet anything.** `socket()`, `setsockopt`, `bind`, `listen` are one call here; what comes between them is a
//!   setting of a builder. A [`Connection`] is connected, a [`UdpClient`] too.
//! * **A [`Connection`] is the socket and its `makefile`**: buffered for reading, sent at once in writing; both of a server's clients and
//!   of [`tcp::connect`].
//! * **The timeout of [`tcp::connect`] is for connecting**; the connection has 60 s for a read and 30 s for a write without progress, until
//!   you set others. In Python one value stays for everything.
//!
//! # Functions
//! | Python | here | differences |
//! |---|---|---|
//! | `create_connection(address, timeout)` | [`tcp::connect`] | one deadline for the look-up and all addresses, which are tried a quarter of a second apart; Python's is for each |
//! | `create_connection(…, source_address=…)` | [`Connector::source_address`] | |
//! | `create_connection(…, all_errors=True)` | always: [`Error::Connect`](crate::Error::Connect) has what each address said | |
//! | `create_server(address)` | `bind` of a server; for a loop of your own, [`tcp::listen`] | |
//! | `create_server(…, backlog, reuse_port, dualstack_ipv6)` | [`Builder::backlog`], [`Builder::reuse_port`], [`Builder::dual_stack`] | |
//! | `create_server(…, family)` | the address says it | |
//! | `socket(family, type, proto)` | none; what is left is [`socket2::Socket`](https://docs.rs/socket2/0.6/socket2/struct.Socket.html), for [`Builder::from_listener`], `from_socket` of [`UdpServer`], or [`Connection::from`](Connection#trait-implementations) of std's streams | |
//! | `socketpair()` | `UnixStream::pair()` of std, and [`Connection::from`](Connection#trait-implementations) each | |
//! | `fromfd(fd, …)`, `socket(fileno=fd)` | std's types from an `OwnedFd`, then as above | |
//! | `getdefaulttimeout()`, `setdefaulttimeout(t)` | none: the [builder](Builder::read_timeout)'s, or the connection's | |
//! | `send_fds`, `recv_fds` | none | |
//! | `close(fd)` | dropping | |
//!
//! # Names and addresses
//! | Python | here | differences |
//! |---|---|---|
//! | `getaddrinfo(host, port, family, type)` | [`net::resolve`](fn@net::resolve); of text such as `example.org:80`, [`Endpoint::resolve`](net::Endpoint::resolve) | with a timeout; gives `SocketAddr`s |
//! | `gethostbyname(name)` | [`net::gethostbyname`] | with a timeout; an empty name is an error |
//! | `gethostbyname_ex(name)` | [`net::resolve`](fn@net::resolve) with [`Family::V4`](net::Family::V4) | no aliases |
//! | `gethostname()` | [`gethostname`] | needs the feature `dns-lookup` where the system keeps it in no file |
//! | `gethostbyaddr(address)` | [`gethostbyaddr`], with the feature `dns-lookup` | the name alone |
//! | `getnameinfo(sockaddr, flags)` | [`getnameinfo`], with the feature `dns-lookup`; digits alone are `SocketAddr`'s `to_string` | |
//! | `getfqdn(name)` | [`getfqdn`], with the feature `dns-lookup` | never called by itself, as it may stall |
//! | `getservbyname(name, protocol)`, `getservbyport(port, protocol)` | [`net::getservbyname`], [`net::getservbyport`] | |
//! | `getprotobyname`, `sethostname`, `if_nameindex`, `if_nametoindex`, `if_indextoname` | none | an address may name its interface: `[fe80::1%eth0]:80` |
//! | `has_dualstack_ipv6()`, `has_ipv6` | [`net::has_dualstack_ipv6`] | |
//! | `inet_aton`, `inet_ntoa`, `inet_pton`, `inet_ntop` | [`IpAddr`]: `parse`, `to_string`, `octets` | |
//! | `htons`, `htonl`, `ntohs`, `ntohl` | `to_be_bytes`, `from_be_bytes` of the integers | |
//!
//! # Methods of a socket
//! | Python | here | differences |
//! |---|---|---|
//! | `bind(address)`, `listen(backlog)` | `bind` of a server, [`Builder::backlog`]; [`tcp::listen`] | |
//! | `accept()` | the server does it; of [`tcp::listen`], `accept` of mio's listener | |
//! | `connect(address)` | [`tcp::connect`] with `None` or a timeout; over UDP [`UdpClient::connect`] | |
//! | `connect_ex(address)` on a non-blocking socket | [`tcp::connect_nonblocking`], then [`tcp::connect_outcome`] | |
//! | `recv(n)`, `recv_into(buffer)` | [`Connection::read`] into a buffer of yours | `Ok(0)` is Python's `b""` |
//! | `recv(n, MSG_WAITALL)`, a `recv_all` of the tutorials | [`Connection::read_exact`] | see [below](#recv_all) |
//! | `recv(n, MSG_PEEK)` | [`Connection::fill_buf`] without [`consume`](Connection::consume) | |
//! | `recvfrom(n)`, `recvfrom_into(buffer)` | of a server, [`Datagram::data`] and [`Datagram::peer_addr`]; of a client, [`UdpClient::recv`] | never cut |
//! | `send(data)` | [`Connection::write`], which may take a part | |
//! | `sendall(data)` | [`Connection::write_all`] | after half a message later writes fail, rather than confuse the peer |
//! | `sendto(data, address)` | of a server, [`Datagram::reply`]; of a client, [`UdpClient::send`] | to whomever you like: [`std::net::UdpSocket`], or [`DatagramTransport::send_to`](crate::DatagramTransport::send_to); from a server's port, [`Datagram::socket`]: see [an example](super::socketserver#a-datagram-to-somebody-else) |
//! | `sendto`, then `recvfrom` with a timeout | [`UdpClient::request`] | repeats within one deadline; no late or foreign answer is taken |
//! | `recvmsg`, `recvmsg_into`, `sendmsg`, `sendmsg_afalg` | none | |
//! | `sendfile(file)` | `std::io::copy(&mut file, &mut connection)` | through memory |
//! | `makefile("rwb")` | the [`Connection`] itself: [`BufRead`] and [`Write`] | |
//! | `makefile("r", encoding="utf-8")` | [`Connection::read_line`] | other encodings: [`Connection::read_until`] and a decoder of theirs |
//! | `shutdown(SHUT_WR)`, `SHUT_RD`, `SHUT_RDWR` | [`Connection::shutdown`]; from another thread [`ConnectionWriter::shutdown`](crate::ConnectionWriter::shutdown) | |
//! | `close()`, `with` | [`Connection::close`], which sees to the last bytes; dropping closes at once | a server calls it for you |
//! | `dup()` | [`Connection::writer`] for other threads; else `try_clone` of [`Connection::socket`] | |
//! | `fileno()` | [`Connection::socket`], and `as_raw_fd` of it | lent: an owner made of it would close it a second time |
//! | `detach()` | none: a connection keeps its socket | |
//! | `getpeername()`, `getsockname()` | [`Connection::peer_addr`], [`Connection::local_addr`] | |
//! | `family`, `type`, `proto`, `getsockopt`, `ioctl` | [`Connection::socket`], as far as [`socket2`](https://docs.rs/socket2/0.6/socket2/) has it | |
//! | `get_inheritable()`, `set_inheritable(…)` | none: not inherited, Python's default too | |
//!
//! # Timeouts
//! | Python | here | differences |
//! |---|---|---|
//! | `settimeout(t)`, `gettimeout()` | [`Connection::set_read_timeout`], [`Connection::set_write_timeout`]; [`Connection::read_timeout`], [`Connection::write_timeout`] | the longest wait without progress; after one the read can be repeated |
//! | `sendall` with a timeout, which is total | [`Connection::set_deadline`] | total for reading too, until it is set again |
//! | `settimeout(None)`, `setblocking(True)` | `set_read_timeout(None)`, `set_write_timeout(None)` | |
//! | `settimeout(0)`, `setblocking(False)`, `getblocking()` | none of a [`Connection`]; mio's sockets with a [`Selector`](crate::reactor::Selector) | zero is an error; [`try_write`](crate::ConnectionWriter::try_write) never waits |
//! | `settimeout(t)` before `accept()` | [`Builder::timeout`] with [`Server::handle_request`] | |
//! | `settimeout(t)` of a UDP client | [`UdpClient::set_timeout`] | total, 5 s by default; there is always one |
//!
//! # Options and constants
//! | Python | here |
//! |---|---|
//! | `SO_REUSEADDR` | [`Builder::reuse_address`], on for TCP |
//! | `SO_REUSEPORT` | [`Builder::reuse_port`] |
//! | `IPV6_V6ONLY` | [`Builder::dual_stack`], its opposite |
//! | `TCP_NODELAY` | [`Builder::nodelay`], [`Connection::set_nodelay`]; on |
//! | `SO_KEEPALIVE`, `TCP_KEEPIDLE`, `TCP_KEEPINTVL`, `TCP_KEEPCNT` | [`Keepalive`](crate::Keepalive) with [`Builder::keepalive`], [`Connection::set_keepalive`] |
//! | `SO_LINGER` | [`Connection::set_linger`]; for a reset [`Connection::abort`] |
//! | `SO_RCVBUF`, `SO_SNDBUF` | [`Connection::set_recv_buffer_size`], [`Connection::set_send_buffer_size`]; of datagram servers [`Builder::recv_buffer_size`], [`Builder::send_buffer_size`] |
//! | `SO_BROADCAST` | [`Builder::broadcast`] |
//! | `IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP` | [`Builder::multicast`], [`Server::join_multicast`] |
//! | `SO_ERROR` after a non-blocking connect | [`tcp::connect_outcome`] |
//! | any other, `setsockopt(…)` | [`Connection::socket`], [`Datagram::socket`], [`UdpClientBuilder::configure`](crate::udp::UdpClientBuilder::configure); before a server listens, `from_listener` |
//! | `AF_INET`, `AF_INET6`, `AF_UNIX` | the address, the server's type; for look-ups [`Family`](net::Family) |
//! | `SOCK_STREAM`, `SOCK_DGRAM` | the server's type; for look-ups [`SocketKind`](net::SocketKind) |
//! | `SHUT_RD`, `SHUT_WR`, `SHUT_RDWR` | [`Shutdown`](std::net::Shutdown) |
//! | `SOMAXCONN` | the default of [`Builder::backlog`] |
//! | `MSG_DONTWAIT`, `MSG_OOB` | none |
//!
//! # A client with `create_connection` and a timeout
//! ```python
//! with socket.create_connection(("localhost", 10000), timeout=5) as sock:
//!     sock.sendall("안녕하세요\n".encode())
//!     print(sock.makefile(encoding="utf-8").readline(), end="")
//! ```
//!
//! ```
//! use socketserver::{tcp, Error};
//! use std::io::{BufRead, Write};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use socketserver::{handler_fn, Connection, TcpServer};
//! # let echo = |request: &mut Connection| {
//! #     let mut line = String::new();
//! #     request.read_line(&mut line)?;
//! #     Ok(request.write_all(line.as_bytes())?)
//! # };
//! # let running = TcpServer::bind("127.0.0.1:0", handler_fn(echo))?.spawn()?;
//! # let address = running.local_addr();
//! let mut connection = tcp::connect(address, Duration::from_secs(5))?; // or of ("localhost", 10000), or "localhost:10000"
//! connection.set_deadline(Duration::from_secs(5))?; // what follows, all of it
//! connection.write_all("안녕하세요\n".as_bytes())?;
//! let mut line = String::new();
//! match connection.read_line(&mut line) {
//!     Ok(0) => println!("the server has closed the connection"),
//!     Ok(_) => print!("{line}"),
//!     Err(error) if matches!(Error::of(&error), Some(Error::Timeout { .. })) => println!("no answer: {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # assert_eq!(line, "안녕하세요\n");
//! # drop(connection);
//! # running.stop()?;
//! # Ok(()) }
//! ```
//!
//! # `recv_all`
//! ```python
//! def recv_all(sock, count):
//!     data = bytearray()
//!     while len(data) < count:
//!         chunk = sock.recv(count - len(data))
//!         if not chunk:
//!             raise EOFError("the connection ended early")
//!         data += chunk
//!     return bytes(data)
//!
//! def recv_message(sock):
//!     (length,) = struct.unpack("!I", recv_all(sock, 4))
//!     return recv_all(sock, length)
//! ```
//!
//! ```
//! use socketserver::framing::LengthPrefix;
//! use socketserver::Connection;
//! use std::io::{self, Read};
//!
//! fn recv_all(connection: &mut Connection, count: usize) -> io::Result<Vec<u8>> {
//!     let mut data = vec![0; count];
//!     connection.read_exact(&mut data)?;
//!     Ok(data)
//! }
//!
//! /// `None` when the peer has ended between two messages.
//! fn recv_message(connection: &mut Connection) -> io::Result<Option<Vec<u8>>> {
//!     connection.read_frame(LengthPrefix::U32_BE)
//! }
//! #
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use socketserver::{handler_fn, tcp, TcpServer};
//! # let serve = |request: &mut Connection| {
//! #     assert_eq!(recv_all(request, 4)?, b"spam");
//! #     while let Some(message) = recv_message(request)? {
//! #         request.write_frame(LengthPrefix::U32_BE, &message)?;
//! #     }
//! #     Ok(())
//! # };
//! # let running = TcpServer::bind("127.0.0.1:0", handler_fn(serve))?.spawn()?;
//! # let mut connection = tcp::connect(running.local_addr(), std::time::Duration::from_secs(5))?;
//! # io::Write::write_all(&mut connection, b"sp")?;
//! # io::Write::write_all(&mut connection, b"am")?;
//! # connection.write_frame(LengthPrefix::U32_BE, b"eggs")?;
//! # assert_eq!(recv_message(&mut connection)?.as_deref(), Some(&b"eggs"[..]));
//! # connection.shutdown(std::net::Shutdown::Write)?;
//! # assert_eq!(recv_message(&mut connection)?, None);
//! # drop(connection);
//! # running.stop()?;
//! # Ok(()) }
//! ```
//!
//! The length of a message is held against a limit ([`max_frame`](Builder::max_frame), 1 MiB) before anything is allocated. A `count` that
//! a peer sends is for you to limit. To read all that comes until the peer closes, [`read_to_end`](std::io::Read::read_to_end).
//!
//! # A UDP client
//! ```python
//! with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
//!     sock.settimeout(5)
//!     sock.sendto(b"hello", ("127.0.0.1", 10000))
//!     answer, _ = sock.recvfrom(1024)
//! ```
//!
//! ```
//! use socketserver::UdpClient;
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use socketserver::{handler_fn, Datagram, UdpServer};
//! # let echo = |request: &mut Datagram| Ok(request.reply(request.data())?);
//! # let running = UdpServer::bind("127.0.0.1:0", handler_fn(echo))?.spawn()?;
//! # let address = running.local_addr();
//! let mut client = UdpClient::connect(address)?;
//! client.set_timeout(Duration::from_secs(5))?;
//! let answer = client.request(b"hello")?; // asked again where nothing comes; `set_retries(0)` asks once
//! # assert_eq!(answer, b"hello");
//! # running.stop()?;
//! # Ok(()) }
//! ```

#![cfg_attr(not(feature = "dns-lookup"), doc = "[`gethostbyaddr`]: crate::net")]
#![cfg_attr(not(feature = "dns-lookup"), doc = "[`getnameinfo`]: crate::net")]
#![cfg_attr(not(feature = "dns-lookup"), doc = "[`getfqdn`]: crate::net")]
#![cfg_attr(
    not(any(target_os = "linux", target_os = "android", feature = "dns-lookup")),
    doc = "[`gethostname`]: crate::net"
)]
#![doc(alias(
    "create_connection",
    "create_server",
    "socketpair",
    "fromfd",
    "source_address",
    "all_errors",
    "dualstack_ipv6",
    "setdefaulttimeout",
    "getdefaulttimeout",
    "getaddrinfo",
    "gethostbyname_ex",
    "getprotobyname",
    "if_nameindex",
    "inet_aton",
    "inet_ntoa",
    "inet_pton",
    "inet_ntop",
    "htons",
    "htonl",
    "ntohs",
    "ntohl",
    "connect_ex",
    "recv_into",
    "recv_all",
    "recvfrom",
    "recvfrom_into",
    "recvmsg",
    "sendall",
    "sendto",
    "sendmsg",
    "sendfile",
    "send_fds",
    "recv_fds",
    "makefile",
    "getpeername",
    "getsockname",
    "getsockopt",
    "setsockopt",
    "settimeout",
    "gettimeout",
    "setblocking",
    "getblocking",
    "detach",
    "fileno",
    "SHUT_RD",
    "SHUT_WR",
    "SHUT_RDWR",
    "SO_REUSEADDR",
    "SO_REUSEPORT",
    "SO_KEEPALIVE",
    "SO_LINGER",
    "SO_RCVBUF",
    "SO_SNDBUF",
    "SO_BROADCAST",
    "SO_ERROR",
    "TCP_NODELAY",
    "IPV6_V6ONLY",
    "IP_ADD_MEMBERSHIP",
    "AF_INET",
    "AF_INET6",
    "AF_UNIX",
    "SOCK_STREAM",
    "SOCK_DGRAM",
    "SOMAXCONN",
    "MSG_PEEK",
    "MSG_WAITALL",
    "MSG_DONTWAIT"
))]

#[cfg(any(target_os = "linux", target_os = "android", feature = "dns-lookup"))]
#[allow(unused_imports)] // for the documentation
use crate::net::gethostname;
#[cfg(feature = "dns-lookup")]
#[allow(unused_imports)] // for the documentation
use crate::net::{getfqdn, gethostbyaddr, getnameinfo};
#[allow(unused_imports)] // for the documentation
use crate::{net, server::Builder, tcp, tcp::Connector, Connection, Datagram, Server, UdpClient, UdpServer};
#[allow(unused_imports)] // for the documentation
use std::io::{BufRead, Read, Write};
#[allow(unused_imports)] // for the documentation
use std::net::IpAddr;
