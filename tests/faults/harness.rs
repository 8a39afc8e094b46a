//! Counts, watchdogs, and waiting for what must come true.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

/// Whether the long versions are asked for.
pub(crate) fn long() -> bool {
    std::env::var_os("SOCKETSERVER_FAULTS").is_some_and(|value| value == "long")
}

/// How often something is done: quickly, or in the long version.
pub(crate) fn count(quick: usize, many: usize) -> usize {
    if long() {
        many
    } else {
        quick
    }
}

/// Ends the process when a test hangs. Lives as long as the test.
pub(crate) struct Watchdog(#[allow(dead_code)] Sender<()>); // held for its drop

impl Watchdog {
    pub(crate) fn new() -> Watchdog {
        let limit = Duration::from_secs(if long() { 600 } else { 120 });
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let (sender, receiver) = channel::<()>();
        thread::spawn(move || {
            if receiver.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs: not done after {limit:?}");
                std::process::abort();
            }
        });
        Watchdog(sender)
    }
}

/// Waits for `condition`, and panics if it has not come true within `limit`.
#[track_caller]
pub(crate) fn eventually(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Says on standard error, past the test harness's capture, what this machine did not let a test check.
pub(crate) fn not_checked(what: &str, why: &str) {
    use std::io::Write as _;
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "\n*** NOT CHECKED by {test}: {what}, because {why} ***");
}

/// A loopback address of this caller's own, for who must know that nobody listens there any more: on 127.0.0.1 another
/// test's server may have been given the port meanwhile, or a client.
pub(crate) fn own_loopback() -> SocketAddr {
    static CALLERS: AtomicUsize = AtomicUsize::new(0);
    let number = CALLERS.fetch_add(1, Ordering::Relaxed) % 128;
    let [.., a, b] = std::process::id().to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, 64 + number as u8, a, b), 0))
}

/// Nobody listens there any more.
///
/// At once, as far as the server is concerned. But a process that another test is just starting holds all of this process's
/// descriptors until it runs its own program.
#[track_caller]
pub(crate) fn expect_free(address: SocketAddr) {
    eventually(Duration::from_secs(1), "nobody listens any more", || match TcpStream::connect(address) {
        Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        Ok(_) => false,
    });
}

/// Numbers that look random and are the same in every run: xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Less than `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from((self.next() >> 33) % limit as u64).unwrap()
    }
}

/// Bytes in which a loss, a repetition or a swap shows: they repeat after a prime number of bytes, which no buffer has.
pub(crate) fn pattern(from: usize, length: usize) -> Vec<u8> {
    const PERIOD: usize = 65_521;
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let mut random = Random::new(0);
        (0..PERIOD).map(|_| random.next() as u8).collect()
    });
    let mut pattern = Vec::with_capacity(length);
    while pattern.len() < length {
        let rest = &bytes[(from + pattern.len()) % PERIOD..];
        pattern.extend_from_slice(&rest[..rest.len().min(length - pattern.len())]);
    }
    pattern
}

/// The value below which `percent` of the durations lie.
pub(crate) fn percentile(durations: &mut [Duration], percent: usize) -> Duration {
    durations.sort_unstable();
    durations[(durations.len() * percent / 100).min(durations.len() - 1)]
}
