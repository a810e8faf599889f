# SPDX-License-Identifier: Apache-2.0
"""Many boards at once: boots begin in turns, and every board has one."""
from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import quick


@quick
def test_boards_wait_for_their_turn(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    image = small_image(t)
    net = t.enter(Net())
    d = t.enter(Daemon(t, net, "--boots-at-once", "2", image=image))
    t.run(*net.exec(t.bramble, "sim", "--model", "4", "--boards", "8", "--serial", "5b000010", "--interface", "br0"),
          timeout=120)
    assert len(d.json("board", "list")) == 8
    waited = d.jsonl("event", "list", "-t", "boot.waiting")
    assert 1 <= len(waited) <= 6, waited
    assert all(e["fields"]["before"] < 8 for e in waited), waited
    assert len({e["board"] for e in waited}) == len(waited), "a board is told once per boot"
    boots = d.json("status")["boots"]
    assert boots["running"] == 0 and boots["waiting"] == 0 and boots["at_once"] == 2, boots


@quick
def test_a_board_that_waits_is_told_so(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "curl")
    net = t.enter(Net())
    d = t.enter(Daemon(t, net, "--boots-at-once", "1", image=small_image(t)))
    # one that has fetched a file and is about to fetch the next
    d.cli("board", "add", "first", "--mac", "dc:a6:32:00:00:01", "--serial", "5b000001")
    first = net.client(mac="dc:a6:32:00:00:01")
    first.address("10.77.0.9/24")
    t.run(*first.exec("curl", "-sS", "-m", "20", "-o", "/dev/null", "tftp://10.77.0.1/config.txt"))
    r = t.run(*net.exec(t.bramble, "sim", "--model", "4", "--serial", "5b000002", "--interface", "br0",
                        "--timeout", "3"), timeout=60, check=False)
    assert r.returncode, "it did not wait"
    why = d.cli("why", "pi-5b000002", check=False)
    assert "waits its turn" in why.stdout, why.stdout
