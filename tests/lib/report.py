# SPDX-License-Identifier: Apache-2.0
"""Counts and prints results; thread-safe, one line per result, a sign of life while nothing ends."""
import sys
import threading
import time

QUIET_S = 20


class Report:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.skips = []
        self._lock = threading.Lock()
        self._running = {}
        self._last = time.monotonic()
        threading.Thread(target=self._sign_of_life, daemon=True).start()

    def say(self, text):
        with self._lock:
            self._print(text)

    def _print(self, text):
        print(text, flush=True)
        self._last = time.monotonic()

    def begin(self, name):
        with self._lock:
            self._running[name] = time.monotonic()

    def _end(self, name):
        return time.monotonic() - self._running.pop(name, time.monotonic())

    def ok(self, name, cases=1, note=""):
        with self._lock:
            took = self._end(name)
            self.passed += cases
            many = f" {cases} cases" if cases > 1 else ""
            self._print(f"ok    {name}{many} ({took:.1f} s){' ' + note if note else ''}")

    def fail(self, name, text="", cases=1, passed=0, skipped=0):
        """text: everything that helps to understand the failure."""
        with self._lock:
            took = self._end(name)
            self.failed += cases
            self.passed += passed
            self.skipped += skipped
            self.failures.append(name)
            self._print(f"FAIL  {name} ({took:.1f} s)")
            for line in text.rstrip().splitlines()[-200:]:
                print("      " + line)
            sys.stdout.flush()

    def skip(self, name, reason, cases=1):
        with self._lock:
            self._end(name)
            self.skipped += cases
            self.skips.append((name, reason))
            self._print(f"skip  {name}: {reason}")

    def _sign_of_life(self):
        while True:
            time.sleep(1)
            with self._lock:
                now = time.monotonic()
                if self._running and now - self._last >= QUIET_S:
                    what = ", ".join(f"{n} ({now - t:.0f} s)" for n, t in self._running.items())
                    self._print(f"...   {what}")

    def finish(self, started):
        with self._lock:
            for name in self.failures:
                print(f"failed: {name}")
            print(f"{time.monotonic() - started:.0f} s")
            print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
            return 1 if self.failed or not self.passed else 0
