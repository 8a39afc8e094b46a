use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context};
use hdrhistogram::Histogram;
use rustix::event::epoll::EventFlags;
use rustix::io::{read, Errno};
use rustix::net::{send, SendFlags};

use super::{message, Began, Dialer, Exchange, Poller, Totals};
use crate::measure::ProcessClock;

/// How long the last answers may take once nothing more is sent.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// From one ping of a connection to its next.
const PING_EVERY: Duration = Duration::from_millis(10);

const PING_BYTES: usize = 64;

/// Connections that ping now and then, beside a greedy one that sends and receives as fast as it can.
///
/// The greedy one gives way after each message, so that what the pings wait for is the server and not this load.
pub struct Greedy {
    poller: Poller,
    pings: Vec<Ping>,
    message: Vec<u8>,
    stream: Stream,
    latencies: Histogram<u64>,
}

struct Ping {
    exchange: Exchange,
    under_way: bool,
    /// When the ping under way, or else the next one, was to be sent. Latencies are measured from here, so that one that
    /// has to wait for the last answer has waited all the while.
    due: Instant,
}

impl Greedy {
    pub fn new(server: SocketAddr, pings: usize, bytes: usize) -> anyhow::Result<Greedy> {
        let mut dialer = Dialer::new(server);
        let poller = Poller::new()?;
        let both = EventFlags::IN | EventFlags::OUT;
        let mut connect = |number: usize| -> anyhow::Result<OwnedFd> {
            let socket = dialer.begin()?;
            poller.watch(&socket, number, both)?;
            Ok(socket)
        };
        let now = Instant::now();
        let ping = |socket| Ping { exchange: Exchange::new(socket), under_way: false, due: now };
        let connected: anyhow::Result<Vec<Ping>> = (0..pings).map(|number| connect(number).map(ping)).collect();
        let stream = Stream::new(connect(pings)?, bytes);
        let latencies = Histogram::new_with_max(60_000_000_000, 3)?;
        Ok(Greedy { pings: connected?, stream, poller, message: message(PING_BYTES), latencies })
    }

    /// Runs for so long, plus what the last answers take. The exchanges of the totals are pings.
    pub fn run(&mut self, time: Duration, server: ProcessClock) -> anyhow::Result<Totals> {
        self.latencies.reset();
        self.stream.forget();
        let began = Began::now(server)?;
        self.run_for(time)?;
        began.end(self.latencies.len())
    }

    /// Of the last run.
    pub fn latencies(&self) -> &Histogram<u64> {
        &self.latencies
    }

    /// What came back to the greedy connection in the last run.
    pub fn stream_bytes(&self) -> u64 {
        self.stream.received
    }

    /// Has the pings take turns, rather than all be due at the same time.
    fn spread_out(&mut self, now: Instant) {
        let count = self.pings.len() as u32;
        for (place, ping) in (0..).zip(&mut self.pings) {
            ping.due = now + PING_EVERY * place / count;
        }
    }

    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let mut now = Instant::now();
        let deadline = now + time;
        self.spread_out(now);
        let mut buffer = [0; PING_BYTES];
        let mut events = Vec::new();
        loop {
            let go_on = now < deadline;
            let timeout = if self.stream.can_move(go_on) { Duration::ZERO } else { Duration::from_millis(1) };
            events.extend(self.poller.wait(timeout)?);
            for (number, flags) in events.drain(..) {
                match self.pings.get_mut(number) {
                    Some(ping) => ping.turn(&self.message, &mut buffer, &mut self.latencies)?,
                    None => self.stream.see(flags),
                }
            }
            now = Instant::now();
            // Those that were due in time are sent even after the deadline, or the longest waits would not be counted.
            let mut unanswered = 0;
            for ping in self.pings.iter_mut().filter(|ping| ping.due < deadline) {
                unanswered += 1;
                if !ping.under_way && ping.due <= now {
                    ping.begin(&self.message)?;
                }
            }
            self.stream.turn(go_on).context("the greedy connection")?;
            if !go_on && unanswered == 0 && self.stream.is_answered() {
                return Ok(());
            }
            ensure!(
                now < deadline + ANSWERED_WITHIN,
                "no answer for {ANSWERED_WITHIN:?} to {unanswered} pings and {} bytes of the greedy connection",
                self.stream.sent - self.stream.received
            );
        }
    }
}

impl Ping {
    fn begin(&mut self, message: &[u8]) -> anyhow::Result<()> {
        self.under_way = true;
        self.exchange.begin();
        self.exchange.send(message)
    }

    fn turn(&mut self, message: &[u8], buffer: &mut [u8], latencies: &mut Histogram<u64>) -> anyhow::Result<()> {
        if !self.under_way {
            return Ok(());
        }
        if !self.exchange.receive(message, buffer)? {
            return self.exchange.send(message);
        }
        self.under_way = false;
        latencies.saturating_record(self.due.elapsed().as_nanos() as u64);
        self.due += PING_EVERY;
        Ok(())
    }
}

/// The connection that never waits for an answer before it sends more.
struct Stream {
    socket: OwnedFd,
    /// The message twice over, so that a whole one can be sent, or compared, from wherever the last call ended.
    twice: Vec<u8>,
    buffer: Vec<u8>,
    sent: u64,
    received: u64,
    /// Known from the last edge, until the kernel would block.
    readable: bool,
    writable: bool,
}

impl Stream {
    fn new(socket: OwnedFd, bytes: usize) -> Stream {
        let twice = message(bytes).repeat(2);
        Stream { socket, twice, buffer: vec![0; bytes], sent: 0, received: 0, readable: false, writable: false }
    }

    /// Begins to count anew, which it can as all has been answered.
    fn forget(&mut self) {
        self.sent = 0;
        self.received = 0;
    }

    fn see(&mut self, flags: EventFlags) {
        self.readable |= flags.intersects(EventFlags::IN | EventFlags::ERR | EventFlags::HUP);
        self.writable |= flags.contains(EventFlags::OUT);
    }

    fn can_move(&self, go_on: bool) -> bool {
        self.readable || (go_on && self.writable)
    }

    fn is_answered(&self) -> bool {
        self.received == self.sent
    }

    /// Sends a message at most, and receives one at most.
    fn turn(&mut self, go_on: bool) -> anyhow::Result<()> {
        if go_on && self.writable {
            match send(&self.socket, self.message_from(self.sent), SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count as u64,
                Err(Errno::AGAIN) => self.writable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("send"),
            }
        }
        if self.readable {
            match read(&self.socket, &mut *self.buffer) {
                Ok(0) => bail!("closed by the server"),
                Ok(count) => {
                    let expected = &self.message_from(self.received)[..count];
                    ensure!(expected == &self.buffer[..count], "the server answered something else than was sent");
                    self.received += count as u64;
                }
                Err(Errno::AGAIN) => self.readable = false,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("receive"),
            }
        }
        Ok(())
    }

    /// As many bytes as a message has, beginning where the stream stands.
    fn message_from(&self, position: u64) -> &[u8] {
        let bytes = self.buffer.len();
        let begin = (position % bytes as u64) as usize;
        &self.twice[begin..begin + bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    fn server(handle: fn(TcpStream) -> io::Result<()>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || handle(stream));
            }
        });
        address
    }

    #[test]
    fn every_ping_that_was_due_is_counted_and_the_stream_comes_back_whole() {
        let echo = |stream: TcpStream| io::copy(&mut &stream, &mut &stream).map(drop);
        let mut load = Greedy::new(server(echo), 4, 1000).unwrap();
        for _ in 0..2 {
            let totals = load.run(Duration::from_millis(100), ProcessClock::of_this_process()).unwrap();
            assert_eq!((totals.exchanges, load.latencies().len()), (40, 40));
            assert!(load.stream_bytes() > 1000, "{} bytes", load.stream_bytes());
        }
    }

    #[test]
    fn an_answer_that_waits_makes_those_behind_it_wait() {
        let slow_once = |mut stream: TcpStream| {
            stream.read_exact(&mut [0])?;
            thread::sleep(Duration::from_millis(60));
            stream.write_all(&[0])?;
            io::copy(&mut &stream, &mut &stream).map(drop)
        };
        let mut load = Greedy::new(server(slow_once), 1, 1000).unwrap();
        load.run(Duration::from_millis(100), ProcessClock::of_this_process()).unwrap();
        // Ten were due, one each 10 ms, and the first is answered after 60 ms: the next ones had 50, 40, 30, … to wait.
        let late = load.latencies().count_between(25_000_000, u64::MAX);
        assert!((4..=10).contains(&late), "{late} of {} were late", load.latencies().len());
    }

    #[test]
    fn a_wrong_answer_is_found() {
        let wrong = |mut stream: TcpStream| {
            let mut buffer = [0; 4096];
            while let count @ 1.. = stream.read(&mut buffer)? {
                buffer[0] ^= 1;
                stream.write_all(&buffer[..count])?;
            }
            Ok(())
        };
        let mut load = Greedy::new(server(wrong), 1, 1000).unwrap();
        let error = load.run(Duration::from_millis(100), ProcessClock::of_this_process()).err().unwrap();
        assert!(format!("{error:#}").contains("something else than was sent"), "{error:#}");
    }
}
