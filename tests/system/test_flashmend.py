# SPDX-License-Identifier: Apache-2.0
"""bramble flash where it is not usual: no image for the board, other clients of DHCP, large sectors, a card that hides its mark."""
import os

from cards import MAC, P1_SIZE, P1_START, digest, drive, flash_at_prompt, noise_card, part, status, uboot_binary
from daemon import Daemon
from guests import PATIENCE, UBoot
from images import small_image
from netlab import Net
from systemtests import quick, wait_until


def serve_without_image(t, *arguments):
    """A server that has an image in its store, and no board that boots it."""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "qemu-system-aarch64")
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--range", "10.77.0.10-10.77.0.19", *arguments))
    daemon.cli("image", "add", small_image(t), "--name", "small", "-q")
    daemon.cli("board", "add", "pi41", "--mac", MAC)
    return net, daemon


def boot_by_stage2(u, until):
    u.run("setenv autoload no; setenv bootp_vci bramble.virt; dhcp")
    u.send("tftpboot ${scriptaddr} bramble/stage2.scr && source ${scriptaddr}\n")
    u.expect(until, PATIENCE)


def test_a_server_without_an_image_for_the_board_flashes_it(t):
    """Stage 1 finds a stage 2, which asks for the order; then it boots the disk. ISC dhclient shows that it is up."""
    t.need_program("dhclient")
    binary = uboot_binary(t, "bookworm")
    net, daemon = serve_without_image(t)
    card = noise_card(t)
    with t.enter(UBoot(t, net, binary, MAC, more=drive(card))) as u:
        order = daemon.json("flash", "small", "pi41", "--target", "virtio0")[0]["order"]
        boot_by_stage2(u, r"bramble: told the server")
    assert status(daemon, order)["state"] == "verified", status(daemon, order)
    # the road is 'flash' now, and there is still no image
    with t.enter(UBoot(t, net, binary, MAC, more=drive(card))) as u:
        boot_by_stage2(u, r"bramble: the system on virtio 0:2")
    assert "There is no image" not in daemon.cli("why", "pi41", check=False).stdout
    assert status(daemon, order)["state"] == "verified", "U-Boot's DHCP is not the system's"
    client = net.client(MAC)
    t.run(*client.exec("timeout", "20", "dhclient", "-4", "-1", "-d", "-sf", "/bin/true", "-lf", t.path("leases"), "-pf", t.path("pid"),
                       "eth0"), check=False)
    wait_until(lambda: status(daemon, order)["state"] == "done", 20, "dhclient's lease is the system's")


def test_a_disk_of_large_sectors_is_refused(t):
    binary = uboot_binary(t, "bookworm")
    net, daemon = serve_without_image(t)
    disk = t.path("4kn.raw")
    t.run("truncate", "-s", "64M", disk)
    large = ["-drive", f"if=none,id=d0,format=raw,file={disk}",
             "-device", "nvme,serial=4kn,drive=d0,logical_block_size=4096,physical_block_size=4096"]
    with t.enter(UBoot(t, net, binary, MAC, more=large)) as u:
        order = daemon.json("flash", "small", "pi41", "--target", "nvme0")[0]["order"]
        flash_at_prompt(u)
    st = status(daemon, order)
    assert st["state"] == "failed" and "4Kn" in st["reason"], st
    assert not any(part(disk, 0, 64 << 20)), "nothing was written"


def test_a_recovery_card_whose_mark_is_hidden_is_not_overwritten(t):
    """U-Boot was started from it (stage 1 says so): without its mark it still is no empty disk. One that nobody started from is."""
    binary = uboot_binary(t, "bookworm")
    net, daemon = serve_without_image(t)
    card = noise_card(t)
    fat = t.path("p1.fat")
    with open(fat, "wb") as f:
        f.write(part(card, P1_START, P1_SIZE))
    t.run("mdel", "-i", fat, "::bramble.txt")
    with open(card, "r+b") as f, open(fat, "rb") as g:
        f.seek(P1_START)
        f.write(g.read())
    before = digest(card, 0, os.path.getsize(card))
    with t.enter(UBoot(t, net, binary, MAC, more=drive(card))) as u:
        order = daemon.json("flash", "small", "pi41", "--target", "virtio0")[0]["order"]
        u.run('setenv bramble_card "virtio 0"')
        flash_at_prompt(u)
    st = status(daemon, order)
    assert st["state"] == "failed" and "started from this card" in st["reason"], st
    assert digest(card, 0, os.path.getsize(card)) == before, "nothing was written"


@quick
def test_a_card_for_a_model_that_there_is_not_is_no_card(t):
    for models in ("3b+,6", "x", "4,,5", ""):
        r = t.run(t.bramble, "uboot", "card", "--model", models, "-o", t.path("card.img"), check=False)
        assert r.returncode != 0 and "several with commas" in r.stderr, (models, r.stderr)
        assert not os.path.exists(t.path("card.img"))
    r = t.run(t.bramble, "uboot", "card", "--write", "/dev/null", check=False)
    assert r.returncode != 0 and "is no disk" in r.stderr, r.stderr
