# SPDX-License-Identifier: Apache-2.0
"""Boot loaders and their firmware under QEMU: Debian's U-Boot (two releases), iPXE, EDK2."""
import os
import shutil
import time

import debian
import efi
from daemon import Daemon
from dhcpservers import Dnsmasq
from guests import PATIENCE, Pc, Router, UBoot, Uefi
from images import small_image
from netlab import ADDRESS, Net
from networkd import Networkd
from serial import Console
from systemtests import wait_until

MAC = "dc:a6:32:00:00:31"
KERNEL = "kernel8.img"
EFI_FILE = "efi/boot/bootaa64.efi"


def put(t, name, content):
    """A file of every board's name space."""
    path = t.path("boot/all", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)
    return path


def script(t, name, lines):
    """A U-Boot script, as mkimage packs it."""
    t.need_program("mkimage")
    text = t.path(name + ".txt")
    with open(text, "w") as f:
        f.write(lines)
    path = put(t, name, b"")
    t.run("mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-n", name, "-d", text, path)


def serve(t, *arguments):
    """A daemon that knows the guest as pi31. The short range is soon searched by ARP: U-Boot's virtio-net hangs when 32
    frames come while it does not look, and so do the first answers to its e1000 get lost."""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    os.makedirs(t.path("boot/all"), exist_ok=True)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--overrides", t.path("boot"), "--range", "10.77.0.10-10.77.0.19", *arguments,
                            image=small_image(t)))
    daemon.cli("board", "add", "pi31", "--mac", MAC)
    return net, daemon


def sent(daemon):
    """{path: how it went out last} of the files that pi31 got whole."""
    return {e["fields"]["path"]: e["fields"].get("via", "tftp") for e in daemon.jsonl("event", "list", "pi31")
            if e["type"] == "file.sent"}


def addresses(daemon):
    return {e["fields"]["ip"] for e in daemon.jsonl("event", "list", "pi31")
            if e["type"] in ("dhcp.offer", "dhcp.ack")}


def check_address(daemon):
    assert len(addresses(daemon)) == 1, addresses(daemon)


def captured(t, daemon):
    """What went over the wire from and to the board, as bytes of a capture file."""
    path = t.path("board.pcap")
    daemon.cli("capture", "pi31", "-o", path)
    with open(path, "rb") as f:
        return f.read()


# ---- U-Boot --------------------------------------------------------------------------------------


def uboot_binary(t, release):
    """u-boot.bin for QEMU's 'virt'; release: None is this system's own."""
    top = debian.unpacked(t, "u-boot-qemu", suite=release)
    return os.path.join(top, "usr/lib/u-boot/qemu_arm64/u-boot.bin")


def uboot_commands(t, release, wget):
    t.need_program("qemu-system-aarch64")
    binary = uboot_binary(t, release)
    script(t, "boot.scr.uimg", f"echo SCRIPT-RUNS ${{ipaddr}} ${{serverip}}\ntftpboot ${{loadaddr}} {KERNEL}\n")
    net, daemon = serve(t)
    kernel = t.path(KERNEL)
    with t.enter(UBoot(t, net, binary, MAC)) as u:
        assert "DHCP client bound" in u.run("setenv autoload no; dhcp")
        assert u.variable("serverip") == ADDRESS and u.variable("hostname") == "pi31"
        assert u.variable("rootpath").startswith(ADDRESS + ":/"), u.variable("rootpath")
        u.run(f"tftpboot ${{loadaddr}} {KERNEL}")       # in lock-step: this U-Boot asks for windows when told to
        u.check(kernel)
        assert b"windowsize" not in captured(t, daemon)
        u.run("setenv tftpwindowsize 8; mw.b ${loadaddr} 0 ${filesize}")
        u.run(f"tftpboot ${{loadaddr}} {KERNEL}")
        u.check(kernel)
        assert captured(t, daemon).count(b"windowsize\x008\x00") == 2, "a window was asked for and granted"
        if wget:
            u.run("mw.b ${loadaddr} 0 ${filesize}")
            u.run(f"wget ${{loadaddr}} {ADDRESS}:/{KERNEL}")
            u.check(kernel)
            assert sent(daemon)[KERNEL] == "http"
        # the file that DHCP names is fetched by 'dhcp' itself
        u.run("setenv autoload; dhcp")
        said = u.run("source ${loadaddr}")
        assert f"SCRIPT-RUNS {u.variable('ipaddr')} {ADDRESS}" in said, said
        u.check(kernel)
    assert addresses(daemon) == {u.variables["ipaddr"]}, addresses(daemon)


def test_uboot_2023_fetches_by_tftp_with_and_without_window(t):
    uboot_commands(t, "bookworm", wget=False)


def test_uboot_2025_fetches_by_tftp_with_and_without_window_and_by_http(t):
    uboot_commands(t, "trixie", wget=True)


def test_uboot_2023_boots_by_itself(t):
    """Its script when there is one; else, asking as UEFI does, a program."""
    t.need_program("qemu-system-aarch64")
    binary = uboot_binary(t, "bookworm")
    put(t, EFI_FILE, efi.program("PROGRAM-RUNS", 100_000))
    net, daemon = serve(t)
    with t.enter(UBoot(t, net, binary, MAC, stop=False)) as u:
        u.expect(r"^PROGRAM-RUNS", PATIENCE)
    script(t, "boot.scr.uimg", "echo SCRIPT-RUNS\npoweroff\n")
    time.sleep(21)      # what asks after a pause of 20 s was switched on anew, and gets what is there then
    with t.enter(UBoot(t, net, binary, MAC, stop=False)) as u:
        u.expect(r"^SCRIPT-RUNS", PATIENCE)
    check_address(daemon)
    assert len(daemon.jsonl("event", "list", "pi31", "-t", "boot.start")) == 2


def test_uboot_2025_boots_a_program_by_itself(t):
    t.need_program("qemu-system-aarch64")
    binary = uboot_binary(t, "trixie")
    put(t, EFI_FILE, efi.program("PROGRAM-RUNS", 100_000))
    script(t, "boot.scr.uimg", "echo SCRIPT-RUNS\n")    # which it never asks for
    net, daemon = serve(t)
    with t.enter(UBoot(t, net, binary, MAC)) as u:
        # the build for QEMU lacks what its own boot method wants, those for Raspberry Pi have it
        u.send("setenv fdt_addr_r 4f000000; setenv fdtfile virt.dtb; boot\n")
        u.expect(r"^PROGRAM-RUNS", PATIENCE)
    check_address(daemon)


# What the firmware would have told the kernel is in the device tree; the script hands it on.
CHAIN = """echo SCRIPT-RUNS
fdt addr ${fdt_addr}
fdt get value bootargs /chosen bootargs
setenv tftpwindowsize 16
tftpboot ${kernel_addr_r} kernel8.img
tftpboot ${ramdisk_addr_r} initramfs8
booti ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt_addr}
"""
SERIAL = "00c0ffee"


def test_a_3b_plus_goes_from_its_rom_through_uboot_to_its_root_and_keeps_its_address(t):
    """ROM and firmware as the simulator plays them, Debian's U-Boot for Raspberry Pi on the emulated LAN9514, the image's
    kernel and initramfs; then the client of its system."""
    t.need_root()
    t.need_program("qemu-system-aarch64", "mkimage")
    top = debian.unpacked(t, "u-boot-rpi", suite="bookworm", arch="arm64")
    put(t, "config.txt", b"arm_64bit=1\nenable_uart=1\nkernel=u-boot.bin\n")
    shutil.copy(os.path.join(top, "usr/lib/u-boot/rpi_arm64/u-boot.bin"), t.path("boot/all/u-boot.bin"))
    script(t, "boot.scr.uimg", CHAIN)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--overrides", t.path("boot"), image=t.image()))
    argv = net.exec(t.bramble, "sim", "--model", "3b+", "--serial", SERIAL, "--interface", "br0", "--boot")
    with t.enter(Console(argv, t.path("board.log"), env=t.env)) as board:
        for seen in (r"U-Boot 2023.01", r"^SCRIPT-RUNS", r"^Starting kernel", r"Linux version \d"):
            board.expect(seen, 2 * PATIENCE)
        name = daemon.json("board", "list")[0]["name"]
        # the console is read on: its far end would wait for room
        wait_until(lambda: board.drain(1) or daemon.jsonl("event", "list", name, "-t", "nfs.mounted"), 2 * PATIENCE,
                   "the root is mounted")
    told = [e["fields"] for e in daemon.jsonl("event", "list", name) if e["type"] in ("dhcp.offer", "dhcp.ack")]
    assert {e["client"] for e in told} == {"rom", "bootcode", "uboot", "initramfs"}, told
    client = net.client("b8:27:eb:c0:ff:ee")
    with Networkd(t, client, "networkd") as networkd:
        assert {e["ip"] + "/24" for e in told} == {networkd.wait()}, told


# ---- iPXE ----------------------------------------------------------------------------------------

IPXE = """#!ipxe
echo SCRIPT-RUNS ${{filename}}
imgfetch tftp://${{next-server}}/{kernel} || goto failed
echo TFTP-DONE
imgfree
kernel vmlinuz console=ttyS0 earlyprintk=serial panic=-1 bramble.test=1 || goto failed
boot
:failed
echo FAILED
"""


def x86_kernel(t):
    """Debian's kernel for clouds: the smallest."""
    top = debian.unpacked(t, "linux-image-cloud-amd64", suite="bookworm", arch="amd64")
    names = debian.depends(t, "linux-image-cloud-amd64", suite="bookworm", arch="amd64")
    name = next(n for n in names if n.startswith("linux-image-"))
    debian.unpacked(t, name, suite="bookworm", arch="amd64")
    return os.path.join(top, "boot", name.replace("linux-image-", "vmlinuz-"))


def need_ipxe(t):
    t.need_program("qemu-system-x86_64")
    if not os.path.exists(Pc.ROM):
        t.skip("no ipxe-qemu (./dev deps test)")


def test_ipxe_boots_a_script_and_a_kernel(t):
    need_ipxe(t)
    kernel = x86_kernel(t)
    put(t, "boot.ipxe", IPXE.format(kernel=KERNEL).encode())
    shutil.copy(kernel, t.path("boot/all/vmlinuz"))
    net, daemon = serve(t)
    t.enter(Router(t, net))
    with t.enter(Pc(t, net, MAC)) as pc:
        pc.expect(rf"^SCRIPT-RUNS http://{ADDRESS}/boot/pi31/boot.ipxe", PATIENCE)
        pc.expect(r"^TFTP-DONE", PATIENCE)
        pc.expect(r"Linux version \d.*", PATIENCE)
        pc.expect(r"Command line: .*bramble.test=1", PATIENCE)
    files = sent(daemon)
    assert files == {"boot.ipxe": "http", KERNEL: "tftp", "vmlinuz": "http"}, files
    check_address(daemon)


# ---- UEFI ----------------------------------------------------------------------------------------


def need_uefi(t):
    t.need_program("qemu-system-aarch64")
    if not os.path.exists(Uefi.FIRMWARE):
        t.skip("no qemu-efi-aarch64 (./dev deps test)")


def uefi_boots_twice(t, net, daemon):
    """The program gives up, so that the firmware goes on from PXE to HTTP."""
    with t.enter(Uefi(t, net, MAC)) as machine:
        machine.expect(r"Start PXE over IPv4", PATIENCE)
        machine.expect(r"^PROGRAM-RUNS", PATIENCE)
        assert sent(daemon) == {EFI_FILE: "tftp"}, sent(daemon)
        machine.expect(rf"URI: http://{ADDRESS}/boot/pi31/{EFI_FILE}", PATIENCE)
        machine.expect(r"^PROGRAM-RUNS", PATIENCE)
    wait_until(lambda: sent(daemon) == {EFI_FILE: "http"}, 10, "HTTP's transfer is told")


def test_uefi_boots_by_pxe_and_by_http(t):
    need_uefi(t)
    put(t, EFI_FILE, efi.program("PROGRAM-RUNS", 200_000))
    net, daemon = serve(t)
    uefi_boots_twice(t, net, daemon)
    check_address(daemon)


# ---- beside another DHCP server ------------------------------------------------------------------


def serve_as_proxy(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    net = t.enter(Net())
    t.enter(Dnsmasq(t, net))
    daemon = t.enter(Daemon(t, net, "--overrides", t.path("boot"), image=small_image(t), dhcp="proxy"))
    daemon.cli("board", "add", "pi31", "--mac", MAC)
    return net, daemon


def check_gave_no_address(daemon):
    told = [e for e in daemon.jsonl("event", "list", "pi31") if e["type"] in ("dhcp.offer", "dhcp.ack")]
    assert told and not any("ip" in e["fields"] for e in told), told


def test_uefi_boots_by_pxe_and_by_http_beside_dnsmasq(t):
    need_uefi(t)
    put(t, EFI_FILE, efi.program("PROGRAM-RUNS", 200_000))
    net, daemon = serve_as_proxy(t)
    uefi_boots_twice(t, net, daemon)
    check_gave_no_address(daemon)


def test_ipxe_boots_a_script_beside_dnsmasq(t):
    need_ipxe(t)
    put(t, "boot.ipxe", f"#!ipxe\nimgfetch {KERNEL} && echo SCRIPT-DONE\n".encode())
    net, daemon = serve_as_proxy(t)
    t.enter(Router(t, net))
    with t.enter(Pc(t, net, MAC)) as pc:
        pc.expect(r"^SCRIPT-DONE", PATIENCE)
    wait_until(lambda: sent(daemon) == {"boot.ipxe": "http", KERNEL: "http"}, 10, "both transfers are told")
    check_gave_no_address(daemon)


def test_uboot_that_is_told_the_server_fetches_beside_dnsmasq(t):
    """It takes no offer that has no address, and so nothing from a proxy."""
    t.need_program("qemu-system-aarch64")
    binary = uboot_binary(t, "bookworm")
    os.makedirs(t.path("boot/all"))
    net, daemon = serve_as_proxy(t)
    with t.enter(UBoot(t, net, binary, MAC)) as u:
        u.run(f"setenv autoload no; dhcp; setenv serverip {ADDRESS}")
        assert u.variable("ipaddr").startswith("10.77.0.1"), u.variables
        u.run(f"tftpboot ${{loadaddr}} {KERNEL}")
        u.check(t.path(KERNEL))
    assert sent(daemon) == {KERNEL: "tftp"}, sent(daemon)      # known by the MAC of its requests
