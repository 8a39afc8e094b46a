//! The keys of a [`Selector`], which name one source for ever, whatever becomes of its descriptor.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod selecting;

use std::io::Write;
use std::time::{Duration, Instant};

use common::{own_address, watchdog, LONG};
use selecting::{assert_unknown, look, seen, udp, MOMENT, R, RW, W};
use socketserver::mio::net::{TcpListener, UdpSocket};
use socketserver::reactor::{Key, Selector};
use socketserver::Error;

/// Python: `test_unregister_after_fd_close`, `test_unregister_after_socket_close` (#83420).
#[test]
#[cfg(unix)]
fn a_source_closed_underneath_can_be_unregistered() {
    use selecting::{unix_pair, Raw};
    let _watchdog = watchdog();
    for reported in [false, true] {
        let mut selector = Selector::new().unwrap();
        let (first, second) = unix_pair();
        let (one, two) = (Raw::of(&first), Raw::of(&second));
        let (one, two) = (selector.register(one, R, "one").unwrap(), selector.register(two, RW, "two").unwrap());
        if reported {
            assert_eq!(look(&mut selector), [(two, "w")]);
        }
        drop((first, second));
        // Nothing else can be done with it.
        let error = selector.modify(one, W).unwrap_err();
        assert!(matches!(error, Error::System { .. }), "{error:?}");
        assert_eq!(selector.interest(one), Some(R));
        selector.unregister::<Raw>(one).unwrap();
        assert_eq!(selector.remove(two).unwrap(), "two");
        assert!(selector.is_empty());
        assert_eq!(look(&mut selector), []);
    }
}

/// Python: `test_unregister_after_fd_close_and_reuse`.
#[test]
#[cfg(target_os = "linux")]
fn a_source_whose_number_another_has_taken_can_be_unregistered() {
    use selecting::{unix_pair, Raw};
    use std::os::fd::OwnedFd;
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (first, second) = unix_pair();
    let (mut first, mut second) = (OwnedFd::from(first), OwnedFd::from(second));
    let one = selector.register(Raw::of(&first), R, "one").unwrap();
    let two = selector.register(Raw::of(&second), W, "two").unwrap();
    let (third, fourth) = unix_pair();
    nix::unistd::dup2(&third, &mut first).unwrap();
    nix::unistd::dup2(&fourth, &mut second).unwrap();
    assert_eq!(look(&mut selector), [], "those that were registered are closed");
    selector.unregister::<Raw>(one).unwrap();
    selector.unregister::<Raw>(two).unwrap();
    assert!(selector.is_empty());
    let key = selector.register(Raw::of(&second), W, "newcomer").unwrap();
    assert_eq!(look(&mut selector), [(key, "w")]);
}

/// #88968, #130141: the system gives the number of a socket that was unregistered to the next, while events of the first were pending.
#[test]
#[cfg(target_os = "linux")]
fn a_newcomer_with_an_old_number_is_reported_for_itself_alone() {
    use selecting::{owning, unix_pair};
    use std::os::fd::{AsRawFd, OwnedFd};
    let _watchdog = watchdog();
    for removed_by_the_selector in [false, true] {
        let mut selector = Selector::new().unwrap();
        let (stream, mut peer) = unix_pair();
        let number = stream.as_raw_fd();
        // As a duplicate keeps the socket open, the system would go on telling of it.
        let duplicate = std::os::fd::AsFd::as_fd(&stream).try_clone_to_owned().unwrap();
        let mut descriptor: OwnedFd = stream.into();
        let (newcomer, mut other) = unix_pair();
        let old = if removed_by_the_selector {
            let old = selector.register(selecting::Raw::of(&descriptor), RW, "old").unwrap();
            peer.write_all(b"pending").unwrap();
            selector.remove(old).unwrap();
            old
        } else {
            let old = selector.register(owning(descriptor), RW, "old").unwrap();
            peer.write_all(b"pending").unwrap();
            descriptor = selector.unregister::<UdpSocket>(old).unwrap().into();
            old
        };
        nix::unistd::dup2(&newcomer, &mut descriptor).unwrap();
        drop(newcomer);
        assert_eq!(descriptor.as_raw_fd(), number);
        let new = selector.register(owning(descriptor), R, "new").unwrap();
        assert_ne!(old, new);
        assert_eq!(look(&mut selector), []);
        peer.write_all(b"more").unwrap();
        assert_eq!(look(&mut selector), []);
        other.write_all(b"for the newcomer").unwrap();
        assert_eq!(look(&mut selector), [(new, "r")]);
        drop(duplicate);
    }
}

/// A descriptor that was closed while a duplicate kept the socket open cannot be taken out any more: its events keep coming.
#[test]
#[cfg(unix)]
fn events_of_a_lost_socket_are_nobodys() {
    use selecting::{unix_pair, Raw};
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (lost, mut peer) = unix_pair();
    let (newcomer, mut other) = unix_pair();
    let _duplicate = std::os::fd::AsFd::as_fd(&lost).try_clone_to_owned().unwrap();
    let old = selector.register(Raw::of(&lost), RW, "old").unwrap();
    drop(lost);
    selector.remove(old).unwrap();
    let new = selector.register(newcomer, R, "new").unwrap();
    assert_eq!(look(&mut selector), []);
    for _ in 0..3 {
        peer.write_all(b"x").unwrap();
        assert_eq!(look(&mut selector), []);
        // Nor do they end a wait.
        peer.write_all(b"x").unwrap();
        let started = Instant::now();
        assert_eq!(seen(&selector.select(Some(MOMENT)).unwrap()), []);
        assert!(started.elapsed() >= MOMENT);
    }
    other.write_all(b"x").unwrap();
    assert_eq!(look(&mut selector), [(new, "r")]);
}

/// trio 1272: what is kept of a socket that has gone must not act on the next.
#[test]
fn an_old_key_never_finds_a_newcomer() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let mut old: Vec<Key> = Vec::new();
    for round in 0..10 {
        let key = match round % 2 {
            0 => selector.register(udp(), W, "new").unwrap(),
            _ => selector.set_timer(Duration::ZERO, "new").unwrap(),
        };
        assert!(!old.contains(&key));
        for old in &old {
            assert_unknown::<UdpSocket>(&mut selector, *old);
        }
        // The newcomer has come to no harm by it.
        assert_eq!((selector.len(), selector.data(key)), (1, Some(&"new")));
        assert_eq!(look(&mut selector), [(key, if round % 2 == 0 { "w" } else { "t" })]);
        assert_eq!(selector.remove(key).unwrap(), "new");
        old.push(key);
    }
}

#[test]
fn what_was_reported_can_be_gone_before_its_turn() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let keys = [selector.register(udp(), W, "a").unwrap(), selector.register(udp(), W, "b").unwrap()];
    let ready = selector.select(Some(LONG)).unwrap();
    assert_eq!(seen(&ready), keys.map(|key| (key, "w")));
    let (first, second) = (ready[0].key(), ready[1].key());
    selector.remove(second).unwrap();
    let listener = TcpListener::bind(own_address()).unwrap();
    let newcomer = selector.register(listener, R, "newcomer").unwrap();
    assert_eq!(selector.data(second), None);
    assert!(selector.get::<TcpListener>(second).is_none());
    // The next neither reports what has gone nor takes the newcomer for it.
    assert_eq!(look(&mut selector), [(first, "w")]);
    assert_eq!(selector.interest(newcomer), Some(R));
}
