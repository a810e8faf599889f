# SPDX-License-Identifier: Apache-2.0
"""What POSIX says of files (tests/posix), on a local file system and through Linux's NFS client."""
import glob
import os
import subprocess

import uml
from daemon import Daemon
from images import small_image
from netlab import Net
from steps import parse_tap
from systemtests import TOP, long, quick

MAC = "b8:27:eb:12:34:70"
BOARD = "10.77.0.21"
LOCAL = ("ext4", "xfs", "btrfs")        # tmpfs and overlayfs differ


def suite(t):
    """The suite as one static program."""
    compiler = os.environ.get("CC", "cc").split()
    t.need_program(compiler[0])
    out = t.path("posix_suite")
    t.run(*compiler, "-std=gnu17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-O1", "-Wall", "-Wextra",
          "-Wno-unused-parameter", "-static", "-o", out, *sorted(glob.glob(os.path.join(TOP, "tests/posix/*.c"))))
    return out


def check(t, said, status, least):
    """TAP of a run: all planned cases are there and good; those that are known not to be have a reason."""
    passed, failed, skipped, planned = parse_tap(said)
    t.note(said[-6000:])
    bad = [line for line in said.splitlines() if line.startswith("not ok") and "# TODO" not in line]
    assert not bad and status == 0, f"status {status}: {bad}"
    assert planned == passed + failed + len(skipped) and passed >= least, (planned, passed, failed, skipped)


@quick
def test_the_suite_is_right_on_a_local_file_system(t):
    t.need_root()
    program = suite(t)
    kind = t.run("stat", "-f", "-c", "%T", t.dir).stdout.strip().replace("ext2/ext3", "ext4")
    if kind not in LOCAL:
        t.skip(f"{t.dir} is on {kind}")
    os.mkdir(t.path("files"))
    r = subprocess.run([program, t.path("files")], text=True, errors="replace", stdout=subprocess.PIPE, timeout=300)
    check(t, r.stdout, r.returncode, 125)


def over_nfs(t, seconds, *options, size="2G", mke2fs=("-b", "4096")):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "e2fsck")
    program = suite(t)
    made = uml.program(t, uml.SHELL, [program])
    net = t.enter(Net())
    image = small_image(t, mke2fs=mke2fs)
    # in memory: every CREATE waits for the host's disk, and what it does with it is not what is tested here
    os.mkdir(t.path("state"))
    t.run("mount", "-t", "tmpfs", "-o", "size=512M", "none", t.path("state"))
    t.stack.callback(lambda: t.run("umount", t.path("state")))
    with Daemon(t, net, image=image) as d:
        d.cli("board", "add", "pi07", "--mac", MAC, "--address", BOARD, "--disk", "persistent", "--size", size)
        with uml.console(t, net, made, "pi07", MAC, BOARD) as linux:
            linux.expect(r"^SHELL-READY", 300)
            for line in (uml.MOUNT, "mkdir /root/files"):
                said = linux.command(line)
                assert linux.status == 0, f"{line}: {said}"
            said = linux.command(f"posix_suite {' '.join(options)} /root/files", seconds)
            status = linux.status
            linux.command("umount /root")
        d.cli("disk", "export", "pi07", t.path("disk.ext4"))
        t.run("e2fsck", "-fn", t.path("disk.ext4"))
    check(t, said, status, 120)


def test_linux_finds_posix_on_a_disk(t):
    over_nfs(t, 600)


@long
def test_linux_finds_posix_on_a_disk_in_the_slow_cases_too(t):
    over_nfs(t, 7200, "-l", size="4G")


@long
def test_linux_finds_posix_on_a_disk_of_small_blocks(t):
    over_nfs(t, 1800, mke2fs=("-b", "1024", "-O", "^extents,^64bit"))
