use std::time::Duration;

use super::{waits_and_shares, WARM_UP};
use crate::load::closed_loop::ClosedLoop;
use crate::load::Totals;
use crate::measure::{Metric, Sample};
use crate::process::Server;
use crate::scenario::Lifetime;
use crate::servers::{Kind, Settings};

/// How long one server is measured before it is the next one's turn. A shared machine changes its speed from second to
/// second; in so short a time it is the same for all of them.
const SLICE: Duration = Duration::from_millis(200);

/// A server that is up, with its connections, and what has been measured on it so far.
pub struct Contender {
    server: Server,
    load: ClosedLoop,
    totals: Totals,
}

impl Contender {
    pub fn start(
        kind: Kind,
        settings: &Settings,
        connections: usize,
        bytes: usize,
        lifetime: Lifetime,
    ) -> anyhow::Result<Contender> {
        let server = Server::start(kind, settings)?;
        let mut load = ClosedLoop::new(server.address(), connections, bytes, lifetime)?;
        load.prepare()?;
        load.slice(WARM_UP, server.clock())?;
        load.forget_latencies();
        Ok(Contender { server, load, totals: Totals::default() })
    }

    fn slice(&mut self, time: Duration) -> anyhow::Result<()> {
        self.totals += self.load.slice(time, self.server.clock())?;
        Ok(())
    }

    pub fn finish(self) -> anyhow::Result<Sample> {
        let Contender { server, load, totals } = self;
        let (exchanges_in_all, latencies) = (load.exchanges(), load.latencies().clone());
        drop(load);
        let switches = server.stop()?;
        let exchanges = totals.exchanges as f64;
        let mut sample = waits_and_shares(&latencies, &totals);
        sample.insert(Metric::PerSecond, exchanges / totals.elapsed.as_secs_f64());
        sample.insert(Metric::ProcessorUs, totals.server_time.as_secs_f64() * 1e6 / exchanges);
        sample.insert(Metric::Switches, switches as f64 / exchanges_in_all as f64);
        Ok(sample)
    }
}

/// A B C A B C until each has had its window. One that fails is out of the round, and its process ended.
pub fn take_turns(contenders: &mut [anyhow::Result<Contender>], window: Duration) {
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
