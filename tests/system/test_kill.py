# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed under load, at random instants and before, in and after each call that writes: what it acknowledged is
there after each start, file systems are clean, and clients go on with the handles they have."""
import json
import os
import random
import re
import subprocess
import sys
import threading
import time

import uml
from daemon import Daemon
from images import small_image
from netlab import ADDRESS, Net
from systemtests import TOP, long, quick, stop, wait_until

LOAD = os.path.join(TOP, "tests", "lib", "killload.py")


class Load:
    """killload.py as a board."""

    def __init__(self, t, daemon, net, name, number, connections, seed, disk="persistent"):
        mac, ip = f"b8:27:eb:00:01:{number:02x}", f"10.77.0.{100 + number}"
        self.name, self.calls, self.figures = name, 0, None
        daemon.cli("board", "add", name, "--mac", mac, "--address", ip, "--disk", disk)
        client = net.client(mac)
        client.address(f"{ip}/24")
        self.errors = t.path(f"{name}.log")
        with open(self.errors, "wb") as log:
            self.process = subprocess.Popen(client.exec(sys.executable, LOAD, ADDRESS, f"/{name}", str(connections), str(seed)),
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if line.startswith("calls "):
                self.calls = int(line.split()[1])
            else:
                self.figures = json.loads(line)

    def words(self):
        with open(self.errors, errors="replace") as f:
            return f.read()[-3000:]

    def alive(self):
        assert self.process.poll() is None, f"{self.name}: {self.words()}"
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)

    def end(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        status = self.process.wait(300)
        self.reader.join(10)
        assert status == 0, f"{self.name}: {self.words()}"
        return self.figures


def fsck(t, d, board):
    out = t.path(f"{board}.ext4")
    d.cli("disk", "export", board, out)
    t.run("e2fsck", "-fn", out)
    os.unlink(out)


def start(t, d, env):
    """False: it died before it was ready."""
    plain, t.env = t.env, {**t.env, **env}
    try:
        d.start()
        return True
    except AssertionError:
        if d.process.poll() != -9 or not env:
            raise
        return False
    finally:
        t.env = plain


def kill_many(t, seed, kills, every_fsck, instant):
    """instant(n): None to kill start number n at a random instant, or (N, how) for tests/lib/killshim.c."""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "e2fsck")
    shim = os.path.join(t.build, "tests", "unit", "libkillshim.so")
    rnd = random.Random(seed)
    net = t.enter(Net())
    with Daemon(t, net, image=small_image(t)) as d:
        loads = [t.enter(Load(t, d, net, f"b{n}", n, 3, seed + n)) for n in range(2)]
        for n in range(kills):
            at = instant(n)
            before = [load.calls for load in loads]
            if at:
                stop(d.process)
                start(t, d, {"LD_PRELOAD": shim, "BR_KILL_AT": str(at[0]), "BR_KILL_HOW": at[1]})
            else:
                wait_until(lambda: all(load.alive() and load.calls > had for load, had in zip(loads, before)), 120,
                           f"calls after start {n}")
                time.sleep(rnd.random() * 0.4)
                d.process.kill()
            status = d.process.wait(120)
            assert status == -9, f"start {n}: {at}: the daemon ended with status {status}"
            start(t, d, {})
            if n % every_fsck == every_fsck - 1:
                for load in loads:
                    fsck(t, d, load.name)
        wait_until(lambda: all(load.alive() and load.calls > had for load, had in zip(loads, before)), 120, "calls at last")
        figures = [load.end() for load in loads]
        for load in loads:
            fsck(t, d, load.name)
        t.say(f"      {t.name}: seed {seed}, {kills} deaths, {figures}")
        assert all(f["again"] > 0 and f["looked"] > kills // 2 and f["stable_bytes"] for f in figures), figures


HOW = ("before", "torn", "after")


@quick
def test_what_was_acknowledged_outlives_ten_deaths(t):
    seed = random.randrange(1 << 30)
    rnd = random.Random(seed)
    kill_many(t, seed, 10, 5, lambda n: None if n % 2 else (rnd.randrange(1, 40), rnd.choice(HOW)))


@long
def test_what_was_acknowledged_outlives_two_hundred_kills(t):
    kill_many(t, random.randrange(1 << 30), 200, 10, lambda n: None)


@long
def test_what_was_acknowledged_outlives_a_death_at_each_write(t):
    kill_many(t, random.randrange(1 << 30), 120, 10, lambda n: (n // 3 + 1, HOW[n % 3]))


# what a board does all the while; what it wrote is compared at the end, out of no cache of its own
WORK = """#!/bin/sh
mkdir -p /srv/work; cd /srv/work
(n=0; while [ ! -e /run/stop ] || [ $n -lt 3 ]; do
	n=$((n + 1)); f=f$((n % 20))
	dd if=/dev/urandom of=$f.new bs=16k count=$((n % 50 + 1)) conv=fsync 2>/dev/null || break
	sha256sum <$f.new >$f.sum.new; mv $f.new $f; mv $f.sum.new $f.sum
	ln -sf $f last; mkdir d$n; touch d$n/x; rm -r d$n
	done; echo $n >/run/rounds) >/run/work.log 2>&1 &
(dd if=/dev/urandom bs=1M count=40 2>/dev/null | tee big | sha256sum >big.sum; sync; echo done >/run/big) &
"""
# a call whose answer was lost with the daemon, behind its commit: the client makes it again
DONE_TWICE = re.compile(r"(mkdir|mv|rm|ln): .*(File exists|No such file or directory)$")
CHECK = """#!/bin/sh
cd /srv/work; sync; echo 3 >/proc/sys/vm/drop_caches
for f in big f?  f??; do [ -e $f ] || continue; [ "$(sha256sum <$f)" = "$(cat $f.sum)" ] || echo "WRONG $f"; done
ls -d d* 2>/dev/null || :
"""


@long
def test_a_real_kernel_goes_on_while_the_daemon_is_killed(t):
    """Not mounted again, no error in any program (but that of a call that was done twice): the mount is hard, as a root is."""
    t.need_root()
    t.need_program("e2fsck")
    made = uml.program(t)
    net = t.enter(Net())
    rnd = random.Random()
    with Daemon(t, net, image=uml.image(t)) as d:
        d.cli("board", "add", "life", "--mac", "b8:27:eb:00:02:01", "--address", "10.77.0.20", "--disk", "persistent",
              "--size", "2G")
        for name, text in (("work", WORK), ("check", CHECK)):
            with open(t.path(name), "w") as f:
                f.write(text)
            d.cli("disk", "cp", t.path(name), f"life:/usr/local/bin/kill-{name}", "--mode", "755")
        with uml.UmlBoard(t, net, made, "life", "b8:27:eb:00:02:01", "10.77.0.20").login() as board:
            boot = board.sh("cat /proc/sys/kernel/random/boot_id")
            board.sh("kill-work")
            for n in range(12):
                time.sleep(1 + rnd.random() * 3)
                d.process.kill()
                d.process.wait()
                time.sleep(rnd.random() * 2)
                d.start()
            board.sh("ls /srv/work >/dev/null; touch /run/stop")
            board.sh("until [ -e /run/rounds ] && [ -e /run/big ]; do sleep 1; done")
            rounds = int(board.sh("cat /run/rounds"))
            said = board.sh("cat /run/work.log")
            assert not [line for line in said.splitlines() if not DONE_TWICE.match(line)], f"a program saw an error: {said}"
            assert board.sh("kill-check") == ""
            assert board.sh("cat /proc/sys/kernel/random/boot_id") == boot
            assert "Stale" not in board.sh("dmesg"), board.sh("dmesg | tail")
            t.say(f"      {t.name}: 12 kills, {rounds} rounds, {len(said.splitlines())} calls done twice {said}")
            assert rounds > 2
            board.off()
        fsck(t, d, "life")
