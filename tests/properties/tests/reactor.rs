//! Properties of the event-driven servers: whatever the system takes and gives at a time, nothing is lost, repeated or swapped.
//!
//! The sockets are real ones, with buffers so small that reads and writes are partial and would block all the time. That waits are
//! interrupted (EINTR) is the fault tests' to bring about.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use socket2::{Domain, SockRef, Socket, Type};
use socketserver::reactor::{Broadcaster, WriteStatus};
use socketserver::{Protocol, ReactorTcpServer, Transport};
use socketserver_properties::{config, Random};

/// No case takes so long, however busy the machine is.
const LONG: Duration = Duration::from_secs(15);

/// How many cases are played at a time: small buffers have the system wait now and then.
const AT_ONCE: u32 = 8;

/// What a connection is for: the first byte that its client sends. Eight more are the seed of what happens there.
const ECHO: u8 = b'e';
/// As `ECHO`, with answers that go the way of another thread's.
const ECHO_BY_HANDLE: u8 = b'h';
/// The server sends, the client only reads.
const SOURCE: u8 = b's';
/// Gets what is broadcast.
const LISTENER: u8 = b'l';
const KINDS: [u8; 4] = [ECHO, ECHO_BY_HANDLE, SOURCE, LISTENER];

/// What a connection that listens is told when it is counted among those.
const WELCOME: u8 = b'+';

/// Writes of which some had to wait, and pauses in reading.
static FULL: AtomicUsize = AtomicUsize::new(0);
static PAUSED: AtomicUsize = AtomicUsize::new(0);

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..length).map(|_| random.below(256) as u8).collect()
}

/// How much a `SOURCE` of that seed sends.
fn source_length(seed: u64) -> usize {
    seed as usize % 60_000
}

fn note(status: WriteStatus) {
    FULL.fetch_add(usize::from(status != WriteStatus::Sent), Ordering::SeqCst);
}

/// Serves each connection as its first bytes say, with pauses, pieces and water marks at random.
#[derive(Clone)]
struct Player {
    tally: Arc<Tally>,
    header: Vec<u8>,
    random: Random,
    /// What is still to be sent by a `SOURCE`.
    source: Vec<u8>,
    writing_paused: bool,
}

/// What must come out even.
#[derive(Debug, Default)]
struct Tally {
    made: AtomicUsize,
    lost: AtomicUsize,
    errors: AtomicUsize,
    broken: AtomicUsize,
}

impl Player {
    fn new(tally: &Arc<Tally>) -> Self {
        let tally = Arc::clone(tally);
        Player { tally, header: Vec::new(), random: Random::new(0), source: Vec::new(), writing_paused: false }
    }

    fn expect(&self, holds: bool) {
        self.tally.broken.fetch_add(usize::from(!holds), Ordering::SeqCst);
    }

    fn kind(&self) -> u8 {
        self.header.first().copied().unwrap_or_default()
    }

    fn begin(&mut self, transport: &mut Transport) {
        let seed = u64::from_be_bytes(self.header[1..].try_into().unwrap());
        self.random = Random::new(seed);
        // Often none at all, which pauses whenever anything waits and resumes when nothing does.
        let high = self.random.below(4).min(1) * self.random.below(10_000);
        let low = self.random.below(3).min(1) * self.random.below(high + 1);
        transport.set_write_buffer_limits(high, low).unwrap();
        match self.kind() {
            SOURCE => {
                self.source = noise(seed, source_length(seed));
                self.send(transport);
            }
            LISTENER => drop(transport.write(&[WELCOME])),
            _ => {}
        }
    }

    fn send(&mut self, transport: &mut Transport) {
        while !self.source.is_empty() {
            let piece = 1 + self.random.below(self.source.len().min(20_000));
            let piece: Vec<u8> = self.source.drain(..piece).collect();
            let status = transport.write(&piece);
            note(status);
            if status == WriteStatus::AboveHighMark {
                return;
            }
        }
        transport.close();
    }

    fn echo(&mut self, transport: &mut Transport, mut data: &[u8]) {
        while !data.is_empty() {
            if self.random.below(15) == 0 {
                PAUSED.fetch_add(1, Ordering::SeqCst);
                transport.pause_reading();
                transport.push_back(data);
                transport.set_timeout(Duration::from_micros(50 + self.random.below(1_000) as u64)).unwrap();
                return;
            }
            let (piece, rest) = data.split_at(1 + self.random.below(data.len().min(5_000)));
            if self.kind() == ECHO {
                note(transport.write(piece));
            } else {
                transport.handle().write(piece).unwrap();
            }
            data = rest;
        }
    }
}

impl Protocol for Player {
    fn connection_made(&mut self, _: &mut Transport) {
        self.tally.made.fetch_add(1, Ordering::SeqCst);
    }

    fn data_received(&mut self, transport: &mut Transport, mut data: &[u8]) {
        self.expect(!transport.is_reading_paused() && !data.is_empty());
        if self.header.len() < 9 {
            let (header, rest) = data.split_at(data.len().min(9 - self.header.len()));
            self.header.extend(header);
            data = rest;
            if self.header.len() == 9 {
                self.begin(transport);
            }
        }
        self.echo(transport, data);
    }

    fn eof_received(&mut self, transport: &mut Transport) {
        match self.kind() {
            // Behind what has been written so.
            ECHO_BY_HANDLE => transport.handle().close().unwrap(),
            SOURCE => {}
            _ => transport.close(),
        }
    }

    fn pause_writing(&mut self, _: &mut Transport) {
        let paused = std::mem::replace(&mut self.writing_paused, true);
        self.expect(!paused);
    }

    fn resume_writing(&mut self, transport: &mut Transport) {
        let paused = std::mem::replace(&mut self.writing_paused, false);
        self.expect(paused);
        if self.kind() == SOURCE {
            self.send(transport);
        }
    }

    fn timed_out(&mut self, transport: &mut Transport) {
        self.expect(transport.is_reading_paused());
        transport.set_timeout(LONG).unwrap();
        transport.resume_reading();
    }

    fn connection_lost(&mut self, _: &mut Transport, error: Option<&io::Error>) {
        self.tally.lost.fetch_add(1, Ordering::SeqCst);
        self.tally.errors.fetch_add(usize::from(error.is_some()), Ordering::SeqCst);
    }
}

/// The other end of a connection.
#[derive(Debug)]
struct Client {
    stream: TcpStream,
    kind: u8,
    random: Random,
    to_send: Vec<u8>,
    sent: usize,
    ended_writing: bool,
    received: Vec<u8>,
    expected: Vec<u8>,
    done: bool,
}

impl Client {
    fn connect(address: SocketAddr, kind: u8, seed: u64, length: usize, buffer: Option<usize>) -> Client {
        let stream = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if let Some(bytes) = buffer {
            stream.set_send_buffer_size(bytes).unwrap();
            // Before the connection, which is when the window is agreed on.
            stream.set_recv_buffer_size(bytes).unwrap();
        }
        stream.connect(&address.into()).unwrap();
        let stream = TcpStream::from(stream);
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let mut to_send = vec![kind];
        to_send.extend(seed.to_be_bytes());
        let expected = match kind {
            SOURCE => noise(seed, source_length(seed)),
            LISTENER => vec![WELCOME],
            _ => noise(seed + 1, length),
        };
        if kind == ECHO || kind == ECHO_BY_HANDLE {
            to_send.extend(&expected);
        }
        let random = Random::new(seed ^ 0x55);
        let (sent, ended_writing, received, done) = (0, false, Vec::new(), false);
        Client { stream, kind, random, to_send, sent, ended_writing, received, expected, done }
    }

    /// Writes or reads a little, and says whether anything came of it.
    fn step(&mut self, broadcasts_done: bool) -> bool {
        match self.random.below(3) {
            0 => self.write(broadcasts_done),
            _ => self.read(),
        }
    }

    fn write(&mut self, broadcasts_done: bool) -> bool {
        let rest = &self.to_send[self.sent..];
        if rest.is_empty() {
            let heard_all = self.kind != LISTENER || broadcasts_done && self.received.len() == self.expected.len();
            if !self.ended_writing && heard_all {
                self.stream.shutdown(Shutdown::Write).unwrap();
                self.ended_writing = true;
            }
            return false;
        }
        let piece = 1 + self.random.below(rest.len().min(10_000));
        match self.stream.write(&rest[..piece]) {
            Ok(count) => {
                self.sent += count;
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&mut self) -> bool {
        let mut buffer = vec![0; 1 + self.random.below(16_000)];
        match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.done = true;
                true
            }
            Ok(count) => {
                self.received.extend(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Sends a message to all that listen, and to a few others nothing.
fn broadcast(broadcaster: &Broadcaster, clients: &mut [Client], message: &[u8]) {
    let listeners: Vec<String> = clients
        .iter_mut()
        .filter(|client| client.kind == LISTENER)
        .map(|client| {
            client.expected.extend(message);
            client.stream.local_addr().unwrap().to_string()
        })
        .collect();
    let picked = move |member: &Transport| listeners.contains(&member.peer_addr().to_string());
    broadcaster.broadcast_to(message, picked).unwrap();
}

#[derive(Debug, Clone)]
struct Case {
    workers: usize,
    send_buffer: Option<usize>,
    receive_buffer: Option<usize>,
    read_while_full: bool,
    clients: Vec<(u8, u64, usize, Option<usize>)>,
    broadcasts: Vec<Vec<u8>>,
}

fn cases() -> impl Strategy<Value = Case> {
    let buffer = || prop_oneof![Just(None), Just(Some(4_096)), (4_096..40_000usize).prop_map(Some)];
    let kind = prop::sample::select(KINDS.to_vec());
    let client = (kind, any::<u32>().prop_map(u64::from), 0..60_000usize, buffer());
    let clients = prop::collection::vec(client, 1..6);
    let broadcasts = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 0..12);
    (1..3usize, buffer(), buffer(), any::<bool>(), clients, broadcasts).prop_map(
        |(workers, send_buffer, receive_buffer, read_while_full, clients, broadcasts)| Case {
            workers,
            send_buffer,
            receive_buffer,
            read_while_full,
            clients,
            broadcasts,
        },
    )
}

fn play(case: &Case) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    if let Some(bytes) = case.send_buffer {
        SockRef::from(&listener).set_send_buffer_size(bytes).unwrap();
    }
    if let Some(bytes) = case.receive_buffer {
        SockRef::from(&listener).set_recv_buffer_size(bytes).unwrap();
    }
    let tally = Arc::<Tally>::default();
    let builder = ReactorTcpServer::builder().workers(case.workers).read_while_full(case.read_while_full);
    let server = builder.from_listener(listener, Player::new(&tally)).unwrap();
    let (address, broadcaster) = (server.local_addr(), server.broadcaster());
    let running = server.spawn().unwrap();

    let mut clients: Vec<Client> = case
        .clients
        .iter()
        .map(|&(kind, seed, length, buffer)| Client::connect(address, kind, seed, length, buffer))
        .collect();
    let mut broadcasts = case.broadcasts.iter();
    let mut random = Random::new(case.clients.len() as u64);
    let began = Instant::now();
    while clients.iter().any(|client| !client.done) {
        assert!(began.elapsed() < LONG, "stuck: {clients:?}");
        let welcome = |client: &Client| client.kind != LISTENER || !client.received.is_empty();
        if clients.iter().all(welcome) && random.below(4) == 0 {
            if let Some(message) = broadcasts.next() {
                broadcast(&broadcaster, &mut clients, message);
            }
        }
        let broadcasts_done = broadcasts.len() == 0;
        let mut idle = true;
        for client in clients.iter_mut().filter(|client| !client.done) {
            for _ in 0..1 + random.below(6) {
                idle &= !client.step(broadcasts_done);
            }
        }
        if idle {
            std::thread::yield_now();
        }
    }
    for client in &clients {
        assert_eq!(client.received.len(), client.expected.len(), "bytes of a {:?}", char::from(client.kind));
        assert!(client.received == client.expected, "other bytes, or in another order: {:?}", char::from(client.kind));
    }
    let (peers, handle) = (clients.len(), running.handle());
    drop(clients);
    assert!(running.stop().unwrap().is_clean());
    let stats = handle.stats();
    assert_eq!((stats.panics, stats.handler_errors, stats.active), (0, 0, 0));
    let tally = [&tally.made, &tally.lost, &tally.errors, &tally.broken].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(tally, [peers, peers, 0, 0], "made, lost, with an error, callbacks that should not have been");
}

#[test]
fn nothing_is_lost_repeated_or_swapped() {
    let many = config().cases;
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let cases = many.div_ceil(AT_ONCE);
            // One that is stuck takes its time, and so does each attempt to make it smaller.
            let config = ProptestConfig { cases, max_shrink_iters: 10, failure_persistence: None, ..config() };
            scope.spawn(|| {
                let played = TestRunner::new(config).run(&self::cases(), |case| {
                    play(&case);
                    Ok(())
                });
                played.unwrap();
            });
        }
    });
    let many = many as usize;
    let (full, paused) = (FULL.load(Ordering::SeqCst), PAUSED.load(Ordering::SeqCst));
    println!("{full} writes had to wait, {paused} times reading was paused");
    assert!(full > many && paused > many, "in {many} cases: the buffers are too large, the test tests nothing");
}
