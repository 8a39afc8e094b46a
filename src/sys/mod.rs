//! What differs between operating systems: error numbers and flags that std does not name, and limits.

mod random;
mod shareable;

use std::io;
use std::mem::MaybeUninit;

pub(crate) use random::random;
pub(crate) use shareable::{Shareable, EVENTS_REARM};

/// What a failed accept, or a failed receive on a datagram socket, means for the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptClass {
    /// Nobody is waiting.
    Empty,
    /// That one connection is lost; the next may be fine. accept(2) asks to treat the network errors of a new connection so.
    NextOne,
    /// The listening socket itself is unusable.
    Fatal,
    /// The system is short of something. Also for what nobody has heard of: backing off is never wrong.
    Shortage,
}

pub(crate) fn classify_accept(error: &io::Error) -> AcceptClass {
    match error.kind() {
        io::ErrorKind::WouldBlock => return AcceptClass::Empty,
        io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {
            return AcceptClass::NextOne
        }
        // On a datagram socket: an earlier answer found nobody (ICMP port unreachable), or was too long for the way there.
        io::ErrorKind::ConnectionRefused => return AcceptClass::NextOne,
        _ if is_message_size(error) => return AcceptClass::NextOne,
        // EPERM: a firewall rule forbids that one connection.
        io::ErrorKind::PermissionDenied => return AcceptClass::NextOne,
        // On Apple's systems also what comes of preparing the socket of a client that has gone already.
        io::ErrorKind::InvalidInput if cfg!(target_vendor = "apple") => return AcceptClass::NextOne,
        io::ErrorKind::InvalidInput => return AcceptClass::Fatal,
        _ => {}
    }
    match error.raw_os_error() {
        Some(code) if errno::NEXT_ONE.contains(&code) => AcceptClass::NextOne,
        Some(code) if errno::FATAL.contains(&code) => AcceptClass::Fatal,
        _ => AcceptClass::Shortage,
    }
}

/// Whether a non-blocking connect has begun rather than failed.
pub(crate) fn connect_has_begun(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(errno::IN_PROGRESS)
}

/// Whether a connected datagram socket has been told that nobody is bound at the peer's port (ICMP port unreachable).
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
        // Windows calls it WSAECONNRESET.
        || (cfg!(windows) && error.kind() == io::ErrorKind::ConnectionReset)
}

/// Whether it is EMSGSIZE: a datagram too long for the path, told by the system or by a router; on Windows also one that came and was too
/// long for the buffer.
pub(crate) fn is_message_size(error: &io::Error) -> bool {
    error.raw_os_error() == Some(errno::MESSAGE_SIZE)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod errno {
    pub(super) const IN_PROGRESS: i32 = 115;
    pub(super) const MESSAGE_SIZE: i32 = 90;
    /// EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT.
    pub(super) const NEXT_ONE: &[i32] = &[71, 100, 92, 112, 64, 113, 101, 110];
    /// EBADF, EFAULT, EINVAL, ENOTSOCK, EOPNOTSUPP.
    pub(super) const FATAL: &[i32] = &[9, 14, 22, 88, 95];
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
mod errno {
    pub(super) const IN_PROGRESS: i32 = 36;
    pub(super) const MESSAGE_SIZE: i32 = 40;
    /// EPROTO (macOS, then FreeBSD, OpenBSD, NetBSD), ENETDOWN, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT.
    pub(super) const NEXT_ONE: &[i32] = &[100, 92, 95, 96, 50, 64, 65, 51, 60];
    /// EBADF, EFAULT, EINVAL, ENOTSOCK.
    pub(super) const FATAL: &[i32] = &[9, 14, 22, 38];
}

#[cfg(windows)]
mod errno {
    pub(super) const IN_PROGRESS: i32 = 10036;
    pub(super) const MESSAGE_SIZE: i32 = 10040;
    /// WSAENETDOWN, WSAENETRESET.
    pub(super) const NEXT_ONE: &[i32] = &[10050, 10052];
    /// WSAEBADF, WSAEFAULT, WSAEINVAL, WSAENOTSOCK, WSAEOPNOTSUPP.
    pub(super) const FATAL: &[i32] = &[10009, 10014, 10022, 10038, 10045];
}

/// Not to wait in this one call, although the socket is a blocking one.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MSG_DONTWAIT: i32 = 0x40;

/// Sends what the socket takes at once, although the socket is a blocking one. `None` where the system has no way to say so.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn send_now(socket: &socket2::Socket, buf: &[u8]) -> Option<io::Result<usize>> {
    /// An embedding program may have reset SIGPIPE to kill the process.
    const MSG_NOSIGNAL: i32 = 0x4000;
    Some(socket.send_with_flags(buf, MSG_DONTWAIT | MSG_NOSIGNAL))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn send_now(_: &socket2::Socket, _: &[u8]) -> Option<io::Result<usize>> {
    None
}

/// Whether [`discard_waiting`] wants the socket set so that it does not block.
pub(crate) const DISCARDING_NEEDS_NONBLOCKING: bool = cfg!(not(any(target_os = "linux", target_os = "android")));

/// Takes a datagram, or a pending error, off a socket without waiting for one. Whether there was anything.
pub(crate) fn discard_waiting(socket: &socket2::Socket) -> io::Result<bool> {
    let mut first_byte = [MaybeUninit::uninit(); 1];
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let taken = socket.recv_with_flags(&mut first_byte, MSG_DONTWAIT);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let taken = socket.recv(&mut first_byte);
    match taken {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        _ => Ok(true),
    }
}

/// Whether an accepted TCP socket has the listener's timeouts, NODELAY and keep-alive from the start, which saves three calls a
/// connection. Verified on Linux; elsewhere each connection is given them.
pub(crate) const ACCEPTED_INHERIT: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Whether, after a read that did not fill the buffer, the next event comes by itself when there is more, so that the read which would
/// only say so can be left out. So it is where mio stands on epoll(7); mio on poll(2) has to see that nothing is left.
pub(crate) const SHORT_READ_IS_LAST: bool =
    cfg!(all(any(target_os = "linux", target_os = "android"), not(mio_unsupported_force_poll_poll)));

/// What a stream is reported for that is to be read: urgent data too, where mio knows such a thing, because a read stops before it.
pub(crate) fn readable() -> mio::Interest {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return mio::Interest::READABLE | mio::Interest::PRIORITY;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return mio::Interest::READABLE;
}

/// Whether an event tells of urgent data.
pub(crate) fn is_urgent(event: &mio::event::Event) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return event.is_priority();
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = event;
        false
    }
}

/// Whether urgent data is waited for, where mio knows such a thing. Its events are readable ones.
pub(crate) fn is_priority(interest: mio::Interest) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return interest.is_priority();
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = interest;
        false
    }
}

/// How many descriptors this process may have open, where that can be read.
pub(crate) fn descriptor_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many memory mappings this process may have, where that can be read.
#[cfg(feature = "coroutine")]
pub(crate) fn mapping_limit() -> Option<usize> {
    std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn every_accept_error_has_its_class() {
        let class = |code| classify_accept(&io::Error::from_raw_os_error(code));
        for (code, expected) in [
            (11, AcceptClass::Empty),      // EAGAIN
            (103, AcceptClass::NextOne),   // ECONNABORTED
            (4, AcceptClass::NextOne),     // EINTR
            (71, AcceptClass::NextOne),    // EPROTO
            (1, AcceptClass::NextOne),     // EPERM
            (100, AcceptClass::NextOne),   // ENETDOWN
            (111, AcceptClass::NextOne),   // ECONNREFUSED
            (90, AcceptClass::NextOne),    // EMSGSIZE
            (24, AcceptClass::Shortage),   // EMFILE
            (23, AcceptClass::Shortage),   // ENFILE
            (105, AcceptClass::Shortage),  // ENOBUFS
            (12, AcceptClass::Shortage),   // ENOMEM
            (9, AcceptClass::Fatal),       // EBADF
            (22, AcceptClass::Fatal),      // EINVAL
            (88, AcceptClass::Fatal),      // ENOTSOCK
            (4242, AcceptClass::Shortage), // not heard of
        ] {
            assert_eq!(class(code), expected, "errno {code}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn reads_the_descriptor_limit() {
        assert!(descriptor_limit().unwrap() >= 64);
    }
}
