# SPDX-License-Identifier: Apache-2.0
"""A board with its changes in memory, an area that stays, and a shared directory: real kernel, the image's own initramfs."""
import os
import signal
import subprocess

from boards import ShellBoard, board_name, serve_stock
from systemtests import long, wait_until


@long
def test_changes_in_ram_go_and_the_area_stays(t):
    results = t.path("results")
    os.makedirs(results)
    os.chmod(results, 0o777)
    net, daemon = serve_stock(t, "--disk", "ram", "--persist", "64M")
    daemon.cli("share", "add", "results", results, "--rw")
    with ShellBoard(t, net, "4", "2000abcd").login() as board:
        name = board_name(daemon, "2000abcd")
        assert "bramble-ram / overlay" in board.sh("grep ' / ' /proc/mounts")
        board.sh("echo mine >/etc/x && echo more >>/etc/os-release && rm /etc/issue")
        assert board.sh("cat /etc/x") == "mine"
        below = board.sh("grep ' /run/bramble/root ' /proc/mounts")
        assert " nfs " in below and " ro," in below, below
        listed = daemon.cli("disk", "ls", name, "/etc", "-q").stdout.split()
        assert "x" not in listed and "issue" in listed, listed
        assert daemon.cli("disk", "diff", name, "-q").stdout == ""
        # the area: mounted by the image's own mount(8), which has no mount.nfs, and the line in fstab
        board.sh("mkdir -p /persist && mount /persist && grep ' /persist nfs ' /proc/mounts")
        board.sh("echo kept >/persist/kept && sync")
        assert int(board.sh("df -Pm /persist | tail -1").split()[1]) > 40
        board.sh("mkdir -p /mnt/r && busybox mount -t nfs -o vers=3,tcp,nolock,addr=10.77.0.1 10.77.0.1:/share/results /mnt/r")
        board.sh("cp /etc/x /mnt/r/out && ls -ln /mnt/r")
        board.off()
    with open(os.path.join(results, "out")) as f:
        assert f.read() == "mine\n"
    states = {d["disk"]: d for d in daemon.json("disk", "list")}
    assert states["persist"]["board"] == name and states["ram"]["image"], states
    with ShellBoard(t, net, "4", "2000abcd").login() as board:
        board.sh("test ! -e /etc/x -a -e /etc/issue")
        board.sh("mkdir -p /persist && mount /persist")
        assert board.sh("cat /persist/kept") == "kept"
        board.off()
    daemon.restart()
    assert "persist" in {d["disk"] for d in daemon.json("disk", "list")}
    assert daemon.cli("disk", "reset", name, "--force", "--persist").returncode == 0
    assert "persist" not in {d["disk"] for d in daemon.json("disk", "list")}


@long
def test_a_shell_changes_an_image(t):
    t.need_program("qemu-aarch64-static")
    _, daemon = serve_stock(t)
    name = daemon.cli("image", "list", "-q").stdout.strip()
    ran = daemon.cli("disk", "shell", "-q", name, "--", "sh", "-c", "uname -m; echo x >/etc/x; ls -A /run/bramble* 2>&1 | head -1")
    assert ran.stdout.startswith("aarch64\n"), ran.stdout
    # what a board wrote must not reach the host
    kept_in = daemon.cli("disk", "shell", "-q", name, "--", "sh", "-c", "mknod /null c 1 3 && ! echo >/null && ! mknod /dev/x b 8 0 &&"
                         " ! mount -t tmpfs none /mnt && ! echo x >/proc/sys/kernel/hostname && test ! -e /sys/kernel &&"
                         " echo >/dev/null && grep CapBnd /proc/self/status", check=False)
    assert kept_in.returncode == 0 and int(kept_in.stdout.split()[1], 16) & 1 << 21 == 0, kept_in
    failed = daemon.cli("disk", "shell", "-q", "--save", "pi:no", name, "--", "sh", "-c", "exit 7", check=False)
    assert failed.returncode == 7 and "nothing is saved" in failed.stderr, failed
    change = "echo hi >/etc/made; mknod /etc/null c 1 3; ln /etc/made /etc/hard; chown 7:8 /etc/hard; chmod 4711 /etc/hard; rm /etc/issue"
    daemon.cli("disk", "shell", "-q", "--save", f"{name}:made", name, "--", "sh", "-c", change, timeout=600)
    differs = daemon.cli("image", "diff", name, f"{name}:made", "-q").stdout.split()
    assert differs == ["/etc/hard", "/etc/issue", "/etc/made", "/etc/null"], differs
    # a board's disk, while its image is another one
    daemon.cli("board", "add", "one", "--mac", "b8:27:eb:00:00:01", "--image", f"{name}:made", "--disk", "persistent")
    daemon.cli("disk", "cp", __file__, "one:/etc/own")
    look = daemon.cli("disk", "shell", "-q", "one", "--", "sh", "-c", "wc -c </etc/own; rm /etc/own")
    assert int(look.stdout) == os.path.getsize(__file__), look
    daemon.cli("disk", "shell", "-q", "--save", "lab:two", "one", "--", "sh", "-c", "test -u /etc/made && rm /etc/null && cp /etc/own /etc/copy",
               timeout=600)
    assert daemon.cli("image", "cat", "lab:two", "/etc/copy").stdout == open(__file__, encoding="utf-8").read()
    assert daemon.cli("image", "diff", f"{name}:made", "lab:two", "-q").stdout.split() == ["/etc/copy", "/etc/null", "/etc/own"]
    assert not [i for i in daemon.cli("image", "list", "-q").stdout.split() if i.startswith("shell-")]
    assert daemon.cli("disk", "shell", "nothing", check=False).returncode == 3
    # one that is killed leaves an image, until the next one comes
    killed = subprocess.Popen([t.bramble, "--state", daemon.state, "disk", "shell", "-q", "--save", "lab:no", "one", "--", "sleep", "600"],
                              env=t.env, start_new_session=True)
    left = wait_until(lambda: [i for i in daemon.cli("image", "list", "-q").stdout.split() if i.startswith("shell-")], 300, "its image")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert left[0] in daemon.cli("image", "list", "-q").stdout.split()
    daemon.cli("disk", "shell", "-q", "one", "--", "true")
    assert left[0] not in daemon.cli("image", "list", "-q").stdout.split()
    assert not [d for d in os.listdir(f"{daemon.state}/disks") if d.startswith("shell-")]
