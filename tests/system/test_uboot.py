# SPDX-License-Identifier: Apache-2.0
"""U-Boot in two stages: Debian's own, on QEMU's 'virt' and on a raspi3b, runs the scripts that the daemon serves."""
import os
import re

import debian
from daemon import Daemon
from guests import PATIENCE, UBoot
from images import small_image
from netlab import ADDRESS, Net
from systemtests import long, wait_until

VIRTIO_MAC = "52:52:52:52:52:52"    # compiled into 2023.01; any other card's is QEMU's
MAC = "dc:a6:32:00:00:41"
BOOT_SECONDS = 900


def binary(t, release):
    return os.path.join(debian.unpacked(t, "u-boot-qemu", suite=release), "usr/lib/u-boot/qemu_arm64/u-boot.bin")


def put(t, name, text):
    path = t.path("boot/all", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def serve(t, image, mac=MAC):
    t.need_root()
    t.need_program("qemu-system-aarch64")
    os.makedirs(t.path("boot/all"), exist_ok=True)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--overrides", t.path("boot"), "--range", "10.77.0.10-10.77.0.19", image=image))
    if mac:
        daemon.cli("board", "add", "pi41", "--mac", mac)
    return net, daemon


def run_stage1(u):
    """Served as a script to a U-Boot that has none."""
    u.run("setenv autoload no; dhcp")
    u.run("tftpboot ${scriptaddr} bramble/stage1.scr")
    u.send("source ${scriptaddr}\n")


def boots_to_login(t, release, mac):
    """Stage 1, stage 2, the image's kernel with its network root, a login at the serial port that the tree names."""
    net, daemon = serve(t, t.image(), mac)
    with t.enter(UBoot(t, net, binary(t, release), mac, card="virtio-net-pci")) as u:
        run_stage1(u)
        for seen in (r"bramble: stage 1", r"bramble: asks for a server as bramble\.qemu-arm \(1 of 6\)",
                     r"bramble: stage 2: pi41 boots over the network", r"Starting kernel", r"Linux version \d"):
            u.expect(seen, PATIENCE)
        u.login(seconds=BOOT_SECONDS)
        assert " / nfs " in u.command("grep ' / ' /proc/mounts", BOOT_SECONDS)
        line = u.command("cat /proc/cmdline", BOOT_SECONDS)
        assert "console=ttyAMA0" in line and f"nfsroot={ADDRESS}:/pi41," in line and "bramble.boot=1" in line, line
    told = [e["fields"] for e in daemon.jsonl("event", "list", "pi41", "-t", "dhcp.ack")]
    assert len({e["ip"] for e in told}) == 1, told


@long
def test_uboot_2023_goes_through_both_stages_to_a_login_on_its_network_root(t):
    boots_to_login(t, "bookworm", VIRTIO_MAC)


@long
def test_uboot_2025_goes_through_both_stages_to_a_login_on_its_network_root(t):
    boots_to_login(t, "trixie", MAC)
