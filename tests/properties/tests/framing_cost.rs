//! What decoding costs: linear in the bytes, in however small pieces they come.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use std::time::Duration;

use nix::time::{clock_gettime, ClockId};
use socketserver::framing::{Decoder, FrameDecoder, LengthPrefix, LineDecoder};

/// This thread's own, so that a busy machine changes nothing.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// The least time in which `bytes` are taken one at a time, of some runs: what disturbs a run only makes it longer.
fn byte_by_byte<D: Decoder>(new: impl Fn() -> D, bytes: &[u8]) -> Duration {
    let run = || {
        let mut decoder = new();
        let start = processor_time();
        let mut messages = 0;
        for byte in bytes.chunks(1) {
            messages += usize::from(decoder.decode(&mut &*byte).unwrap().is_some());
        }
        assert_eq!(messages, 1);
        processor_time() - start
    };
    (0..5).map(|_| run()).min().unwrap()
}

/// A message 16 times as long takes about 16 times as long. Were what is kept looked through or copied again at every
/// byte, it would take 256 times as long; the bound lies between the two, far from both.
fn assert_linear(short: Duration, long: Duration) {
    assert!(long < short * 64, "{short:?} for the short one, {long:?} for one 16 times as long");
}

#[test]
fn a_line_byte_by_byte() {
    let line = |length: usize| [vec![b'x'; length], b"\n".to_vec()].concat();
    let cost = |length| byte_by_byte(LineDecoder::new, &line(length));
    assert_linear(cost(4 * 1024), cost(64 * 1024));
}

#[test]
fn a_frame_byte_by_byte() {
    let frame = |length: usize| {
        let mut frame = Vec::new();
        LengthPrefix::U32_BE.encode(&vec![0; length], &mut frame).unwrap();
        frame
    };
    let cost = |length| byte_by_byte(|| FrameDecoder::new(LengthPrefix::U32_BE), &frame(length));
    assert_linear(cost(64 * 1024), cost(1024 * 1024));
}

/// Counted rather than timed: what is moved when memory grows, supposing that the allocator never extends it in place.
#[test]
fn growing_moves_few_bytes() {
    const LENGTH: usize = 24 * 1024 * 1024;
    let mut decoder = LineDecoder::new().max_line(LENGTH);
    let piece = [b'x'; 1024];
    let (mut capacity, mut moved) = (0, 0);
    for _ in 0..LENGTH / piece.len() {
        let held = decoder.buffered();
        assert_eq!(decoder.decode(&mut &piece[..]), Ok(None));
        if decoder.capacity() != capacity {
            capacity = decoder.capacity();
            moved += held;
        }
    }
    assert!(moved < 20 * LENGTH, "{moved} bytes moved for a line of {LENGTH}");
}
