//! Properties of `socketserver::framing`.
#![forbid(unsafe_code)]

// The fuzz targets export it.
#[allow(unreachable_pub)]
mod oracle;

use oracle::{assert_bounded, frames_of, length_of, lines_of, pulled, pushed, Outcome};
use proptest::prelude::*;
use socketserver::framing::{utf8, Decoder, FrameDecoder, FramingError, LengthPrefix, LineDecoder};
use socketserver_properties::{config, pieces, sizes, stutters, Stuttering};

fn announcement(length: u64, prefix: LengthPrefix) -> Vec<u8> {
    let mut digits = length.to_le_bytes()[..prefix.width()].to_vec();
    if length_of(&digits, prefix) != length {
        digits.reverse();
    }
    assert_eq!(length_of(&digits, prefix), length);
    digits
}

fn prefixes() -> impl Strategy<Value = LengthPrefix> {
    prop::sample::select(vec![
        LengthPrefix::U8,
        LengthPrefix::U16_BE,
        LengthPrefix::U16_LE,
        LengthPrefix::U32_BE,
        LengthPrefix::U32_LE,
        LengthPrefix::U64_BE,
        LengthPrefix::U64_LE,
    ])
}

/// Bytes of which many end a line.
fn line_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'\n'), 3 => Just(b'\r'), 8 => Just(b'x'), 1 => any::<u8>()];
    prop_oneof![
        9 => prop::collection::vec(byte, 0..300),
        1 => prop::collection::vec(prop_oneof![1 => Just(b'\n'), 400 => Just(b'y')], 0..6_000),
    ]
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let payload = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(any::<u8>(), 0..256),
    ];
    prop::collection::vec(payload, 0..12)
}

fn limits() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..30usize, 2 => 30..5_000usize, 1 => Just(usize::MAX)]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn lines_do_not_depend_on_how_the_stream_is_cut(
        stream in line_bytes(), sizes in sizes(), limit in limits(), short_of_longest in 0..4usize,
        strip_cr in any::<bool>(),
    ) {
        // Half of the limits are right at the longest line, where one byte more or less matters.
        let everything = lines_of(&stream, usize::MAX, strip_cr).messages;
        let longest = everything.iter().map(Vec::len).max().unwrap_or(0);
        let limit = if short_of_longest < 2 { longest.saturating_sub(short_of_longest) } else { limit };
        let decoder = || LineDecoder::new().max_line(limit).strip_cr(strip_cr);
        let expected = lines_of(&stream, limit, strip_cr);
        prop_assert_eq!(&pushed(&mut decoder(), &[&stream], limit), &expected);
        prop_assert_eq!(&pushed(&mut decoder(), &pieces(&stream, &sizes), limit), &expected);
    }

    #[test]
    fn frames_do_not_depend_on_how_the_stream_is_cut(
        prefix in prefixes(), payloads in payloads(), tail in prop::collection::vec(any::<u8>(), 0..12),
        sizes in sizes(), limit in limits(),
    ) {
        let mut stream = Vec::new();
        for payload in &payloads {
            stream.extend(announcement(payload.len() as u64, prefix));
            stream.extend(payload);
        }
        stream.extend(&tail); // may be anything: a frame, half of one, a length beyond any limit
        let decoder = || FrameDecoder::new(prefix).max_frame(limit);
        let expected = frames_of(&stream, prefix, limit);
        prop_assert_eq!(&pushed(&mut decoder(), &[&stream], limit), &expected);
        prop_assert_eq!(&pushed(&mut decoder(), &pieces(&stream, &sizes), limit), &expected);
    }

    #[test]
    fn pulling_gives_what_pushing_gives(
        stream in line_bytes(), sizes in sizes(), stutters in stutters(), limit in limits(), prefix in prefixes(),
    ) {
        let reader = || Stuttering::new(pieces(&stream, &sizes), &stutters);
        let mut lines = LineDecoder::new().max_line(limit);
        prop_assert_eq!(pulled(&mut lines, &mut reader()), lines_of(&stream, limit, false));
        let mut frames = FrameDecoder::new(prefix).max_frame(limit);
        prop_assert_eq!(pulled(&mut frames, &mut reader()), frames_of(&stream, prefix, limit));
    }

    #[test]
    fn decoding_undoes_encoding(
        prefix in prefixes(), payloads in payloads(), sizes in sizes(), stutters in stutters(),
    ) {
        let mut stream = Vec::new();
        for payload in &payloads {
            prefix.encode(payload, &mut stream).unwrap();
        }
        let expected = Outcome { messages: payloads, end: Ok(()) };
        let pieces = pieces(&stream, &sizes);
        let limit = socketserver::framing::DEFAULT_MAX_FRAME;
        prop_assert_eq!(&pushed(&mut FrameDecoder::new(prefix), &pieces, limit), &expected);
        let mut reader = Stuttering::new(pieces, &stutters);
        prop_assert_eq!(&pulled(&mut FrameDecoder::new(prefix), &mut reader), &expected);
    }

    #[test]
    fn encoding_refuses_what_decoding_would(
        prefix in prefixes(), length in 0..70_000usize, limit in 0..70_000usize, before in any::<[u8; 3]>(),
    ) {
        let payload = vec![b'p'; length];
        let mut out = before.to_vec();
        let encoded = prefix.encode_up_to(limit, &payload, &mut out);
        let fits = length <= limit && length as u64 <= prefix.max_length();
        prop_assert_eq!(encoded.is_ok(), fits);
        prop_assert_eq!(out.len(), if fits { before.len() + prefix.width() + length } else { before.len() });
        prop_assert_eq!(&out[..before.len()], &before[..]);
        if fits {
            let mut decoder = FrameDecoder::new(prefix).max_frame(limit);
            prop_assert_eq!(decoder.decode(&mut &out[before.len()..]), Ok(Some(&payload[..])));
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_before_it_costs_memory(
        prefix in prefixes(), limit in 0..300_000usize, length in any::<u64>(), sizes in sizes(),
    ) {
        let length = length & prefix.max_length();
        prop_assume!(length > limit as u64);
        let stream = [announcement(length, prefix), vec![0; 64]].concat();
        let mut decoder = FrameDecoder::new(prefix).max_frame(limit);
        for piece in pieces(&stream, &sizes) {
            let result = decoder.decode(&mut &*piece).map(|frame| frame.map(<[u8]>::to_vec));
            prop_assert!(decoder.capacity() <= prefix.width());
            if let Err(error) = result {
                prop_assert_eq!(error, FramingError::FrameTooLong { length, limit });
                return Ok(());
            }
            prop_assert_eq!(result, Ok(None));
        }
        prop_assert!(false, "not refused");
    }

    #[test]
    fn a_long_frame_costs_what_has_arrived_of_it(
        length in 0..300_000usize, sent in 0..300_000usize, sizes in prop::collection::vec(1..90_000usize, 1..5),
    ) {
        let limit = 300_000;
        let mut stream = announcement(length as u64, LengthPrefix::U32_BE);
        stream.resize(stream.len() + sent.min(length), b'f');
        let mut decoder = FrameDecoder::new(LengthPrefix::U32_BE).max_frame(limit);
        let outcome = pushed(&mut decoder, &pieces(&stream, &sizes), limit.min(length));
        prop_assert_eq!(outcome, frames_of(&stream, LengthPrefix::U32_BE, limit));
    }

    #[test]
    fn a_line_over_the_limit_is_refused_when_it_passes_it(
        limit in 0..2_000usize, over in 1..2_000usize, sizes in sizes(), strip_cr in any::<bool>(),
        terminator in prop::sample::select(vec!["", "\n", "\r\n", "\n\n"]),
    ) {
        let mut stream = vec![b'l'; limit + over];
        stream.extend(terminator.as_bytes());
        let mut decoder = LineDecoder::new().max_line(limit).strip_cr(strip_cr);
        let mut arrived = 0;
        for piece in pieces(&stream, &sizes) {
            arrived += piece.len();
            let result = decoder.decode(&mut &*piece).map(|line| line.map(<[u8]>::to_vec));
            assert_bounded(&decoder, arrived, limit);
            let expected = if arrived > limit { Err(FramingError::LineTooLong { limit }) } else { Ok(None) };
            prop_assert_eq!(result, expected, "after {} bytes", arrived);
        }
    }

    #[test]
    fn text_survives_cuts_within_its_characters(
        texts in prop::collection::vec("[a-z\u{e9}\u{20ac}\u{1f980} ]{0,12}", 0..8), sizes in sizes(),
    ) {
        let stream: String = texts.iter().map(|text| format!("{text}\n")).collect();
        let mut decoder = LineDecoder::new();
        let mut seen = Vec::new();
        for mut piece in pieces(stream.as_bytes(), &sizes) {
            while let Some(line) = decoder.decode(&mut piece).unwrap() {
                seen.push(utf8(line).unwrap().to_owned());
            }
        }
        prop_assert_eq!(seen, texts);
    }

    #[test]
    fn text_that_is_none_is_refused_at_its_first_bad_byte(good in "[a-z\u{20ac}]{0,8}", rest in any::<[u8; 4]>()) {
        let message = [good.as_bytes(), b"\xff", &rest].concat();
        prop_assert_eq!(utf8(&message), Err(FramingError::InvalidUtf8 { at: good.len() }));
    }

    #[test]
    fn garbage_and_any_order_of_calls_are_survived(
        calls in prop::collection::vec((0..4u8, prop::collection::vec(any::<u8>(), 0..80)), 0..40),
        prefix in prefixes(), limit in limits(), strip_cr in any::<bool>(),
    ) {
        let mut lines = LineDecoder::new().max_line(limit).strip_cr(strip_cr);
        let mut frames = FrameDecoder::new(prefix).max_frame(limit);
        let mut arrived = 0;
        for (call, bytes) in &calls {
            arrived += bytes.len();
            garble(&mut lines, *call, bytes);
            garble(&mut frames, *call, bytes);
            assert_bounded(&lines, arrived, limit);
            assert_bounded(&frames, arrived, limit);
        }
    }
}

/// One call, whatever comes of it.
fn garble(decoder: &mut impl Decoder, call: u8, bytes: &[u8]) {
    let mut data = bytes;
    match call {
        0 => drop(decoder.decode(&mut data)),
        1 => while let Ok(Some(_)) = decoder.decode(&mut data) {},
        2 => drop(decoder.read_from(&mut data)),
        _ => drop(decoder.finish()),
    }
    let _debug = format!("{}", decoder.buffered());
}
