# SPDX-License-Identifier: Apache-2.0
"""Boards' consoles: pseudo-terminals as serial lines, Debian's ser2net, Debian's U-Boot; watchers, writers, floods."""
import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import termios
import threading
import time
import tty

from daemon import Daemon
from netlab import Net
from serial import Console
from systemtests import stop, wait_until

PATIENCE = 60
UBOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"


class Line:
    """A serial line whose adapter is /dev/NAME: a board's end at our hands, which says what it is told to."""

    def __init__(self, name):
        self.link = f"/dev/{name}"
        self.master = None
        self.heard = b""
        self.lock = threading.Lock()

    def __enter__(self):
        self.plug()
        return self

    def __exit__(self, *_):
        self.pull()

    def plug(self):
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        path = os.ttyname(slave)
        os.chmod(path, 0o666)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.link)
        os.symlink(path, self.link)
        self.slave = slave
        threading.Thread(target=self._listen, args=(self.master,), daemon=True).start()

    def pull(self):
        if self.master is not None:
            os.unlink(self.link)
            os.close(self.slave)
            master, self.master = self.master, None
            os.close(master)

    def _listen(self, master):
        # never inside read() when it is closed: that would keep the line alive
        with contextlib.suppress(OSError, ValueError):
            while self.master == master:
                if select.select([master], [], [], 0.1)[0]:
                    data = os.read(master, 4096)
                    with self.lock:
                        self.heard += data

    def say(self, data):
        while data:
            data = data[os.write(self.master, data):]

    def wait_heard(self, data):
        wait_until(lambda: data in self.heard, PATIENCE, f"{data} typed on {self.link}, but {self.heard[-200:]}")


def start(t):
    t.need_root()
    net = t.enter(Net())
    return net, t.enter(Daemon(t, net, dhcp="off"))


def add_board(d, name, n, console):
    d.cli("board", "add", name, "--mac", f"02:00:00:00:05:{n:02x}", "--console", console)


def status(d, name):
    r = d.cli("console", name, "--status", "-o", "json")
    return json.loads(r.stdout)


def wait_status(d, name, **wanted):
    def is_so():
        st = status(d, name)
        return all(st[k] == v for k, v in wanted.items()) and st
    return wait_until(is_so, PATIENCE, f"console of {name}: {wanted}, but {status(d, name)}")


def background(t, d, name, *arguments, stdin=subprocess.DEVNULL):
    """bramble console in the background; its output goes to a file, whose path is .path."""
    path = t.path(f"console-{time.monotonic_ns()}.out")
    with open(path, "wb") as out:
        p = subprocess.Popen(d.net.exec(t.bramble, "--state", d.state, "console", name, *arguments), env=t.env,
                             stdin=stdin, stdout=out, stderr=subprocess.STDOUT)
    p.path = path
    t.stack.callback(stop, p)
    return p


def said(p):
    with open(p.path, "rb") as f:
        return f.read()


def test_many_watch_one_writes(t):
    _, d = start(t)
    with Line(f"bramble-test-{os.getpid()}") as line:
        add_board(d, "pi1", 1, f"tty:{line.link}")
        wait_status(d, "pi1", state="up")
        line.say(b"before\r\n")
        watchers = [background(t, d, "pi1", "--watch") for _ in range(3)]
        writer = background(t, d, "pi1", stdin=subprocess.PIPE)
        st = wait_status(d, "pi1", watchers=4)
        assert "pid" in st["writer"] and "local:0" in st["writer"], st
        line.say(b"\x1b[32mhello\x1b[0m\r\n")
        for p in [*watchers, writer]:
            wait_until(lambda p=p: b"before\r\n\x1b[32mhello" in said(p), PATIENCE, "the line at all watchers")
        writer.stdin.write(b"version\r")
        writer.stdin.flush()
        line.wait_heard(b"version\r")
        # somebody else must not write, unless he takes it over or the writer dies
        r = d.cli("console", "pi1", "--send", "x", check=False)
        assert r.returncode == 1 and "writes on this console; --steal takes it over" in r.stderr, r
        r = t.run(*d.net.exec(t.bramble, "--state", d.state, "console", "pi1"), check=False, input="typed by a pipe")
        assert r.returncode == 1 and "writes on this console" in r.stderr, r
        d.cli("console", "pi1", "--steal", "--send", r"stolen\n")
        line.wait_heard(b"stolen\n")
        writer.kill()
        writer.wait()
        second = background(t, d, "pi1", stdin=subprocess.PIPE)
        wait_status(d, "pi1", watchers=4)
        second.send_signal(signal.SIGKILL)
        second.wait()
        # its claim ends with its connection, long before it would run out
        wait_status(d, "pi1", watchers=3, writer=None)
        record = t.path("session.cast")
        line.say(b"what is this?\r\n\xff\xe2\x82\xac login: ")
        r = d.cli("console", "pi1", "--tail", "4K", "--expect", "[lL]ogin: $", "--send", r"root\n", "--timeout", "30s", "--record", record)
        assert "what is this?\n\\xff\u20ac login: " in r.stdout, r.stdout
        line.wait_heard(b"root\n")
        with open(record) as f:
            cast = [json.loads(line) for line in f]
        assert cast[0]["version"] == 2 and any("login" in row[2] for row in cast[1:]), cast
        r = d.cli("console", "pi1", "--expect", "never", "--timeout", "1s", "-o", "json", check=False)
        assert r.returncode == 5 and json.loads(r.stdout)["steps"][0]["ok"] is False, r
        # the adapter is pulled, and another one with the same name is there later
        line.pull()
        st = wait_status(d, "pi1", state="away")
        assert line.link in st["reason"], st
        r = d.cli("console", "pi1", "--send", "x", check=False)
        assert r.returncode == 1 and "its console is away" in r.stderr, r
        line.plug()
        wait_status(d, "pi1", state="up")
        line.say(b"back again\r\n")
        for p in watchers:
            wait_until(lambda p=p: b"back again" in said(p), PATIENCE, "what came after the adapter was back")
        wait_until(lambda: "back again" in d.cli("log", "show", "pi1").stdout, PATIENCE, "the lines in the log")
        types = [e["type"] for e in d.json("event", "list", "pi1")]
        assert "console.up" in types and "console.away" in types and "console.writer" in types, types


def test_a_flood_holds_up_nobody(t):
    """50 MB as fast as they go: a watcher that does not read is told of its loss, the others see the end, the daemon stays small."""
    net, d = start(t)
    with Line(f"bramble-flood-{os.getpid()}") as line, Line(f"bramble-quiet-{os.getpid()}") as quiet:
        add_board(d, "pi1", 1, f"tty:{line.link}")
        add_board(d, "pi2", 2, f"tty:{quiet.link}")
        wait_status(d, "pi1", state="up")
        wait_status(d, "pi2", state="up")
        stopped = background(t, d, "pi1", "--watch")
        wait_status(d, "pi1", watchers=1)
        stopped.send_signal(signal.SIGSTOP)
        block = b"".join(b"%07d %s\r\n" % (i, b"x" * 90) for i in range(1000))
        writing = threading.Thread(target=lambda: [line.say(block) for _ in range(50 * 1000 * 1000 // len(block))])
        writing.start()
        # meanwhile another board's console answers
        r = d.cli("console", "pi2", "--send", "hello", "--timeout", "10s")
        quiet.wait_heard(b"hello")
        writing.join(PATIENCE * 5)
        assert not writing.is_alive(), "the line is not read"
        line.say(b"the end\r\n")
        r = d.cli("console", "pi1", "--expect", "the end", "--tail", "64K", "--timeout", "60s")
        assert "the end" in r.stdout
        stopped.send_signal(signal.SIGCONT)
        wait_until(lambda: b"the end" in said(stopped), PATIENCE, "the end at the slow watcher")
        assert re.search(rb"\[bramble: \d+ bytes were lost", said(stopped)), "the loss is told"
        assert status(d, "pi1")["in"] >= 50 * 1000 * 1000 - len(block)


SER2NET = """%YAML 1.1
---
connection: &c1
  accepter: telnet(rfc2217=true),tcp,127.0.0.1,4001
  connector: serialdev,{device},9600n81,local
connection: &c2
  accepter: tcp,127.0.0.1,4002
  connector: serialdev,{device},115200n81,local
"""


def test_a_terminal_server(t):
    t.need_program("ser2net")
    net, d = start(t)
    with Line(f"bramble-ser2net-{os.getpid()}") as line:
        config = t.path("ser2net.yaml")
        with open(config, "w") as f:
            f.write(SER2NET.format(device=os.path.realpath(line.link)))
        argv = net.exec("ser2net", "-n", "-c", config, "-P", t.path("ser2net.pid"))
        with open(t.path("ser2net.log"), "wb") as log:
            server = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        t.stack.callback(stop, server)
        add_board(d, "pi1", 1, "rfc2217://127.0.0.1:4001?speed=115200")
        wait_status(d, "pi1", state="up")
        line.say(b"\xff\x00\r\nraspberrypi login: ")
        d.cli("console", "pi1", "--tail", "4K", "--expect", "login: $", "--send", r"pi\r\xff\n", "--timeout", "30s")
        line.wait_heard(b"pi\r\xff\n")
        d.cli("console", "pi1", "--break", "--send", "h")
        line.wait_heard(b"h")
        # the server is restarted
        stop(server)
        wait_status(d, "pi1", state="away")
        with open(t.path("ser2net.log"), "ab") as log:
            server = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        t.stack.callback(stop, server)
        wait_status(d, "pi1", state="up")
        # its raw port, on the same line
        d.cli("board", "edit", "pi1", "--console", "tcp://127.0.0.1:4002")
        wait_status(d, "pi1", state="up", console="tcp://127.0.0.1:4002")
        d.cli("console", "pi1", "--send", r"raw\xff")
        line.wait_heard(b"raw\xff")


def settings(fd):
    return termios.tcgetattr(fd)


def test_a_terminal_is_given_back(t):
    """Somebody at a terminal: escapes, what passes and what does not, a daemon that is restarted, and every kind of end."""
    net, d = start(t)
    with Line(f"bramble-terminal-{os.getpid()}") as line:
        add_board(d, "pi1", 1, f"tty:{line.link}")
        wait_status(d, "pi1", state="up")
        argv = net.exec(t.bramble, "--state", d.state, "console", "pi1")
        with Console(argv, t.path("terminal.log"), env=t.env) as c:
            c.expect(r"~\. at the beginning of a line ends it", PATIENCE)
            wait_status(d, "pi1", watchers=1)
            c.send("ls\r")
            line.wait_heard(b"ls\r")
            c.send("~")
            c.send("?")
            c.expect(r"~b  sends a BREAK", PATIENCE)
            c.send("~~x\r~w")
            line.wait_heard(b"ls\r~x\rstty columns ")
            line.say(b"\x1b]0;evil\x07see\x05n\x1b[21t\r\n")
            c.expect(r"^seen", PATIENCE)
            # somebody else takes over; then this one gets it back
            d.cli("console", "pi1", "--steal", "--send", "other")
            c.expect(r"took writing over from", PATIENCE)
            c.send("y")
            c.expect(r"claim the console again|writes on this console", PATIENCE)
            c.send("\r~s")
            c.expect(r"you write now", PATIENCE)
            c.send("\rmine\r")
            line.wait_heard(b"mine\r")
            d.restart()
            wait_status(d, "pi1", state="up")
            wait_status(d, "pi1", watchers=1)
            line.say(b"after the restart\r\n")
            c.expect(r"after the restart", PATIENCE)
            c.send("\r~.")
            c.process.wait(PATIENCE)
            assert c.process.returncode == 0, c.process.returncode
        with open(t.path("terminal.log")) as f:
            assert "evil" not in f.read()
        for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            master, slave = pty.openpty()
            before = settings(slave)
            p = subprocess.Popen(argv, env=t.env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
            wait_until(lambda fd=slave, was=before: settings(fd) != was, PATIENCE, "a raw terminal")
            p.send_signal(sig)
            assert p.wait(PATIENCE) == 130, p.returncode
            assert settings(slave) == before, f"the terminal after signal {sig}"
            os.close(master)
            os.close(slave)
        assert 'bramble_consoles{state="up"} 1' in t.run(*net.exec("curl", "-sf", "http://10.77.0.1:8480/metrics")).stdout


UBOOT_NETCONSOLE = r"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.77.0.21", 6666))
s.settimeout(60)
s.sendto(b"Hit any key to stop autoboot:  2 \x08\x08\x08 1 ", ("10.77.0.1", 6666))
while True:
    typed, _ = s.recvfrom(600)
    print("typed", typed, flush=True)
    for c in typed:
        said = {3: b"<INTERRUPT>\n=> ", 10: b"\nU-Boot 2024.01 (test)\n=> "}.get(c, bytes([c]))
        s.sendto(said, ("10.77.0.1", 6666))
"""


def test_netconsole_both_ways(t):
    """U-Boot's netconsole as U-Boot sends and takes it (its own build for QEMU has none): heard, typed at, and in the log."""
    net, d = start(t)
    client = net.client("02:00:00:00:05:01")
    client.address("10.77.0.21/24")
    add_board(d, "pi1", 1, "netconsole:")
    wait_status(d, "pi1", state="away")
    with open(t.path("uboot.log"), "wb") as log:
        p = subprocess.Popen(client.exec("python3", "-c", UBOOT_NETCONSOLE), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    t.stack.callback(stop, p)
    wait_status(d, "pi1", state="up")
    r = d.cli("console", "pi1", "--tail", "4K", "--uboot", "--send", r"version\n", "--expect", "U-Boot 2024.01", "--timeout", "30s")
    assert "<INTERRUPT>" in r.stdout, r.stdout
    r = d.cli("console", "pi1", "--break", check=False)
    assert r.returncode == 1 and "has no BREAK" in r.stderr, r
    wait_until(lambda: "U-Boot 2024.01 (test)" in d.cli("log", "show", "pi1").stdout, PATIENCE, "U-Boot's lines in the log")


def test_uboot_at_its_prompt(t):
    """Debian's U-Boot, its serial line a socket of QEMU's: the countdown is stopped and a command typed, as CI does it."""
    t.need_program("qemu-system-aarch64")
    if not os.path.exists(UBOOT):
        t.skip("u-boot-qemu is not installed (./dev deps test)")
    _, d = start(t)
    path = t.path("serial.sock")
    add_board(d, "pi1", 1, f"unix:{path}")
    with open(t.path("qemu.log"), "wb") as log:
        qemu = subprocess.Popen(["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "256", "-bios", UBOOT,
                                 "-nodefaults", "-display", "none", "-monitor", "none",
                                 "-serial", f"unix:{path},server=on,wait=on"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    t.stack.callback(stop, qemu)
    wait_until(lambda: os.path.exists(path), PATIENCE, "QEMU's socket")
    os.chmod(path, 0o666)
    r = d.cli("console", "pi1", "--tail", "256K", "--uboot", "--send", r"version\n", "--expect", r"^U-Boot 20[0-9.]+",
              "--expect", "^=> $", "--timeout", "120s", "-o", "json")
    report = json.loads(r.stdout)
    assert report["ok"] and report["steps"][4]["matched"].startswith("U-Boot 20"), report
