#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# 1000 virtual boards powered at once: 1 % loss, a tenth behind ports that open 30 s late; all up, time, memory
"""Switches a mixed fleet on against bramble serve, several times in a row, and says what came up.

    ./dev bench storm [--boards 1000] [--runs 3] [--loss 1] [--late 30:10] [--kernel 0.1] [--retry 3] [--image FILE] [--json FILE]

Server and boards share a network namespace with a bridge and this machine's processors: the rate is what both of
them manage together. Each run has a state directory, a bridge and a seed of its own. Memory is the daemon's
RssAnon (what is not page cache), looked at four times a second. A board is up when its kernel has its
address, has mounted its root over NFS and has read /sbin/init (or what is there instead) with the same bytes as
all others. Boot ROMs of the 3B and 3B+ give up for good after 25 s without an address, as real ones do: those behind
the late ports need their power cycled, which --retry allows and the table counts.
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(HERE)
BRAMBLE = os.environ.get("BRAMBLE", os.path.join(TOP, "build-bench", "bramble"))
CIDR = "10.77.0.1/16"
INSIDE = "BRAMBLE_BENCH_NETNS"
RUN_SECONDS = 600
MIB = 1 << 20
TREES = ("bcm2710-rpi-3-b.dtb", "bcm2710-rpi-3-b-plus.dtb", "bcm2711-rpi-4-b.dtb", "bcm2712-rpi-5-b.dtb")


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*argv, **more):
    subprocess.run(argv, check=True, stdin=None if "input" in more else subprocess.DEVNULL, **more)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)


def boot_files(directory, kernel):
    """Files with the heads of the real ones, and sizes in their proportions. Returns their paths."""
    noise = random.Random(1).randbytes
    files = {"config.txt": b"arm_64bit=1\nauto_initramfs=1\n",
             "cmdline.txt": b"console=serial0,115200 root=PARTUUID=12345678-02 rootwait\n",
             "kernel8.img": noise(56) + b"ARMd" + noise(kernel), "initramfs8": b"\x1f\x8b" + noise(kernel // 2),
             "bootcode.bin": noise(52_000)}
    for name in ("start.elf", "start4.elf"):
        files[name] = b"\x7fELF" + noise(kernel // 4)
    for name in ("fixup.dat", "fixup4.dat"):
        files[name] = noise(7000)
    for name in TREES:
        files[name] = b"\xd0\x0d\xfe\xed" + (30_000).to_bytes(4, "big") + noise(29_992)
    for name, data in files.items():
        write(os.path.join(directory, name), data)
    return [os.path.join(directory, name) for name in files]


def make_image(tmp, kernel):
    """MBR, FAT with the boot files, ext4 with an init of 1 MiB behind links as Debian has them."""
    path, fat, ext, root = (os.path.join(tmp, n) for n in ("storm.img", "p1", "p2", "root"))
    fat_mib = kernel * 3 // MIB + 16
    write(os.path.join(root, "etc", "os-release"), b'PRETTY_NAME="Storm 1"\nID=storm\nVERSION_ID="1"\n')
    write(os.path.join(root, "etc", "fstab"), b"proc /proc proc defaults 0 0\n")
    write(os.path.join(root, "etc", "hostname"), b"storm\n")
    write(os.path.join(root, "usr", "lib", "systemd", "systemd"), b"\x7fELF" + random.Random(2).randbytes(MIB))
    os.makedirs(os.path.join(root, "usr", "sbin"))
    os.makedirs(os.path.join(root, "boot", "firmware"))
    os.symlink("usr/sbin", os.path.join(root, "sbin"))
    os.symlink("../lib/systemd/systemd", os.path.join(root, "usr", "sbin", "init"))
    run("truncate", "-s", f"{fat_mib + 34}M", path)
    run("sfdisk", "-q", path, text=True, input="label: dos\nlabel-id: 0x12345678\n"
        f"start=2048,size={fat_mib * 2048},type=c\nstart={2048 + fat_mib * 2048},size={32 * 2048},type=83\n")
    run("truncate", "-s", f"{fat_mib}M", fat)
    run("mkfs.fat", "-n", "BOOTFS", fat, stdout=subprocess.DEVNULL)
    run("mcopy", "-i", fat, *boot_files(os.path.join(tmp, "boot"), kernel), "::")
    run("truncate", "-s", "32M", ext)
    run("mke2fs", "-q", "-t", "ext4", "-L", "rootfs", "-d", root, ext)
    run("dd", "if=" + fat, "of=" + path, "bs=1M", "seek=1", "conv=notrunc", "status=none")
    run("dd", "if=" + ext, "of=" + path, "bs=1M", f"seek={1 + fat_mib}", "conv=notrunc", "status=none")
    return path


class Daemon:
    """bramble serve, and an eye on its memory."""

    def __init__(self, tmp, number, image):
        self.log = open(os.path.join(tmp, f"serve-{number}.log"), "wb")
        self.state = os.path.join(tmp, f"state-{number}")
        self.process = subprocess.Popen([BRAMBLE, "serve", image, "--interface", "br0", "--address", CIDR, "--dhcp", "full",
                                         "--state", self.state], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.anon_kib = self.largest = 0
        self.ended = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def memory_kib(self):
        try:
            with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
                return int(next(line for line in f if line.startswith("RssAnon")).split()[1])
        except (OSError, StopIteration):
            return 0

    def watch(self):
        while not self.ended.wait(0.25):
            self.largest = max(self.largest, self.memory_kib())

    def wait_ready(self):
        for _ in range(600):
            r = subprocess.run([BRAMBLE, "--state", self.state, "status"], capture_output=True, check=False)
            if r.returncode == 0:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"bench: the daemon does not come up: see {self.log.name}")

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.ended.set()
        self.watcher.join()
        self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def storm(args, tmp, number, image):
    """One run: its summary with what was measured of the daemon."""
    run("ip", "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0")
    run("ip", "addr", "add", CIDR, "dev", "br0")
    run("ip", "link", "set", "br0", "up")
    daemon = Daemon(tmp, number, image)
    try:
        daemon.wait_ready()
        faults = [w for name, value in (("--loss", args.loss), ("--late-port", args.late)) if value != "0"
                  for w in (name, value)]
        r = subprocess.run([BRAMBLE, "sim", "--interface", "br0", "--storm", "--boards", str(args.boards), "--models", args.models,
                            "--retry", str(args.retry), "--seed", str(number), "--timeout", str(RUN_SECONDS), "-o", "json",
                            *faults], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
        lines = r.stdout.splitlines()
        if not lines:
            raise SystemExit(f"bench: the storm did not begin (status {r.returncode})")
        summary = json.loads(lines[-1])
        summary["daemon_cpu_s"] = daemon.cpu_seconds()
        return summary
    finally:
        status = daemon.end()
        run("ip", "link", "del", "br0")
        shutil.rmtree(daemon.state, ignore_errors=True)
        if status:
            raise SystemExit(f"bench: the daemon ended with status {status}: see {daemon.log.name}")
        if sys.exc_info()[0] is None:
            summary["daemon_anon_mib"] = daemon.largest / 1024


def table(results):
    out = [f"{'run':>3} {'up':>10} {'seconds':>8} {'half':>6} {'95 %':>6} {'MB/s':>7} {'GB':>6} {'CPU s':>6} {'RssAnon MiB':>11} "
           f"{'lost frames':>11} {'power cycles':>12}"]
    for i, s in enumerate(results):
        seconds = s["took_ms"] / 1000
        out.append(f"{i + 1:>3} {s['up']:>5}/{s['boards']:<4} {seconds:>8.1f} {s.get('p50_ms', 0) / 1000:>6.1f} "
                   f"{s.get('p95_ms', 0) / 1000:>6.1f} {s['bytes'] / seconds / 1e6:>7.1f} {s['bytes'] / 1e9:>6.2f} "
                   f"{s['daemon_cpu_s']:>6.1f} {s['daemon_anon_mib']:>11.1f} {s['frames_lost']:>11} {s['power_cycles']:>12}")
        out += [f"      {n:>5}  {words}" for words, n in s["reasons"].items()]
    return "\n".join(out)


def enter_namespace():
    if os.environ.get(INSIDE):
        run("ip", "link", "set", "lo", "up")
        return
    if os.geteuid() != 0:
        raise SystemExit("bench: needs root (a bridge, a tap, ports below 1024): sudo ./dev bench storm")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--net", sys.executable, os.path.abspath(__file__)] + sys.argv[1:])


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench storm")
    p.add_argument("--boards", type=int, default=1000)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--models", default="3b,3b+,4,5")
    p.add_argument("--loss", default="1", help="percent of frames, each way (0: none)")
    p.add_argument("--late", default="30:10", help="SECONDS:PERCENT of boards behind late ports (0: none)")
    p.add_argument("--retry", type=int, default=3, help="power cycles a dark board gets")
    p.add_argument("--kernel", type=float, default=0.1, help="MB of the made-up kernel; initramfs a half, start.elf a quarter")
    p.add_argument("--image", help="serve this image instead of a made-up one")
    p.add_argument("--json", help="also write the summaries to this file")
    return p.parse_args()


def main():
    args = arguments()
    tmp = tempfile.mkdtemp(prefix="bramble-bench-storm.")
    os.chmod(tmp, 0o755)
    ok = False
    try:
        image = args.image or make_image(tmp, int(args.kernel * 1e6))
        results = []
        for i in range(args.runs):
            say(f"run {i + 1}: {args.boards} boards")
            results.append(storm(args, tmp, i + 1, image))
        print(f"{args.boards} virtual boards ({args.models}) at once, {args.loss} % loss each way, late ports {args.late}, "
              f"{os.cpu_count()} processors for all of it")
        print(table(results))
        if args.json:
            with open(args.json, "w", encoding="utf-8") as f:
                json.dump(results, f, indent=1)
        ok = all(s["up"] == s["boards"] for s in results)
        return 0 if ok else 1
    finally:
        if ok:
            shutil.rmtree(tmp, ignore_errors=True)
        else:
            say(f"logs of the daemon are in {tmp}")


if __name__ == "__main__":
    enter_namespace()
    sys.exit(main())
