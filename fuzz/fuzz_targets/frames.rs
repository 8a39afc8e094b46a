//! Frames: the same ones whether the stream comes whole, in pieces or is read; and encoding is undone by decoding.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use socketserver::framing::{FrameDecoder, FramingError, LengthPrefix};
use socketserver_fuzz::oracle::{frames_of, pulled, pushed, Outcome};
use socketserver_fuzz::{Cuts, Limit, Pieces, Prefix};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    limit: Limit,
    prefix: Prefix,
    cuts: Cuts,
    /// Frames that somebody encoded, in front of whatever comes.
    payloads: Vec<&'a [u8]>,
    rest: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let (limit, prefix) = (input.limit.bytes(), LengthPrefix::from(input.prefix));
    let decoder = || FrameDecoder::new(prefix).max_frame(limit);
    let mut stream = Vec::new();
    let mut encoded = Vec::new();
    for payload in &input.payloads {
        let before = stream.len();
        match prefix.encode_up_to(limit, payload, &mut stream) {
            Ok(()) => encoded.push(payload.to_vec()),
            Err(FramingError::FrameTooLong { length, limit: named }) => {
                assert!(length == payload.len() as u64 && payload.len() > named && named <= limit);
                assert_eq!(stream.len(), before);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(pushed(&mut decoder(), &input.cuts.of(&stream), limit), Outcome { messages: encoded, end: Ok(()) });

    stream.extend(input.rest);
    let expected = frames_of(&stream, prefix, limit);
    assert_eq!(pushed(&mut decoder(), &[&stream], limit), expected);
    assert_eq!(pushed(&mut decoder(), &input.cuts.of(&stream), limit), expected);
    assert_eq!(pulled(&mut decoder(), &mut Pieces::new(input.cuts.of(&stream))), expected);
});
