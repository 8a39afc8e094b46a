//! [`Messages`]: what the tutorials' programs have in mind when they call `recv`.

use std::io::{self, BufRead, ErrorKind, Write};
use std::time::Duration;

use socketserver::framing::{utf8, FramingError};
use socketserver::{Connection, Error};

use super::text::begun_character;

/// So long a silence ends a message that has no line end. It is longer than the 40 ms for which Linux delays an acknowledgement, and
/// Nagle's algorithm with it the second half of what is sent in two pieces; it is so short that people do not notice.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// The longest message in bytes, its line end not counted: as long as a line may be in this crate.
pub(crate) const MOST: usize = 64 * 1024;

/// Messages as the tutorials' programs understand them: a line, or what was sent without a line end before the sender paused.
///
/// Python's counterpart is `sock.recv(1024).decode()`, which takes whatever has come for a message: two that came at once for one, and
/// half a character for an error.
pub(crate) struct Messages {
    /// What has come of the next message.
    begun: Vec<u8>,
    /// How the last one ended.
    line_end: &'static str,
    most: usize,
    line_seen: LineSeen,
}

/// What follows from a peer's having ended a line.
enum LineSeen {
    Nothing,
    /// He will end the others too.
    Tells,
    /// He has.
    Told,
}

impl Messages {
    pub(crate) fn new() -> Self {
        Messages { begun: Vec::new(), line_end: "", most: MOST, line_seen: LineSeen::Nothing }
    }

    /// Takes whoever has sent a line end for one who always does: no pause ends a message of his any more. On a slow network, or when
    /// his machine is busy, a pause may come in the middle of a line.
    pub(crate) fn lines_once_seen(self) -> Self {
        Messages { line_seen: LineSeen::Tells, ..self }
    }

    /// Allows messages of so many bytes rather than [`MOST`].
    pub(crate) fn at_most(self, bytes: usize) -> Self {
        Messages { most: bytes, ..self }
    }

    /// The next message without its line end; `None` when the peer has ended. The connection's read timeout is for the first byte, and
    /// for the rest of a character that has begun. After a timeout the call can be repeated.
    ///
    /// # Errors
    /// `InvalidData` for bytes that are not UTF-8, and for more than 64 KiB or what [`at_most`](Messages::at_most) says, after which no
    /// next message is found. Those of reading.
    pub(crate) fn next(&mut self, connection: &mut Connection) -> io::Result<Option<String>> {
        self.receive(connection, true)
    }

    /// Sends a message without a line end, and returns what is answered, as [`next_answer`](Messages::next_answer) does.
    ///
    /// # Errors
    /// `UnexpectedEof` where the peer has ended. Those of writing and of [`next`](Messages::next).
    pub(crate) fn ask(&mut self, connection: &mut Connection, message: &str) -> io::Result<String> {
        connection.write_all(message.as_bytes())?;
        self.next_answer(connection)?.ok_or_else(|| {
            let unanswered = format!("{} closed the connection before it had answered", connection.peer_addr());
            io::Error::new(ErrorKind::UnexpectedEof, unanswered)
        })
    }

    /// All that comes before the peer pauses or ends, in however many lines, without the last line end: what a client takes for the
    /// answer of a server that it knows nothing about. Otherwise as [`next`](Messages::next).
    pub(crate) fn next_answer(&mut self, connection: &mut Connection) -> io::Result<Option<String>> {
        self.receive(connection, false)
    }

    /// The line end that the last message came with, or none: what an echo ends with.
    pub(crate) fn line_end(&self) -> &'static str {
        self.line_end
    }

    fn receive(&mut self, connection: &mut Connection, by_lines: bool) -> io::Result<Option<String>> {
        let read_timeout = connection.read_timeout();
        let filled = self.fill(connection, read_timeout, by_lines);
        connection.set_read_timeout(read_timeout)?;
        filled?;

        if self.begun.is_empty() {
            return Ok(None);
        }
        let mut message = std::mem::take(&mut self.begun);
        self.line_end = line_end_of(&message);
        message.truncate(message.len().saturating_sub(self.line_end.len()));
        match utf8(&message) {
            Ok(message) => Ok(Some(message.to_owned())),
            Err(error) => Err(bad_data(connection, error)),
        }
    }

    /// Reads until a message is complete. Where the peer has ended, there may be none.
    fn fill(&mut self, connection: &mut Connection, read_timeout: Option<Duration>, by_lines: bool) -> io::Result<()> {
        loop {
            // A `\r` may turn out to belong to a line end.
            let counted = self.begun.strip_suffix(b"\n").unwrap_or(&self.begun);
            if counted.strip_suffix(b"\r").unwrap_or(counted).len() > self.most {
                return Err(bad_data(connection, FramingError::LineTooLong { limit: self.most }));
            }
            if by_lines && self.begun.ends_with(b"\n") {
                if matches!(self.line_seen, LineSeen::Tells) {
                    self.line_seen = LineSeen::Told;
                }
                return Ok(());
            }
            let may_end = !self.begun.is_empty()
                && begun_character(&self.begun).is_empty()
                && !matches!(self.line_seen, LineSeen::Told);
            connection.set_read_timeout(if may_end { Some(PAUSE) } else { read_timeout })?;
            let mut bytes = match connection.fill_buf() {
                Ok([]) => return Ok(()),
                Ok(bytes) => bytes,
                Err(error) if may_end && error.kind() == ErrorKind::TimedOut => return Ok(()),
                Err(error) => return Err(error),
            };
            let count = bytes.read_until(b'\n', &mut self.begun)?;
            connection.consume(count);
        }
    }
}

fn line_end_of(message: &[u8]) -> &'static str {
    match message {
        [.., b'\r', b'\n'] => "\r\n",
        [.., b'\n'] => "\n",
        _ => "",
    }
}

fn bad_data(connection: &Connection, source: FramingError) -> io::Error {
    Error::Framing { address: connection.peer_addr().to_string(), source }.into()
}
