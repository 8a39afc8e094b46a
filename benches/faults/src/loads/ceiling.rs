use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::Scale;
use crate::client::{message, Client};
use crate::process::Server;
use crate::report::{Row, Time};
use crate::server::{Kind, Settings};

/// How often a place is given up to see how soon somebody else has it.
const FREED: usize = 50;

/// L6.
pub fn run(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    let [limit, waiting] = scale.crowds([1000, 4000], [100, 400]);
    // Some less than the queue has room for, which is one client more or less than it says.
    let waiting = waiting.min(scale.place.backlog.saturating_sub(20));
    row.done = format!("{} clients at a server with {limit} places", limit + waiting);
    let server = Server::start(kind, &Settings::with_max(limit))?;
    let mut clients = Vec::with_capacity(limit + waiting);
    let began = Instant::now();
    for number in 0..limit + waiting {
        let mut client = Client::connect(server.address()).with_context(|| format!("client {number}"))?;
        client.say(&message(64, number as u64))?;
        clients.push(client);
    }
    for (number, client) in clients.iter_mut().enumerate().take(limit) {
        client.expect(&message(64, number as u64)).with_context(|| format!("client {number} has a place"))?;
    }
    // Time for one too many to be served, if there is one.
    thread::sleep(Duration::from_millis(200));
    let mut early = 0;
    for client in &clients[limit..] {
        early += usize::from(client.peek()?.is_some());
    }
    row.equal("served beyond the limit", early, 0);
    row.equal("served at once", server.state()?.active, limit as u64);

    let mut in_order = clients.into_iter().enumerate();
    let mut holding: Vec<Client> = in_order.by_ref().take(limit).map(|(_, client)| client).collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..FREED {
        let (Some(leaving), Some((number, mut next))) = (holding.pop(), in_order.next()) else { break };
        let freed = Instant::now();
        drop(leaving);
        next.expect(&message(64, number as u64)).with_context(|| format!("client {number}, for whom there is room"))?;
        slowest = slowest.max(freed.elapsed());
        holding.insert(0, next);
    }
    row.at_most("a freed place taken", slowest, scale.time(Duration::from_millis(50)));

    // The others in the order of their coming: each that leaves makes room for the next.
    drop(holding);
    let mut starved = 0;
    for (number, mut client) in in_order {
        starved += usize::from(client.expect(&message(64, number as u64)).is_err());
    }
    row.equal("not served in the end", starved, 0);
    row.at_most("everybody served", began.elapsed(), scale.time(Duration::from_secs(30)));
    let state = server.state()?;
    row.equal("most at once, as the handlers counted", state.most, limit as u64);
    row.none("client rejected", state.rejected);
    row.tell("all of it", Time(began.elapsed()));
    server.check_leaks(row)?;
    server.check_stop(row)
}
