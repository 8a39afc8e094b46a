//! [`Keys`]: the keys that a terminal says were pressed.

use super::common::text::TextDecoder;

#[derive(Clone, Copy)]
pub(crate) enum Key {
    Character(char),
    Enter,
    Backspace,
    Delete,
    /// Ctrl-D: the end of the input, where nothing has been typed.
    DeleteOrEnd,
    Left,
    Right,
    Home,
    End,
    Up,
    Down,
    EraseToStart,
    EraseToEnd,
    EraseWord,
}

/// Makes keys of bytes as they come.
#[derive(Default)]
pub(crate) struct Keys {
    text: TextDecoder,
    /// What has come of a sequence, after its escape.
    sequence: Option<String>,
}

impl Keys {
    /// The keys whose bytes end in these. Those without a meaning here are left out.
    pub(crate) fn decode(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.text.decode(bytes).chars().filter_map(|character| self.key(character)).collect()
    }

    fn key(&mut self, character: char) -> Option<Key> {
        let Some(begun) = self.sequence.take() else {
            return self.single(character);
        };
        let sequence = begun + character.encode_utf8(&mut [0; 4]);
        match sequence.as_str() {
            "[A" | "OA" => Some(Key::Up),
            "[B" | "OB" => Some(Key::Down),
            "[C" | "OC" => Some(Key::Right),
            "[D" | "OD" => Some(Key::Left),
            "[H" | "OH" | "[1~" | "[7~" => Some(Key::Home),
            "[F" | "OF" | "[4~" | "[8~" => Some(Key::End),
            "[3~" => Some(Key::Delete),
            // Not at its end, which is a letter or `~`.
            "[" | "O" => self.go_on(sequence),
            _ if sequence.starts_with('[') && matches!(character, '0'..='9' | ';') => self.go_on(sequence),
            _ => None,
        }
    }

    fn go_on(&mut self, sequence: String) -> Option<Key> {
        self.sequence = Some(sequence);
        None
    }

    fn single(&mut self, character: char) -> Option<Key> {
        match character {
            '\x1b' => self.go_on(String::new()),
            '\r' | '\n' => Some(Key::Enter),
            '\x08' | '\x7f' => Some(Key::Backspace),
            '\x01' => Some(Key::Home),
            '\x02' => Some(Key::Left),
            '\x04' => Some(Key::DeleteOrEnd),
            '\x05' => Some(Key::End),
            '\x06' => Some(Key::Right),
            '\x0b' => Some(Key::EraseToEnd),
            '\x0e' => Some(Key::Down),
            '\x10' => Some(Key::Up),
            '\x15' => Some(Key::EraseToStart),
            '\x17' => Some(Key::EraseWord),
            '\t' => Some(Key::Character(' ')),
            control if control.is_control() => None,
            character => Some(Key::Character(character)),
        }
    }
}
