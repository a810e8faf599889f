# SPDX-License-Identifier: Apache-2.0
"""A Raspberry Pi 3B+ with bramble's recovery card, as QEMU's raspi3b with the emulated LAN9514: Debian's own U-Boot from the
card, our scripts as they are, to the network root, and through a flash to the flashed system's login."""
import json
import os
import re

import debian
from cards import digest, status, table
from daemon import Daemon
from images import small_image
from netlab import ADDRESS, Net
from serial import Console
from systemtests import long, wait_until

MAC = "b8:27:eb:c0:ff:ee"
PATIENCE, HOURS = 1200, 4 * 3600    # seconds; never asserted, only so that a hang ends
FIRMWARE = ("bootcode.bin", "start.elf", "fixup.dat", "bcm2710-rpi-3-b-plus.dtb")


def firmware(t, raw):
    """Firmware and device tree as the test image has them on its boot partition. A directory."""
    top = t.path("firmware")
    os.mkdir(top)
    start = json.loads(t.run("sfdisk", "-J", raw).stdout)["partitiontable"]["partitions"][0]["start"]
    t.run("mcopy", "-n", "-i", f"{raw}@@{start * 512}", *(f"::{name}" for name in FIRMWARE), top)
    return top


class Lab:
    def __init__(self, t, release):
        t.need_root()
        t.need_program("qemu-system-aarch64", "mcopy", "sfdisk")
        self.t, self.release = t, release
        uboot = os.path.join(debian.unpacked(t, "u-boot-rpi", suite=release, arch="arm64"), "usr/lib/u-boot")
        self.net = t.enter(Net())
        self.daemon = t.enter(Daemon(t, self.net, "--range", "10.77.0.10-10.77.0.19", image=t.image()))
        self.daemon.cli("board", "add", "pi3", "--mac", MAC)
        self.image = self.daemon.json("image", "list")[0]["name"]
        files = firmware(t, os.path.join(self.daemon.state, "images", self.image, "disk.img"))
        self.card = t.path("card.img")
        # QEMU takes cards only whose size is a power of two
        t.run(t.bramble, "uboot", "card", "-o", self.card, "--size", "2G", "--model", "3b+", "--firmware", files, "--dtb", files,
              "--u-boot", uboot, timeout=600)
        self.first, self.boots = self.first_now(), 0

    def first_now(self):
        start, size, _ = table(self.card)[0]
        return digest(self.card, start, size)

    def power_on(self):
        self.boots += 1
        argv = self.net.exec(self.t.bramble, "sim", "--model", "3b+", "--mac", MAC, "--serial", "00c0ffee", "--interface", "br0",
                             "--card", self.card, "--boot", "--timeout", "5h")
        return Console(argv, self.t.path(f"board-{self.boots}.log"), env=self.t.env)


def goes_through(board, *patterns):
    for seen in patterns:
        board.expect(seen, PATIENCE)


def network_root(lab):
    version = {"bookworm": "2023.01", "trixie": "2025.01"}[lab.release]
    with lab.power_on() as board:
        goes_through(board, rf"U-Boot {version}", r"bramble: stage 1", r"bramble: asks for a server as bramble\.3-b",
                     r"stage 2: pi3 boots over the network", r"Starting kernel", r"Linux version \d")
        wait_until(lambda: board.drain(1) or lab.daemon.jsonl("event", "list", "pi3", "-t", "nfs.mounted"), PATIENCE,
                   "the root is mounted")


def flash(lab, image):
    """An order, and the boot that carries it out; the order."""
    order = lab.daemon.json("flash", image, "pi3", "--up", "dhcp")[0]["order"]
    with lab.power_on() as board:
        goes_through(board, r"stage 2: pi3", rf"bramble: order {order}: writing mmc 0")
        board.expect(r"^bramble: told the server", HOURS)
    st = status(lab.daemon, order)
    assert st["state"] == "verified" and st["place"].startswith("card/"), st
    assert lab.first_now() == lab.first, "the flash wrote partition 1"
    return order


def flashed(lab):
    order = flash(lab, lab.image)
    with lab.power_on() as board:
        goes_through(board, r"stage 2: pi3 boots from its own storage", r"bramble: the system on mmc 0:2", r"Starting kernel",
                     r"Linux version \d")
        line = board.expect(r"Kernel command line:(.*)", PATIENCE)[1][1]
        board.expect(r"EXT4-fs \(mmcblk\dp3\): re-mounted", HOURS)
        # as far as the message of the day: the shell behind it takes this emulated board longer than any patience
        for seen, typed in ((r"login: ", "root\n"), (r"[Pp]assword: ", "raspberry\n"), (r"^Linux raspberrypi ", "")):
            board.expect(seen, HOURS)
            board.send(typed)
        wait_until(lambda: board.drain(1) or status(lab.daemon, order)["state"] == "done", PATIENCE, "its DHCP was seen")
    assert re.search(r"root=PARTUUID=\S+-03", line) and ADDRESS not in line, line
    assert lab.first_now() == lab.first, "the flashed system wrote partition 1"


def flashed_twice(lab):
    """With the small image, whose kernel is noise, to where that would begin; the second time nothing is fetched."""
    lab.daemon.cli("image", "add", small_image(lab.t))
    for again in (False, True):
        order = flash(lab, "small")
        told = [e["fields"] for e in lab.daemon.jsonl("event", "list", "pi3", "-t", "flash.verified")]
        assert [e["bytes"] == 0 for e in told if e["order"] == order] == [again], told
    with lab.power_on() as board:
        goes_through(board, r"stage 2: pi3 boots from its own storage", r"bramble: the system on mmc 0:2", r"Moving Image|Starting kernel")
    _, boot, root, last = table(lab.card)
    assert boot[2] == 0x0c and root[2] == 0x83 and last == (0, 0, 0), table(lab.card)


@long
def test_a_3b_with_uboot_2023_is_flashed_with_a_small_image(t):
    flashed_twice(Lab(t, "bookworm"))


@long
def test_a_3b_with_uboot_2025_is_flashed_with_a_small_image(t):
    flashed_twice(Lab(t, "trixie"))


@long
def test_a_3b_with_uboot_2023_is_flashed_and_boots_what_was_flashed(t):
    flashed(Lab(t, "bookworm"))


@long
def test_a_3b_with_uboot_2025_is_flashed_and_boots_what_was_flashed(t):
    flashed(Lab(t, "trixie"))


@long
def test_a_3b_with_uboot_2023_on_its_card_boots_over_the_network(t):
    network_root(Lab(t, "bookworm"))


@long
def test_a_3b_with_uboot_2025_on_its_card_boots_over_the_network(t):
    network_root(Lab(t, "trixie"))
