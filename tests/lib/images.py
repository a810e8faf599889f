# SPDX-License-Identifier: Apache-2.0
"""Small images made on the spot."""
import hashlib
import os
import random


CONFIG = b"arm_64bit=1\nauto_initramfs=1\n"
CMDLINE = b"console=serial0,115200 root=PARTUUID=12345678-02 rootwait\n"
FIRMWARE = ("start.elf", "start4.elf", "fixup.dat", "fixup4.dat", "bootcode.bin")
TREES = ("bcm2710-rpi-3-b-plus.dtb", "bcm2711-rpi-4-b.dtb", "bcm2712-rpi-5-b.dtb")


def boot_files(t):
    """Files that look like firmware, kernel, initramfs and device trees from outside. Returns their paths."""
    noise = random.Random(1).randbytes
    contents = {"config.txt": CONFIG, "cmdline.txt": CMDLINE,
                "kernel8.img": noise(56) + b"ARMd" + noise(300_000), "initramfs8": b"\x1f\x8b" + noise(100_000)}
    contents.update({name: b"\x7fELF" + noise(50_000) for name in FIRMWARE})
    contents.update({name: b"\xd0\x0d\xfe\xed" + (9000).to_bytes(4, "big") + noise(8992) for name in TREES})
    for name, content in contents.items():
        with open(t.path(name), "wb") as f:
            f.write(content)
    return [t.path(name) for name in contents]


def small_image(t, name="small.img", mke2fs=()):
    """An image of 24 MiB: MBR, FAT16 with two files, ext4 with a few. No root needed. Returns its path.
    mke2fs: more of its options."""
    path, root = t.path(name), t.path("p2")
    os.makedirs(root + ".d/etc", exist_ok=True)
    os.makedirs(root + ".d/boot/firmware", exist_ok=True)
    with open(root + ".d/etc/os-release", "w") as f:
        f.write('PRETTY_NAME="Small Linux 1"\nID=small\nVERSION_ID="1"\n')
    with open(root + ".d/etc/fstab", "w") as f:
        f.write("proc /proc proc defaults 0 0\n"
                "PARTUUID=12345678-01 /boot/firmware vfat defaults 0 2\n"
                "PARTUUID=12345678-02 / ext4 defaults,noatime 0 1\n")
    with open(root + ".d/etc/hostname", "w") as f:
        f.write("small\n")
    t.run("truncate", "-s", "15M", root)
    t.run("mke2fs", "-q", "-t", "ext4", "-L", "rootfs", *mke2fs, "-d", root + ".d", root)
    return with_root(t, path, root, 15)


def with_root(t, path, root, root_mib):
    """An image of a root file system, with the usual files in its boot partition."""
    fat, files = t.path("p1"), boot_files(t)
    t.run("truncate", "-s", f"{root_mib + 9}M", path)
    t.run("sfdisk", "-q", path, input="label: dos\nlabel-id: 0x12345678\n"
          f"start=2048,size=16384,type=c\nstart=18432,size={root_mib * 2048},type=83\n")
    t.run("truncate", "-s", "8M", fat)
    t.run("mkfs.fat", "-n", "bootfs", fat)
    t.run("mcopy", "-i", fat, *files, "::")
    t.run("dd", f"if={fat}", f"of={path}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
    t.run("dd", f"if={root}", f"of={path}", "bs=1M", "seek=9", "conv=notrunc,sparse", "status=none", timeout=600)
    return path


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
