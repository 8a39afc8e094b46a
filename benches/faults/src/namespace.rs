use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use anyhow::Context;
use nix::sched::{unshare, CloneFlags};
use nix::sys::resource::{getrlimit, setrlimit, Resource};

/// What the kernel's own range leaves for clients is too little for a minute of churn: a port rests for a minute once it has been used.
const PORTS: &str = "1024 65535";

/// Where the load runs.
pub struct Place {
    pub words: String,
    /// Whether no other program is there, so that nobody else takes a port.
    pub own: bool,
    /// How many clients may wait for a server to accept them.
    pub backlog: usize,
    /// How many descriptors a process may have.
    pub descriptors: usize,
}

/// Moves this process, and whatever it will start, into a network of its own if that is allowed. Before the first thread is started.
pub fn enter() -> anyhow::Result<Place> {
    let (words, own) = match leave_the_machines() {
        Ok(()) => {
            // Where it cannot be written, there are fewer ports, which is enough for all but the longest loads.
            let _ = fs::write("/proc/sys/net/ipv4/ip_local_port_range", PORTS);
            ("a network namespace of its own".to_owned(), true)
        }
        Err(why) => (format!("the machine's loopback ({why})"), false),
    };
    // There, and only there, the address is another program's to take: the pair below would tell.
    let listener = TcpListener::bind("127.0.0.1:0").context("binding on loopback")?;
    TcpStream::connect(listener.local_addr()?).context("connecting over loopback")?;
    let most = fs::read_to_string("/proc/sys/net/core/somaxconn").ok().and_then(|text| text.trim().parse().ok());
    Ok(Place { words, own, backlog: most.unwrap_or(128).min(4096), descriptors: raise_descriptor_limit()? })
}

fn leave_the_machines() -> Result<(), String> {
    // Tried in a child first, because a network whose loopback is down is worse than none, and there is no way back. Not with a user namespace:
    // nobody's id is mapped into a new one, and a program that such a process runs has none of its capabilities.
    set_up(Command::new("unshare").args(["--net", "ip"]))?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("a namespace is refused: {error}"))?;
    set_up(&mut Command::new("ip"))
}

/// Has ip(8) set the loopback device up.
fn set_up(ip: &mut Command) -> Result<(), String> {
    let ip = ip.args(["link", "set", "lo", "up"]).stdin(Stdio::null());
    let output = ip.output().map_err(|error| format!("unshare(1) and ip(8) cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("no network of its own: {}", words.lines().next().unwrap_or("no reason is given").trim()))
}

/// Raises the soft limit to the hard one, and returns it.
pub fn raise_descriptor_limit() -> anyhow::Result<usize> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the descriptor limit")?;
    Ok(usize::try_from(hard)?)
}
