//! T2, T3, T4: accepts that fail, by a listener that says what it is told to.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socketserver::server::{Sequential, Stage, Threading};
use socketserver::{Error, Handled, Running, Server};

use crate::client::Client;
use crate::harness::{count, eventually, expect_free, Watchdog};
use crate::scripted::{Faulty, Refusing, Script, LONGEST_BACK_OFF};
use crate::talk::Talk;

const EPERM: i32 = 1;
const EINTR: i32 = 4;
const EBADF: i32 = 9;
const ENOMEM: i32 = 12;
const EINVAL: i32 = 22;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EPROTO: i32 = 71;
const ENOTSOCK: i32 = 88;
const ENETDOWN: i32 = 100;
const ECONNABORTED: i32 = 103;
const ENOBUFS: i32 = 105;

/// Of the system, which pass.
const SHORTAGES: [i32; 4] = [EMFILE, ENFILE, ENOBUFS, ENOMEM];
/// Of one client, which say nothing about the next.
const LOSSES: [i32; 5] = [ECONNABORTED, EPROTO, ENETDOWN, EPERM, EINTR];
/// Of the listening socket, for good.
const FATAL: [i32; 3] = [EBADF, EINVAL, ENOTSOCK];

const LIMIT: Duration = Duration::from_secs(10);

fn threading() -> (Running<std::net::SocketAddr>, Arc<Script>) {
    let (listener, script) = Faulty::new();
    let server = Server::<Faulty, Threading>::builder().from_listener(listener, Talk).unwrap();
    (server.spawn().unwrap(), script)
}

fn sequential() -> (Server<Faulty, Sequential>, Arc<Script>) {
    let (listener, script) = Faulty::new();
    let builder = Server::<Faulty, Sequential>::builder().timeout(Duration::ZERO);
    (builder.from_listener(listener, Talk).unwrap(), script)
}

#[test]
fn t2_all_clients_are_served_through_shortages_which_are_counted() {
    let _watchdog = Watchdog::new();
    let (running, script) = threading();
    let mut injected = 0;
    for code in SHORTAGES.into_iter().chain(LOSSES) {
        let each = 5;
        script.fail_once(vec![code; each]);
        injected += each as u64;
        Client::tcp(running.local_addr()).ping();
        eventually(LIMIT, "the script has been played", || running.handle().stats().accept_errors == injected);
        Client::tcp(running.local_addr()).ping();
    }
    let stats = running.handle().stats();
    assert_eq!((stats.accept_errors, stats.accepted), (injected, 2 * (SHORTAGES.len() + LOSSES.len()) as u64));
    assert_eq!((stats.panics, stats.handler_errors, stats.rejected), (0, 0, 0));
    assert!(running.stop().unwrap().is_clean());
}

#[test]
fn t2_a_lasting_shortage_is_retried_a_few_times_a_second_and_survived() {
    let _watchdog = Watchdog::new();
    for code in [EMFILE, ENOBUFS] {
        let (running, script) = threading();
        let mut old = Client::tcp(running.local_addr());
        old.ping();
        script.fail_always(Some(code));
        let (began, before) = (Instant::now(), script.calls().len());
        let mut waiting = Client::tcp(running.local_addr());
        while began.elapsed() < Duration::from_secs(1) {
            old.ping();
            thread::sleep(Duration::from_millis(20));
        }
        let calls = script.calls().len() - before;
        // 5, 10, 20, 40, 80, then 100 ms apart: 13 in a second, and one that found nobody.
        let most = 8 + began.elapsed().as_millis() as usize / 100;
        assert!((2..=most).contains(&calls), "{calls} accepts in {:?}", began.elapsed());
        script.fail_always(None);
        waiting.ping();
        Client::tcp(running.local_addr()).ping();
        drop((old, waiting));
        assert!(running.stop().unwrap().is_clean());
    }
}

#[test]
fn t2_a_request_that_ends_is_followed_by_a_try_at_once() {
    let _watchdog = Watchdog::new();
    let (running, script) = threading();
    let mut olds: Vec<Client> = (0..10).map(|_| Client::tcp(running.local_addr())).collect();
    olds.iter_mut().for_each(Client::ping);
    script.fail_always(Some(EMFILE));
    let _waiting = Client::tcp(running.local_addr());
    // Until the waits are as long as they get.
    eventually(LIMIT, "the back-off has grown", || {
        let calls = script.calls();
        calls.len() > 8 && calls[calls.len() - 1] - calls[calls.len() - 2] >= LONGEST_BACK_OFF
    });
    // The shortest, because on a busy machine any one may take longer. Without the retry all would take the whole wait.
    let mut waits = Vec::new();
    for old in olds {
        let last = script.last_call();
        eventually(LIMIT, "another try", || script.last_call() > last);
        let tried = script.last_call();
        drop(old);
        eventually(LIMIT, "another try", || script.last_call() > tried);
        waits.push(script.last_call().unwrap() - tried.unwrap());
    }
    let shortest = waits.iter().min().unwrap();
    assert!(*shortest < LONGEST_BACK_OFF * 8 / 10, "{waits:?}");
    script.fail_always(None);
    Client::tcp(running.local_addr()).ping();
}

#[test]
fn t3_a_lost_client_is_no_reason_to_wait_and_a_shortage_is() {
    let _watchdog = Watchdog::new();
    for code in LOSSES {
        let (mut server, script) = sequential();
        let mut client = Client::tcp(server.local_addr());
        client.say("bye").unwrap();
        client.end_writing();
        script.fail_once([code]);
        let lost = server.handle_request().unwrap();
        assert!(matches!(&lost, Handled::AcceptError(error) if error.raw_os_error() == Some(code)), "{lost:?}");
        let next = server.handle_request().unwrap();
        assert!(matches!(next, Handled::Served), "{next:?} right after error {code}");
        assert_eq!(client.hear().unwrap(), "bye");
    }
    for code in SHORTAGES {
        let (mut server, script) = sequential();
        let mut client = Client::tcp(server.local_addr());
        client.say("bye").unwrap();
        client.end_writing();
        // So many that the wait is long even on a machine that is busy.
        for _ in 0..6 {
            script.fail_once([code]);
            eventually(LIMIT, "the shortage shows", || match server.handle_request().unwrap() {
                Handled::AcceptError(error) => error.raw_os_error() == Some(code),
                Handled::TimedOut => false,
                other => panic!("{other:?}"),
            });
        }
        let calls = script.calls().len();
        let next = server.handle_request().unwrap();
        if script.last_call().unwrap().elapsed() < LONGEST_BACK_OFF {
            assert!(matches!(next, Handled::TimedOut), "{next:?} right after error {code}");
            assert_eq!(script.calls().len(), calls, "tried before the back-off was over");
        }
        if !matches!(next, Handled::Served) {
            eventually(LIMIT, "the client is served", || matches!(server.handle_request().unwrap(), Handled::Served));
        }
        assert_eq!(client.hear().unwrap(), "bye");
    }
}

#[test]
fn t3_as_many_aborted_as_good() {
    let _watchdog = Watchdog::new();
    let (running, script) = threading();
    script.alternate(ECONNABORTED);
    let good = count(200, 1000);
    for _ in 0..good {
        Client::tcp(running.local_addr()).ping();
    }
    let stats = running.handle().stats();
    assert_eq!((stats.accepted, stats.panics), (good as u64, 0));
    assert!(stats.accept_errors >= good as u64, "{stats:?}");
    assert!(running.stop().unwrap().is_clean());
}

#[test]
fn t3_losses_without_end_do_not_spin() {
    let _watchdog = Watchdog::new();
    let (running, script) = threading();
    script.fail_always(Some(EPERM));
    let first = Instant::now();
    let mut client = Client::tcp(running.local_addr());
    eventually(LIMIT, "tried and tried over", || script.calls().len() > 10);
    eventually(LIMIT, "half a second", || first.elapsed() > Duration::from_millis(500));
    let calls = script.calls().len();
    // 64 at once, then a wait as after a shortage, and so on.
    let waits = 6 + first.elapsed().as_millis() as usize / 100;
    let most = 65 * (1 + waits);
    assert!(calls <= most, "{calls} accepts in {:?}", first.elapsed());
    script.fail_always(None);
    client.ping();
}

#[test]
fn t4_an_unusable_listener_ends_the_serving_and_what_is_under_way_drains() {
    let _watchdog = Watchdog::new();
    for code in FATAL {
        let (listener, script) = Faulty::new();
        let mut server = Server::<Faulty, Threading>::builder().from_listener(listener, Talk).unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        let serving = thread::spawn(move || {
            let result = server.serve_forever();
            (result, server)
        });
        let mut old = Client::tcp(address);
        old.ping();
        eventually(LIMIT, "nobody else waits", || script.is_idle());
        script.fail_always(Some(code));
        let before = script.calls().len();
        // Refused or reset: nobody will serve it.
        let mut last = Client::tcp(address);
        eventually(LIMIT, "the server stops", || handle.is_shutting_down());
        // The request under way is not hurried.
        old.ping();
        assert!(!serving.is_finished(), "it returned before the request under way had ended");
        drop(old);
        let (result, mut server) = serving.join().unwrap();
        match result {
            Err(Error::Accept { address: of, source }) => {
                assert_eq!((of, source.raw_os_error()), (address.to_string(), Some(code)));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(script.calls().len() - before, 1, "tried again after a fatal error");
        assert!(last.ask("ping x").map_or(true, |answer| answer.is_empty()));
        assert!(matches!(server.serve_forever(), Err(Error::Closed { .. })));
        expect_free(address);
    }
}

#[test]
fn t4_handle_request_says_so_too() {
    let _watchdog = Watchdog::new();
    for code in FATAL {
        let (mut server, script) = sequential();
        script.fail_always(Some(code));
        let _client = Client::tcp(server.local_addr());
        match server.handle_request() {
            Err(Error::Accept { source, .. }) => assert_eq!(source.raw_os_error(), Some(code)),
            other => panic!("{other:?}"),
        }
        assert!(matches!(server.handle_request(), Err(Error::Closed { .. })));
    }
}

#[test]
fn t6_a_refusing_dispatch_costs_that_client_alone() {
    let _watchdog = Watchdog::new();
    let stages = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&stages);
    let dispatch = Refusing::default();
    let (refuses, refused) = (Arc::clone(&dispatch.refuses), Arc::clone(&dispatch.refused));
    let (listener, _script) = Faulty::new();
    let server = Server::<Faulty, Refusing>::builder()
        .dispatch(dispatch)
        .max_connections(3)
        .handle_error(move |failure| noted.lock().unwrap().push((failure.stage(), failure.peer().is_some())))
        .from_listener(listener, Talk)
        .unwrap();
    let running = server.spawn().unwrap();
    let mut old = Client::tcp(running.local_addr());
    old.ping();
    refuses.store(true, Ordering::SeqCst);
    // More than there are places, so that a place lost at a refusal would show.
    let lost = 5;
    for number in 1..=lost {
        let mut client = Client::tcp(running.local_addr());
        client.expect_end();
        old.ping();
        // The client learns of it first.
        eventually(LIMIT, "it is counted", || running.handle().stats().spawn_failures == number as u64);
        assert_eq!((refused.load(Ordering::SeqCst), running.handle().stats().active), (number, 1));
    }
    refuses.store(false, Ordering::SeqCst);
    let mut others: Vec<Client> = (0..2).map(|_| Client::tcp(running.local_addr())).collect();
    others.iter_mut().for_each(Client::ping);
    eventually(LIMIT, "the hook has been told", || stages.lock().unwrap().len() == lost);
    assert_eq!(*stages.lock().unwrap(), vec![(Stage::Dispatch, true); lost]);
    drop((old, others));
    assert!(running.stop().unwrap().is_clean());
}
