use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::Scale;
use crate::client::{message, Client};
use crate::process::Server;
use crate::report::{Row, Unit};
use crate::server::{Kind, Settings};

/// From the last connect or answer until memory is read.
const COME_TO_REST: Duration = Duration::from_millis(300);

/// What one connection may cost on each. A coroutine's stack grows by pages: the plainest handler has two, this program's has three.
fn bytes_each(kind: Kind) -> f64 {
    match kind {
        Kind::Threading => 24.0 * 1024.0,
        Kind::Reactor => 2.0 * 1024.0,
        _ => 16.0 * 1024.0,
    }
}

/// L1.
pub fn loops(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    let count = scale.connections(10_000, 1000);
    row.done = format!("{count} idle connections, twice");
    run(scale, kind, count, row)
}

/// L2.
pub fn threads(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    let count = scale.connections(4000, 300);
    row.done = format!("{count} idle connections, twice");
    run(scale, kind, count, row)
}

fn run(scale: &Scale, kind: Kind, count: usize, row: &mut Row) -> anyhow::Result<()> {
    // Nothing may time out while it is idle.
    let settings = Settings { max: count, read_timeout: Some(Duration::from_secs(300)), ..Settings::default() };
    let server = Server::start(kind, &settings)?;
    let before = server.resident()?;
    let (crowd, slowest, all) = connect(&server, count)?;
    row.at_most("all connected", all, scale.time(Duration::from_secs(5)));
    row.at_most("slowest connect", slowest, scale.time(Duration::from_millis(900)));
    wait_until_active(&server, count)?;
    thread::sleep(COME_TO_REST);
    let idle = server.resident()?;
    let each = idle.saturating_sub(before) as f64 / count as f64;
    // Each of a small crowd has more of what is allotted in larger pieces, and the frames of a debug build are deep.
    row.memory("memory for each", each, scale.pick(1.0, 4.0) * bytes_each(kind), Unit::Kib);

    let (busy, began) = (server.processor_time()?, Instant::now());
    thread::sleep(scale.seconds(10.0, 0.5));
    let share = 100.0 * (server.processor_time()? - busy).as_secs_f64() / began.elapsed().as_secs_f64();
    let most = scale.pick(1.0, 5.0);
    row.check(format!("processor time while idle < {most} %"), format!("{share:.2} %"), share < most);

    answer_all(crowd, row)?;
    server.check_leaks(row)?;
    thread::sleep(COME_TO_REST);
    let first_peak = server.resident()?.max(idle);

    let (crowd, ..) = connect(&server, count)?;
    wait_until_active(&server, count)?;
    thread::sleep(COME_TO_REST);
    let growth = 100.0 * (server.resident()? as f64 / first_peak as f64 - 1.0);
    let most = scale.pick(5.0, 30.0);
    row.check(format!("a second crowd costs < {most} % more"), format!("{growth:.1} %"), growth < most);
    answer_all(crowd, row)?;
    server.check_leaks(row)?;
    server.check_stop(row)
}

fn connect(server: &Server, count: usize) -> anyhow::Result<(Vec<Client>, Duration, Duration)> {
    let (began, mut slowest) = (Instant::now(), Duration::ZERO);
    let mut crowd = Vec::with_capacity(count);
    for number in 0..count {
        let began = Instant::now();
        crowd.push(Client::connect(server.address()).with_context(|| format!("connection {number} of {count}"))?);
        slowest = slowest.max(began.elapsed());
    }
    Ok((crowd, slowest, began.elapsed()))
}

fn wait_until_active(server: &Server, count: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.state()?.active < count as u64 {
        anyhow::ensure!(Instant::now() < deadline, "only {} of {count} are served", server.state()?.active);
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn answer_all(mut crowd: Vec<Client>, row: &mut Row) -> anyhow::Result<()> {
    let count = crowd.len();
    for (client, number) in crowd.iter_mut().zip(0..) {
        client.say(&message(64, number)).context("asking after the idle time")?;
    }
    let answered =
        crowd.iter_mut().zip(0..).filter_map(|(client, number)| client.expect(&message(64, number)).ok()).count();
    row.equal("right answers", answered, count);
    Ok(())
}
