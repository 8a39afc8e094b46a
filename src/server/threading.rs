//! [`Threading`].

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use super::crew::Crew;
use super::dispatch::{Dispatch, Job, Refused};
use super::invalid;
use super::slot::Place;

/// How many requests, and so threads, there may be at once when the builder does not say.
pub(crate) const DEFAULT_THREADS: usize = 1024;

/// The most threads a builder may ask for. A process with about 16,370 of them aborts as a whole: each takes four of the kernel's
/// 65,530 memory mappings, and std panics inside the new thread. Half of that leaves room for the rest of the program.
pub(crate) const MOST_THREADS: usize = 8000;

/// How long a thread without work is kept: long enough that a busy server starts hardly any, short enough that an idle one
/// has none.
pub(crate) const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest stack a builder takes, in bytes.
const MOST_STACK: usize = 1 << 30;

/// A thread for each request, reused for the next: Python's `ThreadingMixIn`, bounded.
///
/// Threads are named `ss-worker-N`. There are never more than `max_connections`; beside them there is the serving thread,
/// at times one for each client that is being turned away (64 at most) and for each slow peer of
/// [`try_write`](crate::ConnectionWriter::try_write) (1,024 at most).
#[derive(Debug)]
pub struct Threading {
    crew: Arc<Crew<Job>>,
    /// What its threads are for, in their names, of which Linux keeps 15 bytes.
    kind: &'static str,
    idle_timeout: Duration,
    stack_size: Option<usize>,
    started: AtomicU64,
}

impl Default for Threading {
    fn default() -> Self {
        Threading::of_kind("worker")
    }
}

impl Threading {
    pub(crate) fn of_kind(kind: &'static str) -> Self {
        Threading {
            crew: Arc::new(Crew::new()),
            kind,
            idle_timeout: DEFAULT_IDLE_TIMEOUT,
            stack_size: None,
            started: AtomicU64::new(0),
        }
    }

    pub(crate) fn set_idle_timeout(&mut self, idle_timeout: Duration) {
        self.idle_timeout = idle_timeout;
    }

    pub(crate) fn set_stack_size(&mut self, bytes: usize) {
        self.stack_size = Some(bytes);
    }

    fn start_thread(&self) -> io::Result<()> {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let mut thread = std::thread::Builder::new().name(format!("ss-{}-{number}", self.kind));
        if let Some(bytes) = self.stack_size {
            thread = thread.stack_size(bytes);
        }
        let (crew, idle_timeout) = (Arc::clone(&self.crew), self.idle_timeout);
        thread.spawn(move || {
            let mut finished: Option<Place> = None;
            while let Some(job) = crew.next(finished.take(), idle_timeout) {
                finished = Some(job.run_keeping_place());
            }
        })?;
        Ok(())
    }
}

impl Dispatch for Threading {
    fn dispatch(&self, job: Job) -> Result<(), Refused> {
        if !self.crew.push(job) {
            return Ok(());
        }
        self.start_thread().or_else(|error| match self.crew.give_back() {
            Some(job) => {
                let reason = format!("cannot start a thread for the request: {error}");
                Err(Refused::new(job, io::Error::new(error.kind(), reason)))
            }
            None => Ok(()),
        })
    }

    fn check(&self) -> crate::Result<()> {
        match self.stack_size {
            Some(bytes) if bytes > MOST_STACK => {
                Err(invalid("stack_size", bytes, "a stack of more than 1 GiB cannot be had"))
            }
            _ => Ok(()),
        }
    }

    fn default_connections(&self) -> usize {
        DEFAULT_THREADS
    }

    fn most_connections(&self) -> usize {
        MOST_THREADS
    }

    fn stop(&self) {
        self.crew.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::sync::mpsc::channel;
    use std::sync::{Barrier, Mutex};

    use super::*;
    use crate::{handler_fn, Connection, ThreadingTcpServer};

    /// What a busy machine takes at most to start two threads.
    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn the_largest_stack_is_a_gibibyte() {
        let mut threading = Threading::default();
        assert!(threading.check().is_ok());
        threading.set_stack_size(MOST_STACK);
        assert!(threading.check().is_ok());
        threading.set_stack_size(MOST_STACK + 1);
        assert!(threading.check().unwrap_err().to_string().contains("stack_size"));
    }

    #[test]
    fn threads_are_numbered_from_one() {
        let (sender, names) = channel();
        let (sender, both) = (Arc::new(Mutex::new(sender)), Arc::new(Barrier::new(2)));
        let handler = handler_fn(move |_: &mut Connection| {
            let name = std::thread::current().name().map(str::to_owned);
            sender.lock().unwrap().send(name)?;
            // Or the first would serve the second client too.
            both.wait();
            Ok(())
        });
        let running = ThreadingTcpServer::bind("127.0.0.1:0", handler).unwrap().spawn().unwrap();
        let clients = [(); 2].map(|()| TcpStream::connect(running.local_addr()).unwrap());
        let mut seen = [(); 2].map(|()| names.recv_timeout(LIMIT).unwrap().unwrap());
        seen.sort();
        assert_eq!(seen, ["ss-worker-1", "ss-worker-2"]);
        drop(clients);
        assert!(running.stop().unwrap().is_clean());
    }
}
