# SPDX-License-Identifier: Apache-2.0
"""Cards that Debian's U-Boot flashes under QEMU: made, written to, looked at."""
import hashlib
import os
import re

import debian
from daemon import Daemon
from guests import PATIENCE
from images import small_image, with_root
from netlab import Net

MAC = "dc:a6:32:00:00:41"
MIB = 1 << 20
CARD_ID = 0xc0ffee42
P1_START, P1_SIZE = 8 * MIB, 16 * MIB


def uboot_binary(t, release):
    top = debian.unpacked(t, "u-boot-qemu", suite=release)
    return os.path.join(top, "usr/lib/u-boot/qemu_arm64/u-boot.bin")


def noise_card(t, size=96 * MIB, name="card.raw", old=(), noise=True):
    """A card with a recovery partition and, behind it, what an earlier user left there; zeros without noise. old: (start, size)
    of more partitions."""
    path, fat = t.path(name), t.path("recovery.fat")
    with open(path, "wb") as f:
        block = bytes(range(1, 251)) * 4194
        for at in range(0, size if noise else 0, len(block)):
            f.write(block[:size - at])
        f.truncate(size)
    rows = [f"start={at // 512},size={n // 512},type=c" for at, n in ((P1_START, P1_SIZE), *old)]
    t.run("sfdisk", "-q", path, input="\n".join(["label: dos", f"label-id: {CARD_ID:#x}", *rows, ""]))
    t.run("truncate", "-s", str(P1_SIZE), fat)
    t.run("mkfs.fat", "-n", "BRAMBLE", fat)
    for file, text in (("bramble.txt", "bramble recovery card\n"), ("recovery.txt", "kernel=u-boot.bin\n")):
        with open(t.path(file), "w") as f:
            f.write(text)
    t.run("mcopy", "-i", fat, t.path("bramble.txt"), "::")
    t.run("mcopy", "-i", fat, t.path("recovery.txt"), "::config.txt")
    with open(path, "r+b") as out, open(fat, "rb") as f:
        out.seek(P1_START)
        out.write(f.read())
    return path


def part(path, start, size):
    with open(path, "rb") as f:
        f.seek(start)
        return f.read(size)


def digest(path, start, size):
    return hashlib.sha256(part(path, start, size)).hexdigest()


def table(path):
    """[(start, size, type)] of the four entries, in bytes."""
    mbr = part(path, 0, 512)
    rows = [mbr[446 + 16 * i:462 + 16 * i] for i in range(4)]
    return [(int.from_bytes(r[8:12], "little") * 512, int.from_bytes(r[12:16], "little") * 512, r[4]) for r in rows]


def noise_left(card, start, size):
    """How many blocks of 4 KiB there are as noise_card() made them."""
    data = part(card, start, size)
    noise = bytes(range(1, 251)) * 18
    return sum(data[at:at + 4096] == noise[(start + at) % 250:][:4096] for at in range(0, size, 4096))


def check_system(t, image, card):
    """Both partitions of the small image on the card: whole, and saying where they lie now."""
    _, boot, root, last = table(card)
    assert boot[2] == 0x0c and root[2] == 0x83 and last == (0, 0, 0), table(card)
    for (start, size, _), name in ((boot, "boot.out"), (root, "root.out")):
        with open(t.path(name), "wb") as f:
            f.write(part(card, start, size))
    t.run("fsck.fat", "-n", t.path("boot.out"))
    t.run("e2fsck", "-fn", t.path("root.out"))
    cmdline = t.run("mtype", "-i", t.path("boot.out"), "::cmdline.txt").stdout
    assert f"root=PARTUUID={CARD_ID:08x}-03" in cmdline, cmdline
    fstab = t.run("debugfs", "-R", "cat /etc/fstab", t.path("root.out")).stdout
    assert re.search(rf"PARTUUID={CARD_ID:08x}-02 +/boot/firmware ", fstab) and \
        re.search(rf"PARTUUID={CARD_ID:08x}-03 +/ ", fstab), fstab
    kernel = t.path("kernel.out")
    t.run("mcopy", "-n", "-i", t.path("boot.out"), "::kernel8.img", kernel)
    with open(kernel, "rb") as a, open(t.path("kernel8.img"), "rb") as b:
        assert a.read() == b.read(), "the kernel on the card is the image's"


def drive(card, *more):
    return ["-drive", f"if=none,id=d0,format=raw,file={card}", "-device", "virtio-blk-pci,drive=d0", *more]


def flash_at_prompt(u, end=r"^bramble: told the server"):
    """What stage 2 does, typed."""
    u.run("setenv autoload no; dhcp")
    u.send("tftpboot ${scriptaddr} bramble/flash.scr && source ${scriptaddr}\n")
    return u.expect(end, PATIENCE)[0]


def numbered_image(t, mib, root_mib):
    """An image with so many MiB in one file of its root, of which every block is another and all are packed small."""
    root = t.path("numbered.root")
    os.makedirs(root + ".d/etc", exist_ok=True)
    with open(root + ".d/numbers", "w") as f:
        for i in range(mib * 256):
            f.write(f"{i:015d}\n" * 256)
    with open(root + ".d/etc/fstab", "w") as f:
        f.write("PARTUUID=12345678-01 /boot/firmware vfat defaults 0 2\nPARTUUID=12345678-02 / ext4 defaults,noatime 0 1\n")
    t.run("truncate", "-s", f"{root_mib}M", root)
    t.run("mke2fs", "-q", "-t", "ext4", "-L", "rootfs", "-d", root + ".d", root)
    return with_root(t, t.path("small.img"), root, root_mib)


def serve(t, *arguments, image=None):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "debugfs", "qemu-system-aarch64")
    net = t.enter(Net())
    image = image or small_image(t)
    daemon = t.enter(Daemon(t, net, "--range", "10.77.0.10-10.77.0.19", *arguments, image=image))
    daemon.cli("board", "add", "pi41", "--mac", MAC)
    return net, daemon, image


def status(daemon, order):
    return daemon.json("flash", "show", str(order))


def code(daemon, *arguments):
    """Exit code and the words of 'bramble flash'."""
    r = daemon.cli("flash", *arguments, check=False)
    return r.returncode, r.stderr
