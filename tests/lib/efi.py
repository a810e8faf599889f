# SPDX-License-Identifier: Apache-2.0
"""A program for UEFI on arm64, made by hand: it prints one line and gives up, so that the firmware tries what is next."""
import struct

# int main(image in x0, struct efi_system_table *st in x1); the text follows the code
CODE = (
    0xa9bf7bfd,     # stp x29, x30, [sp, #-16]!
    0xf9402020,     # ldr x0, [x1, #64]         st->con_out
    0xf9400402,     # ldr x2, [x0, #8]          ->output_string
    0x100000c1,     # adr x1, text              24 bytes on
    0xd63f0040,     # blr x2
    0xd28002a0,     # mov x0, #21               EFI_ABORTED
    0xf2f00000,     # movk x0, #0x8000, lsl #48
    0xa8c17bfd,     # ldp x29, x30, [sp], #16
    0xd65f03c0,     # ret
)
PAGE = 0x1000


def program(line, size=PAGE):
    """The bytes of the .efi file; size: of its one section, at least, so that it can be made long."""
    text = ("\r\n" + line + "\r\n").encode("utf-16-le") + b"\0\0"
    section = (struct.pack(f"<{len(CODE)}I", *CODE) + text)
    section = section.ljust(max(size, len(section)) + -size % PAGE, b"\0")
    dos = b"MZ".ljust(0x3c, b"\0") + struct.pack("<I", 0x40)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0xaa64, 1, 0, 0, 0, 0xf0, 0x22)
    optional = struct.pack("<HBBIIIII", 0x20b, 0, 0, len(section), 0, 0, PAGE, PAGE)        # entry, base of code
    optional += struct.pack("<QIIHHHHHHIIIIHHQQQQII", 0, PAGE, 0x200, 0, 0, 0, 0, 0, 0, 0, PAGE + len(section), 0x200, 0,
                            10, 0, 0, 0, 0, 0, 0, 16)       # subsystem 10: an EFI application; 16 directories
    optional += bytes(16 * 8)
    header = struct.pack("<8sIIIIIIHHI", b".text", len(section), PAGE, len(section), 0x200, 0, 0, 0, 0, 0x60000020)
    return (dos + coff + optional + header).ljust(0x200, b"\0") + section
