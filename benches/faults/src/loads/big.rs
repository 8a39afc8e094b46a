use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::Scale;
use crate::client::{message, Client};
use crate::process::Server;
use crate::report::{Row, Time, Unit};
use crate::server::{Kind, Settings};

/// What is sent over and over, of a length that no buffer has, so that a piece lost or repeated shows.
const PIECE: usize = 65_521;

/// What a server may have of one connection: what it has read and not written yet.
const BUFFERS: f64 = 320.0 * 1024.0;

/// L7.
pub fn run(scale: &Scale, kind: Kind, row: &mut Row) -> anyhow::Result<()> {
    let (clients, mib) = (scale.connections(100, 10) as u64, scale.pick(64, 4));
    row.done = format!("{clients} clients, {mib} MiB echoed to each at the same time");
    let server = Server::start(kind, &Settings::default())?;
    let (address, before, began) = (server.address(), server.resident()?, Instant::now());
    let over = AtomicBool::new(false);
    let (outcomes, peak) = thread::scope(|scope| -> anyhow::Result<_> {
        let clients: Vec<_> =
            (0..clients).map(|number| scope.spawn(move || echo(address, number, mib << 20))).collect();
        let peak = scope.spawn(|| -> anyhow::Result<u64> {
            let mut peak = 0;
            while !over.load(Ordering::SeqCst) {
                peak = peak.max(server.resident()?);
                thread::sleep(Duration::from_millis(50));
            }
            Ok(peak)
        });
        let outcomes: Vec<io::Result<()>> = clients.into_iter().filter_map(|client| client.join().ok()).collect();
        over.store(true, Ordering::SeqCst);
        Ok((outcomes, peak.join().ok().context("watching the memory has panicked")??))
    })?;
    let took = began.elapsed();
    let errors: Vec<_> = outcomes.iter().filter_map(|outcome| Some(outcome.as_ref().err()?.to_string())).collect();
    let words = errors.first().map_or("0 errors".to_owned(), |error| format!("{} × {error}", errors.len()));
    row.check(
        format!("{clients} echoes, byte by byte"),
        words,
        errors.is_empty() && outcomes.len() == clients as usize,
    );
    let limit = clients as f64 * BUFFERS + 32.0 * 1024.0 * 1024.0;
    row.memory("memory", peak.saturating_sub(before) as f64, limit, Unit::Mib);
    row.at_most("all of it", took, scale.time(Duration::from_secs(60)));
    row.tell("both ways together", format!("{:.0} MiB/s", 2.0 * (clients * mib) as f64 / took.as_secs_f64()));
    row.tell("on the way", Time(took));
    server.check_leaks(row)?;
    server.check_stop(row)
}

/// Sends and reads at the same time, as the server's buffers do not hold all of it.
fn echo(server: SocketAddr, number: u64, length: u64) -> io::Result<()> {
    let client = Client::connect(server)?;
    let piece = message(PIECE, number);
    thread::scope(|scope| {
        let sending = scope.spawn(|| send(client.stream(), &piece, length));
        let received = receive(client.stream(), &piece, length);
        if received.is_err() {
            // Or the sender would wait until it is timed out.
            let _ = client.stream().shutdown(Shutdown::Both);
        }
        let sent = sending.join().unwrap_or_else(|_| Err(io::Error::other("the sending thread has panicked")));
        received.and(sent)
    })
}

fn send(mut stream: &TcpStream, piece: &[u8], length: u64) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let part = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        stream.write_all(&piece[..part])?;
        left -= part as u64;
    }
    stream.shutdown(Shutdown::Write)
}

fn receive(mut stream: &TcpStream, piece: &[u8], length: u64) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut left = length;
    while left > 0 {
        let part = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        stream.read_exact(&mut buffer[..part])?;
        if buffer[..part] != piece[..part] {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a wrong byte"));
        }
        left -= part as u64;
    }
    match stream.read(&mut buffer)? {
        0 => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "more than was sent")),
    }
}
