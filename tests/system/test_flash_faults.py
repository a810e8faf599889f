# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a flash: each case has its exit code and JSON, and partition 1 stays what it is."""
import json
import os
import subprocess
import sys

from cards import (MAC, MIB, P1_SIZE, P1_START, check_system, digest, drive, flash_at_prompt, noise_card, serve, status, table,
                   uboot_binary)
from faultydisk import Fault, FaultyDisk
from guests import PATIENCE, UBoot
from netlab import ADDRESS
from systemtests import wait_until

BEHIND = P1_START + P1_SIZE         # where the image's boot partition begins
ROOT = BEHIND + 8 * MIB             # and its root
LAST = ROOT + 14 * MIB              # and what is near its end
END = r"^bramble: told the server"


LISTEN = "import socket, time; s = socket.create_server(('', 22)); time.sleep(3600)"


class Ordered:
    """'bramble flash ... --wait=T -o json' beside what the board does meanwhile."""

    def __init__(self, t, net, daemon, *words):
        self.process = subprocess.Popen(net.exec(t.bramble, "--state", daemon.state, "flash", "small", *words, "-o", "json"),
                                        env=t.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        before = {o["order"] for o in daemon.json("flash", "list")}
        self.order = wait_until(lambda: [o["order"] for o in daemon.json("flash", "list") if o["state"] == "waiting" or
                                         o["order"] not in before], 60, "the order is there")[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def end(self):
        """Exit code, and the row of the board."""
        out, err = self.process.communicate(timeout=PATIENCE)
        row = json.loads(out)[0]
        assert row["exit_code"] == self.process.returncode, (self.process.returncode, err, row)
        return self.process.returncode, row


def board_flashes(t, net, more, end=END):
    with UBoot(t, net, uboot_binary(t, "bookworm"), MAC, more=more) as u:
        return flash_at_prompt(u, end)


# name, faults of the card, further words of the command, what its reason says, whether the card is as it was
CARDS = (
    ("it takes no write", [Fault("write")], (), "the partition table could not be written", True),
    ("it takes no write behind partition 1", [Fault("write", BEHIND)], (), "writing failed", False),
    ("it takes no write in the middle of the root", [Fault("write", ROOT + 64 * 1024, ROOT + 68 * 1024)], (), "writing failed", False),
    ("no partition behind the first can be read", [Fault("read", BEHIND, LAST)], (), "could not be read back", False),
    ("its end cannot be read", [Fault("read", LAST)], (), "the card is smaller than the image", True),
    ("a bit of the root rots", [Fault("rot", ROOT + 4096, ROOT + 8192)], (), "what was read back is not what was written", False),
    ("writes of the boot partition are lost", [Fault("lost", BEHIND, ROOT)], (), "what was read back is not what was written", False),
    ("it is smaller than it says", [Fault("wrap", ROOT, to=BEHIND)], ("--verify", "full"),
     "the last pass over the card found other bytes", False),
    ("there is no such device", [], ("--target", "virtio3"), "U-Boot has no such device", True),
)


def test_a_failing_card_is_told_and_holds_no_half_system(t):
    net, daemon, _ = serve(t)
    for i, (name, faults, words, reason, as_it_was) in enumerate(CARDS):
        card = noise_card(t, name=f"card{i}.raw", old=((BEHIND, 8 * MIB), (ROOT, 20 * MIB)))
        old = table(card)
        first, whole = digest(card, P1_START, P1_SIZE), digest(card, 0, os.path.getsize(card))
        target = () if "--target" in words else ("--target", "virtio0")
        with Ordered(t, net, daemon, "pi41", "--wait=10m", *target, *words) as order, FaultyDisk(t, card, faults) as disk:
            board_flashes(t, net, disk.drive())
            got, row = order.end()
        assert got == 13 and row["state"] == "failed" and row["what"] == "write" and reason in row["reason"], (name, got, row)
        assert not row["withdrawn"] and status(daemon, order.order)["state"] == "failed", name
        assert digest(card, P1_START, P1_SIZE) == first, f"{name}: partition 1 was written"
        assert (digest(card, 0, os.path.getsize(card)) == whole) == as_it_was, name
        assert table(card) == (old if as_it_was else [old[0]] + [(0, 0, 0)] * 3), f"{name}: what is not whole is no partition: {table(card)}"
        os.unlink(card)
    assert not daemon.json("board", "show", "pi41")[0].get("road"), "a failed flash leaves the road alone"


def test_a_card_that_failed_is_mended_by_the_next_flash_and_says_meanwhile_that_it_holds_nothing(t):
    net, daemon, image = serve(t)
    card = noise_card(t)
    with FaultyDisk(t, card, [Fault("write", ROOT)]) as disk:
        with Ordered(t, net, daemon, "pi41", "--wait=10m", "--target", "virtio0", "--up", "none") as order:
            board_flashes(t, net, disk.drive())
            assert order.end()[0] == 13
        daemon.cli("board", "edit", "pi41", "--road", "flash")
        with UBoot(t, net, uboot_binary(t, "bookworm"), MAC, more=disk.drive()) as u:
            u.run("setenv autoload no; dhcp")
            u.send("tftpboot ${scriptaddr} bramble/stage2.scr && source ${scriptaddr}\n")
            u.expect(r"^bramble: virtio 0:1 is the recovery system", PATIENCE)
            u.expect(r"^bramble: no system was found on the storage of the board", PATIENCE)
        disk.faults = []
        with Ordered(t, net, daemon, "pi41", "--wait=10m", "--target", "virtio0", "--up", "none") as order:
            board_flashes(t, net, disk.drive())
            got, row = order.end()
        assert got == 0 and row["state"] == "done", row
    check_system(t, image, card)


def test_the_flashed_system_shows_itself_or_does_not(t):
    """Exit codes 0, 5, 12 and 14; --up ssh, url and dhcp. The system is a host with the board's MAC address."""
    net, daemon, image = serve(t)
    card = noise_card(t)
    ours = ("pi41", "--target", "virtio0")
    with UBoot(t, net, uboot_binary(t, "bookworm"), MAC, more=drive(card)) as u:
        with Ordered(t, net, daemon, *ours, "--wait=20s") as order:
            u.run("setenv autoload no; dhcp")
            got, row = order.end()
        assert got == 12 and row["what"] == "bootloader" and row["withdrawn"], row
    with FaultyDisk(t, card) as disk, UBoot(t, net, uboot_binary(t, "bookworm"), MAC, more=disk.drive()) as u:
        u.run("setenv autoload no; dhcp")
        with Ordered(t, net, daemon, *ours, "--wait=15s", "--up", "ssh") as order:
            u.send("tftpboot ${scriptaddr} bramble/flash.scr && source ${scriptaddr}\n")
            wait_until(lambda: status(daemon, order.order)["state"] == "writing", PATIENCE, "it is being written")
            disk.faults = [Fault("slow", BEHIND, seconds=2)]
            got, row = order.end()
            assert got == 5 and row["state"] == "writing" and not row["withdrawn"], row
            disk.faults = []
            u.expect(END, PATIENCE)
    assert status(daemon, order.order)["state"] == "verified", "it went on"
    system = net.client(MAC)
    dhcp = ("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-s", "/bin/true")
    address = daemon.json("board", "show", "pi41")[0]["address"]
    system.address(address.split("/")[0] + "/24")
    t.run(*system.exec(*dhcp))
    assert status(daemon, order.order)["state"] == "verified", "its DHCP is not its ssh port"
    with subprocess.Popen(system.exec(sys.executable, "-c", LISTEN)) as ssh:
        wait_until(lambda: status(daemon, order.order)["state"] == "done", PATIENCE, "it listens for ssh")
        ssh.kill()
    assert status(daemon, order.order)["what"] == "ssh"
    for up, words in (("url", ("curl", "-sf", f"http://{ADDRESS}/bramble/up")), ("dhcp", dhcp)):
        with Ordered(t, net, daemon, *ours, "--wait=10m", "--up", up) as order:
            board_flashes(t, net, drive(card))
            wait_until(lambda: status(daemon, order.order)["state"] == "verified", 60, "verified")
            t.run(*system.exec(*words))
            got, row = order.end()
        assert got == 0 and row["state"] == "done" and row["what"] == up, row
    with Ordered(t, net, daemon, *ours, "--wait=60s", "--up", "url") as order:
        board_flashes(t, net, drive(card))
        t.run(*system.exec(*dhcp))
        got, row = order.end()
    assert got == 14 and row["state"] == "failed" and row["what"] == "silent" and row["withdrawn"], row
    check_system(t, image, card)
