"""Python's sockets as the clients of the echo servers."""

import contextlib
import os
import random
import resource
import select
import socket
import threading
import time
import unittest

from .support import (
    AT_ONCE,
    BY_LINES,
    EVENT_DRIVEN,
    PREFIX_ECHO,
    SERVERS,
    TEXT,
    TIMEOUT,
    Case,
    each,
    exchange,
    lines_of_a_mebibyte,
    read_exactly,
    read_to_end,
    reset,
)


# All of them send back what they are sent.
ECHOES = SERVERS + PREFIX_ECHO


class PythonClients(Case):
    """Python's sockets as the clients of the echo servers."""

    @each([name for name in ECHOES if name not in BY_LINES])
    def test_every_byte_comes_back(self, _name, _process, address):
        payload = bytes(range(256)) * 3
        self.assertEqual(exchange(self.connect(address), payload), payload)

    @each(ECHOES)
    def test_one_byte_at_a_time(self, _name, _process, address):
        with self.connect(address) as sock:
            for byte in TEXT.encode():
                sock.send(bytes([byte]))
            self.assertEqual(read_exactly(sock, len(TEXT.encode())), TEXT.encode())

    @each(ECHOES)
    def test_pieces_of_every_size(self, _name, _process, address):
        whole = TEXT.encode() * 3
        with self.connect(address) as sock:
            for size in range(1, len(whole) + 1):
                for start in range(0, len(whole), size):
                    sock.sendall(whole[start : start + size])
                self.assertEqual(read_exactly(sock, len(whole)), whole)

    @each(ECHOES)
    def test_a_character_may_straddle_two_packets(self, name, _process, address):
        whole = TEXT.encode()
        with self.connect(address) as sock:
            for split in range(len(whole) + 1):
                # The answer to what comes before shows that the first part has been received without the second.
                before = b"" if name not in BY_LINES else b"before\n"
                sock.sendall(before + whole[:split])
                first = before or whole[:split]
                self.assertEqual(read_exactly(sock, len(first)), first)
                sock.sendall(whole[split:])
                rest = whole if before else whole[split:]
                self.assertEqual(read_exactly(sock, len(rest)), rest)

    @each(ECHOES)
    def test_a_mebibyte(self, name, _process, address):
        payload = random.Random(2).randbytes(1 << 20) if name not in BY_LINES else lines_of_a_mebibyte()
        self.assertTrue(exchange(self.connect(address), payload) == payload, "the bytes differ")

    @each(ECHOES)
    def test_half_close(self, _name, _process, address):
        with self.connect(address) as sock:
            sock.sendall(TEXT.encode())
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(sock), TEXT.encode())

    @each(ECHOES)
    def test_a_last_line_without_its_end(self, _name, _process, address):
        self.assertEqual(exchange(self.connect(address), b"one\ntwo"), b"one\ntwo")

    @each(ECHOES)
    def test_clients_that_vanish(self, _name, process, address):
        for unread in (b"half a li", b"x" * 70 + b"\n", b"\n" * 300_000):
            for _ in range(10):
                with self.connect(address) as sock:
                    sock.sendall(unread)
                    reset(sock)
            self.assert_still_serves(address)
        self.assertIsNone(process.poll())

    @each(ECHOES)
    def test_clients_that_say_nothing(self, _name, _process, address):
        for _ in range(20):
            self.connect(address).close()
        self.assert_still_serves(address)

    @each(ECHOES)
    def test_many_clients_one_after_another(self, _name, _process, address):
        for number in range(200):
            line = f"{number}번째\n".encode()
            with self.connect(address) as sock:
                self.assertEqual(exchange(sock, line), line)

    @each(ECHOES)
    def test_twenty_clients_at_once(self, _name, _process, address):
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

    @each(AT_ONCE)
    def test_a_client_is_answered_while_others_are_connected(self, _name, _process, address):
        idle = [self.connect(address) for _ in range(20)]
        self.assert_still_serves(address)
        for sock in idle:
            sock.sendall(TEXT.encode())
            self.assertEqual(read_exactly(sock, len(TEXT.encode())), TEXT.encode())

    @each(AT_ONCE)
    def test_a_client_who_does_not_read_holds_nobody_up(self, _name, _process, address):
        line = b"x" * 999 + b"\n"
        with self.connect(address) as greedy:
            greedy.settimeout(0.2)
            sent = 0
            # The server stops reading from him, so at some point nothing more can be sent.
            with contextlib.suppress(TimeoutError):
                while sent < 64 << 20:
                    sent += greedy.send(line[sent % 1000 :] + line * 60)
            self.assertLess(sent, 64 << 20, "everything that a client sends is kept for him")
            self.assert_still_serves(address)
            greedy.settimeout(TIMEOUT)
            greedy.shutdown(socket.SHUT_WR)
            self.assertTrue(read_to_end(greedy) == (line * (sent // 1000 + 1))[:sent], "the bytes differ")
        self.assert_still_serves(address)

    @each(EVENT_DRIVEN)
    def test_five_hundred_clients_at_once(self, _name, _process, address):
        socks = [self.connect(address) for _ in range(500)]
        for number, sock in enumerate(socks):
            sock.sendall(f"손님 {number}\n".encode())
        for number, sock in enumerate(socks):
            line = f"손님 {number}\n".encode()
            self.assertEqual(read_exactly(sock, len(line)), line)
            sock.close()
        self.assert_still_serves(address)

    @unittest.skipUnless(hasattr(resource, "prlimit"), "needs Linux, to take descriptors from a process that runs")
    @each(EVENT_DRIVEN)
    def test_a_shortage_of_descriptors_passes(self, _name, process, address):
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (30, 30))
        socks = [self.connect(address) for _ in range(40)]
        for sock in socks:
            sock.sendall(TEXT.encode())
        served = []
        while fresh := select.select([sock for sock in socks if sock not in served], [], [], 0.7)[0]:
            served += fresh
        self.assertTrue(0 < len(served) < 40, f"{len(served)} of 40 clients served with 30 descriptors")
        before = processor_time(process)
        time.sleep(0.5)
        self.assertLess(processor_time(process) - before, 0.1, "the server spins")
        # Those who have been served make room for the others.
        for sock in served + [sock for sock in socks if sock not in served]:
            self.assertEqual(read_exactly(sock, len(TEXT.encode())), TEXT.encode())
            sock.close()
        self.assert_still_serves(address)

    def test_bad_lines_end_their_own_connection(self):
        process, address = self.start("threading_echo_server")
        neighbour = self.connect(address)
        for bad in (b"x" * 65537 + b"\n", b"\xff\xfe\n"):
            # A clean end: no reset, which would throw away answers on their way.
            self.assertEqual(exchange(self.connect(address), b"good\n" + bad + b"never answered\n"), b"good\n")
            self.assertIn("bad data on the connection with 127.0.0.1:", process.stderr.readline().decode())
        neighbour.sendall(b"still here\n")
        self.assertEqual(read_exactly(neighbour, 11), b"still here\n")

def processor_time(process):
    """The seconds of processor time that it has taken so far."""
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
