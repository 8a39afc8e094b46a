//! T15, T16, T17: many clients at once, ports taken and given back, and IPv6 that is not there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::{Duration, Instant};

use socketserver::{tcp, Error, ReactorTcpServer, Running, TcpServer, ThreadingTcpServer};

use crate::child::{tell, MARK};
use crate::client::Client;
use crate::harness::{count, not_checked, own_loopback, Watchdog};
use crate::parent::command;
use crate::reactor_talk::EventTalk;
use crate::shortages::raise_descriptor_limit;
use crate::talk::Talk;

/// Runs a role to its end in a network of its own, prepared by `script`. `None` where that is not allowed.
fn in_a_network_of_its_own(role: &str, script: &str) -> Option<Vec<String>> {
    for flags in ["-n", "-rn"] {
        let script = format!("{script} && exec \"$@\"");
        let wrapper = ["unshare", flags, "sh", "-c", &script, "sh"];
        let output = command(&wrapper, role).stdin(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => return Some(told(&output.stdout)),
            // The role itself has failed, not what prepares it.
            Ok(output) if String::from_utf8_lossy(&output.stderr).contains("panicked at") => {
                panic!("{}", String::from_utf8_lossy(&output.stderr))
            }
            _ => {}
        }
    }
    None
}

/// How many clients come at once. With 1,024 being served, the others fit into the default backlog.
fn clients() -> usize {
    count(2_500, 5_000)
}

/// In a child: a server with default settings, and clients that come all at once.
pub(crate) fn flood(kind: Option<&str>) {
    raise_descriptor_limit(2 * clients());
    let running = match kind {
        Some("reactor") => ReactorTcpServer::bind("127.0.0.1:0", EventTalk::default()).unwrap().spawn().unwrap(),
        _ => ThreadingTcpServer::bind("127.0.0.1:0", Talk).unwrap().spawn().unwrap(),
    };
    let address = running.local_addr();
    let overflows_before = listen_overflows();
    let mut longest = Duration::ZERO;
    let mut all: Vec<Client> = (0..clients())
        .map(|_| {
            let began = Instant::now();
            let client = Client::tcp(address);
            longest = longest.max(began.elapsed());
            client
        })
        .collect();
    let overflows = listen_overflows() - overflows_before;
    for client in &mut all {
        client.say("ping x").unwrap();
    }
    let unserved = all.drain(..).filter_map(|mut client| client.hear().ok()).filter(|line| line != "pong x").count();
    assert_eq!(unserved, 0);
    tell(format_args!("{} {overflows}", longest.as_millis()));
}

/// Connections that this network's full listening queues have turned away.
fn listen_overflows() -> u64 {
    let text = std::fs::read_to_string("/proc/net/netstat").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split(' ').position(|name| name == "ListenOverflows").unwrap();
    values.split(' ').nth(at).unwrap().parse().unwrap()
}

#[test]
fn t15_a_flood_of_clients_waits_for_no_retransmission() {
    let _watchdog = Watchdog::new();
    expect_no_retransmission("flood");
    expect_no_retransmission("flood kind=reactor");
}

fn expect_no_retransmission(role: &str) {
    let own = in_a_network_of_its_own(role, "ip link set lo up");
    let (lines, alone) = match own {
        Some(lines) => (lines, true),
        None => {
            let output = command(&[], role).stdin(Stdio::null()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            (told(&output.stdout), false)
        }
    };
    let (longest, overflows) = lines[0].split_once(' ').unwrap();
    // A lost SYN is sent again after a second.
    assert!(longest.parse::<u64>().unwrap() < 900, "{role}: a client waited {longest} ms for its connection");
    if alone {
        assert_eq!(overflows, "0");
    } else {
        not_checked("that no listening queue overflowed", "a network of one's own is not allowed here (unshare -n)");
    }
}

/// What a child has said.
fn told(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    text.lines().filter_map(|line| Some(line.split_once(MARK)?.1.to_owned())).collect()
}

#[test]
fn t16_a_port_is_free_for_the_next_server_at_once() {
    let _watchdog = Watchdog::new();
    let output = command(&[], "rebind").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// In a child, because a process that is being started holds all descriptors of the one that starts it, until it runs its
/// own program, and other tests start processes.
pub(crate) fn rebind() {
    let mut address = own_loopback();
    for round in 0..100 {
        let failed = |error| -> Running<SocketAddr> { panic!("round {round}: {error}") };
        let running = match round % 2 {
            0 => ThreadingTcpServer::bind(address, Talk).and_then(|server| server.spawn()).unwrap_or_else(failed),
            _ => ReactorTcpServer::bind(address, EventTalk::default())
                .and_then(|server| server.spawn())
                .unwrap_or_else(failed),
        };
        address = running.local_addr();
        let mut client = Client::tcp(address);
        // The server closes first, so it is its port that lingers in TIME_WAIT.
        assert_eq!(client.ask("bye").unwrap(), "bye");
        client.expect_end();
        drop(client);
        match round % 3 {
            0 => drop(running),
            1 => assert!(running.stop().unwrap().is_clean()),
            _ => {
                // With a client that stays.
                let mut stays = Client::tcp(address);
                stays.ping();
                drop(running);
                // A handler that waits for its client has the drain's time; an event loop lets idle ones go.
                if round % 2 == 0 {
                    stays.ping();
                } else {
                    stays.expect_end();
                }
            }
        }
    }
}

#[test]
fn t16_an_address_that_cannot_be_had_is_named_with_its_reason() {
    let _watchdog = Watchdog::new();
    let taken = TcpServer::bind("127.0.0.1:0", Talk).unwrap();
    let foreign: SocketAddr = "203.0.113.1:0".parse().unwrap();
    for (address, kind) in [(taken.local_addr(), io::ErrorKind::AddrInUse), (foreign, io::ErrorKind::AddrNotAvailable)]
    {
        let errors = [
            TcpServer::bind(address, Talk).unwrap_err(),
            ReactorTcpServer::bind(address, EventTalk::default()).unwrap_err(),
        ];
        for error in errors {
            match error {
                Error::Bind { address: named, source } => {
                    assert_eq!((named, source.kind()), (address.to_string(), kind));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// In a child, in a network without IPv6.
pub(crate) fn ipv6_off() {
    match TcpServer::bind("[::1]:0", Talk) {
        Err(Error::Bind { address, .. }) => assert_eq!(address, "[::1]:0"),
        other => panic!("{other:?}"),
    }
    let running = ThreadingTcpServer::bind("localhost:0", Talk).unwrap().spawn().unwrap();
    assert_eq!(running.local_addr().ip(), Ipv4Addr::LOCALHOST);
    let stream = tcp::connect(("localhost", running.local_addr().port()), Duration::from_secs(10)).unwrap();
    assert_eq!(stream.peer_addr(), running.local_addr().into());
    drop(stream);
    assert!(running.stop().unwrap().is_clean());
    tell("fine");
}

#[test]
fn t17_localhost_is_served_and_reached_without_ipv6() {
    let _watchdog = Watchdog::new();
    let off = "for family in all default lo; do echo 1 > /proc/sys/net/ipv6/conf/$family/disable_ipv6 || exit; done";
    match in_a_network_of_its_own("ipv6-off", &format!("ip link set lo up && {off}")) {
        Some(lines) => assert_eq!(lines, ["fine"]),
        None => not_checked("a machine without IPv6", "a network of one's own cannot be had here, or set up"),
    }
    // Everywhere: an IPv6 address that cannot be had, which fails as all IPv6 addresses do there.
    match TcpServer::bind("[2001:db8::1]:0", Talk) {
        Err(Error::Bind { address, .. }) => assert_eq!(address, "[2001:db8::1]:0"),
        other => panic!("{other:?}"),
    }
    let server = ThreadingTcpServer::bind("localhost:0", Talk).unwrap();
    let port = server.local_addr().port();
    let running = server.spawn().unwrap();
    // Whichever family it is, one of the client's tries reaches it.
    drop(tcp::connect(("localhost", port), Duration::from_secs(10)).unwrap());
    assert!(running.stop().unwrap().is_clean());
}
