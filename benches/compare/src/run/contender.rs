use std::net::SocketAddr;
use std::time::Duration;

use super::{waits_and_shares, WARM_UP};
use crate::load::{Began, Sliced, Totals};
use crate::metric::{Metric, Sample};
use crate::process::Server;
use crate::servers::{Kind, Settings};

/// How long one server is measured before it is the next one's turn. A shared machine changes its speed from second to
/// second; in so short a time it is the same for all of them.
const SLICE: Duration = Duration::from_millis(200);

/// A server that is up, with its load, and what has been measured on it so far.
pub struct Contender<L> {
    server: Server,
    load: L,
    totals: Totals,
}

impl<L: Sliced> Contender<L> {
    pub fn start(
        kind: Kind,
        settings: &Settings,
        load: impl FnOnce(SocketAddr) -> anyhow::Result<L>,
    ) -> anyhow::Result<Contender<L>> {
        let server = Server::start(kind, settings)?;
        let load = load(server.address())?;
        let mut contender = Contender { server, load, totals: Totals::default() };
        // One exchange each, so that a server with a thread for each client has them all before there is much to do.
        // Under full load they would come up slower and slower: each that answers competes with the accepting.
        contender.load.run_for(Duration::ZERO)?;
        contender.load.run_for(WARM_UP)?;
        contender.load.tally_mut().forget_latencies();
        Ok(contender)
    }

    /// Runs the load for so long, and reads the processor clocks at both ends.
    fn slice(&mut self, time: Duration) -> anyhow::Result<()> {
        let before = self.load.tally().exchanges();
        let began = Began::now(self.server.clock())?;
        self.load.run_for(time)?;
        self.totals += began.end(self.load.tally().exchanges() - before)?;
        Ok(())
    }

    pub fn finish(self) -> anyhow::Result<Sample> {
        let Contender { server, load, totals } = self;
        let lost = load.lost();
        let (exchanges_in_all, latencies) = (load.tally().exchanges(), load.tally().latencies().clone());
        drop(load);
        let switches = server.stop()?;
        let exchanges = totals.exchanges as f64;
        let mut sample = waits_and_shares(&latencies, &totals);
        sample.insert(Metric::PerSecond, exchanges / totals.elapsed.as_secs_f64());
        sample.insert(Metric::ProcessorUs, totals.server_time.as_secs_f64() * 1e6 / exchanges);
        sample.insert(Metric::Switches, switches as f64 / exchanges_in_all as f64);
        if let Some(lost) = lost {
            sample.insert(Metric::Lost, lost as f64);
        }
        Ok(sample)
    }
}

/// A B C A B C until each has had its window. One that fails is out of the round, and its process ended.
pub fn take_turns<L: Sliced>(contenders: &mut [anyhow::Result<Contender<L>>], window: Duration) {
    let mut left = window;
    while !left.is_zero() {
        let time = left.min(SLICE);
        left -= time;
        for contender in contenders.iter_mut() {
            if let Ok(running) = contender {
                if let Err(error) = running.slice(time) {
                    *contender = Err(error);
                }
            }
        }
    }
}
