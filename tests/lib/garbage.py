# SPDX-License-Identifier: Apache-2.0
"""garbage.py SERVER: bounded nonsense to every port of the server; run in a client's namespace."""
import random
import socket
import struct
import sys


def main(server):
    rng = random.Random(7)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    rrq = b"\x00\x01config.txt\x00octet\x00"
    samples = [b"", b"\x00", rrq[:-1], rrq + b"blksize\x00", rrq + b"blksize\x0099999999999\x00tsize\x00-1\x00",
               b"\x00\x03\x00\x01" + bytes(600), b"\x00\x04\xff\xff", b"\x00\x05", bytes(240) + b"\x63\x82\x53\x63\x35",
               b"\x01\x01\x06\x00" + bytes(232) + b"\x63\x82\x53\x63" + b"\x35\xff\x01",
               struct.pack(">6I", 1, 0, 2, 100000, 2, 3) + b"\xff" * 40]
    for port in (67, 69, 111, 2049, 20048):
        for s in samples:
            udp.sendto(s, (server, port))
        for _ in range(200):
            udp.sendto(rng.randbytes(rng.randrange(0, 1400)), (server, port))
    for port in (111, 2049, 20048):
        for s in (b"\x80\x00\x00\x04abcd", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", rng.randbytes(3000),
                  b"\x80\x00\x00\x28" + struct.pack(">10I", 1, 0, 2, 100003, 3, 1, 1, 0xffffff, 0, 0)):
            try:
                with socket.create_connection((server, port), timeout=5) as c:
                    c.sendall(s)
                    c.shutdown(socket.SHUT_WR)
                    c.settimeout(2)
                    c.recv(1000)
            except OSError:
                pass


if __name__ == "__main__":
    main(sys.argv[1])
