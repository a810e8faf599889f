# SPDX-License-Identifier: Apache-2.0
"""EEPROM images out of nothing, in the form of the stock ones."""
import struct

CONFIG = b"# kept\n[all]\nBOOT_UART=1\nBOOT_ORDER=0xf21\n\n[cm4]\nBOOT_UART=0\n"


class Writer:
    """Sections one behind the other."""

    def __init__(self, size):
        self.data, self.at = bytearray(b"\xff" * size), 0

    def section(self, magic, name, content):
        head = name.ljust(12, b"\0") + bytes(4) if name else b""
        whole = struct.pack(">II", magic, len(head) + len(content)) + head + content
        self.data[self.at:self.at + len(whole)] = whole
        self.at = (self.at + len(whole) + 7) & ~7

    def pad(self, to):
        self.section(0x55aafeef, b"", b"\xff" * (to - self.at - 8))

    def places(self, config):
        for name, size in ((b"pubkey.bin", 512), (b"cacert.der", 2048), (b"bootconf.sig", 1024)):
            self.section(0x55aaf11f, name, bytes(size))
            self.pad((self.at + 8 + 255) & ~255)
        self.section(0x55aaf11f, b"bootconf.txt", config)


def image(built=1786493216, config=CONFIG):
    """One of BCM2711."""
    w = Writer(512 << 10)
    code = b"VERSION:0123abcd\0BUILD_TIMESTAMP=%d\0" % built
    w.section(0x55aaf00f, b"", code.ljust(9000 - 284, b"\0") + struct.pack("<II", 9000 - 284, 1) + bytes(276))
    w.pad(0x12000)
    w.section(0x55aaf44f, b"bootmain", b"m" * 999)
    w.section(0x55aaf44f, b"memsys00.bin", b"s" * 222)
    w.places(config)
    return bytes(w.data)


def image_ab(config=CONFIG):
    """The frame of one of BCM2712 with two partitions; its code is nobody's."""
    w = Writer(2 << 20)
    w.section(0x55aaf00f, b"", b"BUILD_TIMESTAMP=1786493216\0".ljust(20000, b"\0"))
    w.pad(0x10000)
    w.section(0x55aaf11f, b"bootsys", bytes(30000))
    w.section(0x55aaf44f, b"bootmain", b"m" * 999)
    w.section(0x55aaf44f, b"memsys00.bin", b"s" * 222)
    w.places(config)
    w.pad(0x107000)
    w.pad(0x1fe000)
    return bytes(w.data)


def recovery():
    """Of BCM2711: what ends with a block of 284 bytes."""
    return bytes(4000) + struct.pack("<II", 4000, 1) + bytes(276)
