//! [`Overload`].

/// What happens to a client that comes when all places are taken. Set by [`Builder::overload`](super::Builder::overload).
///
/// On a sequential server nobody is there to turn a client away while another is served, so clients wait either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overload {
    /// It waits in the kernel's queue, of `backlog` clients, until a place is free. The default.
    ///
    /// On a datagram server with threads it waits in the server's `queue`. What comes when that is full is dropped and counted in
    /// [`Stats::dropped`](crate::Stats::dropped), and its sender is told nothing.
    #[default]
    Wait,
    /// It is sent these bytes, at most 4 KiB, and closed. They may be empty.
    ///
    /// On a datagram server with threads this comes after its `queue` is full, and only a datagram longer than these bytes is answered: so
    /// they flood nobody whose address was forged, and two full servers do not go on answering one another.
    Reject(&'static [u8]),
}
