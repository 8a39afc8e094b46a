//! The library's `control/gate.rs`, compiled with loom's primitives in the place of std's: each model runs through all
//! interleavings (with up to three preemptions, unless LOOM_MAX_PREEMPTIONS says otherwise). A lost wake-up shows as a
//! deadlock.

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::Arc;
use loom::thread;

#[allow(dead_code)] // the models do not use all of it
#[path = "../../../src/control/gate.rs"]
mod gate;

#[path = "sync/mod.rs"]
mod sync;

use sync::check;

use gate::{Gate, Wake};

/// A poller: `wake` makes the next wait, or the one under way, return.
#[derive(Clone)]
struct Poller(Arc<(sync::Mutex<bool>, sync::Condvar)>);

impl Poller {
    fn new() -> Self {
        Poller(Arc::new((sync::Mutex::new(false), sync::Condvar::new())))
    }

    fn wait(&self) {
        let (woken, changed) = &*self.0;
        let mut woken = sync::lock(woken);
        while !*woken {
            woken = changed.wait(woken).unwrap();
        }
        *woken = false;
    }
}

impl Wake for Poller {
    fn wake(&self) {
        *sync::lock(&self.0 .0) = true;
        self.0 .1.notify_one();
    }
}

fn gate(limit: usize) -> (Arc<Gate<(), Poller>>, Poller) {
    let poller = Poller::new();
    (Arc::new(Gate::new(limit, poller.clone())), poller)
}

/// The accepting side finds all places taken and sleeps; a request ends at any moment. It must wake.
#[test]
fn a_freed_place_wakes_the_acceptor() {
    check(|| {
        let (gate, poller) = gate(1);
        let slot = gate.admit(()).unwrap();
        let ending = thread::spawn({
            let gate = gate.clone();
            move || gate.release(slot)
        });
        while gate.room() == 0 {
            poller.wait();
        }
        assert!(gate.admit(()).is_ok());
        ending.join().unwrap();
    });
}

/// The same where it is not a place that was short, but something a request may give back.
#[test]
fn a_request_that_ends_after_the_shortage_wakes_the_acceptor() {
    check(|| {
        let (gate, poller) = gate(2);
        let slot = gate.admit(()).unwrap();
        gate.wake_at_release();
        let ending = thread::spawn({
            let gate = gate.clone();
            move || gate.release(slot)
        });
        poller.wait();
        ending.join().unwrap();
    });
}

/// Two that accept at once never get more places than there are.
#[test]
fn the_limit_is_exact() {
    check(|| {
        let (gate, _) = gate(1);
        let serving = Arc::new(AtomicUsize::new(0));
        let acceptors: Vec<_> = (0..2)
            .map(|_| {
                let (gate, serving) = (gate.clone(), serving.clone());
                thread::spawn(move || {
                    if let Ok(slot) = gate.admit(()) {
                        assert_eq!(serving.fetch_add(1, Ordering::SeqCst), 0);
                        serving.fetch_sub(1, Ordering::SeqCst);
                        gate.release(slot);
                    }
                })
            })
            .collect();
        for acceptor in acceptors {
            acceptor.join().unwrap();
        }
        assert_eq!(gate.active(), 0);
    });
}

/// A stop, or two at once, reaches a server that sleeps, or is about to.
#[test]
fn a_stop_wakes_the_server() {
    check(|| {
        let (gate, poller) = gate(1);
        let stoppers: Vec<_> = (0..2)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || gate.stop(None).first)
            })
            .collect();
        while !gate.is_stopping() {
            poller.wait();
        }
        let first = stoppers.into_iter().filter_map(|stopper| stopper.join().ok()).filter(|first| *first).count();
        assert_eq!(first, 1);
    });
}

/// A sequential server runs a handler while somebody stops it. The drain is done once, on the serving thread or elsewhere,
/// and never while the handler holds up the only one who would do it.
#[test]
fn one_drain_and_never_behind_a_handler() {
    check(|| {
        let (gate, _) = gate(1);
        let drains = Arc::new(AtomicUsize::new(0));
        let stopping = thread::spawn({
            let (gate, drains) = (gate.clone(), drains.clone());
            move || {
                if gate.stop(None).drain_elsewhere {
                    drains.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let slot = gate.admit(()).unwrap();
        if gate.enter_inline() {
            drains.fetch_add(1, Ordering::SeqCst);
        }
        // What the handler does takes until it has been stopped.
        let stopped_during_the_handler = gate.is_stopping();
        if stopped_during_the_handler {
            stopping.join().unwrap();
            assert_eq!(drains.load(Ordering::SeqCst), 1, "the handler runs, and nobody sees to the stop");
            gate.leave_inline();
        } else {
            gate.leave_inline();
            stopping.join().unwrap();
        }
        gate.release(slot);
        if gate.claim_drain() {
            drains.fetch_add(1, Ordering::SeqCst);
        }
        assert_eq!(drains.load(Ordering::SeqCst), 1);
    });
}

/// A drain waits for the last request, which ends at any moment before or during it.
#[test]
fn a_drain_sees_the_last_request_end() {
    check(|| {
        let (gate, _) = gate(2);
        let slots = [gate.admit(()).unwrap(), gate.admit(()).unwrap()];
        let endings: Vec<_> = slots
            .into_iter()
            .map(|slot| {
                let gate = gate.clone();
                thread::spawn(move || gate.release(slot))
            })
            .collect();
        gate.stop(None);
        let (drained, left) = gate.wait_drained();
        assert_eq!(left, 0);
        assert!(drained <= 2);
        for ending in endings {
            ending.join().unwrap();
        }
    });
}
