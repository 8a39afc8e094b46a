//! [`Request`]: what the server machinery asks of a request.

use crate::address::Address;
use crate::connection::{Connection, Deadline};
use crate::control::Target;
use crate::datagram::Datagram;
use std::time::{Duration, Instant};

/// What a listener accepts and a [`Handler`](crate::Handler) serves. Implemented by this crate's request types only; a listener of
/// your own brings its own [`Stream`](crate::Stream) and makes a [`Connection`] of it.
pub trait Request: sealed::Steps {}

pub(crate) mod sealed {
    use std::time::{Duration, Instant};

    use super::{Address, Target};

    /// What is asked of whatever is accepted, before anybody serves it.
    pub trait Arrival: Send + 'static {
        /// Whether it is kept in a queue of the server's own while there is no place for it, because what the system keeps is little and
        /// is lost unseen.
        const QUEUED: bool = false;
        /// Whether taking leave of it waits for nothing, so that it needs no thread.
        const LEAVES_AT_ONCE: bool = false;
        fn peer(&self) -> &Address;
        /// What a stop may have to cut.
        fn cut_target(&self) -> Target;
        /// Ends a request that is not served.
        fn turn_away(&mut self, farewell: &[u8]);
        /// The same where nobody can wait.
        fn turn_away_now(&mut self, farewell: &[u8]);
    }

    /// What is asked of a request while it is served.
    pub trait Steps: Arrival {
        /// Does something that must not wait past `deadline`, which was `timeout` off when it was set, and puts the request's own limits back.
        fn within(
            &mut self,
            deadline: Instant,
            timeout: Duration,
            step: &mut dyn FnMut(&mut Self) -> std::io::Result<()>,
        ) -> std::io::Result<()>;
        /// Ends a request that was served, cleanly.
        fn close(&mut self) -> std::io::Result<()>;
    }
}

impl Request for Connection {}

impl Request for Datagram {}

impl sealed::Arrival for Connection {
    fn peer(&self) -> &Address {
        Connection::peer(self)
    }

    fn cut_target(&self) -> Target {
        Some(Connection::cut_target(self))
    }

    fn turn_away(&mut self, farewell: &[u8]) {
        Connection::turn_away(self, farewell);
    }

    fn turn_away_now(&mut self, farewell: &[u8]) {
        Connection::turn_away_now(self, farewell);
    }
}

impl sealed::Steps for Connection {
    fn within(
        &mut self,
        deadline: Instant,
        timeout: Duration,
        step: &mut dyn FnMut(&mut Self) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        Connection::within(self, Deadline { at: deadline, within: timeout }, step)
    }

    fn close(&mut self) -> std::io::Result<()> {
        self.close_gracefully()
    }
}

impl sealed::Arrival for Datagram {
    const QUEUED: bool = true;
    const LEAVES_AT_ONCE: bool = true;

    fn peer(&self) -> &Address {
        Datagram::peer(self)
    }

    /// There is no connection to cut.
    fn cut_target(&self) -> Target {
        None
    }

    fn turn_away(&mut self, farewell: &[u8]) {
        self.turn_away_now(farewell);
    }

    fn turn_away_now(&mut self, farewell: &[u8]) {
        if !farewell.is_empty() {
            self.say_in_leaving(farewell);
        }
    }
}

impl sealed::Steps for Datagram {
    fn within(
        &mut self,
        _: Instant,
        _: Duration,
        step: &mut dyn FnMut(&mut Self) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        // It has come already, whole.
        step(self)
    }

    fn close(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
