//! Datagrams for a host that does not answer for its address: until the system gives up, which takes seconds, they fill the buffer of the
//! socket that sent them. In a network of its own, which holds such a host.
#![cfg(target_os = "linux")]
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::{self, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use common::{receive, watchdog};
use socketserver::{handler_fn, Datagram, Error, UdpClient, UdpServer};

/// The host that does not answer.
const NOBODY: ([u8; 4], u16) = ([10, 0, 0, 2], 9);

/// The least that Linux makes of it holds two or three datagrams of a thousand bytes.
const SMALL_BUFFER: usize = 1;

/// Says to this very test that it runs in a network of its own.
const INSIDE: &str = "SOCKETSERVER_TEST_NETWORK";

/// Runs a test of this file in a network of its own, if that is allowed.
fn in_a_network_of_its_own(test: &str, body: impl FnOnce()) {
    let _watchdog = watchdog();
    if std::env::var_os(INSIDE).is_some() {
        return body();
    }
    let script =
        "ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up \
                  && ip address add 10.0.0.1/24 dev v0 && exec \"$@\"";
    for flags in ["-n", "-rn"] {
        let mut command = Command::new("unshare");
        command.args([flags, "sh", "-c", script, "sh"]).arg(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]).env(INSIDE, "1").stdin(Stdio::null());
        let Ok(output) = command.output() else { continue };
        let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // Otherwise what prepares it has failed.
        if said.contains("running 1 test") {
            assert!(output.status.success(), "{said}{errors}");
            return;
        }
    }
    let _ = writeln!(
        io::stderr(),
        "\n*** NOT CHECKED: {test}: a network of one's own is not allowed here (unshare -n) ***"
    );
}

#[test]
fn unresolved_neighbours_hold_no_answer_up_for_long() {
    in_a_network_of_its_own("unresolved_neighbours_hold_no_answer_up_for_long", inside_answers);
}

fn inside_answers() {
    let (sender, outcomes) = channel();
    let handler = handler_fn(move |request: &mut Datagram| {
        let socket = request.socket().unwrap();
        let full = loop {
            if let Err(error) = socket.send_to(&[0; 1000], &SocketAddr::from(NOBODY).into()) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let started = Instant::now();
        let answered = request.reply(request.data()).map_err(|error| error.kind());
        Ok(sender.send((answered, started.elapsed()))?)
    });
    let running =
        UdpServer::builder().send_buffer_size(SMALL_BUFFER).bind("0.0.0.0:0", handler).unwrap().spawn().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut waits = Vec::new();
    for _ in 0..10 {
        client.send_to(b"hello", ("127.0.0.1", running.local_addr().port())).unwrap();
        let (answered, waited) = receive(&outcomes);
        assert_eq!(answered, Err(io::ErrorKind::TimedOut));
        waits.push(waited);
    }
    // Some wait longer on a busy machine, but not all.
    assert!(waits.iter().min() < Some(&Duration::from_millis(20)), "{waits:?}");
    running.stop().unwrap();
}

#[test]
fn a_request_whose_repetition_finds_no_room_times_out_once() {
    in_a_network_of_its_own("a_request_whose_repetition_finds_no_room_times_out_once", inside_repetitions);
}

fn inside_repetitions() {
    let client = || {
        UdpClient::builder()
            .timeout(Duration::from_millis(300))
            .first_retry(Duration::from_millis(20))
            .configure(|socket| socket.set_send_buffer_size(SMALL_BUFFER))
            .connect(SocketAddr::from(NOBODY))
            .unwrap()
    };
    let mut asking = client();
    for requests in 1..=2 {
        let error = asking.request(&[0; 1000]).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        let stats = asking.stats();
        assert_eq!(stats.timed_out, requests);
        assert!(stats.retried < 3 * requests, "there was room: {stats:?}");
    }
    // Nor does sending count but once.
    let mut sending = client();
    while sending.send(&[0; 1000]).is_ok() {}
    assert_eq!(sending.stats().timed_out, 1);
}
