//! What the chat servers say, what they understand, and what they allow their members, whichever way they serve.

use std::fmt::Display;
use std::time::{Duration, Instant};

use socketserver::Address;

use super::text::shown;

pub(crate) const WELCOME: &str = "Welcome to the chat server! Type 'quit' to exit.\n";

/// The longest message in bytes.
pub(crate) const MAX_MESSAGE: usize = 4096;

/// What may wait for a member who does not keep up, in bytes.
pub(crate) const MAX_WAITING: usize = 1 << 20;

/// After so long a silence a member is asked whether he is still there.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(60);

/// What a member means by a message.
pub(crate) enum Said<'a> {
    Nothing,
    Quit,
    Words(&'a str),
}

impl<'a> Said<'a> {
    pub(crate) fn by(message: &'a str) -> Self {
        match message.trim() {
            "" => Said::Nothing,
            quit if quit.eq_ignore_ascii_case("quit") => Said::Quit,
            words => Said::Words(words),
        }
    }
}

pub(crate) fn has_joined(peer: Address) -> String {
    format!("User {peer} has joined the chat.\n")
}

/// Control characters are shown, not passed on: with them a member could write anywhere on the others' screens.
pub(crate) fn says(peer: Address, words: &str) -> String {
    format!("User {peer}: {}\n", shown(words))
}

pub(crate) fn has_left(peer: Address) -> String {
    format!("User {peer} has left the chat.\n")
}

pub(crate) fn not_understood(error: impl Display) -> String {
    format!("That was not understood: {error}\n")
}

/// Keeps one member from speaking faster than the others can be expected to read: they would be put out for not keeping up with him.
/// He is not read from meanwhile, so that it is his own sending that waits.
pub(crate) struct Pace {
    /// When he has been silent for as long as what he has said takes.
    even_at: Instant,
}

impl Pace {
    /// What a message takes, and each of its bytes: 10,000 messages or a megabyte a second at the most, more than anybody reads. Whoever
    /// does not read at all is put out after a second or more.
    const MESSAGE: Duration = Duration::from_micros(100);
    const BYTE: Duration = Duration::from_micros(1);

    /// What may be said at once, such as a text that is pasted.
    const AT_ONCE: Duration = Duration::from_millis(100);

    pub(crate) fn new() -> Self {
        Pace { even_at: Instant::now() }
    }

    /// Waits until a message of so many bytes is in order.
    pub(crate) fn wait(&mut self, bytes: usize) {
        let now = Instant::now();
        let takes = Self::MESSAGE + Self::BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.even_at = self.even_at.max(now) + takes;
        let ahead = self.even_at.saturating_duration_since(now);
        super::pause(ahead.saturating_sub(Self::AT_ONCE));
    }
}
