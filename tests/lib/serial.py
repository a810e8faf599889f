# SPDX-License-Identifier: Apache-2.0
"""Talks to a console: a program on a pseudo-terminal. expect() waits for a pattern, send() types.

A thread reads all the while: a program that prints to a terminal which nobody reads stops in the middle of it.
"""
import codecs
import os
import pty
import re
import select
import subprocess
import threading
import time

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>78M]")
ANSI_BEGUN = re.compile(r"\x1b(\[[0-9;?]*|[()])?$")


class Console:
    """Runs argv on a terminal of its own; everything it prints also goes to the file log."""

    def __init__(self, argv, log, env=None, cwd=None):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=cwd,
                                        start_new_session=True)
        os.close(slave)
        self.buffer = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.begun = ""         # a terminal sequence cut by the end of what was read
        self.log = open(log, "w", buffering=1, errors="replace")
        self.more = threading.Condition()       # of what is in buffer
        self.gone = self.closing = False
        self.reader = threading.Thread(target=self._read_all, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read_all(self):
        while True:
            ready, _, _ = select.select([self.master], [], [], 0.2)
            if not ready and self.closing:
                break
            try:
                data = os.read(self.master, 65536) if ready else None
            except OSError:
                break
            if data == b"":
                break
            if data:
                with self.more:
                    self._take(data)
                    self.more.notify_all()
        with self.more:
            self.gone = True
            self.more.notify_all()

    def _take(self, data):
        text = ANSI.sub("", self.begun + self.decoder.decode(data).replace("\r", ""))
        m = ANSI_BEGUN.search(text)
        self.begun = m[0] if m else ""
        text = text[:len(text) - len(self.begun)]
        self.log.write(text)
        self.buffer += text

    def expect(self, pattern, seconds=60):
        """Waits for the pattern, forgets everything up to its end; returns (text before, match)."""
        end = time.monotonic() + seconds
        regex = re.compile(pattern, re.M)
        with self.more:
            while True:
                m = regex.search(self.buffer)
                if m:
                    before = self.buffer[:m.start()]
                    self.buffer = self.buffer[m.end():]
                    return before, m
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"{seconds} s without {pattern!r}; the last of it: {self.buffer[-800:]}")
                if self.gone:
                    raise AssertionError(f"ended without {pattern!r}; the last of it: {self.buffer[-800:]}")
                self.more.wait(left)

    def drain(self, seconds):
        """Waits so long and keeps nothing but the log. Raises when the program is gone."""
        with self.more:
            if self.more.wait_for(lambda: self.gone, seconds):
                raise AssertionError(f"ended; the last of it: {self.buffer[-800:]}")
            self.buffer = self.buffer[-800:]

    def send(self, text):
        os.write(self.master, text.encode())

    def login(self, user="root", password="raspberry", seconds=300):
        self.expect(r"login: ", seconds)
        self.send(user + "\n")
        self.expect(r"[Pp]assword: ", seconds)
        self.send(password + "\n")
        self.expect(r"[#$] $", seconds)
        self.command("PS1=''; bind 'set enable-bracketed-paste off'; stty -echo cols 200; dmesg -n 1", seconds)

    def command(self, line, seconds=120):
        """Types a shell command; its output."""
        mark = f"done{time.monotonic_ns()}"
        # the mark is split so that the echo of the command line does not match it
        self.send(f"{line}; echo {mark[:4]}''{mark[4:]}:$?\n")
        before, m = self.expect(rf"{mark}:(\d+)\n", seconds)
        self.status = int(m[1])
        return before.split("\n", 1)[1] if before.count("\n") and mark[4:] in before.split("\n", 1)[0] else before

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.closing = True
        self.reader.join()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
        self.log.close()
        return self.process.returncode
