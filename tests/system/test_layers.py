# SPDX-License-Identifier: Apache-2.0
"""Images out of disks, snapshots, and a daemon that is killed while it makes them."""
import os
import random
import subprocess
import time

from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import quick, wait_until


def write(t, name, text):
    with open(t.path(name), "w") as f:
        f.write(text)
    return t.path(name)


def fsck(t, d, board):
    out = t.path(f"{board}.ext4")
    if os.path.exists(out):
        os.unlink(out)
    d.cli("disk", "export", board, out)
    t.run("e2fsck", "-fn", out)


@quick
def test_a_saved_disk_is_another_boards_image(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "e2fsck")
    net = t.enter(Net())
    with Daemon(t, net, image=small_image(t)) as d:
        d.cli("board", "add", "a", "--mac", "b8:27:eb:00:00:01", "--disk", "persistent")
        d.cli("disk", "cp", write(t, "f", "from a\n"), "a:/etc/made")
        assert d.cli("disk", "diff", "a", "-q").stdout == "/etc/made\n"
        d.cli("disk", "save", "a", "lab:v1")
        d.cli("disk", "cp", write(t, "f", "later\n"), "a:/etc/made")
        d.cli("board", "add", "b", "--mac", "b8:27:eb:00:00:02", "--image", "lab:v1", "--disk", "persistent", "--size", "2G")
        assert d.cli("disk", "cat", "b", "/etc/made").stdout == "from a\n"
        assert d.cli("disk", "cat", "b", "/etc/hostname").stdout == "b\n"
        assert d.cli("disk", "cat", "a", "/etc/made").stdout == "later\n"
        assert d.json("disk", "show", "b")["base_bytes"] == 2 << 30
        fsck(t, d, "a")
        fsck(t, d, "b")
        d.restart()
        assert d.cli("disk", "cat", "b", "/etc/made").stdout == "from a\n"
        fsck(t, d, "b")
        refused = d.cli("image", "rm", "small", check=False)
        assert refused.returncode == 1, refused


@quick
def test_a_daemon_killed_while_it_freezes_loses_nothing(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "e2fsck")
    net = t.enter(Net())
    rnd = random.Random(4)
    with Daemon(t, net, image=small_image(t)) as d:
        d.cli("board", "add", "a", "--mac", "b8:27:eb:00:00:01", "--disk", "persistent")
        for n in range(6):
            kept = f"acknowledged {n}\n"
            d.cli("disk", "cp", write(t, "kept", kept), f"a:/etc/kept{n}")
            work = [subprocess.Popen([t.bramble, "--state", d.state, *words], env=t.env, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
                    for words in (["disk", "save", "a", f"s:{n}"], ["disk", "snapshot", "a"], ["disk", "save", "a", "last",
                                                                                              "--replace"])]
            time.sleep(rnd.random() * 0.25)
            d.process.kill()
            d.process.wait()
            for p in work:
                p.wait(30)
            d.start()
            for k in range(n + 1):
                assert d.cli("disk", "cat", "a", f"/etc/kept{k}").stdout == f"acknowledged {k}\n"
            fsck(t, d, "a")
            d.cli("image", "gc")
            for image in d.json("image", "list"):
                assert "error" not in image, image
                d.cli("image", "ls", image["name"], "/etc")
        for s in d.json("disk", "snapshots", "a"):
            d.cli("disk", "rollback", "a", s["name"])
            fsck(t, d, "a")
