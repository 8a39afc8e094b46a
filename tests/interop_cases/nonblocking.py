"""nonblocking_connect, with Python's sockets as its server."""

import time

from .support import Case, reset, run


class NonblockingConnect(Case):
    """Python's socketserver as the server of nonblocking_connect; who is not there is in Mistakes."""

    def assert_connects(self, address, last, called=None):
        done = run("nonblocking_connect", called or address)
        self.assertEqual((done.stderr, done.returncode), (b"", 0))
        first, *rest = done.stdout.decode().splitlines()
        self.assertRegex(first, rf"^connected to {address} from 127\.0\.0\.1:\d+$")
        self.assertEqual(rest, [last])

    def test_connects_and_closes_in_good_order(self):
        received = []
        address = self.serve(lambda request: received.append(request.connection.recv(1)))
        self.assert_connects(address, "closed")
        self.assert_connects(address, "closed", called=address.replace("127.0.0.1", "localhost"))
        self.assertEqual(received, [b"", b""])

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
