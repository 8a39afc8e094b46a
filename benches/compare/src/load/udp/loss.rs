use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, Context};
use hdrhistogram::Histogram;
use socketserver::{Error, UdpClient};

use super::lossy::{Faults, Lossy};
use super::witness::Witness;
use crate::load::message;

/// Requests under way at once, each by a client and a thread of its own.
const CLIENTS: usize = 200;

/// In the proportion of the client's defaults, 5 s and 500 ms, and in two fifths of the time.
const TIMEOUT: Duration = Duration::from_millis(2000);
const FIRST_RETRY: Duration = Duration::from_millis(200);

/// What is not lost takes up to so long each way. Both ways may so take longer than the first pause, and then there are answers that
/// come late, and twice.
const DELAY: Duration = Duration::from_millis(120);

const SEED: u64 = 1983;

const BYTES: usize = 64;

/// What became of the requests.
#[derive(Default)]
pub struct Outcome {
    pub answered: usize,
    pub unanswered: usize,
    /// Taken to be answered with what answers another one.
    pub wrong: usize,
    /// Of the request that ended the longest after it should have.
    pub past_deadline: Duration,
    /// How late a thread was that only slept.
    pub stall: Duration,
    /// Datagrams sent for them, the repeated ones included.
    pub sent: u64,
    pub took: Duration,
}

/// Has this crate's client make so many requests, through a network that loses so many percent each way.
///
/// The server is asked to send back what it gets, the id in front included.
pub fn run(server: SocketAddr, requests: usize, lost: u64) -> anyhow::Result<(Outcome, Histogram<u64>)> {
    let faults = Faults { lost, delay: DELAY, ..Faults::default() };
    let network = Lossy::before(SocketAddr::from(([127, 0, 0, 1], 0)), server, faults, faults, SEED);
    let (address, next) = (network.address, AtomicUsize::new(0));
    let (witness, began) = (Witness::begin(), Instant::now());
    let ended: Vec<_> = thread::scope(|scope| {
        let client = || scope.spawn(|| ask(address, &next, requests));
        let clients: Vec<_> = (0..CLIENTS).map(|_| client()).collect();
        clients.into_iter().map(|client| client.join()).collect()
    });
    let mut all = Outcome { took: began.elapsed(), stall: witness.end()?, ..Outcome::default() };
    let mut latencies = Histogram::new(3)?;
    for client in ended {
        let (outcome, its_latencies) = client.map_err(|_| anyhow!("a client has panicked"))??;
        all.add(&outcome);
        latencies.add(its_latencies)?;
    }
    Ok((all, latencies))
}

/// One client, which makes requests until there are enough of all of them.
fn ask(address: SocketAddr, next: &AtomicUsize, requests: usize) -> anyhow::Result<(Outcome, Histogram<u64>)> {
    let mut client = UdpClient::builder().timeout(TIMEOUT).first_retry(FIRST_RETRY).connect(address)?;
    let mut outcome = Outcome::default();
    let mut latencies = Histogram::new(3)?;
    let mut payload = message(BYTES);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= requests {
            break;
        }
        payload[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let began = Instant::now();
        let answer = client.request_identified(&payload);
        let took = began.elapsed();
        outcome.past_deadline = outcome.past_deadline.max(took.saturating_sub(TIMEOUT));
        match answer {
            Ok(answer) if answer == payload => {
                outcome.answered += 1;
                latencies.record(took.as_nanos() as u64)?;
            }
            Ok(_) => outcome.wrong += 1,
            Err(Error::Timeout { .. }) => outcome.unanswered += 1,
            Err(error) => return Err(error).context("a request that was neither answered nor given up"),
        }
    }
    outcome.sent = client.stats().sent;
    Ok((outcome, latencies))
}

impl Outcome {
    fn add(&mut self, other: &Outcome) {
        self.answered += other.answered;
        self.unanswered += other.unanswered;
        self.wrong += other.wrong;
        self.sent += other.sent;
        self.past_deadline = self.past_deadline.max(other.past_deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn every_request_is_counted_once_as_what_became_of_it() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            for count in 0_u64.. {
                let (length, sender) = server.recv_from(&mut buffer).unwrap();
                // The last byte is not the id's.
                buffer[length - 1] ^= u8::from(count % 10 == 0);
                let _ = server.send_to(&buffer[..length], sender);
            }
        });
        let (outcome, latencies) = run(address, 300, 0).unwrap();
        assert_eq!(outcome.answered + outcome.unanswered + outcome.wrong, 300);
        assert_eq!(outcome.answered as u64, latencies.len());
        assert!(outcome.wrong > 0 && outcome.wrong < 100, "{} are wrong", outcome.wrong);
        assert!(outcome.sent >= 300, "{} were sent", outcome.sent);
    }

    #[test]
    fn where_all_is_lost_nothing_is_answered() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (outcome, _) = run(server.local_addr().unwrap(), 10, 100).unwrap();
        assert_eq!((outcome.answered, outcome.unanswered, outcome.wrong), (0, 10, 0));
        // After 0, 200, 600 and 1,400 ms each; a machine that is late may leave no time for the last.
        assert!((11..=40).contains(&outcome.sent), "{} were sent", outcome.sent);
    }
}
