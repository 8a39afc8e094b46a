//! What an event loop must give back: descriptors, threads and places, after thousands of connections that end badly.

use std::io::Write;
use std::time::Duration;

use crate::client::Client;
use crate::harness::{count, own_loopback, Random, Watchdog};
use crate::parent::{status, Child};

const LIMIT: Duration = Duration::from_secs(20);

/// A connection's life up to a random point of it, and one of the ways to end.
fn live_and_end(client: Client, random: &mut Random) {
    const SCRIPT: &[u8] = b"ping x\ntake 8\n12345678send 30000\nping y\nsend 500000\nping z\n";
    let mut client = client;
    let sent = if random.below(2) == 0 { 0 } else { random.below(SCRIPT.len() + 1) };
    let _ = client.wire.get_mut().write_all(&SCRIPT[..sent]);
    if random.below(16) == 0 {
        // Of the answers, if there are any; a reset may destroy the rest on its way.
        client.socket().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let _ = std::io::Read::read(&mut client.wire, &mut vec![0; 1 + random.below(40_000)]);
    }
    match random.below(8) {
        0 => drop(client.say("\npanic")),
        1 => drop(client.say("\npanic-payload")),
        2 => drop(client.say("\nabort")),
        3 => drop(client.say("\nbye")),
        4 => drop(client.socket().shutdown(std::net::Shutdown::Write)),
        5 => drop(client.say("\nno such command")),
        _ => return client.reset(),
    }
    match random.below(3) {
        0 => client.reset(),
        1 => {
            // Where it has ended already there is nothing to end.
            let _ = client.socket().shutdown(std::net::Shutdown::Write);
            drop(client.rest());
        }
        _ => {}
    }
}

#[test]
fn ten_thousand_connections_that_end_badly_leave_nothing_behind() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let tcp = |rest: &str| format!("reactor address={} {rest}", own_loopback());
    let unix = format!("reactor-unix path={}", folder.path().join("socket").display());
    let roles = [(tcp(""), 6_000), (tcp("workers=3 max=50"), 2_000), (unix, 2_000)];
    for (number, (role, connections)) in roles.into_iter().enumerate() {
        let mut child = Child::start(&role);
        let mut random = Random::new(seed + number as u64);
        let times = connections * count(1, 10);
        let mut warm = 0;
        for number in 0..times {
            live_and_end(child.connect(), &mut random);
            if number == times / 5 {
                // What is kept for the next, such as the allocator's, is kept by now.
                child.check_leaks_within(LIMIT);
                warm = status(child.pid, "VmRSS");
            }
        }
        child.check_leaks_within(LIMIT);
        let grown = status(child.pid, "VmRSS").saturating_sub(warm);
        println!("{role}: {grown} KiB more after {times} connections");
        assert!(grown < 2048, "{role}: {grown} KiB more after {times} connections");
        let stats = child.stats();
        assert!(stats.panics > times as u64 / 20, "only {} panics: the test tests nothing", stats.panics);
        assert!(stats.accepted + stats.accept_errors >= times as u64, "{stats:?}");
        child.connect().ping();
        assert!(child.stop().contains("abandoned: 0, still_running: 0"));
    }
}
