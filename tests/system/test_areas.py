# SPDX-License-Identifier: Apache-2.0
"""A board with its changes in memory, an area that stays, and a shared directory: real kernel, the image's own initramfs."""
import os

from boards import Board, board_name, serve_stock
from systemtests import long


@long
def test_changes_in_ram_go_and_the_area_stays(t):
    results = t.path("results")
    os.makedirs(results)
    os.chmod(results, 0o777)
    net, daemon = serve_stock(t, "--disk", "ram", "--persist", "64M")
    daemon.cli("share", "add", "results", results, "--rw")
    with Board(t, net, "4", "2000abcd").login() as board:
        name = board_name(daemon, "2000abcd")
        assert "bramble-ram / overlay" in board.sh("grep ' / ' /proc/mounts")
        board.sh("echo mine >/etc/x && echo more >>/etc/os-release && rm /etc/issue")
        assert board.sh("cat /etc/x") == "mine"
        below = board.sh("grep ' /run/bramble/root ' /proc/mounts")
        assert " nfs " in below and " ro," in below, below
        listed = daemon.cli("disk", "ls", name, "/etc", "-q").stdout.split()
        assert "x" not in listed and "issue" in listed, listed
        assert daemon.cli("disk", "diff", name, "-q").stdout == ""
        # the area: mounted by the image's own means, written by root and others
        board.sh("for i in $(seq 60); do grep -q ' /persist nfs ' /proc/mounts && break; sleep 1; done; "
                 "grep ' /persist nfs ' /proc/mounts")
        board.sh("echo kept >/persist/kept && sync")
        assert int(board.sh("df -Pm /persist | tail -1").split()[1]) > 40
        board.sh("mkdir -p /mnt/r && busybox mount -t nfs -o vers=3,tcp,nolock,addr=10.77.0.1 10.77.0.1:/share/results /mnt/r")
        board.sh("cp /etc/x /mnt/r/out && ls -ln /mnt/r")
        board.off()
    with open(os.path.join(results, "out")) as f:
        assert f.read() == "mine\n"
    states = {d["disk"]: d for d in daemon.json("disk", "list")}
    assert states["persist"]["board"] == name and states["ram"]["image"], states
    with Board(t, net, "4", "2000abcd").login() as board:
        board.sh("test ! -e /etc/x -a -e /etc/issue")
        board.sh("for i in $(seq 60); do test -e /persist/kept && break; sleep 1; done")
        assert board.sh("cat /persist/kept") == "kept"
        board.off()
    daemon.restart()
    assert "persist" in {d["disk"] for d in daemon.json("disk", "list")}
    assert daemon.cli("disk", "reset", name, "--force", "--persist").returncode == 0
    assert "persist" not in {d["disk"] for d in daemon.json("disk", "list")}
