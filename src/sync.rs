//! The synchronisation primitives that [`crate::control`]'s gate is built on, in one place, so that the model checker's can stand
//! here instead: `tests/models` compiles `control/gate.rs` and three others again with a `sync` module of its own.

pub(crate) use std::sync::atomic::{fence, AtomicBool, AtomicU64, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

/// Locks, and goes on with the data where a panic left the lock poisoned: everything kept under this crate's locks is whole
/// between any two statements, and of the user's code nothing but a prototype's `clone` runs under them.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
