//! The child's side: a server in a process of its own, told on its standard input what else to do.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::resource::{getrlimit, setrlimit, Resource};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal};
use nix::unistd::{setgroups, setresgid, setresuid, Gid, Uid};
use socketserver::server::{Builder, Listener, Running};
use socketserver::{Connection, Overload, ReactorTcpServer, ReactorUnixServer, ServerHandle};
use socketserver::{TcpServer, ThreadingTcpServer, ThreadingUnixStreamServer, UnixStreamServer};

use crate::harness::eventually;
use crate::reactor_talk::EventTalk;
use crate::talk::Talk;

/// The role, with its settings: `threading max=64 idle=100`.
pub(crate) const ROLE: &str = "SOCKETSERVER_FAULTS_CHILD";

/// What each line for the parent begins with. The test harness writes to standard output too.
pub(crate) const MARK: &str = "CHILD>";

/// Not a test: the main program of a child process.
#[test]
fn child_server() {
    let Ok(role) = std::env::var(ROLE) else { return };
    // The parent's death is the child's, even while it is stopped.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    let settings = Settings(role);
    set_up_process(&settings);
    match settings.0.split_whitespace().next().unwrap_or_default() {
        "threading" => threading(&settings),
        "sequential" => {
            serve(settings.tune(TcpServer::builder()).bind(settings.address(), Talk).unwrap().spawn().unwrap());
        }
        "reactor" => reactor(&settings),
        "threading-unix" => {
            let builder = settings.tune(ThreadingUnixStreamServer::builder()).idle_thread_timeout(settings.idle());
            serve(builder.bind(settings.text("path").unwrap(), Talk).unwrap().spawn().unwrap());
        }
        "unix" => {
            let builder = settings.tune(UnixStreamServer::builder());
            serve(builder.bind(settings.text("path").unwrap(), Talk).unwrap().spawn().unwrap());
        }
        "reactor-unix" => {
            let builder = settings.tune(ReactorUnixServer::builder()).workers(settings.workers());
            let server = builder.bind(settings.text("path").unwrap(), EventTalk::default()).unwrap();
            serve(started(settings.workers(), || server.spawn().unwrap()));
        }
        "binder" => crate::unix_paths::binder(settings.text("kind")),
        "loops" => crate::reactor_shortages::loops(),
        "churn-reactors" => crate::reactor_stopping::churn_servers(),
        "churn" => crate::stopping::churn_servers(),
        "ipv6-off" => crate::binding::ipv6_off(),
        "rebind" => crate::binding::rebind(),
        "flood" => crate::binding::flood(settings.text("kind")),
        role => panic!("no such role: {role}"),
    }
    // No test has run here, so none shall be reported.
    std::process::exit(0);
}

fn threading(settings: &Settings) {
    let mut builder = settings.tune(ThreadingTcpServer::builder()).idle_thread_timeout(settings.idle());
    if settings.text("error-hook") == Some("panic") {
        builder = builder.handle_error(|_| panic!("the hook panics too"));
    }
    serve(builder.bind(settings.address(), Talk).unwrap().spawn().unwrap());
}

fn reactor(settings: &Settings) {
    let mut builder = settings.tune(ReactorTcpServer::builder()).workers(settings.workers());
    if settings.text("error-hook") == Some("panic") {
        builder = builder.handle_error(|_| panic!("the hook panics too"));
    }
    let server = match settings.number("send-buffer") {
        // Connections have their listener's.
        Some(bytes) => {
            let listener = std::net::TcpListener::bind(settings.address()).unwrap();
            socket2::SockRef::from(&listener).set_send_buffer_size(usize::try_from(bytes).unwrap()).unwrap();
            builder.from_listener(listener, EventTalk::default())
        }
        None => builder.bind(settings.address(), EventTalk::default()),
    };
    let server = server.unwrap();
    serve(started(settings.workers(), || server.spawn().unwrap()));
}

/// Starts a server and waits until its event loops are there, so that the parent counts them among what there was at the start.
fn started<A>(workers: usize, start: impl FnOnce() -> Running<A>) -> Running<A> {
    let (descriptors, threads) = (entries("fd"), entries("task"));
    // It stands on what each loop stands on.
    let selector = socketserver::reactor::Selector::<()>::new().unwrap();
    let each = entries("fd") - descriptors;
    drop(selector);
    let running = start();
    eventually(Duration::from_secs(10), "the event loops are there", || {
        entries("fd") >= descriptors + each * workers && entries("task") >= threads + workers
    });
    running
}

fn entries(folder: &str) -> usize {
    std::fs::read_dir(format!("/proc/self/{folder}")).unwrap().count()
}

struct Settings(String);

impl Settings {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.text(name).map(|text| text.parse().unwrap())
    }

    fn millis(&self, name: &str) -> Option<Duration> {
        self.number(name).map(Duration::from_millis)
    }

    fn address(&self) -> &str {
        self.text("address").unwrap_or("127.0.0.1:0")
    }

    /// Short, so that threads are back to their number at the start soon after a test.
    fn idle(&self) -> Duration {
        self.millis("idle").unwrap_or(Duration::from_millis(100))
    }

    fn workers(&self) -> usize {
        self.number("workers").map_or(1, |workers| usize::try_from(workers).unwrap())
    }

    fn tune<L: Listener<Request = Connection>, D>(&self, mut builder: Builder<L, D>) -> Builder<L, D> {
        if let Some(connections) = self.number("max") {
            builder = builder.max_connections(usize::try_from(connections).unwrap());
        }
        if self.text("overload") == Some("reject") {
            builder = builder.overload(Overload::Reject(b"busy\n"));
        }
        if let Some(timeout) = self.millis("read-timeout") {
            builder = builder.read_timeout(timeout);
        }
        if let Some(timeout) = self.millis("write-timeout") {
            builder = builder.write_timeout(timeout);
        }
        if let Some(deadline) = self.millis("deadline") {
            builder = builder.request_deadline(deadline);
        }
        if let Some(timeout) = self.millis("drain") {
            builder = builder.drain_timeout(timeout);
        }
        builder
    }
}

fn set_up_process(settings: &Settings) {
    // Panics are part of the tests; their traces are not.
    std::panic::set_hook(Box::new(|panic| {
        if matches!(std::thread::current().name(), Some("main" | "child::child_server")) {
            eprintln!("{panic}");
        }
    }));
    LOG.pause.store(settings.number("slow-log").unwrap_or(0), Ordering::Relaxed);
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}

pub(crate) fn tell(line: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{MARK}{line}").unwrap();
    out.flush().unwrap();
}

fn serve<A: Clone>(running: Running<A>) {
    let mut running = Some(running);
    let handle = running.as_ref().map(Running::handle).unwrap();
    tell(format_args!("{} {}", std::process::id(), handle.local_addr()));
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        match command {
            "stats" => tell_stats(&handle),
            "signals" => tell(SIGNALS.load(Ordering::Relaxed)),
            "join" => tell(format_args!("{:?}", running.take().unwrap().join())),
            "stop" => tell(format_args!("{:?}", running.take().unwrap().stop().unwrap())),
            command => {
                let done = obey(command, argument);
                tell(done.map_or_else(|error| format!("error {error}"), |()| "ok".into()));
            }
        }
    }
}

fn tell_stats(handle: &ServerHandle) {
    let stats = handle.stats();
    let lines = LOG.lines.lock().unwrap();
    let gap = lines.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(Duration::MAX);
    tell(format_args!(
        "{} {} {} {} {} {} {} {} {}",
        stats.accepted,
        stats.active,
        stats.rejected,
        stats.handler_errors,
        stats.panics,
        stats.accept_errors,
        stats.spawn_failures,
        lines.len(),
        gap.as_millis().min(u128::from(u32::MAX)),
    ));
}

fn obey(command: &str, argument: &str) -> nix::Result<()> {
    let limit = |resource| {
        let (_, most) = getrlimit(resource)?;
        setrlimit(resource, argument.parse().unwrap_or(most), most)
    };
    match command {
        "descriptors" => limit(Resource::RLIMIT_NOFILE),
        "processes" => limit(Resource::RLIMIT_NPROC),
        // A user that has no other processes, whose number of threads is therefore the child's.
        "become" => {
            let id = argument.parse().unwrap();
            setgroups(&[])?;
            setresgid(Gid::from_raw(id), Gid::from_raw(id), Gid::from_raw(id))?;
            setresuid(Uid::from_raw(id), Uid::from_raw(id), Uid::from_raw(id))
        }
        "default-sigpipe" => set_handler(Signal::SIGPIPE, SigHandler::SigDfl),
        "interruptible" => set_handler(Signal::SIGUSR1, SigHandler::Handler(count_signal)),
        _ => Err(nix::Error::ENOSYS),
    }
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_signal(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Without SA_RESTART, so that system calls are interrupted.
fn set_handler(signal: Signal, handler: SigHandler) -> nix::Result<()> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the only handler used here adds to an atomic, which is async-signal-safe; no other thread sets handlers.
    unsafe { nix::sys::signal::sigaction(signal, &action) }.map(|_| ())
}

/// Notes when the server logs, and holds up whoever does if it was told to.
struct Log {
    lines: Mutex<Vec<Instant>>,
    pause: AtomicU64,
}

static LOG: Log = Log { lines: Mutex::new(Vec::new()), pause: AtomicU64::new(0) };

impl log::Log for Log {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("socketserver") && metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            self.lines.lock().unwrap().push(Instant::now());
            std::thread::sleep(Duration::from_millis(self.pause.load(Ordering::Relaxed)));
        }
    }

    fn flush(&self) {}
}
