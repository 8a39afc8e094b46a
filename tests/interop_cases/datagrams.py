"""The UDP and Unix datagram examples, with Python's sockets on the other end."""

import signal
import socket
import socketserver
import threading
import time

from .support import TEXT, TIMEOUT, Case, each_and_signal, example, run, run_unread

SERVER = "udp_echo_server"
CLIENT = "udp_client"

# The most that a UDP datagram carries, and what is left of it beside the server's "Received: ".
MOST = 65507
LONGEST = MOST - len(b"Received: ")


class DatagramCase(Case):
    def client(self, address):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(TIMEOUT)
        sock.connect(address)
        return sock

    def assert_answered(self, sock, message):
        sock.send(message)
        self.assertTrue(sock.recv(65536) == b"Received: " + message, f"not the answer to {message[:20]}")

    def serve_datagrams(self, answer, server_class=socketserver.UDPServer):
        """Has Python's socketserver send what `answer` makes of each datagram, and returns the address as text."""

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                for message in answer(data):
                    sock.sendto(message, self.client_address)

        class Server(server_class):
            max_packet_size = 65536

        server = Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return "{}:{}".format(*server.server_address)


class PythonDatagrams(DatagramCase):
    """Python's sockets as the clients of udp_echo_server."""

    def test_every_byte_comes_back(self):
        _process, address = self.start(SERVER)
        sock = self.client(address)
        for message in (b"hello", bytes(range(256)) * 3, b"\0", b"\n", TEXT.encode(), "안녕하세요".encode()):
            self.assert_answered(sock, message)

    def test_an_empty_datagram(self):
        _process, address = self.start(SERVER)
        sock = self.client(address)
        for _ in range(3):
            self.assert_answered(sock, b"")

    def test_long_datagrams(self):
        _process, address = self.start(SERVER)
        sock = self.client(address)
        for length in (1472, 1473, 8192, 8193, 60_000, LONGEST):
            self.assert_answered(sock, bytes(index % 251 for index in range(length)))

    def test_a_datagram_whose_answer_would_not_fit(self):
        _process, address = self.start(SERVER)
        sock = self.client(address)
        for length in (LONGEST + 1, MOST):
            sock.send(b"x" * length)
            # The next answer is the next datagram's.
            self.assert_answered(sock, b"hello")

    def test_an_answer_is_not_answered(self):
        _process, address = self.start(SERVER)
        sock = self.client(address)
        sock.send(b"Received: hello")
        self.assert_answered(sock, b"hello")

    def test_many_clients(self):
        _process, address = self.start(SERVER)
        socks = [self.client(address) for _ in range(50)]
        for index, sock in enumerate(socks):
            sock.send(str(index).encode())
        for index, sock in enumerate(socks):
            self.assertEqual(sock.recv(65536), f"Received: {index}".encode())

    def test_the_tutorials_client(self):
        _process, address = self.start(SERVER)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT)
            sock.sendto(b"Hello, UDP server!", address)
            self.assertEqual(sock.recvfrom(1024), (b"Received: Hello, UDP server!", address))

    def test_acknowledgements(self):
        process, address = self.start(SERVER, "ack")
        sock = self.client(address)
        for message in (b"hello", b"", "안녕하세요".encode(), b"\xff\x00", b"x" * LONGEST, b"ack"):
            sock.send(message)
            self.assertEqual(sock.recv(65536), b"ACK")
        # Those are answers, be it of this server or of the other kind.
        for answer in (b"ACK", b"Received: hello"):
            sock.send(answer)
        sock.send(b"hello")
        self.assertEqual(sock.recv(65536), b"ACK")
        # All that it has sent, it has sent before it ends.
        process.send_signal(signal.SIGTERM)
        process.wait(TIMEOUT)
        sock.setblocking(False)
        with self.assertRaises(BlockingIOError):
            sock.recv(65536)

    def test_the_word_for_the_answer_may_be_said(self):
        _process, address = self.start(SERVER, "received")
        sock = self.client(address)
        for message in (b"hello", b"ACK"):
            self.assert_answered(sock, message)

    def test_clients_that_have_gone(self):
        _process, address = self.start(SERVER)
        for _ in range(200):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"hello", address)
        self.assert_answered(self.client(address), b"still there?")

    @each_and_signal([SERVER, (SERVER, "ack")])
    def test_signals(self, number, process, address):
        sock = self.client(address)
        sock.send(b"hello")
        self.assertIn(sock.recv(65536), (b"Received: hello", b"ACK"))
        self.assert_ends_promptly(process, number)
        # Nobody is promised time to finish.
        self.assertNotIn(b"to finish", process.stderr.read())
        # The port is free.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(address)


class UdpClientExample(DatagramCase):
    """Python's socketserver as the server of udp_client."""

    def assert_answers(self, address, sent, answers):
        done = run(CLIENT, address, stdin=sent)
        self.assertEqual((done.stdout, done.stderr, done.returncode), (answers, b"", 0))

    def test_lines_are_datagrams(self):
        received = []

        def answer(data):
            received.append(data)
            return [b"Received: " + data]

        for server_class in (socketserver.UDPServer, socketserver.ThreadingUDPServer):
            received.clear()
            address = self.serve_datagrams(answer, server_class)
            self.assert_answers(address, b"", b"")
            self.assertEqual(received, [])
            self.assert_answers(address, b"one\ntwo", b"Received: one\nReceived: two\n")
            self.assertEqual(received, [b"one", b"two"])
            self.assert_answers(address, b"\n", b"Received: \n")
            self.assert_answers(address, TEXT.encode(), b"Received: " + TEXT.encode())
            self.assert_answers(address, b"\xff\x00\n", b"Received: \xff\x00\n")
            longest = b"x" * LONGEST + b"\n"
            self.assert_answers(address, longest, b"Received: " + longest)

    def test_the_tutorials_server(self):
        self.assert_answers(self.serve_datagrams(lambda data: [b"ACK"]), b"hello\n", b"ACK\n")

    def test_an_empty_answer(self):
        self.assert_answers(self.serve_datagrams(lambda data: [b""]), b"hello\n", b"\n")

    def test_a_name_as_the_address(self):
        address = self.serve_datagrams(lambda data: [data]).replace("127.0.0.1", "localhost")
        self.assert_answers(address, b"hello\n", b"hello\n")

    def test_the_first_datagram_is_lost(self):
        seen = []

        def answer(data):
            seen.append(data)
            return [b"ACK"] if len(seen) > 1 else []

        self.assert_answers(self.serve_datagrams(answer), b"hello\n", b"ACK\n")
        self.assertGreaterEqual(len(seen), 2)
        self.assertEqual(set(seen), {b"hello"})

    def test_a_late_answer_is_not_the_next_ones(self):
        """A repeated line is answered twice, which shifts a client that takes whatever comes by one."""
        slow = [True]

        def answer(data):
            if slow:
                slow.clear()
                time.sleep(1)
            return [data]

        lines = b"".join(b"%d\n" % number for number in range(50))
        self.assert_answers(self.serve_datagrams(answer), lines, lines)

    def test_nobody_answers(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            address = "127.0.0.1:{}".format(silent.getsockname()[1])
            since = time.monotonic()
            done = run(CLIENT, address, stdin=b"hello\n")
            took = time.monotonic() - since
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, f"udp_client: waiting for an answer timed out after 5s ({address})")
        self.assertGreaterEqual(took, 5)
        self.assertLess(took, 7)

    def test_nobody_is_there(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            # Of this test's own address, where nobody else binds.
            gone.bind(("127.83.2.1", 0))
            address = "127.83.2.1:{}".format(gone.getsockname()[1])
        done = run(CLIENT, address, stdin=b"hello\n")
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, f"udp_client: {address} refused", "is nobody bound to that port?")

    def test_too_long_a_line(self):
        done = run(CLIENT, self.serve_datagrams(lambda data: [data]), stdin=b"x" * (MOST + 1) + b"\n")
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, "65508 bytes", "at most 65507")


class DatagramMistakes(DatagramCase):
    """Bad arguments and bad luck: one line, and an exit code to go by."""

    def test_a_wrong_command_line(self):
        for name in (SERVER, CLIENT):
            for arguments in (["127.0.0.1:0", "more"], ["--help"], [b"\xff"]):
                with self.subTest(name=name, arguments=arguments):
                    done = run(name, *arguments)
                    self.assertEqual((done.stdout, done.returncode), (b"", 2))
                    self.assert_one_line(done.stderr, f"usage: {name} [ADDRESS")
        for name in ("udp_request_response", "unix_datagram"):
            self.assertEqual(run(name, "argument").returncode, 2)

    def test_a_bad_address(self):
        for name in (SERVER, CLIENT):
            for address in ("", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", ":80"):
                with self.subTest(name=name, address=address):
                    done = run(name, address)
                    self.assertEqual((done.stdout, done.returncode), (b"", 1))
                    self.assert_one_line(done.stderr, f"{name}: invalid address", f'"{address}"')

    def test_a_port_in_use(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            # Which does not help where the server does not set it too.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 0))
            address = "127.0.0.1:{}".format(taken.getsockname()[1])
            done = run(SERVER, address)
            self.assertEqual((done.stdout, done.returncode), (b"", 1))
            self.assert_one_line(done.stderr, f"cannot listen on {address}", "does another server run there?")


class DatagramPrograms(DatagramCase):
    """The examples that are server and client in one."""

    def test_request_response(self):
        done = run("udp_request_response")
        self.assertEqual((done.stderr, done.returncode), (b"", 0))
        *squares, client, link, server, last = done.stdout.decode().splitlines()
        self.assertEqual(len(squares), 20)
        for number, line in enumerate(squares, 1):
            self.assertRegex(line, rf"^{number} squared is {number * number}    \(\d+ sent\)$")
        self.assertRegex(client, r"^client: \d+ datagrams sent, [1-9]\d* of them again; \d+ received, ")
        self.assertRegex(link, r"^link: [1-9]\d* lost, [1-9]\d* doubled$")
        self.assertRegex(server, r"^server: [2-9]\d requests served, 0 dropped$")
        self.assertEqual(last, "20 requests, 0 wrong answers")

    def test_unix_datagram(self):
        done = run("unix_datagram")
        self.assertEqual((done.stderr, done.returncode), (b"", 0))
        *answered, unanswered, server = done.stdout.decode().splitlines()
        self.assertEqual(
            answered,
            [f'client with a name: "{text}"  ->  "Received: {text}"' for text in ("hello", "안녕하세요", "")],
        )
        self.assertRegex(unanswered, r'^client without a name: "hello"  ->  handle of an unnamed socket failed: .*did not bind')
        self.assertEqual(server, "server: 4 requests, 1 failed")

    def test_nobody_reads_what_they_say(self):
        for name in ("udp_request_response", "unix_datagram"):
            done = run_unread(name)
            self.assertEqual(done.returncode, 1)
            self.assert_one_line(done.stderr, "Broken pipe")

    def test_the_server_and_the_client_here(self):
        for word, answer in (("received", f"Received: {TEXT}"), ("ack", "ACK\n")):
            process, (host, port) = self.start(SERVER, word)
            done = run(CLIENT, f"{host}:{port}", stdin=TEXT.encode())
            self.assertEqual((done.stdout, done.stderr, done.returncode), (answer.encode(), b"", 0))
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIMEOUT), 0)
