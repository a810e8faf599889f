# SPDX-License-Identifier: Apache-2.0
"""Bad storage: the host's disk is full, an image is changed while it is served, two daemons want the same."""
import os
import subprocess

from daemon import Daemon
from images import small_image
from netlab import ADDRESS, Net


class Tmpfs:
    """A small file system at path."""

    def __init__(self, path, size):
        self.path = path
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "none", path], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)

    def grow(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)


class Host:
    """A board's kernel, played by libnfs."""

    def __init__(self, t, net, daemon, name, mac, address):
        self.t, self.root = t, f"nfs://{ADDRESS}/{name}"
        daemon.cli("board", "add", name, "--mac", mac, "--address", address)
        self.client = net.client(mac)
        self.client.address(address + "/24")

    def put(self, local, path, check=True):
        return self.t.run(*self.client.exec("nfs-cp", local, f"{self.root}{path}?version=3"), check=check, timeout=60)

    def get(self, path):
        return self.t.run(*self.client.exec("nfs-cat", f"{self.root}{path}?version=3"), check=False, timeout=60)


def noise(t, name, size):
    with open(t.path(name), "wb") as f:
        f.write(os.urandom(size))
    return t.path(name)


def fsck(t, daemon, board):
    out = t.path(f"{board}.ext4")
    daemon.cli("disk", "export", board, out)
    t.run("e2fsck", "-fn", out)


def test_the_hosts_disk_is_full(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "e2fsck", "nfs-cp", "nfs-cat")
    net = t.enter(Net())
    state = t.enter(Tmpfs(t.path("state"), "48M"))
    d = t.enter(Daemon(t, net, "--disk", "persistent", image=small_image(t)))
    a = Host(t, net, d, "a", "b8:27:eb:00:00:01", "10.77.0.21")
    a.put(noise(t, "before", 100000), "/etc/before")
    # nothing but the board's disk is left to write to
    room = os.statvfs(state.path)
    noise(t, "state/ballast", room.f_bavail * room.f_frsize - (3 << 20))
    data = noise(t, "data", 6 << 20)
    r = a.put(data, "/etc/data", check=False)
    assert r.returncode, "6 MiB went where 3 are free"
    noise(t, "state/rest", max(os.statvfs(state.path).f_bavail * 4096, 0))
    # it says so, and reading goes on
    said = d.cli("why", "a", check=False).stdout
    assert "no room left" in said, said
    with open(t.path("before"), "rb") as f:
        back = subprocess.run(a.client.exec("nfs-cat", f"{a.root}/etc/before?version=3"), stdout=subprocess.PIPE, check=True, timeout=60)
        assert back.stdout == f.read()
    # room again: it goes on, and nothing was damaged
    os.unlink(t.path("state/ballast"))
    os.unlink(t.path("state/rest"))
    a.put(data, "/etc/data2")
    fsck(t, d, "a")
    said = d.cli("event", "list", "a", check=False).stdout
    assert "disk.full" in said, said
    d.restart()
    with open(data, "rb") as f:
        back = subprocess.run(a.client.exec("nfs-cat", f"{a.root}/etc/data2?version=3"), stdout=subprocess.PIPE, check=True, timeout=60)
        assert back.stdout == f.read()
    fsck_again = t.path("a.ext4")
    os.unlink(fsck_again)
    fsck(t, d, "a")


def test_an_image_is_cut_while_it_is_served(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "nfs-cp", "nfs-cat", "curl")
    net = t.enter(Net())
    image = small_image(t)
    d = t.enter(Daemon(t, net, "--disk", "persistent", image=image))
    a = Host(t, net, d, "a", "b8:27:eb:00:00:01", "10.77.0.21")
    assert "Small Linux" in a.get("/etc/os-release").stdout
    fetch = a.client.exec("curl", "-sS", "--max-time", "20", "-o", t.path("got"), f"tftp://{ADDRESS}/start.elf")
    t.run(*fetch)
    disk = os.path.join(d.state, "images", "small", "disk.img")
    os.truncate(disk, 1 << 20)
    # boot partition and root are gone: errors, at once, and a daemon that lives
    for _ in range(2):
        r = a.get("/etc/fstab")
        assert r.returncode, r.stdout
        r = t.run(*fetch, check=False)
        assert r.returncode and r.returncode != 28, f"curl: status {r.returncode}: {r.stderr}"    # 28: no answer
    assert d.process.poll() is None
    said = d.cli("why", "a", check=False).stdout
    assert "somebody changed it" in said, said
    assert "somebody changed it" in d.cli("event", "list").stdout
    row = d.json("image", "list")[0]
    assert "somebody changed it" in row["error"], row
    r = d.cli("image", "check", "small", check=False)
    assert r.returncode == 1 and "somebody changed it" in r.stderr, r.stderr
    # the right bytes again
    d.cli("image", "add", image, "--name", "small", "--replace", "-q")
    assert d.cli("image", "check", "small").stdout == "small is what was taken in\n"
    assert "error" not in d.json("image", "list")[0]
    d.restart()
    t.run(*fetch)


def test_bytes_of_an_image_change(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "nfs-cp", "nfs-cat")
    net = t.enter(Net())
    d = t.enter(Daemon(t, net, "--disk", "persistent", image=small_image(t)))
    a = Host(t, net, d, "a", "b8:27:eb:00:00:01", "10.77.0.21")
    assert "Small Linux" in a.get("/etc/os-release").stdout
    with open(os.path.join(d.state, "images", "small", "disk.img"), "r+b") as f:
        f.seek(18432 * 512 + 8192)                  # noise over the root's descriptors, tables, directories
        for _ in range(24):
            f.write(os.urandom(64 << 10))
    for path in ("/etc/fstab", "/etc", "/etc/hostname"):
        a.get(path)
    a.put(noise(t, "x", 5000), "/etc/x", check=False)
    assert d.process.poll() is None
    assert "somebody changed it" in d.cli("why", "a", check=False).stdout
    r = d.cli("image", "check", "small", check=False)
    assert r.returncode == 1 and "not what was taken in" in r.stderr, r.stderr


def test_two_daemons_do_not_share(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    net = t.enter(Net())
    image = small_image(t)
    t.enter(Daemon(t, net, image=image))
    # the same state directory
    same = [t.bramble, "serve", "--interface", "br0", "--state", t.path("state")]
    r = t.run(*net.exec(*same), check=False, timeout=60)
    assert r.returncode and "already serves it" in r.stderr, r.stderr
    # another one, the same interface and ports
    other = Daemon(t, net, image=image, state=t.path("other"))
    other.expect_failure = True
    try:
        other.start(60)
        raise AssertionError("a second daemon serves the same ports")
    except AssertionError as e:
        assert "in use" in str(e) or "another" in str(e), e
    finally:
        other.process.kill()
        other.process.wait()
