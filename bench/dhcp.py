#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# DHCP beside Kea and dnsmasq: exchanges per second by perfdhcp, with 0 and 50,000 leases stored; 1000 new boards at once
"""Measures DHCP servers one after another, in rounds, so that a noisy moment hits all of them.

    ./dev bench dhcp [--stored 0,50000] [--rounds 2] [--seconds 2] [--boards 1000] [--only NAME,...] [--json FILE]

A server and perfdhcp (of Kea) sit on the two ends of a veth pair, each in a network namespace of its own. perfdhcp offers
more and more four-way exchanges per second, from new MACs all the time, until the server completes less than 95 % of them;
the figure is the highest rate that was completed. Kea: memfile, persistent, multi-threaded. dnsmasq: lease file.
bramble: its database, synced before every ACK. Kea and dnsmasq write their files without a sync.

The last table: boards that nobody knows ask all at once, each a single time, as the ROM of a Pi 3 does: how many get
an offer. For bramble that is a board taken in, its keys made, its address and its boot stored, for each.
"""
import argparse
import atexit
import json
import os
import re
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

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "tests", "lib")]
from images import small_image                  # noqa: E402
from tftp import environment, say, stop, unpack     # noqa: E402

BRAMBLE = os.environ.get("BRAMBLE", os.path.join(os.path.dirname(HERE), "build-bench", "bramble"))
SERVER, CLIENT, PREFIX = "10.76.0.1", "10.79.255.250", 14
FIRST, LAST = "10.76.1.0", "10.79.250.255"
RATES = (250, 500, 1000, 2000, 3000, 4000, 6000, 8000, 11000, 15000, 20000, 27000, 36000)
KEA_LIBRARIES = ("kea-common", "libmariadb3", "liblog4cplus-2.0.5")


class Files:
    """What tests/lib/images.py wants of a test."""

    def __init__(self, root):
        self.root = root

    def path(self, name):
        return os.path.join(self.root, name)

    def run(self, *argv, **keywords):
        return subprocess.run(argv, check=True, text=True, capture_output=True, **keywords)


class Net:
    """Two namespaces with a wire between them; removed at exit."""

    def __init__(self):
        self.server, self.client = (f"br-dhcpbench-{os.getpid()}-{n}" for n in "sc")
        atexit.register(self.remove)
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "link", "add", "eth0", "netns", self.server, "type", "veth", "peer", "name", "eth0",
                        "netns", self.client], check=True)
        for name, address in ((self.server, SERVER), (self.client, CLIENT)):
            for words in (["address", "add", f"{address}/{PREFIX}", "dev", "eth0"], ["link", "set", "eth0", "up"],
                          ["link", "set", "lo", "up"]):
                subprocess.run(["ip", "-n", name, *words], check=True)

    def remove(self):
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)


def stored_leases(n):
    """(MAC as a number, address as a number) of clients that were here before; perfdhcp's have another prefix."""
    first = struct.unpack("!I", socket.inet_aton(FIRST))[0]
    return ((0x020000000000 + i, first + i) for i in range(n))


def mac_text(mac):
    return ":".join(f"{mac >> s & 255:02x}" for s in range(40, -1, -8))


def ip_text(ip):
    return socket.inet_ntoa(struct.pack("!I", ip))


class Server:
    argv = None

    def __init__(self, root, files):
        self.dir, self.files, self.env = root, files, environment()

    def start(self, net):
        with open(os.path.join(self.dir, "log"), "wb") as log:
            process = subprocess.Popen(["ip", "netns", "exec", net.server, *self.argv], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, env=self.env, start_new_session=True)
        end = time.monotonic() + 30
        while not self.listens(net):
            if process.poll() is not None or time.monotonic() > end:
                with open(os.path.join(self.dir, "log"), errors="replace") as f:
                    sys.exit(f"bench: {self.argv[0]} does not listen: {f.read()[-800:]}")
            time.sleep(0.02)
        return process

    def listens(self, net):
        r = subprocess.run(["ip", "netns", "exec", net.server, "cat", "/proc/net/udp"], text=True, capture_output=True)
        return ":0043 " in r.stdout


class Bramble(Server):
    def __init__(self, root, files, stored, net):
        super().__init__(root, files)
        self.argv = [BRAMBLE, "serve", files.image, "--state", root, "--interface", "eth0", "--address",
                     f"{SERVER}/{PREFIX}", "--dhcp", "full", "--range", f"{FIRST}-{LAST}", "--http-port", "0",
                     "--boots-at-once", "unlimited", "--log", "error"]
        stop(self.start(net))  # the database is made by whom it belongs to
        db = sqlite3.connect(os.path.join(root, "bramble.db"))
        now = int(time.time())
        db.executemany("INSERT INTO lease(mac, ip, given_at, expires_at) VALUES(?, ?, ?, ?)",
                       ((m, ip, now, now + 43200) for m, ip in stored_leases(stored)))
        db.commit()
        db.close()


class Dnsmasq(Server):
    def __init__(self, root, files, stored, net):
        super().__init__(root, files)
        leases = os.path.join(root, "leases")
        with open(leases, "w", encoding="ascii") as f:
            f.writelines(f"{int(time.time()) + 43200} {mac_text(m)} {ip_text(ip)} * *\n" for m, ip in stored_leases(stored))
        self.argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=eth0",
                     "--bind-interfaces", "--no-ping", f"--dhcp-range={FIRST},{LAST},255.252.0.0,12h",
                     f"--dhcp-leasefile={leases}", "--dhcp-lease-max=1000000", "--user=root", "--dhcp-authoritative",
                     "--pid-file=", "--quiet-dhcp", "--log-facility=/dev/null"]


class Kea(Server):
    def __init__(self, root, files, stored, net):
        super().__init__(root, files)
        leases = os.path.join(root, "kea-leases4.csv")
        with open(leases, "w", encoding="ascii") as f:
            f.write("address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n")
            f.writelines(f"{ip_text(ip)},{mac_text(m)},,43200,{int(time.time()) + 43200},1,0,0,,0,\n"
                         for m, ip in stored_leases(stored))
        conf = os.path.join(root, "kea.conf")
        with open(conf, "w", encoding="ascii") as f:
            json.dump({"Dhcp4": {
                "interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": files.kea_socket},
                "multi-threading": {"enable-multi-threading": True, "thread-pool-size": os.cpu_count(),
                                    "packet-queue-size": 1024},
                "lease-database": {"type": "memfile", "persist": True, "name": leases, "lfc-interval": 0},
                "valid-lifetime": 43200,
                "subnet4": [{"id": 1, "subnet": f"10.76.0.0/{PREFIX}", "pools": [{"pool": f"{FIRST} - {LAST}"}]}],
                "loggers": [{"name": "kea-dhcp4", "severity": "ERROR", "output_options": [{"output": "stdout"}]}]}}, f)
        self.env.update(KEA_PIDFILE_DIR=root, KEA_LOCKFILE_DIR=root)
        self.argv = [files.kea, "-c", conf]


def offered(net, files, rate, seconds, seed):
    """One run of perfdhcp: exchanges completed per second, and how many of those begun."""
    r = subprocess.run(["ip", "netns", "exec", net.client, files.perfdhcp, "-4", "-r", str(rate), "-R", "2000000", "-b",
                        f"mac=00:0c:{seed:02x}:00:00:00", "-p", str(seconds), "-W", "500000", "-l", CLIENT, SERVER],
                       text=True, capture_output=True, env=environment(), timeout=60)
    sent = re.findall(r"sent packets: (\d+)", r.stdout)
    got = re.findall(r"received packets: (\d+)", r.stdout)
    if len(sent) < 2:
        sys.exit(f"bench: perfdhcp: {(r.stderr or r.stdout).strip()[-300:]}")
    return int(got[1]) / seconds, int(got[1]) / max(1, int(sent[0]))


def cpu_of(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def capacity(server, net, files, seconds):
    """The highest rate completed, and CPU milliseconds per exchange at that rate."""
    process, best = server.start(net), (0.0, 0.0)
    try:
        for i, rate in enumerate(RATES):
            before = cpu_of(process)
            done, share = offered(net, files, rate, seconds, i + 1)
            if done > best[0]:
                best = done, (cpu_of(process) - before) / (done * seconds) * 1e3
            if share < 0.95:
                break
    finally:
        stop(process)
    return best


def rom_discover(mac):
    """As the mask ROM of a Pi 3 asks (RFC 951 header, its options); Ethernet and all."""
    options = (b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\x37\x0c" + bytes([43, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135, 66]) +
               b"\x5d\x02\0\0" + b"\x5e\x03\x01\x02\x01" + b"\x61\x11\0" + b"\x44" * 16 +
               b"\x3c\x20PXEClient:Arch:00000:UNDI:002001" + b"\xff")
    bootp = struct.pack("!BBBBIHHIIII", 1, 1, 6, 0, 0x26f30339, 0, 0, 0, 0, 0, 0) + mac + bytes(202) + options
    udp = struct.pack("!HHHH", 68, 67, 8 + len(bootp), 0) + bootp
    head = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, 0, 0xffffffff)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xffff) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + head[12:]
    return b"\xff" * 6 + mac + b"\x08\0" + head + udp


def ask_at_once(boards, seconds):
    """In the client's namespace: one DISCOVER of each board, as fast as they leave. Prints offers and times as JSON."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUFFORCE if hasattr(socket, "SO_RCVBUFFORCE") else 33, 32 << 20)
    s.bind(("eth0", 0))
    macs = [b"\xb8\x27\xeb" + struct.pack("!I", i + 1)[1:] for i in range(boards)]
    frames = [rom_discover(m) for m in macs]
    started, times = time.monotonic(), {}
    for f in frames:
        s.send(f)
    sent = time.monotonic() - started
    while len(times) < boards and time.monotonic() - started < seconds:
        s.settimeout(max(0.01, started + seconds - time.monotonic()))
        try:
            frame = s.recv(2048)
        except TimeoutError:
            break
        if len(frame) > 290 and frame[23] == 17 and frame[34:36] == b"\0\x43" and frame[42] == 2:
            times.setdefault(frame[70:76], time.monotonic() - started)
    known = [t for m, t in times.items() if m in set(macs)]
    json.dump({"offers": len(known), "sent_s": sent, "last_s": max(known, default=0)}, sys.stdout)


def storm(server, net, boards):
    process = server.start(net)
    try:
        time.sleep(0.3)
        r = subprocess.run(["ip", "netns", "exec", net.client, sys.executable, os.path.abspath(__file__),
                            "--ask-at-once", str(boards)], text=True, capture_output=True, timeout=60, check=True)
    finally:
        stop(process)
    return json.loads(r.stdout)


def table(results, stored, names):
    out = [f"{'stored':>7}  {'server':<10} {'exchanges/s':>11} {'CPU ms each':>12}   bramble is"]
    for n in stored:
        ours = results.get((n, "bramble"))
        for name in names:
            got = results.get((n, name))
            ratio = f"{ours[0] / got[0]:.1f} x as fast" if name != "bramble" and ours and got[0] else ""
            out.append(f"{n:>7}  {name:<10} {got[0]:>11.0f} {got[1]:>12.3f}   {ratio}")
    return "\n".join(out)


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench dhcp")
    p.add_argument("--stored", default="0,50000", help="leases stored before (default %(default)s)")
    p.add_argument("--rounds", type=int, default=2, help="measurements of each, of which the best counts")
    p.add_argument("--seconds", type=int, default=2, help="of each rate")
    p.add_argument("--boards", type=int, default=1000, help="new boards that ask at once; 0: leave that out")
    p.add_argument("--only", help="names of servers, separated by commas")
    p.add_argument("--json", help="also write the figures to this file")
    p.add_argument("--ask-at-once", type=int, help=argparse.SUPPRESS)
    return p.parse_args()


def enter(root, only):
    """Which servers take part; the rivals' programs are fetched."""
    files = Files(root)
    files.image = small_image(files)
    files.kea_socket = "udp"
    files.perfdhcp = unpack("kea-admin", "/usr/sbin/perfdhcp", KEA_LIBRARIES)
    files.kea = unpack("kea-dhcp4-server", "/usr/sbin/kea-dhcp4", KEA_LIBRARIES)
    if not files.perfdhcp:
        sys.exit("bench: perfdhcp (package kea-admin) cannot be had")
    servers = {"bramble": Bramble}
    if files.kea:
        servers["Kea"] = Kea
    if shutil.which("dnsmasq"):
        servers["dnsmasq"] = Dnsmasq
    return files, {k: v for k, v in servers.items() if not only or k in only.split(",")}


def fresh(root, name):
    path = tempfile.mkdtemp(prefix=f"{name}.", dir=root)
    os.chmod(path, 0o755)
    return path


def main():
    args = arguments()
    if args.ask_at_once:
        return ask_at_once(args.ask_at_once, 20)
    if os.geteuid():
        sys.exit("bench: needs root, for network namespaces: sudo ./dev bench dhcp")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    root = tempfile.mkdtemp(prefix="bramble-bench-dhcp.")
    atexit.register(shutil.rmtree, root, True)
    os.chmod(root, 0o755)
    files, servers = enter(root, args.only)
    net, results = Net(), {}
    stored = [int(n) for n in args.stored.split(",")]
    for round_ in range(args.rounds):
        for n in stored:
            for name, kind in servers.items():
                got = capacity(kind(fresh(root, name), files, n, net), net, files, args.seconds)
                say(f"round {round_ + 1}: {n} stored, {name:<10} {got[0]:7.0f} exchanges/s, {got[1]:.3f} ms CPU each")
                results[n, name] = max(results.get((n, name), got), got)
    print(f"DHCP, four-way exchanges by perfdhcp over a veth pair, new clients, {os.cpu_count()} processors, best of "
          f"{args.rounds}")
    print(table(results, stored, servers))
    files.kea_socket = "raw"
    storms = {name: storm(kind(fresh(root, name), files, 0, net), net, args.boards)
              for name, kind in servers.items() if args.boards}
    for name, got in storms.items():
        print(f"{args.boards} new boards within {got['sent_s']:.2f} s: {name:<10} {got['offers']:>5} offers, the last "
              f"after {got['last_s']:.2f} s")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"exchanges": [{"stored": n, "server": s, "result": v} for (n, s), v in results.items()],
                       "storm": storms}, f, indent=1)
    lost = "bramble" in storms and storms["bramble"]["offers"] < args.boards
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
