# SPDX-License-Identifier: Apache-2.0
"""What people do on a computer, done on a real kernel whose root is ours: packages installed, files hammered, trees unpacked.

BRAMBLE_LIFE=short: the same with a part of everything, in some minutes. BRAMBLE_LIFE_PACKAGES: what is installed, instead
of "fio git"; what needs these is left out when they are not. BRAMBLE_LIFE_STATE: a directory of the host's for the disks,
instead of memory.
"""
import os
import re
import subprocess
import sys
import time

import bigtree
import debian
import uml
from boards import Board
from daemon import Daemon, daemon_pid
from netlab import ADDRESS, Net
from systemtests import TOP, alone, long, stop

SHORT = os.environ.get("BRAMBLE_LIFE") == "short"
PATIENCE = 7200         # of one step; never asserted
SERIAL = "4000aaaa"
MAC = "02:00:00:00:04:01"
PORT = 8000
PACKAGES = os.environ.get("BRAMBLE_LIFE_PACKAGES", "fio git").split()
TREE = "linux"
FILES = 800 if SHORT else 75000     # of the tree; Linux 6.1 has 78,600
COMMITS = 200 if SHORT else 3000
VERIFIED = " ".join(["apt", "dpkg", *PACKAGES]) if SHORT else ""
HAMMER_SECONDS = 20 if SHORT else 180
FIO_PART = 16 if SHORT else 1    # divides the sizes

FIO = """
[global]
directory=/srv/fio
verify=crc32c
verify_fatal=1
fallocate=none
[sequential, buffered]
stonewall
rw=write
bs=64k
size={big}m
[random, buffered]
stonewall
rw=randwrite
bs=4k
size={small}m
[sequential, direct]
stonewall
rw=write
bs=256k
direct=1
ioengine=libaio
iodepth=8
size={big}m
[random, direct]
stonewall
rw=randwrite
bsrange=4k-64k
direct=1
ioengine=libaio
iodepth=16
size={small}m
[random reads and writes, mapped]
stonewall
rw=randwrite
ioengine=mmap
bs=4k
size={small}m
"""


class Child:
    """A helper in the server's namespace."""

    def __init__(self, net, log, *argv):
        self.argv, self.log, self.process = net.exec(*argv), log, None

    def __enter__(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(self, *_):
        stop(self.process)


def operations(board):
    """{operation: (calls, milliseconds until the answer)} of the root, as its kernel counted them."""
    said = board.sh("awk '/^device/ { r = / mounted on \\/ / } r && $1 ~ /^[A-Z]+:$/ { print $1, $2, $8 }' /proc/self/mountstats")
    return {m[1]: (int(m[2]), int(m[3])) for m in re.finditer(r"^([A-Z]+): (\d+) (\d+)$", said, re.M) if m[2] != "0"}


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Life:
    """The steps of a board's life, each with what it cost."""

    def __init__(self, t, net, board):
        self.t, self.board, self.pid = t, board, daemon_pid(t, net)

    def __call__(self, what, line):
        before, cpu, began = operations(self.board), cpu_seconds(self.pid), time.monotonic()
        said = self.board.sh(line, seconds=PATIENCE)
        took, cpu = time.monotonic() - began, cpu_seconds(self.pid) - cpu
        spent = {k: (n - before.get(k, (0, 0))[0], ms - before.get(k, (0, 0))[1])
                 for k, (n, ms) in operations(self.board).items()}
        calls = sum(n for n, _ in spent.values())
        self.t.say(f"      {what}: {took:.0f} s, the server's CPU {cpu:.1f} s, {calls} calls: " + ", ".join(
            f"{k} {n} ({ms / n:.1f} ms)" for k, (n, ms) in sorted(spent.items(), key=lambda x: -x[1][0]) if n))
        return said


def debian_repository(t, www, status, arch):
    """A small repository of real packages, served as a directory; bootstrap lists those of apt that the image lacks."""
    t.need_program("dpkg-scanpackages")
    os.mkdir(f"{www}/debian")
    name = lambda deb: os.path.basename(deb).replace("%3a", "_")
    for deb in debian.with_depends(t, ["apt", *PACKAGES], status, "bookworm", arch):
        os.symlink(deb, f"{www}/debian/{name(deb)}")
    with open(f"{www}/bootstrap", "w") as f:
        f.write("".join(f"debian/{name(deb)}\n" for deb in debian.with_depends(t, ["apt"], status, "bookworm", arch)))
    said = t.run("sh", "-c", "cd \"$1\" && exec dpkg-scanpackages -m debian >debian/Packages", "sh", www)
    assert "Wrote" in said.stderr, said.stderr


def git_repository(t, git):
    """A bare repository with a history."""
    t.need_program("git")
    t.run("git", "init", "-q", "--bare", "-b", "main", f"{git}/kernel.git")
    with open(t.path("history"), "wb") as f:
        bigtree.history(f, COMMITS)
    t.run("sh", "-c", 'exec git -C "$1" fast-import --quiet <"$2"', "sh", f"{git}/kernel.git", t.path("history"), timeout=600)
    os.unlink(t.path("history"))


def things_to_fetch(t, status, arch):
    """Directories to be served: packages and programs, a repository."""
    www, git = t.path("www"), t.path("git")
    os.mkdir(www)
    os.mkdir(git)
    git_repository(t, git)
    debian_repository(t, www, status, arch)
    debian.static_program(t, os.path.join(TOP, "tests", "life", "onefile.c"), f"{www}/onefile", arch)
    with open(f"{www}/verify.fio", "w") as f:
        f.write(FIO.format(big=256 // FIO_PART, small=48 // FIO_PART))
    return www, git


def great_tree(t):
    """The host's directory that a board has as /mnt: archives, and what is in them."""
    files, size = bigtree.archives(t.path("host"), TREE, FILES)
    t.say(f"      the tree: {files} files, {size >> 20} MiB")
    for n in range(bigtree.PARTS):
        t.run("tar", "-xf", t.path("host", f"{n}.tar"), "-C", t.path("host"), timeout=1200)


def beside(lines):
    """A shell's line that runs these at once; its status is 0 when all of theirs are."""
    return "p=; " + " ".join(f"{line} & p=\"$p $!\";" for line in lines) + " a=0; for i in $p; do wait $i || a=1; done; test $a = 0"


def unpacked(life, board):
    """Four at once: each waits for an answer most of the time."""
    board.sh("cd /srv")
    life("untar", beside(f"tar -xf /mnt/{n}.tar" for n in range(bigtree.PARTS)) + " && sync")
    board.sh("echo 3 >/proc/sys/vm/drop_caches")
    life("diff -r", beside(f"diff -r --no-dereference {TREE}/{top} /mnt/{TREE}/{top}" for top, _, _ in bigtree.TOPS))
    board.sh("echo 3 >/proc/sys/vm/drop_caches")
    life("a part compared with its archive, owners, modes and times too", "tar --compare -f /mnt/3.tar")
    life("cp -a of a part, diff -r", f"cp -a {TREE}/net copy && sync && echo 3 >/proc/sys/vm/drop_caches && "
         f"diff -r --no-dereference {TREE}/net copy")
    life("rm -r", "rm -r copy")


def cloned(life):
    life("git clone", f"git clone -q git://{ADDRESS}/kernel.git && git -C kernel fsck --full --no-progress")
    life("git clone of a local one, a change, a push", "git clone -q --bare kernel bare.git && git clone -q bare.git again && "
         "cd again && date >new && git add new && git -c user.name=t -c user.email=t@t commit -q -m new && git push -q; "
         "a=$?; cd /srv; test $a = 0 && git -C bare.git gc -q && git -C bare.git fsck --full --no-progress")


def live(life, board):
    """All the steps, on a board that is logged in."""
    url = f"http://{ADDRESS}:{PORT}"
    assert " / nfs " in board.sh("grep ' / ' /proc/mounts")
    board.sh("mkdir -p /srv/fio; cd /srv")
    board.sh(f"busybox wget -q {url}/bootstrap && for i in $(cat bootstrap); do busybox wget -q {url}/$i; done")
    if board.sh("wc -l <bootstrap") != "0":
        life("dpkg --install of apt", "dpkg --install *.deb >/root/dpkg.log 2>&1 || { tail -n 30 /root/dpkg.log; false; }")
    board.sh(f"rm -f *.deb; echo 'deb [trusted=yes] {url} debian/' >/etc/apt/sources.list")
    life("apt-get update", "apt-get -q update")
    life("apt-get install", f"DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install {' '.join(PACKAGES)}"
         " >/root/apt.log 2>&1 || { tail -n 30 /root/apt.log; false; }")
    board.sh("test -z \"$(dpkg --audit)\"")
    board.sh(f"busybox wget -q {url}/onefile {url}/verify.fio && chmod 755 onefile")
    life("two files hammered", f"./onefile one 1 {HAMMER_SECONDS} & ./onefile two 2 {HAMMER_SECONDS}; a=$?; wait $! && test $a = 0")
    if "fio" in PACKAGES:
        life("fio --verify", "fio --output=/root/fio.log verify.fio; a=$?; tail -n 40 /root/fio.log; test $a = 0")
    if "git" in PACKAGES:
        cloned(life)
    changed = life("dpkg --verify", f"dpkg --verify {VERIFIED} | grep '^..5' | grep -v ' c /'; true")
    assert not changed, changed
    life("rm -r", "rm -rf again kernel")


def lab(t, image, *arguments):
    t.need_program("clang", "ld.lld", "debugfs")
    net = t.enter(Net())
    state = os.environ.get("BRAMBLE_LIFE_STATE") or t.path("state")
    return net, t.enter(Daemon(t, net, "--disk", "persistent", *arguments, image=image, state=state))


def great_lab(t, image):
    """In memory: half a million calls that each wait for a busy disk are hours, and other tests have what a disk does."""
    if not os.environ.get("BRAMBLE_LIFE_STATE"):
        os.mkdir(t.path("state"))
        t.run("mount", "-t", "tmpfs", "-o", "size=12G", "none", t.path("state"))
        t.stack.callback(lambda: t.run("umount", t.path("state")))
    os.mkdir(t.path("host"))
    with open(t.path("bramble.conf"), "w") as f:
        f.write(f"[share host]\ndir = {t.path('host')}\n")
    return lab(t, image, "--config", t.path("bramble.conf"))


def prepare(t, net, daemon, arch):
    """What the board takes from its neighbours."""
    with open(t.path("status"), "w") as f:
        f.write(daemon.cli("disk", "cat", "life", "/var/lib/dpkg/status").stdout)
    www, git = things_to_fetch(t, t.path("status"), arch)
    t.enter(Child(net, t.path("http.log"), sys.executable, "-m", "http.server", str(PORT), "--bind", ADDRESS, "--directory", www))
    t.enter(Child(net, t.path("git.log"), "git", "daemon", "--export-all", "--reuseaddr", f"--base-path={git}",
                  f"--listen={ADDRESS}", git))


def clean(t, daemon):
    """Its disk after its life, as e2fsprogs take it."""
    disk = t.path("disk.ext4")
    daemon.cli("disk", "export", "life", disk, timeout=1800)
    r = t.run("e2fsck", "-fn", disk, check=False, timeout=1800)
    assert r.returncode == 0, r.stdout
    return disk


def is_the_tree(t, disk):
    """What lies there, read by other code than ours and the board's."""
    os.mkdir(t.path("read"))
    t.run("debugfs", "-R", f"rdump /srv/{TREE} {t.path('read')}", disk, timeout=1800)
    t.run("diff", "-r", "--no-dereference", t.path("host", TREE), t.path("read", TREE), timeout=1800)


def boot_of(t, board):
    t.say("      its boot: " + ", ".join(f"{k} {n} ({ms / n:.1f} ms)" for k, (n, ms) in
                                     sorted(operations(board).items(), key=lambda x: -x[1][0])))


def test_a_short_life_on_user_mode_linux(t):
    """What of it goes in half a minute: a login, files hammered and trees copied by a kernel's NFS client, a clean disk."""
    t.need_program("clang", "ld.lld")
    made = uml.program(t)
    net, daemon = lab(t, uml.image(t))
    daemon.cli("board", "add", "life", "--mac", MAC, "--address", "10.77.0.20", "--size", "2G")
    debian.static_program(t, os.path.join(TOP, "tests", "life", "onefile.c"), t.path("onefile"), "amd64")
    daemon.cli("disk", "cp", t.path("onefile"), "life:/usr/local/bin/onefile", "--mode", "755")
    with uml.UmlBoard(t, net, made, "life", MAC, "10.77.0.20").login() as board:
        assert " / nfs " in board.sh("grep ' / ' /proc/mounts")
        board.sh("cd /srv; onefile one 1 8 & onefile two 2 8; a=$?; wait $! && test $a = 0", seconds=PATIENCE)
        board.sh("(cd /usr/share && tar -c perl5 zoneinfo bash-completion 2>/dev/null) | tar -x; sync")
        board.sh("echo 3 >/proc/sys/vm/drop_caches; ls -d */ && (for i in */; do diff -r $i /usr/share/$i || exit 1; done)")
        board.sh("test -z \"$(dpkg --verify bash dpkg apt | grep '^..5' | grep -v ' c /')\" && rm -r */")
        board.shut_down()
    clean(t, daemon)


@alone
@long
def test_what_people_do_on_a_real_kernel(t):
    t.need_program("qemu-system-aarch64")
    net, daemon = great_lab(t, t.image())
    daemon.cli("board", "add", "life", "--serial", SERIAL, "--size", "8G")
    prepare(t, net, daemon, "arm64")
    great_tree(t)
    with Board(t, net, "4", SERIAL).login() as board:
        boot_of(t, board)
        life = Life(t, net, board)
        live(life, board)
        board.sh(f"mount -t nfs -o vers=3,tcp,nolock,ro,addr={ADDRESS} {ADDRESS}:/share/host /mnt")
        unpacked(life, board)
        board.sh("umount /mnt")
        board.shut_down()
    is_the_tree(t, clean(t, daemon))


def uml_lab(t):
    made = uml.program(t)
    net, daemon = great_lab(t, uml.image(t))
    daemon.cli("board", "add", "life", "--mac", MAC, "--address", "10.77.0.20", "--size", "8G")
    return net, daemon, lambda: uml.UmlBoard(t, net, made, "life", MAC, "10.77.0.20")


@alone
@long
def test_what_people_do_on_user_mode_linux(t):
    """The same without emulation: many times as fast, so that it is the server that works."""
    net, daemon, switch_on = uml_lab(t)
    prepare(t, net, daemon, "amd64")
    with switch_on().login() as board:
        boot_of(t, board)
        live(Life(t, net, board), board)
        board.shut_down()
    clean(t, daemon)


@alone
@long
def test_a_great_tree_on_user_mode_linux(t):
    net, daemon, switch_on = uml_lab(t)
    great_tree(t)
    with switch_on().login() as board:
        board.sh(f"mount -t hostfs -o {t.path('host')} none /mnt")
        unpacked(Life(t, net, board), board)
        board.sh("umount /mnt")
        board.shut_down()
    is_the_tree(t, clean(t, daemon))
