//! The library's `sync` module with loom's primitives, and how a model is run.

#![allow(unused_imports)] // each model uses its part

pub(crate) use loom::sync::atomic::{fence, AtomicBool, AtomicU64, Ordering};
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs a model through all interleavings with up to three preemptions.
pub(crate) fn check(model: impl Fn() + Sync + Send + 'static) {
    check_with(3, model);
}

/// The same with another bound, for models with many steps. LOOM_MAX_PREEMPTIONS overrules it.
#[allow(dead_code)] // each model uses its part
pub(crate) fn check_with(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}
