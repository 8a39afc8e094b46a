//! What CPython's `test_selectors` asks of a selector, asked of [`Selector`]: registering, changing, listing, closing.
//!
//! What it asks of `select` is in `selector_waits.rs`; for how long a source is reported, in `selector_levels.rs`; what a key still
//! names, in `selector_keys.rs`.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod selecting;

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use common::{watchdog, LONG};
use selecting::{assert_not_registered, assert_unknown, drain, look, tcp_pair, udp, until, wait, Watched, R, RW, W};
use socketserver::mio::net::{TcpStream, UdpSocket};
use socketserver::reactor::{Key, Selector};
use socketserver::Error;

/// Python: `test_register`, `test_get_key`.
#[test]
fn a_key_finds_the_source_the_data_and_the_interest() {
    let _watchdog = watchdog();
    let (stream, mut peer) = tcp_pair();
    let address = stream.local_addr().unwrap();
    let mut selector = Selector::new().unwrap();
    assert!(selector.is_empty());
    let key = selector.register(stream, R, String::from("data")).unwrap();
    assert_eq!((selector.len(), selector.is_empty()), (1, false));
    assert_eq!(selector.get::<TcpStream>(key).unwrap().local_addr().unwrap(), address);
    assert_eq!(selector.data(key).unwrap(), "data");
    assert_eq!(selector.interest(key), Some(R));
    // It is the source, not a copy: what is written to it arrives.
    selector.get_mut::<TcpStream>(key).unwrap().write_all(b"x").unwrap();
    let mut byte = [0];
    peer.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
    // As something else it is not to be had.
    assert!(selector.get::<UdpSocket>(key).is_none());
    assert!(selector.get_mut::<UdpSocket>(key).is_none());
    let unregistered: TcpStream = selector.unregister(key).unwrap();
    assert_eq!(unregistered.local_addr().unwrap(), address);
}

/// Python: `test_register`, the same descriptor in another object; `test_modify` and `test_unregister` of one that is not there.
#[test]
#[cfg(unix)]
fn a_descriptor_is_registered_once() {
    use selecting::Raw;
    let _watchdog = watchdog();
    let (stream, mut peer) = selecting::unix_pair();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(Raw::of(&stream), R, "first").unwrap();
    let error = selector.register(Raw::of(&stream), W, "second").unwrap_err();
    assert!(matches!(error, Error::AlreadyRegistered { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().starts_with("cannot register a source twice: "), "{error}");
    // The first is as it was, and the second nowhere.
    assert_eq!(selector.iter().collect::<Vec<_>>(), [(key, &"first")]);
    assert_eq!(selector.interest(key), Some(R));
    assert_eq!(look(&mut selector), []);
    peer.write_all(b"x").unwrap();
    assert_eq!(look(&mut selector), [(key, "r")]);
    // A descriptor of the same socket is another.
    let duplicate = std::os::fd::AsFd::as_fd(&stream).try_clone_to_owned().unwrap();
    let other = selector.register(Raw::of(&duplicate), R, "duplicate").unwrap();
    assert_eq!(look(&mut selector), [(key, "r"), (other, "r")]);
    selector.unregister::<Raw>(key).unwrap();
    selector.register(Raw::of(&stream), W, "again").unwrap();
}

/// Where mio notices, which it does in debug builds.
#[test]
#[cfg(debug_assertions)]
fn a_source_that_is_registered_elsewhere_is_refused() {
    use socketserver::mio::{Poll, Token};
    let _watchdog = watchdog();
    let poll = Poll::new().unwrap();
    let mut elsewhere = udp();
    poll.registry().register(&mut elsewhere, Token(0), R).unwrap();
    let mut selector = Selector::new().unwrap();
    let error = selector.register(elsewhere, R, ()).unwrap_err();
    assert!(matches!(error, Error::AlreadyRegistered { .. }), "{error:?}");
    assert!(error.to_string().contains("unregister it first"), "{error}");
    assert!(selector.is_empty());
}

/// Python: `test_unregister`.
#[test]
fn what_is_unregistered_is_given_back_and_reported_no_more() {
    let _watchdog = watchdog();
    let (stream, mut peer) = tcp_pair();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(stream, RW, "data").unwrap();
    peer.write_all(b"x").unwrap();
    until(&mut selector, vec![(key, "rw")]);
    let stream: TcpStream = selector.unregister(key).unwrap();
    assert!(selector.is_empty());
    assert_eq!(look(&mut selector), []);
    assert_unknown::<TcpStream>(&mut selector, key);
    // It can be registered with another, and then again with the first, which report what has come before.
    let mut other = Selector::new().unwrap();
    let key = other.register(stream, R, ()).unwrap();
    assert_eq!(look(&mut other), [(key, "r")]);
    let stream: TcpStream = other.unregister(key).unwrap();
    let key = selector.register(stream, R, "data").unwrap();
    assert_eq!(look(&mut selector), [(key, "r")]);
    assert_eq!(look(&mut other), []);
    // Unregistering asks the system once, and so does `remove`, which closes the source besides.
    let (watched, log) = Watched::new(udp());
    let key = selector.register(watched, R, "watched").unwrap();
    drop(selector.unregister::<Watched<UdpSocket>>(key).unwrap());
    assert_eq!(log.take(), ["register", "deregister", "drop"]);
    let (watched, log) = Watched::new(udp());
    let key = selector.register(watched, R, "watched").unwrap();
    assert_eq!(selector.remove(key).unwrap(), "watched");
    assert_eq!(log.take(), ["register", "deregister", "drop"]);
    assert_unknown::<Watched<UdpSocket>>(&mut selector, key);
}

#[test]
fn a_source_of_another_type_stays_registered() {
    let _watchdog = watchdog();
    let (stream, mut peer) = tcp_pair();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(stream, R, "data").unwrap();
    let error = selector.unregister::<UdpSocket>(key).unwrap_err();
    assert!(error.to_string().contains("UdpSocket"), "{error}");
    assert_not_registered(Err::<(), _>(error), key);
    assert_eq!(selector.data(key), Some(&"data"));
    peer.write_all(b"x").unwrap();
    assert_eq!(wait(&mut selector), [(key, "r")]);
    selector.unregister::<TcpStream>(key).unwrap();
    // Nor is a timer a source.
    let timer = selector.set_timer(LONG, "timer").unwrap();
    assert_not_registered(selector.unregister::<TcpStream>(timer), timer);
    assert_not_registered(selector.modify(timer, R), timer);
    assert_eq!((selector.data(timer), selector.interest(timer)), (Some(&"timer"), None));
    assert!(selector.get::<TcpStream>(timer).is_none() && selector.get_mut::<TcpStream>(timer).is_none());
}

/// Python: `test_modify`.
#[test]
fn modify_changes_what_is_reported() {
    let _watchdog = watchdog();
    let (stream, mut peer) = tcp_pair();
    let (watched, log) = Watched::new(stream);
    let mut selector = Selector::new().unwrap();
    let key = selector.register(watched, R, 0).unwrap();
    assert_eq!(look(&mut selector), []);
    assert_eq!(log.take(), ["register"]);
    selector.modify(key, W).unwrap();
    assert_eq!(selector.interest(key), Some(W));
    // One system call (#74200), and the key, the data and the source are the same.
    assert_eq!(log.take(), ["reregister"]);
    assert_eq!(selector.data(key), Some(&0));
    assert_eq!(look(&mut selector), [(key, "w")]);
    peer.write_all(b"x").unwrap();
    selector.modify(key, RW).unwrap();
    until(&mut selector, vec![(key, "rw")]);
    selector.modify(key, R).unwrap();
    assert_eq!(look(&mut selector), [(key, "r")]);
    drain(&mut selector.get_mut::<Watched<TcpStream>>(key).unwrap().source, 1);
    assert_eq!(look(&mut selector), []);
    // What was there before it is of interest is reported all the same.
    selector.modify(key, W).unwrap();
    peer.write_all(b"y").unwrap();
    assert_eq!(look(&mut selector), [(key, "w")]);
    selector.modify(key, R).unwrap();
    assert_eq!(wait(&mut selector), [(key, "r")]);
}

/// Python: `test_modify`, its shortcut.
#[test]
fn what_changes_nothing_asks_nothing_of_the_system() {
    let _watchdog = watchdog();
    let (watched, log) = Watched::new(udp());
    let mut selector = Selector::new().unwrap();
    let key = selector.register(watched, R, 0).unwrap();
    assert_eq!(log.take(), ["register"]);
    *selector.data_mut(key).unwrap() += 1;
    assert_eq!(selector.data(key), Some(&1));
    selector.modify(key, R).unwrap();
    // Nor does waiting for what was not reported.
    for _ in 0..3 {
        assert_eq!(look(&mut selector), []);
    }
    assert!(log.take().is_empty());
    // One that was reported is registered anew by the next, once.
    selector.modify(key, W).unwrap();
    assert_eq!(look(&mut selector), [(key, "w")]);
    assert_eq!(log.take(), ["reregister"]);
    for _ in 0..3 {
        assert_eq!(look(&mut selector), [(key, "w")]);
        assert_eq!(log.take(), ["reregister"]);
    }
}

/// Python: `test_modify_unregister` (bpo-30014), though there the key is gone then.
#[test]
fn a_modify_that_fails_leaves_everything_as_it_was() {
    let _watchdog = watchdog();
    let (stream, mut peer) = tcp_pair();
    let (watched, log) = Watched::new(stream);
    let mut selector = Selector::new().unwrap();
    let key = selector.register(watched, R, "data").unwrap();
    log.refuse(true);
    let error = selector.modify(key, RW).unwrap_err();
    assert!(matches!(error, Error::System { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("interest"), "{error}");
    log.refuse(false);
    assert_eq!((selector.interest(key), selector.data(key)), (Some(R), Some(&"data")));
    assert_eq!(look(&mut selector), []);
    peer.write_all(b"x").unwrap();
    assert_eq!(wait(&mut selector), [(key, "r")]);
    assert_eq!(look(&mut selector), [(key, "r")]);
    // And can be repeated.
    selector.modify(key, RW).unwrap();
    assert_eq!(look(&mut selector), [(key, "rw")]);
}

/// Python: `test_register_file`, of epoll.
#[test]
#[cfg(target_os = "linux")]
fn a_regular_file_is_refused() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let file = tempfile::tempfile().unwrap();
    let error = selector.register(selecting::owning(file), R, ()).unwrap_err();
    assert!(matches!(error, Error::System { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().starts_with("cannot register a source with the selector: "), "{error}");
    assert!(selector.is_empty() && selector.iter().next().is_none());
    let key = selector.register(udp(), W, ()).unwrap();
    assert_eq!(look(&mut selector), [(key, "w")]);
}

/// Python: `test_register_bad_fd`, of kqueue; and any source that says no.
#[test]
#[cfg(unix)]
fn a_bad_descriptor_is_refused() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    // No limit goes that far.
    let error = selector.register(selecting::Raw::number(i32::MAX), R, ()).unwrap_err();
    assert!(matches!(error, Error::System { .. }), "{error:?}");
    assert!(selector.is_empty());
    let (watched, log) = Watched::new(udp());
    log.refuse(true);
    let error = selector.register(watched, R, ()).unwrap_err();
    assert!(matches!(error, Error::System { .. }), "{error:?}");
    assert_eq!(log.take(), ["register", "drop"]);
    assert!(selector.is_empty());
    assert_eq!(look(&mut selector), []);
}

/// Python: `test_close`, `test_context_manager`, `test_select` after it; there it is another error for each backend (#91433).
#[test]
fn a_closed_selector_says_so_to_everything() {
    fn closed<T>(result: socketserver::Result<T>) {
        let error = result.err().unwrap();
        assert!(matches!(error, Error::SelectorClosed), "{error:?}");
        assert_eq!(error.to_string(), "the selector has been closed");
    }
    let _watchdog = watchdog();
    let (stream, mut peer) = tcp_pair();
    let mut selector = Selector::new().unwrap();
    let waker = selector.waker().unwrap();
    let (watched, log) = Watched::new(udp());
    let keys = [
        selector.register(stream, RW, "stream").unwrap(),
        selector.register(watched, R, "watched").unwrap(),
        selector.set_timer(LONG, "timer").unwrap(),
        selector.set_interval(LONG, "interval").unwrap(),
    ];
    let fired = selector.set_timer(Duration::ZERO, "fired").unwrap();
    until(&mut selector, vec![(keys[0], "w"), (fired, "t")]);
    selector.close();
    // The sources are closed, and told nobody.
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    assert_eq!(log.take().last(), Some(&"drop"));
    assert!(format!("{selector:?}").contains("closed: true"), "{selector:?}");
    closed(selector.select(Some(Duration::ZERO)));
    closed(selector.select(None));
    closed(selector.register(udp(), R, ""));
    closed(selector.set_timer(Duration::ZERO, ""));
    closed(selector.set_interval(LONG, ""));
    closed(selector.waker());
    closed(waker.wake());
    for key in keys.into_iter().chain([fired]) {
        closed(selector.modify(key, R));
        closed(selector.unregister::<TcpStream>(key));
        closed(selector.remove(key));
        assert!(selector.get::<TcpStream>(key).is_none() && selector.get_mut::<TcpStream>(key).is_none());
        assert!(selector.data(key).is_none() && selector.data_mut(key).is_none() && selector.interest(key).is_none());
    }
    assert_eq!((selector.len(), selector.is_empty(), selector.iter().count()), (0, true, 0));
    selector.close();
}

#[test]
fn dropping_it_closes_its_sources() {
    let _watchdog = watchdog();
    let (stream, mut peer) = tcp_pair();
    let mut selector = Selector::new().unwrap();
    selector.register(stream, R, ()).unwrap();
    drop(selector);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

/// Python: `test_get_map`.
#[test]
fn everything_is_listed_once() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let mut expected = HashSet::new();
    for number in 0..100 {
        let key = match number % 3 {
            0 => selector.register(udp(), R, number),
            1 => selector.set_timer(LONG, number),
            _ => selector.set_interval(LONG, number),
        };
        expected.insert((key.unwrap(), number));
    }
    let listed =
        |selector: &Selector<i32>| -> Vec<(Key, i32)> { selector.iter().map(|(key, data)| (key, *data)).collect() };
    assert_eq!(selector.len(), 100);
    assert_eq!(listed(&selector).len(), 100);
    assert_eq!(listed(&selector).into_iter().collect::<HashSet<_>>(), expected);
    for (key, number) in expected.iter().filter(|(_, number)| number % 2 == 0) {
        assert_eq!(selector.remove(*key).unwrap(), *number);
    }
    expected.retain(|(_, number)| number % 2 == 1);
    assert_eq!((selector.len(), listed(&selector).len()), (50, 50));
    assert_eq!(listed(&selector).into_iter().collect::<HashSet<_>>(), expected);
}

#[test]
fn a_source_and_its_data_are_had_at_once() {
    let _watchdog = watchdog();
    let (stream, mut peer) = tcp_pair();
    let mut selector = Selector::new().unwrap();
    let key = selector.register(stream, R, b"unsent".to_vec()).unwrap();
    let (stream, unsent) = selector.entry_mut::<TcpStream>(key).unwrap();
    stream.write_all(unsent).unwrap();
    unsent.clear();
    let mut sent = [0; 6];
    peer.read_exact(&mut sent).unwrap();
    assert_eq!(&sent, b"unsent");
    assert_eq!(selector.data(key), Some(&Vec::new()));
    assert!(selector.entry_mut::<UdpSocket>(key).is_none(), "another type");
    let timer = selector.set_timer(LONG, Vec::new()).unwrap();
    assert!(selector.entry_mut::<TcpStream>(timer).is_none(), "no source");
}

#[test]
fn a_wake_can_be_told_from_a_timeout() {
    let _watchdog = watchdog();
    let mut selector = Selector::<()>::new().unwrap();
    let waker = selector.waker().unwrap();
    assert!(!selector.was_woken());
    assert!(selector.select(Some(Duration::ZERO)).unwrap().is_empty());
    assert!(!selector.was_woken());
    waker.wake().unwrap();
    assert!(selector.select(Some(LONG)).unwrap().is_empty());
    assert!(selector.was_woken());
    assert!(selector.select(Some(Duration::ZERO)).unwrap().is_empty());
    assert!(!selector.was_woken(), "it was the select before that was woken");
}
