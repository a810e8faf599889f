# SPDX-License-Identifier: Apache-2.0
"""Boards that are User Mode Linux: a real kernel, its NFS client among it, as a program, many times as fast as emulation.

They have no firmware: a small initramfs mounts the root that the daemon has for their MAC address.
"""
import contextlib
import fcntl
import hashlib
import itertools
import os
import signal

import debian
import images
import initramfs
from boards import Board
from netlab import ADDRESS
from serial import Console

_number = itertools.count()
HOME = "usr/lib/uml/modules"
MODULES = ("nfsv3",)
PACKAGES = "systemd-sysv,udev,iproute2,procps,login,passwd,busybox,e2fsprogs"
ROOT_MIB = 640
START = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox modprobe nfsv3
for word in $(/bin/busybox cat /proc/cmdline); do
	case $word in address=*|board=*|options=*) eval "${word%%=*}=${word#*=}";; esac
done
/bin/busybox ip link set vec0 up
/bin/busybox ip addr add "$address/24" dev vec0
"""
MOUNT = f'mount -t nfs -o "vers=3,tcp,nolock,port=2049,mountport=2049,addr={ADDRESS}$options" "{ADDRESS}:/$board" /root'
INIT = START + f"""until /bin/busybox {MOUNT}; do
	/bin/busybox sleep 1
done
exec /bin/busybox switch_root /root /sbin/init
"""
# a shell instead of the board's system: it reads lines
SHELL = START + """/bin/busybox --install -s /bin
export PATH=/bin
mkdir /tmp
mount -t tmpfs -o mode=1777 tmp /tmp
stty -echo cols 200
echo
echo SHELL-READY
while read -r line; do eval "$line"; done
"""
SETUP = """
echo ttyS0 >>"$1/etc/securetty"
echo 'root:raspberry' | chroot "$1" chpasswd
echo uninitialized >"$1/etc/machine-id"
echo board >"$1/etc/hostname"
printf 'PARTUUID=12345678-01 /boot/firmware vfat defaults,nofail 0 2\\nPARTUUID=12345678-02 / ext4 defaults,noatime 0 1\\n' >"$1/etc/fstab"
mkdir -p "$1/boot/firmware" "$1/etc/ssh"
for unit in systemd-firstboot systemd-pstore getty-static e2scrub_reap; do
	chroot "$1" systemctl mask -q $unit.service
done
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap
"""


def program(t, init=INIT, programs=()):
    """(kernel, initramfs); the test skips where they cannot be had. programs: static ones for its /bin."""
    t.need_program("busybox", "cpio")
    top = debian.unpacked(t, "user-mode-linux")
    version = sorted(os.listdir(f"{top}/{HOME}"))[-1]
    source, tree = f"{top}/{HOME}/{version}", t.path("initramfs")
    for file in initramfs.modules(source, MODULES):
        os.makedirs(os.path.dirname(f"{tree}/lib/modules/{version}/{file}"), exist_ok=True)
        t.run("cp", f"{source}/{file}", f"{tree}/lib/modules/{version}/{file}")
    t.run("cp", f"{source}/modules.dep", f"{tree}/lib/modules/{version}/")
    os.makedirs(f"{tree}/bin")
    t.run("cp", "/bin/busybox", *programs, f"{tree}/bin/")
    with open(f"{tree}/init", "w") as f:
        f.write(init)
    os.chmod(f"{tree}/init", 0o755)
    return f"{top}/usr/bin/linux.uml", initramfs.archive(tree, t.path("initramfs.cpio"))


def _root(t, into):
    """Debian with systemd, as an ext4."""
    t.need_root()
    t.need_program("mmdebstrap", "mke2fs")
    tree = t.path("uml-root")
    t.run("mmdebstrap", "--variant=minbase", "--mode=root", f"--include={PACKAGES}", "--dpkgopt=path-exclude=/usr/share/doc/*",
          "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
          "--dpkgopt=force-unsafe-io", "--aptopt=Acquire::Languages \"none\"", "bookworm", tree, timeout=1800)
    t.run("sh", "-eu", "-c", SETUP, "sh", tree)
    t.run("mke2fs", "-q", "-t", "ext4", "-L", "rootfs", "-d", tree, into, f"{ROOT_MIB}M", timeout=600)
    t.run("rm", "-rf", "--one-file-system", tree)


def image(t):
    """A raw image with Debian amd64 in its root, made once and kept in the cache."""
    what = f"{PACKAGES} {ROOT_MIB} {SETUP}"
    path = f"{debian.CACHE}/uml-{hashlib.sha256(what.encode()).hexdigest()[:12]}.img"
    os.makedirs(debian.CACHE, exist_ok=True)
    with open(f"{debian.CACHE}/uml.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            _root(t, t.path("root.ext4"))
            images.with_root(t, path + ".new", t.path("root.ext4"), ROOT_MIB)
            os.rename(path + ".new", path)
    return path


def _with_words(words):
    """Processes that have all of these among their arguments."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
            if words <= set(f.read().split(b"\0")):
                yield int(pid)


class _Uml(Console):
    def __init__(self, argv, *more, **named):
        super().__init__(argv, *more, **named)
        self.words = {word.encode() for word in argv if word.startswith(("umid=", "uml_dir="))}

    def close(self):
        """It is many processes; the one that waits for the terminal's size has a session of its own and would stay."""
        for pid in _with_words(self.words):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return super().close()


def console(t, net, made, name, mac, address, options="", memory="512M"):
    """Starts one; at its console."""
    n = next(_number)
    argv = net.exec(made[0], f"initrd={made[1]}", f"mem={memory}", f"umid={name}{n}", f"uml_dir={t.path('uml')}",
                    f"vec0:transport=tap,ifname={net.tap(f'uml{n}')},mac={mac},depth=128,gro=1", f"address={address}",
                    f"board={name}", f"options={options}", "ssl0=fd:0,fd:1", "ssl=null", "con=null", "console=ttyS0",
                    "rdinit=/init", "systemd.unified_cgroup_hierarchy=1")
    return _Uml(argv, t.path(f"board-{name}-{n}.log"), env={**t.env, "TMPDIR": t.dir})


class UmlBoard(Board):
    """A board that the daemon knows by name, with an address set there."""

    def __init__(self, t, net, made, name, mac, address, options="", memory="512M"):
        self.t = t
        self.console = console(t, net, made, name, mac, address, options, memory)
