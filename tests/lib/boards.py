# SPDX-License-Identifier: Apache-2.0
"""Virtual boards whose real kernel runs under QEMU, at their consoles."""
import os

from daemon import Daemon
from netlab import Net
from serial import Console

BOOT_SECONDS = 2400     # never asserted: only so that a hang ends


def sim_argv(t, net, model, serial, *more):
    patience = ("--timeout", f"{BOOT_SECONDS}s") if "--boot" in more else ()    # or it switches a slow board off
    return net.exec(t.bramble, "sim", "--model", model, "--serial", serial, "--interface", "br0", *patience, *more)


class Board:
    """A virtual board whose kernel runs under QEMU, at its console."""

    def __init__(self, t, net, model, serial, *more):
        self.t = t
        self.serial = serial
        argv = sim_argv(t, net, model, serial, "--boot", *more)
        self.console = Console(argv, t.path(f"board-{serial}-{len(os.listdir(t.dir))}.log"), env=t.env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.console.close()

    def login(self):
        self.console.login(seconds=BOOT_SECONDS)
        return self

    def sh(self, line, check=True, seconds=BOOT_SECONDS):
        out = self.console.command(line, seconds)
        assert not check or self.console.status == 0, f"{line}: status {self.console.status}: {out}"
        return "\n".join(line.strip() for line in out.strip().splitlines() if line.strip())

    def off(self):
        """Its power goes, after a sync."""
        self.sh("sync")
        self.console.close()

    def shut_down(self):
        """As its user does it; the end of QEMU is waited for."""
        self.console.send("systemctl poweroff\n")
        self.console.expect(r"reboot: (Power down|System halted)", BOOT_SECONDS)
        self.console.process.wait(BOOT_SECONDS)
        self.console.close()


class ShellBoard(Board):
    """A board whose first process is a shell: all that concerns disks is there, and systemd's minutes under QEMU are not."""

    def __init__(self, t, net, model, serial):
        super().__init__(t, net, model, serial, "--append", "init=/bin/bash")

    def login(self):
        self.console.expect(r"root@\S+:/# $", BOOT_SECONDS)
        self.console.command("PS1=''; bind 'set enable-bracketed-paste off'; stty -echo cols 200; "
                             "export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", BOOT_SECONDS)
        self.sh("mount -t proc proc /proc; dmesg -n 1")
        return self

    def shut_down(self):
        self.off()


def serve_stock(t, *arguments):
    t.need_root()
    t.need_program("qemu-system-aarch64")
    image = t.image()
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, *arguments, image=image))
    return net, daemon


def board_name(daemon, serial):
    names = [b["name"] for b in daemon.json("board", "list") if str(b.get("serial", "")).endswith(serial)]
    assert len(names) == 1, daemon.json("board", "list")
    return names[0]
