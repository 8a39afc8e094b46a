use std::env;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{channel, Receiver};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, Context};
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::footprint::{self, Footprint};
use crate::report::Row;
use crate::server::{Kind, Resource, Settings, State, Stopped};

/// How long a server may take to answer, when it is not held up on purpose.
const PATIENCE: Duration = Duration::from_secs(30);

/// What must be over within a second of the last connection, with slack for a busy machine.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(10);

/// A server in a process of its own, ended and reaped when dropped.
pub struct Server {
    kind: Kind,
    child: Child,
    address: SocketAddr,
    talk: Mutex<Talk>,
    start: Footprint,
    /// Requests under way while there are none: a UDP socket on an event loop is one for as long as it is served.
    active_at_start: u64,
}

struct Talk {
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Server {
    /// Starts it and waits until it listens.
    pub fn start(kind: Kind, settings: &Settings) -> anyhow::Result<Server> {
        let mut child = itself()?
            .args(["serve", kind.name()])
            .args(settings.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the server's process")?;
        let (commands, output) = child.stdin.take().zip(child.stdout.take()).context("the server has no pipes")?;
        let (sender, answers) = channel();
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut server = Server {
            kind,
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            talk: Mutex::new(Talk { commands, answers }),
            start: Footprint { descriptors: 0, threads: 0 },
            active_at_start: 0,
        };
        server.address = server.answer().context("the server ended before it listened")?;
        if !kind.is_udp() {
            // So that what a server makes for its first client is not taken for a leak, nor for what a client costs.
            Client::connect(server.address)?.exchange(b"e: are you there?")?;
        }
        (server.start, server.active_at_start) = server.settle()?;
        Ok(server)
    }

    /// Until no request ends any more, and no thread.
    fn settle(&self) -> anyhow::Result<(Footprint, u64)> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        loop {
            thread::sleep(2 * Settings::IDLE_THREADS_STAY);
            let now = (self.footprint()?, self.state()?.active);
            if last == Some(now) {
                return Ok(now);
            }
            last = Some(now);
            if Instant::now() > deadline {
                bail!("the server does not come to rest: {now:?}");
            }
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn resident(&self) -> anyhow::Result<u64> {
        footprint::resident(self.pid())
    }

    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        footprint::processor_time(self.pid())
    }

    pub fn footprint(&self) -> anyhow::Result<Footprint> {
        Footprint::of(self.pid())
    }

    /// What it had before the load.
    pub fn start_footprint(&self) -> Footprint {
        self.start
    }

    pub fn state(&self) -> anyhow::Result<State> {
        self.ask("state")
    }

    /// Has it lower a soft limit of its own, or raise it again to the hard one.
    pub fn limit(&self, resource: Resource, limit: Option<u64>) -> anyhow::Result<()> {
        let limit = limit.map_or("all".to_owned(), |limit| limit.to_string());
        self.ask(&format!("limit {} {limit}", resource.name()))
    }

    /// When what it had for the load has been given back: each thread more has some pages of stack.
    pub fn resident_at_rest(&self) -> anyhow::Result<u64> {
        self.wait_for_rest()?;
        self.resident()
    }

    /// Nobody is served any more, and there are no more descriptors and threads than at the start.
    pub fn check_leaks(&self, row: &mut Row) -> anyhow::Result<()> {
        let (now, active, given_back) = self.wait_for_rest()?;
        let expected = format!("in the end {} active, at most {}", self.active_at_start, self.start);
        row.check(expected, format!("{active} active, {now}"), given_back);
        Ok(())
    }

    /// What it has and whom it serves when that is no more than at the start, or does not become so, and which.
    fn wait_for_rest(&self) -> anyhow::Result<(Footprint, u64, bool)> {
        let deadline = Instant::now() + GIVEN_BACK_WITHIN;
        loop {
            let (now, active) = (self.footprint()?, self.state()?.active);
            let given_back = now.is_within(self.start) && active == self.active_at_start;
            if given_back || Instant::now() > deadline {
                return Ok((now, active, given_back));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it, and checks that nobody had to be cut.
    pub fn check_stop(self, row: &mut Row) -> anyhow::Result<()> {
        let stopped: Stopped = self.ask("stop")?;
        let cut = stopped.abandoned + stopped.still_running;
        row.check("a stop that cuts nobody", format!("{cut} cut, {} ms", stopped.millis), cut == 0);
        Ok(())
    }

    fn ask<T: DeserializeOwned>(&self, command: &str) -> anyhow::Result<T> {
        // Held until the answer is there, so that nobody gets another's.
        let mut talk = self.talk.lock().unwrap_or_else(|error| error.into_inner());
        writeln!(talk.commands, "{command}").context("telling the server (has it ended?)")?;
        let line = talk.answers.recv_timeout(PATIENCE).context("the server does not answer")?;
        serde_json::from_str(&line).with_context(|| format!("the server says {line:?}"))
    }

    fn answer<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        let talk = self.talk.lock().unwrap_or_else(|error| error.into_inner());
        let line = talk.answers.recv_timeout(PATIENCE)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both do nothing for a child that has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program, to be run with a hidden command.
pub fn itself() -> anyhow::Result<Command> {
    Ok(Command::new(env::current_exe().context("finding this program")?))
}
