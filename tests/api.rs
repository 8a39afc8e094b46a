//! The public contract: what a user writes compiles as it stands, and the types are what threads and programs need them to be.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt::Debug;
use std::hash::Hash;
use std::io::{self, BufRead, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{watchdog, LONG};
use socketserver::server::{Builder, Cause, Job, Listener, Notifier, Refused, Sequential, Threading};
use socketserver::{
    handler_fn, tcp, Address, Connection, ConnectionWriter, DatagramProtocol, DatagramTransport, Error, Failure,
    Handled, Handler, HandlerFn, HandlerResult, Keepalive, Overload, Phase, ReactorUdp, RequestContext, Result,
    Running, Server, ServerHandle, ShutdownReport, Stage, Stats, Stream, TcpServer, ThreadingTcpServer, UdpClient,
    Wait,
};

fn call(address: SocketAddr, text: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.write_all(text.as_bytes()).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[derive(Clone)]
struct Echo;

impl Handler for Echo {
    fn handle(&mut self, request: &mut Connection) -> HandlerResult {
        let mut line = String::new();
        while request.read_line(&mut line)? > 0 {
            request.write_all(line.as_bytes())?;
            line.clear();
        }
        Ok(())
    }
}

#[test]
fn a_handler_serves_for_ever() -> Result<()> {
    let _watchdog = watchdog();
    let mut server = ThreadingTcpServer::bind("127.0.0.1:0", Echo)?;
    assert!(format!("listening on {}", server.local_addr()).starts_with("listening on 127.0.0.1:"));
    let (address, handle) = (server.local_addr(), server.handle());
    let client = std::thread::spawn(move || {
        let answer = call(address, "one\ntwo\nthree");
        handle.shutdown();
        answer
    });
    server.serve_forever()?;
    assert_eq!(client.join().unwrap(), "one\ntwo\nthree");
    Ok(())
}

#[test]
fn a_closure_is_a_handler_with_and_without_its_argument_annotated() -> Result<()> {
    let _watchdog = watchdog();
    let greeting = Arc::new(String::from("hello"));
    let annotated = TcpServer::bind(
        "127.0.0.1:0",
        handler_fn(move |request: &mut Connection| {
            writeln!(request, "{greeting}, {}", request.peer_addr())?;
            Ok(())
        }),
    )?;
    fn greet(request: &mut Connection) -> HandlerResult {
        greet_with("hello", request)
    }
    fn greet_with(greeting: &str, request: &mut Connection) -> HandlerResult {
        writeln!(request, "{greeting}, {}", request.peer_addr())?;
        Ok(())
    }
    // Inferred from what it is given to; a method called on it would need the annotation.
    let inferred = TcpServer::bind("127.0.0.1:0", handler_fn(|request| greet_with("hello", request)))?;
    let function = TcpServer::bind("127.0.0.1:0", handler_fn(greet))?;
    for server in [annotated, inferred, function] {
        let running = server.spawn()?;
        assert!(call(running.local_addr(), "").starts_with("hello, 127.0.0.1:"));
        running.stop()?;
    }
    Ok(())
}

/// `&mut self` is private to the request: it begins as the prototype each time.
#[test]
fn every_request_has_a_clone_of_its_own() -> Result<()> {
    #[derive(Clone)]
    struct Counter {
        own: u32,
        shared: Arc<Mutex<u32>>,
    }
    impl Handler for Counter {
        fn setup(&mut self, _: &mut Connection) -> HandlerResult {
            self.own += 1;
            Ok(())
        }
        fn handle(&mut self, request: &mut Connection) -> HandlerResult {
            *self.shared.lock().map_err(|_| "a panic held it")? += 1;
            write!(request, "{}", self.own)?;
            Ok(())
        }
    }
    let _watchdog = watchdog();
    let shared = Arc::default();
    let running = TcpServer::bind("127.0.0.1:0", Counter { own: 0, shared: Arc::clone(&shared) })?.spawn()?;
    for _ in 0..3 {
        assert_eq!(call(running.local_addr(), ""), "1");
    }
    running.stop()?;
    assert_eq!(*shared.lock().unwrap(), 3);
    Ok(())
}

/// Without a type annotation anywhere.
#[test]
fn the_builder_reads_as_it_is_written() -> Result<()> {
    let _watchdog = watchdog();
    let allowed = |peer: &Address| peer.as_socket_addr().is_some_and(|address| address.ip().is_loopback());
    let server = ThreadingTcpServer::builder()
        .max_connections(1024)
        .max_per_address(100)
        .overload(Overload::Reject(b"busy\r\n"))
        .read_timeout(Duration::from_secs(30))
        .write_timeout(None)
        .request_deadline(Duration::from_secs(300))
        .drain_timeout(Duration::from_secs(10))
        .idle_thread_timeout(Duration::from_secs(5))
        .stack_size(256 * 1024)
        .keepalive(Keepalive::new(Duration::from_secs(60)).interval(Duration::from_secs(10)).retries(3))
        .nodelay(true)
        .backlog(100)
        .reuse_address(true)
        .reuse_port(false)
        .verify_request(move |peer| allowed(peer))
        .handle_error(|failure| eprintln!("{failure}"))
        .handle_timeout(|_| ())
        .service_actions(Duration::from_secs(1), |_| ())
        .bind("127.0.0.1:0", Echo)?;
    let handle = server.handle();
    let running = server.spawn()?;
    assert_eq!(call(running.local_addr(), "x"), "x");
    handle.shutdown();
    let report = running.join()?;
    assert_eq!((report.abandoned, report.still_running), (0, 0));
    let stats = handle.stats();
    assert_eq!(
        (stats.accepted, stats.rejected, stats.handler_errors, stats.panics, stats.accept_errors),
        (1, 0, 0, 0, 0)
    );
    Ok(())
}

#[test]
fn one_socket_serves_both_families() -> Result<()> {
    let _watchdog = watchdog();
    if !socketserver::net::has_dualstack_ipv6() {
        return Ok(());
    }
    let server = ThreadingTcpServer::builder().dual_stack(true).bind(
        "[::]:0",
        handler_fn(|request: &mut Connection| {
            write!(request, "{}", request.peer_addr())?;
            Ok(())
        }),
    )?;
    let running = server.spawn()?;
    let port = running.local_addr().port();
    // An IPv4 peer is shown as one.
    assert!(call(([127, 0, 0, 1], port).into(), "").starts_with("127.0.0.1:"));
    running.stop()?;
    Ok(())
}

#[test]
fn servers_share_a_port_when_all_of_them_ask() -> Result<()> {
    let _watchdog = watchdog();
    let address = common::own_address();
    let first = TcpServer::builder().reuse_port(true).bind(address, Echo)?;
    let second = TcpServer::builder().reuse_port(true).bind(first.local_addr(), Echo)?;
    assert_eq!(first.local_addr(), second.local_addr());
    assert!(TcpServer::bind(first.local_addr(), Echo).is_err());
    Ok(())
}

#[test]
fn a_listener_of_std_is_taken_over() -> std::result::Result<(), Box<dyn StdError>> {
    let _watchdog = watchdog();
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let running = ThreadingTcpServer::from_listener(listener, Echo)?.spawn()?;
    assert_eq!(running.local_addr(), address);
    assert_eq!(call(address, "x"), "x");
    running.stop()?;
    Ok(())
}

#[test]
#[cfg(unix)]
fn a_unix_listener_of_std_keeps_its_path() -> std::result::Result<(), Box<dyn StdError>> {
    let _watchdog = watchdog();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path)?;
    let running = socketserver::ThreadingUnixStreamServer::from_listener(listener, Echo)?.spawn()?;
    assert_eq!(running.local_addr().as_path(), Some(path.as_path()));
    running.stop()?;
    assert!(path.exists());
    Ok(())
}

/// A chat: a writer for each member, in a map, used from any request.
#[test]
fn a_chat_is_a_map_of_writers() -> Result<()> {
    type Members = Arc<Mutex<HashMap<Address, ConnectionWriter>>>;
    #[derive(Clone)]
    struct Chat(Members);
    impl Handler for Chat {
        fn setup(&mut self, request: &mut Connection) -> HandlerResult {
            request.set_read_timeout(None)?;
            self.0.lock().unwrap().insert(request.peer_addr(), request.writer());
            writeln!(request, "welcome")?;
            Ok(())
        }
        fn handle(&mut self, request: &mut Connection) -> HandlerResult {
            let mut line = String::new();
            while request.read_line(&mut line)? > 0 {
                self.0.lock().unwrap().retain(|_, member| member.try_write(line.as_bytes()).is_ok());
                line.clear();
            }
            Ok(())
        }
        fn finish(&mut self, request: &mut Connection) -> HandlerResult {
            self.0.lock().unwrap().remove(&request.peer_addr());
            Ok(())
        }
    }
    let _watchdog = watchdog();
    let members = Members::default();
    let running = ThreadingTcpServer::bind("127.0.0.1:0", Chat(Arc::clone(&members)))?.spawn()?;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = tcp::connect(running.local_addr(), LONG)?;
        assert_eq!(line(&mut client), "welcome\n");
        clients.push(client);
    }
    writeln!(clients[0], "hello, all").unwrap();
    for client in &mut clients {
        assert_eq!(line(client), "hello, all\n");
    }
    drop(clients);
    common::eventually("everyone has left", || members.lock().unwrap().is_empty());
    running.stop()?;
    Ok(())
}

fn line(connection: &mut Connection) -> String {
    let mut line = String::new();
    connection.read_line(&mut line).unwrap();
    line
}

#[test]
fn socket_options_reach_the_socket() {
    let _watchdog = watchdog();
    let (connection, _peer) = common::pair();
    let socket = || connection.socket().unwrap();
    assert!(connection.nodelay().unwrap());
    connection.set_nodelay(false).unwrap();
    assert!(!socket().tcp_nodelay().unwrap());
    connection.set_keepalive(Keepalive::new(Duration::from_secs(77)).interval(Duration::from_secs(7))).unwrap();
    assert!(socket().keepalive().unwrap());
    #[cfg(target_os = "linux")]
    {
        assert_eq!(socket().tcp_keepalive_time().unwrap(), Duration::from_secs(77));
        assert_eq!(socket().tcp_keepalive_interval().unwrap(), Duration::from_secs(7));
        connection.set_keepalive(Keepalive::new(Duration::ZERO).retries(0)).unwrap();
        assert_eq!(socket().tcp_keepalive_time().unwrap(), Duration::from_secs(1));
        assert_eq!(socket().tcp_keepalive_retries().unwrap(), 1);
    }
    connection.set_keepalive(None).unwrap();
    assert!(!socket().keepalive().unwrap());
    connection.set_linger(Duration::from_secs(3)).unwrap();
    assert_eq!(socket().linger().unwrap(), Some(Duration::from_secs(3)));
    connection.set_linger(None).unwrap();
    assert_eq!(socket().linger().unwrap(), None);
    connection.set_recv_buffer_size(32 * 1024).unwrap();
    connection.set_send_buffer_size(32 * 1024).unwrap();
    assert!(socket().recv_buffer_size().unwrap() >= 32 * 1024);
    assert!(socket().send_buffer_size().unwrap() >= 32 * 1024);
}

/// A server's settings are its connections' from the start, also on a listener that was not bound by it.
#[test]
fn a_connection_begins_with_its_servers_settings() {
    let _watchdog = watchdog();
    let builder = || {
        ThreadingTcpServer::builder()
            .read_timeout(Duration::from_secs(7))
            .write_timeout(Duration::from_secs(8))
            .request_deadline(Duration::from_secs(900))
            .max_line(9)
            .max_frame(10)
            .nodelay(false)
            .keepalive(Keepalive::new(Duration::from_secs(77)))
    };
    let handler = handler_fn(|request: &mut Connection| {
        let socket = request.socket().ok_or("no socket")?;
        let options = (socket.tcp_nodelay()?, socket.keepalive()?);
        let timeouts = (request.read_timeout(), request.write_timeout(), request.deadline().is_some());
        let limits = (request.max_line(), request.max_frame());
        write!(request, "{options:?} {timeouts:?} {limits:?}")?;
        Ok(())
    });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for server in [
        builder().bind("127.0.0.1:0", handler.clone()).unwrap(),
        builder().from_listener(listener, handler.clone()).unwrap(),
    ] {
        let running = server.spawn().unwrap();
        let expected = "(false, true) (Some(7s), Some(8s), true) (9, 10)";
        assert_eq!(call(running.local_addr(), ""), expected);
        running.stop().unwrap();
    }
}

#[test]
fn types_are_what_threads_and_programs_need() {
    fn public<T: Debug + Send + Sync + 'static>() {}
    fn moves<T: Debug + Send + 'static>() {}
    fn clones<T: Debug + Clone + Send + Sync + 'static>() {}
    fn value<T: Debug + Copy + Eq + Send + Sync + 'static>() {}
    fn key<T: Debug + Clone + Eq + Hash + Send + Sync + 'static>() {}
    fn error<T: StdError + Send + Sync + 'static>() {}
    fn stream<T: Read + BufRead + Write>() {}

    moves::<TcpServer>();
    moves::<ThreadingTcpServer>();
    moves::<Builder<tcp::TcpListener, Threading>>();
    moves::<Job>();
    moves::<Refused>();
    public::<Connection>();
    stream::<Connection>();
    public::<Running<SocketAddr>>();
    public::<Failure>();
    public::<Cause>();
    public::<Handled>();
    public::<Sequential>();
    public::<Threading>();
    public::<tcp::TcpListener>();
    clones::<ServerHandle>();
    clones::<ConnectionWriter>();
    clones::<RequestContext>();
    clones::<Notifier>();
    clones::<tcp::Connector>();
    clones::<socketserver::net::Endpoint>();
    clones::<Arc<dyn Stream>>();
    clones::<HandlerFn<fn(&mut Connection) -> HandlerResult, Connection>>();
    value::<ShutdownReport>();
    value::<Stats>();
    value::<Overload>();
    value::<Keepalive>();
    key::<Address>();
    key::<Stage>();
    key::<Phase>();
    moves::<Wait>();
    error::<Error>();
    error::<socketserver::framing::FramingError>();
    #[cfg(unix)]
    moves::<socketserver::ThreadingUnixStreamServer>();

    // `?` in a function of `Box<dyn Error + Send + Sync>`, and in one of `io::Result`.
    fn boxed() -> HandlerResult {
        Err(Error::Closed { address: "here".into() })?
    }
    fn inner() -> io::Result<()> {
        Err(Error::Closed { address: "here".into() })?
    }
    assert!(boxed().unwrap_err().downcast_ref::<Error>().is_some());
    assert!(Error::of(&inner().unwrap_err()).is_some());
}

/// As those of TCP and Unix sockets are.
#[test]
fn callbacks_for_datagrams_are_at_the_root() {
    struct EchoDatagrams;

    impl DatagramProtocol for EchoDatagrams {
        fn datagram_received(&mut self, transport: &mut DatagramTransport, data: &[u8], peer: SocketAddr) {
            let _ = transport.send_to(data, peer);
        }
    }

    let _watchdog = watchdog();
    let running = ReactorUdp::bind("127.0.0.1:0", EchoDatagrams).unwrap().spawn().unwrap();
    assert_eq!(UdpClient::connect(running.local_addr()).unwrap().request(b"x").unwrap(), b"x");
    running.stop().unwrap();
}

/// `Debug` of what runs must not wait for it.
#[test]
fn everything_shows_itself_while_it_runs() {
    let _watchdog = watchdog();
    let server = ThreadingTcpServer::bind("127.0.0.1:0", Echo).unwrap();
    let shown = format!("{server:?} {:?}", server.handle());
    assert!(shown.contains(&server.local_addr().to_string()), "{shown}");
    let running = server.spawn().unwrap();
    let mut connection = tcp::connect(running.local_addr(), LONG).unwrap();
    writeln!(connection, "x").unwrap();
    assert_eq!(line(&mut connection), "x\n");
    let shown = format!("{running:?} {:?} {connection:?} {:?}", running.handle(), connection.writer());
    assert!(shown.contains("active: 1") && shown.contains(&running.local_addr().to_string()), "{shown}");
    assert!(format!("{:?}", ThreadingTcpServer::builder()).starts_with("Builder"));
    assert_eq!(format!("{:?}", handler_fn(|_: &mut Connection| Ok(()))), "HandlerFn");
    drop(connection);
    running.stop().unwrap();
}

/// Generic code over any server.
#[test]
fn a_function_may_take_any_server() {
    fn address<L: Listener<Addr = SocketAddr>, D: socketserver::server::Dispatch>(server: &Server<L, D>) -> SocketAddr {
        server.local_addr()
    }
    let _watchdog = watchdog();
    assert_ne!(address(&TcpServer::bind("127.0.0.1:0", Echo).unwrap()).port(), 0);
    assert_ne!(address(&ThreadingTcpServer::bind("localhost:0", Echo).unwrap()).port(), 0);
}
