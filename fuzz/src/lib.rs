//! What the fuzz targets share: pieces to cut a stream into, and what the decoders must make of it.
//!
//! Each target is a property and not only the absence of a panic: a limit is kept, nothing is lost, and the result is the same however the
//! stream is cut.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, Read};

use arbitrary::Arbitrary;
use socketserver::framing::LengthPrefix;

/// The properties of `tests/properties` ask the same.
#[path = "../../tests/properties/tests/oracle/mod.rs"]
pub mod oracle;

/// How a stream is cut.
#[derive(Arbitrary, Debug)]
pub struct Cuts(Vec<u8>);

impl Cuts {
    /// The stream in pieces of these sizes, over and over; whole where there are none.
    pub fn of<'a>(&self, mut stream: &'a [u8]) -> Vec<&'a [u8]> {
        if self.0.iter().all(|&size| size == 0) {
            return vec![stream];
        }
        let mut pieces = Vec::new();
        for &size in self.0.iter().cycle() {
            if stream.is_empty() {
                break;
            }
            let (piece, rest) = stream.split_at(usize::from(size).min(stream.len()));
            pieces.push(piece);
            stream = rest;
        }
        pieces
    }
}

/// A reader that gives these pieces one after the other, and fails before each that has an odd length, as a socket does whose time is up.
#[derive(Debug)]
pub struct Pieces<'a> {
    pieces: std::vec::IntoIter<&'a [u8]>,
    left: &'a [u8],
    failed: bool,
}

impl<'a> Pieces<'a> {
    /// A reader of these; empty ones are left out, as they would mean the end.
    pub fn new(mut pieces: Vec<&'a [u8]>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        Self { pieces: pieces.into_iter(), left: &[], failed: false }
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left.is_empty() {
            let next = self.pieces.as_slice().first().copied().unwrap_or_default();
            if next.len() % 2 == 1 && !self.failed {
                self.failed = true;
                let kind = if next.len() % 4 == 1 { io::ErrorKind::Interrupted } else { io::ErrorKind::WouldBlock };
                return Err(kind.into());
            }
            self.failed = false;
            self.left = self.pieces.next().unwrap_or_default();
        }
        Ok(self.left)
    }

    fn consume(&mut self, amount: usize) {
        self.left = &self.left[amount..];
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let length = available.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

/// The longest message that is allowed: mostly so few bytes that an input has more.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Limit {
    /// Few.
    Small(u8),
    /// More than most inputs have.
    Large(u16),
    /// Whatever there is.
    None,
}

impl Limit {
    /// In bytes.
    pub fn bytes(self) -> usize {
        match self {
            Limit::Small(limit) => limit.into(),
            Limit::Large(limit) => limit.into(),
            Limit::None => usize::MAX,
        }
    }
}

/// A kind of prefix.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Prefix {
    /// One byte.
    U8,
    /// Two, the first the greatest.
    U16Be,
    /// Two, the last the greatest.
    U16Le,
    /// Four.
    U32Be,
    /// Four.
    U32Le,
    /// Eight.
    U64Be,
    /// Eight.
    U64Le,
}

impl From<Prefix> for LengthPrefix {
    fn from(prefix: Prefix) -> LengthPrefix {
        match prefix {
            Prefix::U8 => LengthPrefix::U8,
            Prefix::U16Be => LengthPrefix::U16_BE,
            Prefix::U16Le => LengthPrefix::U16_LE,
            Prefix::U32Be => LengthPrefix::U32_BE,
            Prefix::U32Le => LengthPrefix::U32_LE,
            Prefix::U64Be => LengthPrefix::U64_BE,
            Prefix::U64Le => LengthPrefix::U64_LE,
        }
    }
}
