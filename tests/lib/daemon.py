# SPDX-License-Identifier: Apache-2.0
"""bramble serve as a child in a network namespace, on a state directory of its own."""
import json
import os
import socket
import subprocess
import time

import netlab
from systemtests import stop

REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:")


def daemon_pid(t, net):
    """Of the one that serves in this namespace, below whatever started it."""
    r = t.run("ip", "netns", "pids", net.name)
    for pid in r.stdout.split():
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            if b"\0serve\0" in f.read():
                return pid
    raise AssertionError("no daemon")


class Daemon:
    """with Daemon(context, net, "image") as d: ... d.cli("board", "list") ...

    Leaving the block stops it and asserts a clean exit and no sanitizer report.
    """

    def __init__(self, context, net, *arguments, image=None, state=None, address=netlab.CIDR, dhcp="full"):
        self.context = context
        self.net = net
        self.state = state or context.path("state")
        self.log_path = context.path(f"serve-{time.monotonic_ns()}.log")
        argv = [context.bramble, "serve", *([image] if image else []), "--interface", "br0",
                "--address", address, "--dhcp", dhcp, "--state", self.state, *arguments]
        self.argv = net.exec(*argv)
        self.process = None
        self.expect_failure = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        status = stop(self.process, 20)
        report = self.log()
        for r in REPORTS:
            assert r not in report, f"sanitizer report from the daemon: see {os.path.basename(self.log_path)}"
        if kind is None and not self.expect_failure:
            assert status == 0, f"the daemon ended with status {status}"

    def start(self, seconds=900):
        """Starts it and waits until it says READY=1 to the service manager that we play."""
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = self.context.path(f"notify-{time.monotonic_ns()}")
        notify.bind(path)
        os.chmod(path, 0o777)
        env = {**self.context.env, "NOTIFY_SOCKET": path}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        notify.settimeout(0.2)
        end = time.monotonic() + seconds
        try:
            while True:
                try:
                    if b"READY=1" in notify.recv(4096):
                        return
                except TimeoutError:
                    pass
                if self.process.poll() is not None:
                    raise AssertionError(f"the daemon ended with status {self.process.returncode} "
                                         f"before it was ready: {self.log()[-2000:]}")
                if time.monotonic() > end:
                    raise AssertionError(f"the daemon is not ready after {seconds} s: {self.log()[-2000:]}")
        finally:
            notify.close()

    def restart(self):
        status = stop(self.process, 20)
        assert status == 0, f"the daemon ended with status {status}"
        self.start()

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def cli(self, *arguments, check=True, timeout=600):
        """A command against this daemon; returns the finished process."""
        return self.context.run(*self.net.exec(self.context.bramble, "--state", self.state, *arguments),
                                check=check, timeout=timeout)

    def json(self, *arguments):
        return json.loads(self.cli(*arguments, "-o", "json").stdout)

    def jsonl(self, *arguments):
        return [json.loads(line) for line in self.cli(*arguments, "-o", "jsonl").stdout.splitlines()]
