# SPDX-License-Identifier: Apache-2.0
"""Directories of the host that boards mount as /share/NAME, through real NFS clients."""
import os

from daemon import Daemon
from images import small_image
from netlab import ADDRESS, Net
from systemtests import quick, wait_until


def board(t, net, daemon, name, number):
    mac, address = f"b8:27:eb:12:35:{number:02x}", f"10.77.0.{number}"
    daemon.cli("board", "add", name, "--mac", mac, "--address", address)
    client = net.client(mac)
    client.address(f"{address}/24")
    return client


def directory(t, name, **files):
    path = t.path(name)
    os.makedirs(path)
    os.chmod(path, 0o777)   # for the user the daemon becomes
    for file, text in files.items():
        with open(os.path.join(path, file), "w") as f:
            f.write(text)
    return path


@quick
def test_boards_mount_shared_directories(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "nfs-ls", "nfs-cat", "nfs-cp", "showmount")
    data, results, other = directory(t, "data", hello="hi\n"), directory(t, "results"), directory(t, "other", x="x\n")
    with open(t.path("bramble.conf"), "w") as f:
        f.write(f"[share data]\ndir = {data}\n[share other]\ndir = {other}\nboards = pi[50-60]\n")
    os.symlink("/etc/hostname", os.path.join(data, "out"))
    net = t.enter(Net())
    with Daemon(t, net, "--config", t.path("bramble.conf"), image=small_image(t)) as d:
        one, stranger = board(t, net, d, "pi21", 21), net.client()
        stranger.address("10.77.0.9/24")

        def nfs(tool, *words, check=True, client=one):
            return t.run(*client.exec(tool, *(w if w[0] == "/" and os.path.exists(w) else f"nfs://{ADDRESS}{w}?version=3"
                                              for w in words)), check=check)

        d.cli("share", "add", "results", results, "--rw", "--owner", "1000:100")
        listed = {s["name"]: s for s in d.json("share", "list")}
        assert listed["data"]["mode"] == "ro" and listed["data"]["origin"] == "config", listed
        assert listed["results"]["mode"] == "rw" and listed["results"]["path"] == "/share/results", listed
        assert d.cli("share", "add", "results", results, check=False).returncode == 1
        assert d.cli("share", "add", "none", t.path("none"), check=False).returncode == 3
        assert d.cli("share", "rm", "data", check=False).returncode == 1    # bramble.conf has it
        # what a board may mount is what it is told
        told = t.run(*one.exec("showmount", "--no-headers", "-e", ADDRESS)).stdout
        assert {w.split()[0] for w in told.splitlines()} == {"/pi21", "/share/data", "/share/results"}, told
        assert not t.run(*stranger.exec("showmount", "--no-headers", "-e", ADDRESS), check=False).stdout
        # reading, writing, and what is refused
        assert nfs("nfs-cat", "/share/data/hello").stdout == "hi\n"
        nfs("nfs-cp", os.path.join(data, "hello"), "/share/results/copy")
        with open(os.path.join(results, "copy")) as f:
            assert f.read() == "hi\n"
        listed = [line.split() for line in nfs("nfs-ls", "/share/results").stdout.splitlines() if line.endswith(" copy")]
        assert [line[2:4] for line in listed] == [["1000", "100"]], listed
        refused = nfs("nfs-cp", os.path.join(data, "hello"), "/share/data/copy", check=False)
        assert refused.returncode and "ROFS" in refused.stderr, refused.stderr
        assert not os.path.exists(os.path.join(data, "copy"))
        told = wait_until(lambda: [e for e in d.jsonl("event", "list", "pi21") if e["type"] == "share.trouble"], 20, "an event")
        assert told[0]["fields"]["path"] == "/share/data" and told[0]["fields"]["what"] == "read-only", told
        assert not [e for e in d.jsonl("event", "list", "pi21") if e["type"] == "nfs.trouble"]
        for path, client in (("/share/other/x", one), ("/share/data/hello", stranger), ("/share/nope/x", one),
                             ("/share/data/../../etc/hostname", one)):
            assert nfs("nfs-cat", path, check=False, client=client).returncode, path
        with open("/etc/hostname") as f:
            assert f.read() not in nfs("nfs-cat", "/share/data/out", check=False).stdout
        # what is at the path when a board mounts counts: a file system that was mounted there since
        os.rename(results, results + ".was")
        directory(t, "results")
        nfs("nfs-cp", os.path.join(data, "hello"), "/share/results/copy")
        assert os.path.exists(os.path.join(results, "copy"))
        # its shares outlive the daemon; one that is removed is gone at once
        d.restart()
        assert nfs("nfs-cat", "/share/results/copy").stdout == "hi\n"
        assert "results" in d.cli("share", "rm", "results").stdout
        assert nfs("nfs-cat", "/share/results/copy", check=False).returncode
        assert os.path.exists(os.path.join(results, "copy"))
        kinds = {e["type"] for e in d.jsonl("event", "list")}
        assert {"nfs.share", "share.added", "share.removed"} <= kinds, kinds
