# SPDX-License-Identifier: Apache-2.0
"""A board that stays dark is explained: faults made on a real wire, the verdict asked for on the command line."""
import json
import struct
import subprocess

from daemon import Daemon
from dhcpservers import Dnsmasq
from images import small_image
from netlab import ADDRESS, Net
from systemtests import quick, stop, wait_until


def lab(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mdel", "mke2fs")
    return small_image(t), t.enter(Net())


def sim(t, net, model, serial):
    return net.exec(t.bramble, "sim", "--model", model, "--serial", serial, "--interface", "br0", "-o", "json")


def why(daemon, board):
    r = daemon.cli("why", board, "-o", "json", check=False)
    verdict = json.loads(r.stdout)[0]
    assert r.returncode == (1 if verdict["level"] == "wrong" else 0), (r.returncode, verdict)
    return verdict


def board_name(daemon):
    boards = daemon.json("board", "list")
    assert len(boards) == 1, boards
    return boards[0]["name"]


@quick
def test_an_image_without_firmware_is_named(t):
    image, net = lab(t)
    for name in ("start4.elf", "start.elf"):
        t.run("mdel", "-i", image + "@@1048576", "::" + name)
    daemon = t.enter(Daemon(t, net, image=image))
    t.run(*sim(t, net, "4", "1000ae01"), timeout=300, check=False)
    board = board_name(daemon)
    wait_until(lambda: why(daemon, board)["row"] == 32, 30, "the verdict")
    verdict = why(daemon, board)
    assert verdict["level"] == "wrong" and "start" in verdict["verdict"], verdict
    assert any("1000ae01/start4.elf" in line and "not there" in line for line in verdict["evidence"]), verdict
    text = daemon.cli("why", board, check=False)
    assert text.returncode == 1 and "row 32" in text.stdout and "cure:" in text.stdout, text.stdout


@quick
def test_a_healthy_boot_is_on_its_way(t):
    image, net = lab(t)
    daemon = t.enter(Daemon(t, net, image=image))
    t.run(*sim(t, net, "4", "1000ae02"), timeout=300)
    board = board_name(daemon)
    verdict = why(daemon, board)
    assert verdict["level"] == "booting" and verdict["row"] is None and verdict["cure"] is None, verdict

    # its packets, readable by others
    path = t.path("board.pcap")
    daemon.cli("capture", board, "-o", path)
    with open(path, "rb") as f:
        data = f.read()
    magic, major, minor, _, _, _, link = struct.unpack("<IHHiIII", data[:24])
    assert (magic, major, minor, link) == (0xa1b2c3d4, 2, 4, 1)
    at, packets = 24, 0
    while at < len(data):
        _, _, kept, wire = struct.unpack("<IIII", data[at:at + 16])
        assert kept <= wire and at + 16 + kept <= len(data)
        at, packets = at + 16 + kept, packets + 1
    assert packets > 20, packets
    assert b"kernel8.img" in data
    assert daemon.cli("capture", "nobody", "-o", path + "2", check=False).returncode == 3


def unnamed_server(t, server, serial, words):
    """An EEPROM beside a server that names no boot server, our DHCP off: row 7 while it asks."""
    t.need_program("dnsmasq")
    image, net = lab(t)
    with server(t, net), Daemon(t, net, image=image, dhcp="off", state=t.path("state-" + serial)) as daemon:
        board = subprocess.Popen(sim(t, net, "4", serial), env=t.env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def found():
                r = daemon.cli("why", serial, "-o", "json", check=False)
                return r.returncode == 1 and json.loads(r.stdout)[0]["row"] == 7
            wait_until(found, 40, "row 7")
            verdict = why(daemon, serial)
            assert words in verdict["verdict"] and "10.77.0.1" in verdict["cure"], verdict
        finally:
            stop(board)


class Broadcasting(Dnsmasq):
    """Its offers go to all: seen by us, too."""

    def command(self):
        return [*super().command(), "--dhcp-broadcast"]


@quick
def test_a_foreign_server_without_option_66_is_named(t):
    for n, (server, named) in enumerate(((Broadcasting, "10.77.0.2"), (Dnsmasq, "asked"))):
        unnamed_server(t, server, f"1000ae1{n}", named)


@quick
def test_a_board_never_heard_is_said_so(t):
    image, net = lab(t)
    daemon = t.enter(Daemon(t, net, image=image))
    daemon.cli("board", "add", "pi09", "--mac", "dc:a6:32:00:00:09")
    assert why(daemon, "pi09")["row"] == 1


@quick
def test_a_root_without_init_is_named(t):
    """What only the NFS server can tell: its traffic is too much to be looked at on the wire."""
    t.need_program("nfs-ls", "nfs-cat")
    image, net = lab(t)
    daemon = t.enter(Daemon(t, net, image=image))
    mac = "dc:a6:32:00:00:63"
    daemon.cli("board", "add", "pi63", "--mac", mac)
    client = net.client(mac=mac)
    client.address("10.77.0.9/24")
    t.run(*client.exec("nfs-ls", f"nfs://{ADDRESS}/pi63?version=3"))
    t.run(*client.exec("nfs-cat", f"nfs://{ADDRESS}/pi63/etc/init?version=3"), check=False)
    wait_until(lambda: why(daemon, "pi63")["row"] == 63, 30, "the verdict")
    verdict = why(daemon, "pi63")
    assert any("init" in line for line in verdict["evidence"]), verdict
    events = [e["fields"]["what"] for e in daemon.jsonl("event", "list", "pi63") if e["type"] == "nfs.trouble"]
    assert events == ["no-init"], events
