use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{bail, Context};
use nix::time::{clock_getcpuclockid, ClockId};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// What a server must give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footprint {
    pub descriptors: usize,
    pub threads: usize,
}

impl Footprint {
    pub fn of(pid: u32) -> anyhow::Result<Footprint> {
        let entries = |name: &str| -> anyhow::Result<usize> {
            let path = format!("/proc/{pid}/{name}");
            Ok(fs::read_dir(&path).with_context(|| format!("reading {path} (has the server ended?)"))?.count())
        };
        Ok(Footprint { descriptors: entries("fd")?, threads: entries("task")? })
    }

    /// Whether there is no more of anything than at the start. There may be less: a thread that was about to end is in what was counted then.
    pub fn is_within(self, start: Footprint) -> bool {
        self.descriptors <= start.descriptors && self.threads <= start.threads
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} descriptors, {} threads", self.descriptors, self.threads)
    }
}

/// Resident memory in bytes. From `smaps_rollup`, which walks the pages; the sums elsewhere can be off by megabytes.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path} (has the server ended?)"))?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib: u64| kib * 1024).with_context(|| format!("no Rss in {path}"))
}

/// The processor time of a whole process, with the threads that have ended.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let clock: ClockId = clock_getcpuclockid(Pid::from_raw(pid.try_into()?)).context("the server's processor clock")?;
    Ok(clock.now().context("reading the server's processor clock")?.into())
}

/// Connections of this network that found a listener's queue full.
pub fn listen_overflows() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/net/netstat").context("reading /proc/net/netstat")?;
    // Lines come in pairs, the first with the names and the second with the figures.
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let found = lines.next().zip(lines.next()).and_then(|(names, figures)| {
        let place = names.split_whitespace().position(|word| word == "ListenOverflows")?;
        figures.split_whitespace().nth(place)?.parse().ok()
    });
    found.context("no ListenOverflows in /proc/net/netstat")
}

/// Datagrams that the socket bound to this IPv4 address has lost because its receive buffer was full.
pub fn udp_drops(address: SocketAddr) -> anyhow::Result<u64> {
    let SocketAddr::V4(address) = address else { bail!("{address} is no IPv4 address") };
    let wanted = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    // The kernel hands the table out a page at a time, and skips lines when others open and close sockets meanwhile.
    for _ in 0..100 {
        let table = fs::read_to_string("/proc/net/udp").context("reading /proc/net/udp")?;
        let line = table.lines().find(|line| line.split_whitespace().nth(1) == Some(&wanted));
        if let Some(drops) = line.and_then(|line| line.split_whitespace().next_back()?.parse().ok()) {
            return Ok(drops);
        }
    }
    bail!("no socket on {address} in /proc/net/udp")
}
