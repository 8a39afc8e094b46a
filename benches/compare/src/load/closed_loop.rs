use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::event::epoll::EventFlags;

use super::{message, Dialer, Exchange, Poller, Sliced, Tally};
use crate::scenario::Lifetime;

/// How long the answers to the last messages of a slice may take. The first slice brings up a server's threads and, where
/// its queue was full, waits for SYNs to be sent again after 1, 3 and 7 seconds.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);

/// Connections that each send a message, wait for all of it to come back, and begin again.
pub struct ClosedLoop {
    dialer: Dialer,
    poller: Poller,
    /// None where no connection is open.
    slots: Vec<Option<Slot>>,
    /// Exchanges that have begun and not ended.
    under_way: usize,
    lifetime: Lifetime,
    message: Vec<u8>,
    buffer: Vec<u8>,
    tally: Tally,
}

struct Slot {
    exchange: Exchange,
    began: Instant,
}

impl ClosedLoop {
    pub fn new(server: SocketAddr, connections: usize, bytes: usize, lifetime: Lifetime) -> anyhow::Result<ClosedLoop> {
        Ok(ClosedLoop {
            dialer: Dialer::new(server),
            poller: Poller::new()?,
            slots: (0..connections).map(|_| None).collect(),
            under_way: 0,
            lifetime,
            message: message(bytes),
            buffer: vec![0; bytes],
            tally: Tally::new()?,
        })
    }

    /// Sees to a connection that has something to read or room to write; `go_on` says whether to begin another exchange.
    fn turn(&mut self, number: usize, go_on: bool) -> anyhow::Result<()> {
        let Some(slot) = &mut self.slots[number] else { return Ok(()) };
        if slot.exchange.is_done(&self.message) {
            // Between two slices: only room to write was reported.
            return Ok(());
        }
        if !slot.exchange.receive(&self.message, &mut self.buffer)? {
            return slot.exchange.send(&self.message);
        }
        self.tally.count(slot.began);
        self.under_way -= 1;
        if self.lifetime == Lifetime::OneExchange {
            // Dropped and so closed: the client is the first to close.
            self.slots[number] = None;
        }
        if go_on {
            self.begin(number)?;
        }
        Ok(())
    }

    fn begin(&mut self, number: usize) -> anyhow::Result<()> {
        self.under_way += 1;
        match &mut self.slots[number] {
            Some(slot) => {
                slot.began = Instant::now();
                slot.exchange.begin();
                slot.exchange.send(&self.message)
            }
            None => self.dial(number),
        }
    }

    /// Connects and sends at once where the connection is complete by then, as it mostly is over loopback.
    fn dial(&mut self, number: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut exchange = Exchange::new(self.dialer.begin()?);
        exchange.send(&self.message)?;
        // Watched for room to write, it would be reported at once; one that has sent all it ever will need not be.
        let done_sending = self.lifetime == Lifetime::OneExchange && exchange.sent == self.message.len();
        let flags = if done_sending { EventFlags::IN } else { EventFlags::IN | EventFlags::OUT };
        self.poller.watch(&exchange.socket, number, flags)?;
        self.slots[number] = Some(Slot { exchange, began });
        Ok(())
    }
}

impl Sliced for ClosedLoop {
    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let mut now = Instant::now();
        let deadline = now + time;
        for number in 0..self.slots.len() {
            self.begin(number)?;
        }
        let mut ready = Vec::new();
        while self.under_way > 0 {
            ready.extend(self.poller.wait(Duration::from_millis(100))?.map(|(number, _)| number));
            for number in ready.drain(..) {
                self.turn(number, now < deadline)?;
            }
            now = Instant::now();
            let unanswered = self.under_way;
            ensure!(
                now < deadline + ANSWERED_WITHIN,
                "{unanswered} of {} connections had no answer for {ANSWERED_WITHIN:?}",
                self.slots.len()
            );
        }
        Ok(())
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }
}
