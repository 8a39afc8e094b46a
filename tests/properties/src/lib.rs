//! What the properties share. They are in `tests/`, one file for each module of `socketserver`.
//!
//! Every property is tried on 1,000 cases, or as many as `PROPTEST_CASES` says.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};

use proptest::prelude::*;

/// How the properties are run.
pub fn config() -> ProptestConfig {
    let config = ProptestConfig::default(); // reads PROPTEST_CASES
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => ProptestConfig { cases: 1_000, ..config },
    }
}

/// `stream`, cut into pieces of these sizes, over and over. Empty pieces are among them where a size is 0.
pub fn pieces<'a>(mut stream: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    if sizes.iter().all(|&size| size == 0) {
        return vec![stream];
    }
    for &size in sizes.iter().cycle() {
        if stream.is_empty() {
            break;
        }
        let (piece, rest) = stream.split_at(size.min(stream.len()));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

/// Sizes for [`pieces`]: mostly small, so that messages are cut in their prefixes and terminators.
pub fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![4 => 0..4usize, 2 => 4..20usize, 1 => 20..3_000usize], 1..12)
}

/// What a [`Stuttering`] reader does besides reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stutter {
    /// Nothing.
    None,
    /// Fails with [`io::ErrorKind::Interrupted`] first, which every caller has to repeat.
    Interrupted,
    /// Fails with [`io::ErrorKind::WouldBlock`] first, as a socket does whose time is up.
    WouldBlock,
}

/// Any kind of [`Stutter`].
pub fn stutters() -> impl Strategy<Value = Vec<Stutter>> {
    let stutter = prop_oneof![Just(Stutter::None), Just(Stutter::Interrupted), Just(Stutter::WouldBlock)];
    prop::collection::vec(stutter, 1..8)
}

/// A reader that gives a stream in pieces, and stutters between them.
#[derive(Debug)]
pub struct Stuttering<'a> {
    pieces: VecDeque<(Stutter, &'a [u8])>,
}

impl<'a> Stuttering<'a> {
    /// A reader of these pieces; empty ones are left out, as they would mean the end.
    pub fn new(pieces: Vec<&'a [u8]>, stutters: &[Stutter]) -> Self {
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        Self { pieces: stutters.iter().copied().cycle().zip(pieces).collect() }
    }
}

impl BufRead for Stuttering<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let Some((stutter, piece)) = self.pieces.front_mut() else {
            return Ok(&[]);
        };
        match std::mem::replace(stutter, Stutter::None) {
            Stutter::None => Ok(piece),
            Stutter::Interrupted => Err(io::ErrorKind::Interrupted.into()),
            Stutter::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn consume(&mut self, amount: usize) {
        let Some((_, piece)) = self.pieces.front_mut() else {
            assert_eq!(amount, 0, "consumed at the end");
            return;
        };
        *piece = &piece[amount..];
        if piece.is_empty() {
            self.pieces.pop_front();
        }
    }
}

impl Read for Stuttering<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let length = available.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

/// Marsaglia's xorshift64*: the same numbers for the same seed, for what goes on behind a generated case.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Less than `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit.max(1)
    }
}
