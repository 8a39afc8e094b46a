//! T3, T8, T9, T10, T11: panics, and clients that reset, end early, or send what nobody reads.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use socketserver::{Address, Connection, Handled, TcpServer};

use crate::client::Client;
use crate::harness::{count, eventually, pattern, Watchdog};
use crate::parent::Child;

const LIMIT: Duration = Duration::from_secs(10);

const MIB: usize = 1024 * 1024;

#[test]
fn t3_a_client_that_resets_before_it_is_accepted() {
    let _watchdog = Watchdog::new();
    let seen = Arc::new(Mutex::new(Vec::<(Address, String)>::new()));
    let noted = Arc::clone(&seen);
    let handler = socketserver::handler_fn(move |request: &mut Connection| {
        let read = std::io::Read::read(request, &mut [0; 10]);
        noted.lock().unwrap().push((request.peer_addr(), format!("{:?}", read.map_err(|error| error.kind()))));
        Ok(())
    });
    let mut server = TcpServer::builder().timeout(LIMIT).bind("127.0.0.1:0", handler).unwrap();
    for _ in 0..count(50, 1000) {
        let lost = Client::tcp(server.local_addr());
        let lost_address = lost.socket().local_addr().unwrap().as_socket().unwrap();
        // Accepted only after it has reset.
        lost.reset();
        let mut good = Client::tcp(server.local_addr());
        let good_address = good.socket().local_addr().unwrap().as_socket().unwrap();
        good.say("1234").unwrap();
        good.end_writing();
        for _ in 0..2 {
            let handled = server.handle_request().unwrap();
            assert!(matches!(handled, Handled::Served), "{handled:?}");
        }
        good.expect_end();
        let expected = vec![
            (Address::Inet(lost_address), "Err(ConnectionReset)".to_owned()),
            (Address::Inet(good_address), "Ok(5)".to_owned()),
        ];
        assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), expected);
    }
    let stats = server.handle().stats();
    assert_eq!((stats.panics, stats.active), (0, 0));
}

#[test]
fn t8_panics_end_their_own_request_alone() {
    let _watchdog = Watchdog::new();
    for role in [
        "threading max=8",
        "sequential",
        "threading max=8 error-hook=panic",
        "reactor",
        "reactor error-hook=panic",
        "reactor workers=3",
    ] {
        let panics = count(300, 10_000);
        let mut child = Child::start(role);
        let hook_panics = if role.contains("error-hook") { panics } else { 0 };
        let mut old = (!role.contains("sequential")).then(|| child.connect());
        for number in 0..panics {
            let mut client = child.connect();
            client.say(["panic", "panic-locked", "panic-payload"][number % 3]).unwrap();
            client.end_writing();
            client.expect_end();
            if let Some(old) = &mut old {
                old.ping();
            }
        }
        child.connect().ping();
        assert!(child.connect().ask("lock").unwrap().parse::<usize>().unwrap() > panics / 3);
        let stats = child.stats();
        assert_eq!((stats.panics, stats.handler_errors), ((panics + hook_panics) as u64, 0), "{role}: {stats:?}");
        drop(old);
        child.check_leaks();
    }
}

#[test]
fn t9_resets_at_every_byte_of_a_request() {
    let _watchdog = Watchdog::new();
    let mut request = b"take 8\n".to_vec();
    request.extend(pattern(0, 8));
    request.extend(b"send 100000\n");
    for role in ["threading max=16", "sequential", "reactor max=16", "reactor workers=2"] {
        let mut child = Child::start(role);
        let mut sent = 0;
        for _ in 0..count(10, 200) {
            for offset in 0..=request.len() {
                let mut client = child.connect();
                client.wire.get_mut().write_all(&request[..offset]).unwrap();
                client.reset();
                sent += 1;
            }
            child.connect().ping();
        }
        eventually(LIMIT, "all have come and gone", || {
            let stats = child.stats();
            stats.active == 0 && stats.accepted + stats.accept_errors >= sent
        });
        assert_eq!(child.stats().panics, 0);
        child.check_leaks();
    }
}

#[test]
fn t10_a_client_that_has_ended_its_direction_gets_the_whole_answer() {
    let _watchdog = Watchdog::new();
    for role in ["threading", "sequential", "reactor", "reactor workers=2"] {
        let mut child = Child::start(role);
        for _ in 0..count(2, 20) {
            let mut client = child.connect();
            client.say(&format!("send {}", 8 * MIB)).unwrap();
            client.end_writing();
            client.expect_pattern(0, 8 * MIB);
            client.expect_end();
        }
        assert_eq!(child.stats().handler_errors, 0);
        child.check_leaks();
    }
}

#[test]
fn t10_a_client_that_says_nothing_is_put_out_at_the_read_timeout() {
    let _watchdog = Watchdog::new();
    let timeout = Duration::from_millis(300);
    for role in ["threading read-timeout=300", "reactor read-timeout=300"] {
        let mut child = Child::start(role);
        let mut clients: Vec<(Instant, Client)> = (0..20).map(|_| (Instant::now(), child.connect())).collect();
        for (connected, client) in &mut clients {
            client.expect_end();
            let after = connected.elapsed();
            assert!(after >= timeout && after < timeout + Duration::from_secs(2), "{role}: put out after {after:?}");
        }
        drop(clients);
        child.check_leaks();
    }
}

#[test]
fn t11_an_answer_survives_input_that_nobody_reads() {
    let _watchdog = Watchdog::new();
    let folder = tempfile::tempdir().unwrap();
    let unix = |kind: &str| format!("{kind} path={}", folder.path().join(kind).display());
    for role in
        ["threading", "sequential", &unix("threading-unix"), "reactor", "reactor workers=2", &unix("reactor-unix")]
    {
        let mut child = Child::start(role);
        let junk = vec![b'j'; MIB];
        let mut lost = 0;
        let times = count(60, 1000);
        for _ in 0..times {
            let mut client = child.connect();
            client.say("bye").unwrap();
            // The server answers and closes in the middle of this, and goes on reading: no error, and no reset after it.
            client.wire.get_mut().write_all(&junk).unwrap();
            client.end_writing();
            let (answer, error) = client.rest();
            lost += usize::from(answer != b"bye\n" || error.is_some());
        }
        assert_eq!(lost, 0, "answers lost of {times} ({role})");
        assert_eq!(child.stats().handler_errors, 0);
        child.check_leaks();
    }
}
