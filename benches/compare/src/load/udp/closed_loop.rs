use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure, Context};
use rustix::event::epoll::EventFlags;
use rustix::io::{read, Errno};
use rustix::net::{send, SendFlags};

use crate::load::{message, Poller, Sliced, Tally};

/// A request that has had no answer for so long is taken for lost, and sent again. Much longer than a busy machine keeps a server
/// from running.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// How often requests are looked through for lost ones.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the answers to the last requests of a slice may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// The bytes of a request's number, in front of it.
const NUMBER: usize = 8;

/// Clients that each send a datagram, wait until it comes back, and begin again.
///
/// It asks for events without a pause and does not sleep. To wake it would be the server's business, whose answer's whole way through the
/// kernel is in its own processor time: a server slower than the load would wake it for every answer, a faster one for none, and
/// the small difference between them would show as a large one.
pub struct ClosedLoop {
    poller: Poller,
    clients: Vec<Client>,
    /// Exchanges that have begun and not ended.
    under_way: usize,
    buffer: Vec<u8>,
    tally: Tally,
    lost: u64,
}

/// A socket with a request under way, or the answer to its last one.
struct Client {
    socket: OwnedFd,
    /// Begins with the number of the request, by which answers to one that was sent again are told apart.
    message: Vec<u8>,
    number: u64,
    waits: bool,
    began: Instant,
    sent: Instant,
}

impl ClosedLoop {
    pub fn new(server: SocketAddr, clients: usize, bytes: usize) -> anyhow::Result<ClosedLoop> {
        let poller = Poller::new()?;
        let connected: anyhow::Result<Vec<Client>> = (0..clients)
            .map(|place| {
                let client = Client::new(server, bytes)?;
                poller.watch(&client.socket, place, EventFlags::IN)?;
                Ok(client)
            })
            .collect();
        // One byte more, which an answer that is too long would fill.
        let buffer = vec![0; bytes + 1];
        Ok(ClosedLoop { poller, clients: connected?, under_way: 0, buffer, tally: Tally::new()?, lost: 0 })
    }

    /// Sees to a client that has something to read; `go_on` says whether to begin another exchange.
    fn turn(&mut self, place: usize, go_on: bool) -> anyhow::Result<()> {
        let client = &mut self.clients[place];
        if !client.waits || !client.receive(&mut self.buffer)? {
            return Ok(());
        }
        client.waits = false;
        self.tally.count(client.began);
        self.under_way -= 1;
        if go_on {
            client.begin()?;
            self.under_way += 1;
        }
        Ok(())
    }

    fn repeat_lost(&mut self, now: Instant) -> anyhow::Result<()> {
        for client in self.clients.iter_mut().filter(|client| client.waits && now >= client.sent + LOST_AFTER) {
            self.lost += 1;
            client.send()?;
        }
        Ok(())
    }
}

impl Sliced for ClosedLoop {
    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let mut now = Instant::now();
        let deadline = now + time;
        let mut look_at = now + LOOK_EVERY;
        for client in &mut self.clients {
            client.begin()?;
            self.under_way += 1;
        }
        let mut ready = Vec::new();
        while self.under_way > 0 {
            ready.extend(self.poller.wait(Duration::ZERO)?.map(|(place, _)| place));
            if ready.is_empty() {
                // Others may need the processor, and where there is only one the server does.
                thread::yield_now();
            }
            for place in ready.drain(..) {
                self.turn(place, now < deadline)?;
            }
            now = Instant::now();
            if now >= look_at {
                look_at = now + LOOK_EVERY;
                self.repeat_lost(now)?;
            }
            let unanswered = self.under_way;
            ensure!(now < deadline + ANSWERED_WITHIN, "{unanswered} clients had no answer for {ANSWERED_WITHIN:?}");
        }
        Ok(())
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn lost(&self) -> Option<u64> {
        Some(self.lost)
    }
}

impl Client {
    fn new(server: SocketAddr, bytes: usize) -> anyhow::Result<Client> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let now = Instant::now();
        let message = message(bytes);
        ensure!(message.len() >= NUMBER, "a request of {bytes} bytes has no room for its number");
        Ok(Client { socket: socket.into(), message, number: 0, waits: false, began: now, sent: now })
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        self.number += 1;
        self.message[..NUMBER].copy_from_slice(&self.number.to_le_bytes());
        self.waits = true;
        self.send()?;
        self.began = self.sent;
        Ok(())
    }

    /// A socket that takes nothing now is left to be tried again with what was lost.
    fn send(&mut self) -> anyhow::Result<()> {
        self.sent = Instant::now();
        loop {
            match send(&self.socket, &self.message, SendFlags::empty()) {
                Ok(_) | Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("send"),
            }
        }
    }

    /// Receives what is there; true when the answer was among it.
    fn receive(&self, buffer: &mut [u8]) -> anyhow::Result<bool> {
        loop {
            match read(&self.socket, &mut *buffer) {
                Ok(count) if buffer[..count] == *self.message => return Ok(true),
                Ok(count) => self.pass_over(&buffer[..count])?,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("receive"),
            }
        }
    }

    /// A second answer to an earlier request is let go by; anything else must not come.
    fn pass_over(&self, answer: &[u8]) -> anyhow::Result<()> {
        let number_of = |datagram: &[u8]| Some(u64::from_le_bytes(*datagram.first_chunk()?));
        match number_of(answer) {
            Some(number) if number < self.number && answer.len() == self.message.len() => Ok(()),
            _ => bail!("the server answered something else than was sent"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that does something else with each datagram, told by its count.
    fn server(handle: fn(u64, &UdpSocket, &mut [u8], SocketAddr)) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            for count in 0.. {
                let (length, sender) = socket.recv_from(&mut buffer).unwrap();
                handle(count, &socket, &mut buffer[..length], sender);
            }
        });
        address
    }

    #[test]
    fn a_slice_has_an_exchange_for_each_client_at_least() {
        let address = server(|_, socket, data, sender| drop(socket.send_to(data, sender)));
        let mut load = ClosedLoop::new(address, 4, 64).unwrap();
        load.run_for(Duration::ZERO).unwrap();
        assert_eq!((load.tally.exchanges(), load.lost), (4, 0));
        load.run_for(Duration::from_millis(50)).unwrap();
        assert!(load.tally.exchanges() > 8, "{}", load.tally.exchanges());
    }

    #[test]
    fn what_is_lost_is_counted_and_sent_again() {
        let address = server(|count, socket, data, sender| {
            if count > 0 {
                let _ = socket.send_to(data, sender);
            }
        });
        let mut load = ClosedLoop::new(address, 2, 64).unwrap();
        load.run_for(Duration::ZERO).unwrap();
        assert_eq!((load.tally.exchanges(), load.lost), (2, 1));
    }

    #[test]
    fn a_second_answer_is_not_taken_for_the_next_requests() {
        let address = server(|_, socket, data, sender| {
            for _ in 0..2 {
                let _ = socket.send_to(data, sender);
            }
        });
        let mut load = ClosedLoop::new(address, 2, 64).unwrap();
        for exchanges in [2, 4, 6] {
            load.run_for(Duration::ZERO).unwrap();
            assert_eq!((load.tally.exchanges(), load.lost), (exchanges, 0));
        }
    }

    #[test]
    fn a_wrong_answer_is_found() {
        let address = server(|_, socket, data, sender| {
            data[20] ^= 1;
            let _ = socket.send_to(data, sender);
        });
        let error = ClosedLoop::new(address, 1, 64).unwrap().run_for(Duration::ZERO).err().unwrap();
        assert!(format!("{error:#}").contains("something else than was sent"), "{error:#}");
    }
}
