//! [`Family`].

use std::net::SocketAddr;

/// Which addresses are wanted. Python: `AF_UNSPEC`, `AF_INET`, `AF_INET6`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Family {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Family {
    pub(super) fn includes(self, address: &SocketAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        }
    }

    /// What to say of a name that has no address of this family.
    pub(super) fn missing(self) -> &'static str {
        match self {
            Family::Any => "it has no address",
            Family::V4 => "it has no IPv4 address",
            Family::V6 => "it has no IPv6 address",
        }
    }
}
