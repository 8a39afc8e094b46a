//! T1, T2, T3, T4, T6, T7, T22 on an event loop: accepts that fail for real or by strace, threads that cannot be had, more clients
//! than places, and a logger that blocks the loop itself.

use std::io::BufRead;
use std::time::{Duration, Instant};
use std::{io, thread};

use nix::sys::signal::Signal;
use socketserver::ReactorTcpServer;

use crate::child::tell;
use crate::client::Client;
use crate::harness::{count, eventually, percentile, Watchdog};
use crate::parent::Child;
use crate::reactor_talk::EventTalk;
use crate::scripted::LONGEST_BACK_OFF;
use crate::shortages::{expect_told_over_the_ceiling, raise_descriptor_limit, LOG_GAP, RECOVERY};

const LIMIT: Duration = Duration::from_secs(10);

/// Clients that have asked, and that nobody has accepted.
fn queue(child: &Child, clients: usize) -> Vec<Client> {
    let mut queued: Vec<Client> = (0..clients).map(|_| child.connect()).collect();
    for client in &mut queued {
        client.say("ping x").unwrap();
    }
    queued
}

#[test]
fn t1_out_of_descriptors_a_loop_serves_on_and_accepts_by_its_timer() {
    let _watchdog = Watchdog::new();
    for role in ["reactor max=200", "reactor max=200 workers=2"] {
        let mut child = Child::start(role);
        let mut olds: Vec<Client> = (0..20).map(|_| child.connect()).collect();
        olds.iter_mut().for_each(Client::ping);
        child.obey(&format!("descriptors {}", child.lowest_free_descriptor()));
        let mut queued = queue(&child, 10);
        eventually(LIMIT, "the shortage shows", || child.stats().accept_errors > 0);

        let (began, errors, spent) = (Instant::now(), child.stats().accept_errors, child.serving_time());
        let (mut answers, mut pinging) = (Vec::new(), Duration::ZERO);
        while began.elapsed() < Duration::from_secs(count(2, 5) as u64) {
            let round = Instant::now();
            answers.extend(olds.iter_mut().map(Client::timed_ping));
            pinging += round.elapsed();
            thread::sleep(Duration::from_millis(50));
        }
        let window = began.elapsed();
        let spent = child.serving_time().checked_sub(spent).unwrap();
        let stats = child.stats();
        // The loop answers too, so what it computes for accepting is within what is left.
        assert!(spent < window / 20, "{role}: the loop computed for {spent:?} of {window:?}, {pinging:?} of it asked");
        assert!(stats.accept_errors - errors <= 8 + window.as_millis() as u64 / 100, "{role}: {stats:?} in {window:?}");
        assert!(stats.accept_errors > errors + 5, "{role}: it does not try: {stats:?}");
        assert!(stats.log_lines >= 2 && stats.shortest_log_gap >= LOG_GAP, "{role}: {stats:?}");
        assert_eq!(stats.active, 20, "{role}: somebody was accepted: the limit is not where it should be");
        let typical = percentile(&mut answers, 50);
        assert!(typical < Duration::from_millis(50), "{role}: old clients wait {typical:?}");

        // No client comes after this, so no event tells the loop: it must look by itself.
        child.obey("descriptors all");
        let restored = Instant::now();
        for client in &mut queued {
            assert_eq!(client.hear().unwrap(), "pong x");
        }
        assert!(restored.elapsed() < RECOVERY, "{role}: served again after {:?}", restored.elapsed());
        child.connect().ping();
        drop((olds, queued));
        child.check_leaks();
    }
}

#[test]
fn t1_a_connection_that_ends_is_followed_by_a_try_at_once() {
    let _watchdog = Watchdog::new();
    for role in ["reactor", "reactor workers=2"] {
        let mut child = Child::start(role);
        let mut olds: Vec<Client> = (0..10).map(|_| child.connect()).collect();
        olds.iter_mut().for_each(Client::ping);
        child.obey(&format!("descriptors {}", child.lowest_free_descriptor()));
        let mut queued = queue(&child, olds.len());
        // Until the waits are as long as they get: 5, 10, 20, 40, 80.
        eventually(LIMIT, "the back-off has grown", || child.stats().accept_errors >= 7);
        // The shortest, because on a busy machine any one may take longer. Without the retry all would take the whole wait.
        let mut waits = Vec::new();
        for old in olds {
            // Right after a try; each success begins the back-off anew.
            let mut errors = child.stats().accept_errors;
            for _ in 0..6 {
                eventually(LIMIT, "another try", || child.stats().accept_errors > errors);
                errors = child.stats().accept_errors;
            }
            let began = Instant::now();
            drop(old);
            let mut next = queued.remove(0);
            assert_eq!(next.hear().unwrap(), "pong x");
            waits.push(began.elapsed());
            // It stays, so that its descriptor is not the next one's.
            queued.push(next);
        }
        let shortest = waits.iter().min().unwrap();
        assert!(*shortest < LONGEST_BACK_OFF * 6 / 10, "{role}: {waits:?}");
    }
}

/// The loop's waker is for whatever other threads want of it. Only a connection that ends is a reason to try before the time.
#[test]
fn t1_a_loop_that_is_woken_for_something_else_does_not_try() {
    let _watchdog = Watchdog::new();
    let mut child = Child::start("reactor");
    let mut chatty = child.connect();
    chatty.ping();
    child.obey(&format!("descriptors {}", child.lowest_free_descriptor()));
    let mut queued = queue(&child, 1);
    eventually(LIMIT, "the shortage shows", || child.stats().accept_errors > 0);
    let (began, errors, mut heard) = (Instant::now(), child.stats().accept_errors, 0);
    // Sent by a thread of the server's, a letter to the loop each.
    chatty.say("broadcast 100").unwrap();
    while began.elapsed() < Duration::from_secs(1) {
        chatty.hear_bytes(1000);
        heard += 10;
    }
    let (tries, window) = (child.stats().accept_errors - errors, began.elapsed());
    assert!(heard > 500, "only {heard} letters: the test tests nothing");
    assert!(tries <= 8 + window.as_millis() as u64 / 100, "{tries} tries in {window:?} with {heard} letters");
    child.obey("descriptors all");
    assert_eq!(queued[0].hear().unwrap(), "pong x");
}

/// A child whose accepts fail as strace is told: `ENFILE:when=1..5`.
fn with_failing_accepts(fault: &str, role: &str) -> Child {
    let inject = format!("inject=accept4:error={fault}");
    Child::start_under(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=accept4", "-e", &inject], role)
}

#[test]
fn t2_t3_all_clients_are_served_through_accepts_that_fail() {
    let _watchdog = Watchdog::new();
    for error in ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "EPROTO", "ENETDOWN", "EPERM", "EINTR"] {
        let mut child = with_failing_accepts(&format!("{error}:when=1..5"), "reactor");
        for client in &mut queue(&child, 3) {
            assert_eq!(client.hear().unwrap(), "pong x", "{error}");
        }
        let stats = child.stats();
        assert_eq!((stats.accept_errors, stats.accepted, stats.panics), (5, 3, 0), "{error}");
        assert!(child.stop().contains("abandoned: 0, still_running: 0"));
    }
}

#[test]
fn t3_as_many_aborted_as_good() {
    let _watchdog = Watchdog::new();
    let good = count(200, 1000);
    let mut child = with_failing_accepts("ECONNABORTED:when=1+2", "reactor");
    for _ in 0..good {
        child.connect().ping();
    }
    let stats = child.stats();
    assert_eq!((stats.accepted, stats.panics), (good as u64, 0));
    assert!(stats.accept_errors >= good as u64, "{stats:?}");
}

#[test]
fn t3_clients_that_reset_before_they_are_accepted() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let unix = format!("reactor-unix path={}", folder.path().join("socket").display());
    for role in ["reactor", "reactor workers=2", &unix] {
        let mut child = Child::start(role);
        let rounds = count(5, 50);
        for _ in 0..rounds {
            child.signal(Signal::SIGSTOP);
            let mut goods = Vec::new();
            for _ in 0..10 {
                let mut lost = child.connect();
                lost.say("ping x").unwrap();
                lost.reset();
                goods.extend(queue(&child, 1));
            }
            child.signal(Signal::SIGCONT);
            for good in &mut goods {
                assert_eq!(good.hear().unwrap(), "pong x");
            }
        }
        let stats = child.stats();
        assert_eq!((stats.panics, stats.accept_errors), (0, 0), "{role}: {stats:?}");
        assert_eq!(stats.accepted, 20 * rounds as u64, "{role}: Linux accepts who has reset");
        child.check_leaks();
    }
}

#[test]
fn t4_an_unusable_listener_ends_the_serving() {
    let _watchdog = Watchdog::new();
    for error in ["EBADF", "EINVAL", "ENOTSOCK"] {
        // The look at the start, the first client, the look for another, and from then on.
        let mut child = with_failing_accepts(&format!("{error}:when=4+"), "reactor");
        let mut old = child.connect();
        old.ping();
        let began = Instant::now();
        let mut last = child.connect();
        let outcome = child.ask("join");
        assert!(outcome.contains("Err(Accept"), "{error}: {outcome}");
        assert!(began.elapsed() < LIMIT);
        // Nobody serves it.
        assert!(last.ask("ping x").map_or(true, |answer| answer.is_empty()), "{error}");
        old.expect_end();
        assert_eq!(child.stats().accept_errors, 1, "{error}: tried again after a fatal error");
        drop((old, last));
        eventually(LIMIT, "nothing is served", || child.stats().active == 0);
    }
}

#[test]
fn t6_a_loop_that_cannot_be_started_leaves_no_other_behind() {
    let _watchdog = Watchdog::new();
    // The serving thread's second: one loop runs already.
    let inject = "inject=clone3:error=EAGAIN:when=2";
    let wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=clone3", "-e", inject];
    let mut child = Child::start_under(&wrapper, "loops");
    let outcome = child.ask("serve");
    assert!(outcome.contains("start a thread for an event loop"), "{outcome}");
    child.check_footprint();
}

/// In a child: serves with three loops.
pub(crate) fn loops() {
    tell(format_args!("{} /", std::process::id()));
    for line in io::stdin().lock().lines() {
        assert_eq!(line.unwrap(), "serve");
        let server = ReactorTcpServer::builder().workers(3).bind("127.0.0.1:0", EventTalk::default()).unwrap();
        tell(format_args!("{:?}", server.spawn().unwrap().join()));
    }
}

#[test]
fn t7_never_more_connections_than_the_ceiling_and_everybody_is_served() {
    let _watchdog = Watchdog::new();
    let (limit, clients) = (count(64, 1024), count(300, 3000));
    raise_descriptor_limit(clients);
    for role in ["reactor", "reactor workers=3"] {
        let mut child = Child::start(&format!("{role} max={limit}"));
        let waiting = queue(&child, clients);
        eventually(LIMIT, "all places are taken", || child.stats().active == limit as u64);
        let mut most = 0;
        for (number, mut client) in waiting.into_iter().enumerate() {
            if number % 20 == 0 {
                most = most.max(child.stats().active);
            }
            assert_eq!(client.hear().unwrap(), "pong x");
        }
        let stats = child.stats();
        assert!(most <= limit as u64, "{role}: {most} at once");
        assert_eq!((stats.accepted, stats.rejected, stats.accept_errors), (clients as u64, 0, 0), "{role}");
        child.check_leaks();
    }
}

#[test]
fn t7_whoever_is_over_the_ceiling_is_told_so_where_that_is_wanted() {
    expect_told_over_the_ceiling("reactor");
}

/// `log` is synchronous, so a logger that blocks holds the loop up. But it is called once a second at the most, however much there
/// is to be logged, so everybody is served in between.
#[test]
fn t22_a_logger_that_blocks_is_called_once_a_second_however_much_goes_wrong() {
    let _watchdog = Watchdog::new();
    let mut child = Child::start("reactor slow-log=400");
    let mut olds: Vec<Client> = (0..10).map(|_| child.connect()).collect();
    olds.iter_mut().for_each(Client::ping);
    let mut panics = 0;
    let (began, mut answers) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_secs(count(3, 10) as u64) {
        for _ in 0..5 {
            let mut client = child.connect();
            client.say("panic").unwrap();
            client.expect_end();
            panics += 1;
        }
        answers.extend(olds.iter_mut().map(Client::timed_ping));
    }
    let stats = child.stats();
    assert_eq!(stats.panics, panics);
    assert!(panics > 100, "only {panics}: the loop is held up all the time");
    assert!(stats.log_lines >= 2 && stats.log_lines <= 2 + began.elapsed().as_secs(), "{stats:?}");
    assert!(stats.shortest_log_gap >= LOG_GAP, "{stats:?}");
    let typical = percentile(&mut answers, 50);
    assert!(typical < Duration::from_millis(50), "old clients wait {typical:?}");
}
