"""app_server and app_client, with the other side of their protocol as Python programs speak it."""

import io
import itertools
import json
import random
import socket
import struct
import sys
import threading
import time

from .support import TIMEOUT, Case, each_and_signal, read_to_end, reset, run, run_unread

SERVER = "app_server"
CLIENT = "app_client"

KEYS = ("byteorder", "content-type", "content-encoding", "content-length")

# The longest content that the programs read.
MOST = 2 << 20

# So many clients the server serves at once.
PLACES = 32

MORPHEUS = "The god who gives the dreams of kings their shapes. 🌙"


def pack(content, content_type="binary/custom-client-type", content_encoding="binary", **keys):
    """A message; `keys` are others in the header, in front of its own, or in place of them; None leaves one out."""
    header = {**keys}
    header.setdefault("byteorder", sys.byteorder)
    header.setdefault("content-type", content_type)
    header.setdefault("content-encoding", content_encoding)
    header.setdefault("content-length", len(content))
    header = {key: value for key, value in header.items() if value is not None}
    return pack_raw(json.dumps(header, ensure_ascii=False).encode("utf-8"), content)


def pack_raw(header, content=b""):
    return struct.pack(">H", len(header)) + header + content


def pack_json(value, **keys):
    return pack(json.dumps(value, ensure_ascii=False).encode("utf-8"), "text/json", "utf-8", **keys)


def create_request(action, value):
    """What the client sends."""
    if action == "search":
        return pack_json({"action": action, "value": value})
    return pack(bytes(action + value, encoding="utf-8"))


class Message:
    """The reading side: takes what one recv gives, until a message is whole."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        (length,) = struct.unpack(">H", self.take(2))
        self.header = json.loads(self.take(length).decode("utf-8"))
        for key in KEYS:
            if key not in self.header:
                raise ValueError(f"missing {key}")
        self.bytes = self.take(self.header["content-length"])
        if self.header["content-type"] == "text/json":
            text = io.TextIOWrapper(io.BytesIO(self.bytes), encoding=self.header["content-encoding"], newline="")
            self.content = json.load(text)
        else:
            self.content = self.bytes

    def take(self, count):
        while len(self.buffer) < count:
            data = self.sock.recv(4096)
            if not data:
                raise EOFError("peer closed")
            self.buffer += data
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken


def create_response(message):
    """What the server answers."""
    if message.header["content-type"] != "text/json":
        return pack(b"First 10 bytes of request: " + message.content[:10], "binary/custom-server-type")
    action, value = message.content.get("action"), message.content.get("value")
    if action == "search":
        return pack_json({"result": {"morpheus": MORPHEUS, "🐶": "🐾"}.get(value) or f"No match for '{value}'."})
    return pack_json({"result": f"Error: invalid action '{action}'."})


class ApplicationServer(Case):
    """Python's clients of app_server."""

    def setUp(self):
        super().setUp()
        self.process, self.address = self.start(SERVER)

    def ask(self, request):
        """Sends the request, whole, and returns the answer, after which the server closes."""
        with self.connect(self.address) as sock:
            sock.sendall(request)
            answer = Message(sock)
            self.assertEqual((answer.buffer, sock.recv(1)), (b"", b""))
            return answer

    def assert_result(self, request, result):
        answer = self.ask(request)
        self.assertEqual(answer.content, {"result": result})
        self.assertEqual([answer.header[key] for key in KEYS[:3]], [sys.byteorder, "text/json", "utf-8"])

    def assert_echo(self, request, beginning):
        answer = self.ask(request)
        self.assertEqual(answer.content, b"First 10 bytes of request: " + beginning)
        self.assertEqual([answer.header[key] for key in KEYS[:3]], [sys.byteorder, "binary/custom-server-type", "binary"])

    def assert_still_serves(self):
        self.assert_result(create_request("search", "morpheus"), MORPHEUS)

    def assert_refused(self, request, *reasons):
        """It is closed, cleanly and without an answer, a line says why, and nobody else notices."""
        with self.connect(self.address) as sock:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(sock), b"", request[:100])
        line = self.process.stderr.readline().decode()
        self.assertRegex(line, r"^handle of 127\.0\.0\.1:\d+ failed: ")
        for reason in reasons:
            self.assertIn(reason, line)
        self.assert_still_serves()

    def test_searches(self):
        self.assert_result(create_request("search", "morpheus"), MORPHEUS)
        self.assert_result(create_request("search", "서버"), "누가 부를 때까지 기다리는 프로그램 📞")
        self.assert_result(create_request("search", "🐍"), "What this server was before it was rewritten.")
        for unknown in ("Morpheus", "없는 말", "", "a\nb\"c\\", "'"):
            self.assert_result(create_request("search", unknown), f"No match for '{unknown}'.")

    def test_other_actions(self):
        self.assert_result(pack_json({"action": "찾기", "value": "morpheus"}), "Error: invalid action '찾기'.")
        self.assert_result(pack_json({"value": "morpheus"}), "Error: invalid action 'null'.")
        self.assert_result(pack_json([1, 2]), "Error: invalid action 'null'.")
        self.assert_result(pack_json({"action": "search", "value": 21}), "No match for '21'.")

    def test_escaped_text(self):
        content = json.dumps({"action": "search", "value": "🐍"}, ensure_ascii=True).encode("ascii")
        self.assertIn(b"\\ud83d", content)
        self.assert_result(pack(content, "text/json", "UTF-8"), "What this server was before it was rewritten.")

    def test_bytes(self):
        self.assert_echo(create_request("double", "21"), b"double21")
        self.assert_echo(create_request("두 배", "21"), "두 배21".encode()[:10])
        for content in (b"", b"\0", bytes(range(256)), b"{\"action\""):
            self.assert_echo(pack(content), content[:10])
        self.assert_echo(pack(b"0123456789abc", "image/png", "anything"), b"0123456789")

    def test_either_byteorder(self):
        for byteorder in ("little", "big"):
            self.assert_result(pack_json({"action": "search", "value": "morpheus"}, byteorder=byteorder), MORPHEUS)
            self.assert_echo(pack(b"abc", byteorder=byteorder), b"abc")

    def test_keys_in_any_order_and_more_of_them(self):
        content = json.dumps({"action": "search", "value": "morpheus"}).encode()
        values = dict(zip(KEYS, ("big", "text/json", "utf-8", len(content))))
        for keys in itertools.permutations(KEYS):
            header = json.dumps({key: values[key] for key in keys}).encode()
            self.assert_result(pack_raw(header, content), MORPHEUS)
        more = {"version": 2, "친구": ["🦀", None, {"content-length": -1}], "": 1.5}
        self.assert_result(pack_json({"action": "search", "value": "morpheus"}, **more), MORPHEUS)
        header = json.dumps(values, indent=8).encode()
        self.assert_result(pack_raw(header, content), MORPHEUS)

    def test_the_longest_header(self):
        padding = 65535 - len(pack(b"abc", padding="")) + 2 + 3
        request = pack(b"abc", padding="x" * padding)
        self.assertEqual(request[:2], b"\xff\xff")
        self.assert_echo(request, b"abc")

    def test_missing_keys(self):
        for key in KEYS:
            self.assert_refused(pack(b"abc", **{key: None}), f'its header lacks "{key}"')

    def test_keys_with_nonsense(self):
        for key in KEYS[:3]:
            for value in (1, [], {}, True):
                self.assert_refused(pack(b"abc", **{key: value}), f'"{key}" in its header is no text')
        self.assert_refused(pack(b"abc", byteorder="middle"), '"byteorder"')
        for length in (-1, 0.5, "3", [], 1 << 63, 1 << 64, 10**40, MOST + 1):
            self.assert_refused(pack(b"abc", **{"content-length": length}), '"content-length"', str(MOST))
        self.assert_refused(pack('{"action": "찾기"}'.encode("euc-kr"), "text/json", "euc-kr"), "another encoding than UTF-8")

    def test_headers_that_are_none(self):
        deep = (b"[" * 60_000, b'{"a":' * 10_000)
        for header in (b"", b"{", b"[]", b"null", b'"\x1b"', b"\xff\xfe{}", b"{}{}", b'{"a": NaN}', b"\0" * 10, *deep):
            self.assert_refused(pack_raw(header), "its header is no JSON object")

    def test_contents_that_are_none(self):
        deep = (b"[" * 100_000, b"{" * MOST)
        for content in (b"", b"{", b"search", b'{"action": "\xea\xb0"}', b'{"action": "a"} x', *deep):
            self.assert_refused(pack(content, "text/json", "utf-8"), "its content is no JSON")

    def test_wrong_lengths(self):
        content = json.dumps({"action": "search", "value": "서버"}).encode()
        for length in (0, 1, len(content) - 1):
            request = pack(content, "text/json", "utf-8", **{"content-length": length})
            self.assert_refused(request, "its content is no JSON")
        for length in (len(content) + 1, MOST):
            request = pack(content, "text/json", "utf-8", **{"content-length": length})
            self.assert_refused(request, f"ended after {len(content)} of {length} bytes")
        request = create_request("search", "morpheus")
        (length,) = struct.unpack(">H", request[:2])
        for wrong in (0, length - 1, length + 1):
            self.assert_refused(struct.pack(">H", wrong) + request[2:], "its header is no JSON object")
        self.assert_refused(b"\xff\xff" + request[2:], "the stream ended within a frame")

    def test_messages_that_end_too_early(self):
        whole = create_request("search", "서버 🦀")
        for length in range(1, len(whole)):
            self.assert_refused(whole[:length], "ended")

    def test_who_says_nothing_is_no_trouble(self):
        for _ in range(20):
            with self.connect(self.address) as sock:
                sock.shutdown(socket.SHUT_WR)
                self.assertEqual(read_to_end(sock), b"")
            self.connect(self.address).close()
        self.assert_refused(b"\0", "ended")

    def test_so_many_at_once_and_no_more(self):
        silent = [self.connect(self.address) for _ in range(PLACES)]
        with self.connect(self.address) as sock:
            sock.sendall(create_request("search", "morpheus"))
            sock.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                sock.recv(1)
            silent[0].close()
            sock.settimeout(TIMEOUT)
            self.assertIn(MORPHEUS, read_to_end(sock).decode())

    def test_pieces_of_every_size(self):
        whole = create_request("search", "안녕하세요 🦀")
        for size in range(1, len(whole)):
            with self.connect(self.address) as sock:
                for start in range(0, len(whole), size):
                    sock.sendall(whole[start : start + size])
                self.assertEqual(Message(sock).content, {"result": "No match for '안녕하세요 🦀'."})

    def test_a_pause_anywhere(self):
        """Also within a character, and in the middle of the length."""
        whole = create_request("search", "안녕 🦀")
        splits = list(range(len(whole)))
        # All but one of the places at a time.
        while begun := [(split, self.connect(self.address)) for split in splits[: PLACES - 1]]:
            del splits[: PLACES - 1]
            for split, sock in begun:
                sock.sendall(whole[:split])
            # While those wait, others are answered.
            self.assert_still_serves()
            for split, sock in begun:
                sock.sendall(whole[split:])
                self.assertEqual(Message(sock).content, {"result": "No match for '안녕 🦀'."})
                sock.close()

    def test_a_mebibyte(self):
        value = "가나🦀" * ((1 << 20) // 10 + 1)
        self.assertGreater(len(value.encode()), 1 << 20)
        self.assert_result(create_request("search", value), f"No match for '{value}'.")
        content = random.Random(4).randbytes(1 << 20)
        self.assert_echo(pack(content), content[:10])

    def test_the_longest_content(self):
        self.assert_echo(pack(b"y" * MOST), b"y" * 10)

    def test_too_long_a_content_is_refused_before_it_has_come(self):
        with self.connect(self.address) as sock:
            sock.sendall(pack(b"", **{"content-length": MOST + 1}))
            self.assertEqual(read_to_end(sock), b"")

    def test_what_follows_a_request_does_its_answer_no_harm(self):
        with self.connect(self.address) as sock:
            sock.sendall(create_request("search", "morpheus") * 2 + b"x" * 1_000_000)
            self.assertEqual(Message(sock).content, {"result": MORPHEUS})
            self.assertEqual(read_to_end(sock), b"")

    def test_garbage(self):
        self.assert_refused(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "ended within a frame")
        numbers = random.Random(5)
        for _ in range(50):
            self.assert_refused(numbers.randbytes(numbers.randrange(1, 100_000)))

    def test_clients_that_vanish(self):
        whole = create_request("search", "가" * 100_000)
        for length in (0, 1, 2, 50, 200, 10_000, len(whole)):
            for vanish in (reset, socket.socket.close):
                for _ in range(5):
                    sock = self.connect(self.address)
                    sock.sendall(whole[:length])
                    vanish(sock)
            self.assert_still_serves()
        self.assertIsNone(self.process.poll())

    def test_fifty_clients_at_once(self):
        all_connected = threading.Barrier(50, timeout=TIMEOUT)
        results = {}

        def client(number):
            with self.connect(self.address) as sock:
                all_connected.wait()
                sock.sendall(create_request("search", f"{number}번" * 1000))
                results[number] = Message(sock).content["result"]

        threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, {number: "No match for '{}'.".format(f"{number}번" * 1000) for number in range(50)})


class ApplicationSignals(Case):
    """Ctrl-C and SIGTERM end app_server, whoever is connected."""

    @each_and_signal([SERVER])
    def test_whoever_is_connected(self, number, process, address):
        request = create_request("search", "morpheus")
        socks = [self.connect(address) for _ in range(10)]
        for length, sock in enumerate(socks):
            sock.sendall(request[:length])
        with self.connect(address) as sock:
            sock.sendall(request)
            self.assertEqual(Message(sock).content, {"result": MORPHEUS})
        self.assert_ends_promptly(process, number)


class ApplicationClient(Case):
    """Python's servers of app_client."""

    def serve_requests(self, respond=create_response, send=socket.socket.sendall):
        """Answers each request as the tutorial's server does; returns the address, and the messages as they come."""
        messages = []

        def handle(request):
            message = Message(request.connection)
            messages.append(message)
            send(request.connection, respond(message))

        return self.serve(handle), messages

    def assert_says(self, address, request, line):
        done = run(CLIENT, address, *request)
        self.assertEqual((done.stderr, done.returncode), (b"", 0))
        self.assertEqual(done.stdout.decode(), f"{line}\n")

    def assert_fails(self, handle, *parts):
        address = self.serve(handle)
        done = run(CLIENT, address, "search", "morpheus")
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, f"{CLIENT}: ", *(part.format(address=address) for part in parts))

    def assert_makes_nothing_of(self, response, *parts):
        def handle(request):
            Message(request.connection)
            request.connection.sendall(response)

        self.assert_fails(handle, *parts)

    def test_searches(self):
        address, messages = self.serve_requests()
        self.assert_says(address, ("search", "morpheus"), f"Got result: {MORPHEUS}")
        self.assert_says(address, ("search", "🐶"), "Got result: 🐾")
        self.assert_says(address, ("search", "없는 '말'"), "Got result: No match for '없는 '말''.")
        self.assert_says(address, ("search", ""), "Got result: No match for ''.")
        self.assert_says(address.replace("127.0.0.1", "localhost"), (), f"Got result: {MORPHEUS}")
        for message, value in zip(messages, ("morpheus", "🐶", "없는 '말'", "", "morpheus"), strict=True):
            self.assertEqual(message.content, {"action": "search", "value": value})
            self.assertEqual(
                message.header,
                dict(zip(KEYS, (sys.byteorder, "text/json", "utf-8", len(message.bytes)))),
            )
            self.assertEqual(message.buffer, b"")

    def test_other_actions(self):
        address, messages = self.serve_requests()
        self.assert_says(address, ("double", "21"), 'Got response: b"First 10 bytes of request: double21"')
        beginning = r"\xeb\x91\x90 \xeb\xb0\xb0-1"
        self.assert_says(address, ("두 배", "-1"), f'Got response: b"First 10 bytes of request: {beginning}"')
        self.assert_says(address, ("", ""), 'Got response: b"First 10 bytes of request: "')
        for message, content in zip(messages, (b"double21", "두 배-1".encode(), b""), strict=True):
            self.assertEqual(message.content, content)
            self.assertEqual(
                message.header,
                dict(zip(KEYS, (sys.byteorder, "binary/custom-client-type", "binary", len(content)))),
            )

    def test_an_answer_in_pieces(self):
        def dribble(sock, response):
            for byte in response:
                sock.sendall(bytes([byte]))

        address, _messages = self.serve_requests(send=dribble)
        self.assert_says(address, ("search", "안녕 🦀"), "Got result: No match for '안녕 🦀'.")
        self.assert_says(address, ("a", "b"), 'Got response: b"First 10 bytes of request: ab"')

    def test_a_mebibyte(self):
        result = "가나🦀" * ((1 << 20) // 10 + 1)
        address, _messages = self.serve_requests(lambda message: pack_json({"result": result}))
        self.assert_says(address, ("search", "x" * 100_000), f"Got result: {result}")

    def test_headers_of_other_kinds(self):
        def respond(message):
            return pack_json({"more": [], "result": "네"}, later=[{}], byteorder="big", **{"content-encoding": "UTF-8"})

        address, _messages = self.serve_requests(respond)
        self.assert_says(address, ("search", "x"), "Got result: 네")
        # Nobody else writes anywhere on the screen.
        address, _messages = self.serve_requests(lambda message: pack_json({"result": "a\n\x1b[2J\r나\n"}))
        self.assert_says(address, ("search", "x"), "Got result: a\\n\\u{1b}[2J\\r나")
        address, _messages = self.serve_requests(lambda message: pack_json({"result": {"a": [1, None]}}))
        self.assert_says(address, ("search", "x"), 'Got result: {"a":[1,null]}')

    def test_answers_that_are_none(self):
        self.assert_makes_nothing_of(b"", "{address} closed the connection before it had answered")
        self.assert_makes_nothing_of(b"\0", "ended")
        whole = pack_json({"result": "네"})
        for length in (2, 20, len(whole) - 1):
            self.assert_makes_nothing_of(whole[:length], "ended")
        for key in KEYS:
            self.assert_makes_nothing_of(pack_json({"result": ""}, **{key: None}), "{address}", f'lacks "{key}"')
        self.assert_makes_nothing_of(pack_json({"result": ""}, **{"content-length": MOST + 1}), '"content-length"')
        self.assert_makes_nothing_of(pack(b"{", "text/json", "utf-8"), "{address}", "its content is no JSON")
        self.assert_makes_nothing_of(pack_json({"answer": 42}), "there is no result in what {address} answered")
        self.assert_makes_nothing_of(pack_json(["result"]), "there is no result in what {address} answered")
        self.assert_makes_nothing_of(b"HTTP/1.1 400 Bad Request\r\n\r\n", "ended")

    def test_a_server_that_breaks_off(self):
        self.assert_fails(lambda request: (Message(request.connection), reset(request.connection)), "reset")

    def test_a_server_that_does_not_answer(self):
        since = time.monotonic()

        def silent(request):
            Message(request.connection)
            request.connection.recv(1)

        self.assert_fails(silent, "timed out after 10s ({address})")
        self.assertLess(time.monotonic() - since, 12)

    def test_with_the_server_here(self):
        _process, (host, port) = self.start(SERVER)
        self.assert_says(f"{host}:{port}", ("search", "morpheus"), f"Got result: {MORPHEUS}")
        self.assert_says(f"{host}:{port}", ("double", "21"), 'Got response: b"First 10 bytes of request: double21"')


class ApplicationMistakes(Case):
    """Bad arguments and bad luck."""

    def test_a_wrong_command_line(self):
        address = "127.0.0.1:0"
        for arguments in ((address, "search"), (address, "search", "x", "y"), ("--help",), (b"\xff", "search", "x")):
            done = run(CLIENT, *arguments)
            self.assertEqual((done.stdout, done.returncode), (b"", 2))
            self.assert_one_line(done.stderr, f"usage: {CLIENT} [ADDRESS [ACTION VALUE]]")
        for arguments in ((address, "more"), ("--help",), (b"\xff",)):
            done = run(SERVER, *arguments)
            self.assertEqual((done.stdout, done.returncode), (b"", 2))
            self.assert_one_line(done.stderr, f"usage: {SERVER} [ADDRESS]")

    def test_a_bad_address(self):
        for address in ("", "nonsense", "127.0.0.1", "127.0.0.1:65536"):
            for name, more in ((SERVER, ()), (CLIENT, ("search", "x"))):
                done = run(name, address, *more)
                self.assertEqual((done.stdout, done.returncode), (b"", 1))
                self.assert_one_line(done.stderr, f"{name}: invalid address", f'"{address}"')

    def test_a_port_in_use_and_a_server_that_is_not_there(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:{}".format(taken.getsockname()[1])
            done = run(SERVER, address)
            self.assertEqual((done.stdout, done.returncode), (b"", 1))
            self.assert_one_line(done.stderr, f"cannot listen on {address}", "does another server run there?")
        address = self.refusing()
        done = run(CLIENT, address, "search", "x")
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, f"cannot connect to {address}", "refused")

    def test_nobody_reads_what_they_say(self):
        process, (host, port) = self.start(SERVER)
        process.stdout.close()
        process.stderr.close()
        with self.connect((host, port)) as sock:
            sock.sendall(b"\0\2{}")
            self.assertEqual(read_to_end(sock), b"")
        done = run_unread(CLIENT, f"{host}:{port}", "search", "morpheus")
        self.assertEqual(done.returncode, 1)
        self.assert_one_line(done.stderr, "Broken pipe")
        done = run_unread(SERVER, "127.0.0.1:0")
        self.assertEqual(done.returncode, 1)
        self.assert_one_line(done.stderr, "Broken pipe")
