# SPDX-License-Identifier: Apache-2.0
"""Ordinary clients against the whole server: curl, udhcpc, libnfs."""
import os
import re
import subprocess

import netlab
from daemon import Daemon
from images import sha256, small_image
from netlab import ADDRESS, Net
from systemtests import TOP, quick

UDHCPC_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
set >"$LEASE_FILE"
"""


def serve(t, *arguments, **keywords):
    """A network and a daemon with a small image on it. Returns (net, daemon, path of the image)."""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    image = small_image(t)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, *arguments, image=image, **keywords))
    return net, daemon, image


@quick
def test_curl_reads_the_boot_files_of_the_default_image(t):
    t.need_program("curl")
    net, _, _ = serve(t)
    client = net.client()
    client.address("10.77.0.9/24")
    r = t.run(*client.exec("curl", "-sS", "--max-time", "20", f"tftp://{ADDRESS}/config.txt"))
    assert "arm_64bit=1" in r.stdout, r.stdout
    t.run(*client.exec("curl", "-sS", "--max-time", "20", "--tftp-blksize", "1428", "-o", t.path("k"),
                       f"tftp://{ADDRESS}/kernel8.img"))
    assert sha256(t.path("k")) == sha256(t.path("kernel8.img"))


@quick
def test_tftp_gives_nothing_outside_the_boot_files(t):
    t.need_program("curl")
    net, _, _ = serve(t)
    client = net.client()
    client.address("10.77.0.9/24")
    for name in ("etc/hostname", "../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "bramble.db", ""):
        r = t.run(*client.exec("curl", "-sS", "--path-as-is", "--max-time", "20",
                               f"tftp://{ADDRESS}/{name}"), check=False)
        assert r.returncode != 0, f"{name}: {r.stdout[:100]}"


@quick
def test_udhcpc_gets_and_keeps_an_address(t):
    t.need_program("busybox")
    net, _, _ = serve(t)
    client = net.client("b8:27:eb:12:34:56")
    script = t.path("udhcpc.sh")
    with open(script, "w") as f:
        f.write(UDHCPC_SCRIPT)
    os.chmod(script, 0o755)
    addresses = []
    for attempt in range(2):
        lease = t.path(f"lease{attempt}")
        t.env["LEASE_FILE"] = lease
        t.run(*client.exec("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-t", "5", "-T", "2", "-s", script))
        with open(lease) as f:
            addresses.append(re.search(r"^ip='(10\.77\.0\.\d+)'", f.read(), re.M)[1])
    assert addresses[0] == addresses[1], addresses


@quick
def test_libnfs_sees_only_the_boards_own_disk(t):
    t.need_program("nfs-ls", "nfs-cat")
    net, _, _ = serve(t)
    stranger = net.client()
    stranger.address("10.77.0.9/24")
    for path in ("/", "/root", "/nfs", "/boards", "/../etc"):
        r = t.run(*stranger.exec("nfs-ls", f"nfs://{ADDRESS}{path}?version=3"), check=False)
        assert r.returncode != 0 or "etc" not in r.stdout, f"{path}: {r.stdout[:200]}"


@quick
def test_garbage_on_every_port_changes_nothing(t):
    net, daemon, image = serve(t)
    client = net.client()
    client.address("10.77.0.9/24")
    t.run(*client.exec("/usr/bin/python3", os.path.join(TOP, "tests", "lib", "garbage.py"), ADDRESS), timeout=120)
    assert daemon.process.poll() is None, "the daemon is gone"
    r = t.run(*client.exec("curl", "-sS", "--max-time", "20", f"tftp://{ADDRESS}/config.txt"))
    assert "arm_64bit=1" in r.stdout


@quick
def test_a_second_daemon_on_the_same_state_is_refused(t):
    net, daemon, _ = serve(t)
    r = t.run(*daemon.argv, check=False, timeout=60)
    assert r.returncode == 1, r.returncode
    assert daemon.state in r.stderr or "state" in r.stderr, r.stderr


@quick
def test_a_busy_port_and_a_missing_interface_are_named(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    image = small_image(t)
    net = t.enter(Net())
    r = t.run(*net.exec(t.bramble, "serve", image, "--interface", "nope0", "--state", t.path("s1")), check=False)
    assert r.returncode in (1, 2) and "nope0" in r.stderr, r.stderr
    # somebody else has the TFTP port
    blocker = socket_in(t, net, 69)
    r = t.run(*net.exec(t.bramble, "serve", image, "--interface", "br0", "--address", netlab.CIDR, "--dhcp", "full",
                        "--state", t.path("s2")), check=False, timeout=60)
    blocker.terminate()
    blocker.wait()
    assert r.returncode == 1 and "69" in r.stderr, r.stderr


@quick
def test_restart_keeps_boards_and_leases(t):
    t.need_program("busybox")
    net, daemon, _ = serve(t)
    client = net.client("b8:27:eb:12:34:57")
    script = t.path("udhcpc.sh")
    with open(script, "w") as f:
        f.write(UDHCPC_SCRIPT)
    os.chmod(script, 0o755)
    got = []
    for attempt in range(2):
        t.env["LEASE_FILE"] = t.path(f"lease{attempt}")
        t.run(*client.exec("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-t", "5", "-T", "2", "-s", script))
        with open(t.env["LEASE_FILE"]) as f:
            got.append(re.search(r"^ip='(.*)'", f.read(), re.M)[1])
        boards = daemon.json("board", "list")
        assert len(boards) <= 1, boards
        if attempt == 0:
            before = boards
            daemon.restart()
    assert got[0] == got[1], got
    assert [b.get("name") for b in boards] == [b.get("name") for b in before]


def socket_in(t, net, port):
    """A process in the namespace that holds a UDP port of every address."""
    p = subprocess.Popen(net.exec("/usr/bin/python3", "-c",
                                  f"import socket,time; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); "
                                  f"s.bind(('0.0.0.0',{port})); print('ok',flush=True); time.sleep(600)"),
                         stdout=subprocess.PIPE)
    p.stdout.readline()
    return p


@quick
def test_libnfs_reads_the_boards_own_disk(t):
    """As the board: its address, its root path, a port below 1024 (libnfs takes one when it is root)."""
    t.need_program("nfs-ls", "nfs-cat", "nfs-cp", "curl")
    net, daemon, _ = serve(t)
    daemon.cli("board", "add", "pi07", "--mac", "b8:27:eb:12:34:60", "--address", "10.77.0.21")
    board = net.client("b8:27:eb:12:34:60")
    board.address("10.77.0.21/24")
    # a boot begins with its files
    t.run(*board.exec("curl", "-sS", "--max-time", "20", "-o", t.path("k"), f"tftp://{ADDRESS}/kernel8.img"))
    root = f"nfs://{ADDRESS}/pi07"
    listed = t.run(*board.exec("nfs-ls", f"{root}/etc?version=3")).stdout
    assert {"os-release", "hostname", "fstab"} <= {line.split()[-1] for line in listed.splitlines()}, listed
    assert t.run(*board.exec("nfs-cat", f"{root}/etc/hostname?version=3")).stdout == "pi07\n"
    assert "Small Linux" in t.run(*board.exec("nfs-cat", f"{root}/etc/os-release?version=3")).stdout
    assert "# " in t.run(*board.exec("nfs-cat", f"{root}/etc/fstab?version=3")).stdout
    # what it writes is its own, and there for others to look at
    t.run(*board.exec("nfs-cp", t.path("k"), f"{root}/etc/copy?version=3"))
    back = daemon.cli("disk", "ls", "pi07", "/etc").stdout
    assert "copy" in back, back
    t.run(*board.exec("nfs-cp", f"{root}/etc/copy?version=3", t.path("back")))
    assert sha256(t.path("back")) == sha256(t.path("kernel8.img"))
    assert "nfs.mounted" in [e["type"] for e in daemon.jsonl("event", "list", "pi07")]
    # another address, same path
    stranger = net.client()
    stranger.address("10.77.0.9/24")
    assert t.run(*stranger.exec("nfs-cat", f"{root}/etc/hostname?version=3"), check=False).returncode
