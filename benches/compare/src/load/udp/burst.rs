use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{ensure, Context};

use crate::load::message;
use crate::measure::udp_drops;
use crate::servers::udp_slow::Counts;

/// So that a leak of what was dropped would show: the bursts together are many times the server's memory.
const BYTES: usize = 1000;

/// How long it may take until a burst has been worked off, and all of it is accounted for.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// How long a question waits for its answer before another is asked, and how long it is until then when there was one.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);
const ASK_EVERY: Duration = Duration::from_millis(2);

/// Datagrams sent as fast as they can be, to a server that is slow, and counts.
pub struct Bursts {
    server: SocketAddr,
    socket: UdpSocket,
    message: Vec<u8>,
    sent: u64,
    question: u64,
}

/// What has become of all that was sent, the questions about it included.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    pub sent: u64,
    pub handled: u64,
    pub dropped: u64,
    pub dropped_by_kernel: u64,
}

impl Account {
    /// What nobody knows of, or what was counted twice.
    pub fn unaccounted(&self) -> u64 {
        self.sent.abs_diff(self.handled + self.dropped + self.dropped_by_kernel)
    }
}

impl Bursts {
    pub fn new(server: SocketAddr) -> anyhow::Result<Bursts> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Bursts { server, socket, message: message(BYTES), sent: 0, question: 0 })
    }

    /// Sends so many, and waits until all that was ever sent has been accounted for, or will never be.
    pub fn send(&mut self, datagrams: usize) -> anyhow::Result<Account> {
        for _ in 0..datagrams {
            self.socket.send(&self.message).context("send")?;
            self.sent += 1;
        }
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let account = self.ask()?;
            let over = Instant::now() > deadline;
            match account {
                Some(account) if over || account.unaccounted() == 0 => return Ok(account),
                Some(_) => thread::sleep(ASK_EVERY),
                None => ensure!(!over, "the server has not answered any more"),
            }
        }
    }

    /// Asks the server. None where the question, or the answer, was lost like so many others.
    fn ask(&mut self) -> anyhow::Result<Option<Account>> {
        self.question += 1;
        self.socket.send(&Counts::question(self.question)).context("ask")?;
        self.sent += 1;
        let mut buffer = [0; 100];
        loop {
            let count = match self.socket.recv(&mut buffer) {
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("receive"),
            };
            let counts = Counts::from_bytes(&buffer[..count]).context("the server answered something else")?;
            // Else it is a late one.
            if counts.number == self.question {
                let dropped_by_kernel = udp_drops(self.server)?;
                let Counts { handled, dropped, .. } = counts;
                return Ok(Some(Account { sent: self.sent, handled, dropped, dropped_by_kernel }));
            }
        }
    }
}
