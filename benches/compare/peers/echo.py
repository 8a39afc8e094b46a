"""An echo server on Python's socketserver.ThreadingTCPServer, a thread for every connection.

Takes the size of its buffer, prints where it listens, and serves until a signal ends it.
"""

import socket
import socketserver
import sys

BUFFER = int(sys.argv[1])


class Echo(socketserver.BaseRequestHandler):
    def setup(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def handle(self):
        while data := self.request.recv(BUFFER):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 4096
    # Else it keeps a list of all threads that it has started, to join them at its end.
    daemon_threads = True


with Server(("127.0.0.1", 0), Echo) as server:
    print("listening on %s:%d" % server.server_address, flush=True)
    server.serve_forever()
