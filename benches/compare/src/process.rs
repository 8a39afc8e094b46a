use std::env;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::measure::{resident, switches_of_reaped_children, ProcessClock};
use crate::servers::{Kind, Settings};

/// How long a server may take to end once it has been told to.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// A server in a process of its own, ended and reaped when dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    clock: ProcessClock,
}

impl Server {
    /// Starts it and waits until it listens.
    pub fn start(kind: Kind, settings: &Settings) -> anyhow::Result<Server> {
        let program =
            settings.program(kind).into_iter().flat_map(|folder| [OsStr::new("--program"), folder.as_os_str()]);
        let mut child = itself()?
            .args(["serve", kind.name()])
            .args(["--buffer", &settings.buffer.to_string()])
            .args(["--connections", &settings.connections.to_string()])
            .args(["--cpu", &settings.cpu.to_string()])
            .args(program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the server's process")?;
        match listening(&mut child) {
            Ok((address, clock)) => Ok(Server { child, address, clock }),
            Err(error) => {
                // It may have ended by itself: then there is nothing to kill, and the first error is the one to show.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn clock(&self) -> ProcessClock {
        self.clock
    }

    pub fn resident(&self) -> anyhow::Result<u64> {
        resident(self.child.id())
    }

    /// Ends it and returns the context switches of its whole life.
    pub fn stop(mut self) -> anyhow::Result<u64> {
        let before = switches_of_reaped_children()?;
        kill(Pid::from_raw(self.child.id().try_into()?), Signal::SIGTERM)?;
        let deadline = Instant::now() + STOP_WITHIN;
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if Instant::now() > deadline => bail!("the server did not end within {STOP_WITHIN:?}"),
                None => thread::sleep(Duration::from_millis(1)),
            }
        };
        if status.signal() != Some(Signal::SIGTERM as i32) {
            bail!("the server ended with {status}");
        }
        Ok(switches_of_reaped_children()? - before)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both do nothing for a child that `stop` has reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the hidden command `stops` to its end and returns what it printed.
pub fn measure_stops(kind: Kind, times: usize, cpu: usize) -> anyhow::Result<String> {
    let output = itself()?
        .args(["stops", kind.name(), "--times", &times.to_string(), "--cpu", &cpu.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting the process that starts and stops a server")?;
    if !output.status.success() {
        bail!("it ended with {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn itself() -> anyhow::Result<Command> {
    Ok(Command::new(env::current_exe().context("finding this program")?))
}

fn listening(child: &mut Child) -> anyhow::Result<(SocketAddr, ProcessClock)> {
    let output = child.stdout.take().context("the server has no standard output")?;
    let mut line = String::new();
    BufReader::new(output.take(200)).read_line(&mut line)?;
    let address = line.strip_prefix("listening on ").context("the server ended before it listened")?;
    Ok((address.trim().parse()?, ProcessClock::of(child.id())?))
}
