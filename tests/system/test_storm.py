# SPDX-License-Identifier: Apache-2.0
"""A fleet that is switched on at once, over a bad network; the daemon with sanitizers."""
import json

from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import alone

BOARDS = 100


def storm(t, net, *arguments, boards=BOARDS):
    """Runs it to its end; the JSON lines of the boards, and the summary."""
    r = t.run(*net.exec(t.bramble, "sim", "--interface", "br0", "--storm", "--boards", str(boards), "--serial", "5b000001",
                        "--timeout", "240", "-o", "json", *arguments), check=False, timeout=300)
    lines = [json.loads(line) for line in r.stdout.splitlines()]
    assert lines and lines[-1]["what"] == "summary", r.stderr
    return r, lines[:-1], lines[-1]


def prepare(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    net = t.enter(Net("10.77.0.1/16"))
    return net, t.enter(Daemon(t, net, image=small_image(t), address="10.77.0.1/16"))


@alone
def test_a_fleet_over_a_lossy_network_comes_up(t):
    net, daemon = prepare(t)
    r, boards, summary = storm(t, net, "--loss", "1", "--late-port", "3:10", "--dup", "0.5", "--reorder", "0.5",
                               "--retry", "2", "--seed", "1")
    assert r.returncode == 0, summary
    assert summary["up"] == BOARDS and not summary["reasons"], summary
    assert summary["frames_lost"] and summary["late_ports"] == BOARDS // 10, summary
    assert len(boards) == BOARDS and all(b["state"] == "up" for b in boards)
    assert {b["model"] for b in boards} == {"3b", "3b+", "4", "5"}
    mounted = {e["board"] for e in daemon.jsonl("event", "list", "-t", "nfs.mounted")}
    assert len(mounted) == BOARDS, len(mounted)
    assert len(daemon.json("board", "list")) == BOARDS


def test_another_dhcp_server_is_counted_as_the_reason(t):
    """It is faster, its address is of no use, and it names no boot server: every board says so."""
    net, _ = prepare(t)
    r, boards, summary = storm(t, net, "--rogue-dhcp", "0", "--timeout", "40", "--models", "3b+", boards=4)
    assert r.returncode, summary
    assert summary["up"] == 0 and len(boards) == 4, summary


def test_large_frames_that_vanish_are_counted_as_the_reason(t):
    """A path of 1400 bytes: blocks of 1468 never come, those of 512 do."""
    net, _ = prepare(t)
    r, boards, summary = storm(t, net, "--mtu", "1400", "--models", "3b+,4", "--timeout", "25", boards=4)
    assert r.returncode == 5, summary
    states = {b["model"]: b["state"] for b in boards}
    assert states == {"3b+": "up", "4": "not there yet"}, boards
