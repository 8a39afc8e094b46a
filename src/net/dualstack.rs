//! [`has_dualstack_ipv6`].

use socket2::{Domain, Protocol, Socket, Type};

/// Whether one socket on `[::]` can serve IPv4 as well as IPv6 here. Python: `socket.has_dualstack_ipv6`.
///
/// It opens a socket, switches `IPV6_V6ONLY` off, reads the option back (some systems take the call and ignore it) and closes
/// the socket. It says nothing of whether the machine has an IPv6 address.
pub fn has_dualstack_ipv6() -> bool {
    Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))
        .and_then(|socket| {
            socket.set_only_v6(false)?;
            socket.only_v6()
        })
        .is_ok_and(|only_v6| !only_v6)
}
