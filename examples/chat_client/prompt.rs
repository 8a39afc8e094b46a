//! [`Input`] and [`Screen`]: lines that are typed, and lines that come while they are.

use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use socketserver::reactor::SelectorWaker;

#[cfg(unix)]
use super::terminal::Terminal;

/// So much may wait to be drawn above the prompt, in bytes. Then whoever shows more waits too, and does not receive meanwhile.
const MAX_WAITING: usize = 64 * 1024;

/// Where lines come from: a terminal, on which they can be edited and recalled, or else a file or a pipe.
pub(crate) enum Input {
    #[cfg(unix)]
    Terminal(Box<Terminal>),
    Plain,
}

/// Where lines are shown, from any thread: above the prompt, where there is one, which is drawn again with what has been typed.
#[derive(Clone)]
pub(crate) struct Screen {
    above: Arc<Above>,
    /// Of the thread that has the prompt.
    waker: Option<SelectorWaker>,
}

/// The two of them.
pub(crate) fn open() -> io::Result<(Input, Screen)> {
    let above = Arc::<Above>::default();
    #[cfg(unix)]
    if let Some(terminal) = Terminal::open(Arc::clone(&above))? {
        let waker = Some(terminal.waker()?);
        return Ok((Input::Terminal(Box::new(terminal)), Screen { above, waker }));
    }
    Ok((Input::Plain, Screen { above, waker: None }))
}

impl Input {
    /// The next line without its line end, `None` at the end of the input, be it Ctrl-D.
    ///
    /// # Errors
    /// `Interrupted` where the screen has been ended. Those of reading.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self {
            #[cfg(unix)]
            Input::Terminal(terminal) => Ok(terminal.next_line()?.map(String::into_bytes)),
            Input::Plain => {
                let mut line = Vec::new();
                let count = io::stdin().lock().read_until(b'\n', &mut line)?;
                let whole = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line));
                line.truncate(whole.map_or(line.len(), <[u8]>::len));
                Ok((count > 0).then_some(line))
            }
        }
    }
}

impl Screen {
    pub(crate) fn has_prompt(&self) -> bool {
        self.waker.is_some()
    }

    /// Shows a line.
    ///
    /// # Errors
    /// Those of writing to stdout.
    pub(crate) fn show(&self, line: &str) -> io::Result<()> {
        let mut state = self.above.lock();
        while state.waiting.len() > MAX_WAITING {
            state = self.above.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if self.above.is_over() {
            return Ok(());
        }
        if !state.prompt_is_drawn {
            return writeln!(io::stdout(), "{line}");
        }
        let is_first = state.waiting.is_empty();
        state.waiting.push_str(line);
        state.waiting.push('\n');
        drop(state);
        // Whoever was the first to leave something there has seen to it that it is drawn.
        if is_first {
            self.redraw();
        }
        Ok(())
    }

    /// Shows nothing any more, and has `next_line` fail with `Interrupted` where there is a prompt.
    pub(crate) fn end(&self) {
        // Without the lock, which may be held by whoever waits for the screen to take a line.
        self.above.is_over.store(true, Ordering::Relaxed);
        self.redraw();
    }

    fn redraw(&self) {
        if let Some(waker) = &self.waker {
            let _ = waker.wake();
        }
    }
}

/// What is to stand above the prompt.
#[derive(Default)]
pub(crate) struct Above {
    state: Mutex<State>,
    taken: Condvar,
    is_over: AtomicBool,
}

#[derive(Default)]
pub(crate) struct State {
    /// Lines that the prompt's thread has yet to draw.
    waiting: String,
    /// Only its own thread writes to the screen then.
    pub(crate) prompt_is_drawn: bool,
}

impl Above {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// What has waited, for whoever draws it.
    #[cfg(unix)]
    pub(crate) fn take(&self, state: &mut State) -> String {
        self.taken.notify_all();
        std::mem::take(&mut state.waiting)
    }
}
