//! The reading half of a [`Connection`].

use std::io::{self, BufRead, Read};
use std::string::FromUtf8Error;

use super::shared::explain_timeout;
use super::writing::counted;
use super::Connection;
use crate::error::{Error, Phase};
use crate::framing::{Decoder, FrameDecoder, FramingError, LengthPrefix};
use crate::stream::Wait;

/// What is read ahead. A page pair: most requests fit, and a thousand connections cost 8 MiB.
const BUFFER: usize = 8 * 1024;

/// A read into at least so many bytes goes past an empty buffer, which saves a copy, and for handlers that read so the buffer.
const DIRECT: usize = 4 * 1024;

/// Bytes received and not yet read.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Empty until something is read through it.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The peer has ended its direction.
    pub(super) ended: bool,
    /// Bytes of a line that a read's failure interrupted, and that the caller has: they count when the rest is read.
    pub(super) unfinished: usize,
    /// The position in the stream is lost.
    broken: Option<FramingError>,
}

impl Input {
    fn buffered(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Room for a refill, once all has been consumed.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER].into_boxed_slice();
        }
        self.start = 0;
        self.end = 0;
        &mut self.buffer
    }

    /// Gives the memory back while nothing is in it.
    fn release(&mut self) {
        if self.buffered().is_empty() {
            self.buffer = Box::default();
            (self.start, self.end) = (0, 0);
        }
    }

    /// Puts the bytes back that were consumed last, a few of them, when nothing else is buffered.
    fn put_back(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room().get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.end = bytes.len();
            self.unfinished = self.unfinished.saturating_sub(bytes.len());
        }
    }
}

impl Connection {
    /// Reads one length-prefixed message; `None` when the peer has ended between two messages. The prefix is held against the
    /// limit (1 MiB, or the builder's `max_frame`) before anything is allocated.
    ///
    /// After a timeout the call can be repeated, with the same prefix: what had arrived of the message is kept. Lines without their
    /// terminators are read with [`Decoder::read_from`] over the connection.
    ///
    /// ```
    /// use socketserver::framing::LengthPrefix;
    /// use socketserver::{Connection, HandlerResult};
    ///
    /// fn handle(request: &mut Connection) -> HandlerResult {
    ///     while let Some(message) = request.read_frame(LengthPrefix::U16_BE)? {
    ///         request.write_frame(LengthPrefix::U16_BE, &message)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Error::Framing`] where the message is too long or ends early; reading has ended then. Those of reading.
    pub fn read_frame(&mut self, prefix: LengthPrefix) -> io::Result<Option<Vec<u8>>> {
        let mut decoder = self.frames.take().unwrap_or_else(|| FrameDecoder::new(prefix).max_frame(self.max_frame));
        let read = decoder.read_from(self).map(|frame| frame.map(<[u8]>::to_vec));
        match read {
            Ok(frame) => Ok(frame),
            Err(error) => match FramingError::of(&error) {
                Some(error) => Err(self.broken(error.clone())),
                None => {
                    if decoder.buffered() > 0 {
                        self.frames = Some(decoder);
                    }
                    Err(error)
                }
            },
        }
    }

    /// Writes one length-prefixed message in one piece.
    ///
    /// # Errors
    /// [`Error::Framing`] where `payload` is longer than the prefix can say or than the limit; nothing is sent then. Those of
    /// writing.
    pub fn write_frame(&mut self, prefix: LengthPrefix, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::new();
        prefix
            .encode_up_to(self.max_frame, payload, &mut frame)
            .map_err(|source| Error::Framing { address: self.peer.to_string(), source })?;
        self.shared.write_all(&frame)
    }

    /// The longest line `read_line` and `read_until` take, in bytes, without its terminator.
    pub fn max_line(&self) -> usize {
        self.max_line
    }

    /// Sets the longest line. The memory a line can take is the limit's.
    pub fn set_max_line(&mut self, bytes: usize) {
        self.max_line = bytes;
    }

    /// The longest frame `read_frame` and `write_frame` take, in bytes, without its prefix.
    pub fn max_frame(&self) -> usize {
        self.max_frame
    }

    /// Sets the longest frame.
    pub fn set_max_frame(&mut self, bytes: usize) {
        self.max_frame = bytes;
    }

    /// Whether bytes have been received that nobody has read yet.
    pub(super) fn has_input(&self) -> bool {
        !self.input.buffered().is_empty() || self.frames.is_some()
    }

    /// One read from the stream, which has been found empty-handed so far.
    fn receive(&mut self, mut read: impl FnMut(&mut Self, Wait) -> io::Result<usize>) -> io::Result<usize> {
        counted(|| self.receive_some(&mut read))
    }

    fn receive_some(&mut self, read: &mut dyn FnMut(&mut Self, Wait) -> io::Result<usize>) -> io::Result<usize> {
        if self.input.broken.is_some() {
            return self.received_nothing(Ok(0));
        }
        let wait = Wait { timeout: self.read_timeout, deadline: self.deadline() };
        let result = loop {
            match read(self, wait) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted && !self.shared.is_cut() => {}
                result => break result,
            }
        };
        match result {
            Ok(count) if count > 0 && !self.shared.is_cut() => Ok(count),
            result => self.received_nothing(result),
        }
    }

    /// Why nothing can be handed over. Apart from the rest because it takes much more of the stack, which a coroutine that waits for bytes would
    /// have below it.
    #[cold]
    #[inline(never)]
    fn received_nothing(&mut self, result: io::Result<usize>) -> io::Result<usize> {
        if let Some(error) = self.input.broken.clone() {
            return Err(Error::Framing { address: self.peer.to_string(), source: error }.into());
        }
        // After a cut the kernel may still have data and then says a clean end: neither may look like a whole request.
        if self.shared.is_cut() {
            return Err(Error::Cut { address: self.peer.to_string() }.into());
        }
        let ended = match &result {
            Ok(count) => *count == 0,
            // Some sessions over a socket say that of an end that their peer has not announced.
            Err(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        };
        if ended && self.shared.pause.is_dismissed() {
            // This side has ended it, so that it must not look like the peer's end.
            return Err(Error::Cut { address: self.peer.to_string() }.into());
        }
        match result {
            Ok(0) => {
                self.input.ended = true;
                // The end may be one that this side has made, having given up a peer that did not read.
                self.shared.poisoned().map_or(Ok(0), Err)
            }
            Ok(count) => Ok(count),
            Err(error) => Err(explain_timeout(error, Phase::Read, &self.peer, self.read_timeout, self.deadline)),
        }
    }

    pub(super) fn refill(&mut self) -> io::Result<usize> {
        let count = self.receive(|this, wait| {
            if !this.shared.stream().is_readable() {
                this.input.release();
                this.shared.stream().await_readable(wait)?;
            }
            this.shared.stream().read(this.input.room(), wait)
        })?;
        self.input.end = count;
        Ok(count)
    }

    /// What can be handed over of a line that is not UTF-8, and the error.
    fn not_utf8(&mut self, line: FromUtf8Error, read: io::Result<usize>) -> (String, io::Result<usize>) {
        let error = line.utf8_error();
        let mut bytes = line.into_bytes();
        let source = FramingError::InvalidUtf8 { at: error.valid_up_to() };
        match read {
            Ok(_) => (String::new(), Err(Error::Framing { address: self.peer.to_string(), source }.into())),
            // The read failed within a character, such as by a timeout: the whole ones are handed over, the rest waits.
            Err(failed) if error.error_len().is_none() => {
                let rest = bytes.split_off(error.valid_up_to());
                self.input.put_back(&rest);
                (String::from_utf8(bytes).unwrap_or_default(), Err(failed))
            }
            // What is still to come of this line must not look like one.
            Err(_) => (String::new(), Err(self.broken(source))),
        }
    }

    /// Ends reading, because nobody knows any more where the next message begins.
    fn broken(&mut self, error: FramingError) -> io::Error {
        self.input.start = self.input.end;
        self.input.broken = Some(error.clone());
        Error::Framing { address: self.peer.to_string(), source: error }.into()
    }
}

impl Read for Connection {
    /// Reads what has come, waiting for the first byte within the read timeout and the deadline. `Ok(0)` is the end: the peer has
    /// closed or ended its direction.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.input.buffered().is_empty() {
            if buf.len() >= DIRECT {
                return self.receive(|this, wait| this.shared.stream().read(buf, wait));
            }
            self.refill()?;
        }
        let count = self.input.buffered().read(buf)?;
        self.consume(count);
        Ok(count)
    }

    /// Reads until `buf` is full: Python's loops around `recv` that tutorials call `recv_all`. Bounded as a whole by the deadline.
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        let wanted = buf.len();
        let mut rest = buf;
        while !rest.is_empty() {
            match self.read(rest)? {
                0 => {
                    let got = wanted - rest.len();
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        format!("{} ended after {got} of {wanted} bytes", self.peer),
                    ));
                }
                count => rest = rest.get_mut(count..).unwrap_or_default(),
            }
        }
        Ok(())
    }
}

impl BufRead for Connection {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.input.buffered().is_empty() {
            self.refill()?;
        }
        Ok(self.input.buffered())
    }

    fn consume(&mut self, count: usize) {
        self.input.start = self.input.start.saturating_add(count).min(self.input.end);
    }

    /// Reads to `byte`, that included, or to the end, and appends to `line`. At most `max_line` bytes and the terminator. After a timeout it can be
    /// repeated, as [`read_line`](#method.read_line).
    fn read_until(&mut self, byte: u8, line: &mut Vec<u8>) -> io::Result<usize> {
        let limit = self.max_line;
        let before = std::mem::take(&mut self.input.unfinished);
        let mut total = 0;
        loop {
            let mut available = match self.fill_buf() {
                Ok(available) => available,
                Err(error) => {
                    self.input.unfinished = before + total;
                    return Err(error);
                }
            };
            if available.is_empty() {
                return Ok(total);
            }
            // std's own search, which goes through many bytes at a time.
            let count = available.read_until(byte, line)?;
            self.consume(count);
            total += count;
            let ended = line.last() == Some(&byte);
            if before + total - usize::from(ended) > limit {
                line.truncate(line.len() - total);
                return Err(self.broken(FramingError::LineTooLong { limit }));
            }
            if ended {
                return Ok(total);
            }
        }
    }

    /// Reads a line, its `\n` included, and appends it to `line`; 0 at the end. Python's `rfile.readline()`, with a limit.
    ///
    /// What the peer has sent after its last `\n` is returned at the end as a line too, as by std's and Python's: a command that was cut by the
    /// peer's end looks like a whole one, unless `line.ends_with('\n')` is asked.
    ///
    /// Only whole lines are looked at as UTF-8, so a character may straddle two reads. A line that is not UTF-8 is
    /// [`io::ErrorKind::InvalidData`]; it has been read then, and the next call reads the next line.
    ///
    /// After a timeout the call can be repeated with the same `line`: what had arrived is in it, and is not counted again. So a repetition that
    /// meets the end returns `Ok(0)` with a part of a line in `line`. A [`LineDecoder`](crate::framing::LineDecoder) keeps what had arrived itself.
    fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        // The line's own memory is read into, when it is empty, so that a loop over lines allocates nothing.
        let (before, mut bytes) = if line.is_empty() {
            (None, std::mem::take(line).into_bytes())
        } else {
            (Some(std::mem::take(line)), Vec::new())
        };
        let result = self.read_until(b'\n', &mut bytes);
        let (text, result) = match String::from_utf8(bytes) {
            Ok(text) => (text, result),
            Err(error) => self.not_utf8(error, result),
        };
        *line = match before {
            None => text,
            Some(before) => before + &text,
        };
        result
    }
}
