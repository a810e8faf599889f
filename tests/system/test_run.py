# SPDX-License-Identifier: Apache-2.0
"""bramble run -b: jobs on virtual boards. What they leave behind, however they end, and what their exit codes say."""
import contextlib
import json
import os
import random
import signal
import subprocess
import time
import xml.etree.ElementTree

from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import long, quick, stop, wait_until

SERIAL = 0x5c000001
PORT = 8090
TTL = 2


class Rack:
    """Boards pi1 ... on a power strip, and a daemon that switches them."""

    def __init__(self, t, n):
        t.need_root()
        t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
        self.t, self.n = t, n
        self.net = t.enter(Net())
        self.image = small_image(t)
        self.daemon = t.enter(Daemon(t, self.net, image=self.image))
        self.sim = t.enter(self.boards())
        self.ttl = TTL
        for i in range(n):
            self.daemon.cli("board", "add", f"pi{i + 1}", "--serial", f"{SERIAL + i:08x}", "--model", "4B",
                            "--power", f"tasmota://127.0.0.1:{PORT}/{i + 1}")
        self.daemon.cli("image", "tag", "small", "job")

    @contextlib.contextmanager
    def boards(self):
        with open(self.t.path("sim.log"), "w") as log:
            argv = self.net.exec(self.t.bramble, "sim", "--model", "4", "--boards", str(self.n), "--serial", f"{SERIAL:08x}",
                                 "--interface", "br0", "--power", str(PORT), "--speed", "0", "--timeout", "600s")
            p = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.t.env)
        try:
            yield p
        finally:
            stop(p, 20)

    def argv(self, *words):
        return self.net.exec(self.t.bramble, "--state", self.daemon.state, "run", "--ttl", f"{self.ttl}s", *words)

    def run(self, *words, check=None, timeout=120, env=None):
        r = subprocess.run(self.argv(*words), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                           stdin=subprocess.DEVNULL, env={**self.t.env, **(env or {})})
        assert check is None or r.returncode == check, f"{words}: {r.returncode}: {r.stdout}{r.stderr}"
        return r

    def begin(self, *words, user="tester"):
        """A job in the background; its stderr is a pipe."""
        p = subprocess.Popen(self.argv(*words), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                             env={**self.t.env, "BRAMBLE_USER": user})
        self.t.enter(contextlib.closing(Closer(p)))
        return p

    def live(self):
        return self.daemon.json("reserve", "list")

    def wait_free(self, seconds):
        end = time.monotonic() + seconds
        while self.live():
            assert time.monotonic() < end, f"still there: {self.live()}"
            time.sleep(0.3)

    def settings(self):
        return {b["name"]: (b["image"], b["disk"], b["road"]) for b in self.daemon.json("board", "list")}

    def events(self, kind):
        return [e for e in self.daemon.json("event", "list", "-n", "50000", "-t", kind)]


class Closer:
    def __init__(self, process):
        self.process = process

    def close(self):
        stop(self.process, 20)


def until_line(p, words, seconds=60):
    """Reads what a job says up to a line with these words, or with others behind a bar."""
    said = []
    os.set_blocking(p.stderr.fileno(), False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        line = p.stderr.readline()
        if line:
            said.append(line)
        if any(w in line for w in words.split("|")):
            return
        if not line:
            if p.poll() is not None:
                break
            time.sleep(0.02)
    raise AssertionError(f"'{words}' was not said: {''.join(said)}")


@quick
def test_a_job_runs_and_leaves_nothing_behind(t):
    rack = Rack(t, 2)
    before = rack.settings()
    junit, artifacts = t.path("junit.xml"), t.path("artifacts")
    r = rack.run("-b", "model=4B", "-i", "job", "--junit", junit, "--artifacts", artifacts,
                 "--collect", "/etc/os-release", "--collect", "/boot", "--", "sh", "-c", "echo $BRAMBLE_BOARD $BRAMBLE_ADDRESS; bramble() { :; }; exit 0", check=0)
    name, address = r.stdout.split()
    assert name in before and address.startswith("10.77.0."), r.stdout
    assert rack.settings() == before and not rack.live()
    boot = [e for e in rack.events("boot.start") if e["board"] == name][-1]
    assert boot["fields"]["image"] == "job" and boot["fields"]["disk"] == "volatile", boot
    suite = xml.etree.ElementTree.parse(junit).getroot().find("testsuite")
    assert [c.get("name") for c in suite] == ["queue", "settings", "power", "boot", "command", "artifacts"], junit
    assert suite.get("failures") == "0"
    with open(os.path.join(artifacts, "job.json")) as f:
        assert json.load(f)["exit_code"] == 0
    with open(os.path.join(artifacts, name, "events.json")) as f:
        assert any(e["type"] == "boot.start" for e in json.load(f))
    with open(os.path.join(artifacts, name, "os-release")) as f:
        assert "Small Linux" in f.read()
    assert os.path.isdir(os.path.join(artifacts, name, "boot", "firmware"))
    r = rack.run("-b", name, "--power", "none", "--up", "none", "--artifacts", artifacts, "--collect", "/no/such", "--", "true", check=110)
    assert "/no/such" in r.stderr, r.stderr
    # both at once, by name
    r = rack.run("-b", "pi[1-2]", "--", "sh", "-c", "echo $BRAMBLE_BOARDS", check=0)
    assert r.stdout == "pi1,pi2\n", r.stdout


def test_what_boards_write_is_in_the_job_log(t):
    rack = Rack(t, 1)
    client = rack.net.client(mac="dc:a6:32:00:00:99")
    client.address("10.77.0.200/24")
    rack.daemon.cli("board", "add", "talker", "--mac", "dc:a6:32:00:00:99", "--model", "3B")
    say = " ".join(client.exec("bash", "-c", "'printf \"<13>noise: \\033[31mhello <job>\" >/dev/udp/10.77.0.1/514'"))
    rack.daemon.cli("log", "mark", "before")
    t.run("sh", "-c", say)
    wait_until(lambda: rack.daemon.jsonl("log", "show", "talker"), 20, "the line of before")
    artifacts = t.path("artifacts")
    time.sleep(1.1)     # the job begins in another second than that line
    r = rack.run("-b", "talker", "--power", "none", "--up", "none", "--artifacts", artifacts, "--",
                 "sh", "-c", f"sleep 1; {say}; sleep 2", check=0)
    lines = [line for line in r.stderr.splitlines() if line.startswith("talker| ")]
    assert len(lines) == 1 and "hello <job>" in lines[0] and "\033" not in lines[0], r.stderr
    with open(os.path.join(artifacts, "talker", "log.jsonl")) as f:
        kept = [json.loads(line) for line in f if line.strip()]
    assert len([k for k in kept if "hello" in k["text"]]) == 1, kept


def test_exit_codes_say_what_was_wrong(t):
    rack = Rack(t, 2)
    before = rack.settings()
    job = ("-b", "pi1", "--", "sh", "-c")
    r = rack.run(*job, "exit 3", check=3)
    r = rack.run(*job, "exit 105", check=99)
    assert "105" in r.stderr, r.stderr
    rack.run(*job, "kill -9 $$", check=137)
    rack.run("-b", "pi1", "--", "/no/such/program", check=108)
    r = rack.run("-b", "pi1", "--timeout", "1s", "--", "sleep", "60", check=109)
    assert "--timeout" in r.stderr, r.stderr
    rack.run("-b", "model=5", "--", "true", check=100)
    rack.run("-b", "pi9", "--", "true", check=100)
    rack.run("-b", "pi1", "-i", "nothing", "--", "true", check=104)
    rack.run("-b", "modell=5", "--", "true", check=2)
    rack.run("-b", "pi1", check=2)
    junit = t.path("lab.xml")
    r = rack.run("-b", "pi2", "--power", "none", "--boot-timeout", "3s", "--junit", junit, "--", "true", check=102)
    assert "pi2 did not boot within 3.0 s" in r.stderr, r.stderr
    failure = xml.etree.ElementTree.parse(junit).getroot().find("testsuite/testcase/failure")
    assert failure.get("type") == "lab" and "pi2" in failure.get("message"), junit
    rack.daemon.cli("board", "add", "ghost", "--serial", "5cffffff", "--model", "3B",
                    "--power", f"tasmota://127.0.0.1:{PORT}/99")
    rack.run("-b", "ghost", "--", "true", check=103)
    rack.run("-b", "pi2", "-i", "job", "--flash", "--power", "none", "--boot-timeout", "2s", "-q", "--", "true", check=107)
    assert [o["state"] for o in rack.daemon.json("flash", "list")] == ["failed"], "its order is withdrawn"
    rack.daemon.cli("reserve", "get", "pi1", "--for", "1h")
    r = rack.run("-b", "pi1", "--queue-timeout", "2s", "--", "true", check=101)
    rack.daemon.cli("reserve", "break", rack.live()[0]["reservation"])
    # somebody takes the board away
    p = rack.begin("-b", "pi1", "--", "sleep", "60")
    until_line(p, "runs: sleep")
    rack.daemon.cli("reserve", "break", rack.live()[0]["reservation"], "--reason", "I need it")
    assert p.wait(30) == 105
    # somebody stops it
    p = rack.begin("-b", "pi1", "--", "sleep", "60")
    until_line(p, "runs: sleep")
    p.send_signal(signal.SIGTERM)
    assert p.wait(30) == 143
    rack.daemon.cli("board", "rm", "ghost")
    assert rack.settings() == before and not rack.live()


@quick
def test_others_are_kept_from_reserved_boards(t):
    rack = Rack(t, 1)
    mine = rack.daemon.cli("reserve", "get", "pi1", "--for", "1h", "--note", "measuring", "-q").stdout.strip()
    for words in (["board", "edit", "pi1", "--notes", "x"], ["board", "rm", "pi1"], ["disk", "reset", "pi1"], ["flash", "small", "pi1"],
                  ["power", "cycle", "pi1"]):
        r = rack.daemon.cli(*words, check=False)
        assert r.returncode and "reserved for" in r.stderr and "break r1" in r.stderr, (words, r.stderr)
    rack.daemon.cli("--reservation", mine, "board", "edit", "pi1", "--notes", "x")
    rack.daemon.cli("--reservation", "force", "board", "edit", "pi1", "--notes", "y")
    audit = [e for e in rack.events("audit") if e["fields"].get("action") == "force"]
    assert audit and "reserved for" in audit[-1]["fields"]["text"], audit


def dies_at(rack, words, *job):
    """Killed for good when it has said so: all is as before one ttl later."""
    before = rack.settings()
    p = rack.begin(*job)
    until_line(p, words)
    p.kill()
    p.wait()
    rack.wait_free(TTL + 10)
    assert rack.settings() == before, words


def test_a_client_dies_at_each_step(t):
    rack = Rack(t, 1)
    job = ("-b", "pi1", "-i", "job", "--", "sleep", "60")
    blocker = rack.daemon.cli("reserve", "get", "pi1", "--for", "1h", "-q").stdout.strip()
    p = rack.begin(*job)
    until_line(p, "waits for 1 board")
    p.kill()
    p.wait()
    rack.daemon.cli("reserve", "release", blocker)
    rack.wait_free(TTL + 10)
    dies_at(rack, ": pi1", *job)          # it has the board
    dies_at(rack, "pi1: power", *job)     # settings are made
    dies_at(rack, "pi1: firmware|pi1: kernel|pi1: mounted|pi1: up", *job)  # it boots
    dies_at(rack, "runs: sleep", *job)
    left = [e["fields"]["why"] for e in rack.events("reservation") if "why" in e["fields"]]
    assert left.count("died") == 5, left


def test_a_job_outlives_a_restart_of_the_daemon(t):
    rack = Rack(t, 1)
    before = rack.settings()
    p = rack.begin("-b", "pi1", "-i", "job", "--", "sh", "-c", "sleep 6; exit 7")
    until_line(p, "runs: sh")
    rack.daemon.process.kill()
    rack.daemon.process.wait()
    rack.daemon.start()
    assert p.wait(60) == 7, p.stderr.read()
    assert rack.settings() == before and not rack.live()
    # and one that does not come back
    p = rack.begin("-b", "pi1", "--", "sleep", "60")
    until_line(p, "runs: sleep")
    rack.daemon.process.kill()
    rack.daemon.process.wait()
    assert p.wait(60) == 106, p.stderr.read()
    rack.daemon.start()
    rack.wait_free(TTL + 10)
    rack.run("-b", "pi1", "--", "true", check=0)


def test_the_daemon_is_killed_while_jobs_wait_and_run(t):
    rack = Rack(t, 2)
    rack.ttl = 10
    before = rack.settings()
    jobs = [rack.begin("-b", "model=4B", "-i", "job", "--power", "none", "--up", "none", "-q", "--", "sh", "-c", f"sleep 2; exit {i}",
                       user=f"user{i % 3}") for i in range(8)]
    wait_until(lambda: len(rack.live()) == 8, 30, "all jobs in the queue")
    dice = random.Random(4)
    for _ in range(3):
        time.sleep(dice.uniform(0.3, 2))
        rack.daemon.process.kill()
        rack.daemon.process.wait()
        rack.daemon.start()
    assert [p.wait(120) for p in jobs] == list(range(8)), [p.stderr.read() for p in jobs]
    rack.wait_free(60)
    assert rack.settings() == before
    # nobody's time on a board begins before another's has ended (times are in seconds)
    ended = rack.daemon.json("reserve", "list", "--ended", "50")
    assert len(ended) == 8 and {r["why"] for r in ended} <= {"released", "died"}, ended
    for board in before:
        times = sorted((r["held_at"], r["ended_at"]) for r in ended if board in r["boards"])
        assert all(a[1] <= b[0] for a, b in zip(times, times[1:])), times


def never_held_twice(events):
    """From the event log: who has which board."""
    holders = {}
    for e in events:
        if e["type"] == "reservation.held":
            assert e["board"] not in holders, f"{e}: {holders[e['board']]} has it"
            holders[e["board"]] = e["fields"]["reservation"]
        elif e["type"] == "reservation.ended":
            assert holders.pop(e["board"]) == e["fields"]["reservation"], e
    return holders


def in_order(events, users):
    """One user's jobs, all of the same wish, are served as they came (those that died in the queue aside)."""
    held = [(e["fields"]["user"], int(e["fields"]["reservation"][1:])) for e in events if e["type"] == "reservation.held"]
    for user in users:
        mine = [n for who, n in held if who == user]
        assert mine == sorted(mine), (user, mine)


def storm(t, n_jobs, n_boards, seed):
    rack = Rack(t, n_boards)
    rack.ttl = 8        # so many clients on two processors do not all get their turn within two seconds
    before = rack.settings()
    dice = random.Random(seed)
    users = ["anna", "bob", "carl", "dora"]
    jobs = []
    for i in range(n_jobs):
        p = rack.begin("-b", "model=4B", "-i", "job", "-q", "--", "sh", "-c", f"sleep {dice.uniform(0.1, 1.5):.1f}; exit {i % 5}",
                       user=users[i % len(users)])
        kill_at = time.monotonic() + dice.uniform(0.5, 12) if dice.random() < 0.4 else None
        jobs.append((i, p, kill_at))
        time.sleep(0.05)
    killed, ended = 0, 0
    end = time.monotonic() + 300
    while jobs:
        assert time.monotonic() < end, f"{len(jobs)} jobs do not end: {rack.live()}"
        for job in list(jobs):
            i, p, kill_at = job
            if p.poll() is not None:
                assert p.returncode == i % 5, (i, p.returncode, p.stderr.read())
                ended += 1
                jobs.remove(job)
            elif kill_at and time.monotonic() > kill_at:
                p.kill()
                p.wait()
                killed += 1
                jobs.remove(job)
        time.sleep(0.05)
    rack.wait_free(60)
    assert rack.settings() == before
    events = rack.events("reservation")
    assert never_held_twice(events) == {}
    in_order(events, users)
    t.say(f"...   {ended} jobs ended, {killed} were killed")
    assert ended and killed


def test_twenty_jobs_on_five_boards(t):
    storm(t, 20, 5, 1)


@long
def test_sixty_jobs_on_five_boards(t):
    storm(t, 60, 5, 2)


@long
def test_sixty_jobs_on_two_boards(t):
    storm(t, 60, 2, 3)
