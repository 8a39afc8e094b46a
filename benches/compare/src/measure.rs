use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{bail, Context};
use nix::sys::resource::{getrusage, UsageWho};
use nix::time::{clock_getcpuclockid, ClockId};
use nix::unistd::Pid;

/// The processor time of a whole process, in nanoseconds and with the threads that have ended.
///
/// The other places this could be read fall short: `/proc/PID/schedstat` has the first thread only, a sum over
/// `/proc/PID/task` loses the threads that have ended (all the work, with a thread a connection), and `/proc/PID/stat`
/// counts in ticks of 10 ms.
#[derive(Clone, Copy)]
pub struct ProcessClock(ClockId);

impl ProcessClock {
    pub fn of(pid: u32) -> anyhow::Result<ProcessClock> {
        let pid = Pid::from_raw(pid.try_into()?);
        Ok(ProcessClock(clock_getcpuclockid(pid).with_context(|| format!("the processor clock of process {pid}"))?))
    }

    pub fn of_this_process() -> ProcessClock {
        ProcessClock(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    pub fn now(self) -> anyhow::Result<Duration> {
        Ok(self.0.now().context("reading a processor clock (has the server ended?)")?.into())
    }
}

/// Resident memory of a process in bytes.
///
/// From `smaps_rollup`, which walks the pages; the sums in `statm` are kept for each processor apart and can be off by
/// megabytes. Kernel memory (a thread's 16 KiB kernel stack, the sockets) is not in it.
pub fn resident(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    resident_in(&text).with_context(|| format!("no Rss in {path}"))
}

fn resident_in(rollup: &str) -> Option<u64> {
    let kib = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    Some(kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Context switches of all children that have been waited for. The difference around one wait is that child's whole
/// life, ended threads included, which no file of `/proc` has.
pub fn switches_of_reaped_children() -> anyhow::Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.voluntary_context_switches() + usage.involuntary_context_switches()) as u64)
}

/// The time all processors together have been busy since the machine was started, for whomever.
pub fn machine_busy() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    busy_in(&text).context("no processor times in /proc/stat")
}

/// The first line has ticks of 10 ms: user, nice, system, idle, waiting for a disk, interrupts, soft interrupts.
fn busy_in(stat: &str) -> Option<Duration> {
    let times: Vec<u64> = stat.lines().next()?.split_whitespace().skip(1).flat_map(str::parse).collect();
    let &[user, nice, system, _, _, interrupts, soft_interrupts, ..] = times.as_slice() else { return None };
    Some(Duration::from_millis(10 * (user + nice + system + interrupts + soft_interrupts)))
}

/// Connections that have been dropped in this network namespace because a listener's queue was full.
///
/// Some of them look complete to the client, whose data then waits for a retransmission; a slow connect alone does not show it.
pub fn listen_drops() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/net/netstat").context("reading /proc/net/netstat")?;
    counter_in(&text, "TcpExt:", "ListenDrops").context("no ListenDrops in /proc/net/netstat")
}

/// Lines come in pairs, the first with the names and the second with the figures.
fn counter_in(netstat: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = netstat.lines().filter(|line| line.starts_with(group));
    let (names, figures) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|word| word == name)?;
    figures.split_whitespace().nth(place)?.parse().ok()
}

/// How often a socket is looked for in `/proc/net/udp`. The kernel hands the table out a page at a time, and skips lines when
/// others open and close sockets meanwhile.
const UDP_TABLE_READS: usize = 100;

/// Datagrams that a socket bound to this address has lost because its receive buffer was full.
pub fn udp_drops(address: SocketAddr) -> anyhow::Result<u64> {
    for _ in 0..UDP_TABLE_READS {
        let table = fs::read_to_string("/proc/net/udp").context("reading /proc/net/udp")?;
        if let Some(drops) = udp_drops_in(&table, address) {
            return Ok(drops);
        }
    }
    bail!("no socket on {address} in /proc/net/udp")
}

/// The local address is the second column, in hexadecimal and as it lies in memory, and the drops are the last.
fn udp_drops_in(table: &str, address: SocketAddr) -> Option<u64> {
    let SocketAddr::V4(address) = address else { return None };
    let wanted = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let line = table.lines().find(|line| line.split_whitespace().nth(1) == Some(&wanted))?;
    line.split_whitespace().next_back()?.parse().ok()
}

/// The middle of the values; of an even number, the mean of the two in the middle. None of none.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[values.len() / 2 - 1] + upper) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Instant;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(resident_in("00400000-7ffd r\nRss:                 960 kB\nPss: 1 kB\n"), Some(960 * 1024));
        assert_eq!(resident_in("Pss: 1 kB\n"), None);
    }

    #[test]
    fn busy_time_is_all_but_idle_and_waiting() {
        let stat = "cpu  1 2 3 100 100 4 5 0 0 0\ncpu0 9 9 9 9 9 9 9 0 0 0\n";
        assert_eq!(busy_in(stat), Some(Duration::from_millis(150)));
        assert_eq!(busy_in("cpu  1 2 3\n"), None);
    }

    #[test]
    fn a_counter_is_found_by_its_group_and_name() {
        let text = "IpExt: Drops\nIpExt: 7\nTcpExt: Other Drops\nTcpExt: 1 2\n";
        assert_eq!(counter_in(text, "TcpExt:", "Drops"), Some(2));
        assert_eq!(counter_in(text, "TcpExt:", "None"), None);
    }

    #[test]
    fn drops_are_found_by_the_address() {
        let address = "127.0.0.1:5000".parse().unwrap();
        let local = format!("{:08X}", u32::from_ne_bytes([127, 0, 0, 1]));
        let table = format!(
            "  sl  local_address rem_address   st drops\n 3: {local}:1389 {local}:1388 01 7\n 4: {local}:1388 00:0 07 9\n"
        );
        assert_eq!(udp_drops_in(&table, address), Some(9));
        assert_eq!(udp_drops_in(&table, "127.0.0.1:5002".parse().unwrap()), None);
    }

    #[test]
    fn a_full_receive_buffer_is_counted() {
        let full = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = full.local_addr().unwrap();
        assert_eq!(udp_drops(address).unwrap(), 0);
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..10_000 {
            sender.send_to(&[0; 1000], address).unwrap();
        }
        assert!(udp_drops(address).unwrap() > 0);
    }

    #[test]
    fn the_clock_of_a_process_keeps_the_time_of_ended_threads() {
        let clock = ProcessClock::of(std::process::id()).unwrap();
        let before = clock.now().unwrap();
        let worker = thread::spawn(|| {
            let own = ClockId::CLOCK_THREAD_CPUTIME_ID;
            let deadline = Instant::now() + Duration::from_secs(10);
            while Duration::from(own.now().unwrap()) < Duration::from_millis(30) && Instant::now() < deadline {}
        });
        worker.join().unwrap();
        assert!(clock.now().unwrap() - before >= Duration::from_millis(30));
    }
}
