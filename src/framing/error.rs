//! [`FramingError`].

use std::io;

/// What is wrong with a line or a frame.
///
/// As an [`io::Error`], into which `?` turns it, it is the inner error: [`FramingError::of`] finds it there.
///
/// ```
/// use std::io;
/// use socketserver::framing::FramingError;
///
/// let error = io::Error::from(FramingError::LineTooLong { limit: 80 });
/// assert_eq!(error.kind(), io::ErrorKind::InvalidData);
/// assert_eq!(FramingError::of(&error), Some(&FramingError::LineTooLong { limit: 80 }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// A line is longer than the limit. asyncio: `LimitOverrunError`.
    #[error(
        "a line is longer than the limit of {limit} bytes \
         (a peer that sends no newline, or that speaks another protocol?)"
    )]
    LineTooLong {
        /// The limit in bytes, the terminator not counted.
        limit: usize,
    },

    /// A frame is announced, or was to be encoded, that is longer than the limit or than its prefix can say.
    #[error(
        "a frame of {length} bytes is longer than the limit of {limit} bytes \
         (another length prefix, byte order or protocol at one of the two ends?)"
    )]
    FrameTooLong {
        /// The length of the payload in bytes, as announced or as given.
        length: u64,
        /// The limit in bytes, the prefix not counted.
        limit: usize,
    },

    /// The stream ended within a frame. Kind: [`io::ErrorKind::UnexpectedEof`]. asyncio: `IncompleteReadError`.
    #[error(
        "the stream ended within a frame: {received} bytes of it had arrived, at least {missing} had not \
         (did the peer fail, or close too early?)"
    )]
    Incomplete {
        /// The bytes of the frame that had arrived, the prefix counted.
        received: usize,
        /// The bytes that had not: of the prefix while it is itself incomplete, of the payload from then on.
        missing: usize,
    },

    /// A message that should be text is not UTF-8. Python: `UnicodeDecodeError`.
    #[error("not UTF-8 from byte {at} of the message on (text in another encoding, or binary data?)")]
    InvalidUtf8 {
        /// The index in the message, counted from 0, of the first byte that is not part of valid UTF-8.
        at: usize,
    },

    /// The system gave no memory for a message that is within its limit. Kind: [`io::ErrorKind::OutOfMemory`].
    #[error("no memory for a message of {length} bytes or more (a limit that is too high for this machine?)")]
    OutOfMemory {
        /// The bytes that were to be held.
        length: usize,
    },
}

impl FramingError {
    /// The `FramingError` within an [`io::Error`] that was made of one, directly or around it.
    pub fn of(error: &io::Error) -> Option<&FramingError> {
        let mut inner: &(dyn std::error::Error + 'static) = error.get_ref()?;
        loop {
            if let Some(found) = inner.downcast_ref() {
                return Some(found);
            }
            inner = inner.source()?;
        }
    }

    /// The kind that an [`io::Error`] made of this has: [`io::ErrorKind::InvalidData`] where the variant names no
    /// other.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            FramingError::LineTooLong { .. } | FramingError::FrameTooLong { .. } | FramingError::InvalidUtf8 { .. } => {
                io::ErrorKind::InvalidData
            }
            FramingError::Incomplete { .. } => io::ErrorKind::UnexpectedEof,
            FramingError::OutOfMemory { .. } => io::ErrorKind::OutOfMemory,
        }
    }
}

impl From<FramingError> for io::Error {
    fn from(error: FramingError) -> Self {
        io::Error::new(error.kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_way_through_io_error() {
        for (error, kind) in [
            (FramingError::LineTooLong { limit: 1 }, io::ErrorKind::InvalidData),
            (FramingError::FrameTooLong { length: 2, limit: 1 }, io::ErrorKind::InvalidData),
            (FramingError::InvalidUtf8 { at: 3 }, io::ErrorKind::InvalidData),
            (FramingError::Incomplete { received: 1, missing: 2 }, io::ErrorKind::UnexpectedEof),
            (FramingError::OutOfMemory { length: 9 }, io::ErrorKind::OutOfMemory),
        ] {
            assert_eq!(error.kind(), kind);
            let wrapped = io::Error::from(error.clone());
            assert_eq!(wrapped.kind(), kind);
            assert_eq!(FramingError::of(&wrapped), Some(&error));
        }
        assert_eq!(FramingError::of(&io::Error::from(io::ErrorKind::InvalidData)), None);
    }

    #[test]
    fn messages_say_the_numbers() {
        assert!(FramingError::LineTooLong { limit: 80 }.to_string().contains("limit of 80 bytes"));
        let too_long = FramingError::FrameTooLong { length: 70_000, limit: 65_535 }.to_string();
        assert!(too_long.contains("frame of 70000 bytes") && too_long.contains("limit of 65535 bytes"));
    }
}
