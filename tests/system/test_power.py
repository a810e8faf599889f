# SPDX-License-Identifier: Apache-2.0
"""bramble power: what switches boards, from the daemon's end to the devices'."""
from powerlab import NAMES, SERIALS, power, rack, strip
from systemtests import quick, wait_until


def kinds(daemon, board, kind):
    return [e["type"] for e in daemon.jsonl("event", "list", board, "-t", kind)]


@quick
def test_boards_are_switched_and_come_up(t):
    """A section of three lines, a URI of a board's own, and the words when there is neither."""
    net, daemon = rack(t, "[power]\ndelay = 50ms\noff-time = 100ms\n[power strip]\nuri = tasmota://127.0.0.1:8090/{port}\n"
                          f"boards = {','.join(NAMES[:3])}\n")
    code, rows = power(daemon, "status", *NAMES[:3])
    assert code == 0 and {r["power"] for r in rows.values()} == {"off"}, rows
    code, rows = power(daemon, "on", NAMES[0], NAMES[1], "--wait=60s")
    assert code == 0 and all(r["verified"] and r["power"] == "on" for r in rows.values()), (code, rows)
    assert strip(t, net, "status", 1) == strip(t, net, "status", 2) == "on"
    assert "board.up" in kinds(daemon, NAMES[0], "board") and "power.on" in kinds(daemon, NAMES[0], "power")
    code, rows = power(daemon, "on", NAMES[0])
    assert code == 0 and rows[NAMES[0]]["was_on"], rows
    boots = len(kinds(daemon, NAMES[1], "boot.start"))
    code, rows = power(daemon, "cycle", NAMES[1], "--wait=60s")
    assert code == 0 and rows[NAMES[1]]["rung"] == "hard", rows
    assert len(kinds(daemon, NAMES[1], "boot.start")) > boots
    code, rows = power(daemon, "off", *NAMES[:2])
    assert code == 0 and strip(t, net, "status", 1) == "off", rows
    daemon.cli("board", "edit", NAMES[0], "--tags", "camera")
    assert list(power(daemon, "status", "tag=camera")[1]) == [NAMES[0]]
    assert daemon.cli("power", "off", "tag=nothing", check=False).returncode == 3
    # the fourth has none
    r = daemon.cli("power", "on", NAMES[3], check=False)
    assert r.returncode == 1 and "nobody told how its power is switched" in r.stderr, r.stderr
    r = daemon.cli("power", "on", "nobody", check=False)
    assert r.returncode == 3, r.stderr
    r = daemon.cli("board", "edit", NAMES[3], "--power", "tasmota:10.0.0.9", check=False)
    assert r.returncode != 0 and "tasmota://10.0.0.9/1" in r.stderr, r.stderr
    daemon.cli("power", "map", "http://user:secret@127.0.0.1:8090/board/{board}/{action}", NAMES[3])
    shown = daemon.json("board", "show", NAMES[3])[0]["power"]
    assert shown == f"http://***@127.0.0.1:8090/board/{NAMES[3]}/{{action}}", shown
    code, rows = power(daemon, "on", NAMES[3], "--wait=60s")
    assert code == 0 and rows[NAMES[3]]["verified"], rows
    devices = {d["device"] for d in daemon.json("power", "list")["devices"]}
    assert devices == {"tasmota://127.0.0.1:8090", "http://127.0.0.1:8090"}, devices


@quick
def test_a_board_that_never_boots_is_set_aside(t):
    """The switch says on, the board says nothing: time-out, ladder, quarantine, release."""
    net, daemon = rack(t, "[power]\nboot-timeout = 2s\noff-time = 100ms\nquarantine-after = 2\n[power strip]\n"
                          "on = http://127.0.0.1:8090/board/{port}/on\noff = http://127.0.0.1:8090/board/{port}/off\n"
                          "status = http://127.0.0.1:8090/board/{port}/status\n"
                          f"boards = {NAMES[0]},ghost\nports = {SERIALS[0]},{SERIALS[1]}\n", boards=1)
    daemon.cli("board", "add", "ghost", "--serial", "77777777")
    assert power(daemon, "on", "ghost")[0] == 1, "there is no such outlet"
    daemon.cli("board", "edit", "ghost", "--power", f"tasmota://127.0.0.1:8090/1")
    code, rows = power(daemon, "cycle", "ghost", "--soft")
    assert code in (1, 5), (code, rows)
    assert "address is not known" in rows["ghost"]["text"] and "no sign of a boot" in rows["ghost"]["text"], rows
    wait_until(lambda: "board.quarantined" in kinds(daemon, "ghost", "board"), 20, "two failures set it aside")
    r = daemon.cli("power", "on", "ghost", check=False)
    assert r.returncode == 1 and "in quarantine" in r.stderr and "power release" in r.stderr, r.stderr
    assert power(daemon, "off", "ghost")[0] == 0, "off is always allowed"
    daemon.restart()
    assert daemon.cli("power", "on", "ghost", check=False).returncode == 1, "it is remembered"
    daemon.cli("power", "release", "ghost")
    assert power(daemon, "on", "ghost")[0] == 0
    daemon.cli("power", "quarantine", NAMES[0], "--reason", "smoke")
    listed = {b["board"]: b for b in daemon.json("power", "list")["boards"]}
    assert listed[NAMES[0]]["quarantine"]["reason"] == "smoke", listed
