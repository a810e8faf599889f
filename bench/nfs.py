#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# NFS beside NFS-Ganesha (VFS): large reads, small durable files, a real boot replayed, writing, the cost of a board
"""Measures bramble's NFS server and NFS-Ganesha (its VFS backend on the same tree, extracted) in one run, in turns.

    ./dev bench nfs [--rounds 3] [--only read,small,boot,write,board,layers] [--dir DIR] [--no-rt] [--json FILE]

Both servers run at once, each in a network namespace of its own, over its loopback; the load (bench/nfsload.c, on
libnfs) goes to one after the other. Client k has the k-th address, so that bramble gives each a disk of its own; for the
boots Ganesha gets a copy of the tree per board. Servers and load run with real-time priority, so that what else the
machine does disturbs the figures less. CPU is what the server's process used, by /proc. The median of the rounds counts.

Ganesha as it comes syncs what is written with FILE_SYNC, but leaves new and removed names to the host's next journal
commit, which RFC 1813 does not allow; 'small' also measures it with directories that the host keeps in sync (chattr +D).
"""
import argparse
import atexit
import contextlib
import json
import lzma
import os
import re
import resource
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from urllib.parse import unquote

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BENCH_BUILD", os.path.join(os.path.dirname(HERE), "build-bench"))
LOAD = os.path.join(BUILD, "bench", "nfsload")
SERVER = os.path.join(BUILD, "bench", "nfsd_bramble")
LAYERS = os.path.join(BUILD, "bench", "layersbench")
BIG = 256 << 20
BOOTS = 8
BOARDS = 1000
GIGABIT = 117.0  # MB/s of data on such a link
GANESHA = """
NFS_CORE_PARAM {{ Protocols = 3; NFS_Port = 2049; MNT_Port = 20048; Enable_NLM = false; Enable_RQUOTA = false;
    Enable_UDP = false; mount_path_pseudo = false; }}
EXPORT_DEFAULTS {{ Access_Type = RW; Squash = No_Root_Squash; Sectype = sys; Protocols = 3; Transports = TCP; }}
EXPORT {{ Export_Id = 1; Path = {dir}/trees; Pseudo = /trees; FSAL {{ Name = VFS; }} }}
LOG {{ Default_Log_Level = CRIT; Facility {{ name = FILE; destination = "{dir}/ganesha.log"; enable = active; }} }}
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*argv, **kw):
    subprocess.run(argv, check=True, **kw)


# ---- what is served ----

def write_marked(path, number, size, read):
    """Blocks that say which they are, as far as they are read; nfsload checks them. The rest is a hole."""
    with open(path, "wb") as f:
        for block in range(0, min(size, read), 4096):
            f.write((struct.pack("<QQ", number, block // 4096) * 256)[:min(4096, size - block)])
        f.truncate(size)


def make_tree(root, trace):
    """The tree the trace was made on, plus the files of the other measurements."""
    paths = {0: root}
    os.makedirs(root)
    later = []
    for line in trace:
        if not line.startswith("o "):
            continue
        word = line.rstrip("\n").split(" ")
        n, parent, kind, mode, size, read = map(int, word[1:7])
        path = os.path.join(paths[parent], unquote(word[7])) if parent in paths else None
        if path is None or os.path.lexists(path):
            continue
        paths[n] = path
        if kind == 2:
            os.mkdir(path)
        elif kind == 5:
            os.symlink(unquote(word[8]) or "none", path)
            continue
        else:
            write_marked(path, n, size, read)
        later.append((path, mode))
    for path, mode in later:
        os.chmod(path, mode)
    for name in ("bench", "bench/small"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    with open(os.path.join(root, "bench", "one"), "wb") as f:
        f.write(b"x" * 4096)
    return root


def make_image(tree, path, size):
    with open(path, "wb") as f:
        f.truncate(size)
    run("sfdisk", "-q", path, input=b"label: dos\nstart=2048, type=83\n")
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, "-E", "offset=1048576", path, f"{size // 1024 - 1024}k",
        stderr=subprocess.DEVNULL)


# ---- the servers ----

class Rig:
    """A server in a namespace."""

    def __init__(self, name, argv, export, opt):
        self.name, self.export, self.rt = name, export, [] if opt.no_rt else ["chrt", "-r", "1"]
        self.ns = f"br-bench-{name}-{os.getpid()}"
        run("ip", "netns", "add", self.ns)
        atexit.register(subprocess.run, ["ip", "netns", "del", self.ns])
        lines = ["link set lo up"] + [f"addr add 10.77.{i // 256}.{i % 256}/32 dev lo" for i in range(1, 2048)]
        run("ip", "-n", self.ns, "-batch", "-", input="\n".join(lines).encode())
        self.process = subprocess.Popen(["ip", "netns", "exec", self.ns, *self.rt, *argv], stdout=subprocess.PIPE, text=True)
        atexit.register(self.stop)
        self.wait_ready()

    def wait_ready(self):
        for _ in range(600):
            r = subprocess.run(["ip", "netns", "exec", self.ns, "cat", "/proc/net/tcp", "/proc/net/tcp6"],
                               capture_output=True, text=True)
            if ":0801 " in r.stdout and ":4E50 " in r.stdout:
                return
            if self.process.poll() is not None:
                sys.exit(f"{self.name} ended at once (exit code {self.process.returncode})")
            time.sleep(0.2)
        sys.exit(f"{self.name} does not listen after two minutes")

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        left = subprocess.run(["ip", "netns", "pids", self.ns], capture_output=True, text=True)
        for pid in left.stdout.split():  # its port mapper
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            words = f.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def status(self, key):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith(key + ":"))

    def load(self, clients, *args, window=8, size=131072, first=1, export=None):
        argv = [*self.rt, LOAD, "-a", f"10.77.{first // 256}.{first % 256}", "-c", str(clients), "-w", str(window), "-s",
                str(size), "-e", export or self.export, *map(str, args)]
        before = self.cpu()
        r = subprocess.run(["ip", "netns", "exec", self.ns, *argv], capture_output=True, text=True)
        if r.returncode:
            sys.exit(f"{self.name}: {r.stderr.strip()}")
        result = json.loads(r.stdout)
        result["cpu"] = self.cpu() - before
        return result


def in_turns(rounds, *measures):
    """Each measure's results, all of a round before the next one."""
    results = [[] for _ in measures]
    for _ in range(rounds):
        for i, measure in enumerate(measures):
            results[i].append(measure())
    return results


def median(results, value):
    return statistics.median(value(r) for r in results)


# ---- the measurements: each returns lines (what, ours, Ganesha's, unit, ratio as 'ours is so much better', goal) ----

def measure_read(w, rounds):
    for clients, window, size in ((1, 8, 131072), (8, 4, 131072), (64, 2, 131072), (1, 4, 1 << 20), (8, 4, 1 << 20)):
        passes = max(1, 8 // clients)
        share = BIG if clients < 64 else BIG // 4
        name = "bench/big" if share == BIG else "bench/quarter"
        results = in_turns(rounds, *[lambda s=s: s.load(clients, "read", name, f"{w.tree}/{name}", passes, 16,
                                                         window=window, size=size) for s in (w.ours, w.theirs)])
        rate = [median(r, lambda x: x["bytes"] / x["seconds"] / 1e6) for r in results]
        cpu = [median(r, lambda x: x["cpu"] / (x["bytes"] / 1e9)) for r in results]
        what = f"read, {clients} clients, {size >> 10} KiB"
        yield what, *rate, "MB/s", rate[0] / rate[1], 2
        yield what + ": CPU", *cpu, "s/GB", cpu[1] / cpu[0], 2


def measure_small(w, rounds):
    for clients, window in ((1, 16), (8, 4), (64, 2)):
        count = 10000 // clients
        dirs = (w.ours, "bench/small"), (w.theirs, "bench/small"), (w.theirs, "bench/small-sync")
        results = in_turns(max(1, rounds - 1), *[lambda s=s, d=d: s.load(clients, "small", d, count, 4096, window=window)
                                                 for s, d in dirs])
        rate = [median(r, lambda x: x["files"] / x["seconds"]) for r in results]
        cpu = [median(r, lambda x: x["cpu"] / x["files"] * 1e6) for r in results]
        what = f"small files, {clients} clients"
        yield what, rate[0], rate[2], "files/s", rate[0] / rate[2], 1.5
        yield what + ": CPU", cpu[0], cpu[2], "us/file", cpu[2] / cpu[0], 0
        yield what + ", names not durable there", rate[0], rate[1], "files/s", rate[0] / rate[1], 0


def measure_boot(w, rounds):
    def ours():
        w.next_board += BOOTS  # boards with new disks
        return w.ours.load(BOOTS, "replay", w.trace, first=w.next_board)

    def theirs():
        w.n_trees += 1  # new ones: it remembers the inodes of what was removed
        for k in range(BOOTS):
            run("cp", "-a", "--sparse=always", w.boot_tree, f"{w.dir}/trees/boot-{w.n_trees}-{k}")
        return w.theirs.load(BOOTS, "replay", w.trace, export=f"{w.dir}/trees/boot-{w.n_trees}-%u")

    results = in_turns(rounds, ours, theirs)
    rate = [median(r, lambda x: x["boots"] / x["seconds"]) for r in results]
    cpu = [median(r, lambda x: x["cpu"] / x["boots"] * 1e3) for r in results]
    what = f"boots replayed, {BOOTS} at once, {results[0][0]['calls']} calls each"
    yield what, *rate, "boots/s", rate[0] / rate[1], 2
    yield what + ": CPU", *cpu, "ms/boot", cpu[1] / cpu[0], 0


def measure_write(w, rounds):
    w.next_board += BOOTS
    results = in_turns(max(1, rounds - 1), *[
        lambda s=s, f=f: s.load(1, "write", "bench-written", 1 << 30, window=4, size=1 << 20, first=f)
        for s, f in ((w.ours, w.next_board), (w.theirs, 1))])
    rate = [median(r, lambda x: x["bytes"] / x["seconds"] / 1e6) for r in results]
    yield "1 GiB written and committed", *rate, "MB/s", rate[0] / GIGABIT, 1


def du(path):
    if not os.path.exists(path):
        return 0  # no board has asked yet
    return int(subprocess.run(["du", "-sk", path], capture_output=True, text=True, check=True).stdout.split()[0])


def measure_board(w, rounds):
    memory, disk = w.ours.status("RssAnon"), du(w.state + "/disks")
    w.ours.load(BOARDS, "read", "bench/one", f"{w.tree}/bench/one", 1, 1, first=1024)
    w.ours.process.send_signal(signal.SIGUSR1)
    costs = json.loads(w.ours.process.stdout.readline())
    w.ours.process.stdout.readline()
    yield "opening a disk", costs["mean_ms"], None, "ms", 10 / costs["mean_ms"], 1
    kib = (du(w.state + "/disks") - disk) / BOARDS
    yield "disk per board", kib, None, "KiB", 64 / kib, 1
    kib = (w.ours.status("RssAnon") - memory) / BOARDS
    yield "memory per board", kib, None, "KiB", 256 / kib, 1
    mib = w.ours.status("RssAnon") / 1024
    yield f"memory with {BOARDS} disks open", mib, None, "MiB", 400 / mib, 1
    mib = w.ours.status("VmRSS") / 1024
    yield "the same with what it has mapped of images", mib, None, "MiB", 400 / mib, 1


def measure_layers(w, rounds):
    """Reading through a stack of four layers beside one that holds the same; no server is asked."""
    out = subprocess.run([LAYERS, "4"], capture_output=True, text=True, check=True).stdout
    for what, flat, deep in re.findall(r"^(.*?)  +one layer +(\d+) ns, \d+ layers +(\d+) ns", out, re.M):
        yield f"4 layers, {what}: CPU per read", float(deep), None, "ns", float(flat) / float(deep), \
            0 if what.startswith("lookups") else 0.9


MEASURES = {"read": measure_read, "boot": measure_boot, "small": measure_small, "write": measure_write,
            "board": measure_board, "layers": measure_layers}


class World:
    pass


def prepare(opt):
    w = World()
    w.n_trees = 0
    w.dir = tempfile.mkdtemp(prefix="bramble-bench-nfs-", dir=opt.dir)
    atexit.register(shutil.rmtree, w.dir, ignore_errors=True)
    os.chmod(w.dir, 0o755)
    w.state, w.tree, w.trace, w.next_board = w.dir + "/state", w.dir + "/trees/all", w.dir + "/boot.trace", 128
    with lzma.open(os.path.join(HERE, "boot.trace.xz"), "rt") as f:
        trace = f.readlines()
    with open(w.trace, "w", encoding="utf-8") as f:
        f.writelines(trace)
    say("making the tree and the image")
    os.makedirs(w.dir + "/trees")
    w.boot_tree = make_tree(w.dir + "/boot-tree", trace)
    run("cp", "-a", w.boot_tree, w.tree)
    for name, size in (("big", BIG), ("quarter", BIG // 4)):
        with open(f"{w.tree}/bench/{name}", "wb") as f:
            for _ in range(size >> 20):
                f.write(os.urandom(1 << 20))
    make_image(w.tree, w.dir + "/image", 3 << 30)
    os.mkdir(w.tree + "/bench/small-sync")
    if subprocess.run(["chattr", "+D", w.tree + "/bench/small-sync"], capture_output=True).returncode:
        say("the host's file system cannot keep a directory in sync: Ganesha's names are not durable")
    with open(w.dir + "/ganesha.conf", "w", encoding="ascii") as f:
        f.write(GANESHA.format(dir=w.dir))
    w.ours = Rig("bramble", [SERVER, "0.0.0.0", "2049", "20048", w.state, w.dir + "/image"], "/", opt)
    w.ours.process.stdout.readline()
    # it does not start without a port mapper, which gets a /run of its own ('ip netns exec' has private mounts)
    w.theirs = Rig("ganesha", ["sh", "-c", "mount -t tmpfs tmpfs /run && mkdir /run/rpcbind && { rpcbind -f & } && sleep 1 && "
                               f"exec ganesha.nfsd -F -f {w.dir}/ganesha.conf -L {w.dir}/ganesha.log -p {w.dir}/ganesha.pid "
                               "-N CRIT"], w.tree, opt)
    return w


def main():
    p = argparse.ArgumentParser(prog="dev bench nfs", description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--only", default=",".join(MEASURES))
    p.add_argument("--dir", help="where the trees go (4 GB; a disk, not memory)")
    p.add_argument("--no-rt", action="store_true")
    p.add_argument("--json")
    opt = p.parse_args()
    if os.geteuid():
        sys.exit("bench nfs: needs root (network namespaces, and NFS-Ganesha)")
    for program in (SERVER, LOAD, LAYERS):
        if not os.path.exists(program):
            sys.exit(f"bench nfs: {program} is missing; with libnfs-dev installed, remove build-bench and try again")
    for program in ("ganesha.nfsd", "rpcbind"):
        if not shutil.which(program):
            sys.exit(f"bench nfs: {program} is missing (Debian: nfs-ganesha nfs-ganesha-vfs rpcbind)")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    w = prepare(opt)
    rows = []
    print(f"{'':48} {'bramble':>10} {'Ganesha':>10} {'':8} {'ratio':>6}  goal")
    for name in opt.only.split(","):
        for what, ours, theirs, unit, ratio, goal in MEASURES[name](w, opt.rounds):
            rows.append(dict(what=what, ours=ours, theirs=theirs, unit=unit, ratio=ratio, goal=goal))
            beside = "" if theirs is None else f"{theirs:10.2f}"
            verdict = "" if not goal else f"{goal:g}" + ("" if ratio >= goal else "  MISSED")
            print(f"{what:48} {ours:10.2f} {beside:>10} {unit:8} {ratio:6.2f}  {verdict}", flush=True)
    if opt.json:
        with open(opt.json, "w", encoding="utf-8") as f:
            json.dump(rows, f, indent=2)


if __name__ == "__main__":
    main()
