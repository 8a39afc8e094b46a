//! [`UdpClientStats`].

/// What a [`UdpClient`](super::UdpClient) has seen since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UdpClientStats {
    /// Datagrams handed to the system, the repeated ones included.
    pub sent: u64,
    /// Datagrams of these that repeated an earlier one, because no answer had come.
    pub retried: u64,
    /// Datagrams that came while the client waited, whatever became of them.
    pub received: u64,
    /// Datagrams of these that were not the answer: the predicate said no, or the id was another one.
    pub passed_over: u64,
    /// Datagrams of those received that were an answer, but longer than `max_packet_size`.
    pub truncated: u64,
    /// Requests and waits that ended at their deadline without an answer.
    pub timed_out: u64,
    /// How often the peer's system said that nobody is bound to its port. Each may have ended a request, or been a hint.
    pub refused: u64,
    /// Fresh local ports taken after the first.
    pub renewed: u64,
}
