//! Tests of the gate, apart from it because `tests/models` compiles that file alone.

use super::gate::{Gate, Stop, Wake};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Debug, Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Wake for Count {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn new_gate(limit: usize) -> (Gate<u32, Count>, Count) {
    let wakes = Count::default();
    (Gate::new(limit, wakes.clone()), wakes)
}

#[test]
fn the_limit_is_exact_and_slots_are_reused() {
    let (gate, _) = new_gate(2);
    let first = gate.admit(1).unwrap();
    gate.admit(2).unwrap();
    assert_eq!(gate.admit(3), Err(3));
    gate.release(first);
    gate.release(first);
    assert_eq!(gate.active(), 1, "a slot given back twice counts once");
    assert_eq!(gate.admit(4), Ok(first));
    assert_eq!(gate.targets(), [4, 2]);
}

#[test]
fn a_release_wakes_only_an_acceptor_that_waits() {
    let (gate, wakes) = new_gate(1);
    let slot = gate.admit(1).unwrap();
    gate.release(slot);
    assert_eq!(wakes.get(), 0);
    let slot = gate.admit(1).unwrap();
    assert_eq!(gate.room(), 0);
    gate.release(slot);
    assert_eq!(wakes.get(), 1);
    assert_eq!(gate.room(), 1);
}

#[test]
fn a_second_stop_brings_the_deadline_forward_and_never_back() {
    let (gate, wakes) = new_gate(1);
    let slot = gate.admit(1).unwrap();
    assert!(gate.stop(None).first);
    assert!(!gate.stop(Some(Instant::now())).first);
    gate.stop(Some(Instant::now() + Duration::from_secs(3600)));
    gate.stop(None);
    assert_eq!(gate.wait_drained(), (0, 1));
    gate.release(slot);
    assert_eq!(gate.wait_drained(), (1, 0));
    assert_eq!(wakes.get(), 1);
}

/// Or it would report requests as still running that are on their way out.
#[test]
fn a_stop_after_the_cut_does_not_shorten_the_wait_for_it() {
    let grace = Duration::from_millis(20);
    let (gate, _) = new_gate(1);
    gate.admit(1).unwrap();
    gate.stop(Some(Instant::now()));
    let cut = Instant::now();
    gate.set_deadline(cut + grace);
    gate.stop(Some(cut));
    assert_eq!(gate.wait_drained(), (0, 1));
    assert!(cut.elapsed() >= grace);
}

#[test]
fn exactly_one_side_takes_on_the_drain() {
    let (gate, _) = new_gate(1);
    assert!(!gate.enter_inline());
    assert!(gate.stop(None).drain_elsewhere);
    assert!(!gate.stop(None).drain_elsewhere);
    gate.leave_inline();
    assert!(!gate.claim_drain());

    let (gate, _) = new_gate(1);
    assert!(!gate.stop(None).drain_elsewhere);
    assert!(gate.enter_inline());
    assert!(!gate.claim_drain());
}

#[test]
fn a_slot_that_is_given_back_is_free_and_the_limit_holds_on() {
    let (gate, _) = new_gate(3);
    assert_eq!((gate.active(), gate.free(), gate.room()), (0, 3, 3));
    let slots: Vec<_> = (0..3).map(|target| gate.admit(target).unwrap()).collect();
    assert_eq!(slots, [0, 1, 2]);
    assert_eq!((gate.active(), gate.free(), gate.room()), (3, 0, 0));
    gate.release(slots[0]);
    gate.release(slots[1]);
    assert_eq!((gate.active(), gate.free()), (1, 2));
    assert_eq!(gate.targets(), [2]);
    // As large a number as there are slots is none.
    gate.release(3);
    assert_eq!(gate.active(), 1);
}

#[test]
fn the_acceptor_says_that_it_waits_until_a_release_or_another_look() {
    let (gate, wakes) = new_gate(2);
    let slot = gate.admit(1).unwrap();
    assert_eq!(gate.room(), 1);
    assert!(!gate.is_room_wanted());
    gate.wake_at_release();
    assert!(gate.is_room_wanted());
    gate.release(slot);
    assert!(!gate.is_room_wanted());
    assert_eq!(wakes.get(), 1);
    assert_eq!(gate.waker().get(), 1, "the waker that it was made with");

    let slot = gate.admit(1).unwrap();
    gate.wake_at_release();
    assert_eq!(gate.room(), 1);
    gate.release(slot);
    assert_eq!(wakes.get(), 1, "there was room, so it does not wait any more");
}

#[test]
fn only_what_ends_after_the_stop_counts_as_drained() {
    let (gate, _) = new_gate(4);
    let slots: Vec<_> = (0..4).map(|target| gate.admit(target).unwrap()).collect();
    assert!(!gate.is_stopping() && !gate.is_cut());
    gate.release(slots[0]);
    gate.stop(Some(Instant::now()));
    assert!(gate.is_stopping() && !gate.is_cut());
    gate.release(slots[1]);
    gate.release(slots[2]);
    assert_eq!(gate.wait_drained(), (2, 1));
    gate.set_deadline(Instant::now());
    assert!(gate.is_cut());
}

/// The wait has no deadline here, so that it ends by the wake-up alone.
#[test]
fn the_last_release_of_a_stopping_server_ends_the_wait() {
    let (gate, _) = new_gate(2);
    let gate = Arc::new(gate);
    let slots = [gate.admit(1).unwrap(), gate.admit(2).unwrap()];
    gate.stop(None);
    let (said, heard) = std::sync::mpsc::channel();
    let waiting = Arc::clone(&gate);
    std::thread::spawn(move || said.send(waiting.wait_drained()));
    gate.release(slots[0]);
    assert!(heard.recv_timeout(Duration::from_millis(20)).is_err(), "one is left");
    gate.release(slots[1]);
    assert_eq!(heard.recv_timeout(Duration::from_secs(20)), Ok((2, 0)));
}

#[test]
fn a_wait_for_the_drain_ends_at_the_earlier_of_its_own_end_and_the_deadline() {
    let (now, far) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
    for (deadline, until) in [(None, now), (Some(far), now), (Some(now), far)] {
        let (gate, _) = new_gate(1);
        gate.admit(1).unwrap();
        gate.stop(deadline);
        let started = Instant::now();
        assert_eq!(gate.wait_drained_until(Some(until)), (0, 1));
        assert!(started.elapsed() < Duration::from_secs(1800));
    }
}

#[test]
fn a_drain_without_requests_ends_at_once_whatever_the_deadline() {
    let (gate, _) = new_gate(1);
    gate.stop(Some(Instant::now() + Duration::from_secs(3600)));
    assert_eq!(gate.wait_drained(), (0, 0));
}

#[test]
fn the_cut_is_the_only_thing_that_a_stop_does_not_bring_forward() {
    let (gate, _) = new_gate(1);
    gate.admit(1).unwrap();
    // With no deadline at first, then one, then an earlier one, and later ones that change nothing.
    gate.stop(None);
    gate.stop(Some(Instant::now() + Duration::from_secs(3600)));
    let started = Instant::now();
    gate.stop(Some(started));
    gate.stop(Some(started + Duration::from_secs(3600)));
    assert_eq!(gate.wait_drained(), (0, 1));
    assert!(started.elapsed() < Duration::from_secs(1800));
}

#[test]
fn code_on_the_serving_thread_may_nest() {
    let (gate, _) = new_gate(1);
    assert!(!gate.enter_inline());
    assert!(!gate.enter_inline());
    gate.leave_inline();
    assert!(!gate.drain_is_claimed());
    assert_eq!(gate.stop(None), Stop { first: true, drain_elsewhere: true }, "the outer one holds it up still");
    assert!(gate.drain_is_claimed());
    gate.leave_inline();
    assert_eq!(gate.stop(None), Stop { first: false, drain_elsewhere: false });

    let (gate, _) = new_gate(1);
    gate.enter_inline();
    gate.leave_inline();
    assert_eq!(gate.stop(None), Stop { first: true, drain_elsewhere: false }, "the serving thread can see to it");
    assert!(gate.claim_drain());
    assert!(!gate.claim_drain());
    assert!(!gate.enter_inline(), "the drain has been taken on");
}
