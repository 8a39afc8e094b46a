//! [`FrameDecoder`].

use std::io::{self, BufRead};

use super::assembler::{Assembler, Rule, Scan};
use super::decoder::{sealed, Decoder};
use super::{FramingError, LengthPrefix};

/// The longest frame in bytes unless set otherwise, the prefix not counted: 1 MiB.
pub const DEFAULT_MAX_FRAME: usize = 1024 * 1024;

/// Decodes frames: messages that are preceded by their length.
///
/// Frames are given without their prefix; empty ones are valid. Their counterpart is [`LengthPrefix::encode`]. Use it
/// as [`Decoder`] shows. Python: a loop of `recv` for `struct.unpack("!I", …)` and then for as many bytes, which
/// allocates what the peer says unless it is looked after.
///
/// # Defaults
/// At most [`DEFAULT_MAX_FRAME`] bytes a frame. The length is checked when the prefix is complete, before anything is
/// allocated for it.
///
/// # Memory
/// At most the limit and the prefix, growing as a frame arrives in pieces; none for one that is decoded where it lies.
/// See [`capacity`](Decoder::capacity).
///
/// ```
/// use socketserver::framing::{Decoder, FrameDecoder, FramingError, LengthPrefix};
///
/// let mut frames = FrameDecoder::new(LengthPrefix::U32_BE);
/// let mut data = &b"\0\0\0\x05hello\0\0\0\0\0\0\0\x02h"[..];
/// assert_eq!(frames.decode(&mut data)?, Some(&b"hello"[..]));
/// assert_eq!(frames.decode(&mut data)?, Some(&b""[..]));
/// assert_eq!(frames.decode(&mut data)?, None);
/// assert_eq!(frames.finish(), Err(FramingError::Incomplete { received: 5, missing: 1 }));
///
/// // A browser on the wrong port announces more than a gigabyte.
/// let mut frames = FrameDecoder::new(LengthPrefix::U32_BE);
/// let mut data = &b"GET / HTTP/1.1\r\n"[..];
/// let limit = 1024 * 1024;
/// assert_eq!(frames.decode(&mut data), Err(FramingError::FrameTooLong { length: 0x47455420, limit }));
/// # Ok::<(), FramingError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    assembler: Assembler<Frames>,
}

impl FrameDecoder {
    /// A decoder of frames with this prefix, and with the default limit.
    pub fn new(prefix: LengthPrefix) -> Self {
        Self { assembler: Assembler::new(Frames { prefix, limit: DEFAULT_MAX_FRAME }) }
    }

    /// The longest frame in bytes, the prefix not counted. Default: [`DEFAULT_MAX_FRAME`].
    #[must_use]
    pub fn max_frame(mut self, limit: usize) -> Self {
        self.assembler.rule.limit = limit;
        self
    }
}

impl Decoder for FrameDecoder {
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

impl sealed::Sealed for FrameDecoder {}

#[derive(Clone, Debug)]
struct Frames {
    prefix: LengthPrefix,
    limit: usize,
}

impl Frames {
    /// What the frame's prefix announces; `None` while that is incomplete.
    fn payload(&self, kept: &[u8], new: &[u8]) -> Result<Option<usize>, FramingError> {
        let Some(length) = self.prefix.read(kept.iter().chain(new)) else {
            return Ok(None);
        };
        match usize::try_from(length) {
            Ok(payload) if payload <= self.limit => Ok(Some(payload)),
            _ => Err(FramingError::FrameTooLong { length, limit: self.limit }),
        }
    }

    /// The bytes of the whole frame, as far as these, the first ones of it, tell: those of the prefix while it is
    /// incomplete.
    fn whole(&self, kept: &[u8], new: &[u8]) -> Result<usize, FramingError> {
        let payload = self.payload(kept, new)?;
        Ok(self.prefix.width().saturating_add(payload.unwrap_or_default()))
    }
}

impl Rule for Frames {
    fn scan(&self, kept: &[u8], new: &[u8]) -> Result<Scan, FramingError> {
        let whole = self.whole(kept, new)?;
        let missing = whole.saturating_sub(kept.len());
        Ok(if new.len() >= missing { Scan::Ends(missing) } else { Scan::Continues { at_most: whole } })
    }

    fn strip<'a>(&self, whole: &'a [u8]) -> &'a [u8] {
        whole.get(self.prefix.width()..).unwrap_or_default()
    }

    fn end(&self, kept: &[u8]) -> Result<(), FramingError> {
        let width = self.prefix.width();
        // Not the whole frame less what is kept: without a limit, the whole may be more than a `usize` can say.
        let missing = match self.payload(kept, &[])? {
            Some(payload) => payload.saturating_sub(kept.len().saturating_sub(width)),
            None => width.saturating_sub(kept.len()),
        };
        Err(FramingError::Incomplete { received: kept.len(), missing })
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;
    use crate::framing::assembler::STEP;

    fn error_of(prefix: LengthPrefix, limit: usize, data: &[u8]) -> FramingError {
        FrameDecoder::new(prefix).max_frame(limit).decode(&mut &*data).unwrap_err()
    }

    #[test]
    fn a_frame_may_come_in_pieces_and_be_empty() {
        for step in 1..14 {
            let mut frames = FrameDecoder::new(LengthPrefix::U16_LE);
            let mut seen = Vec::new();
            for mut piece in b"\x03\0abc\0\0\x02\0de".chunks(step) {
                while let Some(frame) = frames.decode(&mut piece).unwrap() {
                    seen.push(frame.to_vec());
                }
            }
            assert_eq!(seen, [&b"abc"[..], b"", b"de"], "in pieces of {step}");
            assert_eq!(frames.finish(), Ok(None));
        }
    }

    #[test]
    fn a_lone_prefix_is_not_an_empty_frame_before_it_is_complete() {
        let mut frames = FrameDecoder::new(LengthPrefix::U16_BE);
        assert_eq!(frames.decode(&mut &b"\0"[..]), Ok(None));
        assert_eq!(frames.decode(&mut &b"\0"[..]), Ok(Some(&b""[..])));
        assert_eq!(frames.decode(&mut &b""[..]), Ok(None));
    }

    #[test]
    fn the_limit_is_exact_and_known_from_the_prefix_alone() {
        let mut frames = FrameDecoder::new(LengthPrefix::U8).max_frame(3);
        assert_eq!(frames.decode(&mut &b"\x03abc"[..]), Ok(Some(&b"abc"[..])));
        assert_eq!(error_of(LengthPrefix::U8, 3, b"\x04"), FramingError::FrameTooLong { length: 4, limit: 3 });
        assert_eq!(error_of(LengthPrefix::U8, 0, b"\x01a"), FramingError::FrameTooLong { length: 1, limit: 0 });
    }

    #[test]
    fn the_longest_lengths_do_not_overflow() {
        let huge = |length| FramingError::FrameTooLong { length, limit: DEFAULT_MAX_FRAME };
        assert_eq!(error_of(LengthPrefix::U64_LE, DEFAULT_MAX_FRAME, &[0xff; 8]), huge(u64::MAX));
        assert_eq!(error_of(LengthPrefix::U32_BE, DEFAULT_MAX_FRAME, &[0xff; 4]), huge(u64::from(u32::MAX)));
        // What a cast to 32 bits would make a frame of one byte of.
        assert_eq!(error_of(LengthPrefix::U64_BE, DEFAULT_MAX_FRAME, &[0, 0, 0, 1, 0, 0, 0, 1]), huge(0x1_0000_0001));

        let mut unlimited = FrameDecoder::new(LengthPrefix::U64_BE).max_frame(usize::MAX);
        #[cfg(target_pointer_width = "64")]
        assert_eq!(unlimited.decode(&mut &[0xff; 9][..]), Ok(None));
        #[cfg(not(target_pointer_width = "64"))]
        assert!(unlimited.decode(&mut &[0xff; 9][..]).is_err());
        assert!(unlimited.capacity() <= 128);
    }

    #[test]
    fn an_announcement_alone_costs_nothing() {
        let mut frames = FrameDecoder::new(LengthPrefix::U32_BE);
        assert_eq!(DEFAULT_MAX_FRAME, 1_048_576);
        let announced = u32::try_from(DEFAULT_MAX_FRAME).unwrap().to_be_bytes();
        assert_eq!(frames.decode(&mut &announced[..]), Ok(None));
        assert!(frames.capacity() <= 128);

        let piece = [7; 1_000];
        let mut sent = announced.len();
        while sent + piece.len() < DEFAULT_MAX_FRAME {
            assert_eq!(frames.decode(&mut &piece[..]), Ok(None));
            sent += piece.len();
            assert_eq!(frames.buffered(), sent);
            assert!((sent..=(sent + STEP).min(DEFAULT_MAX_FRAME + 4)).contains(&frames.capacity()));
        }
    }

    #[test]
    fn an_incomplete_frame_says_what_is_missing() {
        for (data, received, missing) in [(&b"\0"[..], 1, 1), (b"\0\x03", 2, 3), (b"\0\x03ab", 4, 1)] {
            let mut frames = FrameDecoder::new(LengthPrefix::U16_BE);
            assert_eq!(frames.decode(&mut &*data), Ok(None));
            assert_eq!(frames.finish(), Err(FramingError::Incomplete { received, missing }));
        }
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn what_is_missing_is_exact_at_the_longest_length_too() {
        let mut unlimited = FrameDecoder::new(LengthPrefix::U64_BE).max_frame(usize::MAX);
        assert_eq!(unlimited.decode(&mut &[0xff; 9][..]), Ok(None));
        assert_eq!(unlimited.finish(), Err(FramingError::Incomplete { received: 9, missing: usize::MAX - 1 }));
    }

    #[test]
    fn pulling_gives_the_same_frames() {
        let mut reader = io::BufReader::with_capacity(2, &b"\x01a\x00\x03bcd\x02e"[..]);
        let mut frames = FrameDecoder::new(LengthPrefix::U8);
        for frame in ["a", "", "bcd"] {
            assert_eq!(frames.read_from(&mut reader).unwrap(), Some(frame.as_bytes()));
        }
        assert_eq!(frames.read_from(&mut reader).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(frames.read_from(&mut reader).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
