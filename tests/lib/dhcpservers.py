# SPDX-License-Identifier: Apache-2.0
"""Other people's DHCP servers, each on a host of its own on the bridge: dnsmasq, ISC dhcpd, Kea.

Started from Debian's packages: dnsmasq as installed, the others unpacked into the cache and never installed,
since that would start them.
"""
import json
import os
import subprocess
import time

import debian
from systemtests import stop

ADDRESS = "10.77.0.2"
FIRST, LAST = "10.77.0.150", "10.77.0.199"


def rival(t, *packages):
    """Where the packages are unpacked, which is done once; skips where they cannot be had."""
    return debian.unpacked(t, *packages, into=os.path.join(debian.CACHE, "rivals"))


class Server:
    """with Dnsmasq(t, net): ... it serves ADDRESS/24 from FIRST to LAST, and names no boot server."""

    def __init__(self, t, net):
        self.t = t
        self.dir = t.path(f"{type(self).__name__.lower()}-{time.monotonic_ns()}")
        os.makedirs(self.dir)
        self.host = net.client("02:00:00:00:00:02")
        self.host.address(ADDRESS + "/24")
        self.log_path = os.path.join(self.dir, "server.log")
        self.env = dict(t.env)
        self.process = None

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def __enter__(self):
        argv = self.command()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.host.exec(*argv), env=self.env, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        end = time.monotonic() + 60
        while not self.bound():
            assert self.process.poll() is None, f"{argv[0]} ended: {self.log()[-1000:]}"
            assert time.monotonic() < end, f"{argv[0]} does not listen: {self.log()[-1000:]}"
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        if self.process:
            stop(self.process)

    def bound(self):
        """Port 67 is taken in the server's namespace, by UDP or (ISC, Kea) a packet socket."""
        r = subprocess.run(self.host.exec("cat", "/proc/net/udp", "/proc/net/packet"), text=True,
                           stdout=subprocess.PIPE)
        return ":0043 " in r.stdout

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()


class Dnsmasq(Server):
    def command(self):
        self.t.need_program("dnsmasq")
        return ["dnsmasq", "-d", "-C", "/dev/null", "--port=0", "--interface=eth0", "--bind-interfaces", "--no-ping",
                f"--dhcp-range={FIRST},{LAST},1h", f"--dhcp-leasefile={self.dir}/leases", "--log-dhcp",
                "--user=root", "--dhcp-authoritative"]


class Dhcpd(Server):
    def command(self):
        top = rival(self.t, "isc-dhcp-server")
        conf = self.file("dhcpd.conf", f"authoritative;\ndefault-lease-time 600;\nping-check false;\n"
                         f"subnet 10.77.0.0 netmask 255.255.255.0 {{ range {FIRST} {LAST}; }}\n")
        leases = self.file("dhcpd.leases", "")
        return [os.path.join(top, "usr/sbin/dhcpd"), "-4", "-f", "-d", "-cf", conf, "-lf", leases, "-pf",
                os.path.join(self.dir, "pid"), "-user", "root", "-group", "root", "eth0"]


class Kea(Server):
    def command(self):
        top = rival(self.t, "kea-common", "kea-dhcp4-server", "libmariadb3", "liblog4cplus-2.0.5")
        lib = os.path.join(top, "usr/lib/x86_64-linux-gnu")
        self.env.update(LD_LIBRARY_PATH=lib, KEA_PIDFILE_DIR=self.dir, KEA_LOCKFILE_DIR=self.dir)
        conf = self.file("kea.conf", json.dumps({"Dhcp4": {
            "interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "raw"},
            "lease-database": {"type": "memfile", "persist": False},
            "subnet4": [{"id": 1, "subnet": "10.77.0.0/24", "pools": [{"pool": f"{FIRST} - {LAST}"}]}],
            "loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}]}}))
        return [os.path.join(top, "usr/sbin/kea-dhcp4"), "-c", conf]


ALL = (Dnsmasq, Dhcpd, Kea)
