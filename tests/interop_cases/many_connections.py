"""multi_connection_client, with Python's sockets as its server."""

import socketserver
import threading

from .support import Case, reset, run


def echo(request):
    while data := request.connection.recv(65536):
        request.connection.sendall(data)


def message(number):
    return f"Message 1 from client {number}\n두 번째 메시지 {number}\nand the last, from connection {number}\n".encode()


class MultiConnectionClient(Case):
    """Python's socketserver as the server of multi_connection_client."""

    def assert_all_come_back(self, address, connections):
        done = run("multi_connection_client", address, str(connections))
        self.assertEqual((done.stderr, done.returncode), (b"", 0))
        lines = done.stdout.decode().splitlines()
        numbers = range(1, connections + 1)
        # They end in whatever order the answers come in.
        self.assertEqual(sorted(lines[:-1]), sorted(f"connection {number}: all came back" for number in numbers))
        total = sum(len(message(number)) for number in numbers)
        messages = 3 * connections
        self.assertEqual(lines[-1], f"{connections} connections, {messages} messages, {total} bytes: all came back")

    def assert_fails(self, handle, *parts):
        done = run("multi_connection_client", self.serve(handle), "3")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assert_one_line(done.stderr, "multi_connection_client: connection ", *parts)

    def test_messages_come_back(self):
        address = self.serve(echo)
        for connections in (1, 2, 10, 300):
            self.assert_all_come_back(address, connections)
        self.assert_all_come_back(address.replace("127.0.0.1", "localhost"), 2)

    def test_a_server_for_one_client_at_a_time(self):
        self.assert_all_come_back(self.serve(echo, socketserver.TCPServer), 20)

    def test_all_are_connected_at_once_and_every_byte_is_sent(self):
        all_here = threading.Barrier(50, timeout=10)
        received = []

        def gather(request):
            all_here.wait()
            data = b""
            while data.count(b"\n") < 3:
                data += request.connection.recv(65536)
            received.append(data)
            request.connection.sendall(data)

        self.assert_all_come_back(self.serve(gather), 50)
        self.assertEqual(sorted(received), sorted(message(number) for number in range(1, 51)))

    def test_an_answer_in_pieces(self):
        def dribble(request):
            while data := request.connection.recv(7):
                for byte in data:
                    request.connection.sendall(bytes([byte]))

        self.assert_all_come_back(self.serve(dribble), 20)

    def test_a_wrong_answer(self):
        def shout(request):
            request.connection.sendall(request.connection.recv(65536).upper())

        self.assert_fails(shout, 'got back "MESSAGE 1')

    def test_a_server_that_goes_away(self):
        def nothing(request):
            request.connection.recv(65536)

        def half(request):
            request.connection.sendall(request.connection.recv(65536)[:30])

        def broken_off(request):
            request.connection.recv(65536)
            reset(request.connection)

        self.assert_fails(nothing, "closed the connection before it had answered")
        self.assert_fails(half, "closed the connection before it had answered")
        self.assert_fails(broken_off, "reset")

    def test_nobody_answers(self):
        done = run("multi_connection_client", self.silent(), "3")
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, "3 of 3 connections have hung for 5s")
