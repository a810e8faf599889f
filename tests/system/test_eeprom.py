# SPDX-License-Identifier: Apache-2.0
"""bramble eeprom: the command on an image made here, and an update that a board fetches from the daemon."""
import hashlib
import json
import os

from daemon import Daemon
from eepromimage import CONFIG, image, image_ab, recovery
from images import small_image
from netlab import ADDRESS, Net
from systemtests import quick


def put(path, data):
    with open(path, "wb") as f:
        f.write(data)
    return path


def get(path):
    with open(path, "rb") as f:
        return f.read()


@quick
def test_eeprom_images_are_looked_at_and_changed(t):
    file, out = put(t.path("a.bin"), image()), t.path("b.bin")

    def eeprom(*words, **how):
        return t.run(t.bramble, "eeprom", *words, **how)

    shown = json.loads(eeprom("show", file, "-o", "json").stdout)
    assert shown["chip"] == "BCM2711" and shown["version"] == "0123abcd" and not shown["signed_boot"], shown
    assert [s["name"] for s in shown["sections"] if s["kind"] == "file"][-1] == "bootconf.txt"
    assert eeprom("get", file).stdout.encode() == CONFIG
    assert eeprom("set", file, "BOOT_UART=0", check=False).returncode == 2      # where to?
    eeprom("set", file, "BOOT_UART=0", "HTTP_PORT=8080", "-o", out)
    assert eeprom("get", out).stdout.encode() == CONFIG.replace(b"UART=1", b"UART=0").replace(b"f21\n", b"f21\nHTTP_PORT=8080\n")
    eeprom("set", out, "-i", "BOOT_UART=1", "--unset", "HTTP_PORT")
    assert get(out) == get(file)
    refused = eeprom("set", out, "-i", "DHCP_TIMEOUT=10", check=False)
    assert refused.returncode == 1 and "5000" in refused.stderr, refused.stderr
    assert "did you mean BOOT_ORDER" in eeprom("set", out, "-i", "BOOT_ODER=1").stderr
    assert eeprom("check", out, check=False).returncode == 6
    eeprom("set", out, "-i", "--config", put(t.path("c"), b"BOOT_ORDER=0xf2\n"))
    assert eeprom("check", out, check=False).returncode == 0
    assert eeprom("check", put(t.path("u.txt"), b"UART_BAUD=115200\nBOOT_ORDER=0xf21\n"), check=False).returncode != 1
    differs = eeprom("diff", file, out, "-o", "json", check=False)
    assert differs.returncode == 1 and any(d["name"] == "BOOT_ORDER" for d in json.loads(differs.stdout)), differs.stdout
    assert eeprom("diff", file, file).stdout == ""
    # not a byte more in common than there is: what has no name, and what boards write
    other = bytearray(image())
    other[-1] ^= 1
    differs = eeprom("diff", file, put(t.path("tail.bin"), other), "-o", "json", check=False)
    assert differs.returncode == 1 and [d["name"] for d in json.loads(differs.stdout)] == ["other bytes"], differs.stdout
    halves = put(t.path("ab.bin"), image_ab())
    for at, name in ((0x107000, "partition B"), (0x1fe000, "journals")):
        other = bytearray(image_ab())
        other[at:at + 4] = b"\x55\xaa\xf0\xff" if at < 0x1fe000 else b"JRNL"
        differs = eeprom("diff", halves, put(t.path("used.bin"), other), "-o", "json", check=False)
        row, = json.loads(differs.stdout)
        assert differs.returncode == 1 and (row["what"], row["name"], row["a"]) == ("area", name, "empty") and len(row["b"]) == 64, row
    for wrong in (b"", image()[:-1], bytes(512 << 10), image().replace(b"\x55\xaa\xf4\x4f", b"\x55\xaa\xf4\x40")):
        r = eeprom("show", put(t.path("wrong.bin"), wrong), check=False)
        assert r.returncode == 1 and "wrong.bin" in r.stderr, r.stderr


@quick
def test_eeprom_editor(t):
    file = put(t.path("a.bin"), image())
    t.env["EDITOR"] = "sed -i s/BOOT_UART=1/BOOT_UART=7/"
    r = t.run(t.bramble, "eeprom", "edit", file, "-i", check=False)
    assert r.returncode == 1 and "must be 0 or 1" in r.stderr and "your text is in" in r.stderr, r.stderr
    assert get(file) == image()
    t.env["BRAMBLE_STATE"] = t.path("state")
    t.run(t.bramble, "eeprom", "edit", file, "-o", t.path("forced.bin"), "--force")
    t.run(t.bramble, "eeprom", "set", file, "-o", t.path("forced.bin"), "--force", *["DHCP_TIMEOUT=10"] * 40)
    first, second = [json.loads(line) for line in get(t.path("state/audit.log")).decode().splitlines()]
    assert first["action"] == "force" and "must be 0 or 1" in first["text"] and "5000" in second["text"], (first, second)
    assert len(second["text"]) == 1000 and second["text"].endswith("..."), second       # as much as the daemon takes
    t.env["EDITOR"] = "sed -i s/BOOT_UART=1/BOOT_UART=0/"
    t.run(t.bramble, "eeprom", "edit", file, "-i")
    assert "BOOT_UART=1" not in t.run(t.bramble, "eeprom", "get", file).stdout
    t.env["EDITOR"] = "false"
    assert t.run(t.bramble, "eeprom", "edit", file, "-i", check=False).returncode == 1


@quick
def test_eeprom_signed_with_openssls_word(t):
    t.need_program("openssl")
    file, key, pub, sig = put(t.path("a.bin"), image()), t.path("key.pem"), t.path("pub.pem"), t.path("sig")
    t.run("openssl", "genrsa", "-out", key, "2048")
    t.run("openssl", "pkey", "-in", key, "-pubout", "-out", pub)
    t.run(t.bramble, "eeprom", "set", file, "-i", "SIGNED_BOOT=1", "--sign", key)
    lines = t.run(t.bramble, "eeprom", "get", file, "bootconf.sig").stdout.splitlines()
    config = t.run(t.bramble, "eeprom", "get", file, "-o", t.path("conf"))
    assert config.stdout == "" and lines[0] == hashlib.sha256(get(t.path("conf"))).hexdigest()
    put(sig, bytes.fromhex(lines[2].split()[1]))
    t.run("openssl", "dgst", "-sha256", "-verify", pub, "-signature", sig, t.path("conf"))
    assert t.run(t.bramble, "eeprom", "check", file, check=False).returncode != 1
    # a change that the signature no longer fits: refused, forced (which is written down first), or signed again at once
    t.env["BRAMBLE_STATE"] = t.path("state")
    before = get(file)
    broken = t.run(t.bramble, "eeprom", "set", file, "-i", "BOOT_UART=0", check=False)
    assert broken.returncode == 1 and "of another bootconf.txt" in broken.stderr and get(file) == before, broken.stderr
    t.run(t.bramble, "eeprom", "set", file, "-o", t.path("again.bin"), "BOOT_UART=0", "--sign", key)
    assert not os.path.exists(t.path("state/audit.log"))
    t.run(t.bramble, "eeprom", "set", file, "-i", "BOOT_UART=0", "--force")
    assert "of another bootconf.txt" in get(t.path("state/audit.log")).decode()
    assert t.run(t.bramble, "eeprom", "check", file, check=False).returncode == 1
    # no output over a key, nor over what is read
    pem = get(key)
    for words in (("get", file, "-o", key), ("get", file, "-o", file), ("set", file, "BOOT_UART=1", "-o", key),
                  ("edit", file, "-o", key), ("set", file, "--pubkey", pub, "-o", pub), ("set", file, "--config", t.path("conf"), "-o", t.path("conf"))):
        was = get(file), get(pub), get(t.path("conf"))
        r = t.run(t.bramble, "eeprom", *words, check=False)
        assert r.returncode == 1 and "written over" in r.stderr, (words, r.stderr)
        assert (get(file), get(pub), get(t.path("conf"))) == was and get(key) == pem, words


@quick
def test_eeprom_update_refuses_what_kills_boards(t):
    t.env["SOURCE_DATE_EPOCH"] = "1700000000"
    new, old, dir = put(t.path("new.bin"), image()), put(t.path("old.bin"), image(1673395200)), t.path("out")

    def update(*words, check=True):
        return t.run(t.bramble, "eeprom", "update", *words, "--state", t.path("state"), check=check)

    r = update(old, "--dir", dir, check=False)
    assert r.returncode == 1 and "2023-01-11" in r.stderr and not os.path.exists(dir), r.stderr
    r = update(new, "--dir", dir, "--chip", "5", check=False)
    assert r.returncode == 1 and "the board has a BCM2712" in r.stderr and not os.path.exists(dir), r.stderr
    update(new, "--dir", dir, "--chip", "CM4")
    assert get(dir + "/pieeprom.upd") == image()
    assert get(dir + "/pieeprom.sig").decode() == hashlib.sha256(image()).hexdigest() + "\nts: 1700000000\n"
    update(new, "--dir", t.path("usb"), "--as", "rpiboot", "--recovery", put(t.path("recovery.bin"), recovery()), "--option", "recovery_reboot=1")
    assert sorted(os.listdir(t.path("usb"))) == ["bootcode4.bin", "config.txt", "pieeprom.bin", "pieeprom.sig"]
    r = update(new, "--dir", dir, "--min-date", "2026-08-13", "--remember", check=False)
    assert r.returncode == 1 and "before 2026-08-13" in r.stderr, r.stderr
    update(new, "--dir", dir)                                                   # not remembered: it was refused
    assert update(new, "--as", "rpiboot", "--recovery", t.path("recovery.bin"), check=False).returncode == 2
    update(new, "--dir", dir, "--min-date", "2026-08-13", "--remember", "--force")
    assert "before 2026-08-13" in get(t.path("state/audit.log")).decode()
    r = update(old, "--dir", t.path("low"), "--min-date", "1970-01-02", check=False)
    assert r.returncode == 1 and "lowered from 2026-08-13" in r.stderr and not os.path.exists(t.path("low")), r.stderr
    r = update(new, "--dir", t.path("forced"), check=False)                     # remembered
    assert r.returncode == 1 and not os.path.exists(t.path("forced")), r.stderr
    assert "FORCED although" in update(new, "--dir", t.path("forced"), "--force").stderr
    assert get(t.path("forced/pieeprom.upd")) == image()


@quick
def test_eeprom_update_over_the_network(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "curl")
    net = t.enter(Net())
    d = t.enter(Daemon(t, net, "--overrides", t.path("boot"), image=small_image(t)))
    for name, model, last in (("pi07", "4B", "7"), ("pi08", "5", "8")):
        d.cli("board", "add", name, "--mac", f"dc:a6:32:00:00:0{last}", "--serial", f"5b00000{last}", "--model", model)
    file = put(t.path("new.bin"), image())
    words = ("eeprom", "update", file, "--overrides", t.path("boot"), "--board", "pi0[7-8]")
    r = d.cli(*words, check=False)
    assert r.returncode == 1 and "pi08: refused: the image is for BCM2711" in r.stderr, r.stderr
    assert os.path.exists(t.path("boot/pi07/pieeprom.sig")) and not os.path.exists(t.path("boot/pi08"))
    client = net.client(mac="dc:a6:32:00:00:07")
    client.address("10.77.0.9/24")
    t.run(*client.exec("curl", "-sS", "-m", "20", "-o", t.path("got"), f"tftp://{ADDRESS}/5b000007/pieeprom.upd"))
    assert get(t.path("got")) == image()
    d.cli(*words, "--force")
    events = {e["board"]: e["fields"] for e in d.jsonl("event", "list", "-t", "eeprom.update")}
    assert events["pi07"]["sha256"] == hashlib.sha256(image()).hexdigest() and "forced" not in events["pi07"], events
    assert "BCM2712" in events["pi08"]["forced"], events
