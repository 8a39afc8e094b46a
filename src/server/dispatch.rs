//! [`Dispatch`]: who runs the handler.

use std::fmt;
use std::io;

use super::slot::Place;

/// Who runs the handler: one half of a server, the other being its [`Listener`](super::Listener). Overriding `process_request`, or
/// `ThreadingMixIn`, is how one does it in Python.
///
/// The crate's own are [`Sequential`](super::Sequential) and [`Threading`](super::Threading). One of your own, given to
/// [`Builder::dispatch`](super::Builder::dispatch), might hand the jobs to a pool that the program has anyway:
///
/// ```
/// use socketserver::server::{Dispatch, Job, Refused};
/// use socketserver::{handler_fn, Connection, TcpServer};
/// use std::sync::mpsc::{sync_channel, SyncSender, TrySendError};
/// use std::sync::{Arc, Mutex};
///
/// #[derive(Debug)]
/// struct TwoThreads(SyncSender<Job>);
///
/// impl TwoThreads {
///     fn new() -> Self {
///         let (sender, receiver) = sync_channel::<Job>(16);
///         let receiver = Arc::new(Mutex::new(receiver));
///         for _ in 0..2 {
///             let receiver = Arc::clone(&receiver);
///             std::thread::spawn(move || loop {
///                 let job = receiver.lock().unwrap().recv();
///                 match job {
///                     Ok(job) => job.run(),
///                     Err(_) => return, // the server is gone
///                 }
///             });
///         }
///         TwoThreads(sender)
///     }
/// }
///
/// impl Dispatch for TwoThreads {
///     fn dispatch(&self, job: Job) -> Result<(), Refused> {
///         self.0.try_send(job).map_err(|refused| match refused {
///             TrySendError::Full(job) => Refused::new(job, std::io::ErrorKind::WouldBlock.into()),
///             TrySendError::Disconnected(job) => Refused::new(job, std::io::ErrorKind::BrokenPipe.into()),
///         })
///     }
/// }
///
/// # fn main() -> socketserver::Result<()> {
/// let server = TcpServer::builder()
///     .dispatch(TwoThreads::new())
///     .bind("127.0.0.1:0", handler_fn(|_: &mut Connection| Ok(())))?;
/// # Ok(()) }
/// ```
pub trait Dispatch: Send + Sync + 'static {
    /// Runs the job, or has it run, now or soon. Must not wait, unless it runs the job itself (see
    /// [`runs_inline`](Dispatch::runs_inline)).
    ///
    /// # Errors
    /// [`Refused`] gives the job back: there is nobody to run it. The client is closed, `handle_error` is told, and
    /// accepting backs off.
    fn dispatch(&self, job: Job) -> Result<(), Refused>;

    /// Whether [`dispatch`](Dispatch::dispatch) runs the job itself, on the serving thread.
    fn runs_inline(&self) -> bool {
        false
    }

    /// How many requests there may be at once when the builder does not say, before the descriptor limit is taken into account.
    fn default_connections(&self) -> usize {
        super::DEFAULT_THREADS
    }

    /// The most that the builder may ask for.
    fn most_connections(&self) -> usize {
        usize::MAX
    }

    /// Finds settings of its own that cannot be used, before anything is bound.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting).
    fn check(&self) -> crate::Result<()> {
        Ok(())
    }

    /// The server has stopped: no job will come any more. Those under way go on.
    fn stop(&self) {}
}

/// What runs handlers, rather than a protocol's callbacks: a [`Dispatch`] strategy, or the event loops of a coroutine server. Not to be
/// implemented.
pub trait RunsHandlers: runs_handlers::Sealed {}

impl<D: Dispatch> RunsHandlers for D {}

pub(crate) mod runs_handlers {
    #[allow(unreachable_pub)] // reachable as a supertrait, which is what seals
    pub trait Sealed {}

    impl<D: super::Dispatch> Sealed for D {}
}

/// A request with its handler and its place among the server's connections, ready to run. Dropping it unrun closes the request and
/// gives the place back.
pub struct Job {
    work: Box<dyn FnOnce() -> Place + Send>,
}

impl Job {
    pub(crate) fn new(work: impl FnOnce() -> Place + Send + 'static) -> Self {
        Job { work: Box::new(work) }
    }

    /// Serves the request to its end. Never panics: what the handler does wrong is reported and counted.
    pub fn run(self) {
        drop(self.run_keeping_place());
    }

    /// The same, but the place is given back when the returned value is dropped.
    pub(crate) fn run_keeping_place(self) -> Place {
        (self.work)()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Job")
    }
}

/// A job that nobody could be found for.
#[derive(Debug)]
pub struct Refused {
    pub(crate) job: Job,
    pub(crate) error: io::Error,
}

impl Refused {
    /// Gives `job` back, with the reason.
    pub fn new(job: Job, error: io::Error) -> Self {
        Refused { job, error }
    }
}
