use std::ops::AddAssign;
use std::time::{Duration, Instant};

use crate::measure::{machine_busy, ProcessClock};

/// What happened in one slice, or in several together.
#[derive(Default)]
pub struct Totals {
    pub exchanges: u64,
    pub elapsed: Duration,
    pub server_time: Duration,
    pub load_time: Duration,
    /// Of everything that ran on the machine, these two included.
    pub machine_time: Duration,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Totals) {
        self.exchanges += more.exchanges;
        self.elapsed += more.elapsed;
        self.server_time += more.server_time;
        self.load_time += more.load_time;
        self.machine_time += more.machine_time;
    }
}

/// All the clocks as they stood when a slice began.
pub struct Began {
    at: Instant,
    server: ProcessClock,
    server_time: Duration,
    load_time: Duration,
    machine_time: Duration,
}

impl Began {
    /// The server's clock is read last here and first at the end: its time is the one that counts.
    pub fn now(server: ProcessClock) -> anyhow::Result<Began> {
        let (machine_time, load_time) = (machine_busy()?, ProcessClock::of_this_process().now()?);
        Ok(Began { at: Instant::now(), server, server_time: server.now()?, load_time, machine_time })
    }

    pub fn end(self, exchanges: u64) -> anyhow::Result<Totals> {
        let server_time = self.server.now()? - self.server_time;
        Ok(Totals {
            exchanges,
            elapsed: self.at.elapsed(),
            server_time,
            load_time: ProcessClock::of_this_process().now()? - self.load_time,
            machine_time: machine_busy()?.saturating_sub(self.machine_time),
        })
    }
}
