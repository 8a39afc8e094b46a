//! [`Failure`], [`Stage`] and [`Cause`].

use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::address::{escaped, Address};

/// What `handle_error` is told: what failed, for whom, and how.
///
/// It displays as one line, control characters escaped: `handle of 127.0.0.1:4000 failed: connection reset by peer`. None
/// of the peer's data is in it, but what a handler put into its error.
#[derive(Debug)]
pub struct Failure {
    stage: Stage,
    peer: Option<Address>,
    cause: Cause,
    finish: Option<Cause>,
}

/// The stage of a request, or the hook, that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// Finding a thread for the request. It was closed unserved.
    Dispatch,
    /// The listener's preparation, such as a TLS handshake.
    Prepare,
    /// The `verify_request` hook, by a panic; the request was turned away.
    VerifyRequest,
    /// Cloning the handler, or the protocol.
    Clone,
    /// The handler's `setup`.
    Setup,
    /// The handler's `handle`.
    Handle,
    /// The handler's `finish`, after a `handle` that did not fail.
    Finish,
    /// Dropping the handler, or the protocol.
    Drop,
    /// Sending the last bytes at the close.
    Close,
    /// The `handle_timeout` hook.
    HandleTimeout,
    /// The `service_actions` hook.
    ServiceActions,
    /// The connection of an event-driven server: reset, timed out, cut, or given up by its protocol.
    Transport,
    /// A protocol's `connection_made`, by a panic, as with all callbacks.
    ConnectionMade,
    /// A protocol's `data_received`, or its `message_received`.
    DataReceived,
    /// A protocol's `eof_received`.
    EofReceived,
    /// A protocol's `pause_writing`.
    PauseWriting,
    /// A protocol's `resume_writing`.
    ResumeWriting,
    /// A protocol's `timed_out`.
    TimedOut,
    /// A protocol's `shutting_down`.
    ShuttingDown,
    /// A protocol's `connection_lost`.
    ConnectionLost,
    /// A datagram protocol's `datagram_received`.
    DatagramReceived,
    /// A datagram protocol's `error_received`.
    ErrorReceived,
    /// A broadcast's filter. That connection was left out.
    Filter,
}

/// An error or a panic.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// What the stage returned.
    Error(Box<dyn StdError + Send + Sync>),
    /// What the stage panicked with.
    Panic(String),
}

impl Failure {
    pub(crate) fn new(stage: Stage, cause: Cause) -> Self {
        Failure { stage, peer: None, cause, finish: None }
    }

    pub(crate) fn with_finish(mut self, finish: Option<Cause>) -> Self {
        self.finish = finish;
        self
    }

    pub(crate) fn of_peer(mut self, peer: &Address) -> Self {
        self.peer = Some(peer.clone());
        self
    }

    /// What failed.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The peer of the request; `None` for a hook that has none.
    pub fn peer(&self) -> Option<&Address> {
        self.peer.as_ref()
    }

    /// How it failed.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// How `finish` failed, where it failed after `handle` had.
    pub fn finish_cause(&self) -> Option<&Cause> {
        self.finish.as_ref()
    }

    /// Whether this is no more than a connection that came to its end early: a peer that went away or was too slow (a reset, a broken pipe, an
    /// end in the middle, a timeout), or a stop of the server's that cut it ([`Error::Cut`](crate::Error::Cut)).
    /// The default `handle_error` logs these at debug level and all others as warnings.
    ///
    /// It goes by the kind of an [`io::Error`]: one of the handler's own, about another connection, looks the same. One wrapped in another type
    /// is not looked into, nor is an [`Error`](crate::Error) that was returned as it is, such as a `UdpClient`'s.
    pub fn is_disconnect(&self) -> bool {
        let Cause::Error(error) = &self.cause else { return false };
        error.downcast_ref::<io::Error>().is_some_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::TimedOut
            )
        })
    }

    pub(crate) fn into_cause(self) -> Cause {
        self.cause
    }

    pub(crate) fn causes(&self) -> impl Iterator<Item = &Cause> {
        std::iter::once(&self.cause).chain(&self.finish)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stage.fmt(f)?;
        if let Some(peer) = &self.peer {
            write!(f, " of {peer}")?;
        }
        write!(f, " {}", self.cause)?;
        if let Some(finish) = &self.finish {
            write!(f, "; after it, finish {finish}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Dispatch => "dispatch",
            Stage::Prepare => "preparation",
            Stage::VerifyRequest => "verify_request",
            Stage::Clone => "clone of the handler",
            Stage::Setup => "setup",
            Stage::Handle => "handle",
            Stage::Finish => "finish",
            Stage::Drop => "drop of the handler",
            Stage::Close => "close",
            Stage::HandleTimeout => "handle_timeout",
            Stage::ServiceActions => "service_actions",
            Stage::Transport => "transport",
            Stage::ConnectionMade => "connection_made",
            Stage::DataReceived => "data_received",
            Stage::EofReceived => "eof_received",
            Stage::PauseWriting => "pause_writing",
            Stage::ResumeWriting => "resume_writing",
            Stage::TimedOut => "timed_out",
            Stage::ShuttingDown => "shutting_down",
            Stage::ConnectionLost => "connection_lost",
            Stage::DatagramReceived => "datagram_received",
            Stage::ErrorReceived => "error_received",
            Stage::Filter => "filter of a broadcast",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Error(error) => {
                f.write_str("failed: ")?;
                // `to_string` would panic where the error's own `Display` fails.
                let mut text = String::new();
                let _ = fmt::Write::write_fmt(&mut text, format_args!("{error}"));
                escaped(&text, f)
            }
            Cause::Panic(message) => {
                f.write_str("panicked: ")?;
                escaped(message, f)
            }
        }
    }
}
