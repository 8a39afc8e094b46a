//! [`Line`]: a line that is being typed.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::keys::Key;

/// A line, the cursor in it, and the lines before it, which can be recalled.
#[derive(Default)]
pub(crate) struct Line {
    before: String,
    after: String,
    earlier: Vec<String>,
    /// How many lines back this one was recalled from.
    back: usize,
}

/// What becomes of a line, other than another one.
pub(crate) enum Finished {
    Line(String),
    End,
}

impl Line {
    pub(crate) fn press(&mut self, key: Key) -> Option<Finished> {
        match key {
            Key::Character(character) => self.before.push(character),
            Key::Enter => return Some(Finished::Line(self.enter())),
            Key::DeleteOrEnd if self.text().is_empty() => return Some(Finished::End),
            Key::Delete | Key::DeleteOrEnd => drop(self.take_next()),
            Key::Backspace => drop(self.before.pop()),
            Key::Left => {
                if let Some(character) = self.before.pop() {
                    self.after.insert(0, character);
                }
            }
            Key::Right => {
                let next = self.take_next();
                self.before.extend(next);
            }
            Key::Home => self.after.insert_str(0, &std::mem::take(&mut self.before)),
            Key::End => self.before.push_str(&std::mem::take(&mut self.after)),
            Key::EraseToStart => self.before.clear(),
            Key::EraseToEnd => self.after.clear(),
            Key::EraseWord => {
                let rest = self.before.trim_end().trim_end_matches(|character: char| !character.is_whitespace());
                self.before.truncate(rest.len());
            }
            Key::Up => self.recall(self.back.saturating_add(1)),
            Key::Down => self.recall(self.back.saturating_sub(1)),
        }
        None
    }

    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.before, self.after)
    }

    /// As much of it as fits into so many columns, the cursor in sight, and in which of them that is.
    pub(crate) fn visible(&self, columns: usize) -> (String, usize) {
        let before: String = fitting(self.before.chars().rev(), columns).chars().rev().collect();
        let cursor = before.width();
        let after = fitting(self.after.chars(), columns.saturating_sub(cursor));
        (before + &after, cursor)
    }

    fn take_next(&mut self) -> Option<char> {
        (!self.after.is_empty()).then(|| self.after.remove(0))
    }

    fn enter(&mut self) -> String {
        let text = self.text();
        let repeated = self.earlier.last() == Some(&text);
        if !text.is_empty() && !repeated {
            self.earlier.push(text.clone());
        }
        self.recall(0);
        text
    }

    /// Line 0 is a new one.
    fn recall(&mut self, back: usize) {
        let recalled = self.earlier.len().checked_sub(back).map(|at| self.earlier.get(at).cloned());
        if let Some(line) = recalled {
            self.before = line.unwrap_or_default();
            self.after.clear();
            self.back = back;
        }
    }
}

fn fitting(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut left = columns;
    characters
        .map_while(|character| {
            left = left.checked_sub(character.width().unwrap_or(0))?;
            Some(character)
        })
        .collect()
}
