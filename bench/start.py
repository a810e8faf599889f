#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# from start to the first DHCP answer, with 100 and 10,000 known boards, beside dnsmasq with as many dhcp-host lines
"""Measures how long a DHCP server needs from its start to its first answer.

    ./dev bench start [--known 100,10000] [--rounds 5] [--json FILE]

A known board asks every 2 ms, from before the server is started; the figure is the time from the start of the process
until it has an offer. bramble knows the boards from its database (each has a lease, and has booted before), and has an
image to serve; dnsmasq has a dhcp-host line for each. Kea is not here: it needs a second and more at any number.
"""
import argparse
import atexit
import json
import os
import shutil
import signal
import socket
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import dhcp
from dhcp import BRAMBLE, FIRST, LAST, PREFIX, SERVER, Files, Net, ip_text, mac_text, rom_discover, small_image, stop

MAC = 0xb827eb000000


def known_boards(n):
    first = struct.unpack("!I", socket.inet_aton(FIRST))[0]
    return [(MAC + i, first + i) for i in range(1, n + 1)]


class Bramble(dhcp.Server):
    def __init__(self, root, files, n, net):
        super().__init__(root, files)
        self.argv = [BRAMBLE, "serve", "small", "--state", root, "--interface", "eth0", "--address",
                     f"{SERVER}/{PREFIX}", "--dhcp", "full", "--range", f"{FIRST}-{LAST}", "--http-port", "0", "--log",
                     "error"]
        first, self.argv[2] = self.argv[2], files.image
        stop(self.start(net))  # the image is brought in and the database made by whom they belong to
        self.argv[2] = first
        db = sqlite3.connect(os.path.join(root, "bramble.db"))
        now, boards = int(time.time()), known_boards(n)
        db.executemany("INSERT INTO board(id, name, mac, adopted_at, seen_at, boots) VALUES(?, ?, ?, ?, ?, 1)",
                       ((i + 1, f"pi-{m & 0xffffff:06x}", m, now, now) for i, (m, _) in enumerate(boards)))
        db.executemany("INSERT INTO lease(mac, ip, board_id, given_at, expires_at) VALUES(?, ?, ?, ?, ?)",
                       ((m, ip, i + 1, now, now + 43200) for i, (m, ip) in enumerate(boards)))
        db.executemany("INSERT INTO event(seq, wall_ns, board_id, boot, type, fields) VALUES(?, ?, ?, 1, 'boot.start', ?)",
                       ((100 + i, now * 10**9, i + 1, '{"image":"small","disk":"volatile"}') for i in range(n)))
        db.commit()
        db.close()


class Dnsmasq(dhcp.Server):
    def __init__(self, root, files, n, net):
        super().__init__(root, files)
        hosts = os.path.join(root, "hosts.conf")
        with open(hosts, "w", encoding="ascii") as f:
            f.writelines(f"dhcp-host={mac_text(m)},{ip_text(ip)},pi-{m & 0xffffff:06x}\n" for m, ip in known_boards(n))
        os.chmod(hosts, 0o644)
        self.argv = ["dnsmasq", "--keep-in-foreground", f"--conf-file={hosts}", "--port=0", "--interface=eth0",
                     "--bind-interfaces", "--no-ping", f"--dhcp-range={FIRST},{LAST},255.252.0.0,12h",
                     f"--dhcp-leasefile={root}/leases", "--user=root", "--dhcp-authoritative", "--pid-file=",
                     "--log-facility=/dev/null"]


def first_answer(mac):
    """In the client's namespace: asks until there is an offer, and prints when that was (CLOCK_MONOTONIC)."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    s.bind(("eth0", 0))
    s.settimeout(0.002)
    frame = rom_discover(mac)
    print("asking", flush=True)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        s.send(frame)
        try:
            got = s.recv(2048)
        except TimeoutError:
            continue
        if len(got) > 290 and got[23] == 17 and got[34:36] == b"\0\x43" and got[42] == 2 and got[70:76] == mac:
            print(time.monotonic(), flush=True)
            return 0
    return 1


def measure(server, net, n):
    mac = struct.pack("!Q", MAC + n // 2)[2:]
    asker = subprocess.Popen(["ip", "netns", "exec", net.client, sys.executable, os.path.abspath(__file__), "--asker",
                              mac.hex()], stdout=subprocess.PIPE, text=True)
    asker.stdout.readline()
    started = time.monotonic()
    process = subprocess.Popen(["ip", "netns", "exec", net.server, *server.argv], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        line = asker.stdout.readline()
        if asker.wait() or not line:
            sys.exit(f"bench: {server.argv[0]} gave no answer within 30 s")
    finally:
        stop(process)
    return (float(line) - started) * 1e3


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench start")
    p.add_argument("--known", default="100,10000", help="numbers of known boards (default %(default)s)")
    p.add_argument("--rounds", type=int, default=5, help="measurements of each, of which the median counts")
    p.add_argument("--json", help="also write the figures to this file")
    p.add_argument("--asker", help=argparse.SUPPRESS)
    return p.parse_args()


def main():
    args = arguments()
    if args.asker:
        return first_answer(bytes.fromhex(args.asker))
    if os.geteuid():
        sys.exit("bench: needs root, for network namespaces: sudo ./dev bench start")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root = tempfile.mkdtemp(prefix="bramble-bench-start.")
    atexit.register(shutil.rmtree, root, True)
    os.chmod(root, 0o755)
    files, net, results = Files(root), Net(), []
    files.image = small_image(files)
    for n in (int(k) for k in args.known.split(",")):
        servers = {"bramble": Bramble, "dnsmasq": Dnsmasq}
        servers = {name: kind(dhcp.fresh(root, name), files, n, net) for name, kind in servers.items()}
        times = {name: [] for name in servers}
        for _ in range(args.rounds):
            for name, server in servers.items():
                times[name].append(measure(server, net, n))
        for name, t in times.items():
            results.append({"known": n, "server": name, "ms": statistics.median(t)})
            print(f"{n:>6} known boards: {name:<8} {statistics.median(t):7.1f} ms from start to the first offer "
                  f"(of {args.rounds}: {min(t):.1f} to {max(t):.1f})", flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(results, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
