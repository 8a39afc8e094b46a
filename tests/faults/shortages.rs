//! T1, T6, T7: a process that is really out of descriptors or threads, and more clients than places.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::{Error, ThreadingTcpServer};

use crate::client::Client;
use crate::harness::{count, eventually, not_checked, percentile, Watchdog};
use crate::parent::{status, Child};
use crate::talk::Talk;

const LIMIT: Duration = Duration::from_secs(10);

/// What a server may take to serve again once it can: the longest back-off, with slack for a busy machine.
pub(crate) const RECOVERY: Duration = Duration::from_millis(500);

/// The least between two lines: a second, less what passes between the decision to log and the logger on a busy machine.
pub(crate) const LOG_GAP: Duration = Duration::from_millis(900);

#[test]
fn t1_out_of_descriptors_old_clients_are_served_and_new_ones_when_it_is_over() {
    let _watchdog = Watchdog::new();
    let mut child = Child::start("threading max=200");
    let mut olds: Vec<Client> = (0..20).map(|_| child.connect()).collect();
    olds.iter_mut().for_each(Client::ping);
    let limit = child.lowest_free_descriptor();
    child.obey(&format!("descriptors {limit}"));

    let mut queued: Vec<Client> = (0..10).map(|_| child.connect()).collect();
    for client in &mut queued {
        client.say("ping x").unwrap();
    }
    eventually(LIMIT, "the shortage shows", || child.stats().accept_errors > 0);
    let (began, errors, spent) = (Instant::now(), child.stats().accept_errors, child.serving_time());
    let mut answers = Vec::new();
    while began.elapsed() < Duration::from_secs(count(2, 5) as u64) {
        answers.extend(olds.iter_mut().map(Client::timed_ping));
        thread::sleep(Duration::from_millis(20));
    }
    let window = began.elapsed();
    let spent = child.serving_time() - spent;
    let stats = child.stats();
    assert!(spent < window / 50, "the accept thread computed for {spent:?} of {window:?}");
    assert!(stats.accept_errors - errors <= 8 + window.as_millis() as u64 / 100, "{stats:?} in {window:?}");
    assert!(stats.log_lines >= 2 && stats.shortest_log_gap >= LOG_GAP, "{stats:?}");
    assert_eq!(stats.active, 20, "somebody was accepted: the limit is not where it should be");
    let typical = percentile(&mut answers, 50);
    assert!(typical < Duration::from_millis(50), "old clients wait {typical:?}");

    // One that leaves makes room for one.
    drop(olds.pop());
    eventually(LIMIT, "a descriptor that came back is used", || child.stats().accepted == 21);

    child.obey("descriptors all");
    let restored = Instant::now();
    child.connect().ping();
    let took = restored.elapsed();
    assert!(took < RECOVERY, "served again after {took:?}");
    for client in &mut queued {
        assert_eq!(client.hear().unwrap(), "pong x");
    }
    drop((olds, queued));
    child.check_leaks();
}

#[test]
fn t6_threads_that_cannot_be_started_cost_their_clients_alone() {
    let _watchdog = Watchdog::new();
    // Idle threads stay, to be reused.
    let mut child = Child::start("threading max=10 idle=60000");
    let mut olds: Vec<Client> = (0..3).map(|_| child.connect()).collect();
    olds.iter_mut().for_each(Client::ping);
    if nix::unistd::Uid::effective().is_root() {
        // The limit counts a user's threads, and root's are not counted.
        let answer = child.ask(&format!("become {}", 40_000 + std::process::id() % 20_000));
        if answer != "ok" {
            not_checked("a thread that really cannot be started", &format!("the user cannot be changed: {answer}"));
            return;
        }
    }
    child.obey("processes 1");
    let lost = 12;
    for number in 1..=lost {
        child.connect().expect_end();
        olds.iter_mut().for_each(Client::ping);
        eventually(LIMIT, "it is counted", || child.stats().spawn_failures == number);
        assert_eq!(child.stats().active, 3);
    }
    // A thread that exists can serve somebody else.
    drop(olds.pop());
    eventually(LIMIT, "its request has ended", || child.stats().active == 2);
    child.connect().ping();
    assert_eq!(child.stats().spawn_failures, lost);

    child.obey("processes all");
    let restored = Instant::now();
    let mut news: Vec<Client> = (0..5).map(|_| child.connect()).collect();
    news.iter_mut().for_each(Client::ping);
    assert!(restored.elapsed() < RECOVERY, "served again after {:?}", restored.elapsed());
    let stats = child.stats();
    assert_eq!((stats.panics, stats.handler_errors), (0, 0), "{stats:?}");
    drop((olds, news));
    eventually(LIMIT, "nobody is served any more", || child.stats().active == 0);
    let report = child.stop();
    assert!(report.contains("abandoned: 0, still_running: 0"), "{report}");
}

#[test]
fn t7_never_more_threads_than_the_ceiling_and_everybody_is_served() {
    let _watchdog = Watchdog::new();
    let (limit, clients) = (count(64, 1024), count(300, 3000));
    raise_descriptor_limit(clients);
    let mut child = Child::start(&format!("threading max={limit}"));
    let others = child.threads_at_start();
    let (pid, over) = (child.pid, AtomicBool::new(false));
    thread::scope(|scope| {
        let most = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::SeqCst) {
                most = most.max(status(pid, "Threads"));
                thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let mut waiting: Vec<Client> = (0..clients).map(|_| child.connect()).collect();
        for client in &mut waiting {
            client.say("ping x").unwrap();
        }
        // In the order of their coming: each that leaves makes room for the next.
        for mut client in waiting {
            assert_eq!(client.hear().unwrap(), "pong x");
        }
        over.store(true, Ordering::SeqCst);
        let most = most.join().unwrap();
        assert!(most <= limit + others, "{most} threads with a ceiling of {limit}, and {others} others");
        assert!(most >= limit, "only {most} threads");
    });
    let stats = child.stats();
    assert_eq!((stats.accepted, stats.rejected), (clients as u64, 0));
    child.check_leaks();
}

#[test]
fn t7_whoever_is_over_the_ceiling_is_told_so_where_that_is_wanted() {
    expect_told_over_the_ceiling("threading");
}

pub(crate) fn expect_told_over_the_ceiling(role: &str) {
    let _watchdog = Watchdog::new();
    let (limit, over) = (16, count(200, 2000));
    let mut child = Child::start(&format!("{role} max={limit} overload=reject"));
    let mut served: Vec<Client> = (0..limit).map(|_| child.connect()).collect();
    served.iter_mut().for_each(Client::ping);
    for _ in 0..over {
        let mut client = child.connect();
        assert_eq!(client.hear().unwrap(), "busy");
        client.expect_end();
    }
    served.iter_mut().for_each(Client::ping);
    let stats = child.stats();
    assert_eq!((stats.accepted, stats.rejected, stats.active), (limit as u64, over as u64, limit as u64));
    drop(served);
    // The threads that take leave of clients are kept for the next, as long as others are by default.
    child.check_leaks_within(Duration::from_secs(15));
}

#[test]
fn t7_a_ceiling_near_the_kernels_is_refused() {
    match ThreadingTcpServer::builder().max_connections(8001).bind("127.0.0.1:0", Talk) {
        Err(Error::InvalidSetting { setting: "max_connections", value, .. }) => assert_eq!(value, "8001"),
        other => panic!("{other:?}"),
    }
    let _server = ThreadingTcpServer::builder().max_connections(8000).bind("127.0.0.1:0", Talk).unwrap();
}

/// Lets this process have so many clients.
pub(crate) fn raise_descriptor_limit(clients: usize) {
    use nix::sys::resource::{getrlimit, setrlimit, Resource};
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    assert!(
        most >= clients as u64 + 100,
        "{clients} clients need more descriptors than {most} (was {now}): see ulimit -n"
    );
}
