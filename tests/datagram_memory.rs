//! U9: what a flood of datagrams costs. In a process of its own, so that what grows is the server's.
#![cfg(target_os = "linux")]
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{eventually, held, watchdog, Kind, Reach};
use socketserver::ThreadingUdpServer;

/// In KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Memory stays what the queue holds.
#[test]
fn a_flood_does_not_grow_the_process() {
    let _watchdog = watchdog();
    let (handler, release) = held();
    let builder = ThreadingUdpServer::builder().max_connections(2).queue(64);
    let before = resident();
    let served = ThreadingUdpServer::serve_as(builder, handler);
    let (client, _other) = (served.place.begin(), served.place.begin());
    // 40 MB that were received, of which half a megabyte may wait.
    let flood = |number: u64| {
        eventually("so many are dropped", || {
            (0..20).for_each(|_| client.send(&[b'x'; 8000]));
            served.handle.stats().dropped > number * 5_000
        });
        resident()
    };
    let first = flood(1);
    assert!(first.saturating_sub(before) < 8 * 1024, "{} KiB", first.saturating_sub(before));
    let mut last = first;
    for number in 2..=5 {
        last = flood(number);
    }
    println!("{before} KiB, {first} KiB after a flood, {last} KiB after five");
    assert!(last.saturating_sub(first) < 1024, "{} KiB", last.saturating_sub(first));
    drop(release);
    served.idle();
    served.stop();
}
