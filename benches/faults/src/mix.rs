//! Everything at once, by the dice of a seed: clients that come and go, honest ones, slow ones, handlers that panic, resets.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{message, Client, Dice, HANGS};
use crate::process::Server;
use crate::server::Settings;

/// How long a server of the mix lets a client say nothing, and how long a request may last.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(10);

/// Slow clients of a server: those that trickle, and those that do not read.
const TRICKLING: usize = 20;
const DEAF: usize = 4;

/// From one look at memory to the next.
pub const SAMPLED_EVERY: Duration = Duration::from_secs(1);

pub fn settings() -> Settings {
    Settings {
        read_timeout: Some(READ_TIMEOUT),
        write_timeout: Some(READ_TIMEOUT),
        deadline: Some(DEADLINE),
        ..Settings::default()
    }
}

/// What the clients of one server saw. Times are since the beginning.
#[derive(Default)]
pub struct Record {
    /// When an honest request ended, and how long it took.
    pub honest: Vec<(Duration, Duration)>,
    /// Errors of those that did nothing wrong.
    pub errors: Vec<(Duration, String)>,
    /// Who waited longer than anybody should, and for what.
    pub hangs: Vec<(Duration, String)>,
    /// When, and how many bytes.
    pub memory: Vec<(Duration, u64)>,
    pub most_descriptors: usize,
    pub most_threads: usize,
    pub visits: u64,
    pub panics: u64,
    pub resets: u64,
    pub cut: u64,
}

impl Record {
    /// The p99 of the honest requests that ended within these times.
    pub fn p99(&self, from: Duration, to: Duration) -> Option<Duration> {
        let mut times: Vec<_> =
            self.honest.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, took)| *took).collect();
        times.sort_unstable();
        times.get(times.len() * 99 / 100).copied()
    }

    /// How many bytes a minute memory grows by from then on: the median of the slopes between the medians of five seconds, which no single
    /// crowd pulls up or down. None of too little.
    pub fn slope(&self, from: Duration) -> Option<f64> {
        let mut points: Vec<(f64, f64)> = Vec::new();
        let later: Vec<_> = self.memory.iter().filter(|(at, _)| *at >= from).collect();
        for part in later.chunks_exact(5) {
            let mut bytes: Vec<u64> = part.iter().map(|(_, bytes)| *bytes).collect();
            bytes.sort_unstable();
            points.push((part[2].0.as_secs_f64() / 60.0, bytes[2] as f64));
        }
        let mut slopes: Vec<f64> = Vec::new();
        for (number, first) in points.iter().enumerate() {
            slopes.extend(points[number + 1..].iter().map(|later| (later.1 - first.1) / (later.0 - first.0)));
        }
        slopes.sort_unstable_by(f64::total_cmp);
        slopes.get(slopes.len() / 2).copied()
    }
}

/// The mix while it runs.
struct Mix<'a> {
    server: &'a Server,
    seed: u64,
    began: Instant,
    over: AtomicBool,
    record: Mutex<Record>,
}

/// Puts the mix on a server for as long as `meanwhile` takes.
pub fn run<T>(
    server: &Server,
    seed: u64,
    began: Instant,
    meanwhile: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(Record, T)> {
    let mix = Mix { server, seed, began, over: AtomicBool::new(false), record: Mutex::default() };
    let result = thread::scope(|scope| {
        scope.spawn(|| mix.come_and_go(1));
        scope.spawn(|| mix.come_and_go(2));
        scope.spawn(|| mix.be_honest());
        scope.spawn(|| mix.be_slow());
        scope.spawn(|| mix.break_things());
        scope.spawn(|| mix.watch());
        let result = meanwhile();
        mix.over.store(true, Ordering::SeqCst);
        result
    })?;
    Ok((mix.record.into_inner().unwrap_or_else(|error| error.into_inner()), result))
}

impl Mix<'_> {
    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::SeqCst)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(|error| error.into_inner())
    }

    fn dice(&self, role: u64) -> Dice {
        Dice::new(self.seed ^ (role << 32) ^ u64::from(self.address().port()))
    }

    /// An error of one who did nothing wrong.
    fn failed(&self, what: &str, error: &io::Error) {
        let (at, words) = (self.began.elapsed(), format!("{what}: {error}"));
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => self.record().hangs.push((at, words)),
            _ => self.record().errors.push((at, words)),
        }
    }

    fn come_and_go(&self, role: u64) {
        let mut dice = self.dice(role);
        while self.goes_on() {
            let message = message(1 + dice.below(2000) as usize, dice.throw());
            let visit = Client::connect(self.address()).and_then(|mut client| {
                client.exchange(&message)?;
                if dice.below(2) == 0 {
                    client.leave()
                } else {
                    Ok(())
                }
            });
            match visit {
                Ok(()) => self.record().visits += 1,
                Err(error) => self.failed("a visit", &error),
            }
            thread::sleep(Duration::from_micros(dice.below(4000)));
        }
    }

    /// Fifty requests a second, two seconds a connection.
    fn be_honest(&self) {
        let mut dice = self.dice(3);
        while self.goes_on() {
            let mut client = match Client::connect(self.address()) {
                Ok(client) => client,
                Err(error) => {
                    self.failed("an honest connect", &error);
                    continue;
                }
            };
            for _ in 0..100 {
                let began = Instant::now();
                let outcome = client.exchange(&message(64, dice.throw()));
                let took = began.elapsed();
                match outcome {
                    Ok(()) => self.record().honest.push((self.began.elapsed(), took)),
                    Err(error) => {
                        self.failed("an honest request", &error);
                        break;
                    }
                }
                if !self.goes_on() {
                    return;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn be_slow(&self) {
        let mut slow: Vec<Slow> = Vec::new();
        while self.goes_on() {
            for deaf in [false, true] {
                let wanted = if deaf { DEAF } else { TRICKLING };
                if slow.iter().filter(|slow| slow.deaf == deaf).count() < wanted {
                    // Whoever cannot come now comes with the next turn; honest clients tell whether that is an error.
                    slow.extend(Slow::connect(self.address(), deaf));
                }
            }
            let before = slow.len();
            slow.retain_mut(Slow::is_there);
            let gone = before - slow.len();
            self.record().cut += gone as u64;
            if let Some(place) = slow.iter().position(|slow| slow.since.elapsed() > DEADLINE + HANGS && !slow.deaf) {
                slow.swap_remove(place);
                self.record().hangs.push((self.began.elapsed(), "a slow client that is not cut".to_owned()));
            }
            // One that does not read does not see that it was cut.
            slow.retain(|slow| !slow.deaf || slow.since.elapsed() < DEADLINE);
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn break_things(&self) {
        let mut dice = self.dice(4);
        while self.goes_on() {
            let Ok(mut client) = Client::connect(self.address()) else {
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            if dice.below(2) == 0 {
                let answered = || Err(io::Error::new(ErrorKind::InvalidData, "an answer"));
                match client.say(b"p").and_then(|()| client.expect(b"never")).and_then(|()| answered()) {
                    // Its one byte has been read, so that the connection is closed and not reset.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => self.record().panics += 1,
                    Err(error) => self.failed("the end after a panic", &error),
                    Ok(()) => {}
                }
            } else {
                let message = message(2000, dice.throw());
                let part = dice.below(2000) as usize;
                if client.say(&message[..part]).and_then(|()| client.reset()).is_ok() {
                    self.record().resets += 1;
                }
            }
            thread::sleep(Duration::from_millis(dice.below(10)));
        }
    }

    fn watch(&self) {
        while self.goes_on() {
            // A process that has ended is found out by whoever asks it for its state.
            if let (Ok(bytes), Ok(now)) = (self.server.resident(), self.server.footprint()) {
                let mut record = self.record();
                record.memory.push((self.began.elapsed(), bytes));
                record.most_descriptors = record.most_descriptors.max(now.descriptors);
                record.most_threads = record.most_threads.max(now.threads);
            }
            thread::sleep(SAMPLED_EVERY);
        }
    }
}

struct Slow {
    client: Client,
    since: Instant,
    deaf: bool,
    last: Instant,
}

impl Slow {
    fn connect(server: SocketAddr, deaf: bool) -> Option<Slow> {
        let mut client = if deaf { Client::connect_with_small_buffer(server) } else { Client::connect(server) }.ok()?;
        client.say(if deaf { &[b'a', 1, 0, 0, 0] } else { b"e" }).ok()?;
        client.stream().set_nonblocking(true).ok()?;
        let now = Instant::now();
        Some(Slow { client, since: now, deaf, last: now })
    }

    /// Sends a byte when it is nearly too late, and says whether it has not been cut yet.
    fn is_there(&mut self) -> bool {
        if self.deaf {
            return true;
        }
        let mut stream = self.client.stream();
        if self.last.elapsed() > READ_TIMEOUT.mul_f64(0.8) {
            self.last = Instant::now();
            if stream.write(b"x").is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
                return false;
            }
        }
        match io::Read::read(&mut stream, &mut [0; 64]) {
            Ok(length) => length > 0,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}
