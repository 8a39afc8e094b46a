"""reactor_once_server, the counterpart of asyncio.start_server with one read."""

import signal
import socket

from .support import Case, each, exchange, read_to_end, reset, run

SERVER = "reactor_once_server"


class ReactorOnce(Case):
    """One read of at most 100 bytes is sent back on each connection."""

    @each([SERVER])
    def test_the_first_bytes_are_sent_back(self, _name, _process, address):
        for sent in (b"x", b"hello", "안녕하세요".encode(), b"\xff\0\n", b"x" * 99, b"y" * 100):
            with self.connect(address) as sock:
                sock.sendall(sent)
                self.assertEqual(read_to_end(sock), sent)
        self.assertEqual(exchange(self.connect(address), b""), b"")

    @each([SERVER])
    def test_a_hundred_of_them_at_most(self, _name, _process, address):
        payload = bytes(range(250))
        self.assertEqual(exchange(self.connect(address), payload), payload[:100])

    @each([SERVER])
    def test_one_after_another_and_many_at_once(self, _name, _process, address):
        socks = [self.connect(address) for _ in range(50)]
        for number, sock in reversed(list(enumerate(socks))):
            sock.sendall(f"손님 {number}".encode())
        for number, sock in enumerate(socks):
            self.assertEqual(read_to_end(sock).decode(), f"손님 {number}")

    @each([SERVER])
    def test_who_fails_or_says_nothing_harms_nobody_else(self, _name, process, address):
        with self.connect(address) as silent:
            reset(self.connect(address))
            self.assertEqual(exchange(self.connect(address), b"hello"), b"hello")
            self.assertEqual(silent.recv(1), b"")
        # Nobody need see the one who was reset before he was let in.
        for line in process.stderr:
            if b"timed out after 5s" in line:
                break

    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process, address = self.start(SERVER)
            with self.connect(address):
                self.assertEqual(exchange(self.connect(address), b"hello"), b"hello")
                self.assert_ends_promptly(process, number)

    def test_mistakes(self):
        for arguments in (["127.0.0.1:0", "more"], ["--help"], [b"\xff"]):
            done = run(SERVER, *arguments)
            self.assertEqual((done.stdout, done.returncode), (b"", 2))
            self.assert_one_line(done.stderr, f"usage: {SERVER} [ADDRESS]")
        done = run(SERVER, "nonsense")
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, f"{SERVER}: invalid address")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = run(SERVER, "127.0.0.1:{}".format(taken.getsockname()[1]))
            self.assertEqual((done.stdout, done.returncode), (b"", 1))
            self.assert_one_line(done.stderr, "does another server run there?")
