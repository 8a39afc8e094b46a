"""The tour."""

import os
import subprocess

from .support import TIMEOUT, Case, example, run


class Tour(Case):
    def test_visits_every_server(self):
        done = run("tour")
        text = done.stdout.decode()
        self.assertEqual((done.stderr, done.returncode), (b"", 0), text)
        for name in ("TcpServer", "ThreadingTcpServer", "ThreadingTcpServer::from_listener"):
            self.assertRegex(text, rf"(?m)^{name} \(")
        for name in ("UnixStreamServer", "ThreadingUnixStreamServer"):
            self.assertRegex(text, rf"(?m)^{name} \(")
        for name in ("UdpServer", "ThreadingUdpServer", "UnixDatagramServer", "ThreadingUnixDatagramServer"):
            self.assertRegex(text, rf"(?m)^{name} \(")
        for name in ("ReactorTcpServer", "ReactorUnixServer", "ReactorUdp", "Reactor"):
            self.assertRegex(text, rf"(?m)^{name} \(")
        # Those on coroutines are there if it was built with that feature.
        coroutines = sum(f"\n{name} (" in text for name in ("CoroutineTcpServer", "CoroutineUnixServer"))
        self.assertIn(coroutines, (0, 2))
        self.assertEqual(text.splitlines()[-1], f"{15 + coroutines} servers visited, all stopped cleanly")

    def test_nobody_reads_what_it_says(self):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as stdout:
            done = subprocess.run([example("tour")], stdout=stdout, stderr=subprocess.PIPE, timeout=TIMEOUT)
        self.assertEqual(done.returncode, 1)
        self.assert_one_line(done.stderr, "Broken pipe")
