# SPDX-License-Identifier: Apache-2.0
"""bramble import --apply: through a daemon, all or nothing at first, repeatable."""
import os

from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import TOP, quick

GUIDE = os.path.join(TOP, "tests/import/guide")


@quick
def test_a_set_up_moves_in(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    net = t.enter(Net())
    boot = t.path("boot")
    with Daemon(t, net, "--overrides", boot, image=small_image(t)) as d:
        # a share of a directory that is not here stops all of it, before the first change
        r = d.cli("import", GUIDE, "--apply", "--overrides", boot, check=False)
        assert r.returncode == 1 and "copy it here first" in r.stderr and "nothing was changed" in r.stderr, r
        assert d.json("board", "list") == []
        files = [os.path.join(GUIDE, "etc/dnsmasq.conf"), os.path.join(GUIDE, "etc/hosts"), os.path.join(GUIDE, "srv")]
        apply = ("import", *files, "--root", GUIDE, "--apply", "--overrides", boot)
        r = d.cli(*apply)
        assert "made board pi-a" in r.stdout, r.stdout
        boards = {b["name"]: b for b in d.json("board", "list")}
        assert boards["pi-a"]["mac"] == "dc:a6:32:01:02:03" and boards["pi-a"]["fixed_address"] == "192.168.1.61"
        assert boards["pi-b"]["serial"] == "5b1c0e7f" and set(boards) == {"pi-a", "pi-b", "pi-9f00aa11"}
        with open(boot + "/pi-b/config.txt") as f:
            assert "hifiberry" in f.read()
        shown = d.json("board", "show", "pi-a")[0]["plan"]
        with open(boot + "/pi-a/cmdline.txt") as f:
            line = f.read()
        assert "isolcpus=3" in line and "nfsroot=" in line and shown["cmdline"].split()[0] in line
        # again: nothing to do; after a change by hand: only that
        r = d.cli(*apply)
        assert r.stdout.rstrip().splitlines()[-1].startswith("0 done"), r.stdout
        d.cli("board", "edit", "pi-a", "--address", "default")
        r = d.cli(*apply)
        assert "changed board pi-a" in r.stdout and "1 done" in r.stdout, r.stdout
        # a name that somebody else has
        d.cli("board", "rm", "pi-b")
        d.cli("board", "add", "pi-b", "--mac", "b8:27:eb:77:77:77")
        r = d.cli(*apply, check=False)
        assert r.returncode == 1 and "another board has this name" in r.stderr, r
