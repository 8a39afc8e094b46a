//! The timers of a [`Selector`]: never early, in order, gone without a trace; and intervals, which make up for nothing.
// Clippy lets tests unwrap, panic and index, but not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
mod selecting;

use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use common::{watchdog, LONG};
use selecting::{look, seen, tcp_pair, udp, until, wait, MOMENT, R, W};
use socketserver::reactor::{Key, Selector};
use socketserver::Error;

const TICK: Duration = Duration::from_millis(20);

/// That nothing comes for a moment.
fn assert_quiet<T>(selector: &mut Selector<T>) {
    assert_eq!(seen(&selector.select(Some(MOMENT)).unwrap()), []);
}

/// A program that is busy with something else.
fn busy(lasting: Duration) {
    std::thread::sleep(lasting);
}

#[test]
fn a_one_shot_comes_once_and_never_early() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    for micros in [0, 1, 999, 1000, 1001, 1500, 20_000, 100_300] {
        let delay = Duration::from_micros(micros);
        let started = Instant::now();
        let key = selector.set_timer(delay, micros).unwrap();
        // Whether the wait is without a timeout, or with a longer one.
        let timeout = if micros % 2 == 0 { None } else { Some(LONG) };
        assert_eq!(seen(&selector.select(timeout).unwrap()), [(key, "t")]);
        let waited = started.elapsed();
        assert!(waited >= delay && waited < LONG / 2, "{delay:?}: {waited:?}");
        assert_quiet(&mut selector);
        assert!(selector.is_empty());
    }
}

#[test]
fn a_select_with_a_shorter_timeout_ends_before_the_timer() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let started = Instant::now();
    let timer = selector.set_timer(TICK * 10, ()).unwrap();
    let mut selects = 0;
    loop {
        let select = Instant::now();
        let ready = seen(&selector.select(Some(TICK)).unwrap());
        selects += 1;
        if ready == [(timer, "t")] {
            break;
        }
        assert_eq!(ready, []);
        assert!(select.elapsed() >= TICK);
    }
    assert!(started.elapsed() >= TICK * 10);
    assert!(selects <= 10, "{selects}");
}

#[test]
fn its_data_is_there_until_the_next_select() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let key = selector.set_timer(Duration::ZERO, String::from("data")).unwrap();
    assert_eq!(wait(&mut selector), [(key, "t")]);
    assert_eq!(selector.data(key).unwrap(), "data");
    selector.data_mut(key).unwrap().push('!');
    assert_eq!(selector.data(key).unwrap(), "data!");
    assert_eq!((selector.len(), selector.interest(key)), (1, None));
    assert_eq!(look(&mut selector), []);
    assert_eq!((selector.data(key), selector.len()), (None, 0));
    let error = selector.remove(key).unwrap_err();
    assert!(matches!(error, Error::NotRegistered { .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("fired already"), "{error}");
    // It can be removed between, which gives its data back; what takes its place then is left alone.
    let key = selector.set_timer(Duration::ZERO, String::from("data")).unwrap();
    assert_eq!(wait(&mut selector), [(key, "t")]);
    assert_eq!(selector.remove(key).unwrap(), "data");
    let newcomer = selector.set_timer(TICK, String::from("newcomer")).unwrap();
    assert_eq!(wait(&mut selector), [(newcomer, "t")]);
    assert_eq!(selector.data(newcomer).unwrap(), "newcomer");
}

#[test]
fn they_come_in_order() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let mut latest = HashMap::new();
    let mut earliest = HashMap::new();
    let mut longest = Instant::now();
    for number in 0..1000_u32 {
        // A step that shares no factor with the count comes by every delay once.
        let delay = Duration::from_micros(u64::from(number * 387 % 1000) * 20);
        let before = Instant::now();
        let key = selector.set_timer(delay, number).unwrap();
        let after = Instant::now();
        earliest.insert(key, before + delay);
        latest.insert(key, after + delay);
        longest = longest.max(after + delay);
    }
    // Some while they come, and most when all have.
    let mut order: Vec<Key> = selector.select(Some(LONG)).unwrap().iter().map(|ready| ready.key()).collect();
    while Instant::now() < longest {
        busy(TICK);
    }
    order.extend(selector.select(Some(LONG)).unwrap().iter().map(|ready| ready.key()));
    assert_eq!(order.len(), 1000);
    assert_eq!(latest.len(), 1000);
    for pair in order.windows(2) {
        assert!(earliest[&pair[0]] <= latest[&pair[1]]);
    }
    assert_eq!(look(&mut selector), []);
    assert!(selector.is_empty());
}

#[test]
fn a_cancelled_one_does_not_come() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let cancelled = selector.set_timer(TICK, "cancelled").unwrap();
    let interval = selector.set_interval(TICK, "interval").unwrap();
    let kept = selector.set_timer(TICK * 2, "kept").unwrap();
    assert_eq!(selector.remove(cancelled).unwrap(), "cancelled");
    assert_eq!(selector.remove(interval).unwrap(), "interval");
    assert!(matches!(selector.remove(cancelled), Err(Error::NotRegistered { .. })));
    assert_eq!(selector.len(), 1);
    assert_eq!(wait(&mut selector), [(kept, "t")]);
    assert_quiet(&mut selector);
    // Even where it is due already.
    let key = selector.set_timer(Duration::ZERO, "due").unwrap();
    busy(TICK);
    assert_eq!(selector.remove(key).unwrap(), "due");
    assert_eq!(look(&mut selector), []);
    // And hides none of those that are due behind it.
    let due: Vec<Key> = (0..10).map(|_| selector.set_timer(Duration::ZERO, "due").unwrap()).collect();
    for key in &due[..9] {
        selector.remove(*key).unwrap();
    }
    assert_eq!(look(&mut selector), [(due[9], "t")]);
    // One of an old key cancels none of those that came after it.
    let other = selector.set_timer(TICK, "other").unwrap();
    selector.remove(key).unwrap_err();
    assert_eq!(wait(&mut selector), [(other, "t")]);
}

#[test]
fn every_other_one_of_many_is_cancelled() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let mut keys: Vec<(Key, u32)> = Vec::new();
    for number in 0..2000 {
        let delay = Duration::from_micros(u64::from(number * 1387 % 2000) * 10 + 100_000);
        keys.push((selector.set_timer(delay, number).unwrap(), number));
    }
    let mut expected = Vec::new();
    for (key, number) in keys {
        match number % 2 {
            0 => assert_eq!(selector.remove(key).unwrap(), number),
            _ => expected.push((key, number)),
        }
    }
    let mut come = Vec::new();
    while !selector.is_empty() {
        for (key, what) in wait(&mut selector) {
            assert_eq!(what, "t");
            come.push((key, *selector.data(key).unwrap()));
        }
        if come.len() == expected.len() {
            assert_eq!(look(&mut selector), []);
        }
    }
    come.sort();
    expected.sort();
    assert!(come == expected);
}

#[test]
fn an_interval_comes_again_and_again_and_never_early() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let started = Instant::now();
    let key = selector.set_interval(TICK, 0).unwrap();
    for count in 1..=10 {
        assert_eq!(seen(&selector.select(None).unwrap()), [(key, "t")]);
        assert!(started.elapsed() >= TICK * count, "{count} in {:?}", started.elapsed());
        *selector.data_mut(key).unwrap() += 1;
    }
    assert_eq!((selector.data(key), selector.len()), (Some(&10), 1));
    assert_eq!(selector.remove(key).unwrap(), 10);
    assert_quiet(&mut selector);
}

#[test]
fn an_interval_leaves_out_what_was_missed() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let period = TICK * 5;
    let mut quiet_after = 0;
    let mut rounds = 0;
    let before = Instant::now();
    let key = selector.set_interval(period, ()).unwrap();
    let after = Instant::now();
    // How many times it has come due, or would have, at an instant.
    let due = |started: Instant, now: Instant| (now - started).as_nanos() / period.as_nanos();
    // As often as it takes to see it on a machine that may be late by itself.
    while quiet_after < 3 {
        rounds += 1;
        assert!(rounds < 100, "always late");
        busy(period * 5 / 2);
        let looked = Instant::now();
        assert_eq!(look(&mut selector), [(key, "t")], "once for all that were missed");
        let again = look(&mut selector);
        if due(after, looked) == due(before, Instant::now()) {
            assert_eq!(again, []);
            quiet_after += 1;
        }
    }
}

/// A tick that is late puts off none of those behind it.
#[test]
fn an_interval_keeps_its_beat() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let period = TICK * 5;
    let key = selector.set_interval(period, ()).unwrap();
    let started = Instant::now();
    // Were it put off, each would be later than this, every time.
    while started.elapsed() < LONG / 2 {
        assert_eq!(wait(&mut selector), [(key, "t")]);
        busy(period * 3 / 2);
        let late = Instant::now();
        assert_eq!(look(&mut selector), [(key, "t")]);
        assert_eq!(wait(&mut selector), [(key, "t")]);
        if late.elapsed() < period * 9 / 10 {
            return;
        }
    }
    panic!("each tick comes a period after the last was reported");
}

#[test]
fn a_period_of_zero_is_refused() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let error = selector.set_interval(Duration::ZERO, ()).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { setting: "period", .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("period cannot be zero: "), "{error}");
    assert!(selector.is_empty());
    // The shortest there is leaves time for everything else.
    let interval = selector.set_interval(Duration::from_nanos(1), ()).unwrap();
    let source = selector.register(udp(), W, ()).unwrap();
    for _ in 0..100 {
        until(&mut selector, vec![(interval, "t"), (source, "w")]);
    }
    selector.modify(source, R).unwrap();
    for _ in 0..100 {
        assert_eq!(wait(&mut selector), [(interval, "t")]);
    }
}

#[test]
fn one_that_nobody_lives_to_see_is_no_trouble() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    for delay in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(1 << 40), LONG * 60 * 24 * 365]
    {
        let timer = selector.set_timer(delay, "timer").unwrap();
        let interval = selector.set_interval(delay, "interval").unwrap();
        assert_quiet(&mut selector);
        let soon = selector.set_timer(TICK, "soon").unwrap();
        assert_eq!(seen(&selector.select(None).unwrap()), [(soon, "t")]);
        assert_eq!(selector.remove(timer).unwrap(), "timer");
        assert_eq!(selector.remove(interval).unwrap(), "interval");
    }
}

#[test]
fn timers_and_sources_come_in_one_select() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let (stream, mut peer) = tcp_pair();
    let (stream, writer) = (selector.register(stream, R, ()).unwrap(), selector.register(udp(), W, ()).unwrap());
    let once = selector.set_timer(Duration::ZERO, ()).unwrap();
    let interval = selector.set_interval(LONG, ()).unwrap();
    let later = selector.set_timer(LONG, ()).unwrap();
    // What is ready hides no timer that is due, and the other way round.
    assert_eq!(wait(&mut selector), [(writer, "w"), (once, "t")]);
    assert_eq!(wait(&mut selector), [(writer, "w")]);
    let once = selector.set_timer(TICK, ()).unwrap();
    busy(TICK);
    assert_eq!(look(&mut selector), {
        let mut both = [(writer, "w"), (once, "t")];
        both.sort();
        both
    });
    selector.modify(writer, R).unwrap();
    let once = selector.set_timer(TICK, ()).unwrap();
    assert_eq!(wait(&mut selector), [(once, "t")]);
    peer.write_all(b"x").unwrap();
    // The source ends the wait for the timers, which are still to come.
    assert_eq!(wait(&mut selector), [(stream, "r")]);
    assert_eq!(selector.len(), 4);
    selector.remove(interval).unwrap();
    selector.remove(later).unwrap();
}

#[test]
fn timers_without_any_source() {
    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    for _ in 0..100 {
        let timer = selector.set_timer(Duration::from_millis(1), ()).unwrap();
        assert_eq!(seen(&selector.select(None).unwrap()), [(timer, "t")]);
    }
}

/// In time, and in the places that they take.
#[test]
fn a_hundred_thousand_pending_timers_cost_a_select_nothing() {
    /// The time of a thousand, the best of several, as the machine has other things to do too.
    fn thousand_selects(selector: &mut Selector<u32>, expected: &[(Key, &str)]) -> Duration {
        (0..10)
            .map(|_| {
                let started = Instant::now();
                for _ in 0..1000 {
                    assert_eq!(seen(&selector.select(Some(Duration::ZERO)).unwrap()), expected);
                }
                started.elapsed()
            })
            .min()
            .unwrap()
    }

    let _watchdog = watchdog();
    let mut selector = Selector::new().unwrap();
    let writer = selector.register(udp(), W, 0).unwrap();
    selector.set_timer(LONG * 10, 0).unwrap();
    let with_one = thousand_selects(&mut selector, &[(writer, "w")]);
    let keys: Vec<Key> = (0..100_000_u32)
        .map(|number| selector.set_timer(LONG * 10 + Duration::from_micros((number * 7919 % 100_000).into()), number))
        .map(Result::unwrap)
        .collect();
    assert_eq!(selector.len(), 100_002);
    let with_many = thousand_selects(&mut selector, &[(writer, "w")]);
    assert!(with_many < with_one * 10, "a thousand selects: {with_one:?} with one timer, {with_many:?} with many");
    // One that comes does so among all the others.
    let soon = selector.set_timer(Duration::ZERO, 0).unwrap();
    assert_eq!(wait(&mut selector), [(writer, "w"), (soon, "t")]);
    for (number, key) in keys.into_iter().enumerate() {
        assert_eq!(selector.remove(key).unwrap() as usize, number);
    }
    assert_eq!(look(&mut selector), [(writer, "w")]);
    assert_eq!(selector.len(), 2);
}
