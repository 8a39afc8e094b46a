//! [`LengthPrefix`].

use super::{FramingError, DEFAULT_MAX_FRAME};

/// The bytes of a `u64`, which every length is computed as.
const WIDEST: usize = 8;

/// The length that precedes a frame: an unsigned integer of 1, 2, 4 or 8 bytes, in one of the two byte orders.
///
/// It counts the bytes of the payload, not its own. `BE` (big-endian) is the network's order, Python's `"!"` in
/// `struct`, and the one to choose where there is a choice; `LE` is that of x86 and ARM.
///
/// ```
/// use socketserver::framing::LengthPrefix;
///
/// let mut out = Vec::new();
/// LengthPrefix::U32_BE.encode(b"hello", &mut out)?;
/// assert_eq!(out, b"\0\0\0\x05hello");
/// # Ok::<(), socketserver::framing::FramingError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LengthPrefix {
    width: Width,
    order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Width {
    One,
    Two,
    Four,
    Eight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Order {
    Big,
    Little,
}

impl LengthPrefix {
    /// One byte, frames of up to 255. Python: `struct` format `"B"`.
    pub const U8: Self = Self { width: Width::One, order: Order::Big };
    /// Two bytes, big-endian, frames of up to 65,535. Python: `"!H"`.
    pub const U16_BE: Self = Self { width: Width::Two, order: Order::Big };
    /// Two bytes, little-endian, frames of up to 65,535. Python: `"<H"`.
    pub const U16_LE: Self = Self { width: Width::Two, order: Order::Little };
    /// Four bytes, big-endian, frames of up to 4 GiB less one byte. Python: `"!I"`.
    pub const U32_BE: Self = Self { width: Width::Four, order: Order::Big };
    /// Four bytes, little-endian, frames of up to 4 GiB less one byte. Python: `"<I"`.
    pub const U32_LE: Self = Self { width: Width::Four, order: Order::Little };
    /// Eight bytes, big-endian. Python: `"!Q"`.
    pub const U64_BE: Self = Self { width: Width::Eight, order: Order::Big };
    /// Eight bytes, little-endian. Python: `"<Q"`.
    pub const U64_LE: Self = Self { width: Width::Eight, order: Order::Little };

    /// The bytes of the prefix itself: 1, 2, 4 or 8.
    pub const fn width(self) -> usize {
        match self.width {
            Width::One => 1,
            Width::Two => 2,
            Width::Four => 4,
            Width::Eight => 8,
        }
    }

    /// The longest payload in bytes that the prefix can announce.
    pub const fn max_length(self) -> u64 {
        // No `From` in a const fn; every one of these widens.
        match self.width {
            Width::One => u8::MAX as u64,
            Width::Two => u16::MAX as u64,
            Width::Four => u32::MAX as u64,
            Width::Eight => u64::MAX,
        }
    }

    /// Appends the payload's length and the payload to `out`. At most [`DEFAULT_MAX_FRAME`] bytes, as a
    /// [`FrameDecoder`](super::FrameDecoder) takes by default; [`encode_up_to`](Self::encode_up_to) has a limit of your
    /// own.
    ///
    /// Several frames can be put into one `out` and sent by one write. Python: `struct.pack("!I", len(payload)) +
    /// payload`.
    ///
    /// # Errors
    /// [`FramingError::FrameTooLong`] for a payload that is longer than the limit or than the prefix can say, and
    /// [`FramingError::OutOfMemory`]. Nothing has been appended then.
    pub fn encode(self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), FramingError> {
        self.encode_up_to(DEFAULT_MAX_FRAME, payload, out)
    }

    /// [`encode`](Self::encode) with a limit in bytes, which should be the one that the peer decodes with
    /// ([`FrameDecoder::max_frame`](super::FrameDecoder::max_frame)).
    ///
    /// ```
    /// use socketserver::framing::{FramingError, LengthPrefix};
    ///
    /// let mut out = Vec::new();
    /// let error = LengthPrefix::U8.encode_up_to(1_000, &[0; 256], &mut out);
    /// assert_eq!(error, Err(FramingError::FrameTooLong { length: 256, limit: 255 }));
    /// assert!(out.is_empty());
    /// ```
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_up_to(self, max_frame: usize, payload: &[u8], out: &mut Vec<u8>) -> Result<(), FramingError> {
        let limit = usize::try_from(self.max_length()).unwrap_or(usize::MAX).min(max_frame);
        let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        if payload.len() > limit {
            return Err(FramingError::FrameTooLong { length, limit });
        }
        let whole = self.width().saturating_add(payload.len());
        out.try_reserve(whole).map_err(|_| FramingError::OutOfMemory { length: whole })?;
        match self.order {
            Order::Big => {
                let unused = WIDEST.saturating_sub(self.width());
                out.extend(length.to_be_bytes().iter().skip(unused));
            }
            Order::Little => out.extend(length.to_le_bytes().iter().take(self.width())),
        }
        out.extend_from_slice(payload);
        Ok(())
    }

    /// The length that a stream which begins with these bytes announces. `None` while the prefix is incomplete.
    pub(super) fn read<'a>(self, bytes: impl Iterator<Item = &'a u8>) -> Option<u64> {
        let mut length = [0; WIDEST];
        let skipped = match self.order {
            Order::Big => WIDEST.saturating_sub(self.width()),
            Order::Little => 0,
        };
        let mut filled = 0usize;
        for (place, byte) in length.iter_mut().skip(skipped).take(self.width()).zip(bytes) {
            *place = *byte;
            filled = filled.saturating_add(1);
        }
        if filled < self.width() {
            return None;
        }
        Some(match self.order {
            Order::Big => u64::from_be_bytes(length),
            Order::Little => u64::from_le_bytes(length),
        })
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    /// Every prefix, and what it makes of the length 5 or, with a width of more than one byte, of 0x0102.
    const ALL: [(LengthPrefix, &[u8]); 7] = [
        (LengthPrefix::U8, &[5]),
        (LengthPrefix::U16_BE, &[1, 2]),
        (LengthPrefix::U16_LE, &[2, 1]),
        (LengthPrefix::U32_BE, &[0, 0, 1, 2]),
        (LengthPrefix::U32_LE, &[2, 1, 0, 0]),
        (LengthPrefix::U64_BE, &[0, 0, 0, 0, 0, 0, 1, 2]),
        (LengthPrefix::U64_LE, &[2, 1, 0, 0, 0, 0, 0, 0]),
    ];

    #[test]
    fn the_bytes_are_in_their_order() {
        for (prefix, bytes) in ALL {
            let length: u64 = if prefix == LengthPrefix::U8 { 5 } else { 0x0102 };
            assert_eq!(prefix.width(), bytes.len());
            assert_eq!(prefix.read(bytes.iter()), Some(length), "{prefix:?}");
            assert_eq!(prefix.read(bytes.iter().chain(&[9, 9])), Some(length), "{prefix:?}");
            assert_eq!(prefix.read(bytes[1..].iter()), None, "{prefix:?}");
            assert_eq!(prefix.read([0xff; 8].iter()), Some(prefix.max_length()), "{prefix:?}");

            let payload = vec![b'x'; usize::try_from(length).unwrap()];
            let mut out = b"before".to_vec();
            prefix.encode(&payload, &mut out).unwrap();
            assert_eq!(out, [b"before", bytes, &payload].concat(), "{prefix:?}");
        }
    }

    #[test]
    fn the_longest_lengths_are_those_of_the_integers() {
        let longest = |prefix: LengthPrefix| prefix.max_length();
        assert_eq!(longest(LengthPrefix::U8), 255);
        assert_eq!(longest(LengthPrefix::U16_LE), 65_535);
        assert_eq!(longest(LengthPrefix::U32_LE), 4_294_967_295);
        assert_eq!(longest(LengthPrefix::U64_LE), u64::MAX);
    }

    #[test]
    fn a_payload_that_is_too_long_leaves_the_output_alone() {
        for (prefix, longest) in [
            (LengthPrefix::U8, 255),
            (LengthPrefix::U16_BE, 65_535),
            (LengthPrefix::U32_LE, DEFAULT_MAX_FRAME),
            (LengthPrefix::U64_BE, DEFAULT_MAX_FRAME),
        ] {
            let payload = vec![0; longest + 1];
            let mut out = b"before".to_vec();
            let length = u64::try_from(payload.len()).unwrap();
            let error = FramingError::FrameTooLong { length, limit: longest };
            assert_eq!(prefix.encode(&payload, &mut out), Err(error));
            assert_eq!(out, b"before");
            prefix.encode(&payload[1..], &mut out).unwrap();
            assert_eq!(out.len(), b"before".len() + prefix.width() + longest);
        }
    }

    #[test]
    fn a_limit_of_ones_own_holds() {
        let mut out = Vec::new();
        LengthPrefix::U16_BE.encode_up_to(3, b"abc", &mut out).unwrap();
        let error = FramingError::FrameTooLong { length: 4, limit: 3 };
        assert_eq!(LengthPrefix::U16_BE.encode_up_to(3, b"abcd", &mut out), Err(error));
        assert_eq!(out, b"\0\x03abc");
        let above_the_default = vec![0; DEFAULT_MAX_FRAME + 1];
        LengthPrefix::U32_BE.encode_up_to(usize::MAX, &above_the_default, &mut out).unwrap();
    }
}
