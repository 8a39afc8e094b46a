"""Bad arguments and bad luck."""

import socket

from .support import CHATS, OUTSPOKEN, SERVERS, Case, run

# The clients that take an address, or one and a number, and the one that takes any words behind it.
CLIENTS = ("tcp_echo_client", "chat_client", "nonblocking_connect", "multi_connection_client", "conversation_client")
MESSAGE_CLIENT = "message_client"


class Mistakes(Case):
    """Bad arguments and bad luck: one line, and an exit code to go by."""

    def test_a_wrong_command_line(self):
        for name in (*SERVERS, *CHATS, *CLIENTS):
            for arguments in (["127.0.0.1:0", "1", "more"], ["127.0.0.1:0", "more"], ["--help"], [b"\xff"]):
                with self.subTest(name=name, arguments=arguments):
                    done = run(name, *arguments)
                    self.assertEqual((done.stdout, done.returncode), (b"", 2))
                    self.assert_one_line(done.stderr, f"usage: {name} [ADDRESS")
        # What takes a word behind the address, but no other than its own, or two.
        for name in OUTSPOKEN:
            for arguments in (["--help"], [b"\xff"], ["127.0.0.1:0", b"\xff"], ["127.0.0.1:0", "", "more"], [""] * 5):
                with self.subTest(name=name, arguments=arguments):
                    done = run(name, *arguments)
                    self.assertEqual((done.stdout, done.returncode), (b"", 2))
                    self.assert_one_line(done.stderr, f"usage: {name} [ADDRESS [")
        for connections in ("0", "-1", "1.5", "", b"\xff", "10001", str((1 << 64) - 1), str(1 << 64)):
            with self.subTest(connections=connections):
                done = run("multi_connection_client", "127.0.0.1:0", connections)
                self.assertEqual((done.stdout, done.returncode), (b"", 2))
                self.assert_one_line(done.stderr, "usage: multi_connection_client [ADDRESS", "at most 10000")
        self.assertEqual(run("tour", "argument").returncode, 2)

    def test_a_bad_address(self):
        for name in (*SERVERS, *CHATS, *OUTSPOKEN, *CLIENTS, MESSAGE_CLIENT):
            for address in ("", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", ":80"):
                with self.subTest(name=name, address=address):
                    done = run(name, address)
                    self.assertEqual((done.stdout, done.returncode), (b"", 1))
                    self.assert_one_line(done.stderr, f"{name}: invalid address", f'"{address}"')

    def test_a_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:{}".format(taken.getsockname()[1])
            for name in (*SERVERS, *CHATS, *OUTSPOKEN):
                with self.subTest(name=name):
                    done = run(name, address)
                    self.assertEqual((done.stdout, done.returncode), (b"", 1))
                    self.assert_one_line(done.stderr, f"cannot listen on {address}", "does another server run there?")

    def test_a_server_that_is_not_there(self):
        address = self.refusing()
        for name in (*CLIENTS, MESSAGE_CLIENT):
            with self.subTest(name=name):
                done = run(name, address, stdin=b"hello\n")
                self.assertEqual((done.stdout, done.returncode), (b"", 1))
                self.assert_one_line(done.stderr, f"cannot connect to {address}: ", "refused", "is no server running there?")
                self.assertEqual(done.stderr.decode().count(address), 1)
