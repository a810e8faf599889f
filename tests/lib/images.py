# SPDX-License-Identifier: Apache-2.0
"""Small images made on the spot."""
import hashlib
import os
import random


def small_image(t, name="small.img"):
    """An image of 24 MiB: MBR, FAT16 with two files, ext4 with a few. No root needed. Returns its path."""
    path, fat, root = t.path(name), t.path("p1"), t.path("p2")
    os.makedirs(root + ".d/etc", exist_ok=True)
    os.makedirs(root + ".d/boot", exist_ok=True)
    with open(root + ".d/etc/os-release", "w") as f:
        f.write('PRETTY_NAME="Small Linux 1"\nID=small\nVERSION_ID="1"\n')
    with open(root + ".d/etc/fstab", "w") as f:
        f.write("proc /proc proc defaults 0 0\n")
    with open(root + ".d/etc/hostname", "w") as f:
        f.write("small\n")
    with open(t.path("config.txt"), "w") as f:
        f.write("arm_64bit=1\n")
    with open(t.path("kernel8.img"), "wb") as f:
        f.write(random.Random(1).randbytes(300_000))
    with open(t.path("cmdline.txt"), "w") as f:
        f.write("console=serial0,115200 root=PARTUUID=12345678-02 rootwait\n")
    t.run("truncate", "-s", "24M", path)
    t.run("sfdisk", "-q", path, input="label: dos\nlabel-id: 0x12345678\n"
          "start=2048,size=16384,type=c\nstart=18432,size=30720,type=83\n")
    t.run("truncate", "-s", "8M", fat)
    t.run("mkfs.fat", "-n", "bootfs", fat)
    t.run("mcopy", "-i", fat, t.path("config.txt"), t.path("kernel8.img"), t.path("cmdline.txt"), "::")
    t.run("truncate", "-s", "15M", root)
    t.run("mke2fs", "-q", "-t", "ext4", "-L", "rootfs", "-d", root + ".d", root)
    with open(path, "r+b") as out:
        for part, at in ((fat, 2048), (root, 18432)):
            with open(part, "rb") as f:
                out.seek(at * 512)
                out.write(f.read())
    return path


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
