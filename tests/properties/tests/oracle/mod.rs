//! What the decoders of `socketserver::framing` must make of a stream, said as plainly as can be, and what must hold at every call. For the
//! properties beside it, and for the fuzz targets in `fuzz/`, which compile this very file.

use std::io::{self, BufRead};

use socketserver::framing::{Decoder, FramingError, LengthPrefix};

/// The most that memory may run ahead of what has arrived.
const STEP: usize = 64 * 1024;

/// The terminator or prefix that may be held besides a message.
const BESIDES: usize = 8;

/// All that a decoder makes of a stream: its messages, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The messages, in their order.
    pub messages: Vec<Vec<u8>>,
    /// How it ended.
    pub end: Result<(), FramingError>,
}

/// Pushes the pieces, and checks at every call what must hold at any time.
pub fn pushed(decoder: &mut impl Decoder, pieces: &[&[u8]], limit: usize) -> Outcome {
    let mut messages = Vec::new();
    let mut arrived = 0;
    for piece in pieces {
        arrived += piece.len();
        let mut data = *piece;
        loop {
            let before = data;
            match decoder.decode(&mut data) {
                Ok(Some(message)) => {
                    assert!(message.len() <= limit);
                    messages.push(message.to_vec());
                    assert!(data.len() < before.len(), "a message without a byte taken");
                    assert_eq!(data, &before[before.len() - data.len()..]);
                    assert_eq!(decoder.buffered(), 0);
                }
                Ok(None) => {
                    assert!(data.is_empty());
                    break;
                }
                Err(error) => {
                    assert!(data.is_empty());
                    assert_final(decoder, &error);
                    return Outcome { messages, end: Err(error) };
                }
            }
            assert_bounded(decoder, arrived, limit);
        }
        assert_bounded(decoder, arrived, limit);
        assert!(decoder.buffered() <= decoder.capacity());
    }
    let end = match decoder.finish() {
        Ok(last) => {
            messages.extend(last.map(<[u8]>::to_vec));
            assert_eq!(decoder.finish(), Ok(None));
            Ok(())
        }
        Err(error) => {
            assert_final(decoder, &error);
            Err(error)
        }
    };
    Outcome { messages, end }
}

/// Pulls everything out of a reader; a read that would block is tried again.
pub fn pulled(decoder: &mut impl Decoder, reader: &mut dyn BufRead) -> Outcome {
    let mut messages = Vec::new();
    let end = loop {
        match decoder.read_from(reader) {
            Ok(Some(message)) => messages.push(message.to_vec()),
            Ok(None) => break Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => break Err(FramingError::of(&error).expect("an error of the decoder's").clone()),
        }
    };
    Outcome { messages, end }
}

/// What must hold of the memory whenever a call has returned.
pub fn assert_bounded(decoder: &impl Decoder, arrived: usize, limit: usize) {
    let capacity = decoder.capacity();
    assert!(capacity <= limit.saturating_add(BESIDES), "{capacity} bytes held under a limit of {limit}");
    assert!(capacity <= arrived + STEP, "{capacity} bytes held after {arrived} arrived");
}

fn assert_final(decoder: &mut impl Decoder, error: &FramingError) {
    for _ in 0..2 {
        let mut more = &b"\0\0\0\0\0\0\0\0\n"[..];
        assert_eq!(decoder.decode(&mut more).as_ref(), Err(error));
        assert!(more.is_empty());
        assert_eq!(decoder.finish().as_ref(), Err(error));
        assert_eq!((decoder.buffered(), decoder.capacity()), (0, 0));
    }
}

/// What lines a stream has, said as plainly as can be.
pub fn lines_of(stream: &[u8], limit: usize, strip_cr: bool) -> Outcome {
    let mut messages = Vec::new();
    let mut lines: Vec<&[u8]> = stream.split(|&byte| byte == b'\n').collect();
    let unterminated = lines.pop().unwrap_or_default();
    for mut line in lines {
        if strip_cr {
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        if line.len() > limit {
            return Outcome { messages, end: Err(FramingError::LineTooLong { limit }) };
        }
        messages.push(line.to_vec());
    }
    if unterminated.len() > limit {
        return Outcome { messages, end: Err(FramingError::LineTooLong { limit }) };
    }
    if !unterminated.is_empty() {
        messages.push(unterminated.to_vec());
    }
    Outcome { messages, end: Ok(()) }
}

/// What frames a stream has, said as plainly as can be.
pub fn frames_of(mut stream: &[u8], prefix: LengthPrefix, limit: usize) -> Outcome {
    let mut messages = Vec::new();
    let end = loop {
        let received = stream.len();
        if received == 0 {
            break Ok(());
        }
        if received < prefix.width() {
            break Err(FramingError::Incomplete { received, missing: prefix.width() - received });
        }
        let (announced, rest) = stream.split_at(prefix.width());
        let length = length_of(announced, prefix);
        if length > limit as u64 {
            break Err(FramingError::FrameTooLong { length, limit });
        }
        let length = length as usize;
        if rest.len() < length {
            break Err(FramingError::Incomplete { received, missing: length - rest.len() });
        }
        messages.push(rest[..length].to_vec());
        stream = &rest[length..];
    };
    Outcome { messages, end }
}

/// What a prefix says.
pub fn length_of(announced: &[u8], prefix: LengthPrefix) -> u64 {
    let little = [LengthPrefix::U16_LE, LengthPrefix::U32_LE, LengthPrefix::U64_LE].contains(&prefix);
    let mut digits = announced.to_vec();
    if little {
        digits.reverse();
    }
    digits.iter().fold(0, |length, &digit| length * 256 + u64::from(digit))
}
