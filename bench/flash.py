#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# flashing beside a plain script that fetches and writes the whole image: first, unchanged, after a change of 1 %
"""Measures how an image comes onto a board's disk: bramble flash, and a U-Boot script that fetches all of it and writes it.

    ./dev bench flash [--image FILE | --root MIB] [--rounds N] [--json FILE]

The board is QEMU's 'virt' with Debian's U-Boot 2023.01 (package u-boot-qemu) and 1 GiB. Both ways write the same image to
the same kind of disk, which is empty at first. The plain script is ours, made from what a known tool for remote flashing
does: one file by TFTP in pieces that fit into memory (window 1, blocks of 1468 bytes, tftpd-hpa), written from 4 MiB on,
not read back, not compared. It does the same each time, so it is measured once in a round.
  first      the disk holds zeros
  unchanged  the same image again
  1 % files  files of the root partition replaced by others, 1 % of the bytes in use: what an upgrade does
  1 % blocks one block of 4 KiB in a hundred of all files changed: the worst that 1 % can be

Times are from the script's start to its end, as the board's user sees them (the server has read the image before that).
Bytes on the wire are those of the board's port, both directions, packets and all; bytes written are what QEMU's disk saw. CPU is
that of QEMU, which is mostly the board's: on a busy machine the steadier figure.
"""
import argparse
import atexit
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tests", "lib")]
import cards                                    # noqa: E402
import tftp                                     # noqa: E402
from daemon import Daemon                       # noqa: E402
from guests import UBoot                        # noqa: E402
from images import boot_files                   # noqa: E402
from netlab import ADDRESS, Net                          # noqa: E402
from systemtests import Context, Skip, wait_until   # noqa: E402
from tftp import say, stop                      # noqa: E402

BRAMBLE = os.environ.get("BRAMBLE", os.path.join(os.path.dirname(HERE), "build-bench", "bramble"))
MIB = 1 << 20
BOOT_MIB = 24
PIECE = 512 * MIB                   # of the plain script; the known one has 750 MiB where the board has 1 GiB
LIMIT_S = 3600
GOAL = 0.05


def real_files(total):
    """Files of this system, about so many bytes of them: programs, libraries, texts, as an image has them."""
    for top in ("/usr/lib", "/usr/share", "/usr/bin"):
        for directory, names, files in os.walk(top):
            names.sort()
            for name in sorted(files):
                path = os.path.join(directory, name)
                if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) < 8 * MIB:
                    total -= os.path.getsize(path)
                    if total < 0:
                        return
                    yield path


def build_image(t, root_mib):
    """More than half of the root partition in use, as in a stock image."""
    tree, root, fat, path = t.path("tree"), t.path("root"), t.path("fat"), t.path("image.img")
    for i, source in enumerate(real_files(root_mib * MIB // 2)):
        os.makedirs(os.path.join(tree, f"d{i // 200}"), exist_ok=True)
        shutil.copyfile(source, os.path.join(tree, f"d{i // 200}", f"f{i}"))
    os.makedirs(os.path.join(tree, "etc"))
    with open(os.path.join(tree, "etc", "fstab"), "w", encoding="ascii") as f:
        f.write("PARTUUID=12345678-02 / ext4 defaults 0 1\n")
    t.run("truncate", "-s", f"{root_mib}M", root)
    t.run("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", tree, root)
    t.run("truncate", "-s", f"{BOOT_MIB}M", fat)
    t.run("mkfs.fat", "-n", "bootfs", fat)
    boot_files(t)
    for name in ("kernel8.img", "initramfs8"):
        with open(t.path(name), "ab") as f:
            for source in real_files(BOOT_MIB * MIB // 4):
                with open(source, "rb") as g:
                    f.write(g.read())
    t.run("mcopy", "-i", fat, *(t.path(n) for n in ("config.txt", "cmdline.txt", "kernel8.img", "initramfs8", "start4.elf",
                                                    "fixup4.dat", "bcm2711-rpi-4-b.dtb")), "::")
    t.run("truncate", "-s", f"{4 + BOOT_MIB + root_mib}M", path)
    t.run("sfdisk", "-q", path, input=f"label: dos\nlabel-id: 0x12345678\nstart=4MiB,size={BOOT_MIB}MiB,type=c\n"
          f"start={4 + BOOT_MIB}MiB,size={root_mib}MiB,type=83\n")
    for source, at in ((fat, 4), (root, 4 + BOOT_MIB)):
        t.run("dd", f"if={source}", f"of={path}", "bs=1M", f"seek={at}", "conv=notrunc,sparse", "status=none")
    return path


def root_partition(t, image):
    """Start in bytes of the last partition, which is the root's."""
    table = json.loads(t.run("sfdisk", "-J", image).stdout)["partitiontable"]["partitions"]
    return table[-1]["start"] * 512


def ext4(t, image):
    """What dumpe2fs says of the root, by its words."""
    said = t.run("dumpe2fs", "-h", f"{image}?offset={root_partition(t, image)}").stdout
    return {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in said.splitlines())}


def debugfs(t, image, commands):
    script = t.path("debugfs.in")
    with open(script, "w", encoding="utf-8") as f:
        f.write("\n".join(commands) + "\n")
    return t.run("debugfs", "-w", "-f", script, f"{image}?offset={root_partition(t, image)}", timeout=600).stdout


def files_inside(t, image):
    """(path, size) of the regular files in the image's root whose names debugfs takes."""
    tree = t.path("tree-of-image")
    os.makedirs(tree)
    debugfs(t, image, [f"rdump / {tree}"])
    found = [(os.path.join(d, name), os.lstat(os.path.join(d, name))) for d, _, names in os.walk(tree) for name in names]
    found = [(path[len(tree):], st.st_size) for path, st in found
             if stat.S_ISREG(st.st_mode) and st.st_nlink == 1 and re.fullmatch(r"[\w./+-]+", path)]
    shutil.rmtree(tree)
    return sorted(found)


def change_files(t, image, files, used):
    """Another image in which files of 1 % of the bytes in use are others, of the same lengths."""
    path, left, commands, noise = t.path("files.img"), used // 100, [], random.Random(1)
    t.run("cp", "--sparse=always", image, path)
    for i, (name, size) in enumerate(noise.sample(files, len(files))):
        if 1000 < size <= left:
            left -= size
            with open(t.path(f"new{i}"), "wb") as f:
                f.write(noise.randbytes(size))
            commands += [f"rm {name}", f"write {t.path(f'new{i}')} {name}"]
    debugfs(t, path, commands)
    return path


def change_blocks(t, image, files, used):
    """Another image in which as many of its files' blocks are others, each by itself."""
    path, start, noise = t.path("blocks.img"), root_partition(t, image), random.Random(2)
    size = int(ext4(t, image)["Block size"])
    t.run("cp", "--sparse=always", image, path)
    said = debugfs(t, path, [f"blocks {name}" for name, size in files if size])
    blocks = [int(w) for line in said.splitlines() if not line.startswith("debugfs") for w in line.split() if w.isdigit()]
    with open(path, "r+b") as f:
        for b in noise.sample(blocks, min(len(blocks), used // 100 // size)):
            f.seek(start + b * size)
            f.write(noise.randbytes(size))
    return path


# ---- the board ----

class Board:
    """One power cycle of it with a disk; what it did is counted when run() ends."""

    def __init__(self, t, net, binary, disk):
        self.t, self.net, self.socket = t, net, t.path(f"qmp{time.monotonic_ns()}")
        # no shutdown: after U-Boot's reset its counters can still be asked for
        more = cards.drive(disk, "-qmp", f"unix:{self.socket},server=on,wait=off", "-no-shutdown")
        self.guest = UBoot(t, net, binary, cards.MAC, more=more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.guest.close()

    def wire(self):
        said = self.t.run("ip", "-n", self.net.name, "-j", "-s", "link", "show").stdout
        return sum(row["stats64"][way]["bytes"] for row in json.loads(said) if row["ifname"].startswith("tap")
                   and row["operstate"] != "DOWN" for way in ("rx", "tx"))

    def written(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            f = s.makefile("rw", encoding="utf-8")
            f.readline()
            for command in ("qmp_capabilities", "query-blockstats"):
                f.write(json.dumps({"execute": command}) + "\n")
                f.flush()
                answer = json.loads(f.readline())
                while "return" not in answer:
                    answer = json.loads(f.readline())
        return sum(d["stats"]["wr_bytes"] for d in answer["return"])

    def cpu(self):
        with open(f"/proc/{self.guest.process.pid}/stat", encoding="ascii") as f:
            return sum(int(n) for n in f.read().rsplit(") ", 1)[1].split()[11:13]) / os.sysconf("SC_CLK_TCK")

    def run(self, line, end):
        """Types a line and waits for its end. Seconds, bytes on the wire, bytes written, QEMU's CPU seconds."""
        before, begun, cpu = self.wire(), time.monotonic(), self.cpu()
        self.guest.send(line + "\n")
        self.guest.expect(end, LIMIT_S)
        return time.monotonic() - begun, self.wire() - before, self.written(), self.cpu() - cpu


def check_equal(t, image, disk):
    """What the image's files hold is on the disk: its partition tables and file systems read the same."""
    start = root_partition(t, image)
    r = t.run("e2fsck", "-fn", f"{disk}?offset={start}", check=False)
    assert r.returncode == 0, f"the root on the disk: {r.stdout[-400:]}"
    with open(image, "rb") as a, open(disk, "rb") as b:
        assert a.read(MIB) == b.read(MIB), "the first MiB differs"


def flash(t, net, daemon, binary, image, disk):
    name = os.path.basename(image).removesuffix(".img")
    order = daemon.json("flash", name, "board", "--target", "virtio0", "--up", "none")[0]["order"]
    wait_until(lambda: not daemon.json("flash", "show", str(order)).get("preparing"), LIMIT_S, "the image is read")
    with Board(t, net, binary, disk) as b:
        b.guest.run("setenv autoload no; dhcp")
        figures = b.run("tftpboot ${scriptaddr} bramble/flash.scr && source ${scriptaddr}", r"^bramble: told the server")
    wait_until(lambda: daemon.json("flash", "show", str(order))["state"] == "done", 60, "the order is done")
    check_equal(t, image, disk)
    return figures


def plain_script(size):
    """Pieces by TFTP to memory, from there to the disk; the first 4 MiB of the image are left out."""
    lines = []
    for i in range((size + PIECE - 1) // PIECE):
        skip = 4 * MIB if i == 0 else 0
        n = min(PIECE, size - i * PIECE) - skip
        lines += [f"tftpboot 44000000 part_{i}", f"virtio write {0x44000000 + skip:x} {(i * PIECE + skip) // 512:x} {n // 512:x}"]
    return f"if {' && '.join(lines)}; then echo all is written; else echo it failed; fi"


def plain(t, net, binary, image, disk):
    hpa = tftp.unpack("tftpd-hpa", "/usr/sbin/in.tftpd", ("libwrap0", "libnsl2", "libtirpc3", "libpcre2-8-0"))
    if not hpa:
        raise Skip("tftpd-hpa cannot be had")
    size, root = os.path.getsize(image), t.path("plain")
    os.makedirs(root, exist_ok=True)
    t.run("split", "-b", str(PIECE), "-d", "-a", "1", image, os.path.join(root, "part_"))
    server = subprocess.Popen(net.exec(hpa, "-4", "-L", "-s", "-u", "root", "-a", f"{ADDRESS}:69", root), env=tftp.environment(),
                              start_new_session=True)
    try:
        with Board(t, net, binary, disk) as b:
            b.guest.run(f"setenv ipaddr 10.77.0.9; setenv serverip {ADDRESS}; setenv tftpblocksize 1468")
            return b.run(plain_script(size), r"^all is written")
    finally:
        stop(server)
        shutil.rmtree(root)


def fresh_disk(t, name, size):
    path = t.path(name)
    if os.path.exists(path):
        os.unlink(path)
    t.run("truncate", "-s", str(size), path)
    return path


def report(figures, used, size):
    medians = {name: tuple(statistics.median(r[i] for r in rows) for i in range(4)) for name, rows in figures.items()}
    base = medians["plain script"]
    print(f"image of {size / MIB:.0f} MiB, {used / MIB:.0f} MiB of it in use; QEMU virt, U-Boot 2023.01, "
          f"{len(figures['plain script'])} round(s), medians")
    print(f"{'':<14}{'seconds':>9}{'CPU s':>8}{'MiB on the wire':>17}{'MiB written':>13}   against the plain script")
    for name, (seconds, wire, written, cpu) in medians.items():
        print(f"{name:<14}{seconds:>9.1f}{cpu:>8.1f}{wire / MIB:>17.2f}{written / MIB:>13.2f}   {seconds / base[0]:.2f} of its time, "
              f"{cpu / base[3]:.2f} of its CPU, {100 * wire / base[1]:.2f} % of its bytes, {100 * written / base[2]:.2f} % written")
    part = medians["1 % files"][1] / base[1]
    print(f"goal: after a change of 1 % at most {GOAL:.0%} of the bytes: {part:.2%}, {'met' if part <= GOAL else 'NOT MET'}")
    print(f"goal: a first flash moves only what is in use: {medians['first'][2] / MIB:.0f} MiB written of "
          f"{used / MIB:.0f} MiB in use: {'met' if medians['first'][2] <= used * 1.02 + 2 * MIB else 'NOT MET'}")
    return medians


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench flash")
    p.add_argument("--image", help="a raw image with a root in its last partition, else one is made of this system's files")
    p.add_argument("--root", type=int, default=256, help="MiB of the root of that image (default %(default)s)")
    p.add_argument("--rounds", type=int, default=1)
    p.add_argument("--json", help="also write the figures to this file")
    return p.parse_args()


def in_use(t, image):
    """Bytes of blocks that its file systems call used, as their own tools say, and what is before the first."""
    value = ext4(t, image)
    used = (int(value["Block count"]) - int(value["Free blocks"])) * int(value["Block size"])
    table = json.loads(t.run("sfdisk", "-J", image).stdout)["partitiontable"]["partitions"][0]
    free = [line for line in t.run("mdir", "-i", f"{image}@@{table['start'] * 512}", "::").stdout.splitlines() if "bytes free" in line]
    return used + table["size"] * 512 - int("".join(c for c in free[0] if c.isdigit()))


def measure(t, args):
    net, plain_net, binary = t.enter(Net()), t.enter(Net()), cards.uboot_binary(t, "bookworm")     # both serve TFTP at port 69
    image = build_image(t, args.root) if not args.image else t.path("image.img")
    if args.image:
        t.run("cp", "--sparse=always", args.image, image)
    size, used, files = os.path.getsize(image), in_use(t, image), files_inside(t, image)
    changed = change_files(t, image, files, used), change_blocks(t, image, files, used)
    daemon = t.enter(Daemon(t, net, "--range", "10.77.0.10-10.77.0.19", image=image))
    for path in changed:
        daemon.cli("image", "add", path, timeout=600)
    daemon.cli("board", "add", "board", "--mac", cards.MAC)
    figures, disks = {}, size + 64 * MIB
    for i in range(args.rounds):
        disk = fresh_disk(t, "ours.raw", disks)
        for name, what in (("first", image), ("unchanged", image), ("1 % files", changed[0]), ("unwind", image),
                           ("1 % blocks", changed[1]), ("plain script", None)):
            if what:
                got = flash(t, net, daemon, binary, what, disk)
            else:
                got = plain(t, plain_net, binary, image, fresh_disk(t, "plain.raw", disks))
            say(f"round {i + 1}: {name:<13} {got[0]:7.1f} s {got[3]:7.1f} CPU s {got[1] / MIB:9.2f} MiB on the wire {got[2] / MIB:9.2f} MiB written")
            figures.setdefault(name, []).append(got)
    del figures["unwind"]
    return figures, used, size


def main():
    args = arguments()
    if os.geteuid():
        sys.exit("bench: needs root, for network namespaces: sudo ./dev bench flash")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    tftp.become_subreaper()
    t = Context("bench flash", say)
    t.bramble = BRAMBLE
    atexit.register(t.remove)
    atexit.register(t.close)
    try:
        figures, used, size = measure(t, args)
    except Skip as s:
        sys.exit(f"bench: {s}")
    medians = report(figures, used, size)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"used": used, "size": size, "figures": medians}, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
