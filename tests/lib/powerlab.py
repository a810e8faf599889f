# SPDX-License-Identifier: Apache-2.0
"""Virtual boards plugged into a power strip: 'bramble sim --power', and a daemon that switches them."""
import json
import subprocess

from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import stop, wait_until

SERIALS = [f"6b00000{i}" for i in range(1, 5)]
NAMES = [f"pi-{s}" for s in SERIALS]


def rack(t, conf="", boards=4):
    """A daemon, and virtual boards plugged into a power strip. Returns (net, daemon)."""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    path = t.path("bramble.conf")
    with open(path, "w") as f:
        f.write(conf)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--config", path, image=small_image(t)))
    for serial, name in zip(SERIALS[:boards], NAMES):
        daemon.cli("board", "add", name, "--serial", serial)
    sim = subprocess.Popen(net.exec(t.bramble, "sim", "--model", "4", "--boards", str(boards), "--serial", SERIALS[0],
                                    "--interface", "br0", "--power", "8090", "--timeout", "300s"),
                           env=t.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    t.stack.callback(stop, sim)
    wait_until(lambda: strip(t, net, "status", 1) == "off", 30, "the power strip answers")
    return net, daemon


def strip(t, net, action, board):
    r = t.run(*net.exec("curl", "-s", "-m", "5", f"http://127.0.0.1:8090/board/{SERIALS[board - 1]}/{action}"), check=False)
    return json.loads(r.stdout)["power"] if r.stdout else None


def power(daemon, *arguments):
    """Exit code, and the JSON by board."""
    r = daemon.cli("power", *arguments, "-o", "json", check=False)
    rows = json.loads(r.stdout) if r.stdout else []
    return r.returncode, {row["board"]: row for row in rows}
