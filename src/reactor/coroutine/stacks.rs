//! [`Stacks`].

use std::io;

use crate::task::Stack;

/// How many stacks of coroutines that have ended are kept for the next. What such a one has touched stays in memory: with the default of
/// two or three pages of it, half a MiB.
const MOST_KEPT: usize = 64;

/// And how many bytes they may have together, for stacks so large that what was touched of them is much.
const MOST_KEPT_BYTES: usize = 16 * 1024 * 1024;

/// A loop's stacks that nobody uses at the moment.
pub(crate) struct Stacks {
    kept: Vec<(usize, Stack)>,
}

impl Stacks {
    pub(crate) fn new() -> Self {
        Stacks { kept: Vec::new() }
    }

    /// A stack of so many bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> io::Result<Stack> {
        // Servers with stacks of another size may share the loop.
        match self.kept.iter().rposition(|(size, _)| *size == bytes) {
            Some(index) => Ok(self.kept.swap_remove(index).1),
            None => Stack::new(bytes),
        }
    }

    /// Takes one back, or lets the system have its memory where there are enough.
    pub(crate) fn give_back(&mut self, bytes: usize, stack: Stack) {
        let together = self.kept.iter().map(|(size, _)| size).sum::<usize>();
        if self.kept.len() < MOST_KEPT && together.saturating_add(bytes) <= MOST_KEPT_BYTES {
            self.kept.push((bytes, stack));
        }
    }
}
