# SPDX-License-Identifier: Apache-2.0
"""A relay's worth of DHCP clients: dhcpload.py OUR_IP SERVER_IP FILE. Each takes an address in four messages; a line
"MAC IP" is written to FILE for every ACK that arrived. Ends when nothing comes for a second."""
import socket
import struct
import sys

WINDOW = 64         # clients under way at once
COOKIE = b"\x63\x82\x53\x63"


def message(ours, number, options):
    mac = b"\x02\x00" + struct.pack("!I", number)
    return (struct.pack("!BBBBIHH", 1, 1, 6, 1, number, 0, 0) + bytes(12) + socket.inet_aton(ours) + mac + bytes(202) +
            COOKIE + options + b"\xff" + bytes(40))


def main():
    ours, server, path = sys.argv[1:4]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.bind((ours, 67))
    s.connect((server, 67))
    s.settimeout(1)
    begun = 0
    with open(path, "w", buffering=1, encoding="ascii") as out:
        while True:
            while begun < WINDOW:
                begun += 1
                s.send(message(ours, begun, b"\x35\x01\x01"))
            try:
                got = s.recv(2048)
            except (TimeoutError, ConnectionError):
                return
            number, ip = struct.unpack("!I", got[4:8])[0], got[16:20]
            kind = got[240:][got[240:].index(b"\x35\x01") + 2]
            if kind == 2:
                s.send(message(ours, number, b"\x35\x01\x03\x32\x04" + ip + b"\x36\x04" + socket.inet_aton(server)))
            elif kind == 5:
                out.write(f"{got[28:34].hex()} {struct.unpack('!I', ip)[0]}\n")
                begun += 1
                s.send(message(ours, begun, b"\x35\x01\x01"))


if __name__ == "__main__":
    main()
