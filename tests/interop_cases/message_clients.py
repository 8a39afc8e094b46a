"""message_client and conversation_client, with the tutorials' servers on the other end."""

import contextlib
import os
import pty
import queue
import socket
import subprocess
import termios
import time

from .support import TIMEOUT, Case, example, reset, run

# For so long the server is silent within a character.
LONG_PAUSE = 0.2


def answering(answer, received=None):
    """What the tutorials' servers do with a client: one recv after another, and `answer(text)` to each."""

    def handle(request):
        while data := request.connection.recv(1024):
            if received is not None:
                received.append(data)
            request.connection.sendall(answer(data.decode("utf-8")).encode("utf-8"))

    return handle


def halves(request):
    """Answers each message with itself in the middle of a character, in two parts."""
    while data := request.connection.recv(1024):
        answer = b"Echo: " + data + "안".encode()
        request.connection.sendall(answer[:-1])
        time.sleep(LONG_PAUSE)
        request.connection.sendall(answer[-1:])


def silent(request):
    request.connection.recv(1024)


def broken_off(request):
    request.connection.recv(1024)
    reset(request.connection)


class MessageClient(Case):
    """The tutorials' servers as those of message_client."""

    def assert_answers(self, address, messages, lines):
        done = run("message_client", address, *messages)
        self.assertEqual((done.stderr.decode(), done.returncode), ("", 0))
        self.assertEqual(done.stdout.decode().splitlines(), lines)

    def test_messages_are_answered(self):
        received = []
        address = self.serve(answering("Echo: {}".format, received))
        self.assert_answers(address, (), ["Sending: Hello, server!", "Received: Echo: Hello, server!"])
        self.assert_answers(
            address,
            ("hello", "안녕하세요, 서버!", " ", "end"),
            [
                "Sending: hello",
                "Received: Echo: hello",
                "Sending: 안녕하세요, 서버!",
                "Received: Echo: 안녕하세요, 서버!",
                "Sending:  ",
                "Received: Echo:  ",
                "Sending: end",
                "Received: Echo: end",
            ],
        )
        # As they are, without line ends, and each by itself.
        said = ("Hello, server!", "hello", "안녕하세요, 서버!", " ", "end")
        self.assertEqual(received, [message.encode() for message in said])

    def test_a_server_that_takes_one_message_and_closes(self):
        def hello(request):
            request.connection.recv(1024)
            request.connection.sendall(b"Hello, Client!")

        self.assert_answers(self.serve(hello), ("Hi",), ["Sending: Hi", "Received: Hello, Client!"])

    def test_a_name_as_the_address(self):
        address = self.serve(answering("Received: {}".format)).replace("127.0.0.1", "localhost")
        self.assert_answers(address, ("hi",), ["Sending: hi", "Received: Received: hi"])

    def test_an_answer_that_pauses_within_a_character(self):
        lines = ["Sending: one", "Received: Echo: one안", "Sending: two", "Received: Echo: two안"]
        self.assert_answers(self.serve(halves), ("one", "two"), lines)

    def test_an_answer_of_many_lines(self):
        address = self.serve(answering(lambda text: f"{text}\r\n\n\x1b[2Jthree\n"))
        answer = ["Received: one", "Received: ", "Received: \\u{1b}[2Jthree"]
        self.assert_answers(address, ("one",), ["Sending: one", *answer])
        # And the next message is answered by its own.
        address = self.serve(answering("Echo: {}".format))
        lines = ["Sending: one\\ntwo", "Received: Echo: one", "Received: two", "Sending: 3", "Received: Echo: 3"]
        self.assert_answers(address, ("one\ntwo", "3"), lines)

    def test_a_server_that_goes_away(self):
        for handle in (silent, broken_off):
            address = self.serve(handle)
            done = run("message_client", address, "hello", "never sent")
            self.assertEqual((done.stdout.decode(), done.returncode), ("Sending: hello\n", 1))
            self.assert_one_line(done.stderr, "message_client: ")
            self.assertIn("reset" if handle is broken_off else f"{address} closed the connection", done.stderr.decode())

    def test_answers_that_are_none(self):
        for answer in (b"\xff\xfe", "안".encode()[:2], b"x" * 100_000):

            def handle(request):
                request.connection.recv(1024)
                request.connection.sendall(answer)

            done = run("message_client", self.serve(handle), "hello")
            self.assertEqual((done.stdout, done.returncode), (b"Sending: hello\n", 1))
            self.assert_one_line(done.stderr, "message_client: bad data on the connection with 127.0.0.1:")

    def test_nobody_answers(self):
        address = self.serve(lambda request: request.connection.recv(1024) + request.connection.recv(1024))
        since = time.monotonic()
        done = run("message_client", address, "hello")
        took = time.monotonic() - since
        self.assertEqual((done.stdout, done.returncode), (b"Sending: hello\n", 1))
        self.assert_one_line(done.stderr, f"message_client: reading timed out after 10s ({address})")
        self.assertGreaterEqual(took, 10)

    def test_a_wrong_command_line(self):
        for arguments in (["--help"], [b"\xff"], ["127.0.0.1:1", b"\xff"], ["127.0.0.1:1", ""], ["127.0.0.1:1", "a", ""]):
            done = run("message_client", *arguments)
            self.assertEqual((done.stdout, done.returncode), (b"", 2))
            self.assert_one_line(done.stderr, "usage: message_client [ADDRESS [MESSAGE]...]")


class ConversationClient(Case):
    """The tutorials' servers as those of conversation_client."""

    def setUp(self):
        super().setUp()
        self.received = queue.SimpleQueue()

    def until_end(self):
        """The tutorial's server that sends everything back until `end`."""

        def handle(request):
            while True:
                data = request.connection.recv(1024)
                self.received.put(data)
                if data.decode() == "end" or not data:
                    break
                request.connection.sendall(data)

        return self.serve(handle)

    def assert_received(self, *messages):
        """That the server has been sent these, of which an empty one is the end."""
        received = [self.received.get(timeout=TIMEOUT) for _ in messages]
        self.assertEqual(received, [message.encode() for message in messages])
        self.assertTrue(self.received.empty())

    def assert_answers(self, address, stdin, lines, *words):
        done = run("conversation_client", address, *words, stdin=stdin.encode())
        self.assertEqual((done.stderr.decode(), done.returncode), ("", 0))
        # No prompt, as nobody types.
        self.assertEqual(done.stdout.decode(), "".join(f"Received: {line}\n" for line in lines))

    def test_a_conversation(self):
        said = ["hello", "안녕하세요", "End", " end", "the end 🦀"]
        self.assert_answers(self.until_end(), "\n".join([*said, "end", "never sent"]), said)
        self.assert_received(*said, "end")

    def test_the_input_may_end_without_the_word(self):
        for stdin, said in (("", []), ("hello\nbye", ["hello", "bye"]), ("hello\r\n", ["hello"]), ("\n\n\n", [])):
            self.assert_answers(self.until_end(), stdin, said)
            self.assert_received(*said, "")

    def test_end_alone(self):
        self.assert_answers(self.until_end(), "end\n", [])
        self.assert_received("end")

    def test_it_may_only_send(self):
        for stdin, said in (("안녕하세요\nnever sent\n", ["안녕하세요"]), ("\n\nhello", ["hello"]), ("end\n", ["end"]), ("", [])):
            received = queue.SimpleQueue()
            address = self.serve(lambda request: received.put(request.rfile.read()))
            self.assert_answers(address, stdin, [], "send")
            self.assertEqual(received.get(timeout=TIMEOUT), "".join(said).encode())

    def test_the_server_here_that_only_receives(self):
        process, (host, port) = self.start("one_client_server", "receive")
        self.assert_answers(f"{host}:{port}", "안녕하세요\n", [], "send")
        self.assertEqual(process.wait(TIMEOUT), 0)
        self.assertRegex(process.said.line(), r"^Connection from 127\.0\.0\.1:\d+$")
        self.assertEqual(process.said.rest(), ["Received: 안녕하세요", "done"])

    def test_empty_lines_are_not_sent(self):
        self.assert_answers(self.until_end(), "one\n\n\ntwo\n\nend\n", ["one", "two"])
        self.assert_received("one", "two", "end")

    def test_a_prefix(self):
        self.assert_answers(self.serve(answering("에코: {}".format)), "하나\n둘\nend\n", ["에코: 하나", "에코: 둘"])

    def test_an_answer_that_pauses_within_a_character(self):
        self.assert_answers(self.serve(halves), "one\ntwo\nend\n", ["Echo: one안", "Echo: two안"])

    def test_long_lines(self):
        def handle(request):
            whole = b""
            while len(whole) < 65_536:
                whole += request.connection.recv(65_536)
            request.connection.sendall(whole)
            request.connection.recv(1024)

        line = "x" + "가" * 21_845
        self.assert_answers(self.serve(handle), f"{line}\nend\n", [line])

    def test_a_server_that_goes_away(self):
        for handle in (silent, broken_off):
            address = self.serve(handle)
            done = run("conversation_client", address, stdin=b"hello\nnever sent\n")
            self.assertEqual((done.stdout, done.returncode), (b"", 1))
            self.assert_one_line(done.stderr, "conversation_client: ")
            self.assertIn("reset" if handle is broken_off else f"{address} closed the connection", done.stderr.decode())

    def test_input_that_is_not_utf8(self):
        done = run("conversation_client", self.until_end(), stdin=b"\xff\n")
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, "conversation_client: the input is not UTF-8 text")
        self.assert_received("")

    def test_nobody_reads_what_it_says(self):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as stdout:
            command = [example("conversation_client"), self.until_end()]
            done = subprocess.run(command, input=b"hello\n", stdout=stdout, stderr=subprocess.PIPE, timeout=TIMEOUT)
        self.assertEqual(done.returncode, 1)
        self.assert_one_line(done.stderr, "conversation_client: Broken pipe")

    def test_a_terminal_gets_a_prompt(self):
        for typed, shown in (("안녕\nend\n", "입력: Received: 안녕\n입력: "), ("hello\n\x04", "입력: Received: hello\n입력: \n")):
            ours, theirs = pty.openpty()
            self.addCleanup(os.close, ours)
            without_echo(theirs)
            command = [example("conversation_client"), self.until_end()]
            process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            os.close(theirs)
            os.write(ours, typed.encode())
            self.assertEqual(screen(ours), shown)
            self.assertEqual(process.wait(TIMEOUT), 0)

    def test_the_servers_here(self):
        for server, answers in (
            (("one_client_server", "end"), ["하나", "둘"]),
            (("counting_server",), ["하나", "둘"]),
            (("counting_server", "forever"), ["하나", "둘"]),
            (("prefix_echo_server",), ["Echo: 하나", "Echo: 둘"]),
        ):
            with self.subTest(server=server):
                process, (host, port) = self.start(*server)
                self.assert_answers(f"{host}:{port}", "하나\n둘\nend\n", answers)
                if server[0] == "one_client_server" or server == ("counting_server",):
                    self.assertEqual(process.wait(TIMEOUT), 0)
                else:
                    # It stays.
                    socket.create_connection((host, port)).close()


def without_echo(terminal):
    """What is typed is not shown by the terminal itself, so that all that it shows was printed."""
    attributes = termios.tcgetattr(terminal)
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSANOW, attributes)


def screen(terminal):
    """All that is printed on the terminal, to the end of the program."""
    printed = b""
    # Linux says EIO when nobody has the other end any more, others say the end.
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 65_536):
            printed += piece
    return printed.decode().replace("\r\n", "\n")
