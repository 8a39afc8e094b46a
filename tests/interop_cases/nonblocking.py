"""nonblocking_connect, with Python's sockets as its server."""

import os
import signal
import socket
import subprocess
import time
import unittest

from .support import TIMEOUT, Case, example, reset, run


class NonblockingConnect(Case):
    """Python's socketserver as the server of nonblocking_connect; who is not there is in Mistakes."""

    def assert_connects(self, address, last, *words, called=None):
        done = run("nonblocking_connect", called or address, *words)
        self.assertEqual((done.stderr, done.returncode), (b"", 0))
        self.assert_connected(done.stdout, address, last)

    def assert_connected(self, stdout, address, last):
        first, *rest = stdout.decode().splitlines()
        self.assertRegex(first, rf"^connected to {address} from 127\.0\.0\.1:\d+$")
        self.assertEqual(rest, [last])

    def test_connects_and_closes_in_good_order(self):
        received = []
        address = self.serve(lambda request: received.append(request.connection.recv(1)))
        self.assert_connects(address, "closed")
        self.assert_connects(address, "closed", called=address.replace("127.0.0.1", "localhost"))
        self.assertEqual(received, [b"", b""])

    def test_it_sends_test_where_it_is_told_to(self):
        received = []

        def echo(request):
            while data := request.connection.recv(1024):
                received.append(data)
                request.connection.sendall(data)

        self.assert_connects(self.serve(echo), "closed", "test")
        self.assertEqual(b"".join(received), b"test")
        self.assert_connects(self.serve(echo), "closed", "connect")
        self.assertEqual(b"".join(received), b"test")

    def test_a_server_that_talks(self):
        self.assert_connects(self.serve(lambda request: request.connection.sendall(b"x" * (1 << 20))), "closed")

    def test_a_server_that_does_not_close(self):
        self.assert_connects(self.serve(lambda request: time.sleep(7)), "closed, though the server has not")

    def test_a_server_that_breaks_off(self):
        done = run("nonblocking_connect", self.serve(lambda request: reset(request.connection)))
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assert_one_line(done.stderr, "nonblocking_connect: ")

    def test_nobody_answers(self):
        address = self.silent()
        since = time.monotonic()
        done = run("nonblocking_connect", address)
        took = time.monotonic() - since
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, f"nonblocking_connect: connecting timed out after 5s ({address})")
        self.assertGreaterEqual(took, 5)
        self.assertLess(took, 6)

    @unittest.skipUnless(os.path.exists("/proc/net/tcp"), "needs to see that the connect has begun")
    def test_connected_at_the_very_end(self):
        """When it comes to look, it is connected and the time has passed."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            full.settimeout(TIMEOUT)
            host, port = full.getsockname()
            waiting = [socket.socket() for _ in range(4)]
            for sock in waiting:
                self.addCleanup(sock.close)
                sock.setblocking(False)
                sock.connect_ex((host, port))
            begun = connecting(port)
            process = subprocess.Popen(
                [example("nonblocking_connect"), f"{host}:{port}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            deadline = time.monotonic() + TIMEOUT
            while connecting(port) == begun:
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.001)
            since = time.monotonic()
            process.send_signal(signal.SIGSTOP)
            for sock in waiting:
                sock.close()
            # Its system goes on to connect without it.
            accepted = []
            while connecting(port):
                accepted.append(full.accept()[0])
                self.addCleanup(accepted[-1].close)
            time.sleep(max(0, since + 6 - time.monotonic()))
            process.send_signal(signal.SIGCONT)
            stdout, stderr = process.communicate(timeout=TIMEOUT)
            self.assertEqual((stderr, process.returncode), (b"", 0))
            self.assert_connected(stdout, f"{host}:{port}", "closed, though the server has not")


def connecting(port):
    """How many sockets are about to connect to the port of this machine's."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table]
    # The third column is the peer, the fourth the state: 02 is SYN_SENT.
    return sum(peer.endswith(f":{port:04X}") and state == "02" for _, _, peer, state, *_ in rows[1:])
