# SPDX-License-Identifier: Apache-2.0
"""A private network: a namespace with a bridge br0, and more namespaces on it. No uplink anywhere."""
import itertools
import os
import subprocess

_number = itertools.count()
ADDRESS = "10.77.0.1"
CIDR = ADDRESS + "/24"


def _ip(*argv):
    r = subprocess.run(["ip", *argv], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if r.returncode:
        raise OSError(f"ip {' '.join(argv)}: {r.stderr.strip()}")


class Net:
    """with Net() as net: net.name is the server's namespace; net.client() makes one more host on br0."""

    def __init__(self, cidr=CIDR):
        self.name = f"br-test-{os.getpid()}-{next(_number)}"
        self.cidr = cidr
        self.clients = []

    def __enter__(self):
        _ip("netns", "add", self.name)
        try:
            _ip("-n", self.name, "link", "set", "lo", "up")
            _ip("-n", self.name, "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
            _ip("-n", self.name, "addr", "add", self.cidr, "dev", "br0")
            _ip("-n", self.name, "link", "set", "br0", "up")
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in [*self.clients, self.name]:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)

    def exec(self, *argv):
        """The command line that runs argv beside the server."""
        return ["ip", "netns", "exec", self.name, *argv]

    def tap(self, name):
        _ip("netns", "exec", self.name, "ip", "tuntap", "add", "dev", name, "mode", "tap")
        _ip("-n", self.name, "link", "set", name, "master", "br0", "up")
        return name

    def client(self, mac=None):
        """A host of its own on the bridge, eth0 up and without an address. Returns a Client."""
        n = len(self.clients)
        name = f"{self.name}-c{n}"
        _ip("netns", "add", name)
        self.clients.append(name)
        port = f"port{n}"
        _ip("-n", self.name, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        if mac:
            _ip("-n", name, "link", "set", "eth0", "address", mac)
        _ip("-n", self.name, "link", "set", port, "master", "br0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "set", "eth0", "up")
        return Client(name)


class Client:
    def __init__(self, name):
        self.name = name

    def exec(self, *argv):
        return ["ip", "netns", "exec", self.name, *argv]

    def address(self, cidr):
        _ip("-n", self.name, "addr", "replace", cidr, "dev", "eth0")
