//! The parent's side of a [`child`](crate::child).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{channel, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::child::{MARK, ROLE};
use crate::client::{Client, Target};
use crate::harness::eventually;

/// How long a child may take to answer: one that is well answers at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// What must be over within a second of a test's last connection, with slack for a busy machine.
pub(crate) const LEAK_LIMIT: Duration = Duration::from_secs(3);

/// A child process, killed on drop.
pub(crate) struct Child {
    process: std::process::Child,
    commands: ChildStdin,
    answers: Receiver<String>,
    /// The server's process, which is not `process` where that is strace.
    pub(crate) pid: u32,
    pub(crate) target: Target,
    start: Footprint,
}

/// What a server must give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Footprint {
    descriptors: usize,
    threads: usize,
}

/// The child's counters, and how it logged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChildStats {
    pub(crate) accepted: u64,
    pub(crate) active: u64,
    pub(crate) rejected: u64,
    pub(crate) handler_errors: u64,
    pub(crate) panics: u64,
    pub(crate) accept_errors: u64,
    pub(crate) spawn_failures: u64,
    pub(crate) log_lines: u64,
    pub(crate) shortest_log_gap: Duration,
}

/// A command that runs this binary as a child in that role.
pub(crate) fn command(wrapper: &[&str], role: &str) -> Command {
    let binary = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(&binary),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(&binary);
            command
        }
    };
    command.args(["--exact", "child::child_server", "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}

impl Child {
    pub(crate) fn start(role: &str) -> Child {
        Child::start_under(&[], role)
    }

    pub(crate) fn start_under(wrapper: &[&str], role: &str) -> Child {
        let mut process = command(wrapper, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child can be started");
        let commands = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (sender, answers) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test harness may have written something before it on the same line.
                if let Some((_, line)) = line.split_once(MARK) {
                    let _ = sender.send(line.to_owned());
                }
            }
        });
        let first: String = answers.recv_timeout(PATIENCE).expect("the child says where it listens");
        let (pid, address) = first.split_once(' ').unwrap();
        let target = match address.parse() {
            Ok(address) => Target::Tcp(address),
            Err(_) => Target::Unix(PathBuf::from(address)),
        };
        let pid = pid.parse().unwrap();
        Child { process, commands, answers, pid, target, start: footprint(pid) }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::to(&self.target)
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the child lives");
    }

    pub(crate) fn answer(&mut self) -> String {
        self.answers.recv_timeout(PATIENCE).expect("the child answers")
    }

    #[track_caller]
    pub(crate) fn obey(&mut self, command: &str) {
        assert_eq!(self.ask(command), "ok", "{command}");
    }

    pub(crate) fn stats(&mut self) -> ChildStats {
        let line = self.ask("stats");
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [accepted, active, rejected, handler_errors, panics, accept_errors, spawn_failures, log_lines, gap] =
            numbers[..]
        else {
            panic!("{line}");
        };
        ChildStats {
            accepted,
            active,
            rejected,
            handler_errors,
            panics,
            accept_errors,
            spawn_failures,
            log_lines,
            shortest_log_gap: Duration::from_millis(gap),
        }
    }

    /// Stops the server and returns its report as text.
    pub(crate) fn stop(&mut self) -> String {
        self.ask("stop")
    }

    /// Descriptors, threads and active requests are back to what they were at the start.
    #[track_caller]
    pub(crate) fn check_leaks(&mut self) {
        self.check_leaks_within(LEAK_LIMIT);
    }

    /// The same, for what takes longer to be given back.
    #[track_caller]
    pub(crate) fn check_leaks_within(&mut self, limit: Duration) {
        eventually(limit, "no request is active", || self.stats().active == 0);
        self.check_footprint_within(limit);
    }

    /// Descriptors and threads alone.
    #[track_caller]
    pub(crate) fn check_footprint(&self) {
        self.check_footprint_within(LEAK_LIMIT);
    }

    #[track_caller]
    fn check_footprint_within(&self, limit: Duration) {
        let started = Instant::now();
        while footprint(self.pid) != self.start {
            let now = footprint(self.pid);
            assert!(started.elapsed() < limit, "{now:?} after the test, {:?} at the start", self.start);
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn has_start_threads(&self) -> bool {
        footprint(self.pid).threads == self.start.threads
    }

    pub(crate) fn threads_at_start(&self) -> usize {
        self.start.threads
    }

    /// The lowest number that the next descriptor could have, so a limit at which there is no next one.
    pub(crate) fn lowest_free_descriptor(&self) -> usize {
        let used: Vec<usize> = directory(self.pid, "fd").iter().map(|name| name.parse().unwrap()).collect();
        (0..).find(|number| !used.contains(number)).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid.try_into().unwrap()), signal).unwrap();
    }

    /// The processor time of the serving thread so far.
    pub(crate) fn serving_time(&self) -> Duration {
        for thread in directory(self.pid, "task") {
            let file = |name: &str| fs::read_to_string(format!("/proc/{}/task/{thread}/{name}", self.pid));
            // The kernel keeps 15 bytes of a thread's name.
            if file("comm").is_ok_and(|name| name.trim() == "ss-serve") {
                let text = file("schedstat").unwrap();
                return Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap());
            }
        }
        panic!("no serving thread");
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Where the process is strace, killing that alone would only detach it. It lives as long as the server does.
        if self.process.id() != self.pid && self.is_alive() {
            let _ = kill(Pid::from_raw(self.pid.try_into().unwrap()), Signal::SIGKILL);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A line of `/proc/PID/status`, in its unit.
pub(crate) fn status(pid: u32, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn directory(pid: u32, name: &str) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/{name}")).unwrap();
    entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect()
}

fn footprint(pid: u32) -> Footprint {
    Footprint { descriptors: directory(pid, "fd").len(), threads: directory(pid, "task").len() }
}
