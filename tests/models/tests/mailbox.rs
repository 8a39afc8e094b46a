//! The library's `reactor/mailbox.rs`, compiled with loom's primitives in the place of std's: an event loop never sleeps while
//! something has been sent to it, whoever sends when. A lost wake-up shows as a deadlock.

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::Arc;
use loom::thread;

#[allow(dead_code)] // the models do not use all of it
#[path = "../../../src/reactor/mailbox.rs"]
mod mailbox;
#[path = "sync/mod.rs"]
mod sync;

use mailbox::{Alarm, Mailbox, Undelivered};
use sync::{check, check_with};

/// A poller: `ring` makes the next wait, or the one under way, return.
#[derive(Clone)]
struct Poller(Arc<(sync::Mutex<bool>, sync::Condvar, AtomicUsize)>);

impl Poller {
    fn new() -> Self {
        Poller(Arc::new((sync::Mutex::new(false), sync::Condvar::new(), AtomicUsize::new(0))))
    }

    fn wait(&self) {
        let (woken, changed, _) = &*self.0;
        let mut woken = sync::lock(woken);
        while !*woken {
            woken = changed.wait(woken).unwrap();
        }
        *woken = false;
    }

    fn rings(&self) -> usize {
        self.0 .2.load(Ordering::SeqCst)
    }
}

impl Alarm for Poller {
    fn ring(&self) {
        let (woken, changed, rings) = &*self.0;
        rings.fetch_add(1, Ordering::SeqCst);
        *sync::lock(woken) = true;
        changed.notify_one();
    }
}

fn open() -> (Arc<Mailbox<usize, Poller>>, Poller) {
    let (mailbox, poller) = (Mailbox::new(10), Poller::new());
    mailbox.open(poller.clone());
    (Arc::new(mailbox), poller)
}

/// An event loop's turns, until it has read so many.
fn read(mailbox: &Mailbox<usize, Poller>, poller: &Poller, count: usize) -> Vec<usize> {
    let mut letters = Vec::new();
    while letters.len() < count {
        if mailbox.may_wait() {
            poller.wait();
        }
        mailbox.take(&mut letters);
    }
    letters
}

/// Two senders, of two letters each; the loop waits between any of them. All come, each sender's in its order.
#[test]
fn whatever_is_sent_is_read() {
    check_with(2, || {
        let (mailbox, poller) = open();
        let senders: Vec<_> = [0, 10]
            .into_iter()
            .map(|first| {
                let mailbox = mailbox.clone();
                thread::spawn(move || {
                    for letter in first..first + 2 {
                        mailbox.send(letter, 0).unwrap();
                    }
                })
            })
            .collect();
        let letters = read(&mailbox, &poller, 4);
        for first in [0, 10] {
            let of_one: Vec<usize> = letters.iter().copied().filter(|letter| letter / 10 * 10 == first).collect();
            assert_eq!(of_one, [first, first + 1]);
        }
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

/// A letter comes when the loop has just read, is busy, and is on its way to wait.
#[test]
fn a_letter_that_comes_between_the_look_and_the_wait_is_read() {
    check(|| {
        let (mailbox, poller) = open();
        mailbox.send(0, 0).unwrap();
        let sender = thread::spawn({
            let mailbox = mailbox.clone();
            move || mailbox.send(1, 0).unwrap()
        });
        assert_eq!(read(&mailbox, &poller, 2), [0, 1]);
        sender.join().unwrap();
    });
}

/// A busy loop, which has not said that it is going to wait, is not woken for each letter.
#[test]
fn a_loop_that_is_busy_is_not_woken() {
    check(|| {
        let (mailbox, poller) = open();
        mailbox.take(&mut Vec::new());
        let sender = thread::spawn({
            let mailbox = mailbox.clone();
            move || {
                mailbox.send(0, 0).unwrap();
                mailbox.send(1, 0).unwrap();
            }
        });
        sender.join().unwrap();
        assert_eq!(poller.rings(), 0);
        assert_eq!(read(&mailbox, &poller, 2), [0, 1]);
    });
}

/// A letter is read, given back, or left at the close: never lost, never two of these.
#[test]
fn a_letter_sent_at_the_close_is_left_or_given_back() {
    check(|| {
        let (mailbox, _) = open();
        let sender = thread::spawn({
            let mailbox = mailbox.clone();
            move || mailbox.send(7, 0)
        });
        let mut letters = Vec::new();
        mailbox.take(&mut letters);
        letters.extend(mailbox.close());
        match sender.join().unwrap() {
            Ok(()) => assert_eq!(letters, [7]),
            Err(refused) => assert_eq!((refused, letters.len()), ((Undelivered::Closed, 7), 0)),
        }
        assert_eq!(mailbox.send(8, 0), Err((Undelivered::Closed, 8)));
    });
}

/// Of two heavy letters at once one is refused, unless the first has been read meanwhile; and the light one never is.
#[test]
fn what_waits_weighs_no_more_than_it_may() {
    check(|| {
        let (mailbox, _) = open();
        let sender = thread::spawn({
            let mailbox = mailbox.clone();
            move || (mailbox.send(6, 6).is_ok(), mailbox.send(0, 0).is_ok())
        });
        let mine = mailbox.send(5, 5).is_ok();
        let mut letters = Vec::new();
        mailbox.take(&mut letters);
        let at_once: usize = letters.iter().sum();
        assert!(at_once <= 10, "{letters:?}");
        let (theirs, light) = sender.join().unwrap();
        mailbox.take(&mut letters);
        assert!(light);
        assert_eq!(letters.iter().sum::<usize>(), 5 * usize::from(mine) + 6 * usize::from(theirs));
        assert!(mine || theirs);
        // Nothing waits any more.
        assert_eq!(mailbox.send(10, 10), Ok(()));
    });
}
