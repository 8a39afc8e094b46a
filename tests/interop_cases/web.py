"""http_server and http_get, with Python's http.client, urllib and http.server on the other end."""

import functools
import http.client
import http.server
import os
import random
import select
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from .support import TIMEOUT, Case, each_and_signal, example, read_to_end, reset, run, run_unread

SERVER = "http_server"
CLIENT = "http_get"

PAGE = "Hello from a socket server.\n소켓 서버가 인사드립니다.\n".encode()
NUMBERS = "".join(f"{number}\n" for number in range(1, 200_001)).encode()

# What a client of the server has for his request and for reading the answer.
DEADLINE = 5

# The longest line of a request, and the most of them that are headers.
MAX_LINE = 8192
MAX_HEADERS = 100


def answer(status, body=None, more=b""):
    """What the server sends, byte for byte."""
    body = f"{status}\n".encode() if body is None else body
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n".encode()
        + b"Connection: close\r\n" + more + b"\r\n" + body
    )


ALLOW = b"Allow: GET, HEAD\r\n"


class HttpServer(Case):
    """Python's clients of http_server."""

    def setUp(self):
        super().setUp()
        self.process, self.address = self.start(SERVER)
        self.url = "http://{}:{}".format(*self.address)

    def request(self, method, path, **more):
        connection = http.client.HTTPConnection(*self.address, timeout=TIMEOUT)
        self.addCleanup(connection.close)
        connection.request(method, path, **more)
        response = connection.getresponse()
        return response, response.read()

    def say(self, request, half_close=False):
        """Sends the request and returns all that is answered."""
        with self.connect(self.address) as sock:
            sock.sendall(request)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            return read_to_end(sock)

    def assert_still_serves(self):
        self.assertEqual(self.say(b"GET \n"), answer("200 OK", PAGE))

    def test_http_client(self):
        for path, body in (("/", PAGE), ("/?query", PAGE), ("/numbers", NUMBERS)):
            response, received = self.request("GET", path, headers={"X-Something": "값".encode()})
            self.assertEqual((response.status, response.reason, response.version), (200, "OK", 11))
            self.assertTrue(received == body, f"not the body of {path}")
            self.assertEqual(response.getheader("Content-Type"), "text/plain; charset=utf-8")
            self.assertEqual(response.getheader("Content-Length"), str(len(body)))
            self.assertTrue(response.will_close)

    def test_urllib(self):
        for path, body in (("", PAGE), ("/", PAGE), ("/numbers", NUMBERS)):
            with urllib.request.urlopen(self.url + path, timeout=TIMEOUT) as response:
                self.assertTrue(response.read() == body, f"not the body of {path}")
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(self.url + "/" + urllib.parse.quote("없는 쪽"), timeout=TIMEOUT)
        with caught.exception as error:
            self.assertEqual((error.code, error.reason, error.read()), (404, "Not Found", b"404 Not Found\n"))

    def test_the_head_alone(self):
        for path, status, body in (("/", 200, PAGE), ("/numbers", 200, NUMBERS), ("/none", 404, b"404 Not Found\n")):
            response, received = self.request("HEAD", path)
            self.assertEqual((response.status, received), (status, b""))
            self.assertEqual(response.getheader("Content-Length"), str(len(body)))
        self.assertEqual(self.say(b"HEAD / HTTP/1.0\r\n\r\n"), answer("200 OK", PAGE).removesuffix(PAGE))

    def test_other_methods(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
            response, received = self.request(method, "/", body=b"x" * (1 << 20))
            self.assertEqual((response.status, response.reason), (405, "Method Not Allowed"))
            self.assertEqual((response.getheader("Allow"), received), ("GET, HEAD", b"405 Method Not Allowed\n"))
        self.assertEqual(
            self.say(b"POST / HTTP/1.0\r\n\r\n"), answer("405 Method Not Allowed", more=ALLOW)
        )

    def test_every_byte_of_the_answers(self):
        page = answer("200 OK", PAGE)
        for request in (
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\nhost:\n\n",
            b"GET / HTTP/1.1\r\nX: y\r\nHOST: a\r\nAccept: \xff\xfe\r\n\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
            b"GET  /  HTTP/1.0\r\n\r\n",
            # No line of headers, not even an empty one, belongs to these.
            b"GET \n",
            b"GET\n",
            b"GET \r\n",
            b"GET /\r\n",
            b"GET /?a=b\n",
        ):
            with self.subTest(request=request):
                self.assertEqual(self.say(request), page)
                self.assertEqual(self.say(request, half_close=True), page)
                # What comes behind a request does its answer no harm.
                self.assertEqual(self.say(request * 20_000), page)
        self.assertEqual(self.say(b"GET /numbers\n"), answer("200 OK", NUMBERS))
        self.assertEqual(self.say("GET /없는쪽\n".encode()), answer("404 Not Found"))

    def test_as_the_tutorial_asks(self):
        with socket.socket() as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(self.address)
            sock.send("GET \n".encode())
            data = sock.recv(1024)
            self.assertTrue(data.decode().startswith("HTTP/1.1 200 OK\r\n"))

    def test_nonsense(self):
        bad = answer("400 Bad Request")
        for request in (
            b"\n",
            b"\r\n",
            b" \r\n",
            b"HELLO\n",
            b"hello world\n",
            b"get /\n",
            b"HEAD\n",
            b"GET nonsense\n",
            b"GET \0\n",
            b"GET http://localhost/ HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"G\xff / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1 more\r\nHost: a\r\n\r\n",
            b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            b"GET / http/1.1\r\nHost: a\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\n",
            "안녕하세요\n".encode(),
        ):
            with self.subTest(request=request):
                self.assertEqual(self.say(request), bad)
        numbers = random.Random(6)
        for _ in range(50):
            garbage = numbers.randbytes(numbers.randrange(1, MAX_LINE)) + b"\n"
            self.assertEqual(self.say(garbage), bad)
        self.assert_still_serves()

    def test_requests_that_end_too_early(self):
        whole = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertEqual(self.say(b"", half_close=True), b"")
        for length in range(1, len(whole) - 1):
            self.assertEqual(self.say(whole[:length], half_close=True), answer("400 Bad Request"))
        self.assert_still_serves()

    def test_long_lines_and_many_of_them(self):
        head = b"GET / HTTP/1.1\r\nHost: a\r\n"
        longest = b"X: " + b"y" * (MAX_LINE - len(b"X: \r")) + b"\r\n"
        self.assertEqual(self.say(head + longest + b"\r\n"), answer("200 OK", PAGE))
        too_large = answer("431 Request Header Fields Too Large")
        self.assertEqual(self.say(head + b"y" + longest + b"\r\n"), too_large)
        self.assertEqual(self.say(b"GET /" + b"y" * MAX_LINE + b" HTTP/1.1\r\n\r\n"), too_large)
        self.assertEqual(self.say(head + b"X: y\r\n" * (MAX_HEADERS - 1) + b"\r\n"), answer("200 OK", PAGE))
        self.assertEqual(self.say(head + b"X: y\r\n" * MAX_HEADERS + b"\r\n"), too_large)
        # Who goes on sending is answered all the same.
        self.assertEqual(self.say(b"x" * 3_000_000), too_large)
        self.assertEqual(self.say(head + longest * 400), too_large)
        self.assert_still_serves()

    def test_pieces_of_every_size(self):
        whole = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Name: \xec\x95\x88\r\n\r\n"
        for size in range(1, len(whole)):
            with self.connect(self.address) as sock:
                for start in range(0, len(whole), size):
                    sock.sendall(whole[start : start + size])
                self.assertEqual(read_to_end(sock), answer("200 OK", PAGE))

    def test_a_slow_client_is_cut_and_holds_nobody_up(self):
        since = time.monotonic()
        silent = self.connect(self.address)
        slow = [self.connect(self.address) for _ in range(30)]
        for sock in slow:
            sock.sendall(b"GET / HTTP/1.1\r\nX: ")
        slowest = 0
        # A byte every tenth of a second, until the first of them is told that it has been enough.
        while not select.select(slow, [], [], 0.1)[0] and time.monotonic() - since < TIMEOUT:
            for sock in slow:
                sock.send(b"y")
            before = time.monotonic()
            self.assert_still_serves()
            slowest = max(slowest, time.monotonic() - before)
        for sock in (silent, *slow):
            self.assertEqual(read_to_end(sock), b"")
        took = time.monotonic() - since
        self.assertGreaterEqual(took, DEADLINE)
        self.assertLess(took, DEADLINE + 2)
        self.assertLess(slowest, 3)
        for _ in range(len(slow) + 1):
            self.assertRegex(
                self.process.stderr.readline().decode(),
                r"^handle of 127\.0\.0\.1:\d+ failed: reading and writing by the deadline timed out after 5s ",
            )
        self.assert_still_serves()

    def test_clients_that_vanish(self):
        for unread in (b"", b"GET / HT", b"GET /numbers\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"x" * 100_000):
            for vanish in (reset, socket.socket.close):
                for _ in range(10):
                    sock = self.connect(self.address)
                    sock.sendall(unread)
                    vanish(sock)
            self.assert_still_serves()
        self.assertIsNone(self.process.poll())

    def test_fifty_clients_at_once(self):
        all_connected = threading.Barrier(50, timeout=TIMEOUT)
        received = []

        def client():
            with self.connect(self.address) as sock:
                all_connected.wait()
                sock.sendall(b"GET /numbers HTTP/1.1\r\nHost: a\r\n\r\n")
                received.append(read_to_end(sock) == answer("200 OK", NUMBERS))

        threads = [threading.Thread(target=client, daemon=True) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(received, [True] * 50)


class HttpSignals(Case):
    """Ctrl-C and SIGTERM end http_server, whoever is connected."""

    @each_and_signal([SERVER])
    def test_whoever_is_connected(self, number, process, address):
        socks = [self.connect(address) for _ in range(10)]
        for length, sock in enumerate(socks):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a"[:length])
        with self.connect(address) as sock:
            sock.sendall(b"GET \n")
            self.assertEqual(read_to_end(sock), answer("200 OK", PAGE))
        self.assert_ends_promptly(process, number)


class HttpGet(Case):
    """Python's servers of http_get."""

    def serve_http(self, handler, **settings):
        class Quiet(handler):
            def log_message(self, *_arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, **settings))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return "127.0.0.1:{}".format(server.server_address[1])

    def get(self, *arguments):
        done = run(CLIENT, *arguments)
        self.assertEqual((done.stderr, done.returncode), (b"", 0))
        return done.stdout

    def assert_fails(self, handle, *parts):
        address = self.serve(handle)
        done = run(CLIENT, address)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assert_one_line(done.stderr, f"{CLIENT}: ", *(part.format(address=address) for part in parts))
        return done.stdout

    def test_http_server(self):
        requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                requests.append((self.requestline, dict(self.headers), urllib.parse.unquote(self.path)))
                body = f"{self.path}은 여기에 🦀\n".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        for version in ("HTTP/1.0", "HTTP/1.1"):
            Handler.protocol_version = version
            address = self.serve_http(Handler)
            for path, sent in (
                ("/", "/"),
                ("/a/b?c=d&e=%20", "/a/b?c=d&e=%20"),
                ("/안녕", "/%EC%95%88%EB%85%95"),
                ("/a b", "/a%20b"),
                ("/\r\nX: y", "/%0D%0AX:%20y"),
            ):
                requests.clear()
                head, _, body = self.get(address, path).partition(b"\r\n\r\n")
                self.assertTrue(head.startswith(version.encode() + b" 200 OK\r\n"), head)
                self.assertEqual(body.decode(), f"{sent}은 여기에 🦀\n")
                [(line, headers, meant)] = requests
                self.assertEqual(line, f"GET {sent} HTTP/1.1")
                self.assertEqual(headers, {"Host": address, "Connection": "close"})
                self.assertEqual(meant, urllib.parse.unquote(path))

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            content = random.Random(7).randbytes(5_000_000)
            with open(os.path.join(folder, "large.bin"), "wb") as file:
                file.write(content)
            address = self.serve_http(http.server.SimpleHTTPRequestHandler, directory=folder)
            head, _, body = self.get(address, "/large.bin").partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.0 200 OK\r\n"), head)
            self.assertTrue(body == content, "the bytes differ")
            self.assertTrue(self.get(address, "/none").startswith(b"HTTP/1.0 404 File not found\r\n"))

    def test_large_bodies(self):
        """Byte for byte, whatever the pieces that they come in."""
        for length in (1 << 20, 20_000_001):
            response = b"HTTP/1.1 200 OK\r\n\r\n" + random.Random(length).randbytes(length)

            def handle(request):
                while request.rfile.readline().strip():
                    pass
                for start in range(0, len(response), 999_983):
                    request.wfile.write(response[start : start + 999_983])

            self.assertTrue(self.get(self.serve(handle)) == response, "the bytes differ")

    def test_pieces(self):
        response = "HTTP/1.1 200 OK\r\n\r\n안녕하세요 🦀".encode()

        def handle(request):
            request.rfile.readline()
            for byte in response:
                request.wfile.write(bytes([byte]))

        self.assertEqual(self.get(self.serve(handle)), response)

    def test_the_bare_request(self):
        received = []

        def handle(request):
            # All that comes until he would wait for an answer.
            received.append(request.connection.recv(1024))
            request.wfile.write(b"anything at all")

        address = self.serve(handle)
        self.assertEqual(self.get(address, "--bare"), b"anything at all")
        self.assertEqual(received, [b"GET \n"])

    def test_a_name_and_the_port_of_http(self):
        address = self.serve(lambda request: request.wfile.write(request.rfile.readline() + request.rfile.readline()))
        name = address.replace("127.0.0.1", "localhost")
        self.assertEqual(self.get(name), f"GET / HTTP/1.1\r\nHost: {name}\r\n".encode())
        # What is no address says best which port it would have been.
        for host in ("", "127.0.0.256", "[::g]"):
            done = run(CLIENT, host)
            self.assertEqual((done.stdout, done.returncode), (b"", 1))
            self.assert_one_line(done.stderr, f'{CLIENT}: invalid address "{host}:80"')

    def test_with_the_server_here(self):
        _process, (host, port) = self.start(SERVER)
        address = f"{host}:{port}"
        self.assertEqual(self.get(address), answer("200 OK", PAGE))
        self.assertEqual(self.get(address, "--bare"), answer("200 OK", PAGE))
        self.assertEqual(self.get(address, "/numbers"), answer("200 OK", NUMBERS))
        self.assertEqual(self.get(address, "/안녕"), answer("404 Not Found"))

    def test_servers_that_go_away(self):
        nothing = self.assert_fails(
            lambda request: request.rfile.readline(), "{address} closed the connection before it had answered"
        )
        self.assertEqual(nothing, b"")
        self.assert_fails(lambda request: (request.rfile.readline(), reset(request.connection)), "reset")

    def test_servers_that_take_too_long(self):
        """The ten seconds are for all of it, however steadily it comes."""
        over = threading.Event()

        def silent(request):
            over.wait()

        def steady(request):
            while not over.wait(0.2):
                request.wfile.write(b"...\n")

        programs = []
        for handle in (silent, steady):
            address = self.serve(handle)
            program = subprocess.Popen([example(CLIENT), address], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            programs.append((program, address, handle))
        # Before the servers are waited for.
        self.addCleanup(over.set)
        since = time.monotonic()
        for program, address, handle in programs:
            out, error = program.communicate(timeout=TIMEOUT)
            self.assertGreater(time.monotonic() - since, 9)
            self.assertLess(time.monotonic() - since, 12)
            self.assertEqual(program.returncode, 1)
            self.assert_one_line(error, f"{CLIENT}: {address} has not sent all of its response within 10s")
            self.assertRegex(out, rb"\A\Z" if handle is silent else rb"\A(\.\.\.\n){10,}\Z")


class HttpMistakes(Case):
    """Bad arguments and bad luck."""

    def test_a_wrong_command_line(self):
        address = "127.0.0.1:0"
        wrong = ((address, "/", "more"), (address, "nonsense"), (address, ""), (address, "--bar"), ("--bare",), (b"\xff",))
        for arguments in wrong:
            done = run(CLIENT, *arguments)
            self.assertEqual((done.stdout, done.returncode), (b"", 2))
            self.assert_one_line(done.stderr, f"usage: {CLIENT} [HOST[:PORT] [PATH | --bare]]")
        for arguments in ((address, "more"), ("--help",), (b"\xff",)):
            done = run(SERVER, *arguments)
            self.assertEqual((done.stdout, done.returncode), (b"", 2))
            self.assert_one_line(done.stderr, f"usage: {SERVER} [ADDRESS]")

    def test_a_bad_address(self):
        for address in ("nonsense:", "127.0.0.1:65536", ":80", "::1", "a:b:c"):
            for name in (SERVER, CLIENT):
                done = run(name, address)
                self.assertEqual((done.stdout, done.returncode), (b"", 1))
                self.assert_one_line(done.stderr, f"{name}: invalid address", f'"{address}"')

    def test_a_port_in_use_and_a_server_that_is_not_there(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:{}".format(taken.getsockname()[1])
            done = run(SERVER, address)
            self.assertEqual((done.stdout, done.returncode), (b"", 1))
            self.assert_one_line(done.stderr, f"cannot listen on {address}", "does another server run there?")
        address = self.refusing()
        done = run(CLIENT, address)
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, f"cannot connect to {address}", "refused")

    def test_nobody_reads_what_they_say(self):
        process, (host, port) = self.start(SERVER)
        process.stdout.close()
        process.stderr.close()
        with self.connect((host, port)) as sock:
            sock.sendall(b"GET / HT")
            reset(sock)
        done = run_unread(CLIENT, f"{host}:{port}", "/numbers")
        self.assertEqual(done.returncode, 1)
        self.assert_one_line(done.stderr, "Broken pipe")
        done = run_unread(SERVER, "127.0.0.1:0")
        self.assertEqual(done.returncode, 1)
        self.assert_one_line(done.stderr, "Broken pipe")
