//! [`utf8`].

use super::FramingError;

/// A message as text.
///
/// Meant for what a [`Decoder`](super::Decoder) gives. Those are whole messages, so a character that was cut in two on
/// its way is no trouble, as it would be where text is made of whatever a read happens to return. Python:
/// `line.decode()`.
///
/// ```
/// use socketserver::framing::{utf8, Decoder, FramingError, LineDecoder};
///
/// let mut lines = LineDecoder::new();
/// let (mut first, mut second) = "Gr\u{fc}\u{df}e\n".as_bytes().split_at(3); // within the \u{fc}
/// assert_eq!(lines.decode(&mut first)?, None);
/// assert_eq!(lines.decode(&mut second)?.map(utf8), Some(Ok("Gr\u{fc}\u{df}e")));
///
/// assert_eq!(utf8(b"Gr\xfc\xdfe"), Err(FramingError::InvalidUtf8 { at: 2 })); // Latin-1
/// # Ok::<(), FramingError>(())
/// ```
///
/// # Errors
/// [`FramingError::InvalidUtf8`] says where. It is the one framing error that leaves the decoder as it was: the next
/// message can be decoded.
pub fn utf8(message: &[u8]) -> Result<&str, FramingError> {
    std::str::from_utf8(message).map_err(|error| FramingError::InvalidUtf8 { at: error.valid_up_to() })
}
