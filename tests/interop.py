"""The example programs with Python's own socket and socketserver on the other end.

`cargo test` runs it through interop.rs. By hand: cargo build --examples && python3 tests/interop.py [CLASS[.TEST] ...]
The programs are looked for in the folder that the environment variable EXAMPLES names, by default target/debug/examples.
"""

import contextlib
import faulthandler
import functools
import os
import random
import re
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
import unittest

EXAMPLES = os.environ.get("EXAMPLES") or os.path.join(os.path.dirname(__file__), "..", "target", "debug", "examples")

# Nothing here takes a second, but the machine may be busy.
TIMEOUT = 30

# What an example server promises: so long after a signal it has ended.
PROMPT = 0.5

# One byte, three bytes and four bytes a character.
TEXT = "hello, 안녕하세요, 🦀\n"

SERVERS = ("tcp_echo_server", "threading_echo_server")


def example(name):
    path = os.path.join(EXAMPLES, name)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} has not been built: cargo build --examples")
    return path


def run(name, *arguments, stdin=b""):
    return subprocess.run([example(name), *arguments], input=stdin, capture_output=True, timeout=TIMEOUT)


def each_server(test):
    """Runs the test for each echo server, with its name, its process and its address."""

    @functools.wraps(test)
    def tests(self):
        for name in SERVERS:
            with self.subTest(server=name):
                test(self, name, *self.start(name))

    return tests


def each_server_and_signal(test):
    """Runs the test for each echo server and each signal, with the signal, the process and the address."""

    @functools.wraps(test)
    def tests(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            for name in SERVERS:
                with self.subTest(server=name, signal=number):
                    test(self, number, *self.start(name))

    return tests


class Case(unittest.TestCase):
    def setUp(self):
        # A test that hangs says where, and ends the run.
        faulthandler.dump_traceback_later(2 * TIMEOUT, exit=True)
        self.addCleanup(faulthandler.cancel_dump_traceback_later)

    def start(self, name, address="127.0.0.1:0"):
        """Starts an example server. Returns the process and where it listens."""
        process = subprocess.Popen(
            [example(name), address], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.addCleanup(self.end, process)
        line = process.stdout.readline().decode()
        match = re.fullmatch(r"listening on (127\.0\.0\.1):(\d+)\n", line)
        self.assertIsNotNone(match, f"the first line of {name} was {line!r}")
        return process, (match[1], int(match[2]))

    def end(self, process):
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def connect(self, address):
        sock = socket.create_connection(address, timeout=TIMEOUT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.addCleanup(sock.close)
        return sock

    def assert_still_serves(self, address):
        with self.connect(address) as sock:
            self.assertEqual(exchange(sock, TEXT.encode()), TEXT.encode())

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


class PythonClients(Case):
    """Python's sockets as the clients of the echo servers."""

    def test_every_byte_comes_back(self):
        _, address = self.start("tcp_echo_server")
        payload = bytes(range(256)) * 3
        self.assertEqual(exchange(self.connect(address), payload), payload)

    @each_server
    def test_one_byte_at_a_time(self, _name, _process, address):
        with self.connect(address) as sock:
            for byte in TEXT.encode():
                sock.send(bytes([byte]))
            self.assertEqual(read_exactly(sock, len(TEXT.encode())), TEXT.encode())

    @each_server
    def test_a_character_may_straddle_two_packets(self, name, _process, address):
        whole = TEXT.encode()
        with self.connect(address) as sock:
            for split in range(len(whole) + 1):
                # The answer to what comes before shows that the first part has been received without the second.
                before = b"" if name == "tcp_echo_server" else b"before\n"
                sock.sendall(before + whole[:split])
                first = before or whole[:split]
                self.assertEqual(read_exactly(sock, len(first)), first)
                sock.sendall(whole[split:])
                rest = whole if before else whole[split:]
                self.assertEqual(read_exactly(sock, len(rest)), rest)

    @each_server
    def test_a_mebibyte(self, name, _process, address):
        payload = random.Random(2).randbytes(1 << 20) if name == "tcp_echo_server" else lines_of_a_mebibyte()
        self.assertTrue(exchange(self.connect(address), payload) == payload, "the bytes differ")

    @each_server
    def test_half_close(self, _name, _process, address):
        with self.connect(address) as sock:
            sock.sendall(TEXT.encode())
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(sock), TEXT.encode())

    @each_server
    def test_a_last_line_without_its_end(self, _name, _process, address):
        self.assertEqual(exchange(self.connect(address), b"one\ntwo"), b"one\ntwo")

    @each_server
    def test_clients_that_vanish(self, _name, process, address):
        for unread in (b"half a li", b"x" * 70 + b"\n", b"\n" * 300_000):
            for _ in range(10):
                with self.connect(address) as sock:
                    # A close is a reset then, as when the client's machine has crashed and come back.
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.sendall(unread)
            self.assert_still_serves(address)
        self.assertIsNone(process.poll())

    @each_server
    def test_clients_that_say_nothing(self, _name, _process, address):
        for _ in range(20):
            self.connect(address).close()
        self.assert_still_serves(address)

    @each_server
    def test_many_clients_one_after_another(self, _name, _process, address):
        for number in range(200):
            line = f"{number}번째\n".encode()
            with self.connect(address) as sock:
                self.assertEqual(exchange(sock, line), line)

    @each_server
    def test_twenty_clients_at_once(self, name, _process, address):
        # On the sequential server too all are connected; they are answered in turn.
        all_connected = threading.Barrier(20, timeout=TIMEOUT)
        answers = {}

        def client(number):
            with self.connect(address) as sock:
                all_connected.wait()
                answers[number] = exchange(sock, f"손님 {number}\n".encode() * 100)

        threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, {number: f"손님 {number}\n".encode() * 100 for number in range(20)})

    def test_the_threading_server_answers_a_client_while_others_are_connected(self):
        _, address = self.start("threading_echo_server")
        idle = [self.connect(address) for _ in range(20)]
        self.assert_still_serves(address)
        for sock in idle:
            sock.sendall(TEXT.encode())
            self.assertEqual(read_exactly(sock, len(TEXT.encode())), TEXT.encode())

    def test_bad_lines_end_their_own_connection(self):
        process, address = self.start("threading_echo_server")
        neighbour = self.connect(address)
        for bad in (b"x" * 65537 + b"\n", b"\xff\xfe\n"):
            # A clean end: no reset, which would throw away answers on their way.
            self.assertEqual(exchange(self.connect(address), b"good\n" + bad + b"never answered\n"), b"good\n")
            self.assertIn("bad data on the connection with 127.0.0.1:", process.stderr.readline().decode())
        neighbour.sendall(b"still here\n")
        self.assertEqual(read_exactly(neighbour, 11), b"still here\n")


class Signals(Case):
    """Ctrl-C and SIGTERM."""

    def signal(self, process, number):
        """Sends the signal and waits for the server to say that it has seen it."""
        process.send_signal(number)
        while not (line := process.stderr.readline().decode()).startswith("stopping"):
            self.assertTrue(line, "the server ended without having said that it stops")

    def assert_ends_promptly(self, process, since):
        code = process.wait()
        took = time.monotonic() - since
        self.assertEqual(code, 0)
        self.assertLess(took, PROMPT)

    @each_server_and_signal
    def test_without_clients(self, number, process, _address):
        since = time.monotonic()
        process.send_signal(number)
        self.assert_ends_promptly(process, since)

    @each_server_and_signal
    def test_after_clients(self, number, process, address):
        for _ in range(5):
            self.assert_still_serves(address)
        since = time.monotonic()
        process.send_signal(number)
        self.assert_ends_promptly(process, since)

    @each_server_and_signal
    def test_a_client_may_finish(self, number, process, address):
        with self.connect(address) as sock:
            sock.sendall(b"before\n")
            self.assertEqual(read_exactly(sock, 7), b"before\n")
            self.signal(process, number)
            sock.sendall(b"after\n")
            self.assertEqual(read_exactly(sock, 6), b"after\n")
            since = time.monotonic()
        self.assert_ends_promptly(process, since)

    @each_server_and_signal
    def test_a_second_signal_cuts_an_idle_client_off(self, number, process, address):
        with self.connect(address) as sock:
            sock.sendall(b"before\n")
            self.assertEqual(read_exactly(sock, 7), b"before\n")
            self.signal(process, number)
            since = time.monotonic()
            process.send_signal(number)
            self.assert_ends_promptly(process, since)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(sock.recv(1), b"")


class PythonServers(Case):
    """Python's socketserver as the server of tcp_echo_client."""

    def serve(self, handle, server_class=socketserver.ThreadingTCPServer):
        """Serves with `handle(request handler)`, and returns the address as text."""

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self):
                handle(self)

        server = server_class(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return "{}:{}".format(*server.server_address)

    def assert_received(self, address, sent, received):
        done = run("tcp_echo_client", address, stdin=sent)
        self.assertEqual((done.stdout, done.stderr, done.returncode), (received, b"", 0))

    def test_lines_come_back(self):
        def echo(request):
            for line in request.rfile:
                request.wfile.write(line)

        for server_class in (socketserver.TCPServer, socketserver.ThreadingTCPServer):
            address = self.serve(echo, server_class)
            self.assert_received(address, b"", b"")
            self.assert_received(address, b"\n", b"Received: \n")
            self.assert_received(address, b"one\ntwo", b"Received: one\nReceived: two\n")
            self.assert_received(address, TEXT.encode() * 500, b"Received: " + (b"Received: ".join([TEXT.encode()] * 500)))
            # Bytes are bytes.
            self.assert_received(address, b"\xff\x00\n", b"Received: \xff\x00\n")
            longest = b"x" * 65536 + b"\n"
            self.assert_received(address, longest, b"Received: " + longest)

    def test_a_name_as_the_address(self):
        address = self.serve(lambda request: request.wfile.write(request.rfile.readline()))
        self.assert_received(address.replace("127.0.0.1", "localhost"), b"hi\n", b"Received: hi\n")

    def test_an_answer_in_pieces(self):
        def dribble(request):
            for line in request.rfile:
                for byte in line:
                    request.wfile.write(bytes([byte]))

        self.assert_received(self.serve(dribble), TEXT.encode(), b"Received: " + TEXT.encode())

    def test_a_mebibyte_in_lines(self):
        def echo(request):
            for line in request.rfile:
                request.wfile.write(line)

        sent = lines_of_a_mebibyte()
        received = b"".join(b"Received: " + line for line in sent.splitlines(keepends=True))
        self.assert_received(self.serve(echo), sent, received)

    def test_a_server_that_goes_away(self):
        def silent(request):
            request.rfile.readline()

        def half(request):
            request.rfile.readline()
            request.wfile.write("안녕".encode()[:4])

        def reset(request):
            request.rfile.readline()
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Python's own close would shut the socket down first, and the reset would follow the end.
            os.close(request.connection.detach())

        for handle in (silent, half, reset):
            with self.subTest(server=handle.__name__):
                address = self.serve(handle)
                done = run("tcp_echo_client", address, stdin=b"hello\n")
                self.assertEqual((done.stdout, done.returncode), (b"", 1))
                self.assert_one_line(done.stderr, "reset" if handle is reset else f"{address} closed the connection")

    def test_too_long_an_answer(self):
        address = self.serve(lambda request: request.wfile.write(b"x" * 200_000))
        done = run("tcp_echo_client", address, stdin=b"hello\n")
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, "65536")


class Mistakes(Case):
    """Bad arguments and bad luck: one line, and an exit code to go by."""

    def test_a_wrong_command_line(self):
        for name in (*SERVERS, "tcp_echo_client"):
            for arguments in (["127.0.0.1:0", "more"], ["--help"], [b"\xff"]):
                with self.subTest(name=name, arguments=arguments):
                    done = run(name, *arguments)
                    self.assertEqual((done.stdout, done.returncode), (b"", 2))
                    self.assert_one_line(done.stderr, f"usage: {name} [ADDRESS]")
        self.assertEqual(run("tour", "argument").returncode, 2)

    def test_a_bad_address(self):
        for name in (*SERVERS, "tcp_echo_client"):
            for address in ("", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", ":80"):
                with self.subTest(name=name, address=address):
                    done = run(name, address)
                    self.assertEqual((done.stdout, done.returncode), (b"", 1))
                    self.assert_one_line(done.stderr, f"{name}: invalid address", f'"{address}"')

    def test_a_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:{}".format(taken.getsockname()[1])
            for name in SERVERS:
                with self.subTest(name=name):
                    done = run(name, address)
                    self.assertEqual((done.stdout, done.returncode), (b"", 1))
                    self.assert_one_line(done.stderr, f"cannot listen on {address}", "does another server run there?")

    def test_a_server_that_is_not_there(self):
        # Bound but not listening, so that nobody else can listen there meanwhile.
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = "127.0.0.1:{}".format(nobody.getsockname()[1])
            done = run("tcp_echo_client", address, stdin=b"hello\n")
            self.assertEqual((done.stdout, done.returncode), (b"", 1))
            self.assert_one_line(done.stderr, f"cannot connect to {address}")


class Tour(Case):
    def test_visits_every_server(self):
        done = run("tour")
        text = done.stdout.decode()
        self.assertEqual((done.stderr, done.returncode), (b"", 0), text)
        for name in ("TcpServer", "ThreadingTcpServer", "ThreadingTcpServer::from_listener"):
            self.assertRegex(text, rf"(?m)^{name} \(")
        for name in ("UnixStreamServer", "ThreadingUnixStreamServer"):
            self.assertRegex(text, rf"(?m)^{name} \(")
        self.assertRegex(text.splitlines()[-1], r"^\d+ servers visited, all stopped cleanly$")

    def test_nobody_reads_what_it_says(self):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as stdout:
            done = subprocess.run([example("tour")], stdout=stdout, stderr=subprocess.PIPE, timeout=TIMEOUT)
        self.assertEqual(done.returncode, 1)
        self.assert_one_line(done.stderr, "Broken pipe")


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")
    unittest.main(verbosity=2)
