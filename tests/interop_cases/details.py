"""socket_options, timeouts, receive_exactly and names, beside what Python says of the same."""

import select
import socket
import time
import unittest

from .support import Case, reset, run, run_unread

PROGRAMS = ("socket_options", "timeouts", "receive_exactly", "names")

# The most bytes that receive_exactly takes.
MOST = 16 << 20


class Details(Case):
    """What the programs have in common that run by themselves."""

    def lines(self, name, *arguments):
        done = run(name, *arguments)
        self.assertEqual((done.stderr, done.returncode), (b"", 0))
        return done.stdout.decode().splitlines()

    def assert_fails(self, name, *arguments, says=()):
        done = run(name, *arguments)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assert_one_line(done.stderr, f"{name}: ", *says)
        return done.stdout.decode().splitlines()


class SocketOptions(Details):
    """Python's setsockopt and getsockopt beside socket_options."""

    def test_the_values(self):
        rows = [line.split() for line in self.lines("socket_options")[1:]]
        values = {name: values for name, *values in rows}
        before, after, by_default, as_built = range(4)
        self.assertEqual(values["SO_REUSEADDR"], ["off", "on", "on", "off"])
        self.assertEqual(values["SO_KEEPALIVE"], ["off", "on", "off", "on"])
        self.assertEqual(values["TCP_NODELAY"], ["on", "off", "on", "off"])
        self.assertEqual(len(values), 5)
        # What the system makes of 8 KiB it makes of Python's too.
        with socket.socket() as sock:
            for name in ("SO_RCVBUF", "SO_SNDBUF"):
                sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), 8192)
                size = sock.getsockopt(socket.SOL_SOCKET, getattr(socket, name))
                self.assertEqual(int(values[name][after]), size)
                for other in (before, by_default, as_built):
                    self.assertGreater(int(values[name][other]), size)


class Timeouts(Details):
    """Python's servers that do not answer, and those of timeouts itself."""

    def test_by_itself(self):
        address = r"\(127\.0\.0\.1:\d+\)"
        self.assertRegex(
            "\n".join(self.lines("timeouts")),
            rf"\Aconnect: connecting timed out after 200ms {address}\n"
            rf"read: reading timed out after 200ms {address}\n"
            rf"write: writing timed out after 200ms {address}\n"
            rf"read to the end: reading and writing by the deadline timed out after 500ms {address}\Z",
        )

    def test_a_server_that_says_nothing(self):
        address = self.serve(lambda request: request.connection.recv(1))
        since = time.monotonic()
        self.assertEqual(
            self.lines("timeouts", address),
            [
                f"connect: connected to {address}",
                f"read: reading timed out after 1s ({address})",
                f"read to the end: reading and writing by the deadline timed out after 2s ({address})",
            ],
        )
        took = time.monotonic() - since
        self.assertGreaterEqual(took, 3)
        self.assertLess(took, 5)

    def test_a_server_that_goes_on_and_on(self):
        def dribble(request):
            while True:
                request.wfile.write(b".")
                time.sleep(0.1)

        address = self.serve(dribble)
        connected, read, end = self.lines("timeouts", address)
        self.assertEqual(connected, f"connect: connected to {address}")
        self.assertRegex(read, r"^read: \d+ bytes$")
        self.assertEqual(end, f"read to the end: reading and writing by the deadline timed out after 2s ({address})")

    def test_a_server_that_speaks_late(self):
        """What a timeout has cut short is not lost."""

        def late(request):
            # Until the first read has certainly been given up.
            if not select.select([request.connection], [], [], 1.5)[0]:
                request.wfile.write(b"x" * 1_000_000)

        address = self.serve(late)
        self.assertEqual(
            self.lines("timeouts", address)[1:],
            [f"read: reading timed out after 1s ({address})", "read to the end: 1000000 bytes"],
        )

    def test_servers_that_go_away(self):
        address = self.serve(lambda request: None)
        self.assertEqual(self.lines("timeouts", address)[1:], ["read: 0 bytes", "read to the end: 0 bytes"])
        self.assert_fails("timeouts", self.serve(lambda request: reset(request.connection)), says=["reset"])

    def test_nobody_answers(self):
        address = self.silent()
        said = self.assert_fails("timeouts", address, says=[f"connecting timed out after 5s ({address})"])
        self.assertEqual(said, [])


class ReceiveExactly(Details):
    """Python's servers of receive_exactly, which is the tutorial's recv_all."""

    def test_by_itself(self):
        received, ended = self.lines("receive_exactly")
        message = "one piece, another, 그리고 한 조각"
        self.assertEqual(received, f"received {len(message.encode())} bytes: {message}")
        self.assertRegex(ended, r"^127\.0\.0\.1:\d+ ended after 4 of 10 bytes$")

    def test_pieces_of_every_size(self):
        text = "hello, 안녕하세요, 🦀"
        whole = text.encode()
        for size in range(1, len(whole) + 1):

            def in_pieces(request):
                for start in range(0, len(whole), size):
                    request.wfile.write(whole[start : start + size])

            [line] = self.lines("receive_exactly", self.serve(in_pieces), str(len(whole)))
            self.assertEqual(line, f"received {len(whole)} bytes: {text}")

    def test_no_byte_more(self):
        address = self.serve(lambda request: request.wfile.write(b"twelve bytes, and more " * 10_000))
        self.assertEqual(self.lines("receive_exactly", address, "12"), ["received 12 bytes: twelve bytes"])
        self.assertEqual(self.lines("receive_exactly", address, "0"), ["received 0 bytes: "])

    def test_a_mebibyte_and_the_most(self):
        for text in ("가" * 350_000, "x" * MOST):
            address = self.serve(lambda request: request.wfile.write(text.encode()))
            [line] = self.lines("receive_exactly", address, str(len(text.encode())))
            self.assertTrue(line == f"received {len(text.encode())} bytes: {text}", "the text differs")

    def test_what_is_no_text(self):
        address = self.serve(lambda request: request.wfile.write(b"\xff\x1b[2J\n\0"))
        self.assertEqual(self.lines("receive_exactly", address, "7"), ["received 7 bytes: �\\u{1b}[2J\\n\\u{0}"])

    def test_a_peer_that_is_cut(self):
        for sent in (b"", b"f", b"four"):
            address = self.serve(lambda request: request.wfile.write(sent))
            self.assert_fails("receive_exactly", address, "5", says=[f"{address} ended after {len(sent)} of 5 bytes"])
        self.assert_fails(
            "receive_exactly", self.serve(lambda request: reset(request.connection)), "5", says=["reset"]
        )

    def test_a_server_that_sends_nothing(self):
        address = self.serve(lambda request: request.connection.recv(1))
        self.assert_fails("receive_exactly", address, "5", says=[f"reading timed out after 10s ({address})"])


class Names(Details):
    """Python's functions of the same names beside names."""

    def assert_agrees(self, host, *arguments):
        addresses = []
        for family, _kind, _protocol, _name, address in socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM):
            text = f"[{address[0]}]:80" if family == socket.AF_INET6 else f"{address[0]}:80"
            if text not in addresses:
                addresses.append(text)
        expected = [f'getaddrinfo("{host}", 80): {address}' for address in addresses]
        try:
            expected.append(f'gethostbyname("{host}"): {socket.gethostbyname(host)}')
        except socket.gaierror:
            expected.append(f'gethostbyname("{host}"): cannot resolve ')
        for service in ("http", "https"):
            expected.append(self.service(f'getservbyname("{service}", "tcp"): ', socket.getservbyname, service))
        expected.append(self.service('getservbyport(22, "tcp"): ', socket.getservbyport, 22))
        expected.append(f"gethostname(): {socket.gethostname()}")
        for line, begins in zip(self.lines("names", *arguments), expected, strict=True):
            self.assertEqual(line[: len(begins)], begins)

    def service(self, question, look_up, service):
        try:
            return f"{question}{look_up(service, 'tcp')}"
        except OSError:
            # A system without a list of them.
            return f"{question}cannot "

    def test_as_python_says(self):
        self.assert_agrees("localhost")
        for host in ("localhost", "127.0.0.1", "192.0.2.1"):
            self.assert_agrees(host, host)

    @unittest.skipUnless(socket.has_ipv6, "needs IPv6")
    def test_a_host_of_ipv6_alone(self):
        self.assert_agrees("::1", "::1")

    def test_a_name_that_does_not_exist(self):
        with self.assertRaises(socket.gaierror):
            socket.getaddrinfo("there-is-no.invalid", 80)
        self.assertEqual(self.assert_fails("names", "there-is-no.invalid", says=["there-is-no.invalid"]), [])

    def test_what_is_no_name(self):
        for host in ("", "a b", "127.0.0.256", "localhost:80", "x" * 254):
            self.assertEqual(self.assert_fails("names", host, says=[f'invalid address "{host}"']), [])


class DetailMistakes(Details):
    """Bad arguments and bad luck."""

    def test_a_wrong_command_line(self):
        address = "127.0.0.1:1"
        wrong = {
            "socket_options": ((address,), ("--help",)),
            "timeouts": ((address, "more"), ("--help",), (b"\xff",)),
            "receive_exactly": (
                (address,),
                (address, "5", "more"),
                (address, ""),
                (address, "-1"),
                (address, "five"),
                (address, str(MOST + 1)),
                (address, str(1 << 64)),
                (b"\xff", "5"),
                ("-h", "5"),
                ("--help", "5"),
            ),
            "names": (("localhost", "more"), ("--help",), (b"\xff",)),
        }
        for name, all_arguments in wrong.items():
            for arguments in all_arguments:
                with self.subTest(name=name, arguments=arguments):
                    done = run(name, *arguments)
                    self.assertEqual((done.stdout, done.returncode), (b"", 2))
                    self.assert_one_line(done.stderr, f"usage: {name}")

    def test_a_bad_address_and_a_server_that_is_not_there(self):
        refusing = self.refusing()
        for name, more in (("timeouts", ()), ("receive_exactly", ("5",))):
            for address in ("", "nonsense", "127.0.0.1", "127.0.0.1:65536"):
                said = self.assert_fails(name, address, *more, says=["invalid address", f'"{address}"'])
                self.assertEqual(said, [])
            said = self.assert_fails(name, refusing, *more, says=[f"cannot connect to {refusing}", "refused"])
            self.assertEqual(said, [])

    def test_nobody_reads_what_they_say(self):
        for name in PROGRAMS:
            done = run_unread(name)
            self.assertEqual(done.returncode, 1)
            self.assert_one_line(done.stderr, "Broken pipe")
