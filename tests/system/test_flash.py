# SPDX-License-Identifier: Apache-2.0
"""bramble flash: Debian's U-Boot writes an image to its disk by our scripts, under QEMU."""
import hashlib
import json
import os
import subprocess

import debian
from daemon import Daemon
from guests import PATIENCE, UBoot
from images import small_image
from netlab import Net
from systemtests import wait_until

MAC = "dc:a6:32:00:00:41"
MIB = 1 << 20
CARD_ID = 0xc0ffee42
P1_START, P1_SIZE = 8 * MIB, 16 * MIB


def uboot_binary(t, release):
    top = debian.unpacked(t, "u-boot-qemu", suite=release)
    return os.path.join(top, "usr/lib/u-boot/qemu_arm64/u-boot.bin")


def noise_card(t, size=96 * MIB, name="card.raw"):
    """A card with a recovery partition and, behind it, what an earlier user left there."""
    path, fat = t.path(name), t.path("recovery.fat")
    with open(path, "wb") as f:
        block = bytes(range(1, 251)) * 4194
        for at in range(0, size, len(block)):
            f.write(block[:size - at])
    t.run("sfdisk", "-q", path, input=f"label: dos\nlabel-id: {CARD_ID:#x}\nstart={P1_START // 512},size={P1_SIZE // 512},type=c\n")
    t.run("truncate", "-s", str(P1_SIZE), fat)
    t.run("mkfs.fat", "-n", "BRAMBLE", fat)
    with open(t.path("bramble.txt"), "w") as f:
        f.write("bramble recovery card\n")
    t.run("mcopy", "-i", fat, t.path("bramble.txt"), "::")
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
    assert f"PARTUUID={CARD_ID:08x}-02 /boot/firmware" in fstab and f"PARTUUID={CARD_ID:08x}-03 / " in fstab, fstab
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


def serve(t, *arguments):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "debugfs", "qemu-system-aarch64")
    net = t.enter(Net())
    image = small_image(t)
    daemon = t.enter(Daemon(t, net, "--range", "10.77.0.10-10.77.0.19", *arguments, image=image))
    daemon.cli("board", "add", "pi41", "--mac", MAC)
    return net, daemon, image


def status(daemon, order):
    return daemon.json("flash", "show", str(order))


def test_a_card_is_flashed_behind_its_recovery_partition(t):
    """Twice: the second time nothing is fetched or written. Partition 1 stays what it is."""
    binary = uboot_binary(t, "bookworm")
    net, daemon, image = serve(t)
    card = noise_card(t)
    before = digest(card, P1_START, P1_SIZE)
    order = daemon.json("flash", "small", "pi41", "--target", "virtio0", "--up", "none")[0]["order"]
    assert daemon.cli("flash", "small", "pi41", check=False).returncode == 1, "a second order is refused"
    with t.enter(UBoot(t, net, binary, MAC, more=drive(card))) as u:
        flash_at_prompt(u)
    wait_until(lambda: status(daemon, order)["state"] == "done", 20, "the order is done")
    assert status(daemon, order)["place"].startswith("card/"), status(daemon, order)
    check_system(t, image, card)
    root = table(card)[2]
    assert noise_left(card, *root[:2]), "blocks that no file uses are left alone"
    assert digest(card, P1_START, P1_SIZE) == before, "partition 1 was written"
    assert daemon.json("board", "show", "pi41")[0]["road"] == "flash"
    types = [e["type"] for e in daemon.jsonl("event", "list", "pi41", "-t", "flash")]
    assert types == ["flash.ordered", "flash.started", "flash.verified", "flash.done"], types
    whole = hashlib.sha256(part(card, 0, os.path.getsize(card))).digest()
    order = daemon.json("flash", "small", "pi41", "--target", "virtio0", "--up", "url", "--verify", "full")[0]["order"]
    with t.enter(UBoot(t, net, binary, MAC, more=drive(card))) as u:
        flash_at_prompt(u)
    assert status(daemon, order)["state"] == "verified", "it waits for the system, and its figures can be asked for"
    again = status(daemon, order)["progress"]
    assert hashlib.sha256(part(card, 0, os.path.getsize(card))).digest() == whole, "a flash of the same changes nothing"
    assert again["written"] == again["written_bytes"] == again["fetched"] == 0 < again["done"] == again["pieces"], again


def code(daemon, *arguments):
    """Exit code and the words of 'bramble flash'."""
    r = daemon.cli("flash", *arguments, check=False)
    return r.returncode, r.stderr


def test_each_failure_of_a_flash_has_its_exit_code(t):
    """What goes wrong before a byte is written, and a card that is too small."""
    binary = uboot_binary(t, "bookworm")
    net, daemon, _ = serve(t, "--power-command", "/bin/false {board}")
    assert code(daemon, "nothere", "pi41")[0] == 3
    assert code(daemon, "small", "nobody")[0] == 3
    assert code(daemon, "small", "pi41", "--target", "sda")[0] == 2
    was, words = code(daemon, "small", "pi41", "--wait=20s", "--reset")
    assert was == 10 and "/bin/false failed with status 1" in words, (was, words)
    was, words = code(daemon, "small", "pi41", "--wait=1s")
    assert was == 11 and "never asked for an address" in words, (was, words)
    card = noise_card(t, size=40 * MIB)
    before = part(card, 0, os.path.getsize(card))
    order = daemon.json("flash", "small", "pi41", "--target", "virtio0")[0]["order"]
    with t.enter(UBoot(t, net, binary, MAC, more=drive(card))) as u:
        flash_at_prompt(u)
    st = status(daemon, order)
    assert st["state"] == "failed" and st["what"] == "write" and "smaller than the image" in st["reason"], st
    assert part(card, 0, os.path.getsize(card)) == before, "nothing was written"
    states = {o["order"]: o["state"] for o in daemon.json("flash", "list")}
    assert set(states.values()) == {"failed"} and len(states) == 3, states


def test_a_disk_without_the_mark_gets_the_image_as_it_is_though_the_power_fails(t):
    """Cut off at its first write, the board begins anew and finds what is right."""
    binary = uboot_binary(t, "bookworm")
    net, daemon, image = serve(t)
    disk = t.path("disk.raw")
    t.run("truncate", "-s", "64M", disk)
    order = daemon.json("flash", "small", "pi41", "--target", "virtio0", "--up", "none", "--verify", "full", "--keep")[0]["order"]
    with t.enter(UBoot(t, net, binary, MAC, more=drive(disk))) as u:
        flash_at_prompt(u, r"^Total of ")
    assert status(daemon, order)["state"] == "writing"
    daemon.restart()
    with t.enter(UBoot(t, net, binary, MAC, more=drive(disk))) as u:
        flash_at_prompt(u)
    wait_until(lambda: status(daemon, order)["state"] == "done", 20, "the order is done")
    with open(image, "rb") as a, open(disk, "rb") as b:
        assert a.read() == b.read(os.path.getsize(image)), "the disk holds the image"
    assert not daemon.json("board", "show", "pi41")[0].get("road"), "--keep"


def test_wait_outlives_a_restart_of_the_daemon(t):
    net, daemon, _ = serve(t)
    with subprocess.Popen(net.exec(t.bramble, "--state", daemon.state, "flash", "small", "pi41", "--wait=8s", "-o", "json"),
                          env=t.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        wait_until(lambda: daemon.json("flash", "list"), 20, "the order is there")
        daemon.restart()
        out, err = p.communicate(timeout=PATIENCE)
    assert p.returncode == 11, (p.returncode, err)
    row = json.loads(out)[0]
    assert row["state"] == "failed" and row["what"] == "dhcp" and row["withdrawn"], row
