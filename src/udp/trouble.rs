//! [`Trouble`].

use std::io;

use crate::sys;

/// What a failed send or receive says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It was interrupted, or there is no room in the system's buffer.
    Passing,
    /// Nobody is bound to the peer's port.
    Refusal,
    /// A router could not pass the request on in one piece. The system sends the next one in several.
    TooLong,
    /// It will not be better the next time.
    Other,
}

impl Trouble {
    pub(super) fn of(error: &io::Error) -> Trouble {
        match error.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Trouble::Passing,
            _ if sys::is_refusal(error) => Trouble::Refusal,
            _ if sys::is_message_size(error) => Trouble::TooLong,
            _ => Trouble::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which no test over a network brings about.
    #[test]
    #[cfg(target_os = "linux")]
    fn what_fails_ends_the_request_or_does_not() {
        for (code, expected) in [
            (4, Trouble::Passing),   // EINTR
            (11, Trouble::Passing),  // EAGAIN
            (110, Trouble::Passing), // ETIMEDOUT
            (111, Trouble::Refusal), // ECONNREFUSED
            (90, Trouble::TooLong),  // EMSGSIZE
            (9, Trouble::Other),     // EBADF
            (12, Trouble::Other),    // ENOMEM
        ] {
            assert_eq!(Trouble::of(&io::Error::from_raw_os_error(code)), expected, "errno {code}");
        }
    }
}
