"""The servers that print what their clients say, where nobody reads it."""

import fcntl
import signal
import struct
import termios
import time
import unittest

from .support import MESSAGE_SERVERS, PREFIX_ECHO, TIMEOUT, Case


class NobodyReads(Case):
    """The outspoken servers, where nobody reads what they say, or can read it any more."""

    @unittest.skipUnless(hasattr(fcntl, "F_SETPIPE_SZ"), "needs a small pipe")
    def test_signals_end_them_where_the_pipe_is_full(self):
        for server in (*PREFIX_ECHO, *MESSAGE_SERVERS):
            for number, twice in ((signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGTERM, True)):
                with self.subTest(server=server, signal=number, twice=twice):
                    process, address = self.launch(*server)
                    size = fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
                    with self.connect(address) as sock:
                        sock.sendall(b"x" * 4 * size + b"\n")
                        deadline = time.monotonic() + TIMEOUT
                        # What it says of this client is more than the pipe takes.
                        while waiting_in(process.stdout) == 0:
                            self.assertLess(time.monotonic(), deadline)
                            time.sleep(0.001)
                        if twice:
                            process.send_signal(number)
                            self.assertIn(b"stopping: ", process.stderr.readline())
                        self.assert_ends_promptly(process, number)

    def test_clients_are_served(self):
        for server in (*PREFIX_ECHO, *MESSAGE_SERVERS):
            with self.subTest(server=server):
                process, address = self.launch(*server)
                process.stdout.close()
                with self.connect(address) as sock:
                    sock.sendall(b"hello\n")
                    answer = sock.recv(1024)
                answers = {"request_handler_server": b"Echo: hello", "one_client_server receive": b""}
                expected = answers.get(server[0], answers.get(" ".join(server), b"hello\n"))
                self.assertEqual(answer, expected)
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(TIMEOUT), 0)


def waiting_in(pipe):
    """The bytes that can be read from the pipe."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
