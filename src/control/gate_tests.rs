//! Tests of the gate, apart from it because `tests/models` compiles that file alone.

use super::gate::{Gate, Wake};
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
