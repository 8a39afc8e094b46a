//! The seams: a preparation, a stream over another, and a dispatch strategy of one's own.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{echo, eventually, failures, receive, shared, watchdog, LONG};
use socketserver::server::{AcceptError, Dispatch, Job, Listener, Prepare, Readiness, Refused, Sequential, Threading};
use socketserver::{handler_fn, tcp, Address, Connection, Overload, RequestContext, Server, Stage};

/// A listener over another, whose clients say first who they are: `from ADDRESS\n`.
struct Introduced(tcp::TcpListener);

struct Introduction;

impl Prepare<Connection> for Introduction {
    fn prepare(&self, request: &mut Connection, _deadline: Instant) -> io::Result<()> {
        let mut line = String::new();
        request.read_line(&mut line)?;
        assert!(!line.contains("panic"), "an introduction that panics");
        let address = line.trim_end().strip_prefix("from ").and_then(|text| text.parse().ok());
        request.set_peer_addr(Address::Inet(address.ok_or(io::ErrorKind::InvalidData)?));
        Ok(())
    }
}

impl Listener for Introduced {
    type Request = Connection;
    type Addr = std::net::SocketAddr;

    fn local_addr(&self) -> Self::Addr {
        self.0.local_addr()
    }

    fn register(&mut self, readiness: &Readiness<'_>) -> io::Result<()> {
        self.0.register(readiness)
    }

    fn accept(&mut self, context: &RequestContext) -> Result<Connection, AcceptError> {
        self.0.accept(context)
    }

    fn preparation(&self) -> Option<Arc<dyn Prepare<Connection>>> {
        Some(Arc::new(Introduction))
    }
}

fn introduced() -> Introduced {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Introduced(tcp::TcpListener::try_from(listener).unwrap())
}

fn call(address: std::net::SocketAddr, text: &str) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client.write_all(text.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

/// And what stood behind the introduction is the handler's to read.
#[test]
fn a_preparation_says_who_the_peer_is_before_anybody_asks() {
    fn check<D: Dispatch + Default>() {
        let (handle_error, told) = failures();
        let handler = handler_fn(|request: &mut Connection| {
            let mut rest = String::new();
            request.read_to_string(&mut rest)?;
            write!(request, "{} said {rest}", request.peer_addr())?;
            assert_eq!(request.writer().peer_addr(), request.peer_addr());
            Ok(())
        });
        let running = Server::<Introduced, D>::builder()
            .verify_request(|peer| peer.as_socket_addr().unwrap().port() != 666)
            .handle_error(handle_error)
            .from_listener(introduced(), handler)
            .unwrap()
            .spawn()
            .unwrap();
        let address = running.local_addr();
        assert_eq!(call(address, "from 192.0.2.1:80\nhello"), "192.0.2.1:80 said hello");
        assert_eq!(call(address, "from [2001:db8::1]:80\n"), "[2001:db8::1]:80 said ");
        assert_eq!(call(address, "from 192.0.2.1:666\nhello"), "");
        eventually("it was turned away", || running.handle().stats().rejected == 1);
        assert_eq!(told.try_iter().count(), 0);
        // Who cannot say has no handler.
        call(address, "nobody\n");
        let failure = receive(&told);
        assert!(failure.starts_with("preparation of 127.0.0.1:"), "{failure}");
        call(address, "panic\n");
        let failure = receive(&told);
        assert!(failure.ends_with("panicked: an introduction that panics"), "{failure}");
        running.stop().unwrap();
    }
    let _watchdog = watchdog();
    check::<Sequential>();
    check::<Threading>();
}

#[test]
fn a_preparation_has_a_deadline_of_its_own() {
    let _watchdog = watchdog();
    let (tell, told) = shared();
    let limit = Duration::from_millis(50);
    let running = Server::<Introduced, Threading>::builder()
        .prepare_timeout(limit)
        .read_timeout(None)
        .handle_error(move |failure| tell((failure.stage(), failure.is_disconnect(), failure.to_string())))
        .from_listener(introduced(), echo())
        .unwrap()
        .spawn()
        .unwrap();
    let started = Instant::now();
    let silent = TcpStream::connect(running.local_addr()).unwrap();
    let (stage, is_disconnect, text) = receive(&told);
    assert_eq!((stage, is_disconnect), (Stage::Prepare, true));
    assert!(text.contains("timed out after 50ms"), "the limit as it was set: {text}");
    assert!(started.elapsed() >= limit);
    // Nobody else was held up, and it has been closed.
    assert_eq!(call(running.local_addr(), "from 192.0.2.1:80\nx"), "x");
    silent.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!((&silent).read(&mut [0]).unwrap(), 0);
    eventually("the requests have ended", || running.handle().stats().active == 0);
    running.stop().unwrap();
}

#[test]
fn a_preparation_may_be_given_for_ever() {
    fn check<D: Dispatch + Default>() {
        let running = Server::<Introduced, D>::builder()
            .prepare_timeout(Duration::MAX)
            .from_listener(introduced(), echo())
            .unwrap()
            .spawn()
            .unwrap();
        assert_eq!(call(running.local_addr(), "from 192.0.2.1:80\nhello"), "hello");
        running.stop().unwrap();
    }
    let _watchdog = watchdog();
    check::<Sequential>();
    check::<Threading>();
}

#[test]
fn the_time_for_a_preparation_is_not_the_requests() {
    let _watchdog = watchdog();
    let hour = Duration::from_secs(3600);
    for within in [None, Some(hour)] {
        let (tell, told) = shared();
        let begun = Instant::now();
        let running = Server::<Introduced, Threading>::builder()
            .prepare_timeout(LONG)
            .request_deadline(within)
            .from_listener(
                introduced(),
                handler_fn(move |request: &mut Connection| {
                    tell(request.deadline());
                    Ok(())
                }),
            )
            .unwrap()
            .spawn()
            .unwrap();
        assert_eq!(call(running.local_addr(), "from 192.0.2.1:80\n"), "");
        match (within, receive(&told)) {
            (None, None) => {}
            (Some(_), Some(at)) => assert!(at >= begun + hour && at <= Instant::now() + hour),
            (_, deadline) => panic!("{deadline:?} for {within:?}"),
        }
        running.stop().unwrap();
    }
}

#[test]
fn the_limit_per_address_counts_who_the_peer_really_is() {
    let _watchdog = watchdog();
    let handler = handler_fn(|request: &mut Connection| {
        request.write_all(b"+")?;
        let _ = request.read(&mut [0])?;
        Ok(())
    });
    let running = Server::<Introduced, Threading>::builder()
        .max_per_address(1)
        .overload(Overload::Reject(b"-"))
        .from_listener(introduced(), handler)
        .unwrap()
        .spawn()
        .unwrap();
    let connect = |from: &str| {
        let mut client = TcpStream::connect(running.local_addr()).unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        writeln!(client, "from {from}:80").unwrap();
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        (client, byte)
    };
    let (one, answer) = connect("192.0.2.1");
    assert_eq!(&answer, b"+");
    assert_eq!(&connect("192.0.2.1").1, b"-");
    assert_eq!(&connect("192.0.2.2").1, b"+");
    drop(one);
    running.stop().unwrap();
}

#[test]
fn a_stream_is_put_over_another_once() {
    let _watchdog = watchdog();
    let (mut connection, _peer) = common::pair();
    connection.wrap_stream(Ok).unwrap();
    let second = connection.wrap_stream(Ok).unwrap_err();
    assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
    let (mut connection, peer) = common::pair();
    connection.wrap_stream(|_| Err(io::Error::other("no handshake"))).unwrap_err();
    // A wrap that failed has changed nothing.
    writeln!(connection, "plain").unwrap();
    let mut line = String::new();
    BufReader::new(peer).read_line(&mut line).unwrap();
    assert_eq!(line, "plain\n");
}

/// Runs jobs on a thread of its own, and refuses them when it is told to.
#[derive(Debug)]
struct OneThread {
    jobs: Mutex<Sender<Job>>,
    refuse: Arc<Mutex<bool>>,
    drop: bool,
}

impl OneThread {
    fn new(refuse: &Arc<Mutex<bool>>) -> Self {
        let (jobs, todo) = channel::<Job>();
        std::thread::spawn(move || todo.into_iter().for_each(Job::run));
        OneThread { jobs: Mutex::new(jobs), refuse: Arc::clone(refuse), drop: false }
    }
}

impl Default for OneThread {
    fn default() -> Self {
        OneThread::new(&Arc::default())
    }
}

impl Dispatch for OneThread {
    fn dispatch(&self, job: Job) -> Result<(), Refused> {
        if *self.refuse.lock().unwrap() {
            return Err(Refused::new(job, io::Error::other("not today")));
        }
        if !self.drop {
            self.jobs.lock().unwrap().send(job).unwrap();
        }
        Ok(())
    }
}

type OneThreadTcpServer = Server<tcp::TcpListener, OneThread>;

/// Counts what another serves.
#[derive(Debug, Default)]
struct Counting(Sequential, Arc<Mutex<usize>>);

impl Dispatch for Counting {
    fn dispatch(&self, job: Job) -> Result<(), Refused> {
        *self.1.lock().unwrap() += 1;
        self.0.dispatch(job)
    }

    fn runs_inline(&self) -> bool {
        self.0.runs_inline()
    }
}

#[test]
fn a_strategy_may_leave_the_serving_to_another() {
    let _watchdog = watchdog();
    assert!(Sequential::default().runs_inline());
    let strategy = Counting::default();
    let count = Arc::clone(&strategy.1);
    let builder = Server::<tcp::TcpListener, Counting>::builder().dispatch(strategy);
    let running = builder.bind("127.0.0.1:0", echo()).unwrap().spawn().unwrap();
    for served in 1..4 {
        assert_eq!(call(running.local_addr(), "x"), "x");
        assert_eq!(*count.lock().unwrap(), served);
    }
    assert!(running.stop().unwrap().is_clean());
}

#[test]
fn a_strategy_of_ones_own_serves_and_refuses() {
    let _watchdog = watchdog();
    let refuse = Arc::new(Mutex::new(false));
    let (handle_error, told) = failures();
    let builder = OneThreadTcpServer::builder().dispatch(OneThread::new(&refuse)).handle_error(handle_error);
    let running = builder.bind("127.0.0.1:0", echo()).unwrap().spawn().unwrap();
    let address = running.local_addr();
    assert_eq!(call(address, "x"), "x");
    *refuse.lock().unwrap() = true;
    let mut refused = TcpStream::connect(address).unwrap();
    assert_eq!(refused.read(&mut [0]).unwrap(), 0);
    let failure = receive(&told);
    assert!(failure.starts_with("dispatch of 127.0.0.1:") && failure.ends_with("failed: not today"), "{failure}");
    *refuse.lock().unwrap() = false;
    assert_eq!(call(address, "y"), "y");
    assert_eq!(running.handle().stats().spawn_failures, 1);
    assert!(running.stop().unwrap().is_clean());
}

/// Its place is given back, and its client closed.
#[test]
fn a_job_that_is_dropped_is_a_request_that_ends() {
    let _watchdog = watchdog();
    let forgetful = OneThread { drop: true, ..OneThread::default() };
    let builder = OneThreadTcpServer::builder().dispatch(forgetful).max_connections(1);
    let running = builder.bind("127.0.0.1:0", echo()).unwrap().spawn().unwrap();
    for _ in 0..3 {
        let mut client = TcpStream::connect(running.local_addr()).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    assert!(running.stop().unwrap().is_clean());
}
