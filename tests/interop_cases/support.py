"""What the cases share: the example programs, and sockets to talk to them."""

import contextlib
import faulthandler
import functools
import os
import queue
import random
import re
import signal
import socket
import socketserver
import struct
import subprocess
import threading
import time
import unittest

EXAMPLES = os.environ.get("EXAMPLES") or os.path.join(
    os.path.dirname(__file__), "..", "..", "target", "debug", "examples"
)

# Nothing here takes a second, but the machine may be busy.
TIMEOUT = 30

# What an example server promises: so long after a signal it has ended, and so long its clients have until it cuts them off.
PROMPT = 0.5
GRACE = 0.3

# A machine that holds a thread up for longer than this during a stop is too busy to tell a slow server from a prompt one.
MOST_HELD_UP = 2

# One byte, three bytes and four bytes a character.
TEXT = "hello, 안녕하세요, 🦀\n"

# The echo servers: those whose handlers block, and those that do everything on one thread.
BLOCKING = ("tcp_echo_server", "threading_echo_server")
EVENT_DRIVEN = ("select_echo_server", "multi_connection_server", "reactor_echo_server")
SERVERS = BLOCKING + EVENT_DRIVEN

# An echo server too, where its prefix is empty: the program and what follows the address.
THREADING_PREFIX_ECHO = ("prefix_echo_server", "", "threading")
SEQUENTIAL_PREFIX_ECHO = ("prefix_echo_server", "", "sequential")
PREFIX_ECHO = (THREADING_PREFIX_ECHO, SEQUENTIAL_PREFIX_ECHO)

# All but those that serve their clients one after another.
AT_ONCE = ("threading_echo_server", THREADING_PREFIX_ECHO, *EVENT_DRIVEN)

# What serves lines and not bytes.
BY_LINES = ("threading_echo_server",)

CHAT = "reactor_chat_server"
CHATS = (CHAT, "chat_server", "multi_user_chat_server")

# The servers that think in messages.
MESSAGE_SERVERS = (
    ("one_client_server", "message"),
    ("one_client_server", "end"),
    ("one_client_server", "receive"),
    ("request_handler_server", "sequential"),
    ("request_handler_server", "threading"),
    ("counting_server", "last"),
    ("counting_server", "forever"),
)

# Those that print what their clients say. Somebody has to read it, or they stand still when the pipe is full.
OUTSPOKEN = ("prefix_echo_server", "one_client_server", "request_handler_server", "counting_server")


def example(name):
    path = os.path.join(EXAMPLES, name)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} has not been built: cargo build --examples")
    return path


def run(name, *arguments, stdin=b""):
    return subprocess.run([example(name), *arguments], input=stdin, capture_output=True, timeout=TIMEOUT)


def words(server):
    """A server of the lists above: its name, and its arguments behind the address."""
    return (server,) if isinstance(server, str) else server


def run_unread(name, *arguments):
    """Runs a program whose stdout nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stdout:
        return subprocess.run([example(name), *arguments], stdout=stdout, stderr=subprocess.PIPE, timeout=TIMEOUT)


def each(servers):
    """Runs the test for each of the servers, with its name, its process and its address."""

    def decorate(test):
        @functools.wraps(test)
        def tests(self):
            for server in servers:
                with self.subTest(server=server):
                    test(self, words(server)[0], *self.start(*words(server)))

        return tests

    return decorate


def each_and_signal(servers):
    """Runs the test for each of the servers and each signal, with the signal, the process and the address."""

    def decorate(test):
        @functools.wraps(test)
        def tests(self):
            for number in (signal.SIGINT, signal.SIGTERM):
                for server in servers:
                    with self.subTest(server=server, signal=number):
                        test(self, number, *self.start(*words(server)))

        return tests

    return decorate


class HeldUp:
    """How long the machine has kept a thread from running that had nothing to do but to wake up, while this lasts."""

    NAP = 0.005

    def __init__(self):
        self.seconds = 0.0
        self.over = False
        self.thread = threading.Thread(target=self.sleep_and_wake, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_error):
        self.over = True
        self.thread.join()

    def sleep_and_wake(self):
        before = time.monotonic()
        while not self.over:
            time.sleep(self.NAP)
            now = time.monotonic()
            self.seconds += now - before - self.NAP
            before = now


class Said:
    """The lines that a process prints, read by a thread, so that it never waits for its reader."""

    def __init__(self, stdout):
        self.lines = queue.SimpleQueue()
        self.reader = threading.Thread(target=self.read, args=(stdout,), daemon=True)
        self.reader.start()

    def read(self, stdout):
        for line in stdout:
            self.lines.put(line.decode().removesuffix("\n"))
        self.lines.put(None)

    def line(self):
        """The next one; None at the end."""
        return self.lines.get(timeout=TIMEOUT)

    def rest(self):
        """What is still to come until the process ends."""
        return list(iter(self.line, None))


class Case(unittest.TestCase):
    def setUp(self):
        # A test that hangs says where, and ends the run.
        faulthandler.dump_traceback_later(2 * TIMEOUT, exit=True)
        self.addCleanup(faulthandler.cancel_dump_traceback_later)

    def start(self, name, *arguments):
        """Starts an example server. Returns the process and where it listens. What an outspoken one prints is in its `said`."""
        process, address = self.launch(name, *arguments)
        if name in OUTSPOKEN:
            process.said = Said(process.stdout)
        return process, address

    def launch(self, name, *arguments):
        """Starts an example server whose stdout is left alone from the second line on."""
        process = subprocess.Popen(
            [example(name), "127.0.0.1:0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(self.end, process)
        line = process.stdout.readline().decode()
        match = re.fullmatch(r"listening on (127\.0\.0\.1):(\d+)\n", line)
        self.assertIsNotNone(match, f"the first line of {name} was {line!r}")
        return process, (match[1], int(match[2]))

    def end(self, process):
        process.kill()
        process.wait()
        if hasattr(process, "said"):
            process.said.reader.join()
        process.stdout.close()
        process.stderr.close()

    @contextlib.contextmanager
    def assert_promptly(self, limit=PROMPT):
        """What is done here, from the signal to the end of the process, takes no longer than that, but for what a busy machine has
        demonstrably added to it. Gives the time of the beginning."""
        with HeldUp() as held_up:
            since = time.monotonic()
            yield since
            took = time.monotonic() - since
        if took < limit:
            return
        measured = f"it took {took:.3f} s, of which the machine held a thread up for {held_up.seconds:.3f} s"
        self.assertLess(held_up.seconds, MOST_HELD_UP, f"the machine is too busy for this: {measured}")
        self.assertLess(took, limit + held_up.seconds, f"longer than {limit} s: {measured}")

    def assert_ends_promptly(self, process, number):
        """Sends the signal, at which the process is to end at once and well, whoever is connected."""
        with self.assert_promptly():
            process.send_signal(number)
            # Without a timeout: with one, Python looks only every 50 ms.
            self.assertEqual(process.wait(), 0)

    def connect(self, address):
        sock = socket.create_connection(address, timeout=TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.addCleanup(sock.close)
        return sock

    def serve(self, handle, server_class=socketserver.ThreadingTCPServer):
        """Has Python's socketserver serve with `handle(request handler)`, and returns the address as text."""

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self):
                # The client may have gone, as where it is told nonsense.
                with contextlib.suppress(ConnectionError):
                    handle(self)

        class Server(server_class):
            request_queue_size = 1024

        server = Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return "{}:{}".format(*server.server_address)

    def assert_still_serves(self, address):
        with self.connect(address) as sock:
            self.assertEqual(exchange(sock, TEXT.encode()), TEXT.encode())

    def refusing(self):
        """An address at which nobody listens, nor can anybody else meanwhile, as text."""
        nobody = socket.socket()
        self.addCleanup(nobody.close)
        nobody.bind(("127.0.0.1", 0))
        return "127.0.0.1:{}".format(nobody.getsockname()[1])

    def silent(self):
        """An address at which nobody answers, as text: its queue is full, and the system lets whoever comes wait."""
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.addCleanup(full.close)
        for _ in range(4):
            waiting = socket.socket()
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        return "127.0.0.1:{}".format(full.getsockname()[1])

    def assert_says(self, process, *lines):
        for line in lines:
            self.assertEqual(process.said.line(), line)

    def assert_ends(self, process, *stderr):
        """It ends by itself with exit code 0, having said that on stderr and no more on stdout."""
        self.assertEqual(process.wait(TIMEOUT), 0)
        self.assertEqual(process.said.rest(), [])
        lines = process.stderr.read().decode().splitlines()
        self.assertEqual(len(lines), len(stderr), lines)
        for line, part in zip(lines, stderr):
            self.assertIn(part, line)

    def assert_one_line(self, stderr, *parts):
        text = stderr.decode()
        self.assertRegex(text, r"\A[^\n]+\n\Z")
        self.assertNotIn("panicked", text)
        for part in parts:
            self.assertIn(part, text)


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise EOFError(f"ended after {len(data)} of {count} bytes")
        data += piece
    return data


def reset(sock):
    """Closes with a reset, as when the machine has crashed and come back."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Python's own close would shut the socket down first in a request handler, and the reset would follow the end.
    os.close(sock.detach())


def read_to_end(sock):
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def exchange(sock, payload):
    """Sends all of payload and half-closes, and reads what comes meanwhile and after, to the end."""

    def send():
        sock.sendall(payload)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    answer = read_to_end(sock)
    sender.join()
    return answer


def lines_of_a_mebibyte():
    """Korean lines of many lengths, the longest of exactly the 64 KiB that a line may have."""
    random_numbers = random.Random(1)
    lines = [b"x" + "가".encode() * 21845 + b"\n"]
    while sum(map(len, lines)) < 1 << 20:
        lines.append("나다라".encode() * random_numbers.randrange(3000) + b"\n")
    return b"".join(lines)


