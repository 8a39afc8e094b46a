"""tcp_echo_client, with Python's socketserver as its server."""

import socketserver

from .support import TEXT, Case, lines_of_a_mebibyte, reset, run


class EchoClient(Case):
    """Python's socketserver as the server of tcp_echo_client."""

    def assert_received(self, address, sent, received):
        done = run("tcp_echo_client", address, stdin=sent)
        self.assertEqual((done.stdout, done.stderr, done.returncode), (received, b"", 0))

    def test_lines_come_back(self):
        def echo(request):
            for line in request.rfile:
                request.wfile.write(line)

        for server_class in (socketserver.TCPServer, socketserver.ThreadingTCPServer):
            address = self.serve(echo, server_class)
            self.assert_received(address, b"", b"")
            self.assert_received(address, b"\n", b"Received: \n")
            self.assert_received(address, b"one\ntwo", b"Received: one\nReceived: two\n")
            self.assert_received(address, TEXT.encode() * 500, b"Received: " + (b"Received: ".join([TEXT.encode()] * 500)))
            # Bytes are bytes.
            self.assert_received(address, b"\xff\x00\n", b"Received: \xff\x00\n")
            longest = b"x" * 65536 + b"\n"
            self.assert_received(address, longest, b"Received: " + longest)

    def test_a_name_as_the_address(self):
        address = self.serve(lambda request: request.wfile.write(request.rfile.readline()))
        self.assert_received(address.replace("127.0.0.1", "localhost"), b"hi\n", b"Received: hi\n")

    def test_an_answer_in_pieces(self):
        def dribble(request):
            for line in request.rfile:
                for byte in line:
                    request.wfile.write(bytes([byte]))

        self.assert_received(self.serve(dribble), TEXT.encode(), b"Received: " + TEXT.encode())

    def test_a_mebibyte_in_lines(self):
        def echo(request):
            for line in request.rfile:
                request.wfile.write(line)

        sent = lines_of_a_mebibyte()
        received = b"".join(b"Received: " + line for line in sent.splitlines(keepends=True))
        self.assert_received(self.serve(echo), sent, received)

    def test_a_server_that_goes_away(self):
        def silent(request):
            request.rfile.readline()

        def half(request):
            request.rfile.readline()
            request.wfile.write("안녕".encode()[:4])

        def broken_off(request):
            request.rfile.readline()
            reset(request.connection)

        for handle in (silent, half, broken_off):
            with self.subTest(server=handle.__name__):
                address = self.serve(handle)
                done = run("tcp_echo_client", address, stdin=b"hello\n")
                self.assertEqual((done.stdout, done.returncode), (b"", 1))
                self.assert_one_line(done.stderr, "reset" if handle is broken_off else f"{address} closed the connection")

    def test_too_long_an_answer(self):
        address = self.serve(lambda request: request.wfile.write(b"x" * 200_000))
        done = run("tcp_echo_client", address, stdin=b"hello\n")
        self.assertEqual((done.stdout, done.returncode), (b"", 1))
        self.assert_one_line(done.stderr, "65536")
