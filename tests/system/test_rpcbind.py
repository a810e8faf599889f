# SPDX-License-Identifier: Apache-2.0
"""Beside the rpcbind of the machine: bramble tells it where NFS and MOUNT are, and takes that back."""
import subprocess

from daemon import Daemon
from images import small_image
from netlab import ADDRESS, Net
from systemtests import quick, stop, wait_until

MAC = "b8:27:eb:00:00:31"


class Rpcbind:
    """Debian's, in the network of the test and with a /run of its own."""

    def __init__(self, net):
        self.argv = net.exec("unshare", "-m", "sh", "-c", "mount -t tmpfs none /run && exec rpcbind -f -h " + ADDRESS)

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        stop(self.process, 10)


def programs(t, client):
    """What the port mapper at the server's address has of NFS and MOUNT: {(program, version, protocol): port}"""
    r = t.run(*client.exec("rpcinfo", "-p", ADDRESS), check=False)
    rows = [line.split() for line in r.stdout.splitlines()[1:]]
    return {(int(w[0]), int(w[1]), w[2]): int(w[3]) for w in rows if w[0] in ("100003", "100005")}


@quick
def test_rpcbind_is_told_of_us(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "rpcbind", "rpcinfo", "nfs-ls")
    net = t.enter(Net())
    client = net.client(mac=MAC)
    client.address("10.77.0.9/24")
    t.enter(Rpcbind(net))
    wait_until(lambda: not t.run(*client.exec("rpcinfo", "-p", ADDRESS), check=False).returncode, 20, "rpcbind answers")
    daemon = Daemon(t, net, image=small_image(t))
    expected = {(100003, 3, "tcp"): 2049, (100005, 3, "tcp"): 20048, (100005, 3, "udp"): 20048,
                (100005, 1, "tcp"): 20048, (100005, 1, "udp"): 20048}
    with daemon as d:
        assert programs(t, client) == expected, programs(t, client)
        d.cli("board", "add", "pi31", "--mac", MAC)
        r = t.run(*client.exec("nfs-ls", f"nfs://{ADDRESS}/pi31?version=3"))
        assert "etc" in r.stdout, r.stdout
    assert programs(t, client) == {}, programs(t, client)

    # what a crash leaves there is taken over
    with daemon as d:
        d.process.kill()
        d.process.wait()
        assert programs(t, client) == expected
        d.start()
        assert programs(t, client) == expected
    assert programs(t, client) == {}, programs(t, client)
