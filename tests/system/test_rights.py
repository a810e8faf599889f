# SPDX-License-Identifier: Apache-2.0
"""What is left of root, in every thread, however the daemon was started."""
import glob
import os

import netlab
from daemon import Daemon, daemon_pid
from netlab import Net
from systemtests import quick

NET_RAW = 1 << 13
NOBODY = 65534


def rights(pid):
    """Name and all rights of each thread; the first is the main one."""
    threads = []
    for path in sorted(glob.glob(f"/proc/{pid}/task/*/status"), key=lambda p: int(p.split("/")[4])):
        with open(path) as f:
            fields = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
        assert "0" not in fields["Uid"].split(), fields["Uid"]
        threads.append((path, int(fields["CapPrm"], 16) | int(fields["CapEff"], 16) | int(fields["CapAmb"], 16)))
    return threads


def check(t, net, daemon):
    daemon.cli("status")
    threads = rights(daemon_pid(t, net))
    assert len(threads) >= 6, threads
    assert threads[0][1] == NET_RAW, threads[0]
    more = [thread for thread in threads[1:] if thread[1]]
    assert not more, more


@quick
def test_of_root_only_the_dhcp_thread_keeps_a_right(t):
    t.need_root()
    net = t.enter(Net())
    check(t, net, t.enter(Daemon(t, net)))


@quick
def test_of_lent_rights_too(t):
    """As packaging/bramble.service starts it: 'prepare' as root, then User= and AmbientCapabilities=, and 'prepare --undo'."""
    t.need_root()
    t.need_program("setpriv")
    net = t.enter(Net("192.0.2.1/24"))      # not the daemon's address: that one is to be added
    daemon = Daemon(t, net)
    os.mkdir(daemon.state)
    os.chown(daemon.state, NOBODY, NOBODY)
    with open(t.path("bramble.conf"), "w") as f:
        f.write(f"[serve]\ninterface = br0\naddress = {netlab.CIDR}\n")
    prepare = net.exec("env", "RUNTIME_DIRECTORY=" + t.path(""), t.bramble, "prepare", "--config", t.path("bramble.conf"))
    t.run(*prepare)
    assert netlab.CIDR in t.run(*net.exec("ip", "-4", "addr", "show", "br0")).stdout
    t.run(*prepare)                 # a start after one that failed
    caps = "+net_raw,+net_bind_service"
    at = daemon.argv.index(t.bramble)
    daemon.argv[at:at] = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", f"--inh-caps={caps}",
                          f"--ambient-caps={caps}"]
    with daemon:
        check(t, net, daemon)
    t.run(*prepare, "--undo")
    assert netlab.CIDR not in t.run(*net.exec("ip", "-4", "addr", "show", "br0")).stdout
    t.run(*prepare, "--undo")
