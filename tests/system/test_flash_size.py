# SPDX-License-Identifier: Apache-2.0
"""An image beyond 4 GiB that is mostly holes, on a board with 256 MiB."""
import os

from cards import (CARD_ID, MAC, MIB, P1_SIZE, P1_START, digest, drive, noise_card, serve, status, table, uboot_binary)
from guests import PATIENCE, UBoot
from images import boot_files
from systemtests import long, wait_until

BOOT, ROOT, SIZE = MIB, 16 * MIB, 5 << 30
BLOCK = 4096


def sparse_image(t):
    """5 GiB. So few inodes that files come to lie in every block group; random blocks, so none is like another."""
    path, tree, fat = t.path("big.img"), t.path("tree"), t.path("p1")
    os.makedirs(tree + "/etc")
    with open(tree + "/etc/fstab", "w") as f:
        f.write("PARTUUID=12345678-01 /boot/firmware vfat defaults 0 2\nPARTUUID=12345678-02 / ext4 defaults,noatime 0 1\n")
    for i in range(3000):
        with open(f"{tree}/file{i}", "wb") as f:
            f.write(os.urandom(3 * BLOCK))
    t.run("truncate", "-s", str(SIZE), path)
    t.run("sfdisk", "-q", path, input="label: dos\nlabel-id: 0x12345678\n"
          f"start={BOOT // 512},size={8 * MIB // 512},type=c\nstart={ROOT // 512},size={(SIZE - ROOT) // 512},type=83\n")
    t.run("truncate", "-s", "8M", fat)
    t.run("mkfs.fat", "-n", "bootfs", fat)
    t.run("mcopy", "-i", fat, *boot_files(t), "::")
    t.run("dd", f"if={fat}", f"of={path}", "bs=1M", f"seek={BOOT // MIB}", "conv=notrunc,sparse", "status=none")
    t.run("mke2fs", "-q", "-t", "ext4", "-b", str(BLOCK), "-N", "3200", "-O", "^resize_inode", "-d", tree,
          "-E", f"offset={ROOT}", path, f"{(SIZE - ROOT) // 1024}k", timeout=600)
    return path


def data_ranges(f, start, end):
    """[from, to) of what is no hole."""
    while start < end:
        try:
            start = os.lseek(f.fileno(), start, os.SEEK_DATA)
        except OSError:     # only a hole is left
            return
        to = min(os.lseek(f.fileno(), start, os.SEEK_HOLE), end)
        if start < end:
            yield start, to
        start = to


def differing(image, start, size, card, at):
    """Blocks of a partition of the image that hold data and are others on the card, and how many bytes hold data."""
    found, total = [], 0
    with open(image, "rb") as a, open(card, "rb") as b:
        for low, high in data_ranges(a, start, start + size):
            total += high - low
            for piece in range(low, high, MIB):
                n = min(MIB, high - piece)
                a.seek(piece)
                b.seek(at + piece - start)
                x, y = a.read(n), b.read(n)
                found += [(x[i:i + BLOCK], y[i:i + BLOCK]) for i in range(0, n, BLOCK) if x[i:i + BLOCK] != y[i:i + BLOCK]] \
                    if x != y else []
    return found, total


@long
def test_a_sparse_image_of_5_gib_is_flashed_by_a_board_with_256_mib(t):
    net, daemon, image = serve(t, image=sparse_image(t))
    card = noise_card(t, size=SIZE + 64 * MIB, noise=False)
    first = digest(card, P1_START, P1_SIZE)
    order = daemon.json("flash", "big", "pi41", "--target", "virtio0", "--up", "url", "--verify", "full")[0]["order"]
    wait_until(lambda: not status(daemon, order)["preparing"], 1200, "the image is read")
    with UBoot(t, net, uboot_binary(t, "bookworm"), MAC, memory=256, more=drive(card)) as u:
        u.run("setenv autoload no; dhcp")
        u.send("tftpboot ${scriptaddr} bramble/flash.scr && source ${scriptaddr}\n")
        u.expect(r"^bramble: told the server", 8 * PATIENCE)
    st = status(daemon, order)
    assert st["state"] == "verified", st
    assert digest(card, P1_START, P1_SIZE) == first
    _, boot, root, _ = table(card)
    assert root[0] + root[1] > 4 << 30 and root[1] == SIZE - ROOT, table(card)
    changed, total = [], 0
    for start, size, at in ((BOOT, 8 * MIB, boot[0]), (ROOT, SIZE - ROOT, root[0])):
        blocks, n = differing(image, start, size, card, at)
        changed, total = changed + blocks, total + n
    # cmdline.txt and fstab say where they lie now; all else that holds data is as in the image
    assert len(changed) == 2, len(changed)
    for was, now in changed:
        assert b"PARTUUID=12345678-" in was and f"PARTUUID={CARD_ID:08x}-".encode() in now
    written = st["progress"]["written_bytes"]
    assert written < 1.2 * total + 200 * MIB, f"{written} bytes written, {total} hold data"
    r = t.run("e2fsck", "-fn", f"{card}?offset={root[0]}", timeout=600)
    t.say(f"...   5 GiB: {total >> 20} MiB of data, {written >> 20} MiB written, {st['progress']['fetched'] >> 20} MiB fetched; "
          f"{r.stdout.strip().splitlines()[-1]}")
