"""multi_user_chat_server, with Python's sockets as its members."""

import contextlib
import random
import signal
import socket
import threading
import time

from .support import TEXT, Case, Said, read_exactly, read_to_end, reset

ASKED = "이름을 입력하세요: "
TAKEN = "이미 등록되어 있습니다.\n"
NO_NAME = "이름은 제어 문자 없이 1자에서 20자까지입니다.\n"


def joined(name):
    return f"★{name}님이 참여했습니다."


def left(name):
    return f"★{name}님이 퇴장했습니다."


class Member:
    """One who has been asked for his name. What he says ends with `end`: nothing, as in the tutorial's client, or a line end."""

    def __init__(self, sock, end):
        self.sock = sock
        self.end = end
        self.name = None
        self.lines = None
        self.expect(ASKED)

    def expect(self, text):
        heard = read_exactly(self.sock, len(text.encode())).decode()
        assert heard == text, f"told {heard!r} where {text!r} was expected"

    def say(self, text):
        self.sock.sendall((text + self.end).encode())

    def enter(self, name):
        """Says his name, which he can have."""
        self.name = name
        self.say(name)
        self.lines = self.sock.makefile(encoding="utf-8", newline="\n")
        assert self.line() == joined(name)
        return self

    def line(self):
        line = self.lines.readline()
        if not line.endswith("\n"):
            raise EOFError(f"{self.name} was told {line!r}, and no more")
        return line[:-1]


class MultiUserChat(Case):
    """Python's sockets as the members of multi_user_chat_server."""

    def setUp(self):
        super().setUp()
        self.begin()

    def begin(self):
        self.process, self.address = self.start("multi_user_chat_server")
        self.process.said = Said(self.process.stdout)

    def come(self, end="\n"):
        return Member(self.connect(self.address), end)

    def join(self, name, *others, end="\n"):
        """A member of that name, of whom the others have been told."""
        member = self.come(end).enter(name)
        self.assert_all_hear(others, joined(name))
        return member

    def assert_all_hear(self, members, *lines):
        for member in members:
            for line in lines:
                self.assertEqual(member.line(), line)

    def test_what_is_said_and_what_the_server_prints(self):
        one = self.come("")
        self.assert_says(self.process, "127.0.0.1:{}".format(one.sock.getsockname()[1]))
        one.enter("철수")
        self.assert_says(self.process, "채팅 참여 인원 1명")
        two = self.join("Zoë 🦀", one)
        self.assert_says(self.process, "127.0.0.1:{}".format(two.sock.getsockname()[1]), "채팅 참여 인원 2명")
        for member, text in ((one, "안녕하세요"), (two, "hello, 철수"), (one, " 그래 🦀 ")):
            member.say(text)
            self.assert_all_hear((one, two), f"[{member.name}] {text}")
            self.assert_says(self.process, f"[{member.name}] {text}")
        two.say("")
        two.say("end")
        self.assertEqual(two.lines.read(), "")
        self.assert_all_hear([one], left(two.name))
        self.assert_says(self.process, "[Zoë 🦀] end", "[Zoë 🦀] 접속 종료", "채팅 참여 인원 1명")
        one.say("end")
        self.assertEqual(one.lines.read(), "")
        self.assert_says(self.process, "[철수] end", "[철수] 접속 종료", "채팅 참여 인원 0명")

    def test_a_name_that_is_taken(self):
        one = self.join("철수")
        two = self.come()
        for name in ("철수", " 철수\r"):
            two.say(name)
            two.expect(TAKEN + ASKED)
        two.enter("영희")
        self.assert_all_hear([one], joined("영희"))
        one.say("end")
        self.assert_all_hear([two], left("철수"))
        # It is free again.
        self.join("철수", two)

    def test_names_that_nobody_can_have(self):
        one = self.come()
        for name in ("", "  ", "x" * 21, "가" * 21, "a\tb", "\x1b[2J", "a\x00", "\x7f", "\x9b"):
            one.say(name)
            one.expect(NO_NAME + ASKED)
        self.join("x" * 20)
        one.enter("가" * 20)
        one.say("여기")
        self.assertEqual(one.line(), f"[{one.name}] 여기")

    def test_a_name_that_many_want_at_once(self):
        count = 50
        members = [self.come() for _ in range(count)]
        together = threading.Barrier(count)
        answers = []

        def want(member):
            together.wait()
            member.say("철수")
            answers.append(member.sock.recv(1024).decode().splitlines()[0])

        threads = [threading.Thread(target=want, args=(member,), daemon=True) for member in members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(answers), sorted([joined("철수")] + [TAKEN.strip()] * (count - 1)))

    def test_members_who_vanish_leave_too(self):
        one = self.join("하나")

        def close(member):
            member.lines.close()
            member.sock.close()

        def end(member):
            member.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(member.lines.read(), "")

        def reset_(member):
            member.lines.close()
            reset(member.sock)

        for go in (close, end, reset_):
            for said in ("", "half a li"):
                for line_end in ("\n", ""):
                    with self.subTest(go=go.__name__, said=said, line_end=line_end):
                        other = self.join("둘", one, end=line_end)
                        other.sock.sendall(said.encode())
                        if said and go is end:
                            # What he says is heard before he leaves.
                            other.sock.shutdown(socket.SHUT_WR)
                            self.assert_all_hear([other, one], f"[둘] {said}")
                            self.assertEqual(other.lines.read(), "")
                        else:
                            go(other)
                        heard = one.line()
                        if heard == f"[둘] {said}":
                            heard = one.line()
                        self.assertEqual(heard, left("둘"))
        for said in ("", "half a na", "x" * 21 + "\n"):
            # Of one who never had a name nobody is told.
            other = self.come()
            other.sock.sendall(said.encode())
            reset(other.sock)
        self.join("셋", one)

    def test_pieces_of_every_size(self):
        one = self.join("하나")
        two = self.join("둘", one)
        whole = TEXT.encode()
        for size in range(1, len(whole) + 1):
            for start in range(0, len(whole), size):
                two.sock.sendall(whole[start : start + size])
            self.assert_all_hear((one, two), f"[둘] {TEXT.strip()}")

    def test_no_pause_ends_what_is_said_within_a_character(self):
        one = self.join("하나")
        two = self.come("")
        # Longer than the pause that ends a message; it is no name either.
        two.sock.sendall("둘".encode()[:2])
        time.sleep(0.1)
        two.sock.sendall("둘".encode()[2:])
        two.name = "둘"
        two.lines = two.sock.makefile(encoding="utf-8", newline="\n")
        self.assert_all_hear((one, two), joined("둘"))
        for split in (1, 2, 4, 5):
            two.sock.sendall("안녕".encode()[:split])
            time.sleep(0.1)
            two.sock.sendall("안녕".encode()[split:])
            self.assert_all_hear((one, two), "[둘] 안녕")

    def test_a_mebibyte(self):
        one = self.join("하나")
        two = self.join("둘", one)
        numbers = random.Random(4)
        said = ["가" * numbers.randrange(1, 1365) for _ in range(600)]
        sender = threading.Thread(target=two.say, args=("\n".join(said),), daemon=True)
        sender.start()
        for line in said:
            self.assert_all_hear((one, two), f"[둘] {line}")
        sender.join()

    def test_all_hear_everything_once_and_in_the_same_order(self):
        count, messages = 50, 20
        members = []
        for number in range(count):
            members.append(self.join(f"손님 {number}", *members))
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
                heard[member.name] = [member.line() for _ in range(messages * count)]
                # Nothing more comes but what ends it.
                member.say("end")
                trouble.extend(line for line in member.lines if not line.endswith("님이 퇴장했습니다.\n"))
            except Exception as error:
                trouble.append(f"{member.name}: {error!r}")

        threads = [threading.Thread(target=take_part, args=(member,), daemon=True) for member in members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(trouble, [])
        in_order = heard[members[0].name]
        for member in members:
            self.assertEqual(heard[member.name], in_order)
            said = [line for line in in_order if line.startswith(f"[{member.name}] ")]
            self.assertEqual(said, [f"[{member.name}] {number}번째 메시지 🦀" for number in range(messages)])

    def test_a_signal_ends_it_whoever_is_connected(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                self.begin()
                members = []
                for count in range(50):
                    members.append(self.join(f"손님 {count}", *members))
                self.come().say("x" * 21)
                members[0].sock.sendall(b"half a li")
                self.assert_ends_promptly(self.process, number)

    def test_garbage_harms_nobody_else(self):
        one = self.join("하나")
        for garbage, complaint in (
            (b"x" * (1 << 20), "a line is longer than the limit of 4096 bytes"),
            (b"\xff\xfe\n", "not UTF-8 from byte 0"),
            ("한".encode()[:2] + b"\n", "not UTF-8 from byte 0"),
        ):
            for name in (None, "둘"):
                with self.subTest(garbage=garbage[:3], name=name):
                    stranger = self.join(name, one) if name else self.come()
                    # Whoever is put out may see it while he still sends.
                    with contextlib.suppress(OSError):
                        stranger.sock.sendall(garbage)
                        self.assertEqual(read_to_end(stranger.sock), b"")
                    if name:
                        self.assert_all_hear([one], left(name))
                    self.assertIn(complaint, self.process.stderr.readline().decode())
                    one.say("still here")
                    self.assert_all_hear([one], "[하나] still here")

    def test_control_characters_are_shown(self):
        one = self.join("하나")
        one.say("\x1b[2Jred\ttape\x9b")
        shown = "[하나] \\u{1b}[2Jred\\ttape\\u{9b}"
        self.assert_all_hear([one], shown)
        self.assert_says(self.process, "127.0.0.1:{}".format(one.sock.getsockname()[1]), "채팅 참여 인원 1명", shown)

    def test_a_member_who_does_not_read_is_put_out_and_holds_nobody_up(self):
        # Nobody reads what the server prints either, nor could he.
        self.process, self.address = self.start("multi_user_chat_server")
        self.process.stdout.close()
        one = self.join("하나")
        self.join("느림보", one)
        line = "한" * 1300
        longest = 0
        # What the system keeps for him, and the mebibyte that the server does.
        for _ in range(10_000):
            since = time.monotonic()
            one.say(line)
            heard = one.line()
            longest = max(longest, time.monotonic() - since)
            if heard == left("느림보"):
                break
            self.assertEqual(heard, f"[하나] {line}")
        else:
            self.fail("he is still there")
        self.assertLess(longest, 1)
        self.assertIn("does not keep up", self.process.stderr.readline().decode())
        self.assert_all_hear([one], f"[하나] {line}")
