# SPDX-License-Identifier: Apache-2.0
"""What was promised is there after the daemon is killed; what was set is there after it is restarted."""
import os
import sqlite3
import subprocess
import sys

from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import TOP, quick, stop, wait_until

LOAD = os.path.join(TOP, "tests", "lib", "dhcpload.py")


def lines_of(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="ascii") as f:
        return [line.split() for line in f.read().splitlines(keepends=True) if line.endswith("\n")]


@quick
def test_every_ack_that_a_client_saw_outlives_a_kill(t):
    t.need_root()
    net = t.enter(Net())
    address = "10.76.0.1/14"
    daemon = t.enter(Daemon(t, net, "--range", "10.76.1.0-10.79.200.255", address=address))
    relay = net.client("02:00:00:00:02:01")
    relay.address("10.79.255.250/14")
    seen = []
    for n in range(2):
        path = t.path(f"acks{n}")
        load = subprocess.Popen(relay.exec(sys.executable, LOAD, "10.79.255.250", "10.76.0.1", path),
                                stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: len(lines_of(path)) > 300, 60, "300 clients with an address")
            daemon.process.kill()       # in the middle of it
            daemon.process.wait()
            load.wait(30)
        finally:
            stop(load)
        seen += lines_of(path)
        daemon.start()
    db = sqlite3.connect(f"file:{daemon.state}/bramble.db?mode=ro", uri=True)
    stored = {f"{mac:012x}": ip for mac, ip in db.execute("SELECT mac, ip FROM lease")}
    db.close()
    t.note(f"{len(seen)} ACKs, {len(stored)} leases")
    missing = [(mac, ip) for mac, ip in seen if stored.get(mac) != int(ip)]
    assert not missing, f"{len(missing)} of {len(seen)} ACKs are not in the database: {missing[:5]}"
    assert len(set(stored.values())) == len(stored)


@quick
def test_the_default_image_outlives_the_daemon(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "curl")
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net))
    daemon.cli("image", "add", small_image(t))
    assert not daemon.json("status")["default_image"]
    t.run("curl", "-sSf", "--unix-socket", f"{daemon.state}/api.sock", "-X", "PUT", "-d", '{"name":"small"}',
          "http://x/v1/default-image")
    daemon.restart()
    assert daemon.json("status")["default_image"] == "small"
