# SPDX-License-Identifier: Apache-2.0
"""bramble flash: Debian's U-Boot writes an image to its disk by our scripts, under QEMU."""
import hashlib
import json
import os
import subprocess

from cards import (MAC, MIB, P1_SIZE, P1_START, check_system, code, digest, drive, flash_at_prompt, noise_card, noise_left, part,
                   serve, status, table, uboot_binary)
from guests import PATIENCE, UBoot
from systemtests import wait_until


def test_a_card_is_flashed_behind_its_recovery_partition(t):
    """Twice: the second time nothing is fetched or written. Partition 1 stays what it is."""
    binary = uboot_binary(t, "bookworm")
    net, daemon, image = serve(t)
    card = noise_card(t)
    before = digest(card, P1_START, P1_SIZE)
    order = daemon.json("flash", "small", "pi41", "--target", "virtio0", "--up", "none")[0]["order"]
    assert daemon.cli("flash", "small", "pi41", check=False).returncode == 1, "a second order is refused"
    with t.enter(UBoot(t, net, binary, MAC, more=drive(card))) as u:
        flash_at_prompt(u)
    wait_until(lambda: status(daemon, order)["state"] == "done", 20, "the order is done")
    assert status(daemon, order)["place"].startswith("card/"), status(daemon, order)
    check_system(t, image, card)
    root = table(card)[2]
    assert noise_left(card, *root[:2]), "blocks that no file uses are left alone"
    assert digest(card, P1_START, P1_SIZE) == before, "partition 1 was written"
    assert daemon.json("board", "show", "pi41")[0]["road"] == "flash"
    types = [e["type"] for e in daemon.jsonl("event", "list", "pi41", "-t", "flash")]
    assert types == ["flash.ordered", "flash.started", "flash.verified", "flash.done"], types
    whole = hashlib.sha256(part(card, 0, os.path.getsize(card))).digest()
    order = daemon.json("flash", "small", "pi41", "--target", "virtio0", "--up", "url", "--verify", "full")[0]["order"]
    with t.enter(UBoot(t, net, binary, MAC, more=drive(card))) as u:
        flash_at_prompt(u)
    assert status(daemon, order)["state"] == "verified", "it waits for the system, and its figures can be asked for"
    again = status(daemon, order)["progress"]
    assert hashlib.sha256(part(card, 0, os.path.getsize(card))).digest() == whole, "a flash of the same changes nothing"
    assert again["written"] == again["written_bytes"] == again["fetched"] == 0 < again["done"] == again["pieces"], again


def test_each_failure_of_a_flash_has_its_exit_code(t):
    """What goes wrong before a byte is written, and a card that is too small."""
    binary = uboot_binary(t, "bookworm")
    net, daemon, _ = serve(t, "--power-command", "/bin/false {board}")
    assert code(daemon, "nothere", "pi41")[0] == 3
    assert code(daemon, "small", "nobody")[0] == 3
    assert code(daemon, "small", "pi41", "--target", "sda")[0] == 2
    was, words = code(daemon, "small", "pi41", "--wait=20s", "--reset")
    assert was == 10 and "/bin/false failed with status 1" in words, (was, words)
    was, words = code(daemon, "small", "pi41", "--wait=1s")
    assert was == 11 and "never asked for an address" in words, (was, words)
    card = noise_card(t, size=40 * MIB)
    before = part(card, 0, os.path.getsize(card))
    order = daemon.json("flash", "small", "pi41", "--target", "virtio0")[0]["order"]
    with t.enter(UBoot(t, net, binary, MAC, more=drive(card))) as u:
        flash_at_prompt(u)
    st = status(daemon, order)
    assert st["state"] == "failed" and st["what"] == "write" and "smaller than the image" in st["reason"], st
    assert part(card, 0, os.path.getsize(card)) == before, "nothing was written"
    states = {o["order"]: o["state"] for o in daemon.json("flash", "list")}
    assert set(states.values()) == {"failed"} and len(states) == 3, states


def test_a_disk_without_the_mark_gets_the_image_as_it_is_though_the_power_fails(t):
    """Cut off at its first write, the board begins anew and finds what is right."""
    binary = uboot_binary(t, "bookworm")
    net, daemon, image = serve(t)
    disk = t.path("disk.raw")
    t.run("truncate", "-s", "64M", disk)
    order = daemon.json("flash", "small", "pi41", "--target", "virtio0", "--up", "none", "--verify", "full", "--keep")[0]["order"]
    with t.enter(UBoot(t, net, binary, MAC, more=drive(disk))) as u:
        flash_at_prompt(u, r"^Total of ")
    assert status(daemon, order)["state"] == "writing"
    daemon.restart()
    with t.enter(UBoot(t, net, binary, MAC, more=drive(disk))) as u:
        flash_at_prompt(u)
    wait_until(lambda: status(daemon, order)["state"] == "done", 20, "the order is done")
    with open(image, "rb") as a, open(disk, "rb") as b:
        assert a.read() == b.read(os.path.getsize(image)), "the disk holds the image"
    assert not daemon.json("board", "show", "pi41")[0].get("road"), "--keep"


def test_wait_outlives_a_restart_of_the_daemon(t):
    net, daemon, _ = serve(t)
    with subprocess.Popen(net.exec(t.bramble, "--state", daemon.state, "flash", "small", "pi41", "--wait=8s", "-o", "json"),
                          env=t.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        wait_until(lambda: daemon.json("flash", "list"), 20, "the order is there")
        daemon.restart()
        out, err = p.communicate(timeout=PATIENCE)
    assert p.returncode == 11, (p.returncode, err)
    row = json.loads(out)[0]
    assert row["state"] == "failed" and row["what"] == "dhcp" and row["withdrawn"], row
