use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::client::{message, Client};
use crate::process::Server;
use crate::report::{Row, Time};
use crate::server::{Kind, Resource};

/// How long a shortage or a standstill lasts.
const LASTS: Duration = Duration::from_secs(2);

/// How soon after it somebody new is served.
const SERVED_AGAIN: Duration = Duration::from_millis(150);

/// Clients that come at once.
pub const STAMPEDE: u64 = 500;

/// More at once than a server's threads at rest.
const BURST: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Descriptors,
    Standstill,
    Threads,
    Stampede,
}

/// A fault that has been. Times are since the beginning of the soak.
pub struct Injected {
    fault: Fault,
    pub began: Duration,
    pub ended: Duration,
    /// How long it took afterwards until somebody new was served.
    served_again: Result<Duration, String>,
    /// What was counted meanwhile: failed accepts, threads that did not start, clients of a crowd without their answer.
    counted: u64,
}

impl Fault {
    pub const ALL: [Fault; 4] = [Fault::Descriptors, Fault::Standstill, Fault::Threads, Fault::Stampede];

    fn name(self) -> &'static str {
        match self {
            Fault::Descriptors => "T1",
            Fault::Standstill => "T5",
            Fault::Threads => "T6",
            Fault::Stampede => "T15",
        }
    }

    fn done(self) -> String {
        match self {
            Fault::Descriptors => format!("no descriptor for {} s (RLIMIT_NOFILE)", LASTS.as_secs()),
            Fault::Standstill => format!("stopped for {} s (SIGSTOP)", LASTS.as_secs()),
            Fault::Threads => format!("no thread can be started, {BURST} clients at once (RLIMIT_NPROC)"),
            Fault::Stampede => format!("{STAMPEDE} clients at once"),
        }
    }

    pub fn inject(self, server: &Server, soak: Instant) -> anyhow::Result<Injected> {
        let before = server.state()?;
        let began = soak.elapsed();
        let unanswered = match self {
            Fault::Descriptors => {
                // Numbers below it are the server's own; its clients' are all above.
                let limit = server.start_footprint().descriptors as u64;
                let _limited = Limited::to(server, Resource::Descriptors, limit)?;
                thread::sleep(LASTS);
                0
            }
            Fault::Standstill => {
                let _standing = Standing::still(server)?;
                thread::sleep(LASTS);
                0
            }
            Fault::Threads => {
                let _limited = Limited::to(server, Resource::Threads, 1)?;
                crowd(server, BURST)
            }
            Fault::Stampede => crowd(server, STAMPEDE),
        };
        let ended = soak.elapsed();
        let restored = Instant::now();
        let served_again = Client::connect(server.address())
            .and_then(|mut client| client.exchange(&message(64, 0)))
            .map(|()| restored.elapsed())
            .map_err(|error| error.to_string());
        let after = server.state()?;
        let counted = match self {
            Fault::Descriptors => after.accept_errors - before.accept_errors,
            Fault::Standstill => 0,
            Fault::Threads => after.spawn_failures - before.spawn_failures,
            Fault::Stampede => unanswered,
        };
        Ok(Injected { fault: self, began, ended, served_again, counted })
    }

    /// The worst of all of its kind.
    pub fn judge(self, kind: Kind, injected: &[Injected]) -> Row {
        let mine: Vec<&Injected> = injected.iter().filter(|injected| injected.fault == self).collect();
        let mut row = Row::new(self.name(), kind, format!("{} ×: {}", mine.len(), self.done()));
        if mine.is_empty() {
            row.check("injected", "never", false);
            return row;
        }
        let failed: Vec<&String> = mine.iter().filter_map(|injected| injected.served_again.as_ref().err()).collect();
        match failed.first() {
            Some(error) => row.check("somebody new is served afterwards", error, false),
            None => {
                let slowest = mine.iter().filter_map(|injected| injected.served_again.as_ref().ok()).max();
                row.at_most("served again", slowest.copied().unwrap_or_default(), SERVED_AGAIN);
            }
        }
        let counted: Vec<String> = mine.iter().map(|injected| injected.counted.to_string()).collect();
        let (each, all) = (counted.join(", "), || mine.iter().all(|injected| injected.counted > 0));
        match self {
            Fault::Descriptors => row.check("accepts failed meanwhile", each, all()),
            Fault::Threads if kind == Kind::Threading => row.check("threads failed to start", each, all()),
            Fault::Threads => row.tell("needs no thread", each),
            Fault::Stampede => {
                row.check("all of them answered", format!("{each} were not"), mine.iter().all(|one| one.counted == 0));
            }
            Fault::Standstill => {}
        }
        row
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.fault.name(), self.fault.done())?;
        match &self.served_again {
            Ok(took) => write!(f, "served again after {}", Time(*took)),
            Err(error) => write!(f, "not served again: {error}"),
        }
    }
}

/// So many clients at once, and how many of them have no answer in the end.
pub fn crowd(server: &Server, count: u64) -> u64 {
    let mut crowd: Vec<(u64, Client)> =
        (0..count).filter_map(|number| Some((number, Client::connect(server.address()).ok()?))).collect();
    crowd.retain_mut(|(number, client)| client.say(&message(64, *number)).is_ok());
    crowd.retain_mut(|(number, client)| client.expect(&message(64, *number)).is_ok());
    count - crowd.len() as u64
}

/// A server under a lower soft limit, until this is dropped.
///
/// It sets the limit itself: that of a process of another user is not even root's to set everywhere.
struct Limited<'a>(&'a Server, Resource);

impl Limited<'_> {
    fn to(server: &Server, resource: Resource, limit: u64) -> anyhow::Result<Limited<'_>> {
        server.limit(resource, Some(limit))?;
        Ok(Limited(server, resource))
    }
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.limit(self.1, None) {
            eprintln!("faults: a limit cannot be given back: {error:#}");
        }
    }
}

/// A process that stands still, until this is dropped.
struct Standing(Pid);

impl Standing {
    fn still(server: &Server) -> anyhow::Result<Standing> {
        let pid = Pid::from_raw(server.pid().try_into()?);
        kill(pid, Signal::SIGSTOP)?;
        Ok(Standing(pid))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if let Err(error) = kill(self.0, Signal::SIGCONT) {
            eprintln!("faults: the server cannot be let go on: {error}");
        }
    }
}
