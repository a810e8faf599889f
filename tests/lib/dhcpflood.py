# SPDX-License-Identifier: Apache-2.0
"""DISCOVERs of 20000 made-up MACs on eth0, no faster than the socket takes them."""
import random
import socket


def main():
    rng = random.Random(5)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind(("eth0", 0))
    for _ in range(20000):
        mac = b"\x02" + rng.randbytes(5)
        bootp = bytes((1, 1, 6, 0)) + rng.randbytes(4) + bytes(20) + mac + bytes(10 + 192) + bytes.fromhex("63825363350101ff")
        bootp += bytes(300 - len(bootp))
        udp = bytes((0, 68, 0, 67)) + (8 + len(bootp)).to_bytes(2, "big") + bytes(2) + bootp
        ip = bytearray(bytes((0x45, 0)) + (20 + len(udp)).to_bytes(2, "big") + bytes(4) + bytes((64, 17, 0, 0)) + bytes(4) +
                       b"\xff" * 4)
        total = sum(int.from_bytes(ip[i:i + 2], "big") for i in range(0, 20, 2))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        ip[10:12] = (~total & 0xffff).to_bytes(2, "big")
        s.send(b"\xff" * 6 + mac + b"\x08\x00" + bytes(ip) + udp)


if __name__ == "__main__":
    main()
