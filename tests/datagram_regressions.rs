//! Faults of the datagram servers that were found once, a test for each.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[macro_use]
mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::Arc;
use std::time::Duration;

use common::datagrams::{Client, DatagramKind};
use common::{echo, eventually, receive, ComposedKind, Served, LONG};
use socketserver::{handler_fn, Datagram, Handled};

every_datagram_kind! {
    too_long_datagrams_are_no_failed_accepts
    too_long_datagrams_do_not_end_the_wait_of_handle_request
    service_actions_run_between_two_requests
}

/// Fills the system's queue with datagrams that are longer than 10 bytes, and says how many there are. On a Unix socket it holds few.
fn fill(client: &Client) -> u64 {
    client.0.set_nonblocking(true).unwrap();
    let sent = (0..200).take_while(|_| client.0.send(&[0; 11]).is_ok()).count();
    client.0.set_nonblocking(false).unwrap();
    sent as u64
}

/// More of them in a row than are dropped before the server looks whether anything else is to be done: that is no trouble of its own.
fn too_long_datagrams_are_no_failed_accepts<K: DatagramKind>() {
    let (server, spot) = K::bind(K::builder().max_packet_size(10), echo());
    let client = spot.client();
    let sent = fill(&client);
    let served = Served::new((server, spot));
    assert_eq!(client.ask(b"honest"), b"honest");
    let stats = served.handle.stats();
    assert_eq!((stats.dropped, stats.accept_errors), (sent, 0));
    served.stop();
}

fn too_long_datagrams_do_not_end_the_wait_of_handle_request<K: DatagramKind + ComposedKind>() {
    let (mut server, spot) = K::bind(K::builder().max_packet_size(10).timeout(LONG), echo());
    let client = spot.client();
    fill(&client);
    std::thread::scope(|scope| {
        // On a Unix socket it waits for room.
        scope.spawn(|| client.send(b"honest"));
        assert!(matches!(server.handle_request().unwrap(), Handled::Served));
    });
    assert_eq!(client.receive(), b"honest");
    assert_eq!(server.handle().stats().accept_errors, 0);
}

/// Not only after as many as are served one after another in one place.
fn service_actions_run_between_two_requests<K: DatagramKind>() {
    const INTERVAL: Duration = Duration::from_millis(20);
    let ran = Arc::new(AtomicUsize::new(0));
    let (counts, seen) = (Arc::clone(&ran), Arc::clone(&ran));
    let (sender, when_served) = channel();
    let handler = handler_fn(move |_: &mut Datagram| {
        std::thread::sleep(INTERVAL);
        Ok(sender.send(seen.load(Ordering::Relaxed))?)
    });
    let builder = K::builder().service_actions(INTERVAL, move |_| {
        counts.fetch_add(1, Ordering::Relaxed);
    });
    let (server, spot) = K::bind(builder, handler);
    let client = spot.client();
    // As many as there is room for on a Unix socket.
    (0..8).for_each(|_| client.send(b"x"));
    let served = Served::new((server, spot));
    let runs: Vec<usize> = (0..8).map(|_| receive(&when_served)).collect();
    if !K::is_threading() {
        // Each takes no less than the interval.
        assert!(runs.windows(2).all(|pair| pair[0] < pair[1]), "{runs:?}");
    }
    eventually("it runs", || ran.load(Ordering::Relaxed) > 0);
    served.stop();
}

/// They may be longer than a UDP datagram can be.
#[test]
#[cfg(target_os = "linux")] // where the system's buffers have room for such
fn long_unix_datagrams_are_served_if_asked_for() {
    use std::io::Read as _;

    use common::Kind;
    use socketserver::UnixDatagramServer;

    let _watchdog = common::watchdog();
    const LENGTH: usize = 100_000;
    let served = UnixDatagramServer::serve(echo());
    let client = served.place.client();
    client.send(&[7; LENGTH]);
    eventually("it is dropped by default", || served.handle.stats().dropped == 1);
    served.stop();
    let served = UnixDatagramServer::serve_as(UnixDatagramServer::builder().max_packet_size(LENGTH), echo());
    let client = served.place.client();
    client.send(&[7; LENGTH + 1]);
    client.send(&[7; LENGTH]);
    let mut answer = vec![0; LENGTH + 1];
    assert_eq!((&client.0).read(&mut answer).unwrap(), LENGTH);
    assert_eq!(served.handle.stats().dropped, 1);
    served.stop();
}
