use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::Scale;
use crate::footprint::udp_drops;
use crate::process::Server;
use crate::report::{Row, Unit};
use crate::server::{Kind, Settings};

const SENDERS: usize = 4;

/// What comes to rest within this is counted; what does not is lost.
const COUNTED_WITHIN: Duration = Duration::from_secs(10);

/// L8.
pub fn run(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    let window = scale.seconds(10.0, 1.0);
    row.done = format!("{SENDERS} senders, 64 bytes, as fast as they can");
    let server = Server::start(kind, &Settings::default())?;
    let address = server.address();
    // Once before memory is looked at, so that what fills once is full.
    let mut sent = 0;
    for _ in 0..4 {
        sent += flood(address, window / 8)?;
        settle(&server, sent)?;
    }
    let before = server.resident_at_rest()?;
    sent += flood(address, window)?;
    let (handled, dropped, lost) = settle(&server, sent)?;
    let counted = handled + dropped + lost;
    let seen = format!("{handled} + {dropped} + {lost} = {counted} of {sent}");
    if scale.quick {
        // Of a busy machine, a processor may lose some on the way, in a queue that it has for all sockets.
        row.check("handled + dropped + full buffer ≤ sent", seen, counted <= sent);
        row.tell("counted by nobody", sent.saturating_sub(counted));
    } else {
        row.check("handled + dropped + full buffer = sent", seen, counted == sent);
    }
    row.check("some are handled", handled, handled > 0);
    let growth = server.resident_at_rest()?.saturating_sub(before);
    row.memory("growth", growth as f64, scale.pick(2.0, 8.0) * 1024.0 * 1024.0, Unit::Kib);
    row.tell("sent, handled a second", {
        let seconds = window.as_secs_f64() * 1.5;
        format!("{:.0}, {:.0}", sent as f64 / seconds, handled as f64 / seconds)
    });
    expect_echo(address).context("after the flood")?;
    server.check_leaks(row)?;
    server.check_stop(row)
}

fn flood(server: SocketAddr, window: Duration) -> anyhow::Result<u64> {
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(move || send(server, window))).collect();
        let mut sent = 0;
        for sender in senders {
            sent += sender.join().ok().context("a sender has panicked")??;
        }
        Ok(sent)
    })
}

fn send(server: SocketAddr, window: Duration) -> io::Result<u64> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    let (end, mut sent) = (Instant::now() + window, 0);
    while Instant::now() < end {
        // Not to be answered: what a sender's own buffer loses of answers would be counted nowhere.
        socket.send(&[b'-'; 64])?;
        sent += 1;
    }
    Ok(sent)
}

/// Handled, dropped by the server, lost by the kernel, when they have stopped growing.
fn settle(server: &Server, sent: u64) -> anyhow::Result<(u64, u64, u64)> {
    let deadline = Instant::now() + COUNTED_WITHIN;
    loop {
        let state = server.state()?;
        let found = (state.handled, state.dropped, udp_drops(server.address())?);
        if found.0 + found.1 + found.2 == sent || Instant::now() > deadline {
            return Ok(found);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn expect_echo(server: SocketAddr) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.send(b"echo")?;
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer).context("waiting for an answer")?;
    anyhow::ensure!(&answer[..length] == b"echo", "a wrong answer");
    Ok(())
}
