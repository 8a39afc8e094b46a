//! [`unblock`], and the threads for it.

use std::collections::VecDeque;
use std::io;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::{current, wait};
use crate::sync::lock;

/// How many closures run at once in the whole process. More wait, of which there is one a coroutine at the most.
const MOST_THREADS: usize = 64;

/// How long a thread waits for the next before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// Runs what blocks on a thread made for that, and suspends the coroutine until it has been run. Its result is handed back, or its panic. On a
/// thread, `code` is just called.
///
/// There are 64 such threads at the most, shared by all servers of the process and by look-ups on coroutines; what comes when all are busy waits
/// for one, in order. A closure that is still running when its server has stopped is not among those that the report counts.
///
/// ```
/// use socketserver::coroutine::unblock;
/// use socketserver::{net, Connection, HandlerResult};
/// use std::io::Write;
///
/// fn handle(request: &mut Connection) -> HandlerResult {
///     let found = unblock(|| net::gethostbyname("localhost", None))??;
///     writeln!(request, "{found}")?;
///     Ok(())
/// }
/// ```
///
/// # Errors
/// [`Error::Cut`](crate::Error::Cut), of the kind [`io::ErrorKind::ConnectionAborted`], where the request has been cut meanwhile, by its server's stop;
/// `code` runs to its end, or is not begun with any more, and its result is dropped. Whatever the system says where no thread can be had. Never on a thread.
pub fn unblock<T: Send + 'static>(code: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    unblock_until(None, code)
}

/// The same, with an end to the waiting.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] where it has come.
pub(crate) fn unblock_until<T: Send + 'static>(
    deadline: Option<Instant>,
    code: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let Some(task) = current() else { return Ok(code()) };
    let result = Arc::new(Mutex::new(None));
    let (theirs, woken) = (Arc::downgrade(&result), Arc::clone(&task));
    POOL.run(Box::new(move || {
        // Nobody waits for it any more.
        if theirs.strong_count() == 0 {
            return;
        }
        let outcome = catch_unwind(AssertUnwindSafe(code));
        if let Some(result) = theirs.upgrade() {
            *lock(&result) = Some(outcome);
        }
        woken.wake();
    }))?;
    let mut waited = Ok(());
    loop {
        // Also when the time is over: the loop may have been held up, and the result have come in time.
        if let Some(outcome) = lock(&result).take() {
            return Ok(outcome.unwrap_or_else(|panic| resume_unwind(panic)));
        }
        waited?;
        waited = wait(&task, deadline);
    }
}

type Work = Box<dyn FnOnce() + Send>;

static POOL: Pool =
    Pool { state: Mutex::new(State { waiting: VecDeque::new(), threads: 0, idle: 0 }), more: Condvar::new() };

struct Pool {
    state: Mutex<State>,
    more: Condvar,
}

struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    /// Those of them that wait for something to do.
    idle: usize,
}

impl Pool {
    fn run(&'static self, work: Work) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.idle <= state.waiting.len() && state.threads < MOST_THREADS {
            state.threads += 1;
            drop(state);
            let started = std::thread::Builder::new().name("ss-unblock".into()).spawn(|| self.serve());
            state = lock(&self.state);
            if let Err(error) = started {
                state.threads -= 1;
                // Others will see to it, if there are any.
                if state.threads == 0 {
                    return Err(error);
                }
            }
        }
        state.waiting.push_back(work);
        drop(state);
        self.more.notify_one();
        Ok(())
    }

    fn serve(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                // What it was given may panic when it is dropped.
                let _ = catch_unwind(AssertUnwindSafe(work));
                state = lock(&self.state);
                continue;
            }
            state.idle += 1;
            let waited = self.more.wait_timeout(state, IDLE).unwrap_or_else(std::sync::PoisonError::into_inner);
            state = waited.0;
            state.idle -= 1;
            if waited.1.timed_out() && state.waiting.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}
