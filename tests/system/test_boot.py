# SPDX-License-Identifier: Apache-2.0
"""Boards that boot: the firmware as the simulator plays it, real kernels under QEMU behind it."""
import json
import os
import re

from boards import Board, board_name, serve_stock, sim_argv
from daemon import Daemon
from images import sha256, small_image
from netlab import Net
from systemtests import alone, quick, wait_until


def stored_image(daemon):
    """The one raw image file of the store."""
    found = [os.path.join(d, f) for d, _, files in os.walk(os.path.join(daemon.state, "images")) for f in files
             if os.path.getsize(os.path.join(d, f)) > 1 << 20]
    assert len(found) == 1, found
    return found[0]


# ---- firmware only -------------------------------------------------------------------------------


def firmware_boot(t, model):
    """One virtual board fetches its files; every byte is compared with the image's."""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    image = small_image(t)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, image=image))
    r = t.run(*sim_argv(t, net, model, "1000abcd", "-o", "json", "--check-image", image), timeout=300, check=False)
    events = [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]
    return r, events, daemon


def check_firmware_boot(t, model):
    r, _, daemon = firmware_boot(t, model)
    assert r.returncode == 0, f"status {r.returncode}"
    board = daemon.json("board", "list")
    assert len(board) == 1, board
    kinds = [e["type"] for e in daemon.jsonl("event", "list")]
    for kind in ("board.adopted", "boot.start", "dhcp.offer", "file.sent"):
        assert kind in kinds, kinds


@quick
def test_firmware_of_the_3b_plus(t):
    check_firmware_boot(t, "3b+")


@quick
def test_firmware_of_the_4(t):
    check_firmware_boot(t, "4")


@quick
def test_firmware_of_the_5(t):
    check_firmware_boot(t, "5")


# ---- real kernels --------------------------------------------------------------------------------


def test_kernel_boots_to_login_and_a_volatile_disk_forgets(t):
    net, daemon = serve_stock(t, "--disk", "volatile")
    before = sha256(stored_image(daemon))
    with Board(t, net, "4", "2000aaaa").login() as board:
        assert " / nfs " in board.sh("grep ' / ' /proc/mounts"), "the root is not NFS"
        board.sh("echo remember me >/root/note && mkdir -p /srv/deep/er && ln -s deep /srv/link")
        board.sh("dd if=/dev/urandom of=/srv/deep/er/data bs=64k count=64 2>/dev/null; sync")
        digest = board.sh("sha256sum </srv/deep/er/data").split()[0]
        name = board_name(daemon, "2000aaaa")
        assert daemon.cli("disk", "cat", name, "/root/note").stdout == "remember me\n"
        assert "deep" in daemon.cli("disk", "ls", name, "/srv").stdout
        board.off()
    kinds = [e["type"] for e in daemon.jsonl("event", "list")]
    assert "nfs.mounted" in kinds, kinds
    exported = t.path("disk.ext4")
    daemon.cli("disk", "export", name, exported, timeout=600)
    check_exported_disk(t, exported, digest)
    assert sha256(stored_image(daemon)) == before, "the stored image was changed"
    # on again: everything is as it was in the image
    with Board(t, net, "4", "2000aaaa").login() as board:
        board.sh("test ! -e /root/note -a ! -e /srv/deep")
        board.off()


def check_exported_disk(t, path, digest):
    """The exported ext4 is clean and holds what the board wrote."""
    r = t.run("e2fsck", "-fn", path, check=False, timeout=600)
    assert r.returncode == 0, r.stdout
    t.run("debugfs", "-R", f"dump /srv/deep/er/data {t.path('data')}", path)
    assert sha256(t.path("data")) == digest, f"the board's file is not what it wrote: {digest}"


def test_a_persistent_disk_remembers_also_across_a_restart(t):
    net, daemon = serve_stock(t, "--disk", "persistent")
    with Board(t, net, "4", "2000bbbb").login() as board:
        board.sh("echo remember me >/root/note")
        board.off()
    daemon.restart()
    with Board(t, net, "4", "2000bbbb").login() as board:
        assert board.sh("cat /root/note") == "remember me"
        board.off()


def test_two_boards_have_identities_of_their_own(t):
    net, daemon = serve_stock(t)
    with Board(t, net, "4", "2000cc01") as one, Board(t, net, "4", "2000cc02") as two:
        facts = []
        for board in (one, two):
            board.login()
            facts.append({
                "host name": board.sh("hostname"),
                "machine id": board.sh("cat /etc/machine-id"),
                "ssh key": board.sh("cat /etc/ssh/ssh_host_ed25519_key.pub").split()[1],
                "address": re.search(r"inet (10\.77\.0\.\d+)", board.sh("ip -4 addr"))[1],
            })
        for what in facts[0]:
            assert facts[0][what] and facts[0][what] != facts[1][what], f"{what}: {facts}"
        one.sh("echo private >/root/secret; sync")
        assert two.sh("cat /root/secret", check=False) != "private"
        other = board_name(daemon, "2000cc01")
        # the kernel of board two asks for board one's root
        root = re.search(r"nfsroot=[^:]*:([^, ]+)", one.sh("cat /proc/cmdline"))[1]
        two.sh("mkdir -p /mnt/x")
        two.sh(f"busybox mount -t nfs -o vers=3,tcp,nolock,addr=10.77.0.1 10.77.0.1:{root} /mnt/x", check=False)
        assert two.sh("cat /mnt/x/root/secret 2>/dev/null", check=False) != "private", f"board two reads {other}'s disk"
        one.off()
        two.off()


@alone
def test_a_3b_plus_boots_to_its_login_prompt(t):
    net, daemon = serve_stock(t)
    with Board(t, net, "3b+", "00c0ffee").login() as board:
        assert " / nfs " in board.sh("grep ' / ' /proc/mounts")
        board.off()
    stages = [e["type"] for e in daemon.jsonl("event", "list")]
    order = [stages.index(k) for k in ("board.adopted", "dhcp.offer", "file.sent", "nfs.mounted")]
    assert order == sorted(order), stages


def test_another_image_copies_nothing(t):
    """Serving another image to a board is a matter of its record."""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, image=small_image(t)))
    daemon.cli("image", "add", small_image(t, "other.img"), "--name", "other")
    t.run(*sim_argv(t, net, "4", "2000dddd", "-o", "json"), timeout=300)
    name = board_name(daemon, "2000dddd")
    before = used(daemon.state)
    daemon.cli("board", "edit", name, "--image", "other")
    t.run(*sim_argv(t, net, "4", "2000dddd", "-o", "json"), timeout=300)
    grown = used(daemon.state) - before
    assert grown < 4 << 20, f"{grown} bytes more are used"
    starts = [e for e in daemon.jsonl("event", "list") if e["type"] == "boot.start"]
    wait_until(lambda: json.dumps(starts[-1]).count("other"), 1, "the last boot runs the other image")


def used(directory):
    return sum(os.stat(os.path.join(d, f)).st_blocks * 512 for d, _, files in os.walk(directory) for f in files)
