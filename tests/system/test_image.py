# SPDX-License-Identifier: Apache-2.0
"""bramble image: what goes in comes out, and what is wrong leaves nothing behind."""
import bz2
import gzip
import hashlib
import os
import random
import shutil
import struct
import subprocess

from images import sha256, small_image
from systemtests import quick, wait_until

MIB = 1 << 20


def cli(t, *arguments, check=True):
    return t.run(t.bramble, "--state", t.path("state"), "image", *arguments, check=check)


def nothing_was_left(t):
    """No image is listed and no file of any size stays in the state directory's store."""
    listed = cli(t, "list", "-o", "json").stdout.strip()
    assert listed in ("", "[]"), listed
    large = [(os.path.join(d, f), os.path.getsize(os.path.join(d, f)))
             for d, _, files in os.walk(t.path("state")) for f in files
             if "images" in d and os.path.getsize(os.path.join(d, f)) > 0]
    assert not large, large


@quick
def test_add_list_show_ls_cat_rm(t):
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    path = small_image(t)
    before = sha256(path)
    cli(t, "add", path, "--name", "small")
    assert "small" in cli(t, "list").stdout
    shown = cli(t, "show", "small").stdout
    assert "Small Linux" in shown, shown
    assert before in shown, shown
    assert "kernel8.img" in cli(t, "ls", "small", "/boot/firmware/").stdout
    assert "etc" in cli(t, "ls", "small", "/").stdout
    assert cli(t, "cat", "small", "/etc/hostname").stdout == "small\n"
    assert cli(t, "cat", "small", "/boot/firmware/config.txt").stdout.startswith("arm_64bit=1\n")
    cli(t, "rm", "small")
    assert "small" not in cli(t, "list").stdout
    assert sha256(path) == before, "the source was changed"


@quick
def test_every_compression_gives_the_same_image(t):
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "xz", "zstd", "zip")
    path = small_image(t)
    with open(path, "rb") as f:
        data = f.read()
    want = hashlib.sha256(data).hexdigest()
    with gzip.open(path + ".gz", "wb") as f:
        f.write(data)
    with bz2.open(path + ".bz2", "wb") as f:
        f.write(data)
    t.run("xz", "-k", "-T2", "--block-size=1MiB", path)
    t.run("zstd", "-q", path, "-o", path + ".zst")
    t.run("zip", "-q", "-j", path + ".zip", path)
    for suffix in ("", ".gz", ".bz2", ".xz", ".zst", ".zip"):
        name = "as" + suffix.replace(".", "-")
        cli(t, "add", path + suffix, "--name", name)
        shown = cli(t, "show", name).stdout
        assert want in shown, f"{suffix}: {shown}"


def bad_inputs(t):
    """(what, path, a word the message must hold or None)"""
    good = small_image(t)
    with open(good, "rb") as f:
        data = f.read()
    t.run("xz", "-k", good)
    with open(good + ".xz", "rb") as f:
        packed = f.read()

    def write(name, content):
        with open(t.path(name), "wb") as f:
            f.write(content)
        return t.path(name)

    lying = bytearray(data)
    struct.pack_into("<I", lying, 446 + 16 + 12, 0xffffff00)     # the second partition ends far outside
    corrupt = bytearray(packed)
    corrupt[len(packed) // 2] ^= 0xff
    return [
        ("truncated xz", write("cut.img.xz", packed[:len(packed) * 2 // 3])),
        ("corrupt xz", write("corrupt.img.xz", bytes(corrupt))),
        ("text", write("text.img", b"I am a text file, not an image.\n" * 100)),
        ("empty", write("empty.img", b"")),
        ("zeros", write("zeros.img", bytes(8 * MIB))),
        ("random bytes", write("random.img", random.Random(2).randbytes(MIB))),
        ("partition outside the image", write("lying.img", bytes(lying))),
        ("a directory", t.dir),
        ("a missing file", t.path("not-there.img")),
        ("cut image", write("cut.img", data[:9 * MIB])),
    ]


@quick
def test_bad_inputs_are_refused_with_words_and_leave_nothing(t):
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "xz")
    for what, path in bad_inputs(t):
        r = cli(t, "add", path, "--name", "bad", check=False)
        assert r.returncode != 0, f"{what}: was accepted"
        assert r.returncode in (1, 2, 3), f"{what}: status {r.returncode}"
        assert os.path.basename(path) in r.stderr, f"{what}: the message does not name the file: {r.stderr}"
        nothing_was_left(t)


def stored_bytes(t):
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(t.path("state")) for f in files)


@quick
def test_an_interrupted_import_leaves_nothing(t):
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    source = small_image(t)
    # long enough to be caught in the middle
    with open(source, "ab") as f:
        for i in range(40):
            f.write(random.Random(i).randbytes(8 * MIB))
    p = subprocess.Popen([t.bramble, "--state", t.path("state"), "image", "add", source, "--name", "slow"],
                         env=t.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: p.poll() is not None or stored_bytes(t) > 2 * MIB, 60, "the import runs")
    p.terminate()
    _, words = p.communicate(timeout=60)
    t.note(words.decode(errors="replace"))
    if p.returncode == 0:
        t.skip("this machine imports 344 MiB before it can be interrupted")
    nothing_was_left(t)


@quick
def test_a_full_disk_leaves_nothing(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    path = small_image(t)
    # random data instead of holes, so that it cannot fit
    with open(path, "r+b") as f:
        f.seek(12 * MIB)
        f.write(random.Random(3).randbytes(11 * MIB))
    os.makedirs(t.path("state"))
    t.run("mount", "-t", "tmpfs", "-o", "size=4M", "none", t.path("state"))
    t.stack.callback(lambda: t.run("umount", t.path("state")))
    r = cli(t, "add", path, "--name", "large", check=False)
    assert r.returncode == 1, r.returncode
    assert "space" in r.stderr.lower() or "full" in r.stderr.lower() or "room" in r.stderr.lower(), r.stderr
    nothing_was_left(t)


@quick
def test_paths_cannot_leave_the_image(t):
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    cli(t, "add", small_image(t), "--name", "small")
    for path in ("/../../../etc/passwd", "/boot/firmware/../etc/hostname", "/etc/../../etc/shadow", "/boot/firmware/..\\config.sys"):
        r = cli(t, "cat", "small", path, check=False)
        assert r.returncode != 0, f"{path}: {r.stdout[:100]}"


def test_the_stock_like_image(t):
    image = t.image()
    shutil.rmtree(t.path("state"), ignore_errors=True)
    cli(t, "add", image, "--name", "stock")
    shown = cli(t, "show", "stock").stdout
    for word in ("Debian GNU/Linux 12", "arm64"):
        assert word in shown, shown
    assert "start.elf" in cli(t, "ls", "stock", "/boot/firmware/").stdout
    assert "root=PARTUUID=" in cli(t, "cat", "stock", "/boot/firmware/cmdline.txt").stdout
    assert cli(t, "cat", "stock", "/etc/hostname").stdout == "raspberrypi\n"
