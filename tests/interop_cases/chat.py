"""The chats in which nobody is told what he said himself, with Python's sockets as their members."""

import contextlib
import random
import signal
import socket
import threading
import time

from .support import CHAT, TEXT, Case, read_exactly, read_to_end, reset

WELCOME = "Welcome to the chat server! Type 'quit' to exit."


class Member:
    """A member who has been welcomed."""

    def __init__(self, sock):
        self.sock = sock
        self.lines = sock.makefile(encoding="utf-8", newline="\n")
        self.name = "User {}:{}".format(*sock.getsockname())
        assert self.line() == WELCOME
        # Nobody is told, but the server knows from now on that he ends what he says.
        self.say("\n")

    def line(self):
        line = self.lines.readline()
        if not line.endswith("\n"):
            raise EOFError(f"{self.name} was told {line!r}, and no more")
        return line[:-1]

    def say(self, text):
        self.sock.sendall(text.encode())


class Chat(Case):
    """Python's sockets as the members of reactor_chat_server."""

    server = CHAT
    words = ()
    # What the server says of a member who does not read.
    put_out = "would have waited to be sent"

    def setUp(self):
        super().setUp()
        self.process, self.address = self.start(self.server, *self.words)

    def join(self):
        return Member(self.connect(self.address))

    def join_all(self, count):
        """So many members, all of whom know that all are there."""
        members = [self.join() for _ in range(count)]
        for index, member in enumerate(members):
            missing = {f"{other.name} has joined the chat." for other in members[index + 1 :]}
            while missing:
                # One who came just before may be told of too.
                missing.discard(member.line())
        return members

    def assert_hears(self, member, *lines):
        for line in lines:
            heard = member.line()
            while heard.endswith(" has joined the chat.") and heard != line:
                heard = member.line()
            self.assertEqual(heard, line)

    def test_members_come_talk_and_go(self):
        one, two = self.join_all(2)
        two.say("안녕하세요\n")
        self.assert_hears(one, f"{two.name}: 안녕하세요")
        three = self.join()
        self.assert_hears(one, f"{three.name} has joined the chat.")
        self.assert_hears(two, f"{three.name} has joined the chat.")
        one.say("hello\r\n\n  \nand again\n")
        for other in (two, three):
            self.assert_hears(other, f"{one.name}: hello", f"{one.name}: and again")
        two.say("QUIT\nnever said\n")
        self.assertEqual(two.lines.read(), "")
        for other in (one, three):
            self.assert_hears(other, f"{two.name} has left the chat.")
        three.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(three.lines.read(), "")
        # Nobody has been told what he said himself.
        self.assert_hears(one, f"{three.name} has left the chat.")

    def test_a_last_line_without_its_end(self):
        one, two = self.join_all(2)
        two.say("one\ntwo")
        two.sock.shutdown(socket.SHUT_WR)
        self.assert_hears(one, f"{two.name}: one", f"{two.name}: two", f"{two.name} has left the chat.")

    def test_pieces_of_every_size(self):
        one, two = self.join_all(2)
        whole = TEXT.encode()
        for size in range(1, len(whole) + 1):
            for start in range(0, len(whole), size):
                two.sock.sendall(whole[start : start + size])
            self.assert_hears(one, f"{two.name}: {TEXT.strip()}")

    def test_a_character_may_straddle_two_reads(self):
        one, two = self.join_all(2)
        whole = TEXT.encode()
        for split in range(len(whole) + 1):
            # What is said before shows that the first part has been read without the second.
            two.sock.sendall(b"before\n" + whole[:split])
            self.assert_hears(one, f"{two.name}: before")
            two.sock.sendall(whole[split:])
            self.assert_hears(one, f"{two.name}: {TEXT.strip()}")

    def test_a_mebibyte(self):
        one, two = self.join_all(2)
        numbers = random.Random(3)
        said = ["가" * numbers.randrange(1, 1365) for _ in range(600)]
        sender = threading.Thread(target=two.say, args=("".join(line + "\n" for line in said),), daemon=True)
        sender.start()
        self.assert_hears(one, *(f"{two.name}: {line}" for line in said))
        sender.join()

    def test_every_message_reaches_every_other_member_once_and_in_order(self):
        count, messages = 50, 20
        members = self.join_all(count)
        heard = {}
        trouble = []

        def take_part(member):
            try:
                numbers = random.Random(member.name)
                whole = "".join(f"{number}번째 메시지 🦀\n" for number in range(messages)).encode()
                while whole:
                    size = numbers.randrange(1, 200)
                    member.sock.sendall(whole[:size])
                    whole = whole[size:]
                heard[member.name] = [member.line() for _ in range(messages * (count - 1))]
                # Nothing more comes but what ends it.
                member.say("quit\n")
                heard[member.name] += [line.rstrip("\n") for line in member.lines]
            except Exception as error:
                trouble.append(f"{member.name}: {error!r}")

        threads = [threading.Thread(target=take_part, args=(member,), daemon=True) for member in members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(trouble, [])
        names = {member.name for member in members}
        for member in members:
            said = {}
            for line in heard[member.name]:
                if not line.endswith(" has left the chat."):
                    name, _, text = line.partition(": ")
                    said.setdefault(name, []).append(text)
            everything = [f"{number}번째 메시지 🦀" for number in range(messages)]
            self.assertEqual(said, {name: everything for name in names - {member.name}})

    def test_who_breaks_the_rules_is_put_out_and_nobody_else(self):
        one, two = self.join_all(2)
        two.say("x" * 4097 + "\n")
        self.assertEqual(read_to_end(two.sock), b"")
        self.assert_hears(one, f"{two.name} has left the chat.")
        self.assertIn("bad data on the connection with 127.0.0.1:", self.process.stderr.readline().decode())

        three = self.join()
        self.assert_hears(one, f"{three.name} has joined the chat.")
        three.sock.sendall(b"\xff\xfe\n")
        self.assert_hears(three, "That was not understood: not UTF-8 from byte 0 of the message on (text in another encoding, or binary data?)")
        three.say("x" * 4096 + "\n")
        self.assert_hears(one, f"{three.name}: " + "x" * 4096)

    def test_members_who_vanish(self):
        one = self.join()
        for _ in range(20):
            other = self.join()
            self.assert_hears(one, f"{other.name} has joined the chat.")
            other.say("half a li")
            other.lines.close()
            reset(other.sock)
            self.assert_hears(one, f"{other.name} has left the chat.")
        for _ in range(20):
            # Before he could even be welcomed.
            reset(self.connect(self.address))
        two = self.join()
        two.say("still here\n")
        # Of those, he has been told too, or not: it depends on when the server noticed.
        while (heard := one.line()) != f"{two.name}: still here":
            self.assertRegex(heard, "^User .* has (joined|left) the chat.$")

    def test_a_member_who_does_not_read_is_put_out_and_holds_nobody_up(self):
        one, two = self.join_all(2)
        slow = self.join()
        self.assert_hears(one, f"{slow.name} has joined the chat.")
        line = "한" * 1300
        longest = 0
        # What the system keeps for him, and the mebibyte that the server does.
        for _ in range(10_000):
            since = time.monotonic()
            two.say(f"{line}\n")
            heard = one.line()
            longest = max(longest, time.monotonic() - since)
            if heard == f"{slow.name} has left the chat.":
                break
            self.assertEqual(heard, f"{two.name}: {line}")
        else:
            self.fail("he is still there")
        self.assertLess(longest, 1)
        self.assertIn(self.put_out, self.process.stderr.readline().decode())
        self.assert_hears(one, f"{two.name}: {line}")

    def test_a_signal_ends_it_whoever_is_connected(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                self.process, self.address = self.start(self.server, *self.words)
                members = self.join_all(50)
                members[0].say("half a li")
                self.assert_ends_promptly(self.process, number)

    @contextlib.contextmanager
    def flooding(self, flooder, said):
        """While this lasts, he says this as often as he can."""

        def flood():
            # He is put out, slowed down, or kept up with.
            with contextlib.suppress(OSError):
                flooder.say(f"{said}\n" * (20_000_000 // len(said)))

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        yield
        with contextlib.suppress(OSError):
            flooder.sock.shutdown(socket.SHUT_RDWR)
        thread.join()

    def test_a_member_who_floods_does_the_others_no_harm(self):
        one, two = self.join_all(2)
        flooder = self.join()
        self.assert_hears(one, f"{flooder.name} has joined the chat.")
        with self.flooding(flooder, "!"):
            self.assert_hears(one, f"{flooder.name}: !")
            two.say("still here\n")
            while (heard := one.line()) != f"{two.name}: still here":
                self.assertIn(heard, (f"{flooder.name}: !", f"{flooder.name} has left the chat."))

    def test_garbage_harms_nobody_else(self):
        one, two = self.join_all(2)
        for garbage in (b"x" * (1 << 20), "한".encode() * 350_000, bytes(range(256)) * 4096):
            stranger = self.join()
            self.assert_hears(one, f"{stranger.name} has joined the chat.")
            # Whoever is put out may see it while he still sends.
            with contextlib.suppress(OSError):
                stranger.sock.sendall(garbage)
                stranger.sock.shutdown(socket.SHUT_WR)
                read_to_end(stranger.sock)
            while (heard := one.line()) != f"{stranger.name} has left the chat.":
                self.assertTrue(heard.startswith(f"{stranger.name}: "), heard)
            two.say("still here\n")
            self.assert_hears(one, f"{two.name}: still here")

    def test_control_characters_are_shown(self):
        one, two = self.join_all(2)
        two.say("\x1b[2Jred\ttape\x9b\n")
        self.assert_hears(one, f"{two.name}: \\u{{1b}}[2Jred\\ttape\\u{{9b}}")


class ThreadedChat(Chat):
    """The same of chat_server, whose members need not end what they say."""

    server = "chat_server"
    put_out = "does not keep up"

    def test_a_member_who_floods_puts_nobody_out_who_is_busy_for_a_moment(self):
        one = self.join()
        flooder = self.join()
        self.assert_hears(one, f"{flooder.name} has joined the chat.")
        with self.flooding(flooder, "!" * 1000):
            time.sleep(1)
            # More than was said in that second: he is still there, and has missed nothing.
            self.assert_hears(one, *[f"{flooder.name}: " + "!" * 1000] * 1500)

    def join_bare(self):
        """A member as the tutorials' programs make them: no line end, ever."""
        sock = self.connect(self.address)
        self.assertEqual(read_exactly(sock, len(WELCOME) + 1).decode(), WELCOME + "\n")
        return sock, "User {}:{}".format(*sock.getsockname())

    def test_a_pause_ends_what_is_said(self):
        one = self.join()
        bare, name = self.join_bare()
        self.assert_hears(one, f"{name} has joined the chat.")
        for said in ("hello", "안녕하세요", " 🦀 "):
            bare.sendall(said.encode())
            self.assert_hears(one, f"{name}: {said.strip()}")
        one.say("welcome\n")
        heard = f"{one.name}: welcome\n".encode()
        self.assertEqual(read_exactly(bare, len(heard)), heard)
        bare.sendall(b"Quit")
        self.assertEqual(read_to_end(bare), b"")
        self.assert_hears(one, f"{name} has left the chat.")

    def test_no_pause_ends_what_is_said_within_a_character(self):
        one = self.join()
        bare, name = self.join_bare()
        self.assert_hears(one, f"{name} has joined the chat.")
        for split in (1, 2, 4, 5):
            bare.sendall("안녕".encode()[:split])
            # Longer than the pause that ends a message; what is whole may be told by then, but no half of a character.
            time.sleep(0.1)
            bare.sendall("안녕".encode()[split:])
            self.assert_hears(one, f"{name}: 안녕")


class CoroutineChat(ThreadedChat):
    """The same of chat_server, whose handler then runs on coroutines."""

    words = ("coroutine",)
