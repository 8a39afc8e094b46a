//! [`Error`], [`Result`] and [`Phase`].

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

use crate::framing::FramingError;

/// The result of this crate's own operations. The error type can be replaced, as with [`std::io::Result`]'s kin.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, on which address, and what usually causes it.
///
/// Binding, connecting, configuring and serving return it as it is. Reading and writing return [`std::io::Error`], because
/// [`std::io::Read`] and [`std::io::Write`] ask for it; where this crate made the error, an `Error` is its inner error:
///
/// A `main` that does both can return [`std::io::Result`]: `?` makes an [`std::io::Error`] of an `Error`.
///
/// ```
/// use std::io;
/// use std::time::Duration;
/// use socketserver::{Error, Phase};
///
/// let error = io::Error::from(Error::Timeout {
///     phase: Phase::Read,
///     address: "127.0.0.1:4000".into(),
///     after: Duration::from_secs(60),
/// });
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// assert!(matches!(Error::of(&error), Some(Error::Timeout { phase: Phase::Read, .. })));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text given as an address is not one: no port, a port above 65,535, an empty host, a Unix path too long.
    #[error("invalid address {address:?}: {reason}")]
    InvalidAddress {
        /// The address as it was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A host or service name has no address or port.
    #[error("cannot resolve {name:?}: {source} (a misspelt name, or no name server within reach?)")]
    Resolve {
        /// The name as it was given.
        name: String,
        /// What the system's resolver said.
        source: io::Error,
    },

    /// A server's socket could not be made, bound or set to listen.
    #[error("cannot listen on {address}: {source}{}", bind_hint(.source))]
    Bind {
        /// The address as it was given.
        address: String,
        /// What the system said; where the address stands for several, about the last of them.
        source: io::Error,
    },

    /// None of the addresses a name stands for took the connection. Python: `create_connection(…, all_errors=True)`.
    #[error("cannot connect to {address}: {}", attempts_text(.address, .attempts))]
    Connect {
        /// The address as it was given.
        address: String,
        /// Every address that was tried, in order, with what it said.
        attempts: Vec<(SocketAddr, io::Error)>,
    },

    /// A wait ran out. As an [`std::io::Error`] its kind is [`std::io::ErrorKind::TimedOut`] on every system.
    #[error("{phase} timed out after {after:?} ({address})")]
    Timeout {
        /// Which wait it was.
        phase: Phase,
        /// The peer, or the address that was being connected to or looked up.
        address: String,
        /// The limit that ran out.
        after: Duration,
    },

    /// The server's stop cut this connection, or this datagram's answers: its drain deadline had passed. Kind: [`std::io::ErrorKind::ConnectionAborted`].
    #[error("{address} cut off: the server is shutting down and the drain deadline has passed")]
    Cut {
        /// The peer.
        address: String,
    },

    /// An earlier write stopped half-way, so nothing sent now could be understood. Kind: [`std::io::ErrorKind::BrokenPipe`].
    #[error("cannot write to {address}: an earlier write failed part of the way ({reason})")]
    Poisoned {
        /// The peer.
        address: String,
        /// What the earlier write failed with.
        reason: String,
    },

    /// More would have waited to be sent than the hard limit of the write buffer allows: the peer does not read. Kind:
    /// [`std::io::ErrorKind::ConnectionAborted`].
    #[error(
        "connection with {address} closed: more than {limit} bytes would have waited to be sent \
         (a peer that does not read, or an answer to be written in pieces?)"
    )]
    WriteBufferFull {
        /// The peer.
        address: String,
        /// The limit in bytes.
        limit: usize,
    },

    /// A line or a frame broke its limit or its form. Kind: [`std::io::ErrorKind::InvalidData`], or
    /// [`std::io::ErrorKind::UnexpectedEof`] where it ended early.
    #[error("bad data on the connection with {address}: {source}")]
    Framing {
        /// The peer.
        address: String,
        /// What was wrong with the data.
        source: FramingError,
    },

    /// A datagram is longer than UDP can carry. Nothing was sent. Kind: [`std::io::ErrorKind::InvalidInput`].
    #[error("cannot send {size} bytes to {address}: a datagram to there carries at most {limit}")]
    TooLarge {
        /// The peer.
        address: String,
        /// The length that was given, in bytes, with the request's id where it has one.
        size: usize,
        /// The most there can be, in bytes.
        limit: usize,
    },

    /// An answer is longer than the limit, so it would have been cut, and was thrown away. Kind: [`std::io::ErrorKind::InvalidData`].
    #[error("the answer of {address} is longer than {limit} bytes (raise max_packet_size?)")]
    Truncated {
        /// The peer.
        address: String,
        /// The limit in bytes.
        limit: usize,
    },

    /// The peer's system has said that nobody is bound to that UDP port, and no answer came. Kind:
    /// [`std::io::ErrorKind::ConnectionRefused`].
    #[error("{address} refused the datagram: {source} (is nobody bound to that port?)")]
    Refused {
        /// The peer.
        address: String,
        /// What the system said.
        source: io::Error,
    },

    /// A setting cannot be used. Nothing was bound or started.
    #[error("{setting} cannot be {value}: {reason}")]
    InvalidSetting {
        /// The setting's name, as on the builder or the connection.
        setting: &'static str,
        /// The value it was given.
        value: String,
        /// Why not.
        reason: Cow<'static, str>,
    },

    /// A selector's key names nothing, or nothing of that type.
    #[error("nothing{} is registered under key {key} (unregistered or fired already, or another selector's?)", of_type(.expected))]
    NotRegistered {
        /// The key.
        key: String,
        /// The type that was asked for; empty where none was.
        expected: &'static str,
    },

    /// The same descriptor is registered with the selector already, or the source with another one.
    #[error("cannot register a source twice: {source} (unregister it first, here or with the selector it belongs to)")]
    AlreadyRegistered {
        /// What the system, or mio, said.
        source: io::Error,
    },

    /// The selector has been closed.
    #[error("the selector has been closed")]
    SelectorClosed,

    /// The server has been stopped. A server serves once; bind a new one.
    #[error("the server on {address} has been stopped; a server serves once, bind a new one")]
    Closed {
        /// The address it listened on.
        address: String,
    },

    /// The listening socket is unusable, so serving has ended. Shortages never end it.
    #[error("cannot accept on {address} any more: {source} (was the listening socket closed or shut down elsewhere?)")]
    Accept {
        /// The address it listened on.
        address: String,
        /// What the system said.
        source: io::Error,
    },

    /// The system refused something that the crate needs: a thread, a poller, a file.
    #[error("cannot {operation}: {source}")]
    System {
        /// What was attempted.
        operation: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// The `Error` within an [`std::io::Error`] that this crate made, if it is one.
    pub fn of(error: &io::Error) -> Option<&Error> {
        error.get_ref()?.downcast_ref()
    }

    /// What the system said of `operation`; or, where it was not the system but a stop that cut the coroutine, that.
    pub(crate) fn system(operation: String, source: io::Error) -> Error {
        match Error::of(&source) {
            Some(Error::Cut { address }) => Error::Cut { address: address.clone() },
            _ => Error::System { operation, source },
        }
    }

    /// The kind that an [`std::io::Error`] made of this has.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Error::InvalidAddress { .. } | Error::InvalidSetting { .. } | Error::TooLarge { .. } => {
                io::ErrorKind::InvalidInput
            }
            Error::Truncated { .. } => io::ErrorKind::InvalidData,
            Error::Refused { .. } => io::ErrorKind::ConnectionRefused,
            Error::Resolve { source, .. }
            | Error::Bind { source, .. }
            | Error::Accept { source, .. }
            | Error::System { source, .. } => source.kind(),
            Error::Connect { attempts, .. } => {
                attempts.last().map_or(io::ErrorKind::AddrNotAvailable, |(_, error)| error.kind())
            }
            Error::Timeout { .. } => io::ErrorKind::TimedOut,
            Error::Cut { .. } | Error::WriteBufferFull { .. } => io::ErrorKind::ConnectionAborted,
            Error::Poisoned { .. } => io::ErrorKind::BrokenPipe,
            Error::Framing { source, .. } => source.kind(),
            Error::NotRegistered { .. } => io::ErrorKind::NotFound,
            Error::AlreadyRegistered { .. } => io::ErrorKind::AlreadyExists,
            Error::Closed { .. } | Error::SelectorClosed => io::ErrorKind::NotConnected,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(error.kind(), error)
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// The wait that a [`Error::Timeout`] speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Looking a name up.
    Resolve,
    /// Connecting, look-up included.
    Connect,
    /// Waiting for bytes: no progress for the read timeout.
    Read,
    /// Waiting for room to write: no progress for the write timeout.
    Write,
    /// Waiting for a datagram: an answer, retries included.
    Answer,
    /// Everything by a deadline, even if bytes kept coming: the server's `request_deadline`, or one the connection was given.
    Request,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Resolve => "looking the name up",
            Phase::Connect => "connecting",
            Phase::Read => "reading",
            Phase::Write => "writing",
            Phase::Answer => "waiting for an answer",
            Phase::Request => "reading and writing by the deadline",
        })
    }
}

/// The usual cause of a failing bind, in brackets behind the system's own words.
fn bind_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        // Where this crate has looked into it, it says more itself.
        _ if source.get_ref().is_some() => "",
        io::ErrorKind::AddrInUse => " (does another server run there?)",
        io::ErrorKind::PermissionDenied => " (a port below 1024, or a folder that may not be written to?)",
        io::ErrorKind::AddrNotAvailable => " (no interface of this machine has that address)",
        io::ErrorKind::NotFound => " (does the folder exist?)",
        _ => "",
    }
}

fn of_type(expected: &str) -> String {
    if expected.is_empty() {
        return String::new();
    }
    format!(" of type {expected}")
}

fn attempts_text(given: &str, attempts: &[(SocketAddr, io::Error)]) -> String {
    if attempts.is_empty() {
        return "it stands for no address of the wanted family (that of the source address, if one is set)".to_owned();
    }
    let text = |(address, error): &(SocketAddr, io::Error)| match attempts {
        // It has been named already.
        [_] if address.to_string() == given => format!("{error}{}", connect_hint(error)),
        _ => format!("{address}: {error}{}", connect_hint(error)),
    };
    attempts.iter().map(text).collect::<Vec<_>>().join("; ")
}

fn connect_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => " (is no server running there?)",
        _ => "",
    }
}

/// The text of an error that may be the user's own, whose `Display` may fail or panic.
pub(crate) fn text_of(error: &io::Error) -> String {
    let mut text = String::new();
    // `to_string` would panic where `Display` fails.
    let written = catch_unwind(AssertUnwindSafe(|| fmt::write(&mut text, format_args!("{error}"))));
    if let Err(payload) = written {
        // Whatever it is, its drop may panic too.
        std::mem::forget(payload);
    }
    text
}
