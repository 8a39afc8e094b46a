"""Ctrl-C and SIGTERM."""

import contextlib
import fcntl
import struct
import termios
import time

from .support import (
    BLOCKING,
    CHATS,
    EVENT_DRIVEN,
    GRACE,
    MESSAGE_SERVERS,
    PREFIX_ECHO,
    PROMPT,
    SERVERS,
    TIMEOUT,
    Case,
    TooLate,
    each_and_signal,
    read_exactly,
    read_to_end,
    within_grace,
)


# Their clients are cut off when they have not finished in time.
PATIENT = BLOCKING + PREFIX_ECHO


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
        # What the grace leaves of it is not much for a busy machine; there it is looked at again.
        self.assertLess(took, 2 * PROMPT)
        if took >= PROMPT:
            raise TooLate

    @each_and_signal((*SERVERS, *CHATS, *PREFIX_ECHO, *MESSAGE_SERVERS))
    def test_without_clients(self, number, process, _address):
        since = time.monotonic()
        process.send_signal(number)
        self.assert_ends_promptly(process, since)

    @each_and_signal(SERVERS + PREFIX_ECHO)
    def test_after_clients(self, number, process, address):
        for _ in range(5):
            self.assert_still_serves(address)
        since = time.monotonic()
        process.send_signal(number)
        self.assert_ends_promptly(process, since)

    @each_and_signal(PATIENT)
    def test_a_client_may_finish(self, number, process, address):
        with self.connect(address) as sock:
            sock.sendall(b"before\n")
            self.assertEqual(read_exactly(sock, 7), b"before\n")
            with within_grace():
                self.signal(process, number)
                sock.sendall(b"after\n")
                self.assertEqual(read_exactly(sock, 6), b"after\n")
            since = time.monotonic()
        self.assert_ends_promptly(process, since)

    @each_and_signal((*SERVERS, *CHATS, *PREFIX_ECHO))
    def test_clients_who_stay_hold_no_server_up(self, number, process, address):
        socks = [self.connect(address) for _ in range(20)]
        for sock in socks:
            sock.sendall(b"hello\n")
        # The sequential server answers one of them. The chats welcome them: a part of that suffices to know that they are in.
        is_sequential = process.args[0].endswith("/tcp_echo_server") or process.args[-1] == "sequential"
        answered = 1 if is_sequential else len(socks)
        for sock in socks[:answered]:
            read_exactly(sock, 6)
        since = time.monotonic()
        process.send_signal(number)
        self.assert_ends_promptly(process, since)
        for sock in socks:
            # The chats' members are told of one another.
            with contextlib.suppress(ConnectionResetError):
                read_to_end(sock)

    @each_and_signal((*SERVERS, *CHATS, *PREFIX_ECHO, *MESSAGE_SERVERS))
    def test_clients_who_say_nothing_hold_no_server_up(self, number, process, address):
        socks = [self.connect(address) for _ in range(5)]
        since = time.monotonic()
        process.send_signal(number)
        self.assert_ends_promptly(process, since)
        for sock in socks:
            with contextlib.suppress(ConnectionResetError):
                read_to_end(sock)

    @each_and_signal((*PATIENT, *CHATS))
    def test_a_client_who_does_not_read_holds_no_server_up(self, number, process, address):
        with self.connect(address) as one, self.connect(address) as other:
            for sock in (one, other):
                sock.settimeout(0.2)
                with contextlib.suppress(TimeoutError, ConnectionError):
                    for _ in range(1000):
                        sock.sendall(b"x" * 999 + b"\n")
            since = time.monotonic()
            process.send_signal(number)
            self.assert_ends_promptly(process, since)

    @each_and_signal(PATIENT)
    def test_a_second_signal_cuts_an_idle_client_off(self, number, process, address):
        with self.connect(address) as sock:
            sock.sendall(b"before\n")
            self.assertEqual(read_exactly(sock, 7), b"before\n")
            with within_grace():
                since = time.monotonic()
                self.signal(process, number)
                process.send_signal(number)
                self.assertEqual(process.wait(), 0)
                self.assertLess(time.monotonic() - since, GRACE)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(sock.recv(1), b"")

    @each_and_signal(PATIENT)
    def test_clients_who_are_cut_off_are_counted_and_not_complained_of(self, number, process, address):
        with self.connect(address) as sock:
            sock.sendall(b"before\n")
            self.assertEqual(read_exactly(sock, 7), b"before\n")
            process.send_signal(number)
            self.assertEqual(process.wait(), 0)
            self.assertEqual(
                process.stderr.read().decode().splitlines(),
                [
                    "stopping: clients have 300ms to finish; a second signal stops at once",
                    "stopped: 0 clients finished, 1 were cut off, 0 handlers still run",
                ],
            )

    @each_and_signal(["reactor_echo_server"])
    def test_answers_on_their_way_arrive(self, number, process, address):
        payload = bytes(range(250)) * 800
        with self.connect(address) as sock:
            sock.sendall(payload)
            deadline = time.monotonic() + TIMEOUT
            while unacknowledged(sock) > 0 and time.monotonic() < deadline:
                time.sleep(0.001)
            with within_grace():
                self.signal(process, number)
                self.assertTrue(read_to_end(sock) == payload, "the bytes differ")
            since = time.monotonic()
        self.assert_ends_promptly(process, since)


def unacknowledged(sock):
    """The bytes that the other end's system has not got yet."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]
