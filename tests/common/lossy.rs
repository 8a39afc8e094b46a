//! A bad network between a UDP server and its clients: a proxy on loopback that loses, delays, duplicates and so reorders datagrams, by
//! the dice of a seed.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};

/// What happens to the datagrams of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The share that is lost, in percent.
    pub lost: u64,
    /// The share of the others that arrives twice, in percent.
    pub doubled: u64,
    /// How long one may take at the most. Each takes its own time, so that they overtake each other.
    pub delay: Duration,
}

/// What has happened so far, both directions together.
#[derive(Debug, Default)]
pub struct Fates {
    pub passed: AtomicU64,
    pub lost: AtomicU64,
    pub doubled: AtomicU64,
}

/// The proxy. Dropping it ends it.
pub struct Lossy {
    /// Where clients send to.
    pub address: SocketAddr,
    pub fates: Arc<Fates>,
    over: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Lossy {
    /// Bound at `own` for the clients, before `server`.
    pub fn before(own: SocketAddr, server: SocketAddr, there: Faults, back: Faults, seed: u64) -> Self {
        let poll = Poll::new().unwrap();
        let mut front = UdpSocket::bind(own).unwrap();
        poll.registry().register(&mut front, FRONT, Interest::READABLE).unwrap();
        let waker = Waker::new(poll.registry(), WAKER).unwrap();
        let (address, fates, over) = (front.local_addr().unwrap(), Arc::default(), Arc::default());
        let own_address = SocketAddr::new(address.ip(), 0);
        let mut network = Network {
            poll,
            front,
            own_address,
            server,
            ways: HashMap::new(),
            tokens: HashMap::new(),
            next_token: 0,
            there,
            back,
            dice: Dice(seed),
            under_way: BinaryHeap::new(),
            count: 0,
            fates: Arc::clone(&fates),
        };
        let told: Arc<AtomicBool> = Arc::clone(&over);
        let thread = std::thread::spawn(move || network.run(&told));
        Lossy { address, fates, over, waker, thread: Some(thread) }
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.waker.wake().unwrap();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the proxy has panicked");
    }
}

const FRONT: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// More clients at once than a test has. When another way is wanted, the one that was used the longest ago goes, and its socket with it:
/// an answer that comes then is lost, rather than given to another client.
///
/// Not the one that was made the longest ago: a client's fresh port may be one that another gave up long before, whose way it then takes
/// over.
pub const MOST_WAYS: usize = 256;

/// When it is due, its number, whether it goes to the server, whose it is, and what it says.
type Delayed = (Instant, u64, bool, SocketAddr, Vec<u8>);

struct Network {
    poll: Poll,
    front: UdpSocket,
    own_address: SocketAddr,
    server: SocketAddr,
    /// Each client has a socket of its own towards the server, so that the server can tell them apart.
    ways: HashMap<SocketAddr, Way>,
    tokens: HashMap<Token, SocketAddr>,
    next_token: usize,
    there: Faults,
    back: Faults,
    dice: Dice,
    under_way: BinaryHeap<Reverse<Delayed>>,
    count: u64,
    fates: Arc<Fates>,
}

struct Way {
    socket: UdpSocket,
    token: Token,
    /// By a datagram to the server.
    last_used: Instant,
}

impl Network {
    fn run(&mut self, over: &AtomicBool) {
        let mut events = Events::with_capacity(256);
        let mut buffer = vec![0; 65_536];
        while !over.load(Ordering::SeqCst) {
            let next = self.under_way.peek().map(|Reverse((due, ..))| due.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, next) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.unwrap(),
            }
            for event in &events {
                if event.token() == FRONT {
                    while let Some((length, client)) = next_of(|| self.front.recv_from(&mut buffer)) {
                        self.take_in(true, client, &buffer[..length]);
                    }
                } else if let Some(client) = self.tokens.get(&event.token()).copied() {
                    while let Some(length) = next_of(|| self.ways[&client].socket.recv(&mut buffer)) {
                        self.take_in(false, client, &buffer[..length]);
                    }
                }
            }
            self.deliver();
        }
    }

    fn take_in(&mut self, to_server: bool, client: SocketAddr, data: &[u8]) {
        let faults = if to_server { self.there } else { self.back };
        if self.dice.percent(faults.lost) {
            self.fates.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let copies = if self.dice.percent(faults.doubled) { 2 } else { 1 };
        self.fates.doubled.fetch_add(copies - 1, Ordering::Relaxed);
        for _ in 0..copies {
            let due = Instant::now() + faults.delay.mul_f64(self.dice.fraction());
            self.count += 1;
            self.under_way.push(Reverse((due, self.count, to_server, client, data.to_vec())));
        }
    }

    fn deliver(&mut self) {
        let now = Instant::now();
        while self.under_way.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
            let Some(Reverse((_, _, to_server, client, data))) = self.under_way.pop() else { return };
            self.fates.passed.fetch_add(1, Ordering::Relaxed);
            // What the system does not take is lost too.
            let _ = if to_server { self.way(client, now).send(&data) } else { self.front.send_to(&data, client) };
        }
    }

    fn way(&mut self, client: SocketAddr, now: Instant) -> &UdpSocket {
        if !self.ways.contains_key(&client) {
            if self.ways.len() >= MOST_WAYS {
                let (&idle, _) = self.ways.iter().min_by_key(|(_, way)| way.last_used).unwrap();
                let way = self.ways.remove(&idle).unwrap();
                self.tokens.remove(&way.token);
            }
            let token = Token(self.next_token);
            self.next_token += 1;
            // On an address of the proxy's own, where no late answer to somebody else can come before it is connected.
            let mut socket = UdpSocket::bind(self.own_address).unwrap();
            socket.connect(self.server).unwrap();
            self.poll.registry().register(&mut socket, token, Interest::READABLE).unwrap();
            self.tokens.insert(token, client);
            self.ways.insert(client, Way { socket, token, last_used: now });
        }
        let way = self.ways.get_mut(&client).unwrap();
        way.last_used = now;
        &way.socket
    }
}

/// What has come, down to the last, because the poll tells of each arrival once. An error is a refusal, behind which there may be more.
fn next_of<T>(mut receive: impl FnMut() -> io::Result<T>) -> Option<T> {
    loop {
        match receive() {
            Ok(received) => return Some(received),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => {}
        }
    }
}

/// Sebastiano Vigna's SplitMix64: the same numbers for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn percent(&mut self, share: u64) -> bool {
        self.throw() % 100 < share
    }

    /// From 0 to below 1.
    pub fn fraction(&mut self) -> f64 {
        (self.throw() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
