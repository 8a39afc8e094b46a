//! The end of a request.

use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use super::deadline::Deadline;
use super::{Connection, DEFAULT_WRITE_TIMEOUT};
use crate::control::LINGER;
use crate::stream::Wait;

impl Connection {
    /// Closes cleanly: what writers have queued is sent, the peer reads the end of the file, and what it is still sending is read
    /// and thrown away for up to a second, so that no reset destroys the last answer on its way.
    ///
    /// A server does this by itself at the end of each request. Dropping a connection closes it at once, without the care.
    ///
    /// # Errors
    /// Where the last bytes could not be handed to the system; whether the peer has read them, nobody can know.
    pub fn close(mut self) -> io::Result<()> {
        self.close_gracefully()
    }

    /// Has the connection close with a reset rather than cleanly, when it is dropped, which a handler's is when its request
    /// ends: the peer's next read or write fails with [`io::ErrorKind::ConnectionReset`], and what was not yet sent is
    /// thrown away. Nothing can be written any more. TCP only; a plain close elsewhere.
    ///
    /// That is what an unfinished answer deserves that has no length in it, because a clean close would make it look whole.
    /// A connection whose last write failed half-way is closed so by itself.
    pub fn abort(&mut self) {
        self.reset();
    }

    fn reset(&mut self) {
        if let Some(socket) = self.shared.stream().socket() {
            // Fails on what is not TCP, where a reset does not exist either.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        self.aborted = true;
        self.shared.close_writers();
    }

    pub(crate) fn close_gracefully(&mut self) -> io::Result<()> {
        if self.shared.write_timeout().is_none() {
            self.shared.set_write_timeout(Some(DEFAULT_WRITE_TIMEOUT));
        }
        if self.aborted || self.shared.is_cut() {
            // There is nothing left to see to. That a request was cut is in the stop's report, and its handler has been told.
            return Ok(());
        }
        if let Some(error) = self.shared.poisoned() {
            // A client that reads to the end must not take half an answer for the whole.
            self.reset();
            return Err(error);
        }
        let ended = self.input.ended;
        // Where the peer has ended, nothing can come any more that a close would answer with a reset.
        let sent = if ended { self.shared.flush() } else { self.shared.shutdown_write() };
        self.shared.close_writers();
        match sent {
            // The peer went first, or the handler had shut this side down: nothing of ours was lost.
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
            _ => {
                if !ended {
                    self.discard(Instant::now() + LINGER);
                }
                Ok(())
            }
        }
    }

    /// Reads and throws away until the peer ends or `deadline` comes.
    fn discard(&mut self, deadline: Instant) {
        while !self.shared.is_cut() {
            match self.shared.stream().read(self.input.room(), Wait::until(deadline)) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// Says `farewell` to a client that is not served, and closes cleanly.
    pub(crate) fn turn_away(&mut self, farewell: &[u8]) {
        self.shared.set_write_timeout(Some(LINGER));
        self.shared.set_deadline(Deadline::after(Some(LINGER)));
        let _ = self.shared.write_all(farewell);
        let _ = self.close_gracefully();
    }

    /// As [`turn_away`](Connection::turn_away) where nobody can wait: what fits into the socket's empty buffer is sent, and
    /// a client that is still sending may see a reset.
    pub(crate) fn turn_away_now(&mut self, farewell: &[u8]) {
        let stream = self.shared.stream();
        let _ = stream.try_write(farewell);
        let _ = stream.shutdown(Shutdown::Write);
    }
}

impl Drop for Connection {
    /// A writer that waits for a peer which does not read must not keep the socket open.
    fn drop(&mut self) {
        self.shared.close_writers();
    }
}
