# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel with an initramfs of busybox and a few programs, under QEMU: a real NFS client in seconds."""
import gzip
import os
import platform
import stat

import debian
from guests import Guest

NETWORK = ("virtio_pci", "virtio_net", "nfsv3")
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /mnt /bin
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmp /tmp
chmod 1777 /tmp
dmesg -n 1
while read -r m; do insmod "$m"; done </modules
for w in $(cat /proc/cmdline); do case $w in address=*) address=${w#*=};; esac; done
ip link set lo up
ip addr add "$address" dev eth0
ip link set eth0 up
stty -echo cols 200
echo; echo GUEST-READY
while read -r line; do eval "$line"; done
"""


def _entry(number, name, mode, data=b""):
    """One file of a cpio archive (newc)."""
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
    return head.ljust(-(-len(head) // 4) * 4, b"\0") + data.ljust(-(-len(data) // 4) * 4, b"\0")


def cpio(files):
    """files: name -> (mode, bytes). Directories come before what is in them."""
    archive = b"".join(_entry(n + 1, name, *files[name]) for n, name in enumerate(sorted(files)))
    return archive + _entry(0, "TRAILER!!!", 0)


def _modules(top, names):
    """Paths of these modules and of what they need, in the order of loading."""
    depends = {}
    with open(os.path.join(top, "modules.dep")) as f:
        for line in f:
            path, needs = line.split(":")
            depends[os.path.basename(path).split(".")[0].replace("-", "_")] = [path, *needs.split()]
    order = []
    for name in names:
        for path in reversed(depends.get(name, [])):        # nearest first; not there: built in
            if path not in order:
                order.append(path)
    return [os.path.join(top, path) for path in order]


def x86_kernel(t):
    """Debian's kernel for clouds, the smallest: (where it is unpacked, version, kernel)."""
    top = debian.unpacked(t, "linux-image-cloud-amd64", suite="bookworm", arch="amd64")
    names = debian.depends(t, "linux-image-cloud-amd64", suite="bookworm", arch="amd64")
    package = next(n for n in names if n.startswith("linux-image-"))
    debian.unpacked(t, package, suite="bookworm", arch="amd64")
    version = package.removeprefix("linux-image-")
    return top, version, os.path.join(top, "boot", f"vmlinuz-{version}")


def _kernel(t, modules):
    """(kernel, [modules])"""
    if platform.machine() != "x86_64":
        t.skip("needs an x86-64 machine: its own programs run in the guest")
    t.need_program("qemu-system-x86_64", "depmod")
    top, version, image = x86_kernel(t)
    where = os.path.join(top, "lib/modules", version)
    if not os.path.exists(os.path.join(where, "modules.dep")):
        t.run("depmod", "-b", top, version)
    return image, _modules(where, modules)


def initramfs(t, modules, programs):
    """programs: name in /bin -> path of a static program here."""
    busybox = "/bin/busybox"
    if not os.path.exists(busybox):
        t.skip("no busybox-static (./dev deps test)")
    files = {name: (stat.S_IFDIR | 0o755, b"") for name in ("bin", "lib")}
    for name, path in {"busybox": busybox, **programs}.items():
        with open(path, "rb") as f:
            files[f"bin/{name}"] = (stat.S_IFREG | 0o755, f.read())
    order = []
    for path in modules:
        with open(path, "rb") as f:
            files[f"lib/{os.path.basename(path)}"] = (stat.S_IFREG | 0o644, f.read())
        order.append(f"/lib/{os.path.basename(path)}\n")
    files["modules"] = (stat.S_IFREG | 0o644, "".join(order).encode())
    files["init"] = (stat.S_IFREG | 0o755, INIT.encode())
    out = t.path("initramfs.gz")
    with open(out, "wb") as f:
        f.write(gzip.compress(cpio(files), 1))
    return out


class SmallLinux(Guest):
    """Reads lines for its shell, as root, with this address ("10.77.0.21/24"); command() runs one."""

    def __init__(self, t, net, mac, address, programs, modules=NETWORK, memory=512):
        image, found = _kernel(t, modules)
        super().__init__(t, net, "linux", ["qemu-system-x86_64", "-M", "q35,graphics=off", "-cpu", "max", "-kernel", image,
                                           "-initrd", initramfs(t, found, programs), "-append",
                                           f"console=ttyS0 quiet panic=-1 net.ifnames=0 address={address}"], mac, memory=memory)
        self.expect(r"^GUEST-READY", 120)

    def sh(self, line, seconds=300):
        said = self.command(line, seconds)
        assert self.status == 0, f"{line}: status {self.status}: {said[-2000:]}"
        return said
