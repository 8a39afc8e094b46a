//! Tests of the crew, apart from it because `tests/models` compiles that file alone. What comes of threads that meet is the models'; here each
//! step is looked at by itself.

use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::crew::Crew;

/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(60);

/// What a busy machine takes at most for what should be at once.
const PROMPT: Duration = Duration::from_secs(20);

/// What a thread still holds of its last job.
const NOTHING: Option<()> = None;

#[test]
fn every_job_beyond_the_idle_threads_asks_for_one() {
    let crew = Crew::new();
    assert!(crew.push(1));
    assert!(crew.push(2));
    // The two that are starting take the jobs in their order.
    assert_eq!(crew.next(NOTHING, LONG), Some(1));
    assert_eq!(crew.next(NOTHING, LONG), Some(2));
    assert!(crew.push(3), "both are busy");
    // The first is done, and quicker than the one that is starting.
    assert_eq!(crew.next(Some(()), LONG), Some(3));
    assert!(!crew.push(4), "the one that is starting will find it");
    assert!(crew.push(5));
    assert_eq!(crew.next(NOTHING, LONG), Some(4));
}

#[test]
fn a_thread_that_does_not_start_gives_its_job_back() {
    let crew = Crew::new();
    assert!(crew.push(1));
    assert!(crew.push(2));
    assert_eq!(crew.give_back(), Some(2), "the newest; the first has its thread");
    assert_eq!(crew.next(NOTHING, LONG), Some(1));
    assert!(crew.push(3));
    assert_eq!(crew.give_back(), Some(3));
    assert!(crew.push(4), "nobody is counted on any more");
}

#[test]
fn a_job_that_somebody_else_can_take_is_not_given_back() {
    let crew = Crew::new();
    assert!(crew.push(1));
    assert_eq!(crew.next(NOTHING, LONG), Some(1));
    assert!(crew.push(2));
    // The first thread is done, and takes what the one was to be started for, before it is known that it cannot be.
    assert_eq!(crew.next(Some(()), LONG), Some(2));
    assert_eq!(crew.give_back(), None);
    assert!(crew.push(3), "nobody is idle");

    // Two were to be started, and one job is left for the one that can be.
    assert!(crew.push(4));
    assert_eq!(crew.next(Some(()), LONG), Some(3));
    assert_eq!(crew.give_back(), None);
    assert_eq!(crew.next(NOTHING, LONG), Some(4));
}

#[test]
fn a_thread_without_work_ends_after_the_idle_timeout_and_is_not_counted_on() {
    let crew = Crew::<u32>::new();
    assert!(crew.push(1));
    assert_eq!(crew.next(NOTHING, LONG), Some(1));
    let (started, idle_timeout) = (Instant::now(), Duration::from_millis(20));
    assert_eq!(crew.next(Some(()), idle_timeout), None);
    assert!(started.elapsed() >= idle_timeout);
    assert!(crew.push(2), "it is gone");
}

#[test]
fn what_is_queued_at_a_stop_is_done_and_then_threads_end() {
    let crew = Crew::new();
    assert!(crew.push(1));
    crew.stop();
    assert_eq!(crew.next(NOTHING, LONG), Some(1));
    let started = Instant::now();
    assert_eq!(crew.next(Some(()), LONG), None);
    assert!(started.elapsed() < PROMPT);
}

/// Or the wake-up that is sent to nobody would stand for the one that somebody waits for.
#[test]
fn a_wait_that_is_over_is_none_that_can_be_woken() {
    let crew = Arc::new(Crew::new());
    assert!(crew.push(1));
    assert_eq!(crew.next(NOTHING, LONG), Some(1));
    assert_eq!(crew.next(Some(()), Duration::from_millis(1)), None);
    // A thread is to be started, and another that is done takes its job; so the next job is one for the first, which does not wait yet.
    assert!(crew.push(2));
    assert_eq!(crew.next(Some(()), LONG), Some(2));
    assert!(!crew.push(3));
    assert_eq!(crew.next(NOTHING, LONG), Some(3));

    let (said, heard) = channel();
    let waiting = Arc::clone(&crew);
    thread::spawn(move || said.send(waiting.next(Some(()), LONG)));
    // Until it waits, most likely; what is asserted holds either way.
    thread::sleep(Duration::from_millis(20));
    queue(&crew, &4);
    assert_eq!(heard.recv_timeout(PROMPT), Ok(Some(4)));
}

/// Each job waits for the other, so that one thread alone does neither. In most rounds both threads wait when the first comes, and the one that
/// is woken has to wake the other.
#[test]
fn threads_that_wait_are_woken_by_jobs_and_by_a_stop() {
    let (crew, (said, heard)) = (Arc::new(Crew::<Arc<Barrier>>::new()), channel());
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (crew, said) = (Arc::clone(&crew), said.clone());
            thread::spawn(move || {
                // As if it had just done a job.
                let mut finished = Some(());
                while let Some(job) = crew.next(finished.take(), LONG) {
                    job.wait();
                    said.send(()).unwrap();
                    finished = Some(());
                }
            })
        })
        .collect();
    for round in 0..100 {
        if round % 4 > 0 {
            thread::sleep(Duration::from_millis(1));
        }
        let both = Arc::new(Barrier::new(2));
        queue(&crew, &both);
        queue(&crew, &both);
        for _ in 0..2 {
            heard.recv_timeout(PROMPT).expect("a job that nobody does");
        }
    }
    let stopped = Instant::now();
    crew.stop();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(stopped.elapsed() < PROMPT);
}

/// Queues a job for a thread that is idle, as soon as one is.
fn queue<J: Clone>(crew: &Crew<J>, job: &J) {
    while crew.push(job.clone()) && crew.give_back().is_some() {
        thread::yield_now();
    }
}
