//! [`ShutdownReport`].

/// How a server's stop went: what `serve_forever` and `join` return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Requests that were under way at the stop and ended by themselves within the drain timeout. One whose client has gone
    /// is under way until its handler has noticed; one whose client has had the answer, until its handler has returned.
    pub drained: usize,
    /// Requests that the drain deadline cut: their sockets were shut down under them.
    pub abandoned: usize,
    /// Those of the abandoned whose handlers had not returned when the report was made: they compute on, or wait for something
    /// other than their connection, and nothing can cut that. With `block_on_close(false)`, every request that was under way.
    pub still_running: usize,
}

impl ShutdownReport {
    /// The report of both.
    pub(crate) fn and(self, other: ShutdownReport) -> ShutdownReport {
        ShutdownReport {
            drained: self.drained + other.drained,
            abandoned: self.abandoned + other.abandoned,
            still_running: self.still_running + other.still_running,
        }
    }

    /// Whether every request ended by itself.
    pub fn is_clean(&self) -> bool {
        self.abandoned == 0 && self.still_running == 0
    }
}
