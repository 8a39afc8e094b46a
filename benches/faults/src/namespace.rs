use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use anyhow::{ensure, Context};
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
            let done = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("ip link set lo up")?;
            ensure!(done.success(), "the loopback device of a network of its own cannot be set up");
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
    // Looked for first, because a network whose loopback is down is worse than none, and there is no way back.
    let found = Command::new("ip").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Err("there is no ip(8) to set one of its own up with".to_owned());
    }
    unshare(CloneFlags::CLONE_NEWNET)
        .or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET))
        .map_err(|error| format!("a namespace is refused: {error}"))
}

/// Raises the soft limit to the hard one, and returns it.
pub fn raise_descriptor_limit() -> anyhow::Result<usize> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raising the descriptor limit")?;
    Ok(usize::try_from(hard)?)
}
