# SPDX-License-Identifier: Apache-2.0
"""Every virtual board against the whole server. What each of its stages gets: tests/unit/test_models.c."""
import json
import os

from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import quick

# 32-bit kernels, for those that can run no other
KERNELS = ("kernel.img", "kernel7.img")


def models(t):
    """What bramble itself lists."""
    r = t.run(t.bramble, "sim", "--model", "none", check=False)
    return r.stderr.split("'none': ")[1].split(";")[0].split()


def overrides(t):
    os.makedirs(t.path("boot/all"))
    for name in KERNELS:
        with open(t.path("boot/all/" + name), "wb") as f:
            f.write(bytes(36) + b"\x18\x28\x6f\x01" + bytes(50_000))
    return t.path("boot")


@quick
def test_every_model_boots(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    image = small_image(t)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--overrides", overrides(t), image=image))
    known = models(t)
    assert {"1", "2", "3b", "3b-card", "3b+", "4", "4-2020", "4-2021", "cm4", "5", "5-2023", "cm5"} <= set(known), known
    for n, model in enumerate(known):
        serial = f"1000ae{n:02x}"
        r = t.run(*net.exec(t.bramble, "sim", "--model", model, "--serial", serial, "--interface", "br0", "--speed", "0",
                            "-o", "json", "--check-image", image), timeout=120, check=False)
        events = [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]
        assert r.returncode == 0, f"{model}: status {r.returncode}: {r.stdout[-600:]} {r.stderr[-600:]}"
        assert any(e["what"] == "kernel" for e in events), (model, r.stdout[-600:])
    boards = daemon.json("board", "list")
    assert sorted(str(b["serial"])[-8:] for b in boards) == [f"1000ae{n:02x}" for n in range(len(known))], boards
