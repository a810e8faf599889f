# SPDX-License-Identifier: Apache-2.0
"""The web page in Chromium, and the same fleet in a terminal. Screenshots and figures: tests/web/artifacts."""
import os
import socket
import threading

from browser import Scenario, api, need_browser
from daemon import Daemon
from images import with_root
from netlab import Net
from systemtests import alone
from terminal import Terminal

HOSTILE_FILE = "<script>window.hacked=1<_script>.elf"
HOSTILE_NOTES = '<img src=x onerror="window.hacked=1">'


def image(t):
    """Small, and with an init, so that nothing is wrong with boards that mounted it."""
    root = t.path("p2")
    for d in ("etc", "boot/firmware", "sbin"):
        os.makedirs(os.path.join(root + ".d", d), exist_ok=True)
    for name, text in (("etc/os-release", 'PRETTY_NAME="Small Linux 1"\nID=small\nVERSION_ID="1"\n'), ("sbin/init", "#!/bin/sh\n"),
                       ("etc/fstab", "proc /proc proc defaults 0 0\nPARTUUID=12345678-02 / ext4 defaults 0 1\n")):
        with open(os.path.join(root + ".d", name), "w") as f:
            f.write(text)
    os.chmod(root + ".d/sbin/init", 0o755)
    t.run("truncate", "-s", "15M", root)
    t.run("mke2fs", "-q", "-t", "ext4", "-L", "rootfs", "-d", root + ".d", root)
    return with_root(t, t.path("small.img"), root, 15)


def prepare(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    net = t.enter(Net("10.77.0.1/16"))
    return net, t.enter(Daemon(t, net, image=image(t), address="10.77.0.1/16"))


def storm(t, net, boards, *arguments):
    t.run(*net.exec(t.bramble, "sim", "--interface", "br0", "--storm", "--boards", str(boards), "--serial", "5b000001",
                    "--timeout", "120", "-o", "json", *arguments), timeout=150)


def states(daemon):
    """Of each board: what the page has to show, when the API stands still."""
    wrong = {v["board"] for v in api(daemon, "GET", "/v1/why") if v["level"] == "wrong"}
    return [{"name": b["name"], "state": "wrong" if b["name"] in wrong else b["boot"]["stage"] if b["boot"] else "none"}
            for b in api(daemon, "GET", "/v1/boards")]


def be_hostile(t, net, daemon, name, address):
    """What a board, or who has its address, may say: names of files, lines of log; and what people write of it."""
    daemon.cli("board", "edit", name, "--notes", HOSTILE_NOTES)
    client = net.client()
    client.address(address + "/16")
    script = ("import socket, sys\n"
              "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
              "name = sys.argv[1].encode()\n"
              "s.sendto(b'\\0\\1' + name + b'\\0octet\\0', ('10.77.0.1', 69))\n"
              "for text in ('<b>bold</b>', '\\x1b[31mred\\x1b]0;title\\x07', 'needle-42 is here', 'plain'):\n"
              "    s.sendto(f'<13>Nov 21 10:00:00 pi app: {text}'.encode(), ('10.77.0.1', 514))\n")
    t.run(*client.exec("python3", "-c", script, HOSTILE_FILE))


class SerialLine:
    """What a board's UART says, at the other end of a Unix socket; it answers lines."""

    def __init__(self, path):
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        os.chmod(path, 0o777)
        self.server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()

    def _serve(self):
        try:
            while True:
                peer, _ = self.server.accept()
                peer.sendall(b"\x1b[31mcolours end\x1b[0m\r\nlogin: <b>x</b>\x1b]0;evil\x07\r\nunseen-\rseen   \r\n")
                line = b""
                while more := peer.recv(1000):
                    line += more
                    if b"\r" in line:
                        peer.sendall(b"got: " + line.strip() + b"\r\n")
                        line = b""
        except OSError:
            pass    # the test is over


def test_the_page_in_a_browser(t):
    need_browser(t)
    net, daemon = prepare(t)
    made = api(daemon, "POST", "/v1/tokens", {"name": "browser", "scope": "operate"})
    s = t.enter(Scenario(t, net, "page", url="http://10.77.0.1:8480", token=made["token"]))
    s.wait("ready")
    storm(t, net, 4)
    storm(t, net, 4, "--loss", "1")     # a second boot, to be compared
    s.say("booted", boards=states(daemon))
    boards = api(daemon, "GET", "/v1/boards")
    be_hostile(t, net, daemon, boards[1]["name"], boards[1]["address"])
    t.enter(SerialLine(t.path("serial")))
    daemon.cli("board", "edit", boards[2]["name"], "--console", "unix:" + t.path("serial"))
    s.say("boards", serial=boards[2]["name"], board=boards[0]["name"], hostile=boards[1]["name"])
    s.wait("rename", 90)
    daemon.cli("board", "edit", "pi-5b000004", "--name", "renamed-1")
    s.wait("stop", 90)
    notes = api(daemon, "GET", "/v1/boards/" + boards[0]["name"])["notes"]
    assert notes == "rack 3, left", notes
    daemon.process.terminate()
    assert daemon.process.wait(20) == 0
    s.wait("start")
    daemon.start()
    figures = s.finish()
    t.say(f"        {figures}")


@alone
def test_the_page_in_a_storm(t):
    need_browser(t)
    net, daemon = prepare(t)
    s = t.enter(Scenario(t, net, "storm", url="http://10.77.0.1:8480"))
    s.wait("ready")
    storm(t, net, 200)
    s.say("over", boards=states(daemon))
    figures = s.finish()
    t.say(f"        {figures}")


def test_the_fleet_in_a_terminal(t):
    """80x24, keys, a daemon that restarts, another size, a terminal without UTF-8, none at all."""
    t.need_program("tmux")
    net, daemon = prepare(t)
    command = net.exec(t.bramble, "--state", daemon.state, "top")
    with Terminal(t, 80, 24, command) as term:
        term.see("No boards yet")
        storm(t, net, 4)
        name = api(daemon, "GET", "/v1/boards")[1]["name"]
        screen = term.see("4 root mounted")
        assert name in screen and "\u25cf" in screen and "live br0" in screen, screen
        assert all(len(line) <= 80 for line in screen.splitlines()), screen
        assert any("\u2801" <= c <= "\u28ff" for c in screen), f"no dot of throughput:\n{screen}"
        term.keys("g")
        screen = term.see("MODEL")
        assert "root mounted" in screen and "no init" not in screen, screen
        term.keys("/")
        term.keys(*name)
        term.see("(1 of 4)")
        term.keys("Enter", "Enter")
        screen = term.see("newest events")
        assert name in screen and "mounted its root" in screen, screen
        term.keys("Escape", "Escape")
        term.see("4 of 4 boards")
        term.keys("?")
        term.see("this text")
        term.keys("Escape")
        term.resize(40, 10)
        term.see("q quit")
        term.resize(120, 30)
        term.see("ADDRESS")
        daemon.process.terminate()
        assert daemon.process.wait(20) == 0
        term.see("no connection", 20)
        daemon.start()
        term.see("live br0", 20)
        term.keys("q")
        assert term.ended() == 0, term.errors()
        assert "Sanitizer" not in term.errors(), term.errors()
    with Terminal(t, 80, 24, command, locale="C") as term:
        screen = term.see("4 no boot yet")     # it has restarted
        assert screen.isascii(), screen
        term.keys("C-c")
        assert term.ended() == 0, term.errors()
    once = daemon.cli("top").stdout
    assert once.startswith("4 boards") and once.count("\n") >= 7 and "\x1b" not in once, once
    far = t.run(*net.exec(t.bramble, "--server", "http://10.77.0.1:8480", "top", "--once")).stdout
    assert far.splitlines()[0] == once.splitlines()[0], far
    with Terminal(t, 100, 30, net.exec(t.bramble, "--server", "http://10.77.0.1:8480", "top")) as term:
        term.see("live br0")
        term.keys("q")
        assert term.ended() == 0, term.errors()
