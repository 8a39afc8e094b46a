"""The example programs with Python's own socket and socketserver on the other end.

`cargo test` runs it through interop.rs. By hand: cargo build --examples && python3 tests/interop.py [CLASS[.TEST] ...]
The programs are looked for in the folder that the environment variable EXAMPLES names, by default target/debug/examples.
"""

import sys
import unittest

from interop_cases.application import ApplicationClient, ApplicationMistakes, ApplicationServer, ApplicationSignals
from interop_cases.chat import Chat, CoroutineChat, ThreadedChat
from interop_cases.chat_client import ChatClient
from interop_cases.chat_terminal import ChatTerminal
from interop_cases.clients import PythonClients
from interop_cases.datagrams import DatagramMistakes, DatagramPrograms, PythonDatagrams, UdpClientExample
from interop_cases.details import DetailMistakes, Names, ReceiveExactly, SocketOptions, Timeouts
from interop_cases.echo_client import EchoClient
from interop_cases.echo_servers import Counting, OneClient, PrefixEcho, RequestHandler
from interop_cases.exercises import ThreadsAndTraits
from interop_cases.many_connections import MultiConnectionClient
from interop_cases.message_clients import ConversationClient, MessageClient
from interop_cases.mistakes import Mistakes
from interop_cases.multi_user_chat import MultiUserChat
from interop_cases.nobody_reads import NobodyReads
from interop_cases.nonblocking import NonblockingConnect
from interop_cases.reactor_once import ReactorOnce
from interop_cases.signals import Signals
from interop_cases.tour import Tour
from interop_cases.web import HttpGet, HttpMistakes, HttpServer, HttpSignals

__all__ = [
    "ApplicationClient",
    "ApplicationMistakes",
    "ApplicationServer",
    "ApplicationSignals",
    "Chat",
    "ChatClient",
    "ChatTerminal",
    "ConversationClient",
    "CoroutineChat",
    "Counting",
    "DatagramMistakes",
    "DatagramPrograms",
    "DetailMistakes",
    "EchoClient",
    "HttpGet",
    "HttpMistakes",
    "HttpServer",
    "HttpSignals",
    "MessageClient",
    "Mistakes",
    "MultiConnectionClient",
    "MultiUserChat",
    "Names",
    "NobodyReads",
    "NonblockingConnect",
    "OneClient",
    "PrefixEcho",
    "PythonClients",
    "PythonDatagrams",
    "ReactorOnce",
    "ReceiveExactly",
    "RequestHandler",
    "Signals",
    "SocketOptions",
    "ThreadedChat",
    "ThreadsAndTraits",
    "Timeouts",
    "Tour",
    "UdpClientExample",
]

if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")
    unittest.main(verbosity=2)
