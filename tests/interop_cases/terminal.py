"""A program on a pseudo terminal, and what a person sees on its screen."""

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import unicodedata

from .support import TIMEOUT, example

COLUMNS = 60

# A character, or what moves the cursor, erases or sets a mode.
PIECE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\s\S])")


class Screen:
    """What a terminal makes of a program's output. It has as many rows as it needs."""

    def __init__(self):
        self.rows = [[]]
        self.row = self.column = 0
        self.rest = ""

    def feed(self, text):
        text = self.rest + text
        # The rest of a control sequence may yet come.
        start = text.rfind("\x1b")
        self.rest = ""
        if start >= 0 and not re.match(r"\x1b\[[?0-9;]*[A-Za-z]", text[start:]):
            text, self.rest = text[:start], text[start:]
        for arguments, command, character in PIECE.findall(text):
            if character:
                self.write(character)
            else:
                self.control(arguments, command)

    def write(self, character):
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.down()
        elif character == "\a":
            pass
        else:
            assert character.isprintable(), f"{character!r} is on its way to the screen"
            width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if self.column + width > COLUMNS:
                self.column = 0
                self.down()
            row = self.rows[self.row]
            row.extend([" "] * (self.column - len(row)))
            # The second half of a wide character holds nothing.
            row[self.column : self.column + width] = [character, ""][:width]
            self.column += width

    def control(self, arguments, command):
        if command in "hl":
            return
        number = int(arguments or (0 if command in "KJ" else 1))
        if command == "A":
            self.row = max(self.row - number, 0)
        elif command == "B":
            self.row = min(self.row + number, len(self.rows) - 1)
        elif command == "C":
            self.column = min(self.column + number, COLUMNS - 1)
        elif command == "D":
            self.column = max(self.column - number, 0)
        elif command == "K" and number == 0:
            del self.rows[self.row][self.column :]
        else:
            raise AssertionError(f"the control sequence {arguments}{command} is not known")

    def down(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def lines(self):
        return ["".join(row).rstrip() for row in self.rows]


class Terminal:
    """An example program on a terminal of its own. `close` it."""

    def __init__(self, name, *arguments, echo=True, **environment):
        self.controller, self.terminal = pty.openpty()
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        if not echo:
            mode = termios.tcgetattr(self.terminal)
            mode[3] &= ~termios.ECHO
            termios.tcsetattr(self.terminal, termios.TCSANOW, mode)
        self.as_it_was = termios.tcgetattr(self.terminal)
        self.screen = Screen()
        self.output = b""
        self.undecoded = b""
        self.process = subprocess.Popen(
            [example(name), *arguments],
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self.terminal,
            start_new_session=True,
            # The one from which Ctrl-C comes as a signal, where there is no prompt.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, "TERM": "xterm", **environment},
        )

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.controller)
        os.close(self.terminal)

    def type(self, text):
        os.write(self.controller, text.encode())

    def read(self, timeout):
        """Whether something came in that time."""
        if not select.select([self.controller], [], [], timeout)[0]:
            return False
        data = os.read(self.controller, 65536)
        self.output += data
        self.undecoded += data
        with contextlib.suppress(UnicodeDecodeError):
            self.screen.feed(self.undecoded.decode())
            self.undecoded = b""
        return True

    def wait_until(self, seen, what):
        deadline = time.monotonic() + TIMEOUT
        while not seen():
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(left):
                raise AssertionError("not seen: {}; on the screen:\n{}".format(what, "\n".join(self.screen.lines())))

    def expect(self, *lines):
        """Waits until these are the last lines, and the cursor stands in the last of them."""
        lines = list(lines)
        self.wait_until(lambda: self.screen.lines()[: self.screen.row + 1][-len(lines) :] == lines, lines)

    def wait(self):
        """The exit code, and whether the terminal is as it was before. What was written until then is on the screen."""
        deadline = time.monotonic() + TIMEOUT
        # It may have more to write than the terminal takes.
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.01)
        while self.read(0):
            pass
        return self.process.poll(), termios.tcgetattr(self.terminal) == self.as_it_was
