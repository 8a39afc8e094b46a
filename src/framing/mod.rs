//! Lines and length-prefixed messages, sans-IO, always bounded.
//!
//! TCP carries bytes, not messages: one `send` may arrive in ten pieces, and ten may arrive as one. A [`Decoder`] puts
//! the messages together again. It knows no socket. Bytes are pushed into it as they arrive, so the same decoder serves
//! a handler that blocks and a callback that must not, and what it keeps of an unfinished message is bounded by a limit
//! that no peer can talk it out of.
//!
//! | Python | here |
//! |---|---|
//! | `rfile.readline()`, `StreamReader.readline` | [`LineDecoder`] |
//! | a loop of `recv` for a `struct.pack("!I", …)` length and then its bytes, `StreamReader.readexactly` | [`FrameDecoder`] |
//! | `struct.pack("!I", len(payload)) + payload` | [`LengthPrefix::encode`] |
//! | `line.decode()` | [`utf8`](fn@utf8) |
//!
//! # In a handler that blocks
//! [`Decoder::read_from`] reads from any [`BufRead`](std::io::BufRead). The message lies in the decoder, so what it was
//! read from is free to be written to:
//!
//! ```
//! use std::io::{self, BufRead, Write};
//! use socketserver::framing::{utf8, Decoder, LineDecoder};
//!
//! fn serve(request: &mut (impl BufRead + Write)) -> io::Result<()> {
//!     let mut lines = LineDecoder::new().strip_cr(true);
//!     while let Some(line) = lines.read_from(request)? {
//!         writeln!(request, "hello, {}", utf8(line)?)?;
//!     }
//!     Ok(())
//! }
//! # struct Request { input: io::Cursor<&'static str>, output: Vec<u8> }
//! # impl io::Read for Request { fn read(&mut self, b: &mut [u8]) -> io::Result<usize> { self.input.read(b) } }
//! # impl BufRead for Request {
//! #     fn fill_buf(&mut self) -> io::Result<&[u8]> { self.input.fill_buf() }
//! #     fn consume(&mut self, amount: usize) { self.input.consume(amount) }
//! # }
//! # impl Write for Request {
//! #     fn write(&mut self, b: &[u8]) -> io::Result<usize> { self.output.write(b) }
//! #     fn flush(&mut self) -> io::Result<()> { Ok(()) }
//! # }
//! # let mut request = Request { input: io::Cursor::new("Guido\r\nBarry"), output: Vec::new() };
//! # serve(&mut request).unwrap();
//! # assert_eq!(request.output, b"hello, Guido\nhello, Barry\n");
//! ```
//!
//! # In a callback
//! [`Decoder::decode`] takes what has arrived, gives one message at a time and keeps the rest for the next call. A
//! message that lies whole in `data` is given where it lies, without a copy:
//!
//! ```
//! use socketserver::framing::{Decoder, FrameDecoder, FramingError, LengthPrefix};
//!
//! struct Sums {
//!     frames: FrameDecoder,
//!     answers: Vec<u8>,
//! }
//!
//! impl Sums {
//!     fn data_received(&mut self, mut data: &[u8]) -> Result<(), FramingError> {
//!         while let Some(frame) = self.frames.decode(&mut data)? {
//!             let sum: u64 = frame.iter().copied().map(u64::from).sum();
//!             LengthPrefix::U16_BE.encode(&sum.to_be_bytes(), &mut self.answers)?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut sums = Sums { frames: FrameDecoder::new(LengthPrefix::U16_BE), answers: Vec::new() };
//! sums.data_received(b"\x00\x02\x01\x02\x00")?; // a frame of two bytes, and half a prefix
//! sums.data_received(b"\x01\x09")?; // the other half, and a frame of one byte
//! assert_eq!(sums.answers, b"\x00\x08\0\0\0\0\0\0\0\x03\x00\x08\0\0\0\0\0\0\0\x09");
//! # Ok::<(), FramingError>(())
//! ```
//!
//! A message borrows the decoder. Where the loop's body wants a method of the whole `self`, take the state apart first
//! (`let Sums { frames, answers } = self;`), or take the decoder out for the time of the loop with
//! [`std::mem::replace`].
//!
//! # Limits
//! A line has at most [`DEFAULT_MAX_LINE`] bytes and a frame [`DEFAULT_MAX_FRAME`], unless set otherwise. A length that
//! a peer announces is checked before anything is allocated, and memory follows the bytes that really arrive. A message
//! that breaks its limit ends the decoding: where the next one begins is not known, so the decoder lets its memory go
//! and answers with the same error from then on. Close the connection.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod assembler;
mod decoder;
mod error;
mod frame_decoder;
mod length_prefix;
mod line_decoder;
mod utf8;

pub use decoder::Decoder;
pub use error::FramingError;
pub use frame_decoder::{FrameDecoder, DEFAULT_MAX_FRAME};
pub use length_prefix::LengthPrefix;
pub use line_decoder::{LineDecoder, DEFAULT_MAX_LINE};
pub use utf8::utf8;
