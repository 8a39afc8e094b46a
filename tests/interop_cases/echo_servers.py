"""The servers of messages, with clients as the tutorials have them on the other end."""

import contextlib
import random
import socket
import threading
import time

from .support import (
    MESSAGE_SERVERS,
    PREFIX_ECHO,
    TIMEOUT,
    Case,
    each,
    exchange,
    read_exactly,
    read_to_end,
    reset,
)

# A client who is silent for so long has paused, as far as the servers are concerned.
LONG_PAUSE = 0.2

# What is not UTF-8, and what is too long for a message.
GARBAGE = (b"\xff\xfe\x00\n", b"\xb0\xa1\xb3\xaa", b"x" * 70_000, b"y" * 70_000 + b"\n")


def tutorials_client(address, *messages):
    """Sends each message as it is, and takes what one recv gives for its answer."""
    answers = []
    with socket.create_connection(address, timeout=TIMEOUT) as sock:
        for message in messages:
            sock.sendall(message.encode("utf-8"))
            answers.append(sock.recv(1024).decode("utf-8"))
    return answers


def name(sock):
    return "{}:{}".format(*sock.getsockname())


class PrefixEcho(Case):
    """prefix_echo_server; as a plain echo it is in PythonClients."""

    def test_the_tutorials_clients(self):
        for arguments, prefix in (
            ((), "Echo: "),
            (("Received: ",), "Received: "),
            (("에코: ", "threading"), "에코: "),
            (("Echo: ", "sequential"), "Echo: "),
            (("", "sequential"), ""),
        ):
            with self.subTest(arguments=arguments):
                _process, address = self.start("prefix_echo_server", *arguments)
                messages = ["Hello, server!", "안녕하세요, 서버!", "a line\n", "end"]
                for _ in range(2):
                    self.assertEqual(tutorials_client(address, *messages), [prefix + message for message in messages])

    def test_it_says_who_comes_what_he_sends_and_when_he_goes(self):
        for kind in ("threading", "sequential"):
            process, address = self.start("prefix_echo_server", "Echo: ", kind)
            with self.connect(address) as sock:
                me = name(sock)
                self.assert_says(process, f"Connection from {me}")
                for message in ("hello", "안녕하세요\n", "two\nlines\r\n", "\x1b[2J\t"):
                    sock.sendall(message.encode())
                    answer = f"Echo: {message}".encode()
                    self.assertEqual(read_exactly(sock, len(answer)), answer)
            self.assert_says(process, f"Received from {me}: hello", f"Received from {me}: 안녕하세요")
            self.assert_says(process, f"Received from {me}: two\\nlines", f"Received from {me}: \\u{{1b}}[2J\\t")
            self.assert_says(process, f"Connection from {me} closed")

    def test_a_character_that_straddles_two_reads_is_printed_and_answered_whole(self):
        process, address = self.start("prefix_echo_server")
        with self.connect(address) as sock:
            me = name(sock)
            self.assert_says(process, f"Connection from {me}")
            for character in "é안🦀":
                for byte in character.encode():
                    sock.sendall(bytes([byte]))
                    # So that each is read by itself.
                    time.sleep(LONG_PAUSE)
                answer = f"Echo: {character}".encode()
                self.assertEqual(read_exactly(sock, len(answer)), answer)
                self.assert_says(process, f"Received from {me}: {character}")
            # The whole of one and a part of the next; then nothing that could be its rest; then the end in the middle of one.
            begun = "나".encode()[:2]
            broken = "\N{REPLACEMENT CHARACTER}"
            for piece, answer, printed in (("가".encode() + begun, "가".encode(), "가"), (b"!", begun + b"!", broken + "!")):
                sock.sendall(piece)
                self.assertEqual(read_exactly(sock, 6 + len(answer)), b"Echo: " + answer)
                self.assert_says(process, f"Received from {me}: {printed}")
            self.assertEqual(exchange(sock, begun), b"Echo: " + begun)
            self.assert_says(process, f"Received from {me}: {broken}")

    def test_without_a_prefix_no_byte_waits(self):
        process, address = self.start("prefix_echo_server", "")
        with self.connect(address) as sock:
            for byte in "안".encode():
                sock.sendall(bytes([byte]))
                self.assertEqual(read_exactly(sock, 1), bytes([byte]))
            self.assert_says(process, f"Connection from {name(sock)}", f"Received from {name(sock)}: 안")

    def test_a_long_text_is_text_with_its_prefixes_too(self):
        text = "가나다라" * 512
        for kind in ("threading", "sequential"):
            _process, address = self.start("prefix_echo_server", "Echo: ", kind)
            answer = exchange(self.connect(address), text.encode())
            # No read takes all of its 6 KiB.
            self.assertGreater(answer.count(b"Echo: "), 1)
            self.assertEqual(answer.decode().replace("Echo: ", ""), text)

    def test_a_mebibyte(self):
        # No byte of it is one of the prefix's.
        payload = bytes(0x80 | byte for byte in random.Random(4).randbytes(1 << 20))
        for kind in ("threading", "sequential"):
            _process, address = self.start("prefix_echo_server", "Echo: ", kind)
            answer = exchange(self.connect(address), payload)
            self.assertTrue(answer.startswith(b"Echo: "))
            self.assertTrue(answer.replace(b"Echo: ", b"") == payload, "the bytes differ")

    def test_a_client_waits_for_another_only_where_one_is_served_after_the_other(self):
        _process, address = self.start("prefix_echo_server", "Echo: ", "threading")
        with self.connect(address) as first:
            first.sendall(b"hello")
            self.assertEqual(tutorials_client(address, "hello"), ["Echo: hello"])

        process, address = self.start("prefix_echo_server", "Echo: ", "sequential")
        with self.connect(address) as first, self.connect(address) as second:
            second.sendall(b"second")
            self.assert_says(process, f"Connection from {name(first)}")
            first.sendall(b"first")
            self.assertEqual(read_exactly(first, 11), b"Echo: first")
            self.assert_says(process, f"Received from {name(first)}: first")
            first.shutdown(socket.SHUT_WR)
            self.assert_says(process, f"Connection from {name(first)} closed", f"Connection from {name(second)}")
            self.assertEqual(read_exactly(second, 12), b"Echo: second")


class OneClient(Case):
    """one_client_server, which ends when its client has been served."""

    def talk(self, mode, client, said, *complaints):
        process, address = self.start("one_client_server", *mode)
        with self.connect(address) as sock:
            self.assert_says(process, f"Connection from {name(sock)}")
            answer = client(sock)
            for line in said:
                self.assert_says(process, line)
        self.assert_says(process, "done")
        self.assert_ends(process, *complaints)
        return answer

    def test_one_message(self):
        for mode in ((), ("message",)):
            for message in ("hello", "안녕하세요", "end", "a line\n", "a line\r\n", "\n", "x" * 1024):

                def client(sock):
                    sock.sendall(message.encode())
                    return read_to_end(sock).decode()

                self.assertEqual(self.talk(mode, client, [f"Received: {message.rstrip()}"]), message)

    def test_the_second_message_is_not_sent_back(self):
        answer = self.talk(("message",), lambda sock: exchange(sock, b"one\ntwo\n"), ["Received: one"])
        self.assertEqual(answer, b"one\n")

    def test_the_tutorials_client_until_end(self):
        def client(sock):
            received = []
            for message in ("hello", "안녕하세요", "End", "the end", "end"):
                sock.sendall(bytes(message, "utf-8"))
                if message == "end":
                    break
                received.append(sock.recv(1024).decode())
            return received, read_to_end(sock)

        said = [f"Received: {message}" for message in ("hello", "안녕하세요", "End", "the end", "end")]
        received, rest = self.talk(("end",), client, said)
        self.assertEqual(received, ["hello", "안녕하세요", "End", "the end"])
        self.assertEqual(rest, b"")

    def test_lines_until_end(self):
        for line_end in ("\n", "\r\n"):
            lines = "".join(line + line_end for line in ("hello", "", "안녕", "end", "never sent back"))

            def client(sock):
                return exchange(sock, lines.encode()).decode()

            answer = self.talk(("end",), client, ["Received: hello", "Received: ", "Received: 안녕", "Received: end"])
            self.assertEqual(answer, "".join(line + line_end for line in ("hello", "", "안녕")))

    def test_it_may_only_listen(self):
        def client(sock):
            sock.sendall("안녕하세요".encode())
            return read_to_end(sock)

        self.assertEqual(self.talk(("receive",), client, ["Received: 안녕하세요"]), b"")

    def test_bytes_to_their_end(self):
        payload = random.Random(5).randbytes(1 << 20)
        self.assertTrue(self.talk(("bytes",), lambda sock: exchange(sock, payload), []) == payload, "the bytes differ")
        self.assertEqual(self.talk(("bytes",), lambda sock: exchange(sock, b""), []), b"")
        self.talk(("bytes",), reset, [], "handle of 127.0.0.1:")

        def client(sock):
            received = []
            # `end` is a word as any other, and no byte waits for the rest of its character.
            for message in (b"Hello, world", b"end", *(bytes([byte]) for byte in "안".encode())):
                sock.sendall(message)
                received.append(sock.recv(1024))
            return received

        answers = self.talk(("bytes",), client, [])
        self.assertEqual(b"".join(answers).decode(), "Hello, worldend안")

    def test_characters_in_two_parts(self):
        def client(sock):
            whole = "안녕 🦀".encode()
            received = []
            for split in (1, 2, 4, 5, 8, 9, 10):
                sock.sendall(whole[:split])
                time.sleep(LONG_PAUSE)
                sock.sendall(whole[split:])
                received.append(read_exactly(sock, len(whole)).decode())
            sock.sendall(b"end")
            return received + [read_to_end(sock)]

        answer = self.talk(("end",), client, ["Received: 안녕 🦀"] * 7 + ["Received: end"])
        self.assertEqual(answer, ["안녕 🦀"] * 7 + [b""])

    def test_long_messages(self):
        longest = b"x" * 65_533 + "가".encode()

        def client(sock):
            # A line, because a pause of this machine's may not end it.
            sock.sendall(longest + b"\nend\n")
            return read_to_end(sock)

        answer = self.talk(("end",), client, ["Received: " + longest.decode(), "Received: end"])
        self.assertTrue(answer == longest + b"\n", "the bytes differ")

    def test_clients_that_go_without_a_word(self):
        for mode in ("message", "end", "receive"):
            self.talk((mode,), lambda sock: sock.shutdown(socket.SHUT_WR), [])
        answer = self.talk(("end",), lambda sock: exchange(sock, b"hello"), ["Received: hello"])
        self.assertEqual(answer, b"hello")

    def test_clients_that_fail(self):
        for mode in ("message", "end", "receive"):
            self.talk((mode,), reset, [], "handle of 127.0.0.1:")
            for garbage in GARBAGE:

                def client(sock):
                    # It may have gone before it had taken all of it.
                    with contextlib.suppress(ConnectionError):
                        sock.sendall(garbage)
                        read_to_end(sock)

                self.talk((mode,), client, [], "bad data on the connection with 127.0.0.1:")


# Each kind of request_handler_server, echoing.
REQUEST_HANDLERS = [server for server in MESSAGE_SERVERS if server[0] == "request_handler_server"]


class RequestHandler(Case):
    """request_handler_server: one message on each connection."""

    @each([("request_handler_server",), *REQUEST_HANDLERS])
    def test_the_tutorials_clients(self, _name, process, address):
        for message, stripped in (
            ("Hello, server!", "Hello, server!"),
            ("안녕하세요, 서버!", "안녕하세요, 서버!"),
            ("  stripped \t", "stripped"),
            ("a line\r\n", "a line"),
            ("end", "end"),
            (" ", ""),
        ):
            with self.connect(address) as sock:
                sock.sendall(message.encode("utf-8"))
                # No line end, and the end of the connection.
                self.assertEqual(read_to_end(sock).decode(), f"Echo: {stripped}")
            self.assert_says(process, f"Received from 127.0.0.1: {stripped}")

    @each(REQUEST_HANDLERS)
    def test_a_client_without_a_word_gets_the_answer_to_nothing(self, _name, _process, address):
        self.assertEqual(exchange(self.connect(address), b""), b"Echo: ")

    @each(REQUEST_HANDLERS)
    def test_one_message_and_no_more(self, _name, _process, address):
        self.assertEqual(exchange(self.connect(address), b"one\ntwo\nthree\n" * 10_000), b"Echo: one")

    @each([("request_handler_server", kind, "Hello, Client!") for kind in ("sequential", "threading")])
    def test_one_answer_to_everything(self, _name, process, address):
        for message in ("Hello, Server!", "안녕"):
            self.assertEqual(tutorials_client(address, message), ["Hello, Client!"])
            self.assert_says(process, f"Received from 127.0.0.1: {message}")
        # Which is no answer to nothing, nor is that told of.
        self.assertEqual(exchange(self.connect(address), b""), b"")
        self.assertEqual(tutorials_client(address, "more"), ["Hello, Client!"])
        self.assert_says(process, "Received from 127.0.0.1: more")

    @each(REQUEST_HANDLERS)
    def test_characters_in_two_parts(self, _name, _process, address):
        whole = "안녕".encode()
        for split in (1, 2, 4, 5):
            with self.connect(address) as sock:
                sock.sendall(whole[:split])
                time.sleep(LONG_PAUSE)
                sock.sendall(whole[split:])
                self.assertEqual(read_to_end(sock).decode(), "Echo: 안녕")

    @each(REQUEST_HANDLERS)
    def test_fifty_clients_at_once(self, _name, _process, address):
        answers = {}

        def client(number):
            answers[number] = tutorials_client(address, f"손님 {number}")

        threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, {number: [f"Echo: 손님 {number}"] for number in range(50)})

    @each(REQUEST_HANDLERS)
    def test_clients_that_fail_harm_nobody_else(self, _name, process, address):
        for garbage in GARBAGE:
            with self.connect(address) as sock:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(garbage)
                    self.assertEqual(read_to_end(sock), b"")
            self.assertIn("bad data on the connection with 127.0.0.1:", process.stderr.readline().decode())
            reset(self.connect(address))
            self.assertIn("handle of 127.0.0.1:", process.stderr.readline().decode())
            self.assertEqual(tutorials_client(address, "hello"), ["Echo: hello"])

    @each(REQUEST_HANDLERS)
    def test_a_client_who_says_nothing_is_let_go(self, _name, process, address):
        is_sequential = process.args[-1] == "sequential"
        with self.connect(address) as silent:
            since = time.monotonic()
            self.assertEqual(tutorials_client(address, "hello"), ["Echo: hello"])
            took = time.monotonic() - since
            self.assertEqual(is_sequential, took > 4, took)
            self.assertEqual(read_to_end(silent), b"")
        self.assertIn("timed out after 5s", process.stderr.readline().decode())


class Counting(Case):
    """counting_server, which ends when one of its clients has said `end` and the last has gone."""

    def come(self, process, address, clients):
        sock = self.connect(address)
        self.assert_says(process, f"{name(sock)} has come, clients: {clients}")
        return sock

    def say(self, sock, process, message):
        sock.sendall(message.encode())
        self.assertEqual(read_exactly(sock, len(message.encode())).decode(), message)
        self.assert_says(process, f"{name(sock)}: {message.rstrip()}")

    def test_it_ends_with_the_last(self):
        process, address = self.start("counting_server")
        one = self.come(process, address, 1)
        two = self.come(process, address, 2)
        self.say(one, process, "hello")
        self.say(two, process, "안녕하세요")
        self.say(one, process, "the end")
        one.sendall(b"end")
        # Which is not sent back.
        self.assertEqual(read_to_end(one), b"")
        self.assert_says(process, f"{name(one)}: end", f"{name(one)} has gone, clients: 1")
        three = self.come(process, address, 2)
        self.say(three, process, "a line\n")
        self.say(two, process, "still here\r\n")
        for sock, left in ((two, 1), (three, 0)):
            sock.sendall(b"end\n")
            self.assertEqual(read_to_end(sock), b"")
            self.assert_says(process, f"{name(sock)}: end", f"{name(sock)} has gone, clients: {left}")
            sock.close()
        self.assert_ends(process, "stopped: ")

    def test_who_vanishes_has_gone_too(self):
        for vanish in (socket.socket.close, reset, lambda sock: sock.shutdown(socket.SHUT_WR)):
            process, address = self.start("counting_server", "last")
            # As a port scan does; nobody was there to say that it was all.
            alone = self.come(process, address, 1)
            me = name(alone)
            vanish(alone)
            self.assert_says(process, f"{me} has gone, clients: 0")
            one = self.come(process, address, 1)
            two = self.come(process, address, 2)
            names = [name(one), name(two)]
            one.sendall(b"end")
            self.assertEqual(read_to_end(one), b"")
            self.assert_says(process, f"{names[0]}: end", f"{names[0]} has gone, clients: 1")
            self.say(two, process, "hello")
            vanish(two)
            self.assert_says(process, f"{names[1]} has gone, clients: 0")
            complaints = ["handle of 127.0.0.1:"] * 2 if vanish is reset else []
            self.assert_ends(process, *complaints, "stopped: ")

    def test_garbage_ends_its_own_connection(self):
        process, address = self.start("counting_server")
        with self.come(process, address, 1) as first:
            first_is = name(first)
            first.sendall(b"\xff\n")
            self.assertEqual(read_to_end(first), b"")
        self.assert_says(process, f"{first_is} has gone, clients: 0")
        self.assertIn("bad data on the connection with 127.0.0.1:", process.stderr.readline().decode())
        one = self.come(process, address, 1)
        for garbage in GARBAGE:
            two = self.come(process, address, 2)
            two_is = name(two)
            with contextlib.suppress(ConnectionError):
                two.sendall(garbage)
                self.assertEqual(read_to_end(two), b"")
            self.assert_says(process, f"{two_is} has gone, clients: 1")
            self.assertIn("bad data on the connection with 127.0.0.1:", process.stderr.readline().decode())
            self.say(one, process, "still here")
        one.sendall(b"end")
        self.assertEqual(process.wait(TIMEOUT), 0)

    def test_characters_in_two_parts(self):
        process, address = self.start("counting_server")
        sock = self.come(process, address, 1)
        whole = "안녕 🦀".encode()
        for split in (1, 2, 4, 8, 9, 10):
            sock.sendall(whole[:split])
            time.sleep(LONG_PAUSE)
            sock.sendall(whole[split:])
            self.assertEqual(read_exactly(sock, len(whole)), whole)
            self.assert_says(process, f"{name(sock)}: 안녕 🦀")

    def test_it_can_stay_and_send_end_back_too(self):
        """The tutorial's server without the count; its client waits for its own `end`."""
        process, address = self.start("counting_server", "forever")
        for _ in range(2):
            sock = self.come(process, address, 1)
            self.say(sock, process, "안녕")
            sock.sendall(b"end")
            self.assertEqual(read_to_end(sock), b"end")
            self.assert_says(process, f"{name(sock)}: end", f"{name(sock)} has gone, clients: 0")
            sock.close()
        self.assertIsNone(process.poll())

    def test_fifty_clients_at_once(self):
        process, address = self.start("counting_server")
        socks = [self.connect(address) for _ in range(50)]
        lines = [f"{number}번째 메시지 🦀\n".encode() for number in range(100)]
        heard = {}

        def client(sock):
            # The last word of all is said when everybody has heard all of his own.
            sock.sendall(b"".join(lines))
            heard[sock] = read_exactly(sock, len(b"".join(lines)))

        threads = [threading.Thread(target=client, args=(sock,), daemon=True) for sock in socks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([heard.get(sock) for sock in socks], [b"".join(lines)] * 50)
        self.assertIsNone(process.poll())
        for sock in socks:
            sock.sendall(b"end\n")
            self.assertEqual(read_to_end(sock), b"")
        self.assertEqual(process.wait(TIMEOUT), 0)
        said = process.said.rest()
        self.assertEqual(sum(line.endswith(": end") for line in said), 50)
        self.assertEqual(sum(" has come, clients: " in line for line in said), 50)
        self.assertEqual(sum(" has gone, clients: " in line for line in said), 50)
        self.assertEqual(said[-1].split(" has gone, clients: ")[1:], ["0"])
