"""chat_client by pipes: with our chat servers, with the tutorials', and with servers that misbehave."""

import contextlib
import signal
import subprocess
import threading

from . import tutorial_chats
from .chat import WELCOME, Member
from .multi_user_chat import ASKED, joined, left
from .support import CHATS, TEXT, TIMEOUT, Case, example, lines_of_a_mebibyte, reset, run


class Client:
    """A chat_client that has pipes for a terminal."""

    def __init__(self, case, *arguments):
        self.case = case
        self.process = subprocess.Popen(
            [example("chat_client"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        case.addCleanup(self.end)

    def say(self, text):
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def line(self):
        return self.process.stdout.readline().decode()

    def expect(self, *lines):
        for line in lines:
            self.case.assertEqual(self.line(), f"{line}\n")

    def leave(self, word):
        """Says so, after which nothing comes but the end."""
        self.say(word)
        self.case.assertEqual(self.process.wait(TIMEOUT), 0)
        rest = self.process.stdout.read().decode()
        self.case.assertEqual(self.process.stderr.read(), b"")
        return rest

    def end(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


class ChatClient(Case):
    """chat_client by pipes."""

    def tutorial(self, handler):
        """A server of the tutorials', and its address as text."""
        server = tutorial_chats.Server(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return "{}:{}".format(*server.server_address)

    def test_in_the_chats_without_names(self):
        for server, ends in (("reactor_chat_server", ["lines"]), ("chat_server", ["lines", "bare"])):
            for end in ends:
                with self.subTest(server=server, end=end):
                    _, address = self.start(server)
                    other = Member(self.connect(address))
                    client = Client(self, "{}:{}".format(*address), end)
                    client.expect(WELCOME)
                    name = other.line().removesuffix(" has joined the chat.")
                    for text in ("hello", "안녕하세요 🦀"):
                        client.say(text)
                        self.assertEqual(other.line(), f"{name}: {text}")
                        other.say(f"{text}, too\n")
                        client.expect(f"{other.name}: {text}, too")
                    self.assertEqual(client.leave("quit"), "")
                    self.assertEqual(other.line(), f"{name} has left the chat.")

    def test_in_the_chat_with_names(self):
        _, address = self.start("multi_user_chat_server")
        address = "{}:{}".format(*address)
        self.chat_under_names(Client(self, address), Client(self, address, "bare"))

    def test_in_the_tutorials_chat_with_names(self):
        address = self.tutorial(tutorial_chats.MultiUserChat)
        self.chat_under_names(Client(self, address, "bare"), Client(self, address, "bare"))

    def chat_under_names(self, one, two):
        one.expect(ASKED)
        two.expect(ASKED)
        one.say("철수")
        one.expect(joined("철수"))
        two.say("철수")
        two.expect("이미 등록되어 있습니다.", ASKED)
        two.say("영희")
        for client in (one, two):
            client.expect(joined("영희"))
        for speaker, name in ((one, "철수"), (two, "영희")):
            for text in ("hello", "안녕하세요 🦀"):
                speaker.say(text)
                for client in (one, two):
                    client.expect(f"[{name}] {text}")
        self.assertEqual(two.leave("end"), "")
        one.expect(left("영희"))
        self.assertEqual(one.leave("end"), "")

    def test_in_the_tutorials_chat_without_names(self):
        address = self.tutorial(tutorial_chats.Chat)
        one = Client(self, address, "bare")
        one.expect(WELCOME)
        two = Client(self, address, "bare")
        two.expect(WELCOME)
        name = one.line().removeprefix("User from ").removesuffix(" has joined the chat.\n")
        for text in ("hello", "안녕하세요 🦀"):
            two.say(text)
            one.expect(f"User {name}: {text}")
        self.assertEqual(two.leave("Quit"), "")
        one.expect(f"User from {name} has left the chat.")
        self.assertEqual(one.leave("quit"), "")

    def test_with_the_tutorials_echo_server(self):
        address = self.tutorial(tutorial_chats.Echo)
        client = Client(self, address, "bare")
        for text in ("hello", "안녕하세요 🦀"):
            client.say(text)
            client.expect(text)
        self.assertEqual(client.leave("end"), "end\n")
        # From a file, each is sent on its own all the same.
        done = run("chat_client", address, "bare", stdin=b"one\n\ntwo\nend\n")
        self.assertEqual((done.stdout, done.stderr, done.returncode), (b"one\ntwo\nend\n", b"", 0))

    def test_fifty_at_once(self):
        count, messages = 50, 20
        _, address = self.start("chat_server")
        clients = [Client(self, "{}:{}".format(*address)) for _ in range(count)]
        for client in clients:
            client.expect(WELCOME)
        # All are there when one who came last has been heard by all.
        last = Member(self.connect(address))
        last.say("begin\n")
        heard = {}
        trouble = []

        def take_part(client, number):
            try:
                while (line := client.line()) != f"{last.name}: begin\n":
                    assert line.endswith(" has joined the chat.\n"), line
                client.process.stdin.write("".join(f"{number} {text} 🦀\n" for text in range(messages)).encode())
                client.process.stdin.flush()
                heard[number] = [client.line().partition(": ")[2] for _ in range(messages * (count - 1))]
                rest = client.leave("quit").splitlines()
                trouble.extend(line for line in rest if not line.endswith(" has left the chat."))
            except Exception as error:
                trouble.append(f"{number}: {error!r}")

        threads = [
            threading.Thread(target=take_part, args=(client, number), daemon=True)
            for number, client in enumerate(clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(trouble, [])
        for number in range(count):
            said = {other: [] for other in range(count) if other != number}
            for line in heard[number]:
                said[int(line.split()[0])].append(line)
            for other, lines in said.items():
                self.assertEqual(lines, [f"{other} {text} 🦀\n" for text in range(messages)])

    def test_the_end_of_the_input_is_a_half_close(self):
        def answer_at_the_end(request):
            said = request.rfile.read()
            request.wfile.write(b"you said " + said)

        address = self.serve(answer_at_the_end)
        for said, answer in (
            (b"", b"you said \n"),
            (b"one\ntwo\n", b"you said one\ntwo\n"),
            # The last line gets its end, and a line end is a line end.
            ("하나\r\n둘".encode(), "you said 하나\n둘\n".encode()),
        ):
            done = run("chat_client", address, stdin=said)
            self.assertEqual((done.stdout, done.stderr, done.returncode), (answer, b"", 0))
        done = run("chat_client", address, "bare", stdin=b"one\ntwo")
        self.assertEqual((done.stdout, done.stderr, done.returncode), (b"you said onetwo\n", b"", 0))

    def test_a_mebibyte_each_way(self):
        def echo(request):
            for line in request.rfile:
                request.wfile.write(line)

        sent = lines_of_a_mebibyte()
        done = run("chat_client", self.serve(echo), stdin=sent)
        self.assertTrue(done.stdout == sent, "the bytes differ")
        self.assertEqual((done.stderr, done.returncode), (b"", 0))

    def test_a_character_may_straddle_two_sends(self):
        whole = TEXT.encode()

        def dribble(request):
            for split in range(1, len(whole)):
                request.wfile.write(b"before\n" + whole[:split])
                # The first part has been read without the second when the client has answered.
                self.assertEqual(request.rfile.readline(), b"go on\n")
                request.wfile.write(whole[split:])

        client = Client(self, self.serve(dribble))
        for _ in range(1, len(whole)):
            client.expect("before")
            client.say("go on")
            shown = client.line()
            # Where the pause came within the line, it is shown in two, but never within a character.
            while not shown.endswith(TEXT[-3:]):
                shown = shown.removesuffix("\n") + client.line()
            self.assertEqual(shown, TEXT)

    def test_what_is_not_text_is_told_of_and_control_characters_are_shown(self):
        def serve(request):
            request.wfile.write(b"\xff\xfe\n\x1b[2Jred\ttape\x9b\n\xc2\x9b\n")
            request.wfile.write(request.rfile.readline())

        client = Client(self, self.serve(serve))
        self.assertIn("not UTF-8 from byte 0", client.line())
        self.assertIn("not UTF-8 from byte 12", client.line())
        client.expect("\\u{9b}")
        # What comes from the input is sent as it is.
        client.process.stdin.write(b"\xff\n")
        client.process.stdin.flush()
        self.assertIn("not UTF-8 from byte 0", client.line())

    def test_a_server_that_goes_away(self):
        def close(request):
            request.wfile.write(b"hello\n")

        def broken_off(request):
            request.wfile.write(b"hello\n")
            request.rfile.readline()
            reset(request.connection)

        for handle, said, complaint in ((close, None, "closed the connection"), (broken_off, "hi", "reset")):
            with self.subTest(server=handle.__name__):
                address = self.serve(handle)
                client = Client(self, address)
                client.expect("hello")
                if said:
                    client.say(said)
                # Its input has not ended.
                self.assertEqual(client.process.wait(TIMEOUT), 1)
                self.assert_one_line(client.process.stderr.read(), "chat_client: ", address, complaint)

    def test_too_long_a_line(self):
        client = Client(self, self.serve(lambda request: request.wfile.write(b"x" * 200_000)))
        self.assertEqual(client.process.wait(TIMEOUT), 1)
        self.assert_one_line(client.process.stderr.read(), "65536")

    def test_a_signal_ends_it(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            for server in CHATS:
                with self.subTest(server=server, signal=number):
                    _, address = self.start(server)
                    client = Client(self, "{}:{}".format(*address))
                    client.line()
                    self.assert_ends_promptly(client.process, number)
                    self.assertEqual(client.process.stderr.read(), b"")

    def test_nobody_reads_its_output(self):
        def serve(request):
            for line in request.rfile:
                request.wfile.write(line)

        client = Client(self, self.serve(serve))
        client.process.stdout.close()
        client.say("hello")
        self.assertEqual(client.process.wait(TIMEOUT), 1)
        self.assert_one_line(client.process.stderr.read(), "chat_client: ", "Broken pipe")

    def test_a_signal_ends_it_although_its_output_is_not_read(self):
        everything_sent = threading.Event()

        def serve(request):
            request.connection.settimeout(0.5)
            # Until neither the client nor the systems between take any more.
            with contextlib.suppress(TimeoutError):
                while True:
                    request.wfile.write(b"x" * 999 + b"\n")
            everything_sent.set()
            request.rfile.read()

        client = Client(self, self.serve(serve))
        self.assertTrue(everything_sent.wait(TIMEOUT))
        self.assert_ends_promptly(client.process, signal.SIGTERM)
