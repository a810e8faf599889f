# SPDX-License-Identifier: Apache-2.0
"""Backup and restore: taken while boards boot, brought back elsewhere, and refused when it is not what it was."""
import io
import json
import os
import subprocess
import tarfile

from boards import sim_argv
from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import quick

MACS = {"a": "b8:27:eb:00:00:01", "b": "b8:27:eb:00:00:02"}


def write(t, name, text):
    with open(t.path(name), "w") as f:
        f.write(text)
    return t.path(name)


def identity(d, board):
    """What a board is known by on its network and to its users."""
    b = d.json("board", "show", board)[0]
    key = d.cli("disk", "cat", board, "/etc/ssh/ssh_host_ed25519_key.pub").stdout
    machine = d.cli("disk", "cat", board, "/etc/machine-id").stdout
    return {k: b[k] for k in ("name", "mac", "serial", "fixed_address", "image", "disk", "notes")}, key, machine


def boot(t, net, serial):
    t.run(*sim_argv(t, net, "4", serial, "--speed", "0", "--timeout", "60s"), timeout=120)


@quick
def test_boards_come_back_as_they_were(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "e2fsck", "tar", "zstd")
    net = t.enter(Net())
    os.makedirs(t.path("p2.d/etc/ssh"))     # what the image's root is made of: boards get host keys
    image = small_image(t)
    config = t.path("config")
    os.makedirs(config + "/boot/a")
    write(t, "config/boot/a/config.txt", "start_x=1\n")
    write(t, "config/bramble.conf", "[serve]\nlease = 1h\n")
    os.chmod(t.path("config/bramble.conf"), 0o640)
    with Daemon(t, net, image=image) as d:
        for name, mac in MACS.items():
            d.cli("board", "add", name, "--mac", mac, "--disk", "persistent", "--notes", f"shelf {name}")
        d.cli("board", "edit", "a", "--address", "10.77.0.201")
        d.cli("disk", "cp", write(t, "f", "before\n"), "a:/etc/made")
        d.cli("disk", "snapshot", "a", "first")
        d.cli("disk", "cp", write(t, "f", "after\n"), "a:/etc/made")
        d.cli("disk", "cp", write(t, "f", "of b\n"), "b:/etc/made")
        before = {name: identity(d, name) for name in MACS}
        # boards boot meanwhile
        booting = [subprocess.Popen(sim_argv(t, net, "4", f"1000{i:04x}", "--speed", "0", "--timeout", "60s"), env=t.env,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for i in range(6)]
        out = d.json("backup", t.path("b.tar.zst"), "--with-images", "--with-disks", "--config", config)
        d.cli("backup", t.path("small.tar.xz"), "--no-config")
        for p in booting:
            assert p.wait(120) == 0
        assert out["files"] > 10 and os.stat(t.path("b.tar.zst")).st_mode & 0o777 == 0o600
        refused = d.cli("backup", t.path("b.tar.zst"), check=False)
        assert refused.returncode != 0 and "replaces nothing" in refused.stderr
        # nothing of it stays beside the disks
        left = [x for _, dirs, _ in os.walk(d.state + "/disks") for x in dirs if x.startswith("copy-")]
        assert not left, left
        live = d.cli("restore", t.path("b.tar.zst"), check=False)
        assert live.returncode != 0 and "already serves it" in live.stderr, live.stderr
    names = t.run("tar", "--zstd", "-tf", t.path("b.tar.zst")).stdout.splitlines()
    assert names[-1] == "MANIFEST.json" and "state/bramble.db" in names and "config/boot/a/config.txt" in names
    t.run(t.bramble, "restore", t.path("b.tar.zst"), "--state", t.path("state2"), "--config", t.path("config2"))
    with open(t.path("config2/boot/a/config.txt")) as f:
        assert f.read() == "start_x=1\n"
    assert os.stat(t.path("config2/bramble.conf")).st_mode & 0o777 == 0o640
    owner = os.stat(t.path("state2")).st_uid
    assert owner != 0 and all(os.lstat(os.path.join(d, x)).st_uid == owner for d, dirs, files in os.walk(t.path("state2")) for x in dirs + files)
    again = t.run(t.bramble, "restore", t.path("b.tar.zst"), "--state", t.path("state2"), check=False)
    assert again.returncode != 0 and "has a database already" in again.stderr
    with Daemon(t, net, state=t.path("state2"), image="small") as d:
        assert {name: identity(d, name) for name in MACS} == before
        assert d.cli("disk", "cat", "a", "/etc/made").stdout == "after\n"
        assert d.cli("disk", "cat", "b", "/etc/made").stdout == "of b\n"
        for name in MACS:
            d.cli("disk", "export", name, t.path(name + ".ext4"))
            t.run("e2fsck", "-fn", t.path(name + ".ext4"))
        boot(t, net, "10000001")        # one that was adopted before comes up
        # those that were adopted by the moment of the copy, and no others
        assert {"a", "b", "pi-10000001"} <= {b["name"] for b in d.json("board", "list")}
        d.cli("disk", "rollback", "a", "first", "--force")
        assert d.cli("disk", "cat", "a", "/etc/made").stdout == "before\n"
    # without images: what they were is told, and the same file added again is the same image
    r = t.run(t.bramble, "restore", t.path("small.tar.xz"), "--state", t.path("state3"))
    assert "small from small.img" in r.stdout, r.stdout
    with Daemon(t, net, state=t.path("state3"), image=image) as d:
        assert {name: identity(d, name) for name in MACS} == before


@quick
def test_a_damaged_backup_is_refused(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    net = t.enter(Net())
    with Daemon(t, net, image=small_image(t)) as d:
        d.cli("board", "add", "a", "--mac", MACS["a"], "--disk", "persistent")
        d.cli("disk", "cp", write(t, "f", "x\n"), "a:/etc/made")
        d.cli("backup", t.path("b.tar"), "--no-config", "--with-disks")
    # nobody serves it: the same directly
    t.run(t.bramble, "--state", d.state, "backup", t.path("c.tar"), "--no-config", "--with-disks")
    t.run(t.bramble, "restore", "--check", t.path("c.tar"))
    with open(t.path("b.tar"), "rb") as f:
        whole = f.read()

    def refused(name, data, words):
        with open(t.path(name), "wb") as f:
            f.write(data)
        for more in (("--check",), ("--state", t.path("nowhere"))):
            r = t.run(t.bramble, "restore", t.path(name), *more, check=False)
            assert r.returncode == 1 and words in r.stderr, (name, r)
        assert not os.path.exists(t.path("nowhere/bramble.db"))

    refused("cut.tar", whole[:len(whole) // 2], "cut off")
    at = whole.index(b"SQLite format 3") + 3000
    refused("flipped.tar", whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:], "SHA-256 differs")

    def remade(change):
        out = io.BytesIO()
        with tarfile.open(t.path("b.tar")) as old, tarfile.open(fileobj=out, mode="w") as new:
            for m in old.getmembers():
                data = old.extractfile(m).read()
                for name, content in change(m.name, data):
                    m.name, m.size = name, len(content)
                    new.addfile(m, io.BytesIO(content))
        return out.getvalue()

    def newer(name, data):
        if name == "MANIFEST.json":
            data = json.dumps({**json.loads(data), "schema": 9999}).encode()
        return [(name, data)]

    with open(t.path("newer.tar"), "wb") as f:
        f.write(remade(newer))
    r = t.run(t.bramble, "restore", t.path("newer.tar"), "--state", t.path("nowhere"), check=False)
    assert r.returncode == 1 and "newer bramble" in r.stderr, r
    refused("outside.tar", remade(lambda n, d: [("state/../../evil", d) if n == "state/bramble.db" else (n, d)]), "nothing that bramble puts")
    refused("missing.tar", remade(lambda n, d: [] if n == "state/nfs.key" else [(n, d)]), "by its MANIFEST.json")
    refused("twice.tar", remade(lambda n, d: [(n, d), (n, d)] if n == "state/nfs.key" else [(n, d)]), "twice")
    refused("more.tar", remade(lambda n, d: [(n, d), ("state/more", b"x")] if n == "MANIFEST.json" else [(n, d)]), "follows its")
    refused("no.tar", b"hello\n" * 1000, "backup")
    # interrupted between its renames: no daemon starts on it, the same again ends it
    os.makedirs(t.path("half"))
    with tarfile.open(t.path("b.tar")) as tar:
        manifest = json.load(tar.extractfile("MANIFEST.json"))
    mark = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    write(t, "half/.restoring", "of another backup")
    write(t, "half/nfs.key", "old")
    r = t.run(t.bramble, "restore", t.path("b.tar"), "--state", t.path("half"), check=False)
    assert r.returncode == 1 and "is there already" in r.stderr, r
    write(t, "half/.restoring", mark)
    write(t, "half/nfs.key", "old")
    r = t.run(*net.exec(t.bramble, "serve", "--state", t.path("half"), "--interface", "br0", "--address", "10.77.0.1/24"), check=False, timeout=60)
    assert r.returncode == 1 and "did not end" in r.stderr, r
    t.run(t.bramble, "restore", t.path("b.tar"), "--state", t.path("half"))
    assert os.path.exists(t.path("half/bramble.db")) and not os.path.exists(t.path("half/.restoring"))
    # ... also when only the mark was left to remove
    write(t, "half/.restoring", mark)
    t.run(t.bramble, "restore", t.path("b.tar"), "--state", t.path("half"))
    assert os.path.exists(t.path("half/bramble.db")) and not os.path.exists(t.path("half/.restoring"))
    # a damaged database is not backed up
    with open(t.path("half/bramble.db"), "r+b") as f:
        f.seek(4096)
        f.write(b"\xff" * 8192)
    r = t.run(t.bramble, "--state", t.path("half"), "backup", t.path("bad.tar"), "--no-config", check=False)
    assert r.returncode == 1 and ("damaged" in r.stderr or "malformed" in r.stderr), r
    assert not os.path.exists(t.path("bad.tar"))
