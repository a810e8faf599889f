# SPDX-License-Identifier: Apache-2.0
"""A program in a terminal that a test looks at: tmux."""
import os
import subprocess

from systemtests import wait_until


class Terminal:
    """with Terminal(t, 80, 24, argv) as term: term.keys("g"); term.see("words", 10)"""

    def __init__(self, t, columns, rows, argv, locale="C.UTF-8"):
        self.t = t
        self.socket = t.path("tmux")
        self.status = t.path("status")
        self.argv = ["sh", "-c", '"$@" 2>"$0.err"; echo $? >"$0"', self.status, *argv]
        self.size = (columns, rows)
        self.env = {**t.env, "LC_ALL": locale, "TERM": "xterm-256color"}

    def _tmux(self, *words):
        r = subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", *words], env=self.env, text=True, errors="replace",
                           timeout=30, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if r.returncode:
            raise AssertionError(f"tmux {words[0]}: {r.stderr.strip()}; {self.errors()}")
        return r.stdout

    def __enter__(self):
        columns, rows = self.size
        # a second window keeps the server alive when the program has ended
        self._tmux("new-session", "-d", "-s", "x", "-x", str(columns), "-y", str(rows), *self.argv, ";", "set", "-g", "status", "off",
                   ";", "set", "-g", "remain-on-exit", "on", ";", "set", "-g", "window-size", "manual")
        return self

    def __exit__(self, *_):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], stderr=subprocess.DEVNULL, timeout=30)

    def errors(self):
        try:
            with open(self.status + ".err", errors="replace") as f:
                return f.read()[-2000:]
        except OSError:
            return ""

    def keys(self, *names):
        self._tmux("send-keys", "-t", "x", *names)

    def resize(self, columns, rows):
        self._tmux("resize-window", "-t", "x", "-x", str(columns), "-y", str(rows))

    def screen(self):
        return self._tmux("capture-pane", "-p", "-t", "x")

    def raw(self):
        """With the colours, as escape sequences."""
        return self._tmux("capture-pane", "-p", "-e", "-t", "x")

    def see(self, words, seconds=15):
        """Waits until they are on the screen; the screen."""
        last = [""]

        def there():
            last[0] = self.screen()
            return words in last[0]
        try:
            wait_until(there, seconds, words)
        except AssertionError as e:
            raise AssertionError(f"{e}; the screen:\n{last[0]}{self.errors()}") from None
        return last[0]

    def ended(self, seconds=10):
        """Its exit status."""
        wait_until(lambda: os.path.exists(self.status) and os.path.getsize(self.status), seconds, "the program has ended")
        with open(self.status) as f:
            return int(f.read())
