#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# TFTP beside dnsmasq, tftpd-hpa and atftpd: lock-step clients, 1468-byte blocks, throughput and server CPU
"""Measures TFTP servers one after another, in rounds, so that a noisy moment hits all of them.

    ./dev bench tftp [--clients 1,16,64,256,1000] [--rounds 3] [--window W] [--only NAME,...] [--json FILE]

Server and clients are in two network namespaces with a pair of virtual Ethernet interfaces between them. Rivals that
are not installed are unpacked from Debian's packages into the cache directory; nothing is installed. The load is
bench/tftpload.c, the same for all; before a server's first measurement it fetches with every byte checked. CPU is
what the server's processes, threads and children used, as wait4(2) tells after the server's end (tftpd-hpa's
children are read while they run). A virtual cable has no hardware: the kernel takes a packet in on the time of whoever
sent it. So a server's figure has the taking in of its DATA at the other end (for all the same: into the load's
ring, and dropped), and lacks that of the ACKs up to its socket.
"""
import argparse
import atexit
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BENCH_BUILD", os.path.join(os.path.dirname(HERE), "build-bench"))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "bramble", "rivals")
ADDRESS = "10.77.0.1"
FIRST_CLIENT = (10, 77, 4, 0)
SERVER_IF, LOAD_IF = "tftp0", "load0"
SERVER_MAC = "02:b1:00:00:00:01"
INSIDE = "BRAMBLE_BENCH_NETNS"
BUDGET_S = 115
# clients: file size, fetches each; a second or so per measurement
SHARES = {1: (8 << 20, 3), 16: (4 << 20, 2), 64: (2 << 20, 1), 256: (1 << 19, 1), 1000: (1 << 17, 1)}


def say(text):
    print(text, file=sys.stderr, flush=True)


def unpack(package, path, libraries=()):
    """The program of a Debian package, from the system or unpacked into the cache; None and a reason otherwise."""
    if os.path.exists(path):
        return path
    program = os.path.join(CACHE, package, path.lstrip("/"))
    if not os.path.exists(program):
        os.makedirs(CACHE, exist_ok=True)
        say(f"fetching Debian's package {package} into {CACHE} (unpacked there, not installed)")
        with tempfile.TemporaryDirectory(dir=CACHE) as tmp:
            for name in (package, *libraries):
                r = subprocess.run(["apt-get", "download", name], cwd=tmp, capture_output=True, text=True)
                if r.returncode:
                    say(f"{package}: left out: {(r.stderr.strip().splitlines() or ['apt-get download failed'])[-1]}")
                    return None
            for deb in os.listdir(tmp):
                target = package if deb.startswith(package + "_") else "lib"
                subprocess.run(["dpkg-deb", "-x", os.path.join(tmp, deb), os.path.join(CACHE, target)], check=True)
    return program


def servers(root):
    """Name to command line; dnsmasq and the two tftpds as their manuals say for plain read service."""
    libs = ("libwrap0", "libnsl2", "libtirpc3", "libpcre2-8-0")
    found = {"bramble": [os.path.join(BUILD, "bench", "tftpd_bramble"), ADDRESS, "69", root]}
    found["socket only"] = [*found["bramble"], "off"]
    dnsmasq = shutil.which("dnsmasq") or unpack("dnsmasq-base", "/usr/sbin/dnsmasq")
    hpa = unpack("tftpd-hpa", "/usr/sbin/in.tftpd", libs)
    atftpd = unpack("atftpd", "/usr/sbin/atftpd", libs)
    if dnsmasq:
        found["dnsmasq"] = [dnsmasq, "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--enable-tftp",
                            f"--tftp-root={root}", f"--listen-address={ADDRESS}", "--bind-interfaces", "--user=root",
                            "--group=root", "--tftp-max=2000", "--pid-file=", "--log-facility=/dev/null"]
    if hpa:
        found["tftpd-hpa"] = [hpa, "-4", "-L", "-s", "-u", "root", "-a", f"{ADDRESS}:69", root]
    if atftpd:
        found["atftpd"] = [atftpd, "--daemon", "--no-fork", "--user", "root", "--group", "root", "--bind-address",
                           ADDRESS, "--maxthread", "2000", "--no-multicast", "--logfile", "/dev/null", "--verbose=0",
                           root]
    return found


def environment():
    env = dict(os.environ)
    lib = os.path.join(CACHE, "lib")
    triplets = [os.path.join(d, t) for d in (lib + "/lib", lib + "/usr/lib") if os.path.isdir(d) for t in os.listdir(d)]
    env["LD_LIBRARY_PATH"] = ":".join(triplets)
    return env


def listening():
    with open("/proc/net/udp", encoding="ascii") as f:
        return any(line.split()[1].endswith(":0045") for line in f.readlines()[1:])


def stop(process):
    """Ends a server and all it started; returns the CPU seconds of the lot."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    while True:  # a child of it that outlived it is ours now (subreaper)
        try:
            os.waitpid(-process.pid, 0)
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Children(threading.Thread):
    """CPU of children that their parent does not wait for (tftpd-hpa): nobody is told after their end, so it is read
    ten times a second while they live. What they use after the last reading is missing: the figure flatters them."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.cpu_ns, self.ended = pid, {}, threading.Event()

    def run(self):
        while not self.ended.wait(0.1):
            try:
                with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as f:
                    children = f.read().split()
            except OSError:
                return
            for child in children:
                try:
                    with open(f"/proc/{child}/schedstat", encoding="ascii") as f:
                        self.cpu_ns[child] = int(f.read().split()[0])
                except (OSError, ValueError, IndexError):
                    pass

    def end(self):
        self.ended.set()
        self.join()
        return sum(self.cpu_ns.values()) / 1e9


def run_load(pid, root, clients, size, fetches, window, verify):
    name = f"file{size}"
    command = ["nsenter", "-t", str(pid), "--net", os.path.join(BUILD, "bench", "tftpload"), "--interface", LOAD_IF,
               "--mac", SERVER_MAC, "--server", ADDRESS, "--first-ip", ".".join(map(str, FIRST_CLIENT)), "--file", name,
               "--clients", str(clients), "--rounds", str(fetches), "--window", str(window)]
    if verify:
        command += ["--verify", os.path.join(root, name)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def measure(command, root, pid, clients, window, verify):
    """One server, one load. Returns (MB/s, CPU seconds per GB), or words on failure."""
    size, fetches = SHARES.get(clients, (1 << 19, 1))
    process = subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    children = Children(process.pid) if "in.tftpd" in command[0] else None
    try:
        for _ in range(100):
            if listening() or process.poll() is not None:
                break
            time.sleep(0.02)
        if children:
            children.start()
        load = run_load(pid, root, clients, size, 1 if verify else fetches, window, verify)
    except subprocess.TimeoutExpired:
        return "no end within 60 s"
    finally:
        cpu = (children.end() if children else 0) + stop(process)
    if load.returncode:
        return load.stderr.strip()
    d = json.loads(load.stdout)
    return d["bytes"] / d["seconds"] / 1e6, cpu / d["bytes"] * 1e9, d["cpu"] / d["bytes"] * 1e9, d["repeats"]


def table(results, names, counts):
    """Medians, and ours over each rival's."""
    out = [f"{'clients':>7}  {'server':<10} {'MB/s':>8} {'CPU s/GB':>9}   {'bramble is':<30}"]
    for n in counts:
        ours = results.get((n, "bramble"))
        for name in names:
            got = results.get((n, name))
            if not got or isinstance(got, str):
                out.append(f"{n:>7}  {name:<10} {got or 'not measured'}")
                continue
            ratio = ""
            if name != "bramble" and ours and not isinstance(ours, str):
                ratio = f"{ours[0] / got[0]:.2f} x as fast, {ours[1] / got[1]:.2f} x the CPU"
            out.append(f"{n:>7}  {name:<10} {got[0]:>8.1f} {got[1]:>9.2f}   {ratio}")
    return "\n".join(out)


def client_address(i):
    n = int.from_bytes(bytes(FIRST_CLIENT), "big") + i
    return n.to_bytes(4, "big")


def enter_namespace():
    """Runs this again where port 69 is free and nothing can leak out."""
    if os.environ.get(INSIDE):
        return
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], unshare + [sys.executable, os.path.abspath(__file__)] + sys.argv[1:])


def make_cable(clients):
    """The namespace of the load, held by a process; its id. The clients answer no ARP: their MACs are entered."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 86400"], stdout=subprocess.PIPE)
    holder.stdout.readline()
    atexit.register(holder.kill)
    commands = [f"link add {SERVER_IF} address {SERVER_MAC} type veth peer name {LOAD_IF} netns {holder.pid}",
                # datagrams leave one by one, as on a cable: the server's kernel cuts what it got as one (UDP_SEGMENT)
                f"link set {SERVER_IF} gso_max_segs 1",
                f"address add {ADDRESS}/16 dev {SERVER_IF}", f"link set {SERVER_IF} up", "link set lo up"]
    for i in range(clients):
        a = client_address(i)
        commands.append(f"neighbour replace {'.'.join(map(str, a))} lladdr 02:b0:{a.hex(':')} dev {SERVER_IF} "
                        "nud permanent")
    for batch, argv in (("\n".join(commands), ["ip", "-batch", "-"]),
                        (f"link set {LOAD_IF} up", ["nsenter", "-t", str(holder.pid), "--net", "ip", "-batch", "-"])):
        subprocess.run(argv, input=batch, text=True, check=True)
    return holder.pid


def become_subreaper():
    import ctypes
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def arguments():
    p = argparse.ArgumentParser(prog="./dev bench tftp")
    p.add_argument("--clients", default="1,16,64,256,1000", help="numbers of clients (default %(default)s)")
    p.add_argument("--rounds", type=int, default=3, help="measurements of each, of which the median counts")
    p.add_argument("--window", type=int, default=1, help="windowsize to ask for (dnsmasq and tftpd-hpa have none)")
    p.add_argument("--only", help="names of servers, separated by commas; 'socket only' is bramble without "
                   "its fast path")
    p.add_argument("--json", help="also write the figures to this file")
    return p.parse_args()


def main():
    args = arguments()
    counts = [int(n) for n in args.clients.split(",")]
    root = tempfile.mkdtemp(prefix="bramble-bench-tftp.")
    atexit.register(shutil.rmtree, root, True)
    os.chmod(root, 0o755)
    for size in {SHARES.get(n, (1 << 19, 1))[0] for n in counts}:
        with open(os.path.join(root, f"file{size}"), "wb") as f:
            f.write(os.urandom(size))
    commands = servers(root)
    enter = [n for n in commands if n in (args.only.split(",") if args.only else commands.keys() - {"socket only"})]
    if args.window > 1:
        enter = [n for n in enter if n in ("bramble", "atftpd")]
    pid = make_cable(max(counts))
    become_subreaper()
    samples, broken, started = {}, {}, time.monotonic()
    for name in enter:
        got = measure(commands[name], root, pid, counts[-1], args.window, True)
        if isinstance(got, str):
            broken.update({(n, name): f"checking every byte: {got}" for n in counts})
    for round_ in range(args.rounds):
        for n in counts:
            for name in enter:
                if round_ and time.monotonic() - started > BUDGET_S:
                    continue
                if (n, name) in broken:
                    continue
                got = measure(commands[name], root, pid, n, args.window, False)
                say(f"round {round_ + 1}: {n:>4} clients, {name:<10} " + (got if isinstance(got, str) else
                    f"{got[0]:8.1f} MB/s {got[1]:6.2f} CPU s/GB, load {got[2]:6.2f}, {got[3]} repeats"))
                if isinstance(got, str):
                    broken[n, name] = got
                else:
                    samples.setdefault((n, name), []).append(got)
    results = {k: tuple(statistics.median(s[i] for s in v) for i in (0, 1)) for k, v in samples.items()} | broken
    print(f"TFTP, {'lock-step' if args.window == 1 else 'window ' + str(args.window)}, blocks of 1468 bytes, "
          f"virtual Ethernet, median of up to {args.rounds} rounds, {os.cpu_count()} processors")
    print(table(results, enter, counts))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump([{"clients": n, "server": s, "result": v} for (n, s), v in results.items()], f, indent=1)
    return 1 if any(name == "bramble" for _, name in broken) else 0


if __name__ == "__main__":
    enter_namespace()
    sys.exit(main())
