# SPDX-License-Identifier: Apache-2.0
"""The boards' interface goes away and comes back: a USB adapter that was pulled, a bridge made anew."""
import subprocess

from daemon import Daemon, daemon_pid
from images import small_image
from netlab import CIDR, Net
from systemtests import quick, wait_until


def ip(net, *argv):
    subprocess.run(["ip", "-n", net.name, *argv], check=True)


@quick
def test_an_interface_made_anew_is_served_again(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "busybox")
    image = small_image(t)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, image=image))

    def boots(serial):
        t.run(*net.exec(t.bramble, "sim", "--model", "4", "--serial", serial, "--interface", "br0", "--speed", "0",
                        "--check-image", image), timeout=120)

    boots("1000ba01")
    for n in range(2):
        ip(net, "link", "del", "br0")
        ip(net, "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
        ip(net, "link", "set", "br0", "up")
        ip(net, "addr", "add", CIDR, "dev", "br0")
        wait_until(lambda: daemon.log().count("br0 is back") == n + 1, 20, "the daemon follows the interface")
        boots(f"1000ba1{n}")
        # heard, too: what why knows of it comes off the wire
        r = daemon.cli("why", f"pi-1000ba1{n}", check=False)
        assert "asked" in r.stdout.lower() or "kernel" in r.stdout.lower(), r.stdout
    # an ordinary client, whose requests come by UDP
    client = net.client("02:00:00:00:00:77")
    r = t.run(*client.exec("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-s", "/bin/true"))
    assert "lease of 10.77.0." in r.stderr + r.stdout, r.stderr

    status = open(f"/proc/{daemon_pid(t, net)}/status").read()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split()[0] != "0", fields["Uid"]
    assert int(fields["CapPrm"], 16) == 1 << 13, fields["CapPrm"]   # CAP_NET_RAW and nothing else
