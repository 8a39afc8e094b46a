//! Lines and length-prefixed messages, sans-IO, always bounded.

use std::io;

/// What is wrong with a line or a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// A line is longer than the limit.
    #[error("a line is longer than the limit of {limit} bytes")]
    LineTooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

impl FramingError {
    /// The kind that an [`io::Error`] made of this has.
    pub fn kind(&self) -> io::ErrorKind {
        io::ErrorKind::InvalidData
    }
}
