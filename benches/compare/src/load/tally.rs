use std::time::Instant;

use hdrhistogram::Histogram;

/// The longest latency that is told apart from longer ones, in nanoseconds: a minute.
const LONGEST: u64 = 60_000_000_000;

/// What a load has counted since it was made.
pub struct Tally {
    latencies: Histogram<u64>,
    exchanges: u64,
}

impl Tally {
    pub fn new() -> anyhow::Result<Tally> {
        Ok(Tally { latencies: Histogram::new_with_max(LONGEST, 3)?, exchanges: 0 })
    }

    /// Counts an exchange that has just ended.
    pub fn count(&mut self, began: Instant) {
        self.latencies.saturating_record(began.elapsed().as_nanos() as u64);
        self.exchanges += 1;
    }

    /// Forgets the latencies of the warm-up.
    pub fn forget_latencies(&mut self) {
        self.latencies.reset();
    }

    pub fn latencies(&self) -> &Histogram<u64> {
        &self.latencies
    }

    /// All that were ever made, with the warm-up.
    pub fn exchanges(&self) -> u64 {
        self.exchanges
    }
}
