//! [`Stream`], the seam under a [`Connection`](crate::Connection), and [`Wait`].

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::clock::earlier;

/// How long one read or write may wait: for `timeout` without progress, and not past `deadline`, whichever comes first.
///
/// Two values rather than one instant, because a socket keeps its timeout between calls: where no deadline is near, nothing
/// needs to be set or even computed.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Wait {
    /// The longest wait for progress; `None` is no limit. Never zero.
    pub timeout: Option<Duration>,
    /// The end of the whole exchange; `None` is no limit.
    pub deadline: Option<Instant>,
}

impl Wait {
    /// No waiting past `deadline`.
    pub fn until(deadline: Instant) -> Self {
        Wait { timeout: None, deadline: Some(deadline) }
    }

    /// What is left to wait for somebody who began at `started`: `Ok(None)` is for ever.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when nothing is left.
    pub fn left(&self, started: Instant) -> io::Result<Option<Duration>> {
        let end = self.timeout.and_then(|timeout| started.checked_add(timeout));
        let Some(end) = earlier(end, self.deadline) else { return Ok(None) };
        match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

/// A two-way stream of bytes that a [`Connection`](crate::Connection) can stand on: a TCP or Unix socket, one end of a pipe in
/// memory, a TLS session.
///
/// All methods take `&self`, so that one thread may read while another writes and a third cuts both. Buffering, total deadlines,
/// lingering and the like are the connection's business, not the stream's.
///
/// Dropping it closes it. Before that a connection that ends calls `shutdown(Write)` and reads on for a while. From another thread, `shutdown(Both)`
/// may come at any moment, when a server's stop cuts the connection, and `shutdown(Read)` when a stop finds it in
/// [`await_request`](crate::Connection::await_request): reading that waits ends then, writing goes on.
pub trait Stream: Send + Sync + fmt::Debug {
    /// Reads what has come, waiting for the first byte. `Ok(0)` is the end of the stream (`buf` is never empty).
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when `wait` has run out; whatever the transport says.
    fn read(&self, buf: &mut [u8], wait: Wait) -> io::Result<usize>;

    /// Writes some of `buf` and returns how much, waiting for room for the first byte.
    ///
    /// # Errors
    /// As [`read`](Stream::read).
    fn write(&self, buf: &[u8], wait: Wait) -> io::Result<usize>;

    /// Writes what can be taken at once, and never waits. Where that cannot be done, as by default, the connection writes from a
    /// thread of its own.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing can be taken; whatever the transport says.
    fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        let _ = buf;
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Whether a read is worth trying. `false` is said only where nothing has come since the last one, by a stream that is told when
    /// something does: a connection gives its buffer back then, and asks [`await_readable`](Stream::await_readable) before the next read.
    fn is_readable(&self) -> bool {
        true
    }

    /// Waits until a read is worth trying. By default it is at once, and the read waits itself.
    ///
    /// # Errors
    /// As [`read`](Stream::read).
    fn await_readable(&self, wait: Wait) -> io::Result<()> {
        let _ = wait;
        Ok(())
    }

    /// Ends one direction or both. Reads and writes that wait in other threads return. Never blocks.
    ///
    /// # Errors
    /// Whatever the transport says, such as that the peer has gone.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// The socket at the bottom, if there is one.
    fn socket(&self) -> Option<SockRef<'_>> {
        None
    }
}
