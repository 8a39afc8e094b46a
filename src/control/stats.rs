//! [`Stats`] and the counters behind it.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a server has seen since it was bound.
///
/// The numbers are read one by one while others count on, and a request has its place before it is counted as accepted: under a flood
/// `active` may be hundreds above `accepted`. So never subtract one from another; compare each with what it was.
///
/// Some requests count twice. Whom `verify_request` or the limit per address turns away had a place, and is in both `accepted` and
/// `rejected`; whom the ceiling turns away is in `rejected` only. A datagram too short for [`Identified`](crate::udp::Identified) is in
/// both `accepted` and `dropped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Requests accepted and given a place, those too that were then turned away by `verify_request` or by the limit per address.
    pub accepted: u64,
    /// Requests under way now.
    pub active: u64,
    /// Requests turned away: by `verify_request`, by the limit per address, or at the ceiling under `Overload::Reject`. The first
    /// two kinds are in `accepted` too.
    pub rejected: u64,
    /// Requests that ended in an error: of the handler, of the preparation, of the close; of the connection, on an event loop.
    pub handler_errors: u64,
    /// Panics caught, in handlers and in hooks.
    pub panics: u64,
    /// Failed accepts, whatever the reason. On a datagram server, errors that the system told instead of a datagram, such as that nobody was
    /// bound where an earlier answer went.
    pub accept_errors: u64,
    /// Requests dropped because no thread could be started for them, or no event loop could take them in.
    pub spawn_failures: u64,
    /// Datagrams dropped. Of those that came: longer than `max_packet_size`; more than `queue` holds; received, but without a place when the
    /// server stopped; from port 0, which is forged; too short for an id, under [`Identified`](crate::udp::Identified). Of those that an event
    /// loop was to send: more than may wait, refused by the system, or left when the socket was closed. What the system itself drops, in a full
    /// receive buffer, is not known here.
    pub dropped: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: Counter,
    pub(crate) rejected: Counter,
    pub(crate) handler_errors: Counter,
    pub(crate) panics: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) spawn_failures: Counter,
    pub(crate) dropped: Counter,
}

impl Counters {
    pub(crate) fn snapshot(&self, active: usize) -> Stats {
        Stats {
            accepted: self.accepted.get(),
            active: active as u64,
            rejected: self.rejected.get(),
            handler_errors: self.handler_errors.get(),
            panics: self.panics.get(),
            accept_errors: self.accept_errors.get(),
            spawn_failures: self.spawn_failures.get(),
            dropped: self.dropped.get(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
