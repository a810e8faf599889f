# SPDX-License-Identifier: Apache-2.0
"""U-Boot in two stages: Debian's own, on QEMU's 'virt' and on a raspi3b, runs the scripts that the daemon serves."""
import os
import shutil

import debian
from daemon import Daemon
from guests import PATIENCE, UBoot
from images import small_image
from netlab import ADDRESS, Net
from serial import Console
from systemtests import long, quick, stop, wait_until

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


def image_with_scripts(t):
    """One on its boot partition, one in its root; both where the overrides have another."""
    image = small_image(t)
    for where in ("boot", "root"):
        with open(t.path(where + ".cmd"), "w") as f:
            f.write(f"echo {where}\n")
    fat, ext4 = f"{image}@@{2048 * 512}", f"{image}?offset={18432 * 512}"
    t.run("mmd", "-i", fat, "::bramble")
    for name in ("boot", "hello"):
        t.run("mcopy", "-i", fat, t.path("boot.cmd"), f"::bramble/{name}.cmd")
    for command in ("mkdir /boot/bramble", *(f"write {t.path('root.cmd')} /boot/bramble/{name}.cmd" for name in ("root", "boot"))):
        t.run("debugfs", "-w", "-R", command, ext4)
    return image


@quick
def test_scripts_are_packed_when_they_are_asked_for(t):
    t.need_program("mkimage", "curl", "debugfs", "mmd", "sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    put(t, "hello.cmd", "echo hello\n")
    put(t, "text.scr", "echo text\r\n")
    put(t, "wrong.cmd", "if true; then\n  echo 'x\n")
    net, daemon = serve(t, image_with_scripts(t), mac=None)

    def fetch(name, scheme="http"):
        return t.run(*net.exec("curl", "-sf", "-o", t.path("got"), f"{scheme}://{ADDRESS}/{name}"), check=False).returncode

    for name, scheme, said in (("hello.scr", "http", "AArch64 Linux Script"), ("hello.scr.uimg", "tftp", "Script"),
                               ("text.scr", "tftp", "Script"), ("hello.itb", "http", "sha256"),
                               ("root.scr", "tftp", "Script"), ("bramble/root.uimg", "http", "Script"),
                               ("boot.scr.uimg", "tftp", "Script"),
                               ("bramble/stage1.scr", "tftp", "AArch64 Linux Script")):
        assert fetch(name, scheme) == 0, name
        assert said in t.run("mkimage", "-l", t.path("got")).stdout, name
        back = t.run(t.bramble, "uboot", "script", "unpack", t.path("got")).stdout
        word = name.split("/")[-1].split(".")[0]
        assert back == f"echo {word}\n" or word == "stage1", f"{name}: {back}"
        t.run(t.bramble, "uboot", "script", "check", t.path("got"))
    for name in ("none.scr", "bramble/stage2.scr", "hello.cmd2", "pxelinux.cfg/default"):
        assert fetch(name) != 0, f"{name}: this is no board"
    assert "all/wrong.cmd line 2: a ' that is not closed" in daemon.log(), daemon.log()
    r = t.run(t.bramble, "uboot", "script", "check", t.path("boot/all/wrong.cmd"), check=False)
    assert r.returncode == 1 and "wrong.cmd:1: error: 'then' without 'fi'" in r.stderr, r


def test_uboot_2023_goes_from_stage_1_to_the_images_kernel(t):
    net, daemon = serve(t, t.image(), VIRTIO_MAC)
    with t.enter(UBoot(t, net, binary(t, "bookworm"), VIRTIO_MAC, card="virtio-net-pci")) as u:
        run_stage1(u)
        for seen in (r"asks for a server as bramble\.qemu-arm", r"stage 2: pi41 boots over the network", r"Linux version \d"):
            u.expect(seen, PATIENCE)
        wait_until(lambda: u.drain(1) or daemon.jsonl("event", "list", "pi41", "-t", "nfs.mounted"), PATIENCE,
                   "the root is mounted")


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


@long
def test_uboot_2025_boots_by_the_menu(t):
    """As its builds for Raspberry Pi do by themselves; that for QEMU is told."""
    net, daemon = serve(t, t.image())
    with t.enter(UBoot(t, net, binary(t, "trixie"), MAC)) as u:
        u.run("setenv autoload no; setenv pxefile_addr_r 4e000000; dhcp; pxe get")
        u.send("pxe boot\n")
        u.expect(r"Linux version \d", PATIENCE)
        u.expect(r"Kernel command line: .*nfsroot=.*:/pi41,", PATIENCE)


@long
def test_without_a_server_stage_1_starts_the_boards_own_system(t):
    """The image as a disk of the machine; the server goes away before stage 1 looks for it."""
    t.run(t.bramble, "uboot", "stage1", "--wait", "10s", "-t", t.path("stage1.cmd"))
    with open(t.path("stage1.cmd")) as f:
        put(t, "bramble/stage1.cmd", f.read())
    net, daemon = serve(t, t.image())
    disks = [os.path.join(d, f) for d, _, files in os.walk(os.path.join(daemon.state, "images")) for f in files
             if os.path.getsize(os.path.join(d, f)) > 1 << 20]
    more = ["-drive", f"if=none,id=d0,format=raw,snapshot=on,file={disks[0]}", "-device", "virtio-blk-pci,drive=d0"]
    with t.enter(UBoot(t, net, binary(t, "bookworm"), MAC, more=more)) as u:
        u.run("setenv autoload no; dhcp")
        u.run("tftpboot ${scriptaddr} bramble/stage1.scr")
        stop(daemon.process, 20)
        u.send("source ${scriptaddr}\n")
        for seen in (r"no server after 10 s: the system on the board itself", r"bramble: the system on virtio 0:1", r"Starting kernel",
                     r"Kernel command line: .*root=PARTUUID="):
            u.expect(seen, PATIENCE)


@long
def test_a_3b_goes_through_both_stages_to_its_network_root(t):
    """ROM and firmware as the simulator plays them, Debian's U-Boot for Raspberry Pi on the emulated LAN9514. U-Boot's own
    network boot asks for boot.scr.uimg, which is stage 1 here: a text that is packed for it."""
    t.need_root()
    top = debian.unpacked(t, "u-boot-rpi", suite="bookworm", arch="arm64")
    put(t, "config.txt", "arm_64bit=1\nenable_uart=1\nkernel=u-boot.bin\n")
    shutil.copy(os.path.join(top, "usr/lib/u-boot/rpi_arm64/u-boot.bin"), t.path("boot/all/u-boot.bin"))
    put(t, "boot.cmd", t.run(t.bramble, "uboot", "stage1").stdout)
    net, daemon = serve(t, t.image(), mac=None)
    argv = net.exec(t.bramble, "sim", "--model", "3b+", "--serial", "00c0ffee", "--interface", "br0", "--boot")
    with t.enter(Console(argv, t.path("board.log"), env=t.env)) as board:
        for seen in (r"U-Boot 2023.01", r"bramble: asks for a server as bramble\.3-b", r"stage 2: .* boots over the network",
                     r"Starting kernel", r"Linux version \d"):
            board.expect(seen, 3 * PATIENCE)
        name = daemon.json("board", "list")[0]["name"]
        wait_until(lambda: board.drain(1) or daemon.jsonl("event", "list", name, "-t", "nfs.mounted"), 3 * PATIENCE,
                   "the root is mounted")
