# SPDX-License-Identifier: Apache-2.0
"""'bramble usb boot' on a real kernel's USB stack: virtual Compute Modules on the ports of a PC under QEMU."""
import hashlib
import json
import os
import tarfile

from images import small_image
from systemtests import long, quick
from usbguest import Boards, UsbGuest, path_of

DATA = "bootfiles.bin"
CHIPS = {"2710": ("bootcode.bin", "start.elf", "fixup.dat"), "2711": ("bootcode4.bin", "mcb.bin", "memsys00.bin", "memsys07.bin",
         "bootmain"), "2712": ("bootcode5.bin", "mcb.bin", "memsys01.bin", "bootmain", "rp1c0fw1.bin")}


def noise(name, size):
    return hashlib.shake_128(name.encode()).digest(size)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def payload(t):
    """A directory as rpiboot's users have it; 2710 is not in the stock archive."""
    top, real = t.path("payload"), t.shared(DATA)
    if real:
        t.run("cp", real, f"{t.dir}/{DATA}")
    else:
        t.say("...   no stock bootfiles.bin: one that is made here instead")
        with tarfile.open(t.path(DATA), "w", format=tarfile.USTAR_FORMAT) as tar:
            for chip in ("2711", "2712"):
                for name in CHIPS[chip]:
                    write(t.path("parts", chip, name), noise(chip + name, 60_000))
                    tar.add(t.path("parts", chip, name), f"{chip}/{name}")
    write(f"{top}/{DATA}", open(t.path(DATA), "rb").read())
    for name in CHIPS["2710"]:
        write(f"{top}/2710/{name}", noise(name, 50_000))
    write(f"{top}/config.txt", b"boot_ramdisk=1\nuart_2ndstage=1\n")
    write(f"{top}/2712/boot.img", noise("boot.img", 3_000_000))
    write(f"{top}/2712/boot.sig", noise("boot.sig", 600))
    write(f"{top}/2711/pieeprom.bin", noise("pieeprom.bin", 524_288))
    write(f"{top}/2711/pieeprom.sig", b"0" * 64 + b"\nts: 1700000000\n")
    return top


def boot(guest, n, *more):
    """(status, {path: session}) of 'bramble usb boot' in the guest."""
    status, said = guest.run("/bin/bramble", "usb", "boot", "-d", "/payload", "-w", str(n), "-o", "jsonl", *more)
    rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert len(rows) == n, f"{len(rows)} of {n} boards were told of (status {status}): {said[-2000:]}"
    return status, {row["path"]: row for row in rows}


def start(t, kinds):
    boards = t.enter(Boards(t, kinds, "--check-dir", payload(t)))
    return boards, t.enter(UsbGuest(t, boards, {t.bramble: "/bin/bramble"}, {t.path("payload"): "payload"}))


def seen(boards, number, what):
    return [e for e in boards.events(number) if e["what"] == what]


PLAIN = ["cm3", "cm4", "cm5", "zero2", "cm4", "cm5", "cm3", "cm4"]
# what goes wrong, and the verdict
TROUBLE = [
    ("cm4:no-done", "next-stage"), ("cm4:silent=15s", "done"), ("cm5:slow=500K", "done"), ("cm4:order", "done"),
    ("cm4:name-dots", "done"), ("cm3:name-absolute", "done"), ("cm4:name-long", "no-sense"), ("cm4:name-unprintable", "no-sense"),
    ("cm4:command", "no-sense"), ("cm4:short-request", "no-sense"), ("cm3:short-status", "done"),
    ("cm4:no-endpoint", "not-sent"), ("cm3:stall-rom", "not-sent"), ("cm4:stall-request", "broken-off"),
    ("cm4:stall-file", "broken-off"), ("cm3:bad-status=5", "refused"), ("cm3:vanish-rom", "vanished"),
    ("cm3:stall-rom=1", "done"), ("cm4:stall-file=1", "done"),
    ("cm4:no-return", "never-back"), ("cm4:rom-index", "broken-off"), ("cm4:stage-index", "not-sent"),
]
# that need more than half a minute
SLOW = [("cm3:mute", "not-sent"), ("cm4:vanish", "vanished"), ("cm4:no-gadget", "vanished"), ("cm4:silent=90s", "silent"), ("cm4:silent=45s", "done"),
        ("cm4:missing", "vanished"), ("cm4:endless", "endless"), ("cm4:flood", "endless")]


def check_plain(boards, number, row):
    """A board that is as it should be: its timeline from ROM to done, and what it says itself."""
    steps = [s["step"] for s in row["steps"]]
    assert row["verdict"] == "done" and row["ok"], row
    assert steps[0] == "found" and row["steps"][0]["name"] == "rom" and steps[-2:] == ["done", "verdict"], row
    assert [s["name"] for s in row["steps"] if s["step"] == "found"] == ["rom", "file-server"], row
    assert [s["t"] for s in row["steps"]] == sorted(s["t"] for s in row["steps"]), row
    assert not seen(boards, number, "wrong") and len(seen(boards, number, "done")) == 1, boards.events(number)
    mine = [(e["name"], e["bytes"]) for e in seen(boards, number, "file")]
    assert [(s["name"], s["bytes"]) for s in row["steps"] if s["step"] == "file"] == mine and len(mine) == row["files"], row
    told = {e["name"]: e["text"] for e in seen(boards, number, "metadata")}
    assert {k: row["metadata"][k] for k in told} == told and bool(told) == (row["chip"] == "BCM2711"), row


def check_trouble(boards, number, quirk, verdict, row):
    assert row["verdict"] == verdict, f"{quirk}: {row}"
    assert row["reason"] and row["ok"] == (verdict in ("done", "next-stage")), f"{quirk}: {row}"
    assert seen(boards, number, "odd"), f"{quirk} did not strike: {boards.events(number)}"
    assert not seen(boards, number, "wrong"), f"{quirk}: the host did wrong: {boards.events(number)}"


@quick
def test_words_are_stored_images_before_what_is_here(t):
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    t.run(t.bramble, "--state", t.path("state"), "image", "add", small_image(t), "--name", "two")
    for name in ("one", "two"):
        write(t.path(name, "bootcode4.bin"), b"x")

    def boot(*words):
        r = t.run("sh", "-c", 'cd "$0" && exec "$@"', t.dir, t.bramble, "--state", t.path("state"), "usb", "boot", *words, "-t", "1s", check=False)
        return r.returncode, r.stderr

    code, said = boot("one")                        # nothing is on any port: told what would have been served, it times out
    assert code == 5 and "'one' is the one that is here, ./one; no stored image has the name" in said, said
    code, said = boot("two")
    assert code == 5 and "'two' is the stored image; what is here under that name wants a './'" in said, said
    code, said = boot("./two")
    assert code == 5 and "'" not in said.splitlines()[0].split("came in")[0], said
    code, said = boot("./none")
    assert code == 31 and "No such file" in said, said
    assert boot("none")[0] == 31


def test_boards_boot_whatever_others_do(t):
    """Eight boards from ROM to the last file, and beside them, at the same time, one of each trouble."""
    boards, guest = start(t, PLAIN + [quirk for quirk, _ in TROUBLE])
    status, rows = boot(guest, len(PLAIN) + len(TROUBLE))
    assert status == 1, status
    for i in range(1, len(PLAIN) + 1):
        check_plain(boards, i, rows[path_of(i)])
    wrong = []
    for i, (quirk, verdict) in enumerate(TROUBLE, len(PLAIN) + 1):
        try:
            check_trouble(boards, i, quirk, verdict, rows[path_of(i)])
        except AssertionError as e:
            wrong.append(str(e))
    assert not wrong, "\n".join(wrong)


def test_a_daemon_and_watch_serve_a_board(t):
    """'bramble serve' and 'bramble usb watch' beside each other: a CM4 from its ROM to the boot.img of its plan, and its record."""
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    write(t.path("fw/bootcode4.bin"), noise("bootcode4.bin", 60_000))
    write(t.path("passwd"), b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    write(t.path("group"), b"root:x:0:\nnogroup:x:65534:\n")
    boards = t.enter(Boards(t, ["cm4"]))
    guest = t.enter(UsbGuest(t, boards, {t.bramble: "/bin/bramble"},
                             {t.path("fw"): "etc/bramble/usb-firmware", small_image(t): "small.img", t.path("passwd"): "etc/passwd",
                              t.path("group"): "etc/group"}))
    guest.run("ip", "link", "set", "lo", "up")
    guest.background("serve", "bramble serve /small.img --interface lo --address 127.0.0.1/8 --dhcp off --web off --state /tmp/state")
    guest.until("bramble --state /tmp/state board list", "serve")
    guest.background("watch", "bramble --state /tmp/state usb watch")
    boards.wait_for(1, "done")
    guest.until("bramble --state /tmp/state event list -t usb.done -o jsonl | grep -q .", "watch")

    def told(*words):
        status, said = guest.run("bramble", "--state", "/tmp/state", *words, "-o", "jsonl")
        assert status == 0, said
        return [json.loads(line) for line in said.splitlines() if line.startswith("{")]

    board, = told("board", "list")
    serial = boards.events()[0]["board"]
    assert board["serial"].endswith(serial) and board["image"] in ("small", None), board
    files = {e["name"]: e["bytes"] for e in seen(boards, 1, "file")}
    assert set(files) == {"config.txt", "boot.img"} and not seen(boards, 1, "wrong"), boards.events(1)
    status, said = guest.run("bramble", "--state", "/tmp/state", "sign", "bootimg", board["name"], "-o", "/tmp/boot.img")
    status, said = guest.run("stat", "-c", "%s", "/tmp/boot.img")
    assert status == 0 and int(said) == files["boot.img"], (said, files)    # its own plan's, and no other's
    timeline = told("event", "list", board["name"])
    types = [e["type"] for e in timeline]
    assert types.count("boot.start") == 1 and types[-1] == "usb.done" and timeline[-1]["fields"]["verdict"] == "done", timeline
    assert [e["fields"]["stage"] for e in timeline if e["type"] == "usb.found"] == ["rom", "file-server"], timeline
    sent = {e["fields"]["path"]: e["fields"] for e in timeline if e["type"] == "file.sent"}
    assert sent["boot.img"]["via"] == "usb" and sent["boot.img"]["bytes"] == files["boot.img"], timeline
    for name in ("watch", "serve"):
        assert guest.end(name) == 0, name


@long
def test_boards_that_keep_their_host_waiting(t):
    """Troubles whose verdict takes a minute or two."""
    boards, guest = start(t, [quirk for quirk, _ in SLOW])
    _, rows = boot(guest, len(SLOW))
    for i, (quirk, verdict) in enumerate(SLOW, 1):
        check_trouble(boards, i, quirk, verdict, rows[path_of(i)])


@long
def test_boards_that_begin_anew_for_ever(t):
    boards, guest = start(t, ["cm4:resets=2s", "cm4:loop"])
    for number, quirk in enumerate(("resets", "loop"), 1):
        _, rows = boot(guest, 1, "-p", path_of(number))
        check_trouble(boards, number, quirk, "resets", rows[path_of(number)])
