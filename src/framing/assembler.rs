//! [`Assembler`]: the part of decoding that does not depend on what a message looks like.

use std::fmt;
use std::io::{self, BufRead};
use std::mem;

use super::FramingError;

/// The most that memory grows by at a time, so that a peer has to send what it wants to occupy.
pub(super) const STEP: usize = 64 * 1024;

/// The first allocation, of which most unfinished lines need no second.
const FIRST: usize = 64;

/// What is kept between messages for the next one: ten thousand idle connections then hold 40 MB at worst.
const IDLE: usize = 4 * 1024;

/// Cuts a stream of bytes into the messages that a [`Rule`] sees in it.
#[derive(Clone)]
pub(super) struct Assembler<R> {
    pub(super) rule: R,
    /// The message being gathered, terminator or prefix included; or the one that was given last.
    kept: Vec<u8>,
    state: State,
}

/// What a message looks like. The rule has no state, so that no split of the stream can make a difference to it.
pub(super) trait Rule {
    /// Looks for the end of the message that began with `kept`, and goes on with `new`. Must not look through `kept`
    /// again.
    ///
    /// # Errors
    /// The message is longer than the limit.
    fn scan(&self, kept: &[u8], new: &[u8]) -> Result<Scan, FramingError>;

    /// The message within all of its bytes.
    fn strip<'a>(&self, whole: &'a [u8]) -> &'a [u8];

    /// Whether the end of the stream completes the message of which `kept`, which is not empty, has arrived.
    ///
    /// # Errors
    /// It does not.
    fn end(&self, kept: &[u8]) -> Result<(), FramingError>;
}

/// What [`Rule::scan`] found.
pub(super) enum Scan {
    /// The message ends after so many of the new bytes.
    Ends(usize),
    /// All of the new bytes belong to the message, and more is to come: as far as is known now, no more than this
    /// altogether.
    Continues { at_most: usize },
}

#[derive(Clone, Debug)]
enum State {
    Gathering,
    /// What is kept has been given away as a message, and is to be dropped.
    Given,
    Failed(FramingError),
}

/// Where a message lies.
enum Whole<'input> {
    Lent(&'input [u8]),
    Kept,
}

impl<R: Rule> Assembler<R> {
    pub(super) fn new(rule: R) -> Self {
        Self { rule, kept: Vec::new(), state: State::Gathering }
    }

    /// [`Decoder::decode`](super::Decoder::decode).
    pub(super) fn decode<'a, 'input: 'a>(
        &'a mut self,
        input: &mut &'input [u8],
    ) -> Result<Option<&'a [u8]>, FramingError> {
        Ok(match self.advance(input, true)? {
            Some(Whole::Lent(whole)) => Some(self.rule.strip(whole)),
            Some(Whole::Kept) => Some(self.give()),
            None => None,
        })
    }

    /// [`Decoder::finish`](super::Decoder::finish).
    pub(super) fn finish(&mut self) -> Result<Option<&[u8]>, FramingError> {
        self.begin()?;
        if self.kept.is_empty() {
            return Ok(None);
        }
        self.rule.end(&self.kept).map_err(|error| self.fail(error))?;
        Ok(Some(self.give()))
    }

    /// [`Decoder::read_from`](super::Decoder::read_from).
    pub(super) fn read_from(&mut self, reader: &mut dyn BufRead) -> io::Result<Option<&[u8]>> {
        loop {
            self.begin()?; // before the reader is touched: it may block
            let mut input = match reader.fill_buf() {
                Ok(input) => input,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let available = input.len();
            if available == 0 {
                return Ok(self.finish()?);
            }
            let complete = self.advance(&mut input, false).map(|whole| whole.is_some());
            let taken = available.saturating_sub(input.len());
            reader.consume(taken);
            if complete? {
                return Ok(Some(self.give()));
            }
        }
    }

    /// [`Decoder::buffered`](super::Decoder::buffered).
    pub(super) fn buffered(&self) -> usize {
        match self.state {
            State::Gathering => self.kept.len(),
            State::Given | State::Failed(_) => 0,
        }
    }

    /// [`Decoder::capacity`](super::Decoder::capacity).
    pub(super) fn capacity(&self) -> usize {
        self.kept.capacity()
    }

    /// Takes bytes from `input` up to the end of the message. One that lies whole in it is lent, if it may be.
    fn advance<'input>(
        &mut self,
        input: &mut &'input [u8],
        may_lend: bool,
    ) -> Result<Option<Whole<'input>>, FramingError> {
        let new = mem::take(input); // so that it is empty after an error
        self.begin()?;
        match self.rule.scan(&self.kept, new).map_err(|error| self.fail(error))? {
            Scan::Continues { at_most } => self.keep(new, at_most).map(|()| None),
            Scan::Ends(at) => {
                let (end, rest) = new.split_at(at.min(new.len()));
                if may_lend && self.kept.is_empty() {
                    *input = rest;
                    return Ok(Some(Whole::Lent(end)));
                }
                self.keep(end, 0)?;
                *input = rest;
                Ok(Some(Whole::Kept))
            }
        }
    }

    /// Drops the message that was given last.
    fn begin(&mut self) -> Result<(), FramingError> {
        match &self.state {
            State::Gathering => {}
            State::Failed(error) => return Err(error.clone()),
            State::Given => {
                self.kept.clear();
                if self.kept.capacity() > IDLE {
                    self.kept = Vec::new();
                }
                self.state = State::Gathering;
            }
        }
        Ok(())
    }

    /// Adds to the message. `at_most` is what it can still come to altogether.
    fn keep(&mut self, new: &[u8], at_most: usize) -> Result<(), FramingError> {
        let length = self.kept.len();
        let needed = length.saturating_add(new.len());
        if needed > self.kept.capacity() {
            let additional = grown(length, needed, at_most).saturating_sub(length);
            if self.kept.try_reserve_exact(additional).is_err() {
                return Err(self.fail(FramingError::OutOfMemory { length: needed }));
            }
        }
        self.kept.extend_from_slice(new);
        Ok(())
    }

    fn give(&mut self) -> &[u8] {
        self.state = State::Given;
        self.rule.strip(&self.kept)
    }

    fn fail(&mut self, error: FramingError) -> FramingError {
        self.kept = Vec::new();
        self.state = State::Failed(error.clone());
        error
    }
}

impl<R: fmt::Debug> fmt::Debug for Assembler<R> {
    /// Without the bytes: they may be many, and may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembler")
            .field("rule", &self.rule)
            .field("kept", &self.kept.len())
            .field("capacity", &self.kept.capacity())
            .field("state", &self.state)
            .finish()
    }
}

/// The capacity to have when `length` bytes are kept and `needed` are to be.
///
/// Doubles up to [`STEP`] and goes on by that. Steps of one size make a quadratic cost where the allocator cannot
/// extend in place, so above 16 steps (1 MiB) they are a sixteenth of what has arrived.
fn grown(length: usize, needed: usize, at_most: usize) -> usize {
    let step = length.clamp(FIRST, STEP).max(length / 16);
    length.saturating_add(step).min(at_most).max(needed)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    /// Messages of three bytes, of which the first is dropped.
    #[derive(Clone, Debug)]
    struct Threes;

    impl Rule for Threes {
        fn scan(&self, kept: &[u8], new: &[u8]) -> Result<Scan, FramingError> {
            if new.contains(&b'!') {
                return Err(FramingError::InvalidUtf8 { at: 0 });
            }
            let missing = 3 - kept.len();
            Ok(if new.len() >= missing { Scan::Ends(missing) } else { Scan::Continues { at_most: 3 } })
        }

        fn strip<'a>(&self, whole: &'a [u8]) -> &'a [u8] {
            &whole[1..]
        }

        fn end(&self, kept: &[u8]) -> Result<(), FramingError> {
            Err(FramingError::Incomplete { received: kept.len(), missing: 3 - kept.len() })
        }
    }

    #[test]
    fn a_whole_message_is_lent_and_a_broken_one_gathered() {
        let mut threes = Assembler::new(Threes);
        let stream = b"abcdefg";
        let mut input = &stream[..];
        assert_eq!(threes.decode(&mut input).unwrap().unwrap().as_ptr(), stream[1..].as_ptr());
        assert_eq!(input, b"defg");
        assert_eq!(threes.decode(&mut input).unwrap(), Some(&b"ef"[..]));
        assert_eq!(threes.capacity(), 0, "nothing was kept so far");
        assert_eq!(threes.decode(&mut input).unwrap(), None);
        assert_eq!((input, threes.buffered(), threes.capacity()), (&b""[..], 1, 3));

        let mut input = &b"hij"[..];
        assert_eq!(threes.decode(&mut input).unwrap(), Some(&b"hi"[..]));
        assert_eq!((input, threes.buffered()), (&b"j"[..], 0));
        assert_eq!(threes.decode(&mut input).unwrap(), None);
        assert_eq!(threes.buffered(), 1);
    }

    #[test]
    fn an_empty_input_changes_nothing() {
        let mut threes = Assembler::new(Threes);
        assert_eq!(threes.decode(&mut &b"a"[..]).unwrap(), None);
        assert_eq!(threes.decode(&mut &b""[..]).unwrap(), None);
        assert_eq!(threes.decode(&mut &b"bc"[..]).unwrap(), Some(&b"bc"[..]));
    }

    #[test]
    fn an_error_is_final_and_frees_the_memory() {
        let error = FramingError::InvalidUtf8 { at: 0 };
        let mut threes = Assembler::new(Threes);
        assert_eq!(threes.decode(&mut &b"ab"[..]).unwrap(), None);
        assert!(threes.capacity() > 0);
        for text in ["c!d", "efg"] {
            let mut input = text.as_bytes();
            assert_eq!(threes.decode(&mut input), Err(error.clone()));
            assert_eq!((input, threes.buffered(), threes.capacity()), (&b""[..], 0, 0));
        }
        assert_eq!(threes.finish(), Err(error.clone()));
        let mut untouched = io::Cursor::new(b"hij");
        let wrapped = threes.read_from(&mut untouched).unwrap_err();
        assert_eq!(FramingError::of(&wrapped), Some(&error));
        assert_eq!(untouched.position(), 0);
    }

    #[test]
    fn an_end_that_completes_nothing_is_final_too() {
        let error = FramingError::Incomplete { received: 2, missing: 1 };
        let mut threes = Assembler::new(Threes);
        assert_eq!(threes.finish(), Ok(None));
        assert_eq!(threes.decode(&mut &b"ab"[..]).unwrap(), None);
        assert_eq!(threes.finish(), Err(error.clone()));
        assert_eq!(threes.decode(&mut &b"cde"[..]), Err(error));
        assert_eq!(threes.capacity(), 0);
    }

    #[test]
    fn what_is_kept_between_messages_is_little() {
        let mut threes = Assembler::new(Threes);
        for (held, remains) in [(IDLE, IDLE), (IDLE + 1, 0)] {
            threes.kept = Vec::with_capacity(held);
            threes.state = State::Given;
            assert_eq!(threes.decode(&mut &b""[..]).unwrap(), None);
            assert_eq!(threes.capacity(), remains);
        }
    }

    #[test]
    fn memory_follows_what_arrives() {
        assert_eq!((STEP, IDLE), (65_536, 4_096), "as the docs of Decoder::capacity say");
        let no_limit = usize::MAX;
        assert_eq!(grown(0, 1, no_limit), FIRST);
        assert_eq!(grown(0, 1, 8), 8);
        assert_eq!(grown(0, 100, 50), 100);
        assert_eq!(grown(1_000, 1_001, no_limit), 2_000);
        assert_eq!(grown(STEP, STEP + 1, no_limit), 2 * STEP);
        assert_eq!(grown(16 * STEP, 16 * STEP + 1, no_limit), 17 * STEP);
        assert_eq!(grown(160 * STEP, 160 * STEP + 1, no_limit), 170 * STEP);
        assert_eq!(grown(usize::MAX, usize::MAX, no_limit), usize::MAX);
    }

    #[test]
    fn pulling_takes_no_byte_too_many_and_repeats_an_interrupted_read() {
        let mut threes = Assembler::new(Threes);
        let mut pieces = Pieces(vec![Ok(b"abcd"), Err(io::ErrorKind::Interrupted), Ok(b"e"), Ok(b"f")]);
        assert_eq!(threes.read_from(&mut pieces).unwrap(), Some(&b"bc"[..]));
        assert_eq!(pieces.0[0].unwrap(), b"d");
        assert_eq!(threes.read_from(&mut pieces).unwrap(), Some(&b"ef"[..]));
        assert_eq!(threes.read_from(&mut pieces).unwrap(), None);
    }

    #[test]
    fn pulling_goes_on_after_the_reader_failed() {
        let mut threes = Assembler::new(Threes);
        let mut pieces = Pieces(vec![Ok(b"ab"), Err(io::ErrorKind::TimedOut), Ok(b"cd")]);
        assert_eq!(threes.read_from(&mut pieces).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(threes.buffered(), 2);
        assert_eq!(threes.read_from(&mut pieces).unwrap(), Some(&b"bc"[..]));
        assert_eq!(threes.read_from(&mut pieces).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn pulling_consumes_what_it_refuses() {
        let mut threes = Assembler::new(Threes);
        let mut pieces = Pieces(vec![Ok(b"a!"), Ok(b"next")]);
        assert_eq!(threes.read_from(&mut pieces).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(pieces.0.len(), 1);
    }

    #[test]
    fn debugging_shows_no_bytes() {
        let mut threes = Assembler::new(Threes);
        assert_eq!(threes.decode(&mut &b"zz"[..]).unwrap(), None);
        let text = format!("{threes:?}");
        assert!(text.contains("Threes") && text.contains("kept: 2") && !text.contains("122"), "{text}");
    }

    /// A reader that gives these, one after the other, and then the end.
    struct Pieces(Vec<Result<&'static [u8], io::ErrorKind>>);

    impl BufRead for Pieces {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            match self.0.first() {
                None => Ok(&[]),
                Some(Ok(piece)) => Ok(piece),
                Some(&Err(kind)) => {
                    let _gone = self.0.remove(0);
                    Err(kind.into())
                }
            }
        }

        fn consume(&mut self, amount: usize) {
            if let Some(Ok(piece)) = self.0.first_mut() {
                *piece = &piece[amount..];
                if piece.is_empty() {
                    let _gone = self.0.remove(0);
                }
            }
        }
    }

    impl io::Read for Pieces {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            unreachable!("decoders use the buffer")
        }
    }
}
