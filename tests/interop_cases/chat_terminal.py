"""chat_client on a terminal."""

import contextlib
import random
import signal
import socket
import threading
import time

from .support import TIMEOUT, Case, read_exactly, read_to_end
from .terminal import COLUMNS, Screen, Terminal


class ChatTerminal(Case):
    """chat_client on a terminal, as a person sees it."""

    def setUp(self):
        super().setUp()
        self.begin()

    def begin(self, echo=True, **environment):
        """A chat_client on a terminal, and the server that it is connected to."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.address = "{}:{}".format(*listener.getsockname())
        self.terminal = Terminal("chat_client", self.address, echo=echo, **environment)
        self.addCleanup(self.terminal.close)
        self.server, _ = listener.accept()
        self.addCleanup(self.server.close)
        self.server.settimeout(TIMEOUT)
        self.connected = f"connected to {self.address}; Ctrl-D or Ctrl-C to leave"
        if not environment:
            self.terminal.expect(self.connected, ">")

    def say(self, *lines):
        self.server.sendall("".join(f"{line}\n" for line in lines).encode())

    def assert_hears(self, text):
        self.assertEqual(read_exactly(self.server, len(text.encode())).decode(), text)

    def assert_ends(self, code, *lines):
        """The terminal is left as it was, and what was on it with these below."""
        self.assertEqual(self.terminal.wait(), (code, True))
        self.assertEqual(self.terminal.screen.lines()[-len(lines) - 1 :], [*lines, ""])

    def test_what_is_typed_stays_when_others_speak(self):
        self.terminal.type("안녕 반")
        self.terminal.expect(self.connected, "> 안녕 반")
        self.say("User 1: hello")
        self.terminal.expect(self.connected, "User 1: hello", "> 안녕 반")
        self.assertEqual(self.terminal.screen.column, len("> ") + 2 * 2 + 1 + 2)
        self.say("User 2: 반가워요 🦀", "User 1 has left the chat.")
        self.terminal.expect("User 1: hello", "User 2: 반가워요 🦀", "User 1 has left the chat.", "> 안녕 반")
        self.terminal.type("가워요\r")
        self.assert_hears("안녕 반가워요\n")
        self.terminal.expect("User 1 has left the chat.", "> 안녕 반가워요", ">")
        # The prompt keeps nothing of it, but it can be recalled.
        self.say("User 2: bye")
        self.terminal.expect("> 안녕 반가워요", "User 2: bye", ">")
        self.terminal.type("\x1b[A")
        self.terminal.expect("User 2: bye", "> 안녕 반가워요")

    def test_the_cursor_stays_where_it_is(self):
        self.terminal.type("hello\x1b[D\x1b[D\x1b[D")
        self.terminal.expect(self.connected, "> hello")
        self.say("User 1: 안녕")
        self.terminal.expect("User 1: 안녕", "> hello")
        self.terminal.wait_until(lambda: self.terminal.screen.column == 4, "the cursor in its place")
        self.terminal.type("y, he\r")
        self.assert_hears("hey, hello\n")
        self.terminal.expect("User 1: 안녕", "> hey, hello", ">")

    def test_lines_longer_than_the_terminal(self):
        typed = "가나다, " * 20
        self.terminal.type(typed)
        # While it is typed it has one row, of which the last column is the cursor's: 57 columns for 36 characters.
        end = "> " + typed[-36:].rstrip()
        self.terminal.expect(self.connected, end)
        said = "x" * (COLUMNS + 1)
        self.say(said, "short")
        self.terminal.expect(said[:-1], "x", "short", end)
        self.terminal.type("\x01")
        self.terminal.expect("short", "> " + typed[:35].rstrip())
        self.terminal.type("\r")
        self.assert_hears(f"{typed}\n")
        alone = Screen()
        alone.feed(f"> {typed}")
        self.assertEqual(len(alone.lines()), 3)
        self.terminal.expect("short", *alone.lines(), ">")

    def test_a_prompt_of_the_servers_is_shown_without_a_line_end(self):
        self.server.sendall("이름을 입력하세요: ".encode())
        self.terminal.expect(self.connected, "이름을 입력하세요:", ">")
        self.terminal.type("철수\r")
        self.assert_hears("철수\n")

    def test_nothing_is_lost_or_out_of_order_however_much_is_said(self):
        lines = [f"User {number % 7}: {number}번째 🦀" for number in range(3000)]
        typed = [f"typed {number}" for number in range(60)]
        for number, text in enumerate(typed):
            said = lines[50 * number : 50 * number + 50]
            self.say(*said[:20])
            self.terminal.type(text[:3])
            self.say(*said[20:40])
            self.terminal.type(f"{text[3:]}\r")
            self.say(*said[40:])
            self.assert_hears(f"{text}\n")
            self.terminal.wait_until(lambda: self.prompt_is_back_after(text), f"the prompt after {text}")
        self.terminal.wait_until(lambda: lines[-1] in self.terminal.screen.lines(), lines[-1])
        self.terminal.expect(">")
        rows = self.terminal.screen.lines()[1:-1]
        self.assertEqual([row for row in rows if not row.startswith("> ")], lines)
        self.assertEqual([row for row in rows if row.startswith("> ")], [f"> {text}" for text in typed])

    def prompt_is_back_after(self, text):
        rows = self.terminal.screen.lines()
        return f"> {text}" in rows[:-1] and rows[self.terminal.screen.row] == ">"

    def test_lines_that_are_pasted(self):
        self.terminal.type("one\r둘\rthree\nfo")
        self.assert_hears("one\n둘\nthree\n")
        self.terminal.expect(self.connected, "> one", "> 둘", "> three", "> fo")
        self.terminal.type("ur\r")
        self.assert_hears("four\n")

    def test_keys(self):
        left, right, up, down, home, end, delete = (f"\x1b{key}" for key in ("[D", "[C", "[A", "[B", "[H", "[F", "[3~"))
        for pressed, line in (
            ("가나\x7f다", "가다"),
            (f"b{left}a{right}c", "abc"),
            (f"bcd{home}a{end}e\x01_\x05_", "_abcde_"),
            (f"ab{left}{left}{delete}", "b"),
            ("ab\x02\x02\x04", "b"),
            (f"abc{left}\x15", "c"),
            (f"abc{left}\x0b", "ab"),
            ("one  둘 셋  \x17네", "one  둘 네"),
            ("one\x17둘", "둘"),
            (f"{up}!", "둘!"),
            (f"{up}{up}{up}{down}?", "둘?"),
            (f"{up}{down}{down}\x10\x0e new", " new"),
            ("a\tb", "a b"),
            # Without a meaning here: nothing is left of them.
            ("a\x1b[1;5C\x1b[15~\x1bOP\x1bb\x00\x07\x1ab", "ab"),
            ("\x7f\x15\x0b\x17\x1b[D\x1b[C\x1b[3~", ""),
        ):
            with self.subTest(pressed=pressed):
                for key in pressed:
                    # As they come from a slow line, in the middle of a sequence.
                    self.terminal.type(key)
                self.terminal.type("\r")
                self.assert_hears(f"{line}\n")

    def test_control_characters_of_others_do_not_reach_it(self):
        self.terminal.type("typed")
        self.terminal.expect(self.connected, "> typed")
        before = len(self.terminal.output)
        self.say("\x1b[2J\x1b[Hgone\x07\r\x9b1A\x7f", "after")
        shown = "\\u{1b}[2J\\u{1b}[Hgone\\u{7}\\r\\u{9b}1A\\u{7f}"
        self.terminal.expect(self.connected, shown, "after", "> typed")
        for control in (b"\x1b[2J", b"\x1b[H", b"\x07", "\x9b".encode(), b"\x7f"):
            self.assertNotIn(control, self.terminal.output[before:])

    def test_ctrl_d_half_closes(self):
        self.terminal.type("hello\r\x04")
        self.assertEqual(read_to_end(self.server), b"hello\n")
        # There is no prompt any more, and what still comes is shown.
        self.say("one", "two")
        self.server.close()
        self.assert_ends(0, self.connected, "> hello", "one", "two")

    def test_what_came_before_ctrl_d_is_shown(self):
        lines = [f"{number}번째" for number in range(500)]
        self.say(*lines)
        self.terminal.type("\x04")
        self.assertEqual(read_to_end(self.server), b"")
        self.server.close()
        self.assertEqual(self.terminal.wait(), (0, True))
        rows = self.terminal.screen.lines()
        self.assertEqual(rows, [self.connected, *lines, ""])

    def test_quit_leaves(self):
        self.terminal.type("Quit\r")
        self.assert_hears("Quit\n")
        self.say("bye")
        self.server.close()
        self.assert_ends(0, self.connected, "> Quit", "bye")

    def test_ctrl_c_and_signals_end_it(self):
        for number in (None, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                self.begin()
                self.terminal.type("half a li")
                self.terminal.expect(self.connected, "> half a li")
                with self.assert_promptly():
                    if number is None:
                        self.terminal.type("\x03")
                    else:
                        self.terminal.process.send_signal(number)
                    self.assert_ends(0, self.connected, "> half a li")
                self.assertEqual(read_to_end(self.server), b"")

    def test_a_server_that_goes_away(self):
        self.terminal.type("half a li")
        self.terminal.expect(self.connected, "> half a li")
        self.say("last words")
        self.server.close()
        complaint = f"chat_client: {self.address} closed the connection"
        self.assert_ends(1, self.connected, "last words", "> half a li", complaint)

    def test_more_than_may_wait_is_shown_when_the_terminal_takes_it(self):
        lines = [f"{number}번째 " + "x" * 40 for number in range(10_000)]
        sender = threading.Thread(target=self.say, args=lines, daemon=True)
        sender.start()
        self.terminal.wait_until(lambda: lines[-1].encode() in self.terminal.output, lines[-1])
        sender.join()
        self.terminal.expect(">")
        self.assertEqual(self.terminal.screen.lines()[1:-1], lines)

    def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(self):
        self.begin(TERM="dumb")
        self.say("hello")
        self.terminal.expect("hello", "")
        self.terminal.type("안녕\n")
        self.assert_hears("안녕\n")
        # What has been typed is shown by the terminal itself.
        self.terminal.expect("hello", "안녕", "")
        self.terminal.type("\x04")
        self.assertEqual(read_to_end(self.server), b"")
        self.say("bye")
        self.server.close()
        self.assert_ends(0, "hello", "안녕", "bye")

    def test_it_ends_well_in_the_middle_of_everything(self):
        numbers = random.Random(5)
        ways = {
            "SIGINT": (0, lambda: self.terminal.process.send_signal(signal.SIGINT)),
            "SIGTERM": (0, lambda: self.terminal.process.send_signal(signal.SIGTERM)),
            "Ctrl-C": (0, lambda: self.terminal.type("\x03")),
            "end": (1, lambda: self.server.shutdown(socket.SHUT_WR)),
        }
        for way, (code, end) in list(ways.items()) * 5:
            with self.subTest(way=way):
                # The terminal would itself show what is typed too late.
                self.begin(echo=False)
                over = threading.Event()
                talking = [
                    threading.Thread(target=task, args=(self.server, over), daemon=True) for task in (flood, take_all)
                ]
                for thread in talking:
                    thread.start()
                until = time.monotonic() + numbers.random() / 20
                while time.monotonic() < until:
                    self.terminal.read(0.002)
                    self.terminal.type(numbers.choice(["a", "가", "\x7f", "\x1b[D", "\r", "x\ry\rz\r"]))
                if way == "end":
                    # The last line is to be a whole one.
                    over.set()
                    talking[0].join()
                end()
                self.assertEqual(self.terminal.wait(), (code, True))
                over.set()
                for thread in talking:
                    thread.join()
                rows = self.terminal.screen.lines()
                said = [row for row in rows if row.startswith("line ")]
                self.assertEqual(said, [f"line {number}" for number in range(len(said))])
                others = [row for row in rows if not row.startswith(("line ", ">"))]
                complaint = [f"chat_client: {self.address} closed the connection"] if code else []
                self.assertEqual(others, [self.connected, *complaint, ""])


def flood(sock, over):
    """Says more than anybody can read."""
    number = 0
    with contextlib.suppress(OSError):
        while not over.is_set():
            sock.sendall("".join(f"line {number + more}\n" for more in range(20)).encode())
            number += 20
            # It would be minutes before all that were on the screen.
            over.wait(0.001)


def take_all(sock, _over):
    with contextlib.suppress(OSError):
        read_to_end(sock)
