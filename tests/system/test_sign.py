# SPDX-License-Identifier: Apache-2.0
"""bramble sign: every signature is verified by openssl alone; signed boot.img reaches virtual boards that check it."""
import glob
import hashlib
import json
import os
import struct

from daemon import Daemon
from eepromimage import image as eeprom_image
from images import small_image
from netlab import Net
from systemtests import quick

EPOCH = "1700000000"
BLOCK = 532


def sign(t, *words, check=True, **more):
    return t.run(t.bramble, "--state", t.path("state"), "sign", *words, check=check, **more)


def keys(t):
    t.need_program("openssl")
    t.env["SOURCE_DATE_EPOCH"] = EPOCH
    sign(t, "key", "new", "lab")
    pem = t.path("state/keys/lab.pem")
    assert os.stat(pem).st_mode & 0o7777 == 0o600
    t.run("openssl", "rsa", "-in", pem, "-pubout", "-out", t.path("lab-pub.pem"))
    return pem


def read(path):
    with open(path, "rb") as f:
        return f.read()


def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    return path


def openssl_verifies(t, data, signature):
    put(t.path("signed.data"), data)
    put(t.path("signed.sig"), signature)
    r = t.run("openssl", "dgst", "-sha256", "-verify", t.path("lab-pub.pem"), "-signature", t.path("signed.sig"), t.path("signed.data"))
    assert "Verified OK" in r.stdout, r.stdout


def published_sig(t, pem, path, soc=None):
    """The text of the published tools, made of sha256sum's and openssl's output."""
    t.run("openssl", "dgst", "-sign", pem, "-sha256", "-out", t.path("rsa"), path)
    return (hashlib.sha256(read(path)).hexdigest() + f"\nts: {EPOCH}\n" + (f"target-soc: {soc}\n" if soc else "") +
            f"rsa2048: {read(t.path('rsa')).hex()}\n")


@quick
def test_files_are_signed_as_openssl_signs(t):
    pem = keys(t)
    example = t.shared("example-public.pem")
    if example:
        assert sign(t, "key", "hash", example).stdout.strip() == "8251a63a2edee9d8f710d63e9da5d639064929ce15a2238986a189ac6fcd3cee"
    assert sign(t, "key", "new", "lab", check=False).returncode != 0       # never written over
    for name in ("lab.bin", "lab.der"):                                     # PEM under a name that says otherwise, and not where keys are
        assert sign(t, "key", "new", name, check=False).returncode == 2 and not os.path.exists(name), name
    sign(t, "pubkey", "lab", "-o", t.path("pubkey.bin"))
    pub = read(t.path("pubkey.bin"))
    assert len(pub) == 264 and pub[256:] == struct.pack("<Q", 65537)
    listed = json.loads(sign(t, "key", "list", "-o", "json").stdout)
    assert [(k["name"], k["kind"], k["otp_hash"]) for k in listed] == [("lab", "private", hashlib.sha256(pub).hexdigest())], listed

    conf = put(t.path("d/bootconf.txt"), b"[all]\nSIGNED_BOOT=1\n")
    assert "SIGNED_BOOT" not in sign(t, "bootconf", conf, "--key", "lab").stderr
    ten = put(t.path("ten.txt"), b"[all]\nSIGNED_BOOT=10\n#SIGNED_BOOT=1\n")
    assert "does not say SIGNED_BOOT=1" in sign(t, "bootconf", ten, "--key", "lab").stderr
    assert "SIGNED_BOOT" not in sign(t, "bootconf", put(ten, b"[pi5]\nSIGNED_BOOT=0x1\n"), "--key", "lab").stderr
    assert read(t.path("d/bootconf.sig")).decode() == published_sig(t, pem, conf)
    sign(t, "file", conf, "--key", pem, "--target-soc", "2712", "-o", t.path("x.sig"))
    assert read(t.path("x.sig")).decode() == published_sig(t, pem, conf, 2712)
    sign(t, "file", conf, "--no-key", "-o", t.path("y.sig"))
    assert read(t.path("y.sig")).decode() == hashlib.sha256(read(conf)).hexdigest() + f"\nts: {EPOCH}\n"

    def verify(*words):
        return sign(t, "verify", conf, *words, check=False)

    assert verify("--key", "lab").returncode == 0
    assert verify("--key", t.path("pubkey.bin")).returncode == 0
    assert verify().returncode == 20                                        # signed, and no key to check it with
    r = verify("--sig", t.path("y.sig"))
    assert r.returncode == 22 and "signature  none" in r.stdout and "not all is signed" in r.stdout, r.stdout
    r = verify("--sig", t.path("y.sig"), "--key", "lab", "-o", "json")
    assert r.returncode == 1 and [c["check"] for c in json.loads(r.stdout)["checks"] if c["result"] == "INVALID"] == ["signature"]
    assert verify("--key", "lab", "--min-ts", "1800000000").returncode == 1
    sign(t, "key", "new", t.path("other.pem"))
    assert verify("--key", t.path("other.pem")).returncode == 1
    put(conf, b"[all]\nSIGNED_BOOT=0\n")
    r = verify("--key", "lab", "-o", "json")
    assert r.returncode == 1 and {c["check"]: c["result"] for c in json.loads(r.stdout)["checks"]} == {
        "hash": "INVALID", "signature": "INVALID", "ts": "valid"}, r.stdout
    put(t.path("bad.sig"), b"no signature\n")
    assert verify("--sig", t.path("bad.sig")).returncode == 21
    assert verify("--sig", t.path("absent.sig")).returncode == 3
    t.run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", t.path("ec.pem"))
    r = sign(t, "file", conf, "--key", t.path("ec.pem"), check=False)
    assert r.returncode and "RSA-2048 only" in r.stderr, r.stderr


@quick
def test_nothing_is_written_over(t):
    """Keys, inputs and files of another kind survive every -o; a key that does not open leaves boot.img and boot.sig as they were."""
    pem = keys(t)
    key = read(pem)
    conf = put(t.path("bootconf.txt"), b"[all]\nSIGNED_BOOT=1\n")
    put(t.path("boot/config.txt"), b"arm_64bit=1\n")
    os.link(pem, t.path("same.pem"))
    t.run("openssl", "rsa", "-in", pem, "-outform", "der", "-out", t.path("key.der"))
    t.run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", t.path("ec.pem"))
    for words in (("pubkey", pem, "-o", pem), ("pubkey", "lab", "-o", t.path("same.pem")), ("pubkey", "lab", "-o", t.path("key.der")),
                  ("pubkey", "lab", "-o", t.path("ec.pem")), ("pubkey", t.path("lab-pub.pem"), "-o", t.path("lab-pub.pem")),
                  ("file", conf, "--key", "lab", "-o", conf), ("file", conf, "--key", "lab", "-o", pem),
                  ("file", conf, "--no-key", "-o", t.path("lab-pub.pem")), ("bootconf", conf, "--key", "lab", "-o", t.path("ec.pem")),
                  ("recovery", conf, "--key", "lab", "-o", conf), ("recovery", conf, "--key", "lab", "-o", pem),
                  ("eeprom", conf, "--key", "lab", "-o", conf), ("eeprom", conf, "--key", "lab", "-o", pem),
                  ("eeprom", conf, "--key", "lab", "--config", t.path("lab-pub.pem"), "-o", t.path("lab-pub.pem")),
                  ("eeprom", conf, "--key", "lab", "-o", t.path("h.sig")),
                  ("bootimg", t.path("boot"), "-o", pem), ("bootimg", t.path("boot"), "--key", "lab", "-o", t.path("h.sig"))):
        before = {path: read(path) for path in (pem, conf, t.path("lab-pub.pem"), t.path("key.der"), t.path("ec.pem"))}
        r = sign(t, *words, check=False)
        assert r.returncode and ("written over" in r.stderr or "is no signature file" in r.stderr), f"{words}: {r.stderr}"
        assert all(read(path) == data for path, data in before.items()) and not os.path.exists(t.path("h.sig")), words
    assert read(pem) == key
    # boot.img and boot.sig are of one piece
    sign(t, "bootimg", t.path("boot"), "-o", t.path("o/boot.img"), check=False)
    os.makedirs(t.path("o"))
    sign(t, "bootimg", t.path("boot"), "-o", t.path("o/boot.img"), "--key", "lab")
    pair = read(t.path("o/boot.img")), read(t.path("o/boot.sig"))
    put(t.path("boot/config.txt"), b"arm_64bit=0\n")
    for bad in (t.path("nokey.pem"), t.path("lab-pub.pem"), t.path("ec.pem")):
        assert sign(t, "bootimg", t.path("boot"), "-o", t.path("o/boot.img"), "--key", bad, check=False).returncode
        assert (read(t.path("o/boot.img")), read(t.path("o/boot.sig"))) == pair and len(os.listdir(t.path("o"))) == 2, bad
    sign(t, "bootimg", t.path("boot"), "-o", t.path("o/boot.img"), "--key", "lab")
    assert read(t.path("o/boot.img")) != pair[0] and sign(t, "verify", t.path("o/boot.img"), "--key", "lab").returncode == 0
    assert "earlier boot.img" in sign(t, "bootimg", t.path("boot"), "-o", t.path("o/boot.img")).stderr


def block_of(data):
    length, keynum, version = struct.unpack("<III", data[-BLOCK:-BLOCK + 12])
    return length, keynum, version, data[-BLOCK + 12:-264], data[-264:]


@quick
def test_eeprom_images_are_signed(t):
    images = sorted(glob.glob(os.path.join(t.shared("eeprom") or "/nonexistent", "*.bin")))
    if not images:
        t.skip("no stock EEPROM images: shared/data/eeprom is not beside the tree")
    keys(t)
    conf = put(t.path("bootconf.txt"), b"[all]\nBOOT_UART=1\nBOOT_ORDER=0xf21\nSIGNED_BOOT=1\n")
    for image in images:
        out = t.path("out", os.path.basename(image))
        os.makedirs(t.path("out"), exist_ok=True)
        old = "2020" in image
        r = sign(t, "eeprom", image, "--key", "lab", "--config", conf, "-o", out, "--fw-version", "0", check=False)
        if old:
            assert r.returncode and "before signed boot" in r.stderr and not os.path.exists(out), r.stderr
            continue
        assert r.returncode == 0, r.stderr
        data = read(out)
        assert len(data) == os.path.getsize(image)
        assert read(out[:-4] + ".sig").decode() == hashlib.sha256(data).hexdigest() + f"\nts: {EPOCH}\n"
        files = sections(data)
        assert files["bootconf.txt"] == read(conf)
        lines = files["bootconf.sig"].decode().splitlines()
        assert lines[0] == hashlib.sha256(read(conf)).hexdigest() and lines[1] == f"ts: {EPOCH}"
        openssl_verifies(t, read(conf), bytes.fromhex(lines[2].removeprefix("rsa2048: ")))
        sign(t, "pubkey", "lab", "-o", t.path("pubkey.bin"))
        assert files["pubkey.bin"] == read(t.path("pubkey.bin"))
        for name in [n for n in ("bootcode", "bootsys") if n in files and len(data) > 1 << 20]:
            length, keynum, version, rsa, pub = block_of(files[name])
            assert (length, keynum, version, pub) == (len(files[name]) - BLOCK, 16, 0, read(t.path("pubkey.bin"))), name
            openssl_verifies(t, files[name][:-BLOCK + 12], rsa)
        # nothing else has changed
        before = sections(read(image))
        assert {n for n in before if before[n] != files[n]} <= {"bootconf.txt", "bootconf.sig", "pubkey.bin", "bootcode", "bootsys"}
        assert before.keys() == files.keys()
        assert sign(t, "verify", out, "--key", "lab", check=False).returncode == 0
        assert sign(t, "verify", out, check=False).returncode == 20
        broken = bytearray(data)
        at = data.index(b"BOOT_UART=1")
        broken[at + 10] ^= 1
        put(t.path("broken.bin"), broken)
        r = sign(t, "verify", t.path("broken.bin"), "--key", "lab", "-o", "json", check=False)
        assert r.returncode == 1 and "bootconf.txt hash" in [c["check"] for c in json.loads(r.stdout)["checks"] if c["result"] == "INVALID"]
        if len(data) > 1 << 20:
            fuse(t, out, before["bootcode"], too_old="2024" in image)
            broken = bytearray(data)
            broken[100] ^= 1
            put(t.path("broken.bin"), broken)
            assert sign(t, "verify", t.path("broken.bin"), "--key", "lab", check=False).returncode == 1
            # boot code that is damaged is not counter-signed
            broken = bytearray(read(image))
            broken[100] ^= 1
            put(t.path("broken.bin"), broken)
            r = sign(t, "eeprom", t.path("broken.bin"), "--key", "lab", "-o", t.path("no.bin"), check=False)
            assert r.returncode and "damaged" in r.stderr and not os.path.exists(t.path("no.bin")), r.stderr


def fuse(t, image, bootcode, too_old):
    """The recipe that burns; only after serial and hash were typed, never without a line in the log, never an image that 'eeprom
    update' refuses."""
    recovery = put(t.path("recovery.bin"), bootcode)
    out = t.path("fuse-" + os.path.basename(image))
    words = ("fuse", "10000000abcdef01", "--key", "lab", "--image", image, "--firmware", recovery, "--dir", out)
    if too_old:
        r = sign(t, *words, "--burn", input="10000000abcdef01\n", check=False)
        assert r.returncode and "2025-02-11" in r.stderr and not os.path.exists(out), r.stderr
        return
    r = sign(t, *words)
    assert "Nothing was written" in r.stdout and not os.path.exists(out)
    key_hash = sign(t, "key", "hash", "lab").stdout.strip()
    assert sign(t, *words, "--burn", input="10000000abcdef02\n", check=False).returncode != 0
    assert sign(t, *words, "--burn", input="10000000abcdef01\n0000000000000000\n", check=False).returncode != 0
    assert not os.path.exists(out)
    sign(t, *words, "--burn", input=f"10000000abcdef01\n{key_hash[:16]}\n")
    assert sorted(os.listdir(out)) == ["bootcode5.bin", "config.txt", "pieeprom.bin", "pieeprom.sig"]
    assert "program_pubkey=1" in read(os.path.join(out, "config.txt")).decode()
    log = [json.loads(line) for line in read(t.path("state/audit.log")).decode().splitlines()]
    assert hashlib.sha256(read(image)).hexdigest() in log[-1]["text"] and not os.path.exists(out + ".part"), log
    assert log[-1]["action"] == "fuse" and log[-1]["serial"] == "10000000abcdef01" and key_hash in log[-1]["text"]
    # a counter-signed recovery does not start on a board that is not fused
    sign(t, "recovery", recovery, "--key", "lab", "-o", t.path("signed-recovery.bin"), "--fw-version", "3")
    data = read(t.path("signed-recovery.bin"))
    length, keynum, version, rsa, _ = block_of(data)
    assert (length, keynum, version) == (len(bootcode), 16, 3)
    openssl_verifies(t, data[:-BLOCK + 12], rsa)
    assert sign(t, "verify", t.path("signed-recovery.bin"), "--key", "lab", check=False).returncode == 0
    again = [*words[:-3], t.path("signed-recovery.bin"), "--dir", t.path("no")]
    r = sign(t, *again, check=False)
    assert r.returncode and "counter-signed" in r.stderr, r.stderr


def sections(data):
    """Names to contents, by the rules of the format alone."""
    out, at = {}, 0
    while at + 8 <= len(data):
        magic, length = struct.unpack(">II", data[at:at + 8])
        if magic in (0, 0xffffffff):
            break
        body = data[at + 8:at + 8 + length]
        if magic == 0x55aaf00f:
            out["bootcode"] = body
        elif magic != 0x55aafeef:
            out.setdefault(body[:12].rstrip(b"\0").decode("latin-1"), body[16:])
        at = (at + 8 + length + 7) & ~7
    return out


def reclaim(t, data, offset, length, key):
    """Boot code of an EEPROM image, its last block made anew with a key of ours under the number that it had."""
    code = bytearray(data[offset:offset + length])
    t.run("openssl", "dgst", "-sha256", "-sign", key, "-out", t.path("rsa"), put(t.path("part"), bytes(code[:-BLOCK + 12])))
    sign(t, "pubkey", key, "-o", t.path("claim.bin"))
    code[-BLOCK + 12:] = read(t.path("rsa")) + read(t.path("claim.bin"))
    return data[:offset] + bytes(code) + data[offset + length:]


@quick
def test_verify_says_where_it_did_not_look(t):
    keys(t)
    conf = put(t.path("bootconf.txt"), b"[all]\nBOOT_ORDER=0xf21\nSIGNED_BOOT=1\n")

    def verify(path, *words):
        r = sign(t, "verify", path, "-o", "json", *words, check=False)
        found = json.loads(r.stdout) if r.stdout else {"checks": [], "result": None}
        return r.returncode, found["result"], {c["check"]: c["result"] for c in found["checks"]}

    # BCM2711: nobody but the ROM can check the first stage; what is not there is said
    made = put(t.path("2711.bin"), eeprom_image())
    assert verify(made) == (22, "partly", {"bootconf.txt signature": "none", "bootcode vendor": "not checked"})
    assert verify(made, "--key", "lab")[0] == 1
    sign(t, "eeprom", made, "--key", "lab", "--config", conf, "-o", t.path("signed.bin"))
    code, result, rows = verify(t.path("signed.bin"), "--key", "lab")
    assert (code, result, rows["bootcode vendor"]) == (0, "valid", "not checked") and rows["hash"] == "valid", rows
    assert "as far as anybody but a board can check" in sign(t, "verify", t.path("signed.bin"), "--key", "lab").stdout
    sign(t, "file", t.path("signed.bin"), "--no-key", "--target-soc", "2712", "-o", t.path("signed.sig"))
    code, result, rows = verify(t.path("signed.bin"), "--key", "lab")
    assert (code, result, rows["target-soc"]) == (1, "invalid", "INVALID"), rows
    at = made_code(eeprom_image())
    put(t.path("cut.bin"), eeprom_image()[:at - 284] + bytes(284) + eeprom_image()[at:])
    assert verify(t.path("cut.bin"))[2]["bootcode vendor"] == "INVALID"
    put(t.path("noconf.bin"), eeprom_image().replace(b"bootconf.txt", b"bootconf.tx_"))
    assert verify(t.path("noconf.bin"))[::2] == (1, {"bootconf.txt signature": "INVALID", "bootcode vendor": "not checked"})
    # a boot.img of an EEPROM's size is a boot.img
    put(t.path("boot.img"), b"\xeb\x3c\x90".ljust(510, b"\0") + b"\x55\xaa" + bytes((512 << 10) - 512))
    sign(t, "file", t.path("boot.img"), "--key", "lab", "--target-soc", "2711")
    code, result, rows = verify(t.path("boot.img"), "--key", "lab")
    assert (code, result) == (0, "valid") and rows == {"hash": "valid", "signature": "valid", "ts": "valid", "target-soc": "not checked"}, rows
    os.unlink(t.path("boot.sig"))
    assert verify(t.path("boot.img"))[0] == 21

    stock = t.shared("eeprom", "2712-2026-08-12.bin")
    if not stock:
        return
    assert verify(stock)[:2] == (22, "partly")
    data = read(stock)
    length, = struct.unpack(">I", data[4:8])
    put(t.path("evil.bin"), reclaim(t, data, 8, length, t.path("state/keys/lab.pem")))
    code, result, rows = verify(t.path("evil.bin"))
    assert (code, result, rows["bootcode vendor"], rows["bootsys vendor"]) == (1, "invalid", "INVALID", "valid"), rows
    r = sign(t, "eeprom", t.path("evil.bin"), "--key", "lab", "-o", t.path("no.bin"), check=False)
    assert r.returncode and "another key" in r.stderr and not os.path.exists(t.path("no.bin")), r.stderr
    assert "another key than Raspberry Pi's" in t.run(t.bramble, "eeprom", "check", t.path("evil.bin"), check=False).stderr
    # signed and not counter-signed: dark once fused
    sign(t, "eeprom", stock, "--key", "lab", "--config", conf, "--no-countersign", "-o", t.path("half.bin"))
    code, result, rows = verify(t.path("half.bin"), "--key", "lab")
    assert (code, result, rows["bootcode signature"], rows["bootconf.txt signature"]) == (22, "partly", "none", "valid"), rows
    sign(t, "eeprom", stock, "--key", "lab", "--config", conf, "-o", t.path("whole.bin"))
    os.unlink(t.path("whole.sig"))
    assert verify(t.path("whole.bin"), "--key", "lab")[:2] == (0, "valid")
    # partition B was used
    used = bytearray(read(t.path("whole.bin")))
    used[0x107000:0x107004] = b"\x55\xaa\xf0\xff"
    code, result, rows = verify(put(t.path("used.bin"), used), "--key", "lab")
    assert (code, result, rows["partition B"]) == (22, "partly", "not checked"), rows


def made_code(data):
    """Where the first stage of an image ends."""
    return 8 + struct.unpack(">I", data[4:8])[0]


@quick
def test_boot_images_are_made_and_signed(t):
    t.need_program("fsck.fat", "mdir", "mcopy", "mtype")
    pem = keys(t)
    files = {"config.txt": b"arm_64bit=1\n", "kernel8.img": os.urandom(700_000), "cmdline.txt": b"console=serial0\n",
             "bcm2711-rpi-4-b.dtb": b"\xd0\x0d\xfe\xed" + bytes(50_000), "start4.elf": bytes(2_000_000), "fixup4.dat": bytes(5000),
             "start.elf": bytes(10), "overlays/a long name of an overlay.dtbo": b"dtbo"}
    for name, data in files.items():
        put(t.path("boot", name), data)
    for model, left_out in (("4B", "start.elf"), (None, None)):
        out = t.path("boot.img")
        words = ("bootimg", t.path("boot"), "-o", out, "--key", "lab", *(("--model", model) if model else ()))
        r = sign(t, *words)
        assert "warning" not in r.stderr, r.stderr
        first = read(out)
        sign(t, *words)
        assert read(out) == first, "the same files gave other bytes"
        assert read(t.path("boot.sig")).decode() == published_sig(t, pem, out)
        assert sign(t, "verify", out, "--key", "lab", check=False).returncode == 0
        t.run("fsck.fat", "-n", out)
        label = t.run("mdir", "-i", out, "::/").stdout
        assert "BOOT" in label.splitlines()[0] and first[13] == 1 and struct.unpack("<H", first[17:19]) == (256,), label
        for name, data in files.items():
            r = t.run("mcopy", "-n", "-o", "-i", out, f"::{name}", t.path("got"), check=False)
            assert (r.returncode != 0) == (name == left_out), name
            assert name == left_out or read(t.path("got")) == data, name
    os.unlink(t.path("boot/fixup4.dat"))
    r = sign(t, "bootimg", t.path("boot"), "-o", t.path("boot.img"), "--model", "4B")
    assert "fixup4.dat is missing" in r.stderr, r.stderr
    r = sign(t, "bootimg", t.path("boot"), "-o", t.path("boot.img"), "--model", "5")
    assert "bcm2712-rpi-5-b.dtb is missing" in r.stderr, r.stderr
    with open(t.path("boot/large"), "wb") as f:
        f.truncate(130 << 20)
    os.unlink(t.path("boot.img"))
    r = sign(t, "bootimg", t.path("boot"), "-o", t.path("boot.img"), check=False)
    assert r.returncode and not os.path.exists(t.path("boot.img")), r.stderr


@quick
def test_signed_boards_boot_their_plan(t):
    """A Pi 4 and a Pi 5 with signed boot, over both roads; a flipped bit, another key, no key."""
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "curl")
    keys(t)
    del t.env["SOURCE_DATE_EPOCH"]
    t.run("chmod", "755", t.path("state"))
    sign(t, "key", "new", t.path("other.pem"))
    image = small_image(t)
    os.makedirs(t.path("boot/all"))
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--overrides", t.path("boot"), image=image))

    def boot(model, serial, *words, public="lab-pub.pem"):
        r = t.run(*net.exec(t.bramble, "sim", "--model", model, "--serial", serial, "--interface", "br0", "--speed", "0",
                            "-o", "json", "--signed", t.path(public), *words), timeout=120, check=False)
        return r, [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]

    for n, (model, road) in enumerate((m, r) for m in ("4", "5") for r in ("tftp", "http")):
        serial = f"1000b0{n:02x}"
        daemon.cli("board", "add", f"pi{n}", "--serial", serial, "--model", "4B" if model == "4" else model)
        r, _ = boot(model, serial, "--road", road)
        assert r.returncode and "boot.sig: missing" in r.stdout, r.stdout[-900:]
        if n == 0:
            unusable_keys_are_refused(t, daemon)
        daemon.cli("board", "edit", f"pi{n}", "--signed", "lab")
        r, events = boot(model, serial, "--road", road)
        assert r.returncode == 0, f"{model} {road}: {r.stdout[-900:]} {r.stderr[-600:]}"
        names = [e["name"].split("/")[-1] for e in events if e["what"] == "file"]
        assert set(names[:2]) == {"boot.img", "boot.sig"} and len(names) > 3, names
        kernel = [e for e in events if e["what"] == "kernel"]
        assert len(kernel) == 1 and f"/pi{n}," in kernel[0]["text"], kernel     # its own plan's root
        r, _ = boot(model, serial, "--road", road, public="other.pem")
        assert r.returncode and "was not signed with the key of this board" in r.stdout, r.stdout[-900:]

    # the same files give the same bytes at the next boot, too
    def fetch(name):
        t.run(*net.exec("curl", "-sS", "-f", "-m", "60", "--unix-socket", t.path("state/api.sock"), "-o", t.path(name),
                        f"http://x/v1/boards/pi0/bootfile?name={name}"))

    fetch("boot.img")
    first, number = read(t.path("boot.img")), daemon.json("board", "show", "pi0")[0]["boot"]["number"]
    assert boot("4", "1000b000", "--road", "tftp")[0].returncode == 0
    assert daemon.json("board", "show", "pi0")[0]["boot"]["number"] > number
    fetch("boot.img")
    assert read(t.path("boot.img")) == first
    fetch("boot.sig")

    # the same bytes with one bit flipped, and the signature of before
    data = bytearray(read(t.path("boot.img")))
    data[len(data) // 2] ^= 1
    put(t.path("boot/pi0/boot.img"), data)
    put(t.path("boot/pi0/boot.sig"), read(t.path("boot.sig")))
    for road in ("tftp", "http"):
        r, _ = boot("4", "1000b000", "--road", road)
        assert r.returncode and "is not the file that boot.sig signs" in r.stdout, r.stdout[-900:]
    # a signature of the overrides without its boot.img: right while it is of the one that is made
    fetch("boot.sig")
    os.unlink(t.path("boot/pi0/boot.img"))
    r, _ = boot("4", "1000b000")
    assert r.returncode == 0, r.stdout[-900:]
    put(t.path("boot/pi0/boot.sig"), read(t.path("boot.sig")).replace(hashlib.sha256(first).hexdigest().encode(), b"0" * 64))
    r, _ = boot("4", "1000b000")
    assert r.returncode and "boot.sig: missing" in r.stdout, r.stdout[-900:]
    missing = [e for e in daemon.jsonl("event", "list", "pi0") if e["type"] == "file.missing" and "boot.sig" in e["fields"]["path"]]
    assert "another boot.img" in missing[-1]["fields"].get("reason", ""), missing
    # the key is gone: said so, and nothing unsigned is given out as signed
    os.rename(t.path("state/keys/lab.pem"), t.path("state/keys/gone.pem"))
    r, _ = boot("5", "1000b002")
    assert r.returncode and "boot.sig: missing" in r.stdout, r.stdout[-900:]
    missing = [e for e in daemon.jsonl("event", "list", "pi2") if e["type"] == "file.missing" and "boot.sig" in e["fields"]["path"]]
    assert "lab.pem" in missing[-1]["fields"].get("reason", ""), missing
    # what cannot be undone is in the timeline when a daemon answers
    example = t.shared("eeprom", "2712-2026-08-12.bin")
    if example:
        sign(t, "eeprom", example, "--key", "gone", "-o", t.path("pieeprom.bin"))
        put(t.path("recovery.bin"), sections(read(example))["bootcode"])
        key_hash = sign(t, "key", "hash", "gone").stdout.strip()
        t.run(*net.exec(t.bramble, "--state", t.path("state"), "sign", "fuse", "pi2", "--key", "gone", "--image", t.path("pieeprom.bin"),
                        "--firmware", t.path("recovery.bin"), "--dir", t.path("fuse"), "--burn"),
              input=f"1000b002\n{key_hash[:16]}\n")
        audit = [e for e in daemon.jsonl("event", "list", "pi2", "-t", "audit") if e["fields"]["action"] == "fuse"]
        assert len(audit) == 1 and key_hash in audit[0]["fields"]["text"], audit
        assert not os.path.exists(t.path("state/audit.log"))
    # what the command line makes of the board is what the daemon serves it
    daemon.cli("sign", "bootimg", "pi1", "-o", t.path("cli.img"))
    t.run(*net.exec("curl", "-sS", "-f", "-m", "60", "--unix-socket", t.path("state/api.sock"), "-o", t.path("boot.img"),
                    "http://x/v1/boards/pi1/bootfile?name=boot.img"))
    assert read(t.path("cli.img")) == read(t.path("boot.img"))
    r = daemon.cli("sign", "bootimg", "pi1", "--model", "5", "-o", t.path("no.img"), check=False)
    assert r.returncode and "a board's own model counts" in r.stderr and not os.path.exists(t.path("no.img")), r.stderr
    name = daemon.json("image", "list")[0]["name"]
    r = daemon.cli("sign", "bootimg", name, "--model", "3B", "-o", t.path("three.img"))
    assert "a Raspberry Pi 3 Model B could not boot from it" in r.stderr, r.stderr


def unusable_keys_are_refused(t, daemon):
    """A key that the daemon cannot sign with would show as a dark board, once it is fused."""
    put(t.path("words"), b"secret\n")
    sign(t, "key", "new", "locked", "--passphrase-file", t.path("words"))
    put(t.path("state/keys/half.pem"), read(t.path("lab-pub.pem")))
    for key, code, words in (("labb", 3, "there is no key 'labb'"), ("locked", 2, "passphrase"), ("half", 2, "public half only")):
        r = daemon.cli("board", "edit", "pi0", "--signed", key, check=False)
        assert r.returncode == code and words in r.stderr, (key, r.returncode, r.stderr)
        r = daemon.cli("board", "add", "pi9", "--serial", "1000b099", "--signed", key, check=False)
        assert r.returncode and words in r.stderr, (key, r.stderr)
    assert daemon.json("board", "show", "pi0")[0]["signed"] is None
