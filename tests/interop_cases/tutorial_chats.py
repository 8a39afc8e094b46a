"""The tutorials' chat servers as they behave, written anew, but for their endless loops where somebody has vanished."""

import contextlib
import socketserver
import threading


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread for each client, as the tutorials have it."""

    daemon_threads = True

    def shutdown_request(self, request):
        # A handler may have closed it.
        with contextlib.suppress(OSError):
            super().shutdown_request(request)


class Chat(socketserver.BaseRequestHandler):
    """Nobody is told what he says himself; one `recv` is one message; no line ends anywhere."""

    clients, lock = [], threading.Lock()

    def tell_others(self, message):
        with self.lock:
            for client in self.clients:
                if client is not self.request:
                    client.sendall(message.encode())

    def handle(self):
        with self.lock:
            self.clients.append(self.request)
        self.request.sendall(b"Welcome to the chat server! Type 'quit' to exit.")
        self.tell_others(f"User from {self.client_address} has joined the chat.")
        while data := self.request.recv(1024):
            if data.decode().strip().lower() == "quit":
                break
            self.tell_others(f"User {self.client_address}: {data.decode()}")
        with self.lock:
            self.clients.remove(self.request)
        self.tell_others(f"User from {self.client_address} has left the chat.")


class MultiUserChat(socketserver.BaseRequestHandler):
    """A chat of people with names, who are told everything; one `recv` is one message, and `end` leaves."""

    users = {}

    def tell_all(self, message):
        for client in list(self.users.values()):
            client.sendall(message.encode())

    def handle(self):
        while True:
            self.request.sendall("이름을 입력하세요: ".encode())
            name = self.request.recv(1024).decode()
            if name not in self.users:
                break
            self.request.sendall("이미 등록되어 있습니다.\n".encode())
        self.users[name] = self.request
        self.tell_all(f"★{name}님이 참여했습니다.\n")
        while (said := self.request.recv(1024).decode()) not in ("", "end"):
            self.tell_all(f"[{name}] {said}\n")
        self.request.close()
        del self.users[name]
        self.tell_all(f"★{name}님이 퇴장했습니다.\n")


class Echo(socketserver.BaseRequestHandler):
    """Sends everything back, and `end` too, before it closes."""

    def handle(self):
        data = None
        while data not in (b"", b"end"):
            data = self.request.recv(1024)
            self.request.sendall(data)
