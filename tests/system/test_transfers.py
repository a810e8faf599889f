# SPDX-License-Identifier: Apache-2.0
"""Other people's TFTP clients, and the client of systemd-networkd, against the whole server."""
import os
import re

from daemon import Daemon
from images import sha256, small_image
from netlab import ADDRESS, Net
from networkd import Networkd
from systemtests import quick

BIG = "big.bin"     # a whole number of 512-byte and of 1024-byte blocks: an empty one ends it
KERNEL = "kernel8.img"


def serve(t):
    """(net, daemon, a client with an address, the files to fetch)"""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    os.makedirs(t.path("boot/all"))
    with open(t.path("boot/all", BIG), "wb") as f:
        f.write(os.urandom(1 << 20))
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--overrides", t.path("boot"), image=small_image(t)))
    client = net.client()
    client.address("10.77.0.9/24")
    return net, daemon, client, {BIG: t.path("boot/all", BIG), KERNEL: t.path(KERNEL)}


def same(t, got, path, what):
    assert sha256(got) == sha256(path), f"{what}: {os.path.getsize(got)} other bytes"
    os.unlink(got)


@quick
def test_tftp_hpa(t):
    t.need_program("tftp")
    _, _, client, files = serve(t)
    if "-c" not in t.run("tftp", "-V", check=False).stdout + t.run("tftp", "-h", check=False).stderr:
        t.skip("the tftp here is not tftp-hpa's (./dev deps test)")
    for name, path in files.items():
        for mode in ("octet", "binary"):
            # with retransmissions of its own from the start of the port range that a firewall would let through
            t.run(*client.exec("tftp", "-4", "-m", mode, "-R", "20000:20100", ADDRESS, "-c", "get", name, t.path("got")))
            same(t, t.path("got"), path, f"{name}, {mode}")
    # it exits with 0 however it ends, and says why
    r = t.run(*client.exec("tftp", ADDRESS, "-m", "octet", "-c", "get", "nothing", t.path("got")), check=False)
    assert "File not found" in r.stdout + r.stderr or "nothing" in r.stdout + r.stderr, r.stdout + r.stderr
    r = t.run(*client.exec("tftp", ADDRESS, "-m", "octet", "-c", "put", t.path(KERNEL), "stolen"), check=False)
    assert re.search(r"Error code [24]", r.stdout + r.stderr), r.stdout + r.stderr


@quick
def test_atftp(t):
    t.need_program("atftp")
    _, _, client, files = serve(t)
    ways = ([], ["--option", "blksize 1428"], ["--option", "blksize 1024"], ["--option", "windowsize 8"],
            ["--option", "blksize 1428", "--option", "windowsize 64", "--option", "tsize", "--option", "timeout 3"],
            ["--option", "disable blksize", "--option", "disable tsize"])
    for name, path in files.items():
        for way in ways:
            t.run(*client.exec("atftp", *way, "--get", "-r", name, "-l", t.path("got"), ADDRESS))
            same(t, t.path("got"), path, f"{name} {way}")
    r = t.run(*client.exec("atftp", "--get", "-r", "nothing", "-l", t.path("got"), ADDRESS), check=False)
    assert r.returncode and "not found" in (r.stdout + r.stderr).lower(), r.stdout + r.stderr


@quick
def test_busybox_tftp(t):
    t.need_program("busybox")
    _, _, client, files = serve(t)
    for name, path in files.items():
        for way in ([], ["-b", "1468"], ["-b", "1024"], ["-b", "512"], ["-b", "65464"]):
            t.run(*client.exec("busybox", "tftp", "-g", *way, "-r", name, "-l", t.path("got"), ADDRESS))
            same(t, t.path("got"), path, f"{name} {way}")
    r = t.run(*client.exec("busybox", "tftp", "-g", "-r", "nothing", "-l", t.path("got"), ADDRESS), check=False)
    assert r.returncode and "not found" in r.stderr.lower(), r.stderr
    r = t.run(*client.exec("busybox", "tftp", "-p", "-l", t.path(KERNEL), "-r", "stolen", ADDRESS), check=False)
    assert r.returncode, "a write was taken"


@quick
def test_curl_by_tftp_and_http(t):
    t.need_program("curl")
    _, _, client, files = serve(t)
    for name, path in files.items():
        for way in ([f"tftp://{ADDRESS}/{name}"], ["--tftp-blksize", "1468", f"tftp://{ADDRESS}/{name}"],
                    ["--tftp-no-options", f"tftp://{ADDRESS}/{name}"], [f"http://{ADDRESS}/{name}"]):
            t.run(*client.exec("curl", "-sSf", "-m", "60", "-o", t.path("got"), *way))
            same(t, t.path("got"), path, f"{name} {way}")


# ---- systemd-networkd ----------------------------------------------------------------------------


@quick
def test_systemd_networkd_gets_and_keeps_an_address(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "unshare")
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--domain", "lab.example", "--router", ADDRESS, "--dns", ADDRESS,
                            image=small_image(t)))
    daemon.cli("board", "add", "pi07", "--mac", "b8:27:eb:12:34:59")
    client = net.client("b8:27:eb:12:34:59")
    got = []
    for name in ("networkd-1", "networkd-2"):
        with Networkd(t, client, name) as networkd:
            got.append(networkd.wait())
            route = t.run(*client.exec("ip", "route", "show", "default")).stdout
            assert f"via {ADDRESS}" in route, route
    assert got[0] == got[1] and got[0].endswith("/24"), got
    acks = [e["fields"] for e in daemon.jsonl("event", "list", "pi07", "-t", "dhcp.ack")]
    assert acks and all(a["client"] == "os" and a["ip"] + "/24" == got[0] for a in acks), acks
