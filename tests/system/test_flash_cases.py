# SPDX-License-Identifier: Apache-2.0
"""Images, orders, servers and scripts as they should not be: what 'bramble flash' says then, and what the board does."""
import os
import shutil

from cards import (MAC, MIB, P1_SIZE, P1_START, check_system, digest, drive, flash_at_prompt, noise_card, numbered_image, serve,
                   status, uboot_binary)
from guests import PATIENCE, UBoot
from netlab import ADDRESS
from systemtests import long, quick, wait_until

OTHER_MAC = "dc:a6:32:00:00:42"


def without_boot(t):
    """A disk with one ext4 partition and nothing else."""
    path, root = t.path("noboot.img"), t.path("noboot.root")
    t.run("truncate", "-s", "8M", root)
    t.run("mke2fs", "-q", "-t", "ext4", root)
    t.run("truncate", "-s", "9M", path)
    t.run("sfdisk", "-q", path, input="label: dos\nstart=2048,size=16384,type=83\n")
    t.run("dd", f"if={root}", f"of={path}", "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none")
    return path


def gpt_image(t, image):
    """The partitions of the small image in a GPT; cmdline.txt and fstab name them by their GUIDs."""
    path = t.path("gpt.img")
    guid = "0fc63daf-8483-4772-8e79-3d69d8477d0{}"
    t.run("truncate", "-s", "26M", path)
    t.run("sfdisk", "-q", path, input="label: gpt\n" + "".join(
        f"start={start},size={size},type={kind},uuid={guid.format(i)}\n" for i, (start, size, kind) in
        enumerate(((2048, 16384, "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"), (18432, 30720, "L")), 1)))
    t.run("dd", f"if={image}", f"of={path}", "bs=1M", "skip=1", "seek=1", "count=23", "conv=notrunc,sparse", "status=none")
    with open(t.path("cmdline.gpt"), "w") as f:
        f.write(f"console=serial0,115200 root=PARTUUID={guid.format(2)} rootwait\n")
    t.run("mcopy", "-o", "-i", f"{path}@@{MIB}", t.path("cmdline.gpt"), "::cmdline.txt")
    with open(t.path("fstab.gpt"), "w") as f:
        f.write(f"PARTUUID={guid.format(1)} /boot/firmware vfat defaults 0 2\nPARTUUID={guid.format(2)} / ext4 defaults 0 1\n")
    for command in ("rm /etc/fstab", f"write {t.path('fstab.gpt')} /etc/fstab"):
        t.run("debugfs", "-w", "-R", command, f"{path}?offset={9 * MIB}")
    return path


def truncated(t, image):
    path = t.path("cut.img")
    shutil.copyfile(image, path)
    os.truncate(path, 12 * MIB)
    return path


def ends(daemon, *words):
    """Exit code of a command that fails, and its words."""
    r = daemon.cli(*words, check=False, timeout=600)
    return r.returncode, r.stderr


@quick
def test_bad_images_and_orders_are_refused(t):
    net, daemon, image = serve(t)
    code, words = ends(daemon, "image", "add", truncated(t, image))
    assert code == 1 and "partition 2" in words, (code, words)
    assert ends(daemon, "flash", "cut", "pi41")[0] == 3
    t.run("xz", "-k", "-0", image)
    os.truncate(image + ".xz", os.path.getsize(image + ".xz") // 2)
    code, words = ends(daemon, "image", "add", image + ".xz", "--name", "half")
    assert code == 1 and ends(daemon, "flash", "half", "pi41")[0] == 3, (code, words)
    daemon.cli("image", "add", without_boot(t))
    code, words = ends(daemon, "flash", "noboot", "pi41")
    assert code == 2 and "no boot partition" in words, (code, words)
    order = daemon.json("flash", "small", "pi41")[0]["order"]
    code, words = ends(daemon, "flash", "small", "pi41")
    assert code == 1 and "has a flash order already" in words, (code, words)
    another_board_is_not_answered(t, net, daemon, order)
    assert status(daemon, order)["state"] == "waiting"
    daemon.cli("flash", "cancel", str(order))
    assert status(daemon, order)["state"] == "cancelled"


def another_board_is_not_answered(t, net, daemon, order):
    """It knows the order's number, and asks for its pieces and says that all is done, or failed."""
    daemon.cli("board", "add", "pi42", "--mac", OTHER_MAC, "--address", "10.77.0.18")
    other = net.client(OTHER_MAC)
    t.run(*other.exec("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-s", "/bin/true"))
    other.address("10.77.0.18/24")
    for scheme in ("tftp", "http"):
        for name in ("plan/n/whole", "done", "fail/write/0", "w/0/all"):
            r = t.run(*other.exec("curl", "-sS", "-f", "-m", "20", f"{scheme}://{ADDRESS}/bramble/flash/{order}/{name}"), check=False)
            assert r.returncode not in (0, 28), f"{scheme} {name}: {r.returncode} {r.stdout}"
        r = t.run(*other.exec("curl", "-sS", "-f", "-m", "20", f"{scheme}://{ADDRESS}/bramble/flash.scr"), check=False)
        assert r.returncode not in (0, 28), "it has no order"


def test_an_image_with_a_gpt_lies_behind_the_recovery_partition(t):
    net, daemon, image = serve(t)
    daemon.cli("image", "add", gpt_image(t, image))
    card = noise_card(t)
    first = digest(card, P1_START, P1_SIZE)
    order = daemon.json("flash", "gpt", "pi41", "--target", "virtio0", "--up", "none")[0]["order"]
    with UBoot(t, net, uboot_binary(t, "bookworm"), MAC, more=drive(card)) as u:
        flash_at_prompt(u)
    wait_until(lambda: status(daemon, order)["state"] == "done", 60, "the order is done")
    check_system(t, image, card)
    assert digest(card, P1_START, P1_SIZE) == first


@long
def test_the_server_vanishes_at_each_chunk(t):
    """Killed when a window has been fetched, back at once: the board goes on, or begins anew; it ends verified."""
    net, daemon, _ = serve(t, image=numbered_image(t, 36, 48))
    card, binary = noise_card(t), uboot_binary(t, "bookworm")
    first = digest(card, P1_START, P1_SIZE)
    order = daemon.json("flash", "small", "pi41", "--target", "virtio0", "--up", "none")[0]["order"]
    kills, boots = 0, 0
    while status(daemon, order)["state"] in ("waiting", "writing"):
        boots += 1
        assert boots < 8, status(daemon, order)
        with UBoot(t, net, binary, MAC, more=drive(card)) as u:
            u.run("setenv autoload no; dhcp")
            u.send("tftpboot ${scriptaddr} bramble/flash.scr && source ${scriptaddr}\n")
            while True:
                _, m = u.expect(r"Uncompressed size|^bramble: told the server|^resetting", 4 * PATIENCE)
                if not m[0].startswith("Uncompressed"):
                    break
                if kills < 4:
                    kills += 1
                    daemon.process.kill()
                    daemon.process.wait()
                    daemon.start()
        assert digest(card, P1_START, P1_SIZE) == first
        wait_until(lambda: status(daemon, order)["state"] != "verified", 60, "no state between")
    assert status(daemon, order)["state"] == "done" and kills >= 3, (kills, boots, status(daemon, order))


def test_a_wrong_stage_2_leaves_the_board_its_own_system(t):
    """A corrupt header, then a text that U-Boot does not take: stage 1 tries as long as it was told, then starts the card."""
    top = t.path("boot/all/bramble")
    os.makedirs(top)
    t.run(t.bramble, "uboot", "stage1", "--wait", "10s", "-t", os.path.join(top, "stage1.cmd"))
    with open(t.path("text.cmd"), "w") as f:
        f.write("echo from the server\n")
    t.run(t.bramble, "uboot", "script", "pack", t.path("text.cmd"), "-t", os.path.join(top, "stage2.scr"))
    with open(os.path.join(top, "stage2.scr"), "r+b") as f:
        f.seek(20)
        f.write(b"\xff\xff")        # within what its header's CRC covers
    r = t.run(t.bramble, "uboot", "script", "check", os.path.join(top, "stage2.scr"), check=False)
    assert r.returncode == 1 and "CRC" in r.stderr, r
    net, daemon, image = serve(t, "--overrides", t.path("boot"))
    for wrong in ("header", "text"):
        if wrong == "text":
            os.unlink(os.path.join(top, "stage2.scr"))
            with open(os.path.join(top, "stage2.cmd"), "w") as f:
                f.write("if true; then\n  echo 'x\n")
            daemon.restart()
        with UBoot(t, net, uboot_binary(t, "bookworm"), MAC, more=drive(image)) as u:
            u.run("setenv autoload no; dhcp")
            u.run("tftpboot ${scriptaddr} bramble/stage1.scr")
            u.send("source ${scriptaddr}\n")
            for seen in (r"stage2\.scr", r"no server after 10 s: the system on the board itself", r"bramble: the system on virtio 0:1"):
                u.expect(seen, PATIENCE)


@quick
def test_mkimage_takes_all_that_a_flash_serves(t):
    """Asked for by a host with the board's address: the scripts are also looked at by our checker, and data come back whole."""
    t.need_program("mkimage", "dumpimage", "curl")
    net, daemon, _ = serve(t)
    daemon.cli("board", "edit", "pi41", "--address", "10.77.0.17")
    board, got = net.client(MAC), t.path("got")
    t.run(*board.exec("busybox", "udhcpc", "-V", "bramble.4-b", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-s", "/bin/true"))
    board.address("10.77.0.17/24")
    order = daemon.json("flash", "small", "pi41", "--verify", "full")[0]["order"]
    top = f"bramble/flash/{order}"
    plan = f"{top}/plan/n/card/4000/8000/c0ffee42-01"

    def fetch(name, scheme="tftp"):
        # over HTTP a chunk in the making is "ask again" (503); over TFTP it is held back
        t.run(*board.exec("curl", "-sS", "-f", "-m", "60", "--retry", "30", "--retry-delay", "1", "-o", got, f"{scheme}://{ADDRESS}/{name}"))

    def text():
        return t.run(t.bramble, "uboot", "script", "unpack", got).stdout

    fetch("bramble/flash.scr")
    wait_until(lambda: fetch(plan) or "reads the image" not in text(), PATIENCE, "the image is read")
    scripts = ("bramble/stage1.scr", "bramble/stage2.scr", "boot.scr.uimg", "bramble/flash.scr", plan, f"{top}/g/0", f"{top}/v/0",
               f"{top}/d/0")
    for name in scripts:
        fetch(name)
        assert "Script" in t.run("mkimage", "-l", got).stdout, name
        t.run(t.bramble, "uboot", "script", "check", got)
        t.run("dumpimage", "-T", "script", "-p", "0", "-o", t.path("theirs"), got)
        with open(t.path("theirs"), "rb") as f:
            assert f.read()[8:].decode() == text(), name    # behind the table of sizes, which dumpimage leaves there
    for name in (f"{top}/l/0/all", f"{top}/t/l"):
        fetch(name)
        said = t.run("mkimage", "-l", got).stdout
        assert "Script" in said and "Image 1" in said, f"{name}: {said}"
        t.run(t.bramble, "uboot", "script", "check", got)
    fetch("bramble/flash.scr")      # another U-Boot, which wants the other kind
    for name in (f"{top}/fit", f"{top}/w/0/all", f"{top}/t/w"):
        fetch(name, "http")
        said = t.run("mkimage", "-l", got).stdout
        assert said.count("sha256") == 2 and "Image 1 (d)" in said, f"{name}: {said}"
        t.run("dumpimage", "-T", "flat_dt", "-p", "1", "-o", t.path("data"), got)
        t.run(t.bramble, "uboot", "script", "check", got)
