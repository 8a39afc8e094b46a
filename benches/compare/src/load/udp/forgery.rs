use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use socketserver::{Error, UdpClient};

use super::witness::Witness;
use crate::servers::udp_forger::Order;

/// For the request whose true answer comes behind all the forgeries, which take a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// For the one that has no true answer. It ends long before the forgeries do.
const TIMEOUT: Duration = Duration::from_millis(300);

/// More than wait in the client's receive buffer, which has room for some 300.
const MORE: usize = 1000;

#[derive(Default)]
pub struct Outcome {
    /// Forgeries that came to the client, and were passed over; what came faster than it could look, the kernel dropped.
    pub passed_over: u64,
    pub unanswered: usize,
    /// Forgeries taken for the answer.
    pub wrong: usize,
    pub past_deadline: Duration,
    /// How late a thread was that only slept.
    pub stall: Duration,
}

/// Has this crate's client make two requests, each answered with so many forgeries: one that is answered after them, and one that is not.
pub fn run(forger: SocketAddr, forgeries: u64) -> anyhow::Result<Outcome> {
    let mut client = UdpClient::connect(forger)?;
    let mut outcome = Outcome::default();

    // Sent again after half a second and on: what finds the client's buffer full, the true answer too, is lost.
    client.set_timeout(PATIENCE)?;
    client.set_retries(10)?;
    let order = Order { forgeries, answers: true }.to_bytes();
    match client.request_identified(&order) {
        Ok(answer) if answer == order => {}
        Ok(_) => outcome.wrong += 1,
        Err(Error::Timeout { .. }) => outcome.unanswered += 1,
        Err(error) => return Err(error).context("the request that is answered"),
    }
    outcome.passed_over = client.stats().passed_over;

    client.set_timeout(TIMEOUT)?;
    let order = Order { forgeries, answers: false }.to_bytes();
    let (witness, began) = (Witness::begin(), Instant::now());
    let answer = client.request_identified(&order);
    outcome.past_deadline = began.elapsed().saturating_sub(TIMEOUT);
    outcome.stall = witness.end()?;
    match answer {
        Ok(_) => outcome.wrong += 1,
        Err(Error::Timeout { .. }) => see_more(&mut client)?,
        Err(error) => return Err(error).context("the request that is not answered"),
    }
    Ok(outcome)
}

/// The deadline has been put to the test only if the forgeries went on after it.
fn see_more(client: &mut UdpClient) -> anyhow::Result<()> {
    for _ in 0..MORE {
        client.recv().context("the forgeries had ended before the deadline")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::udp_forger;
    use std::net::UdpSocket;
    use std::thread;

    #[test]
    fn the_true_answer_is_told_from_the_forgeries() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || udp_forger::serve(&socket));
        let outcome = run(address, 300_000).unwrap();
        assert_eq!((outcome.wrong, outcome.unanswered), (0, 0));
        assert!(outcome.passed_over > 1000, "{} came", outcome.passed_over);
    }

    #[test]
    fn what_answers_with_something_else_is_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 100];
            while let Ok((count, client)) = socket.recv_from(&mut buffer) {
                // The last byte is not the id's.
                buffer[count - 1] ^= 1;
                let _ = socket.send_to(&buffer[..count], client);
            }
        });
        assert_eq!(run(address, 0).unwrap().wrong, 2);
    }
}
