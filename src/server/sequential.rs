//! [`Sequential`].

use super::dispatch::{Dispatch, Job, Refused};

/// One request at a time, on the serving thread: Python's plain `TCPServer`. The next client waits in the kernel's queue.
#[derive(Debug, Default)]
pub struct Sequential(());

impl Dispatch for Sequential {
    fn dispatch(&self, job: Job) -> Result<(), Refused> {
        job.run();
        Ok(())
    }

    fn runs_inline(&self) -> bool {
        true
    }

    fn default_connections(&self) -> usize {
        1
    }

    fn most_connections(&self) -> usize {
        1
    }
}
