# SPDX-License-Identifier: Apache-2.0
"""Logs of boards: real senders on a real wire, found again by the command line, over a kill of the daemon."""
import json
import os
import signal
import subprocess

from daemon import Daemon, daemon_pid
from netlab import Net
from systemtests import wait_until

PI = "dc:a6:32:00:00:0%d"


def lab(t, *arguments):
    t.need_root()
    t.need_program("logger", "curl", "busybox")
    net = t.enter(Net())
    boards = []
    for i in (1, 2):
        board = net.client(PI % i)
        board.address(f"10.77.0.{20 + i}/24")
        boards.append(board)
    # the addresses are somebody else's to give: boards are known by their MACs
    return net, t.enter(Daemon(t, net, *arguments, dhcp="off")), boards


def rows(daemon, *argv):
    r = daemon.cli("log", *argv, "-o", "jsonl", check=False)
    return [json.loads(line) for line in r.stdout.splitlines()]


def log(t, board, *argv, **more):
    return t.run(*board.exec("logger", "-n", "10.77.0.1", "-P", "514", *argv), **more)


def test_real_senders_are_heard(t):
    net, daemon, (one, two) = lab(t)
    log(t, one, "-d", "-t", "udp", "--rfc3164", "-p", "user.err", "by udp, the old form")
    log(t, one, "-d", "-t", "udp", "--rfc5424", "by udp, the new form")
    log(t, one, "-T", "-t", "tcp", "by tcp, newlines")
    log(t, two, "-T", "--octet-count", "-t", "counted", "by tcp, octets counted")
    script = t.path("bramble-log")
    t.run(*two.exec("curl", "-sf", "-o", script, "http://10.77.0.1/bramble-log"))
    for shell in (["sh"], ["busybox", "sh"]):
        t.run(*two.exec(*shell, script, "exp"), input="first\nwith an escape \033[31m, °C\n")
    t.run(*two.exec("sh", script, "exp", "one", "line"))
    # without bash there is busybox's nc
    slim = t.path("slim")
    os.mkdir(slim)
    for name in ("nc", "cat", "sh", "printf", "echo"):
        os.symlink("/bin/busybox", os.path.join(slim, name))
    t.run(*two.exec("env", f"PATH={slim}", "/bin/busybox", "sh", script, "exp", "by nc"))
    t.run(*two.exec("python3", "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto("
                    "b'6,416,1758426,-;usb 1-1: new\\n SUBSYSTEM=usb\\n', ('10.77.0.1', 6666))"))
    wait_until(lambda: len(rows(daemon, "show", "--no-events")) >= 11, 20, "the lines")
    got = rows(daemon, "show", "--no-events")
    texts = [(r["source"], r["stream"], r["text"]) for r in got]
    for want in [("syslog", "udp", "by udp, the old form"), ("syslog", "udp", "by udp, the new form"),
                 ("syslog", "tcp", "by tcp, newlines"), ("syslog", "counted", "by tcp, octets counted"),
                 ("stream", "exp", "with an escape \\x1b[31m, °C"), ("stream", "exp", "one line"), ("stream", "exp", "by nc"),
                 ("kernel", None, "usb 1-1: new")]:
        assert want in texts, (want, texts)
    assert texts.count(("stream", "exp", "first")) == 2, texts
    assert [r["severity"] for r in got if r["text"] == "by udp, the old form"] == ["err"], got
    boards = {r["ip"]: r["board"] for r in got}
    assert boards["10.77.0.21"] and boards["10.77.0.22"] and boards["10.77.0.21"] != boards["10.77.0.22"], boards
    assert len(rows(daemon, "grep", "by tcp", boards["10.77.0.22"])) == 1
    assert "\033" not in daemon.cli("log", "show").stdout
    assert daemon.cli("log", "grep", "nobody said this", check=False).returncode == 1
    assert daemon.cli("log", "grep", "(", check=False).returncode == 2


def test_waiting_misses_nothing(t):
    net, daemon, (one, two) = lab(t)
    log(t, one, "-d", "here I am")
    log(t, two, "-d", "here I am")
    wait_until(lambda: len(rows(daemon, "show", "--no-events")) == 2, 20, "the lines")
    names = ",".join(r["board"] for r in rows(daemon, "show", "--no-events"))
    daemon.cli("log", "mark", "begin")

    def wait(*argv):
        return daemon.cli("log", "wait", *argv, "-q", check=False).returncode

    assert wait("--for", "here I am", "--timeout", "1s") == 5  # it was said before
    log(t, one, "-d", "tests passed")
    assert wait("--for", "tests? passed", "--boards", names, "--any", "--since", "begin", "--timeout", "20s") == 0
    assert wait("--for", "passed", "--boards", names, "--all", "--since", "begin", "--timeout", "1s") == 5
    waiting = subprocess.Popen(net.exec(t.bramble, "log", "wait", "--for", "passed", "--boards", names, "--all",
                                        "--since", "begin", "--timeout", "60s", "-q", "--state", daemon.state))
    log(t, two, "-d", "tests passed")
    assert waiting.wait(60) == 0
    assert wait("--for", "x", "--since", "nosuchmark") == 3


def test_a_kill_loses_nothing_that_was_shown(t):
    net, daemon, (one, _) = lab(t, "--logs-rate", "1000", "--logs-size", "8M")
    for i in range(50):
        log(t, one, "-d", f"before the kill {i}")
    wait_until(lambda: len(rows(daemon, "grep", "before the kill")) == 50, 20, "the lines")
    os.kill(int(daemon_pid(t, net)), signal.SIGKILL)
    daemon.process.wait(20)
    daemon.start()
    assert len(rows(daemon, "grep", "before the kill")) == 50
    # above the limit: the newest stay, the loss is told
    lines = "".join(f"flood {i}.\n" for i in range(30000))
    t.run(*one.exec("logger", "-n", "10.77.0.1", "-P", "514", "-T", "-t", "f"), input=lines)
    wait_until(lambda: rows(daemon, "grep", "flood 29999[.]"), 60, "the newest line")
    status = daemon.json("log", "status")
    stored = len(rows(daemon, "grep", "flood", "-n", "100000"))
    wait_until(lambda: rows(daemon, "grep", "lines lost", "--source", "bramble"), 30, "the loss")
    assert status["lost"]["rate"] > 0 and stored + status["lost"]["rate"] == 30000, (stored, status)
    assert daemon.json("event", "list", "-t", "log.lost"), "no event"
    assert status["disk_bytes"] <= 8 << 20, status
