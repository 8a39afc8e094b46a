//! [`SocketKind`].

/// The kind of socket an address is for; one service name can stand for different ports. Python: `SOCK_STREAM`, `SOCK_DGRAM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketKind {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
}

impl SocketKind {
    /// The protocol's name in the services file.
    pub(super) fn protocol(self) -> &'static str {
        match self {
            SocketKind::Stream => "tcp",
            SocketKind::Datagram => "udp",
        }
    }
}
