# SPDX-License-Identifier: Apache-2.0
"""A PC under QEMU with a real kernel's USB stack, and virtual boards on its USB ports ('bramble sim --usb')."""
import json
import lzma
import os
import re
import shlex
import subprocess
import time

import debian
import initramfs
from serial import Console
from systemtests import stop

PATIENCE = 600      # seconds; never asserted, only so that a hang ends
PORTS = 15          # of an xHCI controller
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin
for module in $(cat /modules); do insmod "/lib/modules/$module"; done
stty -echo -onlcr cols 200
echo
echo GUEST-READY
while read -r line; do eval "$line"; done
"""


def _kernel(t):
    """(vmlinux, directory of its modules), Debian's for PCs; the smaller one for clouds has no USB."""
    top = debian.unpacked(t, "linux-image-amd64", suite="bookworm", arch="amd64")
    name = next(n for n in debian.depends(t, "linux-image-amd64", suite="bookworm", arch="amd64") if n.startswith("linux-image-"))
    debian.unpacked(t, name, suite="bookworm", arch="amd64")
    version = name.removeprefix("linux-image-")
    home = f"{top}/lib/modules/{version}"
    if not os.path.exists(f"{home}/modules.dep"):
        t.need_program("depmod")
        t.run("depmod", "-b", top, version)
    return _unpacked_kernel(t, f"{top}/boot/vmlinuz-{version}"), home


def _unpacked_kernel(t, path):
    """The ELF file inside, which QEMU starts by PVH: an emulated processor would unpack it for many seconds."""
    with open(path, "rb") as f:
        data = f.read()
    into = t.path("vmlinux")
    at = data.find(b"\xfd7zXZ\0")
    if at < 0:
        return path
    with open(into, "wb") as f:
        f.write(lzma.LZMADecompressor().decompress(data[at:]))
    return into


def _initramfs(t, home, programs, files):
    tree = t.path("guest")
    order = initramfs.modules(home, ["xhci_pci"])
    for module in order:
        os.makedirs(os.path.dirname(f"{tree}/lib/modules/{module}"), exist_ok=True)
        t.run("cp", f"{home}/{module}", f"{tree}/lib/modules/{module}")
    with open(f"{tree}/modules", "w") as f:
        f.write("\n".join(order) + "\n")
    initramfs.add(tree, "/bin/busybox", "/bin/busybox")
    for source, target in programs.items():
        initramfs.add(tree, source, target)
    for source, target in files.items():
        os.makedirs(os.path.dirname(f"{tree}/{target}"), exist_ok=True)
        t.run("cp", "-rL", source, f"{tree}/{target}")
    with open(f"{tree}/init", "w") as f:
        f.write(INIT)
    os.chmod(f"{tree}/init", 0o755)
    return initramfs.archive(tree, t.path("guest.cpio"))


def path_of(number):
    """Of the board on a port (from 1), as Linux names it: each controller has a bus of USB 2 and one of USB 3."""
    return f"{(number - 1) // PORTS * 2 + 1}-{(number - 1) % PORTS + 1}"


class Boards:
    """Virtual boards waiting for a guest's ports: 'bramble sim --usb'."""

    def __init__(self, t, kinds, *more, name="boards"):
        self.sockets, self.log, self.kinds = t.path(name), t.path(f"{name}.log"), kinds
        self.out = open(self.log, "w+")
        self.process = subprocess.Popen([t.bramble, "sim", "--usb", ",".join(kinds), "--usb-sockets", self.sockets, "-o", "json",
                                         *more], env=t.env, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out)
        self._wait(lambda: sum(e["what"] == "listening" for e in self.events()) == len(kinds), "listening")

    def _wait(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self.process.poll() is None, f"the virtual boards ended before {what}"
            assert time.monotonic() < end, f"the virtual boards: not {what}"
            time.sleep(0.05)

    def events(self, number=None):
        """What they said so far; of the board on one port (from 1)."""
        with open(self.log) as f:
            found = [json.loads(line) for line in f if line.startswith("{") and line.endswith("}\n")]
        if number is None:
            return found
        mine = [e["board"] for e in found if e["what"] == "listening" and e["port"] == number]
        return [e for e in found if e["board"] in mine]

    def wait_for(self, number, what):
        self._wait(lambda: any(e["what"] == what for e in self.events(number)), what)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        stop(self.process)
        self.out.close()


class UsbGuest(Console):
    """The PC. programs and files: {path here: path there}; boards: what is on its USB ports (None: more, words for QEMU, says it)."""

    def __init__(self, t, boards, programs, files, memory=768, more=()):
        t.need_program("qemu-system-x86_64", "busybox", "cpio", "ldd")
        kernel, home = _kernel(t)
        archive = _initramfs(t, home, programs, files)
        words = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr audit=0 random.trust_cpu=on"
        argv = ["qemu-system-x86_64", "-M", "q35", "-cpu", "max", "-m", str(memory), "-nodefaults", "-display", "none", "-no-reboot",
                "-monitor", "none", "-serial", "stdio", "-kernel", kernel, "-initrd", archive, "-append", words,
                "-nic", "none", *more]
        for i, _ in enumerate(boards.kinds if boards else ()):
            if i % PORTS == 0:
                argv += ["-device", f"qemu-xhci,id=usb{i // PORTS},p2={PORTS},p3=1"]
            argv += ["-chardev", f"socket,id=port{i + 1},path={boards.sockets}/port{i + 1}.sock",
                     "-device", f"usb-redir,chardev=port{i + 1},bus=usb{i // PORTS}.0,port={i % PORTS + 1}"]
        super().__init__(argv, t.path("guest.log"), env=t.env)
        self.expect(r"^GUEST-READY\n", PATIENCE)

    def run(self, *argv, seconds=PATIENCE):
        """A command in the guest: (status, what it printed)."""
        self.send(shlex.join(argv) + "; echo \"ended $?\"\n")
        said, m = self.expect(r"^ended (\d+)\n", seconds)
        return int(m[1]), said

    def background(self, name, command):
        """Something that runs on in the guest; its words go to /tmp/NAME.log there."""
        self.run("sh", "-c", f"(exec {command}) >/tmp/{name}.log 2>&1 & echo $! >/tmp/{name}.pid")

    def until(self, command, name):
        """Waits until a command in the guest goes well, while what is in the background as 'name' is there."""
        status, said = self.run("sh", "-c", f"until {command} >/dev/null 2>&1; do kill -0 $(cat /tmp/{name}.pid) || exit 1; sleep 1; done")
        assert status == 0, said + self.run("cat", f"/tmp/{name}.log")[1]

    def end(self, name):
        """Ends what is in the background: 0 when it went, and no sanitizer had to say anything."""
        status, said = self.run("sh", "-c", f"kill $(cat /tmp/{name}.pid); n=0; while kill -0 $(cat /tmp/{name}.pid) 2>/dev/null; "
                                f"do n=$((n+1)); [ $n -gt 60 ] && exit 1; sleep 1; done; ! grep -E 'Sanitizer|runtime error' /tmp/{name}.log")
        return status

    def devices(self):
        """{path: "vendor:product"} as the kernel sees them."""
        _, said = self.run("sh", "-c", "for d in /sys/bus/usb/devices/*-*; do [ -e $d/idVendor ] && echo ${d##*/} $(cat $d/idVendor)"
                           ":$(cat $d/idProduct); done; true")
        return dict(re.findall(r"^(\d+-[\d.]+) (\w{4}:\w{4})$", said, re.M))
