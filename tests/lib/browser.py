# SPDX-License-Identifier: Apache-2.0
"""The web page in a real browser: Debian's Chromium, driven by Playwright (tests/web), inside a test's namespace."""
import contextlib
import http.client
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time

from systemtests import TOP, stop

HERE = os.path.join(TOP, "tests", "web")
ARTIFACTS = os.path.join(HERE, "artifacts")
_prepared = threading.Lock()


def need_browser(t):
    """Chromium, node, and Playwright as tests/web/package-lock.json has it; else the test is skipped with the reason."""
    t.need_root()
    t.need_program("chromium", "node", "npm")
    with _prepared:
        lock, installed = os.path.join(HERE, "package-lock.json"), os.path.join(HERE, "node_modules", ".package-lock.json")
        if os.path.exists(installed) and os.path.getmtime(installed) >= os.path.getmtime(lock):
            return
        r = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=HERE, text=True, timeout=120,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if r.returncode:
            t.skip(f"npm ci in tests/web failed (no registry in reach?): {r.stdout.strip()[-300:]}")
        os.utime(installed)


class Scenario:
    """with Scenario(t, net, "storm", url=...) as s: s.wait("ready"); s.say("done", boards=[...]); s.finish()

    Runs tests/web/NAME.mjs beside the daemon. The two talk in JSON lines: {"what": WORD, ...}."""

    def __init__(self, t, net, name, **settings):
        self.t, self.name = t, name
        self.shots = os.path.join(ARTIFACTS, name)
        shutil.rmtree(self.shots, ignore_errors=True)
        os.makedirs(self.shots)
        self.log_path = t.path(f"browser-{name}.log")
        self.argv = net.exec("node", os.path.join(HERE, name + ".mjs"), json.dumps({"shots": self.shots, **settings}))
        self.heard = queue.Queue()
        self.figures = {}

    def __enter__(self):
        env = {**self.t.env, "HOME": self.t.dir, "XDG_CONFIG_HOME": self.t.dir, "XDG_CACHE_HOME": self.t.dir,
               "TMPDIR": self.t.dir}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_):
        stop(self.process, 15)
        self._end_browsers()

    def _end_browsers(self):
        """Those of ours that a scenario which was killed has left: their profile lies in the test's directory."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{name}/cmdline", "rb") as f:
                    words = f.read()
                if b"chromium" in words and f"={self.t.dir}/".encode() in words:
                    os.kill(int(name), signal.SIGKILL)

    def _listen(self):
        for line in self.process.stdout:
            try:
                self.heard.put(json.loads(line))
            except ValueError:
                self.t.note(f"{self.name}: {line.rstrip()}")
        self.heard.put({"what": "end"})

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()[-3000:]

    def wait(self, what, seconds=60):
        end = time.monotonic() + seconds
        while True:
            try:
                m = self.heard.get(timeout=max(0.1, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"after {seconds} s the browser has not said '{what}': {self.log()}") from None
            if m["what"] == "figures":
                self.figures.update(m["figures"])
            elif m["what"] == what:
                return m
            elif m["what"] in ("end", "failed"):
                raise AssertionError(f"{self.name}: {m.get('error', 'it ended early')}\n{self.log()}")

    def say(self, what, **more):
        try:
            self.process.stdin.write(json.dumps({"what": what, **more}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.wait("passed", 10)     # it has failed, and said why
            raise

    def finish(self, seconds=60):
        self.wait("passed", seconds)
        with open(os.path.join(self.shots, "figures.json"), "w") as f:
            json.dump(self.figures, f, indent=1)
        return self.figures


class _Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("bramble", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def api(daemon, method, path, body=None):
    """A call by the daemon's own socket."""
    c = _Unix(os.path.join(daemon.state, "api.sock"))
    c.request(method, path, body=json.dumps(body) if body is not None else None)
    r = c.getresponse()
    text = r.read()
    assert r.status < 300, f"{method} {path}: {r.status} {text[:300]}"
    return json.loads(text)
