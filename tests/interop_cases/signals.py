"""Ctrl-C and SIGTERM."""

import contextlib
import fcntl
import os
import struct
import termios
import time

from .support import (
    BLOCKING,
    CHATS,
    GRACE,
    MESSAGE_SERVERS,
    PREFIX_ECHO,
    SERVERS,
    TIMEOUT,
    Case,
    each_and_signal,
    read_exactly,
    read_to_end,
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

    def come_in(self, process, address, count):
        """Connects so many clients, and returns when the server has let in all of them, or the first where it serves one at a time."""
        if not os.path.isdir("/proc/self/fd"):
            self.skipTest("only /proc tells which clients have been let in")
        before = sockets(process)
        socks = [self.connect(address) for _ in range(count)]
        wanted = 1 if serves_one_at_a_time(process) else count
        deadline = time.monotonic() + TIMEOUT
        while len(sockets(process) - before) < wanted:
            self.assertLess(time.monotonic(), deadline, "the server lets nobody in")
            time.sleep(0.001)
        return socks

    @each_and_signal((*SERVERS, *CHATS, *PREFIX_ECHO, *MESSAGE_SERVERS))
    def test_without_clients(self, number, process, _address):
        self.assert_ends_promptly(process, number)

    @each_and_signal(SERVERS + PREFIX_ECHO)
    def test_after_clients(self, number, process, address):
        for _ in range(5):
            self.assert_still_serves(address)
        self.assert_ends_promptly(process, number)

    @each_and_signal(PATIENT)
    def test_a_client_may_finish(self, number, process, address):
        with self.connect(address) as sock:
            sock.sendall(b"before\n")
            self.assertEqual(read_exactly(sock, 7), b"before\n")
            with self.assert_promptly() as since:
                self.signal(process, number)
                with within_grace(since):
                    sock.sendall(b"after\n")
                    self.assertEqual(read_exactly(sock, 6), b"after\n")
                sock.close()
                self.assertEqual(process.wait(), 0)

    @each_and_signal((*SERVERS, *CHATS, *PREFIX_ECHO))
    def test_clients_who_stay_hold_no_server_up(self, number, process, address):
        socks = [self.connect(address) for _ in range(20)]
        for sock in socks:
            sock.sendall(b"hello\n")
        # The sequential server answers one of them. The chats welcome them: a part of that suffices to know that they are in.
        for sock in socks[: 1 if serves_one_at_a_time(process) else len(socks)]:
            read_exactly(sock, 6)
        self.assert_ends_promptly(process, number)
        for sock in socks:
            # The chats' members are told of one another.
            with contextlib.suppress(ConnectionResetError):
                read_to_end(sock)

    @each_and_signal((*SERVERS, *CHATS, *PREFIX_ECHO, *MESSAGE_SERVERS))
    def test_clients_who_say_nothing_hold_no_server_up(self, number, process, address):
        socks = self.come_in(process, address, 5)
        self.assert_ends_promptly(process, number)
        for sock in socks:
            with contextlib.suppress(ConnectionResetError):
                read_to_end(sock)

    @each_and_signal((*PATIENT, *CHATS))
    def test_a_client_who_does_not_read_holds_no_server_up(self, number, process, address):
        for sock in self.come_in(process, address, 2):
            sock.settimeout(0.2)
            with contextlib.suppress(TimeoutError, ConnectionError):
                for _ in range(1000):
                    sock.sendall(b"x" * 999 + b"\n")
        self.assert_ends_promptly(process, number)

    @each_and_signal(PATIENT)
    def test_a_second_signal_cuts_an_idle_client_off(self, number, process, address):
        with self.connect(address) as sock:
            sock.sendall(b"before\n")
            self.assertEqual(read_exactly(sock, 7), b"before\n")
            with self.assert_promptly(GRACE):
                self.signal(process, number)
                process.send_signal(number)
                self.assertEqual(process.wait(), 0)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(sock.recv(1), b"")

    @each_and_signal(PATIENT)
    def test_clients_who_are_cut_off_are_counted_and_not_complained_of(self, number, process, address):
        with self.connect(address) as sock:
            sock.sendall(b"before\n")
            self.assertEqual(read_exactly(sock, 7), b"before\n")
            self.assert_ends_promptly(process, number)
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
        with self.connect(address) as sock, self.connect(address) as other:
            sock.sendall(payload)
            deadline = time.monotonic() + TIMEOUT
            while unacknowledged(sock) > 0:
                self.assertLess(time.monotonic(), deadline, "the server's system does not take it all")
                time.sleep(0.001)
            # Its thread reads from all in turn: when it has answered the other so often, it has read all of this.
            for _ in range(100):
                other.sendall(b"x")
                read_exactly(other, 1)
            other.close()
            with self.assert_promptly() as since:
                self.signal(process, number)
                with within_grace(since):
                    self.assertTrue(read_to_end(sock) == payload, "the bytes differ")
                self.assertEqual(process.wait(), 0)


@contextlib.contextmanager
def within_grace(since):
    """What a stop leaves clients the time for. Where it fails because it came too late for that, it says so."""
    try:
        yield
    except (AssertionError, EOFError, OSError) as error:
        passed = time.monotonic() - since
        if passed < GRACE:
            raise
        raise AssertionError(f"too late: it has come to this only {passed:.3f} s after the signal") from error


def serves_one_at_a_time(process):
    name = os.path.basename(process.args[0])
    return name in ("tcp_echo_server", "one_client_server") or process.args[-1] == "sequential"


def sockets(process):
    """Those that the process has open. Nothing that a server says would tell of clients who are silent."""
    folder = f"/proc/{process.pid}/fd"
    found = set()
    for descriptor in os.listdir(folder):
        # It may have been closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(os.path.join(folder, descriptor)))
    return {link for link in found if link.startswith("socket:")}


def unacknowledged(sock):
    """The bytes that the other end's system has not got yet."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]
