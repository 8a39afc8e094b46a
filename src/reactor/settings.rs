//! [`TransportSettings`]: what transports begin with.

use std::time::Duration;

use crate::connection::StreamSettings;
use crate::error::Result;
use crate::server::invalid;

/// Above so many unsent bytes `pause_writing` is called, and the connection is not read. asyncio's default.
const DEFAULT_HIGH: usize = 64 * 1024;
/// At so many or fewer `resume_writing` is called. asyncio's default, a quarter of the high mark.
const DEFAULT_LOW: usize = 16 * 1024;
/// Above so many the connection is closed: its peer does not read. In the worst case the memory is this times `max_connections`.
const DEFAULT_HARD: usize = 1024 * 1024;

/// The water marks of the write buffer, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteLimits {
    pub(crate) high: usize,
    pub(crate) low: usize,
    pub(crate) hard: usize,
}

impl Default for WriteLimits {
    fn default() -> Self {
        WriteLimits { high: DEFAULT_HIGH, low: DEFAULT_LOW, hard: DEFAULT_HARD }
    }
}

impl WriteLimits {
    pub(crate) fn check(self) -> Result<Self> {
        let WriteLimits { high, low, hard } = self;
        if low > high {
            return Err(invalid(
                "write_buffer_limits",
                format_args!("high {high}, low {low}"),
                "the low mark is where writing resumes, so it lies at or below the high one",
            ));
        }
        if hard < high || hard == 0 {
            return Err(invalid(
                "write_buffer_hard_limit",
                format_args!("{hard} with a high mark of {high}"),
                "the connection would be closed before its writer is paused",
            ));
        }
        Ok(self)
    }
}

/// The server has them; a connection that changes one has its own copy from then on.
#[derive(Debug, Clone)]
pub(crate) struct TransportSettings {
    pub(crate) limits: WriteLimits,
    /// Read although the write buffer stands above the high mark.
    pub(crate) read_while_full: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    /// Counted from the acceptance, or from when it was set.
    pub(crate) deadline: Option<Duration>,
}

impl TransportSettings {
    pub(crate) fn new(stream: &StreamSettings, limits: WriteLimits, read_while_full: bool) -> Self {
        TransportSettings {
            limits,
            read_while_full,
            timeout: stream.read_timeout,
            write_timeout: stream.write_timeout,
            deadline: stream.request_deadline,
        }
    }
}
