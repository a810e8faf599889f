# SPDX-License-Identifier: Apache-2.0
"""A changed board's disk as another board's image; what snapshot, rollback and reset do to boards that run.

BRAMBLE_SAVED=shell: under QEMU the boards' first process is a shell, on machines where systemd takes half an hour there.
"""
import json
import os
import stat
import threading

import debian
import uml
from boards import Board, ShellBoard, serve_stock, sim_argv
from daemon import Daemon
from images import small_image
from netlab import ADDRESS, Net
from systemtests import TOP, alone, long


def differing(daemon, before, after):
    """{path} of 'image diff', and the rows by path."""
    rows = {row["path"]: row for row in daemon.json("image", "diff", before, after)}
    return set(rows), rows


def fsck(t, daemon, board):
    disk = t.path(f"{board}.ext4")
    if os.path.exists(disk):
        os.unlink(disk)
    daemon.cli("disk", "export", board, disk, timeout=600)
    r = t.run("e2fsck", "-fn", disk, check=False, timeout=600)
    assert r.returncode == 0, r.stdout
    return disk


def refuses(daemon, reason, *words):
    r = daemon.cli(*words, check=False)
    assert r.returncode and reason in r.stderr, f"{words}: status {r.returncode}: {r.stderr}"


# ---- without a kernel ----------------------------------------------------------------------------


def test_saved_and_rolled_back_while_clients_use_it(t):
    """libnfs plays the boards' kernels: their addresses, their roots."""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "e2fsck", "nfs-cp", "nfs-cat")
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--disk", "persistent", image=small_image(t)))
    hosts, roots = {}, {}
    for n, name in enumerate(("a", "b", "c")):
        mac, address = f"b8:27:eb:00:00:0{n + 1}", f"10.77.0.2{n}"
        daemon.cli("board", "add", name, "--mac", mac, "--address", address)
        hosts[name] = net.client(mac)
        hosts[name].address(address + "/24")
        roots[name] = f"nfs://{ADDRESS}/{name}"

    def put(board, path, text):
        with open(t.path("put"), "w") as f:
            f.write(text)
        t.run(*hosts[board].exec("nfs-cp", t.path("put"), f"{roots[board]}{path}?version=3"))

    def get(board, path):
        r = t.run(*hosts[board].exec("nfs-cat", f"{roots[board]}{path}?version=3"), check=False)
        return r.stdout if r.returncode == 0 else None

    put("a", "/etc/marker", "one\n")
    daemon.cli("disk", "snapshot", "a", "one")
    with open(t.path("put"), "w") as f:     # (nfs-cp does not replace)
        f.write("two\n")
    daemon.cli("disk", "cp", t.path("put"), "a:/etc/marker")
    put("a", "/etc/added", "added\n")
    put("c", "/etc/own", "c's\n")
    daemon.cli("disk", "save", "a", "lab:v1")
    put("a", "/etc/later", "later\n")
    assert differing(daemon, "small", "lab:v1")[0] == {"/etc/marker", "/etc/added"}
    # b boots it: the firmware's files are those of the image, the root has what a wrote and is b's own
    daemon.cli("board", "edit", "b", "--image", "lab:v1")
    t.run(*sim_argv(t, net, "3b+", "00000002", "--mac", "b8:27:eb:00:00:02", "--check-image", t.path("small.img")), timeout=300)
    assert (get("b", "/etc/marker"), get("b", "/etc/hostname"), get("b", "/etc/later")) == ("two\n", "b\n", None)
    assert daemon.cli("disk", "cat", "b", "/etc/machine-id").stdout != daemon.cli("disk", "cat", "a", "/etc/machine-id").stdout
    put("b", "/etc/own", "b's\n")
    # a is up: its root is not taken away unless one insists
    refuses(daemon, "has mounted this disk", "disk", "rollback", "a", "one")
    refuses(daemon, "has mounted this disk", "disk", "reset", "a")
    refuses(daemon, "nosuch", "disk", "rollback", "a", "nosuch", "--force")
    assert get("a", "/etc/later") == "later\n"
    daemon.cli("disk", "rollback", "a", "one", "--force")
    assert (get("a", "/etc/marker"), get("a", "/etc/added"), get("a", "/etc/later")) == ("one\n", None, None)
    daemon.cli("disk", "reset", "a", "--force")
    assert get("a", "/etc/marker") is None
    # layers are swept while boards write and are saved: nothing goes that anybody needs
    sweeps = [threading.Thread(target=lambda: [daemon.cli("image", "gc") for _ in range(6)]) for _ in range(2)]
    for sweep in sweeps:
        sweep.start()
    for n in range(6):
        put("c", f"/etc/more{n}", f"more {n}\n")
        daemon.cli("disk", "save", "c", f"lab:c{n}")
        if n % 2:
            daemon.cli("image", "rm", f"lab:c{n - 1}")
    for sweep in sweeps:
        sweep.join()
    assert all(get("c", f"/etc/more{n}") == f"more {n}\n" for n in range(6))
    assert "/etc/more5" in differing(daemon, "small", "lab:c5")[0]
    # nobody else was touched, also over a restart
    for _ in range(2):
        assert (get("b", "/etc/marker"), get("b", "/etc/own"), get("c", "/etc/own")) == ("two\n", "b's\n", "c's\n")
        daemon.restart()
    for name in hosts:
        fsck(t, daemon, name)


def test_relaxed_disks_outlive_the_daemon_but_not_the_host(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "e2fsck", "nfs-cp", "nfs-cat")
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--durability", "relaxed", image=small_image(t)))
    hosts = {}
    for name, address, disk in (("v", "10.77.0.21", "volatile"), ("p", "10.77.0.22", "persistent")):
        mac = f"b8:27:eb:00:00:{address[-2:]}"
        daemon.cli("board", "add", name, "--mac", mac, "--address", address, "--disk", disk)
        hosts[name] = net.client(mac)
        hosts[name].address(address + "/24")
        t.run(*hosts[name].exec("nfs-cp", t.path("kernel8.img"), f"nfs://{ADDRESS}/{name}/etc/big?version=3"))
    daemon.cli("disk", "save", "v", "lab:v1")
    for name, host in hosts.items():
        t.run(*host.exec("nfs-cp", t.path("cmdline.txt"), f"nfs://{ADDRESS}/{name}/etc/kept?version=3"))
    daemon.process.kill()
    daemon.process.wait()
    daemon.start()
    for name, host in hosts.items():
        assert t.run(*host.exec("nfs-cat", f"nfs://{ADDRESS}/{name}/etc/kept?version=3")).stdout.startswith("console=")
        fsck(t, daemon, name)
    marks = [os.path.join(d, "relaxed") for d, _, files in os.walk(f"{daemon.state}/disks") if "relaxed" in files]
    assert len(marks) == 1 and "/volatile" in marks[0], marks
    # as if the host had been restarted meanwhile: what was not waited for is dropped, what was saved of it stays
    daemon.process.kill()
    daemon.process.wait()
    with open(marks[0], "w") as f:
        f.write("another run of the host")
    daemon.start()
    lost = t.run(*hosts["v"].exec("nfs-cat", f"nfs://{ADDRESS}/v/etc/kept?version=3"), check=False)
    assert lost.returncode and "NOENT" in lost.stderr, lost.stderr
    assert daemon.cli("disk", "cat", "p", "/etc/kept").stdout.startswith("console=")
    assert "big" in daemon.cli("image", "ls", "lab:v1", "/etc").stdout


# ---- real kernels --------------------------------------------------------------------------------

CHANGES = [
    "echo from a >/etc/marker",
    "echo more >>/etc/issue.net",
    "chmod 600 /etc/debian_version",
    "chown 1000 /etc/shells",
    "touch -d '2001-02-03 04:05:06' /etc/issue",
    "rm /etc/host.conf",
    "mv /etc/gai.conf /etc/gai.conf.old",
    "ln -s marker /etc/pointer",
    "mkdir -p /srv/new/deep && mkfifo /srv/new/deep/fifo && mknod /srv/new/null c 1 3",
    "dd if=/dev/urandom of=/srv/new/data bs=64k count=40 2>/dev/null",
    "ln /srv/new/data /srv/new/deep/second",
    "truncate -s 1G /srv/new/hole",
    "rm -r /etc/update-motd.d",
]
CHANGED = {"/etc/marker", "/etc/issue.net", "/etc/debian_version", "/etc/shells", "/etc/issue", "/etc/host.conf", "/etc/gai.conf",
           "/etc/gai.conf.old", "/etc/pointer", "/srv/new", "/srv/new/deep", "/srv/new/deep/fifo", "/srv/new/null",
           "/srv/new/data", "/srv/new/deep/second", "/srv/new/hole", "/usr/local/bin/onefile", "/etc/update-motd.d", "/etc/update-motd.d/10-uname"}
# what systems change by themselves in a boot and while somebody is logged in
ITS_OWN = ("/var/log/", "/var/lib/", "/var/cache/", "/var/tmp/", "/root/", "/tmp/", "/etc/.updated", "/var/.updated", "/etc/ssh/")
SPECIAL = {"/srv/new/deep/fifo", "/srv/new/null"}     # debugfs does not write these


def facts(path):
    """What a difference is told by, as debugfs writes it: a link's owner and time and a directory's time are its own."""
    st = os.lstat(path)
    if stat.S_ISLNK(st.st_mode):
        return "link", os.readlink(path)
    if stat.S_ISDIR(st.st_mode):
        return st.st_mode, st.st_uid, st.st_gid
    return st.st_mode, st.st_uid, st.st_gid, st.st_size, int(st.st_mtime)


def same(one, two):
    with open(one, "rb") as a, open(two, "rb") as b:
        return all(x == y for x, y in zip(iter(lambda: a.read(1 << 20), b""), iter(lambda: b.read(1 << 20), b"")))


def tree(t, filesystem, into):
    """{path below the root: where it lies now}, read out of an ext4 by e2fsprogs."""
    os.mkdir(into)
    t.run("debugfs", "-R", f"rdump / {into}", filesystem, timeout=1800)
    return {"/" + os.path.relpath(os.path.join(d, n), into): os.path.join(d, n)
            for d, dirs, files in os.walk(into) for n in dirs + files}


def truly_differing(t, base, changed):
    """The same question as 'image diff', answered without our code."""
    one, two = tree(t, base, t.path("tree-base")), tree(t, changed, t.path("tree-changed"))
    found = set(one) ^ set(two)
    for path in set(one) & set(two):
        a, b = one[path], two[path]
        if facts(a) != facts(b) or (stat.S_ISREG(os.lstat(a).st_mode) and not same(a, b)):
            found.add(path)
    return found


def root_of_stock(t, daemon, image):
    """The ext4 in the store's image, as e2fsprogs take it."""
    disk = f"{daemon.state}/images/{image}/disk.img"
    parts = json.loads(t.run("sfdisk", "-J", disk).stdout)["partitiontable"]["partitions"]
    return f"{disk}?offset={parts[1]['start'] * 512}"


def check_diff(t, daemon, image):
    """Exactly the changed files are named, those of CHANGES among them."""
    named, rows = differing(daemon, image, "lab:v1")
    assert CHANGED <= named, CHANGED - named
    foreign = {p for p in named - CHANGED if not (p + "/").startswith(ITS_OWN)}
    assert not foreign, foreign
    daemon.cli("board", "add", "look", "--mac", "b8:27:eb:00:00:77", "--image", "lab:v1")
    true = truly_differing(t, root_of_stock(t, daemon, image), fsck(t, daemon, "look"))
    unnamed = true - named
    assert not unnamed, f"not named: {unnamed}"
    # what e2fsprogs could not write out: nodes, and times and owners of links
    for path in named - true - SPECIAL:
        row = rows[path]
        assert row["type"] == "link" and not set(row["what"]) & {"type", "content", "target"}, row
    daemon.cli("board", "rm", "look")


def saved_and_taken_away(t, daemon, switch_on, arch):
    """switch_on(name): that board at its console."""
    image = daemon.json("image", "list")[0]["name"]
    onefile = debian.static_program(t, os.path.join(TOP, "tests", "life", "onefile.c"), t.path("onefile"), arch)
    daemon.cli("disk", "snapshot", "a", "new")
    with switch_on("a") as a:
        a.login()
        daemon.cli("disk", "cp", onefile, "a:/usr/local/bin/onefile", "--mode", "755")
        daemon.cli("disk", "snapshot", "a", "before")
        for line in CHANGES:
            a.sh(line)
        a.sh("(while :; do date; sleep 0.2; done >/var/tmp/busy) & sync")
        daemon.cli("disk", "save", "a", "lab:v1")
        a.sh("echo later >/etc/later; sync")
        check_diff(t, daemon, image)
        daemon.cli("board", "edit", "b", "--image", "lab:v1")
        with switch_on("b") as b:
            b.login()
            identities(a, b)
            taken_away_while_running(daemon, a, b)
            b.shut_down()
    fsck(t, daemon, "b")
    # what the snapshot had, and nothing of what came after it
    with switch_on("a") as a:
        a.login()
        a.sh("test ! -e /etc/marker -a ! -e /etc/later -a ! -e /srv/new -a -e /etc/host.conf -a -x /usr/local/bin/onefile")
        a.shut_down()
    fsck(t, daemon, "a")
    refuses(daemon, "has mounted this disk", "disk", "reset", "a")      # nothing tells the daemon that it is off
    daemon.cli("disk", "reset", "a", "--force")
    assert daemon.cli("disk", "diff", "a", "-q").stdout == "" and daemon.json("disk", "snapshots", "a") == []
    fsck(t, daemon, "a")


@alone
@long
def test_a_real_boards_disk_is_anothers_image_and_goes_back(t):
    t.need_program("debugfs", "sfdisk", "clang", "ld.lld")
    net, daemon = serve_stock(t, "--disk", "persistent")
    serials = {"a": "5000aaaa", "b": "5000bbbb"}
    for name, serial in serials.items():
        daemon.cli("board", "add", name, "--serial", serial)
    kind = ShellBoard if os.environ.get("BRAMBLE_SAVED") == "shell" else Board
    saved_and_taken_away(t, daemon, lambda name: kind(t, net, "4", serials[name]), "arm64")


@alone
@long
def test_a_disk_of_user_mode_linux_is_anothers_image_and_goes_back(t):
    """The same without emulation."""
    t.need_program("debugfs", "sfdisk", "clang", "ld.lld")
    made = uml.program(t)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--disk", "persistent", image=uml.image(t)))
    boards = {"a": ("02:00:00:00:04:0a", "10.77.0.20"), "b": ("02:00:00:00:04:0b", "10.77.0.21")}
    for name, (mac, address) in boards.items():
        daemon.cli("board", "add", name, "--mac", mac, "--address", address)
    saved_and_taken_away(t, daemon, lambda name: uml.UmlBoard(t, net, made, name, *boards[name]), "amd64")


def identities(a, b):
    """b has what a wrote, and is b."""
    assert b.sh("cat /etc/marker; test ! -e /etc/later && stat -c %h /srv/new/data") == "from a\n2"
    assert b.sh("sha256sum </srv/new/data") == a.sh("sha256sum </srv/new/data")
    for command, own in (("cat /etc/hostname", "b"), ("cat /etc/machine-id", None), ("cat /etc/ssh/ssh_host_ed25519_key.pub", None)):
        ours, theirs = b.sh(command), a.sh(command)
        assert ours and ours != theirs and own in (None, ours), f"{command}: {ours}; {theirs}"


def taken_away_while_running(daemon, a, b):
    """a's root goes back under its feet, once one insists; b, which stands on a layer of a's, notices nothing."""
    b.sh("{ onefile /var/tmp/hammered 3 60 >/var/tmp/result 2>&1 & }")
    refuses(daemon, "has mounted this disk", "disk", "rollback", "a", "before")
    refuses(daemon, "has mounted this disk", "disk", "reset", "a")
    refuses(daemon, "has mounted this disk", "disk", "reset", "b")
    a.sh("test -e /etc/later && date >/etc/later")
    daemon.cli("disk", "snapshot", "a", "during")
    daemon.cli("disk", "rollback", "a", "before", "--force")
    events = [e for e in daemon.jsonl("event", "list", "a") if e["type"] == "disk.rollback"]
    assert events and "forced" in events[-1]["fields"], events
    a.console.send("cat /var/tmp/busy; ls /\n")
    a.console.expect(r"[Ss]tale file handle", 120)
    assert "onefile: " in b.sh("wait; cat /var/tmp/result") and "steps" in b.sh("cat /var/tmp/result")
    daemon.cli("image", "gc")
    b.sh("echo 3 >/proc/sys/vm/drop_caches; sha256sum /srv/new/data /usr/bin/* >/dev/null")
