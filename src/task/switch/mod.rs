//! [`Coroutine`]: code on a stack of its own. The one place in this crate that has `unsafe` in it: for one pointer here, and in `overflow` for a
//! signal handler.

#![allow(unsafe_code)]

#[cfg(unix)]
mod overflow;

use std::cell::Cell;
use std::io;
#[cfg(unix)]
use std::ops::Range;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Instant;

use corosensei::stack::DefaultStack;
#[cfg(unix)]
use corosensei::stack::Stack as _;
use corosensei::{CoroutineResult, Yielder};

use super::Task;

/// A stack, with a page below it that must not be touched.
pub(crate) struct Stack(DefaultStack);

impl Stack {
    /// At least so many bytes, in whole pages; memory is what is touched of them.
    pub(crate) fn new(bytes: usize) -> io::Result<Stack> {
        #[cfg(unix)]
        overflow::tell();
        DefaultStack::new(bytes).map(Stack)
    }
}

/// Why a coroutine has been suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// It waits, to be woken or for the instant.
    Wait(Option<Instant>),
    /// It has had its share, and goes on when the others have had theirs.
    Again,
}

/// Why it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    Called,
    TimedOut,
}

/// What came of letting a coroutine go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resumed<T> {
    Suspended(Ask),
    /// With its result; `None` after a panic.
    Ended(Option<T>),
}

/// Code that has been started, or is about to be, and what it will return. Not `Send`: it stays with the thread that made it.
pub(crate) struct Coroutine<T: 'static>(Option<corosensei::Coroutine<Woken, Ask, Option<T>, DefaultStack>>);

/// The coroutine that runs on this thread. It lies on the coroutine's own stack.
struct Running {
    task: Arc<Task>,
    yielder: NonNull<Yielder<Woken, Ask>>,
    /// Where its stack lies, the guard page included.
    #[cfg(unix)]
    stack: Range<usize>,
}

thread_local! {
    /// Set while a coroutine of this thread's runs, and not while it is suspended.
    static RUNNING: Cell<Option<NonNull<Running>>> = const { Cell::new(None) };
}

impl<T: 'static> Drop for Coroutine<T> {
    /// One that is suspended is unwound, which runs code of its own: whatever runs here is put out of its way.
    fn drop(&mut self) {
        let outer = RUNNING.try_with(Cell::take).ok().flatten();
        drop(self.0.take());
        if outer.is_some() {
            RUNNING.set(outer);
        }
    }
}

impl<T: 'static> Coroutine<T> {
    /// Has `code` run on `stack`, as `task`, from the first [`resume`](Coroutine::resume) on.
    pub(crate) fn new(stack: Stack, task: Arc<Task>, code: impl FnOnce() -> T + 'static) -> Self {
        #[cfg(unix)]
        let bounds = stack.0.limit().get()..stack.0.base().get();
        Coroutine(Some(corosensei::Coroutine::with_stack(stack.0, move |yielder, _: Woken| {
            let running = Running {
                task,
                yielder: NonNull::from(yielder),
                #[cfg(unix)]
                stack: bounds,
            };
            RUNNING.set(Some(NonNull::from(&running)));
            // Its unwinding ends here: it is nobody else's.
            let result = catch_unwind(AssertUnwindSafe(code));
            RUNNING.set(None);
            drop(running);
            result.map_err(std::mem::forget).ok()
        })))
    }

    /// Runs it until it is suspended, or to its end. One that has ended must not be asked to.
    pub(crate) fn resume(&mut self, woken: Woken) -> Resumed<T> {
        // A loop is not turned from within a coroutine, but a coroutine of the user's own may be under it.
        let Some(coroutine) = &mut self.0 else { return Resumed::Ended(None) };
        let outer = RUNNING.take();
        let result = coroutine.resume(woken);
        RUNNING.set(outer);
        match result {
            CoroutineResult::Yield(ask) => Resumed::Suspended(ask),
            CoroutineResult::Return(result) => Resumed::Ended(result),
        }
    }

    /// The stack of one that has ended.
    pub(crate) fn into_stack(mut self) -> Option<Stack> {
        let ended = match &self.0 {
            Some(coroutine) if coroutine.done() => self.0.take()?,
            _ => return None,
        };
        Some(Stack(ended.into_stack()))
    }
}

/// Looks at the coroutine that runs on this thread, if one does. `look` must not suspend it.
pub(super) fn with_current<T>(look: impl FnOnce(&Arc<Task>) -> T) -> Option<T> {
    // On a thread that ends, the drops of other thread-locals may ask.
    let running = RUNNING.try_with(Cell::get).ok().flatten()?;
    // SAFETY: see `ask`. What is borrowed is given back before this returns, so before the coroutine can end.
    Some(look(&unsafe { running.as_ref() }.task))
}

/// Where the stack lies of the coroutine that runs on this thread, if one does, guard page included. Safe in a signal handler.
#[cfg(unix)]
fn stack_in_use() -> Option<Range<usize>> {
    // The thread-local has a constant for its beginning, and nothing to drop: to look at it is to look at memory.
    let running = RUNNING.try_with(Cell::get).ok().flatten()?;
    // SAFETY: see `ask`. Whoever has been interrupted changes nothing of it.
    Some(unsafe { running.as_ref() }.stack.clone())
}

/// Suspends the coroutine that runs on this thread, and says why it goes on; `None` where none does.
pub(super) fn ask(ask: Ask) -> Option<Woken> {
    let running = RUNNING.try_with(Cell::take).ok().flatten()?;
    // SAFETY: `RUNNING` points to the `Running` that the closure in `Coroutine::new` has on its stack, which lies there, on the coroutine's
    // own stack, until the closure returns; and that has a pointer to the yielder which corosensei lent to the closure, and which lies at the foot
    // of the same stack for as long. Both are valid here, because `RUNNING` is set only while that very coroutine runs on this
    // thread: it is set when the closure begins, and taken back when the code in it has ended, by return or by unwinding; `resume` takes whatever
    // is set out of the way before another coroutine runs, and puts it back after; and it is taken here before the switch and put back after
    // it. The switch comes back to this thread, because a coroutine is not `Send`. Both are only shared (`suspend` takes `&self`), and by one
    // thread. A coroutine that is dropped while it is suspended is unwound from here, with nothing set.
    let woken = unsafe { running.as_ref().yielder.as_ref() }.suspend(ask);
    RUNNING.set(Some(running));
    Some(woken)
}

#[cfg(test)]
mod tests {
    use super::super::{current, wait, Connecting, Datagrams, Home};
    use super::*;

    struct Nowhere;

    impl Home for Nowhere {
        fn wake(&self, _: usize) {}

        fn connect(self: Arc<Self>, _: mio::net::TcpStream, _: std::net::SocketAddr) -> Arc<dyn Connecting> {
            unreachable!("nobody connects here")
        }

        fn open(self: Arc<Self>, _: std::net::UdpSocket, _: std::net::SocketAddr) -> Arc<dyn Datagrams> {
            unreachable!("nor sends anything")
        }
    }

    fn task() -> Arc<Task> {
        Task::new(Arc::new(Nowhere), 0, crate::Address::Unnamed)
    }

    fn stack() -> Stack {
        Stack::new(64 * 1024).unwrap()
    }

    #[test]
    fn it_goes_on_where_it_was_and_knows_itself() {
        let task = task();
        let same = Arc::clone(&task);
        let mut coroutine = Coroutine::new(stack(), Arc::clone(&task), move || {
            assert!(Arc::ptr_eq(&current().unwrap(), &same));
            wait(&same, None).unwrap();
            assert!(Arc::ptr_eq(&current().unwrap(), &same));
            assert_eq!(wait(&same, None).unwrap_err().kind(), io::ErrorKind::TimedOut);
            7
        });
        assert_eq!(coroutine.resume(Woken::Called), Resumed::Suspended(Ask::Wait(None)));
        assert!(current().is_none());
        assert_eq!(coroutine.resume(Woken::Called), Resumed::Suspended(Ask::Wait(None)));
        assert_eq!(coroutine.resume(Woken::TimedOut), Resumed::Ended(Some(7)));
        assert!(coroutine.into_stack().is_some());
    }

    #[test]
    fn one_within_another_is_not_taken_for_it() {
        let (outer, inner) = (task(), task());
        let inner_task = Arc::clone(&inner);
        let outer_task = Arc::clone(&outer);
        let mut coroutine = Coroutine::new(stack(), outer, move || {
            let same = Arc::clone(&inner_task);
            let mut nested = Coroutine::new(stack(), Arc::clone(&inner_task), move || wait(&same, None).is_ok());
            assert_eq!(nested.resume(Woken::Called), Resumed::Suspended(Ask::Wait(None)));
            assert!(Arc::ptr_eq(&current().unwrap(), &outer_task));
            wait(&outer_task, None).unwrap();
            assert_eq!(nested.resume(Woken::Called), Resumed::Ended(Some(true)));
        });
        assert_eq!(coroutine.resume(Woken::Called), Resumed::Suspended(Ask::Wait(None)));
        assert_eq!(coroutine.resume(Woken::Called), Resumed::Ended(Some(())));
    }

    #[test]
    fn a_panic_ends_it_alone() {
        let mut coroutine: Coroutine<()> = Coroutine::new(stack(), task(), || panic!("in a coroutine"));
        assert_eq!(coroutine.resume(Woken::Called), Resumed::Ended(None));
        assert!(current().is_none());
    }

    /// One that has been cut is told so, and unwound where it does not listen.
    #[test]
    fn one_that_waits_on_after_it_was_cut_is_unwound() {
        let task = task();
        let same = Arc::clone(&task);
        let dropped = Arc::new(());
        let witness = Arc::clone(&dropped);
        let mut coroutine: Coroutine<()> = Coroutine::new(stack(), Arc::clone(&task), move || {
            let _witness = witness;
            loop {
                let _ = wait(&same, None);
            }
        });
        assert_eq!(coroutine.resume(Woken::Called), Resumed::Suspended(Ask::Wait(None)));
        task.cut();
        assert_eq!(coroutine.resume(Woken::Called), Resumed::Ended(None));
        assert_eq!(Arc::strong_count(&dropped), 1);
    }

    #[test]
    fn dropping_one_within_another_leaves_the_other_running() {
        let (outer, inner) = (task(), task());
        let (outer_task, inner_task) = (Arc::clone(&outer), Arc::clone(&inner));
        let mut coroutine = Coroutine::new(stack(), outer, move || {
            let same = Arc::clone(&inner_task);
            let mut nested = Coroutine::new(stack(), Arc::clone(&inner_task), move || wait(&same, None).is_ok());
            assert_eq!(nested.resume(Woken::Called), Resumed::Suspended(Ask::Wait(None)));
            drop(nested);
            Arc::ptr_eq(&current().unwrap(), &outer_task)
        });
        assert_eq!(coroutine.resume(Woken::Called), Resumed::Ended(Some(true)));
    }

    #[test]
    fn dropping_one_unwinds_it() {
        let task = task();
        let same = Arc::clone(&task);
        let dropped = Arc::new(());
        let witness = Arc::clone(&dropped);
        let mut coroutine: Coroutine<()> = Coroutine::new(stack(), task, move || {
            let _witness = witness;
            let _ = wait(&same, None);
        });
        assert_eq!(coroutine.resume(Woken::Called), Resumed::Suspended(Ask::Wait(None)));
        assert_eq!(Arc::strong_count(&dropped), 2);
        drop(coroutine);
        assert_eq!(Arc::strong_count(&dropped), 1);
        assert!(current().is_none());
    }
}
