//! Text that comes in pieces, and text of other people's that is shown.

/// Makes text of bytes as they come: a character whose bytes come in two pieces is whole again, and what is not UTF-8 becomes `�`.
/// Python's `codecs.getincrementaldecoder("utf-8")("replace")`.
#[derive(Default)]
pub(crate) struct TextDecoder {
    /// Of a character whose rest has yet to come.
    begun: Vec<u8>,
}

impl TextDecoder {
    /// The characters that end in `bytes`.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> String {
        String::from_utf8_lossy(&self.whole(bytes)).into_owned()
    }

    /// A `�` where nothing more comes of a character that has begun.
    pub(crate) fn finish(&mut self) -> String {
        String::from_utf8_lossy(&self.rest()).into_owned()
    }

    /// The bytes of the characters that end in `bytes`, as they have come.
    pub(crate) fn whole(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = [&self.rest(), bytes].concat();
        self.begun = bytes.split_off(bytes.len().saturating_sub(begun_character(&bytes).len()));
        bytes
    }

    /// The bytes of a character that has begun, where nothing more comes of it.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.begun)
    }
}

/// The last bytes of `text`, where they are a part of a character whose rest has yet to come.
pub(crate) fn begun_character(text: &[u8]) -> &[u8] {
    // A character has four bytes at most.
    let last = text.get(text.len().saturating_sub(3)..).unwrap_or_default();
    let first = last.iter().rposition(|byte| byte & 0b1100_0000 != 0b1000_0000);
    let character = first.and_then(|first| last.get(first..)).unwrap_or_default();
    match std::str::from_utf8(character) {
        Err(error) if error.error_len().is_none() => character,
        _ => &[],
    }
}

/// Text as a line of its own: without its line end, and with control characters escaped, by which its sender could write anywhere on
/// the screen.
pub(crate) fn shown(text: &str) -> String {
    let mut line = String::new();
    for character in text.trim_end_matches(['\r', '\n']).chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}
