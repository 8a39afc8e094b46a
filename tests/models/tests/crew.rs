//! The library's `server/crew.rs`, compiled with loom's primitives in the place of std's: no job is ever left lying,
//! whoever starts, ends or is woken when. A lost wake-up shows as a deadlock.

use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

#[allow(dead_code)] // the models do not use all of it
#[path = "../../../src/server/crew.rs"]
mod crew;
#[path = "sync/mod.rs"]
mod sync;

use crew::Crew;
use sync::{check, check_with};

/// What the dispatcher waits for: that many jobs done.
struct Done(sync::Mutex<usize>, sync::Condvar);

impl Done {
    fn new() -> Arc<Self> {
        Arc::new(Done(sync::Mutex::new(0), sync::Condvar::new()))
    }

    fn add_one(&self) {
        *sync::lock(&self.0) += 1;
        self.1.notify_one();
    }

    fn wait_for(&self, count: usize) {
        let mut done = sync::lock(&self.0);
        while *done < count {
            done = self.1.wait(done).unwrap();
        }
    }
}

fn start(crew: &Arc<Crew<Arc<Done>>>) -> JoinHandle<()> {
    let crew = crew.clone();
    thread::spawn(move || {
        let mut finished = None;
        // Long enough that no model comes to its end: loom does not let time pass.
        while let Some(job) = crew.next(finished.take(), Duration::from_secs(3600)) {
            job.add_one();
            finished = Some(());
        }
    })
}

/// Jobs come one after another while threads start, work and wait.
#[test]
fn every_job_is_done() {
    check(|| {
        let (crew, done) = (Arc::new(Crew::new()), Done::new());
        let threads: Vec<_> = (0..2).filter(|_| crew.push(done.clone())).map(|_| start(&crew)).collect();
        done.wait_for(2);
        crew.stop();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// A job comes when the earlier ones are done, and the threads that did them are on their way to wait, or wait.
#[test]
fn a_later_job_wakes_a_thread() {
    check(|| {
        let (crew, done) = (Arc::new(Crew::new()), Done::new());
        assert!(crew.push(done.clone()));
        let mut threads = vec![start(&crew)];
        done.wait_for(1);
        for count in 2..4 {
            if crew.push(done.clone()) {
                threads.push(start(&crew));
            }
            done.wait_for(count);
        }
        crew.stop();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// The second thread is late: the first has done its job for it, and the next wake-up finds it counted on, but not waiting.
#[test]
fn a_wake_up_that_meets_nobody_does_not_keep_the_next_from_being_sent() {
    check_with(2, || {
        let (crew, done) = (Arc::new(Crew::new()), Done::new());
        let mut threads: Vec<_> = (0..2).filter(|_| crew.push(done.clone())).map(|_| start(&crew)).collect();
        done.wait_for(2);
        for count in 3..5 {
            if crew.push(done.clone()) {
                threads.push(start(&crew));
            }
            done.wait_for(count);
        }
        crew.stop();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// A thread cannot be started: its job is given back or done, never neither.
#[test]
fn a_job_whose_thread_does_not_start_is_given_back_or_done() {
    check(|| {
        let (crew, done) = (Arc::new(Crew::new()), Done::new());
        let given_back = AtomicUsize::new(0);
        assert!(crew.push(done.clone()));
        let mut threads = vec![start(&crew)];
        if crew.push(done.clone()) && crew.give_back().is_some() {
            given_back.fetch_add(1, Ordering::Relaxed);
        }
        done.wait_for(2 - given_back.load(Ordering::Relaxed));
        if crew.push(done.clone()) {
            threads.push(start(&crew));
        }
        done.wait_for(3 - given_back.load(Ordering::Relaxed));
        crew.stop();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
