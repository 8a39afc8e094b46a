//! What puts messages together below both decoders: pushing and pulling in any order, on one decoder, lose nothing and keep the limit.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use socketserver::framing::{Decoder, FrameDecoder, FramingError, LineDecoder};
use socketserver_fuzz::oracle::{assert_bounded, frames_of, lines_of, Outcome};
use socketserver_fuzz::{Limit, Prefix};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    limit: Limit,
    strip_cr: bool,
    prefix: Prefix,
    calls: Vec<Call<'a>>,
}

#[derive(Arbitrary, Debug)]
enum Call<'a> {
    /// `decode` until there is no more.
    Push(&'a [u8]),
    /// `decode` once, and then as often as it takes.
    PushOneThenPull(&'a [u8]),
    /// `read_from`, whose reader fails once what it has is gone.
    Pull(&'a [u8]),
}

fuzz_target!(|input: Input<'_>| {
    let limit = input.limit.bytes();
    let stream: Vec<u8> = input.calls.iter().flat_map(|call| call.bytes().iter().copied()).collect();
    let lines = LineDecoder::new().max_line(limit).strip_cr(input.strip_cr);
    assert_eq!(called(lines, &input.calls, limit), lines_of(&stream, limit, input.strip_cr));
    let prefix = input.prefix.into();
    let frames = FrameDecoder::new(prefix).max_frame(limit);
    assert_eq!(called(frames, &input.calls, limit), frames_of(&stream, prefix, limit));
});

impl<'a> Call<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Call::Push(bytes) | Call::PushOneThenPull(bytes) | Call::Pull(bytes) => bytes,
        }
    }
}

fn called(mut decoder: impl Decoder, calls: &[Call<'_>], limit: usize) -> Outcome {
    let mut messages = Vec::new();
    let mut arrived = 0;
    for call in calls {
        arrived += call.bytes().len();
        if let Err(error) = made(&mut decoder, call, &mut messages) {
            assert_eq!((decoder.buffered(), decoder.capacity()), (0, 0));
            assert_eq!(decoder.finish(), Err(error.clone()));
            return Outcome { messages, end: Err(error) };
        }
        assert_bounded(&decoder, arrived, limit);
    }
    let end = decoder.finish().map(|last| messages.extend(last.map(<[u8]>::to_vec)));
    Outcome { messages, end }
}

fn made(decoder: &mut impl Decoder, call: &Call<'_>, messages: &mut Vec<Vec<u8>>) -> Result<(), FramingError> {
    let mut data = call.bytes();
    match call {
        Call::Push(_) => {}
        Call::PushOneThenPull(_) => {
            if let Some(message) = decoder.decode(&mut data)? {
                messages.push(message.to_vec());
            }
            return pull(decoder, data, messages);
        }
        Call::Pull(_) => return pull(decoder, data, messages),
    }
    while let Some(message) = decoder.decode(&mut data)? {
        messages.push(message.to_vec());
    }
    assert!(data.is_empty());
    Ok(())
}

/// An end that is none: a connection whose time is up, rather than one that is closed.
fn pull(decoder: &mut impl Decoder, data: &[u8], messages: &mut Vec<Vec<u8>>) -> Result<(), FramingError> {
    let mut reader = NoEnd(data);
    loop {
        match decoder.read_from(&mut reader) {
            Ok(Some(message)) => messages.push(message.to_vec()),
            Ok(None) => panic!("an end where there was none"),
            Err(error) => match FramingError::of(&error) {
                Some(error) => return Err(error.clone()),
                None => {
                    assert!(reader.0.is_empty());
                    return Ok(());
                }
            },
        }
    }
}

struct NoEnd<'a>(&'a [u8]);

impl std::io::BufRead for NoEnd<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        match self.0 {
            [] => Err(std::io::ErrorKind::WouldBlock.into()),
            left => Ok(left),
        }
    }

    fn consume(&mut self, amount: usize) {
        self.0 = &self.0[amount..];
    }
}

impl std::io::Read for NoEnd<'_> {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        unreachable!("decoders use the buffer")
    }
}
