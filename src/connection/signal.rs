//! [`Signal`].

use std::io;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, MutexGuard};
#[cfg(feature = "coroutine")]
use {
    crate::sync::lock,
    crate::task::{self, Waiter},
    std::time::Instant,
};

/// A condition variable that coroutines can wait for too, which must not block their thread.
#[derive(Default)]
pub(super) struct Signal {
    threads: Condvar,
    #[cfg(feature = "coroutine")]
    coroutines: Mutex<Vec<Waiter>>,
}

impl Signal {
    /// Waits to be notified, which may be for no reason, or for as long as `left`. `guard` is of `mutex`, which is unlocked meanwhile.
    ///
    /// # Errors
    /// The coroutine that calls must not wait any more, or cannot. Never on a thread.
    pub(super) fn wait<'a, T>(
        &self,
        mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        left: Option<Duration>,
    ) -> io::Result<MutexGuard<'a, T>> {
        #[cfg(feature = "coroutine")]
        if let Some(task) = task::current() {
            // Before it is unlocked, so that no notification is missed.
            let waiter = Waiter::Coroutine(task);
            lock(&self.coroutines).push(waiter.clone());
            drop(guard);
            let waited = waiter.wait(left.and_then(|left| Instant::now().checked_add(left)));
            lock(&self.coroutines).retain(|one| !one.is(&waiter));
            return match waited {
                Err(error) if error.kind() != io::ErrorKind::TimedOut => Err(error),
                _ => Ok(lock(mutex)),
            };
        }
        let _ = mutex;
        Ok(match left {
            None => self.threads.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner),
            Some(left) => self.threads.wait_timeout(guard, left).unwrap_or_else(std::sync::PoisonError::into_inner).0,
        })
    }

    pub(super) fn notify_all(&self) {
        self.threads.notify_all();
        #[cfg(feature = "coroutine")]
        for waiter in std::mem::take(&mut *lock(&self.coroutines)) {
            waiter.wake();
        }
    }
}
