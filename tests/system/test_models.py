# SPDX-License-Identifier: Apache-2.0
"""Every virtual board against the whole server. What each of its stages gets: tests/unit/test_models.c."""
import json
import os

from daemon import Daemon
from images import sha256, small_image
from models import models, overrides
from netlab import ADDRESS, Net
from systemtests import quick

@quick
def test_every_model_boots(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    image = small_image(t)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--overrides", overrides(t), image=image))
    known = models(t)
    assert {"1", "2", "3b", "3b-card", "3b+", "4", "4-2020", "4-2021", "cm4", "5", "5-2023", "cm5"} <= set(known), known
    # the firmware's address is also that of what it starts
    r = t.run(*net.exec(t.bramble, "sim", "--model", "3b+", "--serial", "1000ad01", "--interface", "br0", "--speed", "0",
                        "--then", "uboot,ipxe,edk2,kernel,klibc,os", "-o", "json"), timeout=120)
    events = [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]
    stages = [(e["stage"], e["ip"]) for e in events if e["what"] in ("offer", "ack")]
    assert [s for s, _ in stages] == ["rom", "bootcode", "uboot", "ipxe", "edk2", "kernel", "klibc", "os"], stages
    assert len({ip for _, ip in stages}) == 1, stages
    daemon.cli("board", "rm", "pi-1000ad01")

    for n, model in enumerate(known):
        serial = f"1000ae{n:02x}"
        r = t.run(*net.exec(t.bramble, "sim", "--model", model, "--serial", serial, "--interface", "br0", "--speed", "0",
                            "-o", "json", "--check-image", image), timeout=120, check=False)
        events = [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]
        assert r.returncode == 0, f"{model}: status {r.returncode}: {r.stdout[-600:]} {r.stderr[-600:]}"
        assert any(e["what"] == "kernel" for e in events), (model, r.stdout[-600:])
    boards = daemon.json("board", "list")
    assert sorted(str(b["serial"])[-8:] for b in boards) == [f"1000ae{n:02x}" for n in range(len(known))], boards


@quick
def test_eeproms_boot_by_http(t):
    """boot.img as bramble makes it, signed as far as a virtual board looks at it, and the files within."""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "curl")
    image = small_image(t)
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--overrides", overrides(t), image=image))

    def boot(model, serial, check=True):
        r = t.run(*net.exec(t.bramble, "sim", "--model", model, "--serial", serial, "--interface", "br0", "--speed", "0",
                            "--road", "http", "-o", "json", "--check-image", image), timeout=120, check=False)
        assert not check or r.returncode == 0, f"{model}: status {r.returncode}: {r.stdout[-900:]} {r.stderr[-600:]}"
        return r, [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]

    r, events = boot("4", "1000af01", check=False)
    assert r.returncode and "boot.sig: missing" in r.stdout, r.stdout[-600:]

    t.run(*net.exec("curl", "-sS", "-f", "-m", "30", "-o", t.path("boot/all/boot.img"), f"http://{ADDRESS}/boot.img"))
    with open(t.path("boot/all/boot.sig"), "w") as f:
        f.write(f"{sha256(t.path('boot/all/boot.img'))}\nts: 1700000000\nrsa2048: {'00' * 256}\n")
    for model, serial in (("4", "1000af02"), ("5", "1000af03"), ("cm5", "1000af04")):
        r, events = boot(model, serial)
        whole = [e["name"] for e in events if e["what"] == "file"]
        assert whole[:3] == ["net_install/boot.sig", "net_install/boot.img", "config.txt"], whole
        assert any(e["what"] == "kernel" for e in events), whole
        name = [b["name"] for b in daemon.json("board", "list") if str(b["serial"]).endswith(serial)][0]
        via = {e["fields"]["path"]: e["fields"].get("via") for e in daemon.jsonl("event", "list", name)
               if e["type"] in ("file.sent", "file.probed")}
        assert via == {"boot.sig": "http", "boot.img": "http"}, via

    with open(t.path("boot/all/boot.img"), "ab") as f:
        f.write(b"x")
    r, _ = boot("5", "1000af05", check=False)
    assert r.returncode and "is not the file that boot.sig signs" in r.stdout, r.stdout[-600:]
