//! A tour of every server the crate has; of those with coroutines too if the feature `coroutine` is on.
//!
//! Shows: one handler, unchanged, on each kind of server; the same as callbacks on those that are event-driven; the clients' side; `spawn`,
//! `stop` and what they report.
//!
//! Run: `cargo run --example tour`, or with `--features coroutine`. It needs no network and no free port in particular: it uses ports of the loopback
//! interface that the system chooses, and Unix sockets in a temporary folder that it removes.
//!
//! Expect: for each server a few lines of what was said and how the stop went, a last line that counts the servers, and
//! exit code 0. An answer other than the expected one is an error, with exit code 1.
//!
//! Python's counterpart: `run_server` in CPython's `test_socketserver.py`, which does the same to every class of `socketserver`.

mod common;

use std::fmt::Display;
#[cfg(unix)]
use std::io::BufReader;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
#[cfg(unix)]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{say, ExampleResult};
#[cfg(feature = "coroutine")]
use socketserver::coroutine::CoroutineTcpServer;
#[cfg(all(unix, feature = "coroutine"))]
use socketserver::coroutine::CoroutineUnixServer;
use socketserver::framing::LineDecoder;
use socketserver::reactor::{DatagramProtocol, DatagramTransport, Framed, MessageProtocol, Reactor, ReactorUdp};
use socketserver::{
    tcp, Connection, Datagram, Handler, HandlerResult, ReactorTcpServer, Running, ServerHandle, ShutdownReport,
    TcpServer, ThreadingTcpServer, ThreadingUdpServer, Transport, UdpClient, UdpServer,
};
#[cfg(unix)]
use socketserver::{
    Address, ReactorUnixServer, ThreadingUnixDatagramServer, ThreadingUnixStreamServer, UnixDatagramServer,
    UnixStreamServer,
};

/// Everything here happens within this machine; what takes so long has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What all of them serve with: it counts the lines and sends them back in capitals.
#[derive(Clone)]
struct Shout {
    lines: usize,
}

impl Shout {
    fn answer(&mut self, line: &str) -> String {
        self.lines += 1;
        format!("{}: {}\n", self.lines, line.trim_end().to_uppercase())
    }
}

/// A thread for each client, or one client at a time: it may wait.
impl Handler for Shout {
    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let mut line = String::new();
        while request.read_line(&mut line)? > 0 {
            request.write_all(self.answer(&line).as_bytes())?;
            line.clear();
        }
        Ok(())
    }
}

/// A datagram is a request of its own, so each is the first line of a clone.
impl Handler<Datagram> for Shout {
    fn handle(&mut self, request: &mut Datagram) -> HandlerResult {
        let answer = self.answer(&String::from_utf8_lossy(request.data()));
        Ok(request.reply(answer.as_bytes())?)
    }
}

/// All clients on one thread: it is called when a line has come.
impl MessageProtocol for Shout {
    fn message_received(&mut self, transport: &mut Transport, line: &[u8]) {
        transport.write(self.answer(&String::from_utf8_lossy(line)).as_bytes());
    }
}

/// One for all peers, so it counts the lines of all.
impl DatagramProtocol for Shout {
    fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr) {
        let _ = transport.send_to(self.answer(&String::from_utf8_lossy(data)).as_bytes(), peer);
    }
}

const SHOUT: Shout = Shout { lines: 0 };

fn shouted_lines() -> Framed<LineDecoder, Shout> {
    Framed::new(LineDecoder::new(), SHOUT)
}

/// A server to be visited. A new kind of server is one more entry in [`STOPS`].
struct Stop {
    server: &'static str,
    python: &'static str,
    /// Starts it, talks to it and stops it. The folder is for its files. Returns how many servers that were.
    visit: fn(&Path) -> ExampleResult<usize>,
}

const STOPS: &[Stop] = &[
    Stop {
        server: "TcpServer",
        python: "TCPServer: one client at a time",
        visit: |_| visit(TcpServer::bind("127.0.0.1:0", SHOUT)?.spawn()?, tcp_client, Clients::OneByOne),
    },
    Stop {
        server: "ThreadingTcpServer",
        python: "ThreadingTCPServer: a thread for each client",
        visit: |_| visit(ThreadingTcpServer::bind("127.0.0.1:0", SHOUT)?.spawn()?, tcp_client, Clients::AtOnce),
    },
    Stop {
        server: "ThreadingTcpServer::from_listener",
        python: "ThreadingTCPServer with a socket of systemd's",
        visit: |_| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            visit(ThreadingTcpServer::from_listener(listener, SHOUT)?.spawn()?, tcp_client, Clients::AtOnce)
        },
    },
    #[cfg(unix)]
    Stop {
        server: "UnixStreamServer",
        python: "UnixStreamServer: one client at a time",
        visit: |folder| {
            visit(UnixStreamServer::bind(folder.join("one.sock"), SHOUT)?.spawn()?, unix_client, Clients::OneByOne)
        },
    },
    #[cfg(unix)]
    Stop {
        server: "ThreadingUnixStreamServer",
        python: "ThreadingUnixStreamServer: a thread for each client",
        visit: |folder| {
            visit(
                ThreadingUnixStreamServer::bind(folder.join("many.sock"), SHOUT)?.spawn()?,
                unix_client,
                Clients::AtOnce,
            )
        },
    },
    #[cfg(feature = "coroutine")]
    Stop {
        server: "CoroutineTcpServer",
        python: "TCPServer under gevent: a coroutine for each client",
        visit: |_| visit(CoroutineTcpServer::bind("127.0.0.1:0", SHOUT)?.spawn()?, tcp_client, Clients::AtOnce),
    },
    #[cfg(all(unix, feature = "coroutine"))]
    Stop {
        server: "CoroutineUnixServer",
        python: "UnixStreamServer under gevent: a coroutine for each client",
        visit: |folder| {
            let running = CoroutineUnixServer::bind(folder.join("coroutines.sock"), SHOUT)?.spawn()?;
            visit(running, unix_client, Clients::AtOnce)
        },
    },
    Stop {
        server: "UdpServer",
        python: "UDPServer: one datagram at a time",
        visit: |_| visit_datagrams(UdpServer::bind("127.0.0.1:0", SHOUT)?.spawn()?, udp_client, Counts::Each),
    },
    Stop {
        server: "ThreadingUdpServer",
        python: "ThreadingUDPServer: a thread for each datagram",
        visit: |_| visit_datagrams(ThreadingUdpServer::bind("127.0.0.1:0", SHOUT)?.spawn()?, udp_client, Counts::Each),
    },
    #[cfg(unix)]
    Stop {
        server: "UnixDatagramServer",
        python: "UnixDatagramServer: one datagram at a time",
        visit: |folder| {
            let server = UnixDatagramServer::bind(folder.join("one-datagram.sock"), SHOUT)?;
            visit_datagrams(server.spawn()?, unix_datagram_client, Counts::Each)
        },
    },
    #[cfg(unix)]
    Stop {
        server: "ThreadingUnixDatagramServer",
        python: "ThreadingUnixDatagramServer: a thread for each datagram",
        visit: |folder| {
            let server = ThreadingUnixDatagramServer::bind(folder.join("many-datagrams.sock"), SHOUT)?;
            visit_datagrams(server.spawn()?, unix_datagram_client, Counts::Each)
        },
    },
    Stop {
        server: "ReactorTcpServer",
        python: "asyncio create_server: callbacks on one thread",
        visit: |_| visit(ReactorTcpServer::bind("127.0.0.1:0", shouted_lines())?.spawn()?, tcp_client, Clients::AtOnce),
    },
    #[cfg(unix)]
    Stop {
        server: "ReactorUnixServer",
        python: "asyncio create_unix_server: callbacks on one thread",
        visit: |folder| {
            let server = ReactorUnixServer::bind(folder.join("loop.sock"), shouted_lines())?;
            visit(server.spawn()?, unix_client, Clients::AtOnce)
        },
    },
    Stop {
        server: "ReactorUdp",
        python: "asyncio create_datagram_endpoint: datagrams",
        visit: |_| visit_datagrams(ReactorUdp::bind("127.0.0.1:0", SHOUT)?.spawn()?, udp_client, Counts::All),
    },
    Stop { server: "Reactor", python: "several create_server of one asyncio loop", visit: visit_reactor },
];

/// Whether the second client comes while the first is still there.
enum Clients {
    OneByOne,
    AtOnce,
}

/// Whether every datagram is the first of its handler, or all are one handler's.
enum Counts {
    Each,
    All,
}

/// A connected client: sends a line and returns the line that answers it.
type Client = Box<dyn FnMut(&str) -> io::Result<String>>;

fn main() -> ExitCode {
    common::run("tour", || {
        let folder = tempfile::tempdir()?;
        let mut visited = 0;
        for stop in STOPS {
            say(format_args!("{} (Python's {})", stop.server, stop.python))?;
            visited += (stop.visit)(folder.path()).map_err(|error| format!("{}: {error}", stop.server))?;
            say("")?;
        }
        say(format_args!("{visited} servers visited, all stopped cleanly"))?;
        Ok(())
    })
}

/// Has two clients talk to a server that runs on a thread of its own, and stops it.
fn visit<A: Clone + Display>(
    running: Running<A>,
    connect: fn(&A) -> io::Result<Client>,
    clients: Clients,
) -> ExampleResult<usize> {
    let handle = running.handle();
    say(format_args!("  listening on {}", running.local_addr()))?;
    talk_by_connections(&running.local_addr(), connect, clients)?;
    // Both clients have gone, so there is nothing that the drain would have to wait for.
    stopped(&running.stop()?, &[(handle, 2)])
}

/// The same with datagrams.
fn visit_datagrams<A: Clone + Display>(
    running: Running<A>,
    connect: fn(&A) -> io::Result<Client>,
    counts: Counts,
) -> ExampleResult<usize> {
    let handle = running.handle();
    say(format_args!("  listening on {}", running.local_addr()))?;
    talk_by_datagrams(&running.local_addr(), connect, counts)?;
    stopped(&running.stop()?, &[(handle, 3)])
}

/// Three servers on one thread.
fn visit_reactor(folder: &Path) -> ExampleResult<usize> {
    let mut reactor = Reactor::new();
    let tcp = ReactorTcpServer::bind("127.0.0.1:0", shouted_lines())?;
    let tcp_address = tcp.local_addr();
    let mut served = vec![(tcp.handle(), 2)];
    reactor.add(tcp);
    let udp = ReactorUdp::bind("127.0.0.1:0", SHOUT)?;
    let udp_address = udp.local_addr();
    served.push((udp.handle(), 3));
    reactor.add(udp);
    say(format_args!("  listening on {tcp_address} and {udp_address}"))?;
    #[cfg(unix)]
    let unix_address = {
        let unix = ReactorUnixServer::bind(folder.join("shared.sock"), shouted_lines())?;
        let address = unix.local_addr();
        served.push((unix.handle(), 2));
        reactor.add(unix);
        say(format_args!("  listening on {address}"))?;
        address
    };
    #[cfg(not(unix))]
    let _ = folder;

    let running = reactor.spawn()?;
    talk_by_connections(&tcp_address, tcp_client, Clients::AtOnce)?;
    talk_by_datagrams(&udp_address, udp_client, Counts::All)?;
    #[cfg(unix)]
    talk_by_connections(&unix_address, unix_client, Clients::AtOnce)?;
    stopped(&running.stop()?, &served)
}

fn talk_by_connections<A>(address: &A, connect: fn(&A) -> io::Result<Client>, clients: Clients) -> ExampleResult {
    let mut first = connect(address)?;
    talk("first", &mut first, "hello", "1: HELLO")?;
    if matches!(clients, Clients::OneByOne) {
        // The second client would wait for as long as the first is there.
        talk("first", &mut first, "goodbye", "2: GOODBYE")?;
        drop(first);
        let mut second = connect(address)?;
        talk("second", &mut second, "안녕하세요, Grüße", "1: 안녕하세요, GRÜSSE")?;
    } else {
        let mut second = connect(address)?;
        talk("second", &mut second, "안녕하세요, Grüße", "1: 안녕하세요, GRÜSSE")?;
        talk("first", &mut first, "goodbye", "2: GOODBYE")?;
    }
    Ok(())
}

fn talk_by_datagrams<A>(address: &A, connect: fn(&A) -> io::Result<Client>, counts: Counts) -> ExampleResult {
    let [one, two, three] = match counts {
        Counts::Each => [1, 1, 1],
        Counts::All => [1, 2, 3],
    };
    let mut first = connect(address)?;
    let mut second = connect(address)?;
    talk("first", &mut first, "hello", &format!("{one}: HELLO"))?;
    talk("second", &mut second, "안녕하세요, Grüße", &format!("{two}: 안녕하세요, GRÜSSE"))?;
    talk("first", &mut first, "goodbye", &format!("{three}: GOODBYE"))
}

/// Says how the stop went, and whether each of the servers has served as many requests as it should. Returns how many servers there were.
fn stopped(report: &ShutdownReport, servers: &[(ServerHandle, u64)]) -> ExampleResult<usize> {
    let stats: Vec<_> = servers.iter().map(|(server, _)| server.stats()).collect();
    say(format_args!(
        "  stopped: {} requests served, {} failed; at the stop {} drained, {} abandoned, {} still running",
        stats.iter().map(|stats| stats.accepted).sum::<u64>(),
        stats.iter().map(|stats| stats.handler_errors).sum::<u64>(),
        report.drained,
        report.abandoned,
        report.still_running
    ))?;
    for ((server, requests), stats) in servers.iter().zip(&stats) {
        if stats.accepted != *requests || stats.handler_errors > 0 {
            let address = server.local_addr();
            return Err(format!("{address} should have served {requests} requests without an error: {stats:?}").into());
        }
    }
    match report.is_clean() {
        true => Ok(servers.len()),
        false => Err("nothing should have been left to cut".into()),
    }
}

fn talk(name: &str, client: &mut Client, line: &str, expected: &str) -> ExampleResult {
    let answer = client(line)?;
    say(format_args!("  {name:>6} client: {line}  ->  {}", answer.trim_end()))?;
    match answer.trim_end() == expected {
        true => Ok(()),
        false => Err(format!("answered {answer:?} to {line:?}, and should have answered {expected:?}").into()),
    }
}

fn tcp_client(address: &SocketAddr) -> io::Result<Client> {
    let mut connection = tcp::connect(*address, TIMEOUT)?;
    connection.set_deadline(TIMEOUT)?;
    Ok(Box::new(move |line| {
        writeln!(connection, "{line}")?;
        let mut answer = String::new();
        connection.read_line(&mut answer)?;
        Ok(answer)
    }))
}

#[cfg(unix)]
fn unix_client(address: &Address) -> io::Result<Client> {
    let path = address.as_path().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    Ok(Box::new(move |line| {
        stream.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        reader.read_line(&mut answer)?;
        Ok(answer)
    }))
}

fn udp_client(address: &SocketAddr) -> io::Result<Client> {
    // Nothing is lost within this machine, and the requests are counted, so none is sent again.
    let mut client = UdpClient::builder().timeout(TIMEOUT).retries(0).connect(*address)?;
    Ok(Box::new(move |line| String::from_utf8(client.request(line.as_bytes())?).map_err(io::Error::other)))
}

/// With a name of its own, which is what the answers are sent to.
#[cfg(unix)]
fn unix_datagram_client(address: &Address) -> io::Result<Client> {
    static CLIENTS: AtomicUsize = AtomicUsize::new(0);
    let server = address.as_path().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let own = server.with_file_name(format!("client-{}.sock", CLIENTS.fetch_add(1, Ordering::Relaxed)));
    let socket = std::os::unix::net::UnixDatagram::bind(own)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    Ok(Box::new(move |line| {
        socket.send(line.as_bytes())?;
        let mut answer = vec![0; 1024];
        let length = socket.recv(&mut answer)?;
        answer.truncate(length);
        String::from_utf8(answer).map_err(io::Error::other)
    }))
}
