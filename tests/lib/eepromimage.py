# SPDX-License-Identifier: Apache-2.0
"""EEPROM images of BCM2711 out of nothing, in the form of the stock ones."""
import struct

CONFIG = b"# kept\n[all]\nBOOT_UART=1\nBOOT_ORDER=0xf21\n\n[cm4]\nBOOT_UART=0\n"


def image(built=1786493216, config=CONFIG):
    """An image of BCM2711 in the form of the stock ones."""
    data = bytearray(b"\xff" * (512 << 10))
    at = 0

    def section(magic, name, content):
        nonlocal at
        head = name.ljust(12, b"\0") + bytes(4) if name else b""
        data[at:at + 8 + len(head) + len(content)] = struct.pack(">II", magic, len(head) + len(content)) + head + content
        at = (at + 8 + len(head) + len(content) + 7) & ~7

    def pad(to):
        section(0x55aafeef, b"", b"\xff" * (to - at - 8))

    code = b"VERSION:0123abcd\0BUILD_TIMESTAMP=%d\0" % built
    code = code.ljust(9000 - 284, b"\0") + struct.pack("<II", 9000 - 284, 1) + bytes(276)
    section(0x55aaf00f, b"", code)
    pad(0x12000)
    section(0x55aaf44f, b"bootmain", b"m" * 999)
    section(0x55aaf44f, b"memsys00.bin", b"s" * 222)
    for name, size in ((b"pubkey.bin", 512), (b"cacert.der", 2048), (b"bootconf.sig", 1024)):
        section(0x55aaf11f, name, bytes(size))
        pad((at + 8 + 255) & ~255)
    section(0x55aaf11f, b"bootconf.txt", config)
    return bytes(data)


def recovery():
    """Of BCM2711: what ends with a block of 284 bytes."""
    return bytes(4000) + struct.pack("<II", 4000, 1) + bytes(276)
