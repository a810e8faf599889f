#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# logs [LINES] [SECONDS]: 100,000 lines a second from 100 boards, and searching ten million, beside rsyslogd and grep
"""The store of logs under load.

First the flood: syslog datagrams from 100 addresses, received and stored by the receiver that the daemon uses; where rsyslogd is
installed it takes the same into a file. Then LINES lines (10 million) are stored and searched, beside grep over the same lines as a file that is
in the page cache. Each prints CPU seconds: on a busy machine these are what may be compared.
"""
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

PROGRAM = os.path.join(os.environ.get("BENCH_BUILD", "build-bench"), "bench", "logsbench")
PORT = "5514"
SEARCHES = [
    ("a number that is not there", "SHA256:0001e240"),
    ("words that are not there", "nothing at all here"),
    ("a few lines", r"temperature 25\.3 C, fan 1.*reading"),
    ("no plain text", r"\d\d\dzz"),
]


def run(*argv):
    return subprocess.run([str(a) for a in argv], check=True, text=True, stdout=subprocess.PIPE).stdout.strip()


def wait_for(path, word, seconds=60):
    end = time.monotonic() + seconds
    while word not in open(path).read():
        if time.monotonic() > end:
            sys.exit(f"logs: no '{word}' within {seconds} s")
        time.sleep(0.1)


def flood_ours(top, seconds):
    out = os.path.join(top, "take.out")
    with open(out, "w") as f:
        take = subprocess.Popen([PROGRAM, "take", PORT, str(seconds + 10), os.path.join(top, "flood")], stdout=f)
    wait_for(out, "ready")
    print("flood:    ", run(PROGRAM, "flood", PORT, 100000, seconds))
    take.wait(seconds + 120)
    print("bramble:  ", open(out).read().splitlines()[-1])


def flood_rsyslogd(top, seconds):
    rsyslogd = shutil.which("rsyslogd", path=os.environ["PATH"] + ":/usr/sbin")
    if not rsyslogd:
        print("rsyslogd:  not installed")
        return
    conf, log = os.path.join(top, "rsyslog.conf"), os.path.join(top, "rsyslog.log")
    with open(conf, "w") as f:
        f.write(f'module(load="imudp")\ninput(type="imudp" port="{PORT}" rcvbufSize="64m")\n*.* {log}\n')
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    server = subprocess.Popen([rsyslogd, "-n", "-f", conf, "-i", os.path.join(top, "pid")])
    time.sleep(2)
    print("flood:    ", run(PROGRAM, "flood", PORT, 100000, seconds))
    time.sleep(5)
    server.terminate()
    server.wait(60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = int(run("wc", "-l", log).split()[0])
    # the flood's own CPU is among it
    print(f"rsyslogd:  lines {lines} disk_bytes {os.path.getsize(log)} cpu_s with the sender's "
          f"{after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.2f}")


def search(top, lines):
    store, text = os.path.join(top, "store"), os.path.join(top, "text")
    print("store:    ", run(PROGRAM, "fill", store, lines))
    run(PROGRAM, "text", text, lines)
    subprocess.run(["cksum", text], stdout=subprocess.DEVNULL, check=True)
    for what, expression in SEARCHES:
        ours = run(PROGRAM, "find", store, expression)
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(["grep", "-cP", expression, text], stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"}, check=False)
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        ours_cpu = float(re.search(r"cpu_s ([0-9.]+)", ours)[1])
        print(f"{what + ':':28} {ours}; grep wall_s {wall:.3f} cpu_s {cpu:.3f}: {cpu / max(ours_cpu, 0.001):.1f} times ours")


def main():
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    with tempfile.TemporaryDirectory(prefix="bramble-logs-") as top:
        flood_ours(top, seconds)
        flood_rsyslogd(top, seconds)
        search(top, lines)


main()
