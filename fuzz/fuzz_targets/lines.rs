//! Lines: the same ones whether the stream comes whole, in pieces or is read, and as `split` would have them.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use socketserver::framing::{utf8, FramingError, LineDecoder};
use socketserver_fuzz::oracle::{lines_of, pulled, pushed};
use socketserver_fuzz::{Cuts, Limit, Pieces};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    limit: Limit,
    strip_cr: bool,
    cuts: Cuts,
    stream: &'a [u8],
}

fuzz_target!(|input: Input<'_>| {
    let limit = input.limit.bytes();
    let decoder = || LineDecoder::new().max_line(limit).strip_cr(input.strip_cr);
    let expected = lines_of(input.stream, limit, input.strip_cr);
    assert_eq!(pushed(&mut decoder(), &[input.stream], limit), expected);
    assert_eq!(pushed(&mut decoder(), &input.cuts.of(input.stream), limit), expected);
    assert_eq!(pulled(&mut decoder(), &mut Pieces::new(input.cuts.of(input.stream))), expected);
    for line in &expected.messages {
        match utf8(line) {
            Ok(text) => assert_eq!(text.as_bytes(), line),
            Err(FramingError::InvalidUtf8 { at }) => assert!(utf8(&line[..at]).is_ok() && at < line.len()),
            Err(error) => panic!("{error}"),
        }
    }
});
