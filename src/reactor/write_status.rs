//! [`WriteStatus`].

/// What [`Transport::write`](super::Transport::write) did with the data. Nothing needs to be done about it: `pause_writing` and
/// `connection_lost` tell the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteStatus {
    /// The system has taken all of it.
    Sent,
    /// Some of it waits in the write buffer.
    Buffered,
    /// Some of it waits, and the buffer stands above the high mark: a producer should pause.
    AboveHighMark,
    /// The connection is closing or lost, perhaps by this very write. Nothing was kept.
    Closed,
}
