//! [`Terminal`]: a prompt on the last row.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::termios::{self, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use socketserver::mio::unix::pipe::Receiver;
use socketserver::mio::Interest;
use socketserver::reactor::{Key as SelectorKey, Selector, SelectorWaker};

use super::keys::{Key, Keys};
use super::line::{Finished, Line};
use super::prompt::Above;

const PROMPT: &str = "> ";

/// A prompt on the last row. One thread waits both for keys and for what is to stand above it, and draws either.
pub(crate) struct Terminal {
    selector: Selector,
    keyboard: SelectorKey,
    keys: Keys,
    /// Of those, what has been typed ahead.
    pressed: VecDeque<Key>,
    line: Line,
    above: Arc<Above>,
    _mode: Mode,
}

impl Terminal {
    /// `None` where stdin or stdout is no terminal, or one that cannot move its cursor.
    pub(crate) fn open(above: Arc<Above>) -> io::Result<Option<Self>> {
        let is_dumb = std::env::var_os("TERM").map_or(true, |term| term == "dumb");
        if is_dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(None);
        }
        let mut selector = Selector::new()?;
        // Read from when there is something only, so that the descriptor, which others have too, can stay as it is.
        let keyboard = Receiver::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Some(Terminal {
            keyboard: selector.register(keyboard, Interest::READABLE, ())?,
            selector,
            keys: Keys::default(),
            pressed: VecDeque::new(),
            line: Line::default(),
            above,
            _mode: Mode::set()?,
        }))
    }

    pub(crate) fn waker(&self) -> socketserver::Result<SelectorWaker> {
        self.selector.waker()
    }

    /// The next line; `None` at Ctrl-D, or where the terminal has gone.
    ///
    /// # Errors
    /// `Interrupted` where the screen has been ended. Those of reading and writing.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<String>> {
        self.above.lock().prompt_is_drawn = true;
        let line = self.edit();
        let finished = self.finish(line.as_ref().ok().and_then(Option::as_deref));
        line.and_then(|line| finished.map(|()| line))
    }

    fn edit(&mut self) -> io::Result<Option<String>> {
        loop {
            while let Some(key) = self.pressed.pop_front() {
                match self.line.press(key) {
                    None => {}
                    Some(Finished::Line(line)) => return Ok(Some(line)),
                    Some(Finished::End) => return Ok(None),
                }
            }
            self.draw()?;
            for _ in self.selector.select(None)? {
                let Some(keyboard) = self.selector.get_mut::<Receiver>(self.keyboard) else { continue };
                let mut bytes = [0; 1024];
                match keyboard.read(&mut bytes) {
                    Ok(0) => return Ok(None),
                    Ok(count) => self.pressed.extend(self.keys.decode(bytes.get(..count).unwrap_or_default())),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Draws the prompt, below what has come to stand above it.
    fn draw(&self) -> io::Result<()> {
        if self.above.is_over() {
            return Err(ErrorKind::Interrupted.into());
        }
        let above = self.above.take(&mut self.above.lock());
        let columns = termios::tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col));
        // One column is the cursor's.
        let (shown, cursor) = self.line.visible(columns.saturating_sub(PROMPT.len() + 1));
        let column = PROMPT.len() + cursor;
        write(format_args!("\r\x1b[K{above}{PROMPT}{shown}\r\x1b[{column}C"))
    }

    /// Leaves behind what has been typed, after its prompt. Nothing is left of a prompt after which there was nothing.
    fn finish(&self, line: Option<&str>) -> io::Result<()> {
        let mut state = self.above.lock();
        let above = self.above.take(&mut state);
        state.prompt_is_drawn = false;
        let unfinished = self.line.text();
        match line.or((!unfinished.is_empty()).then_some(&unfinished)) {
            Some(typed) => write(format_args!("\r\x1b[K{above}{PROMPT}{typed}\n")),
            None => write(format_args!("\r\x1b[K{above}")),
        }
    }
}

fn write(arguments: std::fmt::Arguments<'_>) -> io::Result<()> {
    // All at once, and at once: stdout would keep what has no line end.
    let mut stdout = io::stdout().lock();
    stdout.write_all(arguments.to_string().as_bytes())?;
    stdout.flush()
}

/// While it lasts, the terminal gives each key as it is pressed, and does not show it. Ctrl-C remains a signal, whatever the program
/// is waiting for.
struct Mode {
    before: Termios,
}

impl Mode {
    fn set() -> io::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut mode = before.clone();
        mode.input_modes.remove(InputModes::ICRNL | InputModes::IXON);
        mode.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::IEXTEN);
        // Otherwise a Ctrl-C would throw away what is being read and shown, and a read could wait for what was ready before.
        mode.local_modes.insert(LocalModes::NOFLSH);
        for (code, value) in [
            (SpecialCodeIndex::VMIN, 1),
            (SpecialCodeIndex::VTIME, 0),
            // These would leave a shell with this mode.
            (SpecialCodeIndex::VSUSP, 0),
            (SpecialCodeIndex::VQUIT, 0),
        ] {
            mode.special_codes[code] = value;
        }
        termios::tcsetattr(io::stdin(), OptionalActions::Drain, &mode)?;
        Ok(Mode { before })
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        // What was typed ahead is not for the shell.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}
