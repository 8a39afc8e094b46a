//! The library's `connection/pause.rs`, compiled with loom's primitives in the place of std's: a stop and a handler that begins to wait for
//! its next request never miss one another. A wait that nobody ends shows as a deadlock.

use loom::sync::atomic::AtomicBool;
use loom::sync::Arc;
use loom::thread;

#[path = "../../../src/connection/pause.rs"]
mod pause;
#[path = "sync/mod.rs"]
mod sync;

use pause::Pause;
use sync::{check, Ordering};

/// A connection of which the peer says nothing, and its server.
struct Silence {
    pause: Pause,
    stopping: AtomicBool,
    reading_ended: (sync::Mutex<bool>, sync::Condvar),
}

impl Silence {
    fn new() -> Arc<Self> {
        let reading_ended = (sync::Mutex::new(false), sync::Condvar::new());
        Arc::new(Silence { pause: Pause::new(), stopping: AtomicBool::new(false), reading_ended })
    }

    /// Whether it has been dismissed, and not seen the stop itself.
    fn await_request(&self) -> bool {
        self.pause.begin(0);
        let stopping = self.stopping.load(Ordering::Acquire);
        if !stopping {
            let (ended, changed) = &self.reading_ended;
            let mut ended = sync::lock(ended);
            while !*ended {
                ended = changed.wait(ended).unwrap();
            }
        }
        self.pause.end();
        !stopping
    }

    fn stop(&self) -> bool {
        self.stopping.store(true, Ordering::Release);
        let waited = self.pause.dismiss(0);
        if waited {
            let (ended, changed) = &self.reading_ended;
            *sync::lock(ended) = true;
            changed.notify_one();
        }
        waited
    }
}

#[test]
fn a_wait_and_a_stop_do_not_miss_one_another() {
    check(|| {
        let silence = Silence::new();
        let waiting = Arc::clone(&silence);
        let handler = thread::spawn(move || waiting.await_request());
        let ended = silence.stop();
        // It may have seen the stop, and be dismissed nevertheless.
        assert!(ended || !handler.join().unwrap());
        assert_eq!(silence.pause.is_dismissed(), ended);
    });
}

#[test]
fn whoever_serves_a_request_is_not_dismissed() {
    check(|| {
        let silence = Silence::new();
        let serving = Arc::clone(&silence);
        let handler = thread::spawn(move || {
            serving.pause.begin(0);
            serving.pause.end();
            let dismissed = serving.pause.is_dismissed();
            // From here on there is a request.
            (dismissed, serving.pause.is_dismissed())
        });
        let ended = silence.stop();
        let (before, after) = handler.join().unwrap();
        assert_eq!(before, after, "it is dismissed while it waits, or not at all");
        assert_eq!(silence.pause.is_dismissed(), ended);
        assert_eq!(before, ended);
    });
}

#[test]
fn a_second_pause_ends_as_the_first() {
    check(|| {
        let silence = Silence::new();
        let waiting = Arc::clone(&silence);
        let handler = thread::spawn(move || {
            waiting.await_request();
            waiting.await_request()
        });
        silence.stop();
        handler.join().unwrap();
    });
}
