# SPDX-License-Identifier: Apache-2.0
"""A board whose disk is no mmc, from stage 1 through a flash to the login of what was flashed: QEMU's 'virt', Debian's U-Boot."""
from cards import MAC, MIB, P1_SIZE, P1_START, digest, drive, noise_card, status, table, uboot_binary
from daemon import Daemon
from guests import PATIENCE, UBoot
from netlab import ADDRESS, Net
from systemtests import long, wait_until

HOURS = 4 * 3600                # seconds; only so that a hang ends


def stage1(t, net, card):
    u = UBoot(t, net, uboot_binary(t, "bookworm"), MAC, more=drive(card))
    u.run("setenv autoload no; dhcp")
    u.run("tftpboot ${scriptaddr} bramble/stage1.scr")
    u.send("source ${scriptaddr}\n")
    return u


def flash_and_boot(t, image):
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--range", "10.77.0.10-10.77.0.19", image=image))
    daemon.cli("board", "add", "pi41", "--mac", MAC)
    card = noise_card(t, size=2048 * MIB, noise=False)
    first = digest(card, P1_START, P1_SIZE)
    name = daemon.json("image", "list")[0]["name"]
    order = daemon.json("flash", name, "pi41", "--target", "virtio0", "--up", "dhcp")[0]["order"]
    with stage1(t, net, card) as u:
        u.expect(r"bramble: stage 2: pi41 boots over the network", PATIENCE)
        u.expect(rf"bramble: order {order}: writing virtio 0", PATIENCE)
        u.expect(r"^bramble: told the server", HOURS)
    assert status(daemon, order)["state"] == "verified" and digest(card, P1_START, P1_SIZE) == first
    t.say(f"...   {t.name}: verified, {status(daemon, order)['progress']}")
    with stage1(t, net, card) as u:
        for seen in (r"bramble: stage 2: pi41 boots from its own storage", r"bramble: the system on virtio 0:2",
                     r"Starting kernel", r"Linux version \d"):
            u.expect(seen, PATIENCE)
        u.login(seconds=HOURS)
        mounts = u.command("grep ' / ' /proc/mounts", HOURS)
        line = u.command("cat /proc/cmdline", HOURS)
        wait_until(lambda: u.drain(1) or status(daemon, order)["state"] == "done", HOURS, "its DHCP was seen")
    assert "/dev/vda3 / ext4" in mounts, mounts
    assert "root=PARTUUID=" in line and "-03" in line and ADDRESS not in line, line
    assert digest(card, P1_START, P1_SIZE) == first and table(card)[0][:2] == (P1_START, P1_SIZE)


@long
def test_a_flashed_disk_boots_to_its_login(t):
    t.need_root()
    t.need_program("qemu-system-aarch64", "sfdisk", "mkfs.fat", "mcopy")
    flash_and_boot(t, t.image())
