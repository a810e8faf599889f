# SPDX-License-Identifier: Apache-2.0
"""PoE ports by SNMP, against a real snmpd with a scripted switch behind it; and switches that are dead or mad."""
import json
import os
import subprocess
import sys

import poeswitch
from daemon import Daemon
from netlab import Net
from systemtests import quick, stop, wait_until

ROOTS = (".1.3.6.1.2.1.105", ".1.3.6.1.2.1.17", ".1.0.8802")
SILENT = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    data, peer = s.recvfrom(9000)
    if sys.argv[2] == "mad":
        s.sendto(b"\\x30\\x84\\xff\\xff\\xff\\xff" + data[:20], peer)
        s.sendto(data, peer)
"""


class Switch:
    """snmpd at 127.0.0.1:1161 of the namespace; the state can be read and changed while it runs."""

    def __init__(self, t, net, state):
        self.path = t.path("switch.json")
        poeswitch.save(self.path, state)
        conf = t.path("snmpd.conf")
        with open(conf, "w") as f:
            f.write("agentaddress udp:127.0.0.1:1161\nrwcommunity private\nrocommunity public\n"
                    "createUser bram SHA authsecret1 AES privsecret1\nrwuser bram priv\n")
            for root in ROOTS:
                f.write(f"pass_persist {root} {sys.executable} {poeswitch.__file__} {self.path} {root}\n")
        env = {**t.env, "SNMP_PERSISTENT_DIR": t.path("snmp"), "MIBS": ""}
        self.process = subprocess.Popen(net.exec("/usr/sbin/snmpd", "-f", "-Lf", t.path("snmpd.log"), "-C", "-c", conf), env=env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        t.stack.callback(stop, self.process)

    def state(self):
        return poeswitch.load(self.path)

    def change(self, **fields):
        poeswitch.save(self.path, {**self.state(), **fields})


def lab(t, conf):
    """(daemon, switch) with boards b1 ... b12 at ports 1 ... 12."""
    t.need_root()
    if not os.path.exists("/usr/sbin/snmpd"):
        t.skip("no snmpd (Debian package snmpd)")
    net = t.enter(Net())
    for port, kind in (("1162", "silent"), ("1163", "mad")):
        p = subprocess.Popen(net.exec(sys.executable, "-c", SILENT, port, kind), stdin=subprocess.DEVNULL)
        t.stack.callback(stop, p)
    switch = Switch(t, net, {"admin": {str(i): 2 for i in range(1, 13)}, "detect": {"8": 4}, "stuck": [9]})
    path = t.path("bramble.conf")
    with open(path, "w") as f:
        f.write("[power]\ndelay = 20ms\noff-time = 50ms\ntimeout = 20s\nboot-timeout = 600s\n" + conf)
    daemon = t.enter(Daemon(t, net, "--config", path))
    for i in range(1, 13):
        daemon.cli("board", "add", f"b{i}", "--mac", f"dc:a6:32:00:00:{i:02x}")
    return daemon, switch


def code(daemon, *arguments):
    r = daemon.cli("power", *arguments, check=False)
    return r.returncode, r.stdout + r.stderr


@quick
def test_poe_ports_are_switched_by_snmp(t):
    daemon, switch = lab(t, "[switch rack1]\naddress = 127.0.0.1:1161\ncommunity = private\nboards = b[1-9]\n"
                            "[switch dead]\naddress = 127.0.0.1:1162\nboards = b10\ntimeout = 3s\n"
                            "[switch mad]\naddress = 127.0.0.1:1163\nboards = b11\ntimeout = 3s\n")
    wait_until(lambda: code(daemon, "status", "b1")[0] == 0, 30, "snmpd answers")
    assert code(daemon, "on", "b[1-7]")[0] == 0
    assert [switch.state()["admin"][str(i)] for i in range(1, 10)] == [1] * 7 + [2] * 2, switch.state()
    r = daemon.json("power", "status", "b1")[0]
    assert r["power"] == "on" and r["verified"] and r["text"] == "delivers power", r
    assert code(daemon, "cycle", "b1")[0] == 0 and switch.state()["admin"]["1"] == 1
    assert code(daemon, "off", "b[1-2]")[0] == 0 and switch.state()["admin"]["2"] == 2
    # a fault is told, a lie is found out
    was, words = code(daemon, "on", "b8")
    assert was == 1 and "fault" in words, words
    was, words = code(daemon, "on", "b9")
    assert was == 1 and "still off" in words, words
    # neither the dead one nor the mad one holds up the others
    dead = subprocess.Popen(daemon.net.exec(t.bramble, "--state", daemon.state, "power", "on", "b10", "b11"), env=t.env,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert code(daemon, "on", "b1", "b2")[0] == 0
    out = dead.communicate(timeout=60)[0]
    assert dead.returncode == 1 and out.count("does not answer") == 2, out
    # who may only read
    daemon.cli("board", "edit", "b12", "--power", "snmp://public@127.0.0.1:1161/12")
    assert code(daemon, "status", "b12")[0] == 0
    was, words = code(daemon, "on", "b12")
    assert was == 1 and "may write" in words, words
    assert "public" not in daemon.cli("board", "show", "b12").stdout, "a community is a secret"
    daemon.cli("board", "edit", "b12", "--power", "snmp://private@127.0.0.1:1161/77")
    was, words = code(daemon, "status", "b12")
    assert was == 1 and "no such port" in words, words


@quick
def test_snmp_v3_with_privacy(t):
    with open(t.path("secrets"), "w") as f:
        f.write("user = bram\nauth-password = authsecret1\npriv-password = privsecret1\n")
    with open(t.path("wrong"), "w") as f:
        f.write("user = bram\nauth-password = authsecret2\npriv-password = privsecret1\n")
    daemon, switch = lab(t, f"[switch rack1]\naddress = 127.0.0.1:1161\nsecrets = {t.path('secrets')}\nboards = b[1-4]\n"
                            f"[switch wrong]\naddress = 127.0.0.1:1161\nsecrets = {t.path('wrong')}\nboards = b5\nports = 5\ntimeout = 3s\n"
                            f"[switch silent]\naddress = 127.0.0.1:1162\nsecrets = {t.path('secrets')}\nboards = b6\ntimeout = 2s\n")
    wait_until(lambda: code(daemon, "status", "b1")[0] == 0, 30, "snmpd answers")
    assert code(daemon, "on", "b[1-4]")[0] == 0
    assert [switch.state()["admin"][str(i)] for i in range(1, 6)] == [1] * 4 + [2], switch.state()
    assert code(daemon, "off", "b3")[0] == 0 and switch.state()["admin"]["3"] == 2
    was, words = code(daemon, "on", "b5", "b6")
    assert was == 1 and "switch 127.0.0.1" in words, words
    assert switch.state()["admin"]["5"] == 2
    assert "secret" not in daemon.log()


@quick
def test_the_ports_of_boards_are_found(t):
    """By what the switch learned; not behind uplinks, and not where two boards share a port."""
    def mac(i):
        return f"dc:a6:32:00:00:{i:02x}"
    others = [[f"02:00:00:00:00:{i:02x}", 12] for i in range(20)]
    daemon, switch = lab(t, "[switch rack1]\naddress = 127.0.0.1:1161\ncommunity = private\n"
                            "[switch dead]\naddress = 127.0.0.1:1162\ntimeout = 2s\n")
    switch.change(bridge=[[mac(1), 3], [mac(2), 12], [mac(3), 4], [mac(4), 4], [mac(5), 50], [mac(7), 0], *others], lldp=[[mac(6), 7]])
    wait_until(lambda: "addresses" in code(daemon, "find", "-o", "json")[1], 30, "snmpd answers")
    found = {b["board"]: b for b in wait_until(lambda: [b for b in find(daemon) if b.get("uri")] and find(daemon), 30, "something is found")}
    assert found["b1"]["uri"] == "snmp://rack1/3" and found["b1"]["by"] == "bridge", found
    assert found["b6"]["uri"] == "snmp://rack1/7" and found["b6"]["by"] == "lldp", found
    assert "uplink" in found["b2"]["why"] and "other boards" in found["b3"]["why"], found
    assert "none of its PoE ports" in found["b5"]["why"] and "no switch knows" in found["b7"]["why"], found
    r = daemon.cli("power", "find", "b1", "b6", "--apply", check=False)
    assert "written down" in r.stdout and "switch 127.0.0.1 does not answer" in r.stderr, r.stdout + r.stderr
    assert daemon.json("board", "show", "b1")[0]["power"] == "snmp://rack1/3"
    assert code(daemon, "on", "b1", "b6")[0] == 0 and switch.state()["admin"]["3"] == switch.state()["admin"]["7"] == 1


def find(daemon):
    r = daemon.cli("power", "find", "-o", "json", check=False)
    return json.loads(r.stdout)["boards"]
