//! T5, T19, T20, T21, T22, and idleness: what happens to the process as a whole.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

use crate::client::{Client, Target};
use crate::harness::{count, eventually, own_loopback, pattern, percentile, Watchdog};
use crate::parent::Child;

const LIMIT: Duration = Duration::from_secs(20);

/// What a busy machine may add to a timeout.
const SLACK: Duration = Duration::from_secs(2);

/// Calls `disturb` every 50 ms while `work` runs.
fn disturbed<T>(disturb: impl Fn() + Send + Sync, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                disturb();
                thread::sleep(Duration::from_millis(50));
            }
        });
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::SeqCst);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn stop_and_continue(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap());
    kill(pid, Signal::SIGSTOP).unwrap();
    thread::sleep(Duration::from_millis(25));
    kill(pid, Signal::SIGCONT).unwrap();
}

/// Signals every thread of the child.
fn interrupt(pid: u32) {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten() {
        let thread = thread.file_name().to_string_lossy().parse().unwrap();
        // It may have ended.
        let _ = kill(Pid::from_raw(thread), Signal::SIGUSR1);
    }
}

/// Requests of all kinds, from four clients at once, all of which must succeed.
fn load(target: &Target, lasting: Duration) {
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                let began = Instant::now();
                let mut kept = Client::to(target);
                while began.elapsed() < lasting {
                    let mut client = Client::to(target);
                    client.ping();
                    client.say("take 100000").unwrap();
                    client.wire.get_mut().write_all(&pattern(0, 100_000)).unwrap();
                    assert_eq!(client.hear().unwrap(), "took 100000");
                    client.say("send 300000").unwrap();
                    client.expect_pattern(0, 300_000);
                    assert_eq!(kept.ask(&format!("ping {number}")).unwrap(), format!("pong {number}"));
                }
            });
        }
    });
}

#[test]
fn t5_interruptions_harm_no_request_and_extend_no_timeout() {
    let _watchdog = Watchdog::new();
    for (role, signal) in [
        ("threading", Signal::SIGSTOP),
        ("threading", Signal::SIGUSR1),
        ("reactor workers=2", Signal::SIGSTOP),
        ("reactor", Signal::SIGUSR1),
    ] {
        let mut child = Child::start(role);
        child.obey("interruptible");
        let pid = child.pid;
        let disturb = || match signal {
            Signal::SIGSTOP => stop_and_continue(pid),
            _ => interrupt(pid),
        };
        disturbed(disturb, || {
            // Says nothing, and is put out while the signals still come: each would begin the wait anew.
            let began = Instant::now();
            let mut silent = child.connect();
            silent.say("read-timeout 800").unwrap();
            load(&child.target, Duration::from_millis(count(1500, 5000) as u64));
            silent.expect_end();
            let after = began.elapsed();
            assert!(
                after < Duration::from_millis(count(1500, 5000) as u64) + SLACK,
                "{role}, {signal}: put out after {after:?}"
            );
        });
        if signal == Signal::SIGUSR1 {
            let signals: u64 = child.ask("signals").parse().unwrap();
            assert!(signals > 20, "only {signals} signals came");
        }
        let stats = child.stats();
        assert_eq!((stats.handler_errors, stats.panics), (1, 0), "{role}, {signal}: only the silent one was in error");
        child.check_leaks();
    }
}

#[test]
fn t5_interruptions_extend_neither_a_deadline_nor_a_write() {
    let _watchdog = Watchdog::new();
    for role in
        ["threading deadline=700", "threading write-timeout=700", "reactor deadline=700", "reactor write-timeout=700"]
    {
        let mut child = Child::start(role);
        let pid = child.pid;
        disturbed(
            || stop_and_continue(pid),
            || {
                let began = Instant::now();
                let mut client = child.connect();
                client.say("send 100000000").unwrap();
                // Twice, because a write that has sent something before it waited in vain says so first.
                let limit = 2 * Duration::from_millis(700) + SLACK;
                eventually(limit, "the write ends", || child.stats().handler_errors == 1);
                assert!(began.elapsed() >= Duration::from_millis(690), "{role}: after {:?}", began.elapsed());
            },
        );
        child.check_leaks();
    }
}

#[test]
fn t19_a_write_to_nobody_with_sigpipe_in_its_default_disposition() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let unix = |kind: &str| format!("{kind} path={}", folder.path().join(kind).display());
    for role in ["threading", "sequential", &unix("threading-unix"), "reactor", &unix("reactor-unix")] {
        let mut child = Child::start(role);
        child.obey("default-sigpipe");
        let times = count(20, 200);
        for number in 0..times {
            let mut client = child.connect();
            // In one piece, so that both are read before the first is answered: one writes, the other tries to.
            client.say(["send 10000000", "broadcast 100000"][number % 2]).unwrap();
            client.hear_bytes(1);
            client.reset();
        }
        eventually(LIMIT, "all have failed", || child.stats().handler_errors == times as u64);
        assert!(child.is_alive());
        child.connect().ping();
        child.check_leaks();
    }
}

#[test]
fn t20_a_program_that_outlives_the_server_keeps_neither_client_nor_port() {
    let _watchdog = Watchdog::new();
    outlived("threading");
    outlived("reactor");
}

fn outlived(role: &str) {
    let mut child = Child::start(&format!("{role} address={}", own_loopback()));
    let mut client = child.connect();
    let program = Pid::from_raw(client.ask("exec").unwrap().parse().unwrap());
    // It sleeps for half a minute: if it held the connection, this would not end before.
    let asked = Instant::now();
    client.expect_end();
    drop(client);
    child.stop();
    let Target::Tcp(address) = child.target else { panic!("TCP") };
    let refused = std::net::TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    std::net::TcpListener::bind(address).unwrap();
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(Path::new(&format!("/proc/{program}")).exists(), "it does not sleep any more: the test tests nothing");
    kill(program, Signal::SIGKILL).unwrap();
}

#[test]
fn t21_a_stop_longer_than_the_timeouts_cuts_nobody_who_has_kept_to_them() {
    let _watchdog = Watchdog::new();
    stopped_for_longer_than_the_timeout("threading read-timeout=600");
    stopped_for_longer_than_the_timeout("reactor read-timeout=600");
}

fn stopped_for_longer_than_the_timeout(role: &str) {
    let child = Child::start(role);
    let mut clients: Vec<Client> = (0..10).map(|_| child.connect()).collect();
    clients.iter_mut().for_each(Client::ping);
    child.signal(Signal::SIGSTOP);
    for client in &mut clients {
        client.say("ping x").unwrap();
    }
    // Longer than the timeout. The requests have been there all the time.
    thread::sleep(Duration::from_millis(count(1000, 5000) as u64));
    child.signal(Signal::SIGCONT);
    for client in &mut clients {
        assert_eq!(client.hear().unwrap(), "pong x");
    }
    // And the timeouts are still there.
    let began = Instant::now();
    clients.iter_mut().for_each(Client::expect_end);
    assert!(began.elapsed() < Duration::from_millis(600) + SLACK, "{:?}", began.elapsed());
}

#[test]
fn t22_a_logger_that_blocks_holds_up_no_old_client() {
    let _watchdog = Watchdog::new();
    let mut child = Child::start("threading max=50 slow-log=700");
    let mut olds: Vec<Client> = (0..10).map(|_| child.connect()).collect();
    olds.iter_mut().for_each(Client::ping);
    // Requests that panic log, in their own threads; accepts that fail log in the accepting one.
    let mut panicking: Vec<Client> = (0..5).map(|_| child.connect()).collect();
    for client in &mut panicking {
        client.say("panic").unwrap();
    }
    eventually(LIMIT, "they have", || child.stats().panics == 5);
    child.obey(&format!("descriptors {}", child.lowest_free_descriptor()));
    let _waiting = child.connect();
    eventually(LIMIT, "the shortage shows", || child.stats().accept_errors > 0);
    let (began, mut answers) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_millis(1500) {
        answers.extend(olds.iter_mut().map(Client::timed_ping));
        thread::sleep(Duration::from_millis(10));
    }
    let typical = percentile(&mut answers, 90);
    assert!(typical < Duration::from_millis(50), "old clients wait {typical:?}");
    assert!(child.stats().log_lines >= 2);
}

#[test]
fn an_idle_server_makes_no_system_call() {
    let _watchdog = Watchdog::new();
    let found = std::process::Command::new("strace").arg("-V").output();
    assert!(found.is_ok(), "this test watches the server with strace: install the package `strace`");
    let folder = tempfile::tempdir().unwrap();
    let roles = ["threading", "sequential", "threading-unix", "unix", "reactor", "reactor workers=2", "reactor-unix"];
    let children: Vec<(Child, std::path::PathBuf)> = roles
        .iter()
        .map(|role| {
            let calls = folder.path().join(format!("{}.calls", role.replace(' ', "-")));
            let wrapper = ["strace", "-f", "-o", calls.to_str().unwrap()];
            let path = folder.path().join(format!("{}.socket", role.replace(' ', "-")));
            (Child::start_under(&wrapper, &format!("{role} path={}", path.display())), calls)
        })
        .collect();
    let length = |calls: &Path| std::fs::metadata(calls).unwrap().len();
    for (child, calls) in &children {
        let before = length(calls);
        for _ in 0..3 {
            child.connect().ping();
        }
        eventually(LIMIT, "requests are seen", || length(calls) > before);
        eventually(LIMIT, "the idle threads have ended", || child.has_start_threads());
    }
    // strace itself may be behind.
    let settled = |(_, calls): &(Child, std::path::PathBuf)| {
        let before = length(calls);
        thread::sleep(Duration::from_millis(100));
        length(calls) == before
    };
    eventually(LIMIT, "all is quiet", || children.iter().all(settled));
    let before: Vec<u64> = children.iter().map(|(_, calls)| length(calls)).collect();
    thread::sleep(Duration::from_secs(count(1, 10) as u64));
    for ((child, calls), before) in children.iter().zip(before) {
        let log = std::fs::read_to_string(calls).unwrap();
        assert_eq!(
            &log[usize::try_from(before).unwrap()..],
            "",
            "system calls of an idle server at {:?}",
            child.target
        );
        child.connect().ping();
        eventually(LIMIT, "it is still watched", || length(calls) > before);
    }
}
