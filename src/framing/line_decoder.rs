//! [`LineDecoder`].

use std::io::{self, BufRead};

use super::assembler::{Assembler, Rule, Scan};
use super::decoder::{sealed, Decoder};
use super::FramingError;

/// The longest line in bytes unless set otherwise, the terminator not counted: 64 KiB, as asyncio's `limit`.
pub const DEFAULT_MAX_LINE: usize = 64 * 1024;

/// Decodes lines, which end in `\n`.
///
/// Lines are bytes and are given without their terminator; [`utf8`](fn@super::utf8) makes text of one. A last line that
/// the end of the stream cuts off is given by [`finish`](Decoder::finish). Use it as [`Decoder`] shows. Python:
/// `rfile.readline()`, which keeps the terminator, and has no limit unless it is given one.
///
/// # Defaults
/// At most [`DEFAULT_MAX_LINE`] bytes a line; a `\r` before the `\n` belongs to the line.
///
/// # Memory
/// At most the limit and two bytes, growing as a line arrives in pieces; none for one that is decoded where it lies.
/// See [`capacity`](Decoder::capacity).
///
/// ```
/// use socketserver::framing::{Decoder, FramingError, LineDecoder};
///
/// let mut lines = LineDecoder::new().max_line(10).strip_cr(true);
/// let mut data = &b"GET /\r\n\r\nrest"[..];
/// assert_eq!(lines.decode(&mut data)?, Some(&b"GET /"[..]));
/// assert_eq!(lines.decode(&mut data)?, Some(&b""[..]));
/// assert_eq!(lines.decode(&mut data)?, None);
/// assert_eq!(lines.finish()?, Some(&b"rest"[..]));
///
/// let mut data = &b"more than ten bytes"[..];
/// assert_eq!(lines.decode(&mut data), Err(FramingError::LineTooLong { limit: 10 }));
/// # Ok::<(), FramingError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LineDecoder {
    assembler: Assembler<Lines>,
}

impl LineDecoder {
    /// A decoder with the defaults.
    pub fn new() -> Self {
        Self { assembler: Assembler::new(Lines { limit: DEFAULT_MAX_LINE, strip_cr: false }) }
    }

    /// The longest line in bytes. The terminator does not count, nor does the `\r` that [`strip_cr`](Self::strip_cr)
    /// makes part of it. Default: [`DEFAULT_MAX_LINE`].
    #[must_use]
    pub fn max_line(mut self, limit: usize) -> Self {
        self.assembler.rule.limit = limit;
        self
    }

    /// Whether a `\r` right before the `\n` is part of the terminator, as in HTTP, SMTP and most older protocols. Lines
    /// that end in `\n` alone are then accepted as well. Default: `false`.
    #[must_use]
    pub fn strip_cr(mut self, strip: bool) -> Self {
        self.assembler.rule.strip_cr = strip;
        self
    }
}

impl Default for LineDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for LineDecoder {
    fn decode<'a, 'input: 'a>(&'a mut self, input: &mut &'input [u8]) -> Result<Option<&'a [u8]>, FramingError> {
        self.assembler.decode(input)
    }

    fn finish(&mut self) -> Result<Option<&[u8]>, FramingError> {
        self.assembler.finish()
    }

    fn read_from(&mut self, reader: &mut dyn BufRead) -> io::Result<Option<&[u8]>> {
        self.assembler.read_from(reader)
    }

    fn buffered(&self) -> usize {
        self.assembler.buffered()
    }

    fn capacity(&self) -> usize {
        self.assembler.capacity()
    }
}

impl sealed::Sealed for LineDecoder {}

#[derive(Clone, Debug)]
struct Lines {
    limit: usize,
    strip_cr: bool,
}

impl Rule for Lines {
    fn scan(&self, kept: &[u8], new: &[u8]) -> Result<Scan, FramingError> {
        let newline = find_newline(new);
        let line = newline.and_then(|at| new.get(..at)).unwrap_or(new);
        // A `\r` at the very end belongs to the terminator, or may yet turn out to.
        let last = line.last().or(kept.last());
        let terminator = usize::from(self.strip_cr && last == Some(&b'\r'));
        let length = kept.len().saturating_add(line.len()).saturating_sub(terminator);
        if length > self.limit {
            return Err(self.too_long());
        }
        Ok(match newline {
            Some(at) => Scan::Ends(at.saturating_add(1)),
            None => Scan::Continues { at_most: self.limit.saturating_add(2) },
        })
    }

    fn strip<'a>(&self, whole: &'a [u8]) -> &'a [u8] {
        match whole.strip_suffix(b"\n") {
            Some(line) if self.strip_cr => line.strip_suffix(b"\r").unwrap_or(line),
            Some(line) => line,
            None => whole,
        }
    }

    fn end(&self, kept: &[u8]) -> Result<(), FramingError> {
        // No terminator came after all, so a `\r` at the end counts.
        if kept.len() > self.limit {
            return Err(self.too_long());
        }
        Ok(())
    }
}

impl Lines {
    fn too_long(&self) -> FramingError {
        FramingError::LineTooLong { limit: self.limit }
    }
}

/// The index of the first `\n`.
fn find_newline(bytes: &[u8]) -> Option<usize> {
    /// A block is looked at without a branch for each byte, which compilers make vector instructions of.
    const BLOCK: usize = 64;

    let has_newline = |block: &[u8]| block.iter().fold(false, |found, &byte| found | (byte == b'\n'));
    let start = bytes.chunks(BLOCK).position(has_newline)?.saturating_mul(BLOCK);
    let within = bytes.get(start..)?.iter().position(|&byte| byte == b'\n')?;
    Some(start.saturating_add(within))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::framing::utf8;

    const TOO_LONG: FramingError = FramingError::LineTooLong { limit: 3 };

    /// All that comes of these pieces and the end of the stream.
    fn all(mut lines: LineDecoder, pieces: &[&str]) -> Result<Vec<String>, FramingError> {
        let mut seen = Vec::new();
        for piece in pieces {
            let mut data = piece.as_bytes();
            while let Some(line) = lines.decode(&mut data)? {
                seen.push(utf8(line)?.to_owned());
            }
            assert!(data.is_empty());
        }
        if let Some(line) = lines.finish()? {
            seen.push(utf8(line)?.to_owned());
        }
        assert_eq!(lines.finish(), Ok(None));
        Ok(seen)
    }

    #[test]
    fn newlines_are_found_where_they_are() {
        assert_eq!(find_newline(b""), None);
        for at in [0, 1, 63, 64, 65, 127, 128, 1_000] {
            let mut bytes = vec![b'x'; 1_001];
            assert_eq!(find_newline(&bytes), None);
            bytes[at] = b'\n';
            assert_eq!(find_newline(&bytes), Some(at));
            bytes[1_000] = b'\n';
            assert_eq!(find_newline(&bytes), Some(at));
        }
        assert_eq!(find_newline(b"\n\n"), Some(0));
    }

    #[test]
    fn lines_come_whole_and_in_order() {
        for pieces in [&["a\n\nbc\nd"][..], &["a", "\n", "\n", "b", "c\nd"], &["a\n\nb", "c", "\nd"]] {
            assert_eq!(all(LineDecoder::new(), pieces).unwrap(), ["a", "", "bc", "d"]);
        }
        assert_eq!(all(LineDecoder::new(), &["a\n"]).unwrap(), ["a"]);
        assert!(all(LineDecoder::new(), &[]).unwrap().is_empty());
    }

    #[test]
    fn a_carriage_return_goes_only_when_asked_and_only_before_the_newline() {
        let stream = ["a\rb\r", "\n\r\r", "\n\n\r"];
        assert_eq!(all(LineDecoder::new(), &stream).unwrap(), ["a\rb\r", "\r\r", "", "\r"]);
        assert_eq!(all(LineDecoder::new().strip_cr(true), &stream).unwrap(), ["a\rb", "\r", "", "\r"]);
    }

    #[test]
    fn the_terminator_does_not_count() {
        let three = || LineDecoder::new().max_line(3);
        assert_eq!(all(three(), &["abc\nabc"]).unwrap(), ["abc", "abc"]);
        assert_eq!(all(three(), &["ab", "c", "\n"]).unwrap(), ["abc"]);
        for pieces in [&["abcd\n"][..], &["abcd"], &["abc", "d"], &["abc\r\n"], &["abc\r", "\n"]] {
            assert_eq!(all(three(), pieces), Err(TOO_LONG), "{pieces:?}");
        }

        let stripping = || three().strip_cr(true);
        for pieces in [&["abc\r\n"][..], &["abc\r", "\n"], &["abc", "\r", "\n"], &["abc", "\r\n"]] {
            assert_eq!(all(stripping(), pieces).unwrap(), ["abc"], "{pieces:?}");
        }
        for pieces in [&["abc\r"][..], &["abc\rd\n"], &["abc\r", "d\n"], &["abc\r", "\r\n"], &["abcd\r\n"]] {
            assert_eq!(all(stripping(), pieces), Err(TOO_LONG), "{pieces:?}");
        }
    }

    #[test]
    fn the_line_before_one_that_is_too_long_is_given() {
        let mut lines = LineDecoder::new().max_line(3);
        let mut data = &b"abc\nabcd\nabc\n"[..];
        assert_eq!(lines.decode(&mut data), Ok(Some(&b"abc"[..])));
        assert_eq!(lines.decode(&mut data), Err(TOO_LONG));
        assert_eq!(lines.decode(&mut &b"abc\n"[..]), Err(TOO_LONG));
    }

    #[test]
    fn a_limit_of_nothing_leaves_empty_lines() {
        let nothing = || LineDecoder::default().max_line(0);
        assert_eq!(all(nothing(), &["\n\n"]).unwrap(), ["", ""]);
        assert!(all(nothing(), &["a"]).is_err());
    }

    #[test]
    fn the_default_limit_is_exact_and_so_is_its_memory() {
        assert_eq!(DEFAULT_MAX_LINE, 65_536);
        let mut lines = LineDecoder::new().strip_cr(true);
        for _ in 0..DEFAULT_MAX_LINE {
            assert_eq!(lines.decode(&mut &b"x"[..]), Ok(None));
        }
        assert_eq!(lines.decode(&mut &b"\r"[..]), Ok(None));
        assert_eq!(lines.buffered(), DEFAULT_MAX_LINE + 1);
        assert!((DEFAULT_MAX_LINE + 1..=DEFAULT_MAX_LINE + 2).contains(&lines.capacity()));
        assert_eq!(lines.decode(&mut &b"\n"[..]).unwrap().unwrap().len(), DEFAULT_MAX_LINE);
        assert!(lines.capacity() <= DEFAULT_MAX_LINE + 2);

        assert_eq!(lines.decode(&mut &vec![b'x'; DEFAULT_MAX_LINE][..]), Ok(None));
        assert_eq!(lines.decode(&mut &b"x"[..]), Err(FramingError::LineTooLong { limit: DEFAULT_MAX_LINE }));
    }

    #[test]
    fn pulling_gives_the_same_lines() {
        let mut reader = io::BufReader::with_capacity(2, &b"one\r\n\ntwo"[..]);
        let mut lines = LineDecoder::new().strip_cr(true);
        for line in ["one", "", "two"] {
            assert_eq!(lines.read_from(&mut reader).unwrap(), Some(line.as_bytes()));
        }
        assert_eq!(lines.read_from(&mut reader).unwrap(), None);
        assert_eq!(lines.read_from(&mut reader).unwrap(), None);
    }
}
