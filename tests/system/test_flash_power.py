# SPDX-License-Identifier: Apache-2.0
"""The power fails while a board is flashed: QEMU is killed, again and again, and the board goes on where it was."""
import os
import random
import shutil
import time

from cards import (MAC, MIB, P1_SIZE, P1_START, digest, drive, flash_at_prompt, noise_card, numbered_image, serve, status, table,
                   uboot_binary)
from guests import PATIENCE, UBoot
from systemtests import long, wait_until

SEED = 20261121
BEHIND = P1_START + P1_SIZE
TOLD = r"^bramble: told the server"
WRITE = r"^virtio write: device 0 block # (\d+), count (\d+)"


class Lab:
    """A board, the card as it was before, and the card as it is to be."""

    def __init__(self, t):
        self.t = t
        self.net, self.daemon, _ = serve(t, image=numbered_image(t, 20, 32))
        self.binary, self.random = uboot_binary(t, "bookworm"), random.Random(SEED)
        self.before = noise_card(t, name="before.raw", old=((BEHIND, 8 * MIB), (BEHIND + 8 * MIB, 40 * MIB)))
        self.card = t.path("card.raw")
        self.first = digest(self.before, P1_START, P1_SIZE)
        self.old = self.whole(self.before)
        self.begin()
        with self.board() as u:
            begun = time.monotonic()
            said = flash_at_prompt(u)
            self.seconds = time.monotonic() - begun
        self.writes = said.count("\nvirtio write: device")
        assert self.state() == "done" and self.writes > 3, said[-2000:]
        self.goal = self.whole(self.card)
        self.told = []

    @staticmethod
    def whole(path):
        return digest(path, 0, os.path.getsize(path))

    def board(self):
        return UBoot(self.t, self.net, self.binary, MAC, more=drive(self.card))

    def state(self):
        st = status(self.daemon, self.order)["state"]
        if st != "verified":        # --up none: the worker makes it 'done' a moment later
            return st
        wait_until(lambda: status(self.daemon, self.order)["state"] == "done", PATIENCE, "the order is done")
        return "done"

    def begin(self):
        shutil.copyfile(self.before, self.card)
        self.order = self.daemon.json("flash", "small", "pi41", "--target", "virtio0", "--up", "none")[0]["order"]

    def kill(self):
        """One boot that ends by a power cut; True when the flash had ended before."""
        with self.board() as u:
            u.run("setenv autoload no; dhcp")
            u.send("tftpboot ${scriptaddr} bramble/flash.scr && source ${scriptaddr}\n")
            if self.random.random() < 0.5:
                after = self.random.uniform(0, 1.1 * self.seconds)
                where = f"after {after:.2f} s"
                over = wait(u, after, TOLD)
            else:
                n = self.random.randint(1, self.writes)
                after = self.random.uniform(0, 0.05)
                where = f"{after * 1000:.0f} ms into write {n}"
                over = any(u.expect(f"{WRITE}|{TOLD}", PATIENCE)[1][0].startswith("bramble") for _ in range(n))
                over = over or wait(u, after, TOLD)
            u.process.kill()
            u.process.wait()
        self.told.append(f"{where}: {self.state()}, entries {[bool(e[1]) for e in table(self.card)]}")
        return over

    def check_cut(self):
        """What a card may be after a power cut."""
        state, whole, entries = self.state(), self.whole(self.card), table(self.card)
        assert state in ("waiting", "writing", "done"), self.told
        assert digest(self.card, P1_START, P1_SIZE) == self.first and entries[0] == table(self.before)[0], self.told
        if state == "done":
            assert whole == self.goal, f"a false success: {self.told}"
        # entries behind the first are those of a whole system, old or new, or none
        assert entries[1:] == [(0, 0, 0)] * 3 or whole in (self.old, self.goal), f"half a system: {self.told}"

    def finish(self):
        with self.board() as u:
            if self.state() == "done":      # it came to its end just before the cut: nothing is flashed twice
                u.run("setenv autoload no; dhcp")
                u.send("tftpboot ${scriptaddr} bramble/flash.scr; echo rc=$?\n")
                u.expect(r"^rc=1", PATIENCE)
            else:
                flash_at_prompt(u)
        assert self.state() == "done" and self.whole(self.card) == self.goal, self.told


def wait(u, seconds, pattern):
    """Reads on for so long; whether the pattern came."""
    try:
        u.expect(pattern, seconds)
    except AssertionError as e:
        if not str(e).startswith(f"{seconds} s without"):
            raise
        return False
    return True


def cut(t, kills):
    lab, done = Lab(t), 0
    while done < kills:
        lab.begin()
        for _ in range(1 + (lab.random.random() < 0.3)):
            done += 1
            over = lab.kill()
            lab.check_cut()
            if over:
                break
        lab.finish()
        t.say(f"...   power cut {done} of {kills}: {lab.told[-1]}; then verified")


def test_a_flash_goes_on_after_power_cuts(t):
    cut(t, 2)


@long
def test_a_flash_goes_on_after_fifty_power_cuts(t):
    cut(t, 50)
