//! [`Decoder`].

use std::io::{self, BufRead};

use super::FramingError;

/// Puts messages together from bytes as they arrive: what [`LineDecoder`](super::LineDecoder) and
/// [`FrameDecoder`](super::FrameDecoder) have in common.
///
/// - **Pushed** bytes, where the reading is done elsewhere: [`decode`](Self::decode) until it gives `None`, and
///   [`finish`](Self::finish) at the end of the stream.
/// - **Pulled** bytes, where reading may block: [`read_from`](Self::read_from), which does both.
///
/// The two can be mixed on one decoder. Whichever way the stream is cut into pieces, the messages are the same, and in
/// the same order.
///
/// # Errors
/// An error is final, as the place where the next message begins is not known any more: the decoder frees its memory
/// and every later call returns the same error. Errors of the reader that [`read_from`](Self::read_from) is given are
/// the exception: nothing is lost by them, and after a time-out the call can be repeated.
///
/// # Cost
/// Linear in the bytes, however small the pieces are that they come in: no byte is looked through twice. What memory it
/// takes is said at [`capacity`](Self::capacity).
///
/// The trait is sealed, so that methods can be added to it; it is not meant to be implemented elsewhere.
pub trait Decoder: sealed::Sealed {
    /// The next message, from what is kept of it and from `input`, which is moved past the bytes that were taken.
    ///
    /// `None`: all of `input` has been taken and the message is not complete yet. A message that lies whole in `input`
    /// is given without being copied. The message is valid until the next call.
    ///
    /// ```
    /// use socketserver::framing::{Decoder, LineDecoder};
    ///
    /// let mut lines = LineDecoder::new();
    /// let mut seen = Vec::new();
    /// for mut piece in ["one\ntw", "o\nthr", "ee\n"].map(str::as_bytes) {
    ///     while let Some(line) = lines.decode(&mut piece)? {
    ///         seen.push(line.to_vec());
    ///     }
    /// }
    /// assert_eq!(seen, [&b"one"[..], b"two", b"three"]);
    /// # Ok::<(), socketserver::framing::FramingError>(())
    /// ```
    ///
    /// With a buffered reader of one's own, the loop takes all that was read, so all of it can be consumed:
    ///
    /// ```
    /// use std::io::{BufRead, Cursor};
    /// use socketserver::framing::{Decoder, LineDecoder};
    ///
    /// let mut reader = Cursor::new(b"one\ntwo\n");
    /// let (mut lines, mut count) = (LineDecoder::new(), 0);
    /// loop {
    ///     let mut data = reader.fill_buf()?;
    ///     let available = data.len();
    ///     if available == 0 {
    ///         break;
    ///     }
    ///     while let Some(_line) = lines.decode(&mut data)? {
    ///         count += 1;
    ///     }
    ///     reader.consume(available);
    /// }
    /// assert_eq!(count, 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// A message that is longer than the limit, as soon as that is certain; messages before it are given first. `input`
    /// is then empty: a loop that goes on in spite of the error discards the stream rather than turning on the spot.
    fn decode<'a, 'input: 'a>(&'a mut self, input: &mut &'input [u8]) -> Result<Option<&'a [u8]>, FramingError>;

    /// Says that the stream has ended: the last message, if the end completes it.
    ///
    /// It does for a line: the bytes behind the last terminator are given as one, as by Python's `readline`. It never
    /// does for a frame. Without an error the decoder is as new afterwards.
    ///
    /// # Errors
    /// [`FramingError::Incomplete`] when the stream has ended within a frame.
    fn finish(&mut self) -> Result<Option<&[u8]>, FramingError>;

    /// Reads the next message, waiting for it if the reader does. `None` at the end of the stream.
    ///
    /// Takes no byte beyond the message from the reader, and reads no more once the message is complete. An interrupted
    /// read is repeated. The message lies in the decoder and not in the reader, so that the reader is free: an answer
    /// can be written to the same connection while the message is looked at.
    ///
    /// ```
    /// use std::io::Cursor;
    /// use socketserver::framing::{Decoder, FrameDecoder, LengthPrefix};
    ///
    /// let mut reader = Cursor::new(b"\x03one\x03two");
    /// let mut frames = FrameDecoder::new(LengthPrefix::U8);
    /// assert_eq!(frames.read_from(&mut reader)?, Some(&b"one"[..]));
    /// assert_eq!(frames.read_from(&mut reader)?, Some(&b"two"[..]));
    /// assert_eq!(frames.read_from(&mut reader)?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the reader as they are: what had arrived is kept, and the call can be repeated. Those of
    /// [`decode`](Self::decode) and [`finish`](Self::finish), as the inner error of an [`io::Error`]
    /// ([`FramingError::of`]); the reader is not touched again after one of these.
    fn read_from(&mut self, reader: &mut dyn BufRead) -> io::Result<Option<&[u8]>>;

    /// The bytes kept of a message that is not complete yet; 0 between messages.
    ///
    /// Tells a peer that is idle from one that stopped in the middle.
    fn buffered(&self) -> usize;

    /// The bytes of memory held, which is at least [`buffered`](Self::buffered).
    ///
    /// Never more than the limit and a terminator or prefix, and never more than 64 KiB beyond what has arrived of one
    /// message (a sixteenth of it, where it is longer than 1 MiB, so that the cost stays linear). A message that was
    /// put together here is dropped by the next call, after which at most 4 KiB are held until another one arrives in
    /// pieces.
    fn capacity(&self) -> usize;
}

pub(super) mod sealed {
    #[allow(unreachable_pub)] // reachable as a supertrait, which is what seals
    pub trait Sealed {}
}
