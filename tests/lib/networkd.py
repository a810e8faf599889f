# SPDX-License-Identifier: Apache-2.0
"""The DHCP client of systemd-networkd: the program itself, on a client's eth0, in a mount namespace of its own."""
import os
import re
import subprocess

from systemtests import stop, wait_until

NETWORKD = "/lib/systemd/systemd-networkd"
NETWORK = """[Match]
Name=eth0
[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no
[DHCPv4]
UseDomains=yes
"""
# /run and /etc/systemd/network are its own: nothing of this system's networkd is seen or touched. No udev here: /sys
# read-only tells it so, as in a container.
INSIDE = """set -e
mount -t tmpfs none /run
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp /run/systemd/network
chown -R systemd-network: /run/systemd/netif
cp "$1" /run/systemd/network/
mount -o remount,ro /sys 2>/dev/null || mount -t sysfs -o ro none /sys
[ ! -d /etc/systemd/network ] || mount -t tmpfs none /etc/systemd/network
exec env SYSTEMD_LOG_LEVEL=debug "$2"
"""


class Networkd:
    """with Networkd(t, client, "name") as n: n.wait() is the address with its prefix length."""

    def __init__(self, t, client, name):
        t.need_program("unshare")
        if not os.path.exists(NETWORKD):
            t.skip("no systemd-networkd (./dev deps test)")
        self.t, self.client = t, client
        self.log_path = t.path(name + ".log")
        network = t.path("eth0.network")
        with open(network, "w") as f:
            f.write(NETWORK)
        os.chmod(network, 0o644)
        self.argv = client.exec("unshare", "-m", "sh", "-c", INSIDE, "sh", network, NETWORKD)

    def __enter__(self):
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.argv, env=self.t.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(self, *_):
        stop(self.process)

    def address(self):
        """What the kernel has on eth0, as networkd put it there; None before that."""
        r = self.t.run(*self.client.exec("ip", "-4", "addr", "show", "dev", "eth0"))
        m = re.search(r"inet (\S+) .*dynamic", r.stdout)
        return m and m[1]

    def wait(self):
        def state():
            assert self.process.poll() is None, f"networkd ended with status {self.process.returncode}"
            return self.address()
        return wait_until(state, 60, "networkd has an address")
