//! Look-ups with a time limit, though no system can cancel one.

use std::io;
use std::sync::mpsc::{sync_channel, RecvTimeoutError};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Phase, Result};

/// How many look-ups with a timeout may run at once in a process, the abandoned ones included. Enough for a busy client's
/// healthy look-ups; and when the name servers are gone, this many threads and no more hang in the resolver.
const MAX_LOOKUPS: usize = 64;

/// The process's look-ups.
pub(super) static LOOKUPS: Lookups = Lookups::new(MAX_LOOKUPS);

/// The places of the threads that wait in the system's resolver.
#[derive(Debug)]
pub(super) struct Lookups {
    limit: usize,
    running: Mutex<usize>,
    freed: Condvar,
}

impl Lookups {
    pub(super) const fn new(limit: usize) -> Self {
        Lookups { limit, running: Mutex::new(0), freed: Condvar::new() }
    }

    /// Asks in the calling thread, or with a timeout in one that is left behind when the time is over. A coroutine is suspended, and the
    /// calling thread is another. `name` is for errors.
    pub(super) fn run<T: Send + 'static>(
        &'static self,
        name: &str,
        timeout: Option<Duration>,
        ask: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        #[cfg(feature = "coroutine")]
        if crate::task::current().is_some() {
            let (deadline, its_name) = (timeout.and_then(|limit| Instant::now().checked_add(limit)), name.to_owned());
            let answer = crate::task::unblock_until(deadline, move || self.run(&its_name, timeout, ask));
            return answer.unwrap_or_else(|source| match timeout {
                Some(after) if source.kind() == io::ErrorKind::TimedOut => {
                    Err(Error::Timeout { phase: Phase::Resolve, address: name.to_owned(), after })
                }
                _ => Err(Error::system(format!("look {name:?} up"), source)),
            });
        }
        let answer = match timeout {
            None => ask(),
            Some(timeout) => self.run_aside(name, timeout, ask)?,
        };
        answer.map_err(|source| Error::Resolve { name: name.to_owned(), source })
    }

    fn run_aside<T: Send + 'static>(
        &'static self,
        name: &str,
        timeout: Duration,
        ask: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<io::Result<T>> {
        // None is a time that the clock cannot express: as good as no limit.
        let deadline = Instant::now().checked_add(timeout);
        let place = self.take_place(deadline).ok_or_else(|| Error::Resolve {
            name: name.to_owned(),
            source: io::Error::new(io::ErrorKind::TimedOut, all_taken(self.limit, timeout)),
        })?;
        let (sender, receiver) = sync_channel(1);
        let asking = move || {
            let answer = ask();
            // Free before the caller knows: who looks up one name after another then never takes two places.
            drop(place);
            // An error says that the caller has gone.
            let _ = sender.send(answer);
        };
        thread::Builder::new()
            .name("name-lookup".to_owned())
            .spawn(asking)
            .map_err(|source| Error::System { operation: format!("start a thread that looks {name:?} up"), source })?;
        let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        receiver.recv_timeout(left).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                Error::Timeout { phase: Phase::Resolve, address: name.to_owned(), after: timeout }
            }
            RecvTimeoutError::Disconnected => Error::System {
                operation: format!("look {name:?} up"),
                source: io::Error::other("the look-up's thread ended without an answer"),
            },
        })
    }

    /// A place, or `None` if none has become free by the deadline.
    fn take_place(&'static self, deadline: Option<Instant>) -> Option<Place> {
        let mut running = self.running();
        while *running >= self.limit {
            running = match deadline {
                None => self.freed.wait(running).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
                    self.freed.wait_timeout(running, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *running += 1;
        Some(Place { lookups: self })
    }

    fn running(&self) -> MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses a timeout of zero: no look-up could meet it, and the system's calls take zero for "none".
pub(super) fn checked_timeout(timeout: impl Into<Option<Duration>>) -> Result<Option<Duration>> {
    let timeout = timeout.into();
    if timeout.is_some_and(|timeout| timeout.is_zero()) {
        return Err(Error::InvalidSetting {
            setting: "timeout",
            value: "zero".to_owned(),
            reason: "nothing can be looked up in no time; None means no limit".into(),
        });
    }
    Ok(timeout)
}

/// A running look-up's place; dropping it frees it.
struct Place {
    lookups: &'static Lookups,
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.lookups.running() -= 1;
        self.lookups.freed.notify_one();
    }
}

fn all_taken(limit: usize, timeout: Duration) -> String {
    format!("{limit} earlier look-ups still wait for the system's resolver, and none of them ended within {timeout:?}")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, Receiver, Sender};

    use super::*;

    const SHORT: Duration = Duration::from_millis(30);
    const LONG: Duration = Duration::from_secs(20);

    fn lookups(limit: usize) -> &'static Lookups {
        Box::leak(Box::new(Lookups::new(limit)))
    }

    /// A resolver that answers when it is told to.
    fn held() -> (Sender<u8>, impl FnOnce() -> io::Result<u8> + Send + 'static) {
        let (sender, receiver): (_, Receiver<u8>) = channel();
        (sender, move || receiver.recv().map_err(io::Error::other))
    }

    #[test]
    fn without_a_timeout_the_calling_thread_asks() {
        let caller = thread::current().id();
        let asked_by = lookups(0).run("name", None, || Ok(thread::current().id())).unwrap();
        assert_eq!(asked_by, caller);
    }

    #[test]
    fn an_answer_in_time_is_passed_on() {
        assert_eq!(lookups(1).run("name", Some(LONG), || Ok(7)).unwrap(), 7);
        assert_eq!(lookups(1).run("name", Some(Duration::MAX), || Ok(7)).unwrap(), 7);
    }

    #[test]
    fn the_resolvers_error_names_the_name() {
        let error = lookups(1).run::<u8>("name", Some(LONG), || Err(io::ErrorKind::NotFound.into())).unwrap_err();
        assert!(matches!(&error, Error::Resolve { name, .. } if name == "name"), "{error}");
    }

    #[test]
    fn a_slow_resolver_is_left_behind_at_the_timeout() {
        let (answer, ask) = held();
        let error = lookups(1).run("slow.example", Some(SHORT), ask).unwrap_err();
        let Error::Timeout { phase: Phase::Resolve, address, after } = &error else { panic!("{error}") };
        assert_eq!((address.as_str(), *after), ("slow.example", SHORT));
        answer.send(1).unwrap();
    }

    #[test]
    fn abandoned_look_ups_are_bounded_and_give_their_places_back() {
        let lookups = lookups(2);
        let (first, ask_first) = held();
        let (second, ask_second) = held();
        lookups.run("first", Some(SHORT), ask_first).unwrap_err();
        lookups.run("second", Some(SHORT), ask_second).unwrap_err();

        let error = lookups.run("third", Some(SHORT), || Ok(3)).unwrap_err();
        assert!(matches!(error, Error::Resolve { .. }), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("2 earlier look-ups still wait"), "{error}");

        first.send(1).unwrap();
        assert_eq!(lookups.run("fourth", Some(LONG), || Ok(4)).unwrap(), 4);
        drop(second);
        assert_eq!(lookups.run("fifth", Some(LONG), || Ok(5)).unwrap(), 5);
    }

    #[test]
    fn a_look_up_waits_for_a_place_within_its_timeout() {
        let lookups = lookups(1);
        let (answer, ask) = held();
        lookups.run("slow", Some(SHORT), ask).unwrap_err();
        let waiting = thread::spawn(move || lookups.run("next", Some(LONG), || Ok(2)));
        answer.send(1).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), 2);
    }

    #[test]
    fn a_resolver_that_panics_is_an_error_and_frees_its_place() {
        let lookups = lookups(1);
        let error = lookups.run::<u8>("name", Some(LONG), || panic!("meant to happen")).unwrap_err();
        assert!(matches!(error, Error::System { .. }), "{error}");
        assert_eq!(lookups.run("name", Some(LONG), || Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_timeout_of_zero_is_refused() {
        assert!(matches!(checked_timeout(Duration::ZERO), Err(Error::InvalidSetting { setting: "timeout", .. })));
        assert_eq!(checked_timeout(None).unwrap(), None);
        assert_eq!(checked_timeout(SHORT).unwrap(), Some(SHORT));
    }
}
