"""The exercises that come before the servers."""

from .support import Case, run, run_unread


class ThreadsAndTraits(Case):
    """threads_and_traits: what the tutorial's two programs print."""

    def test_it_prints_what_pythons_does(self):
        done = run("threads_and_traits")
        self.assertEqual((done.stderr, done.returncode), (b"", 0))
        lines = done.stdout.decode().splitlines()
        # In whatever order, but before the end of main.
        self.assertEqual(sorted(lines[:10]), ["thread1 ++++++++"] * 5 + ["thread2 ========"] * 5)
        self.assertEqual(lines[10:], ["main END!", "handsome", "pretty", "I love python"])

    def test_nobody_reads_what_it_says(self):
        done = run_unread("threads_and_traits")
        self.assertEqual(done.returncode, 1)
        self.assert_one_line(done.stderr, "threads_and_traits: ", "Broken pipe")

    def test_a_wrong_command_line(self):
        done = run("threads_and_traits", "argument")
        self.assertEqual((done.stdout, done.returncode), (b"", 2))
        self.assert_one_line(done.stderr, "usage: threads_and_traits")
