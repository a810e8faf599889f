# SPDX-License-Identifier: Apache-2.0
"""Machines under QEMU that boot from the network by their own firmware: U-Boot, iPXE, UEFI."""
import itertools
import re
import subprocess
import sys
import zlib

from serial import Console
from systemtests import stop

_number = itertools.count()
PATIENCE = 300      # seconds; never asserted, only so that a hang ends


class Guest(Console):
    """QEMU in the namespace of net, with one card on a tap there and its serial port at our hands."""

    def __init__(self, t, net, name, argv, mac, card="virtio-net-pci", memory=512, rom=""):
        """rom: the card's option ROM; "" is none, None what QEMU takes by itself."""
        t.need_program(argv[0])
        tap = net.tap(f"tap{next(_number)}")
        device = f"{card},netdev=n0,mac={mac}" + ("" if rom is None else f",romfile={rom}")
        super().__init__(net.exec(*argv, "-m", str(memory), "-nodefaults", "-display", "none", "-no-reboot",
                                  "-monitor", "none", "-serial", "stdio",
                                  "-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no", "-device", device),
                         t.path(f"{name}.log"), env=t.env)


class UBoot(Guest):
    """Debian's U-Boot for QEMU's 'virt' (arm64), stopped at its prompt unless it is to go on by itself."""

    # virtio-net: 2023.01 has one MAC for all, compiled in (qemu notes 5); the e1000 has QEMU's
    def __init__(self, t, net, binary, mac, stop=True, card="e1000", memory=1024, more=()):
        """more: further words for QEMU."""
        super().__init__(t, net, "uboot", ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-bios", binary,
                                           *more], mac, card, memory)
        self.variables = {}     # as last seen
        _, m = self.expect(r"U-Boot (\d+\.\d\d)", PATIENCE)
        self.version = m[1]
        if stop:
            self.expect(r"Hit any key to stop autoboot", PATIENCE)
            self.send("\n")
            self.expect(r"^=> $", PATIENCE)

    def run(self, line, seconds=PATIENCE):
        """Types a command; what it printed. Raises when U-Boot says that it failed."""
        self.send(f"{line}; echo rc=$?\n")
        said, m = self.expect(r"^rc=(\d+)\n(?:.*\n)*=> $", seconds)
        assert m[1] == "0", f"U-Boot {self.version}: {line}: {said[-800:]}"
        return said.split("\n", 1)[-1]

    def variable(self, name):
        self.variables[name] = re.search(rf"^{name}=(.*)$", self.run(f"printenv {name}"), re.M)[1]
        return self.variables[name]

    def check(self, path):
        """What was loaded last, at ${loadaddr}, is this file."""
        with open(path, "rb") as f:
            content = f.read()
        assert int(self.variable("filesize"), 16) == len(content), f"{path}: {self.variable('filesize')}"
        said = self.run("crc32 ${loadaddr} ${filesize}")
        assert re.search(r"==> ([0-9a-f]{8})", said)[1] == f"{zlib.crc32(content):08x}", said


class Pc(Guest):
    """An x86-64 PC whose network card has iPXE in its ROM (Debian's ipxe-qemu)."""

    ROM = "/usr/lib/ipxe/qemu/efi-virtio.rom"     # what QEMU takes by itself; for BIOS, too

    def __init__(self, t, net, mac):
        # graphics=off: SeaBIOS, and so iPXE, print on the serial port
        super().__init__(t, net, "pc", ["qemu-system-x86_64", "-M", "q35,graphics=off", "-cpu", "max", "-boot", "n"],
                         mac, rom=None)


class Uefi(Guest):
    """An arm64 machine with EDK2 (Debian's qemu-efi-aarch64) and nothing to boot from but the network."""

    FIRMWARE = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"

    def __init__(self, t, net, mac):
        # PXE over IPv6 comes between the two of IPv4, and waits for a router
        super().__init__(t, net, "uefi", ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53",
                                          "-bios", self.FIRMWARE,
                                          "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no"],
                         mac, memory=1024)


ADVERTISE = """
import socket, struct, time
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"br0")
for _ in range(600):
    try:
        s.sendto(struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0), ("ff02::1", 0, 0, socket.if_nametoindex("br0")))
    except OSError:
        pass        # no link-local address yet
    time.sleep(1)
"""


class Router:
    """Says that there is no IPv6 router to be had here (RFC 4861 4.2, lifetime 0): iPXE waits 13 seconds for one."""

    def __init__(self, t, net):
        self.argv, self.process = net.exec(sys.executable, "-c", ADVERTISE), None

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        stop(self.process)
