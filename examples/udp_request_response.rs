//! Requests and answers over a link that loses a quarter of all datagrams, and delivers some of the answers twice.
//!
//! Shows: `UdpClient::request_identified` and `Identified`, the two sides of a request id; the repetitions, and what the client counts; a
//! server's `Stats`.
//!
//! Run: `cargo run --example udp_request_response`. It needs no network: the server, the bad link and the client are threads of this program,
//! on ports of the loopback interface that the system chooses.
//!
//! Expect: a line for each of 20 requests, each with its own answer although some had to be sent several times, then what the client, the link and
//! the server have counted, and exit code 0. The link throws the same dice every time; a busy machine may add repetitions.
//!
//! Python's counterpart: none; a `SOCK_DGRAM` socket with a loop of one's own, which the tutorials leave out.

mod common;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::say;
use socketserver::udp::Identified;
use socketserver::{Datagram, Handler, HandlerResult, UdpClient, UdpServer};

const REQUESTS: u32 = 20;

/// In percent, each way.
const LOST: u64 = 25;
const DOUBLED: u64 = 20;

/// Squares a number. A request that is repeated is served again: a square does no harm.
#[derive(Clone)]
struct Square;

impl Handler<Datagram> for Square {
    fn handle(&mut self, request: &mut Datagram) -> HandlerResult {
        let number: u64 = std::str::from_utf8(request.data())?.parse()?;
        Ok(request.reply(format!("{}", number * number).as_bytes())?)
    }
}

fn main() -> ExitCode {
    common::run("udp_request_response", || {
        let running = UdpServer::bind("127.0.0.1:0", Identified::new(Square))?.spawn()?;
        let link = Link::before(running.local_addr())?;
        let mut client = UdpClient::builder()
            .timeout(Duration::from_secs(20))
            .retries(10)
            .first_retry(Duration::from_millis(20))
            .connect(link.address)?;

        let mut wrong = 0;
        for number in 1..=REQUESTS {
            let before = client.stats();
            let answer = client.request_identified(number.to_string().as_bytes())?;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            wrong += u32::from(answer != (number * number).to_string());
            let attempts = client.stats().sent - before.sent;
            say(format_args!("{number} squared is {answer}    ({attempts} sent)"))?;
        }

        let stats = client.stats();
        say(format_args!(
            "client: {} datagrams sent, {} of them again; {} received, {} passed over; {} fresh local ports",
            stats.sent, stats.retried, stats.received, stats.passed_over, stats.renewed
        ))?;
        say(format_args!("link: {} lost, {} doubled", link.lost(), link.doubled()))?;
        let handle = running.handle();
        running.stop()?;
        say(format_args!("server: {} requests served, {} dropped", handle.stats().accepted, handle.stats().dropped))?;
        say(format_args!("{REQUESTS} requests, {} wrong answers", wrong))?;
        match wrong {
            0 => Ok(()),
            _ => Err("an answer was taken for another request's".into()),
        }
    })
}

/// A bad link: a relay between one client and a server.
struct Link {
    /// Where the client sends to.
    address: SocketAddr,
    fates: Arc<Fates>,
}

#[derive(Default)]
struct Fates {
    lost: AtomicU64,
    doubled: AtomicU64,
}

impl Link {
    fn before(server: SocketAddr) -> io::Result<Link> {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0")?);
        back.connect(server)?;
        let link = Link { address: front.local_addr()?, fates: Arc::default() };
        // Whoever has sent last. The client changes its port, so an answer may reach it that belongs to an earlier request.
        let client = Arc::new(Mutex::new(None));

        // Both threads end with the program.
        let (ears, mouth, sender, fates) = (front.clone(), back.clone(), client.clone(), link.fates.clone());
        std::thread::spawn(move || {
            relay(
                &fates,
                1,
                0,
                |buffer| {
                    let (length, from) = ears.recv_from(buffer)?;
                    *sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
                    Ok(length)
                },
                |data| mouth.send(data),
            )
        });
        let fates = link.fates.clone();
        std::thread::spawn(move || {
            relay(
                &fates,
                2,
                DOUBLED,
                |buffer| back.recv(buffer),
                |data| match *client.lock().unwrap_or_else(PoisonError::into_inner) {
                    Some(client) => front.send_to(data, client),
                    None => Ok(0),
                },
            )
        });
        Ok(link)
    }

    fn lost(&self) -> u64 {
        self.fates.lost.load(Ordering::Relaxed)
    }

    fn doubled(&self) -> u64 {
        self.fates.doubled.load(Ordering::Relaxed)
    }
}

/// Passes datagrams on in one direction, or not.
fn relay(
    fates: &Fates,
    seed: u64,
    doubled: u64,
    mut receive: impl FnMut(&mut [u8]) -> io::Result<usize>,
    mut send: impl FnMut(&[u8]) -> io::Result<usize>,
) {
    let mut dice = Dice(seed);
    let mut buffer = [0; 2048];
    loop {
        // An error says that nobody was there for an earlier datagram; on such a link that is one more that is lost.
        let Ok(length) = receive(&mut buffer) else { continue };
        let data = buffer.get(..length).unwrap_or_default();
        if dice.percent(LOST) {
            fates.lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let _ = send(data);
        if dice.percent(doubled) {
            fates.doubled.fetch_add(1, Ordering::Relaxed);
            let _ = send(data);
        }
    }
}

/// Numbers that look random, the same for the same seed: Sebastiano Vigna's SplitMix64.
struct Dice(u64);

impl Dice {
    fn percent(&mut self, share: u64) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 100 < share
    }
}
