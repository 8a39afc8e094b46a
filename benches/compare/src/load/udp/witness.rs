use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::anyhow;

const NAP: Duration = Duration::from_millis(5);

/// A thread that only sleeps, and so shows how late the machine lets one go on that has waited its time.
///
/// What is later than that is late by itself.
pub struct Witness {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Duration>>,
}

impl Witness {
    pub fn begin() -> Witness {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut latest = Duration::ZERO;
            while !told.load(Ordering::Relaxed) {
                let began = Instant::now();
                thread::sleep(NAP);
                latest = latest.max(began.elapsed().saturating_sub(NAP));
            }
            latest
        });
        Witness { over, thread: Some(thread) }
    }

    /// How late it was once.
    pub fn end(mut self) -> anyhow::Result<Duration> {
        self.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().map(JoinHandle::join);
        thread.and_then(Result::ok).ok_or_else(|| anyhow!("the thread that only sleeps has panicked"))
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}
