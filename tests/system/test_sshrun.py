# SPDX-License-Identifier: Apache-2.0
"""bramble shell, run and cp against Debian's sshd: five boards in namespaces of their own, one down, one with another's key."""
import base64
import json
import os
import sqlite3
import struct
import subprocess

from daemon import Daemon
from netlab import Net
from systemtests import stop, wait_until

PATIENCE = 60
SSHD = "/usr/sbin/sshd"
CONFIG = """Port 22
ListenAddress 0.0.0.0
HostKey {key}
AuthorizedKeysFile {authorized}
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
Subsystem sftp internal-sftp
SetEnv BOARD={name}
"""


def text(data):
    return struct.pack(">I", len(data)) + data


def host_key(t, d, name):
    """The private host key that the board is given on its root, in OpenSSH's format: from the daemon's seed and its public key."""
    public = json.loads(t.run("curl", "-sf", "--unix-socket", os.path.join(d.state, "api.sock"),
                              f"http://bramble/v1/boards/{name}/ssh").stdout)["host_keys"][0]
    blob = base64.b64decode(public.split()[1])
    with sqlite3.connect(f"file:{d.state}/bramble.db?mode=ro", uri=True) as db:
        seed = db.execute("SELECT s.value FROM secret s JOIN board b ON b.id = s.board_id WHERE b.name = ? AND s.kind = ?",
                          (name, "ssh-ed25519-seed")).fetchone()[0]
    inner = b"\0\0\0\1" * 2 + text(b"ssh-ed25519") + text(blob[-32:]) + text(seed + blob[-32:]) + text(b"")
    inner += bytes(range(1, 8 - len(inner) % 8 + 1)) if len(inner) % 8 else b""
    key = b"openssh-key-v1\0" + text(b"none") * 2 + text(b"") + b"\0\0\0\1" + text(blob) + text(inner)
    path = t.path(f"{name}.key")
    with open(path, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write("-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64.encodebytes(key).decode() + "-----END OPENSSH PRIVATE KEY-----\n")
    return path


def login_key(t):
    """A key in an agent of its own: the tests' user keeps what is in ~/.ssh."""
    key = t.path("login")
    t.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    agent = t.path("agent")
    p = subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    t.stack.callback(stop, p)
    wait_until(lambda: os.path.exists(agent), PATIENCE, "ssh-agent's socket")
    t.env["SSH_AUTH_SOCK"] = agent
    t.run("ssh-add", "-q", key)
    return key + ".pub"


def serve_ssh(t, client, name, key, authorized):
    config = t.path(f"{name}.conf")
    with open(config, "w") as f:
        f.write(CONFIG.format(key=key, authorized=authorized, name=name))
    with open(t.path(f"sshd-{name}.log"), "wb") as log:
        p = subprocess.Popen(client.exec(SSHD, "-D", "-e", "-f", config), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    t.stack.callback(stop, p)


def answers(net, address):
    r = subprocess.run(net.exec("bash", "-c", f"exec 3<>/dev/tcp/{address}/22"), stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=30)
    return r.returncode == 0


def test_commands_and_files_on_five_boards(t):
    t.need_root()
    if not os.path.exists(SSHD):
        t.skip("openssh-server is not installed (it starts a server of its own: not among ./dev deps)")
    t.need_program("ssh", "scp", "ssh-agent")
    os.makedirs("/run/sshd", exist_ok=True)
    net = t.enter(Net())
    d = t.enter(Daemon(t, net, dhcp="off"))
    authorized = login_key(t)
    for n in range(1, 6):
        d.cli("board", "add", f"pi{n}", "--mac", f"02:00:00:00:06:{n:02x}", "--address", f"10.77.0.{10 + n}")
    keys = {n: host_key(t, d, f"pi{n}") for n in range(1, 6)}
    for n in range(1, 5):   # pi5 is down
        client = net.client()
        client.address(f"10.77.0.{10 + n}/24")
        serve_ssh(t, client, f"pi{n}", keys[n if n < 4 else 1], authorized)     # pi4 has pi1's key
    for n in range(1, 5):
        wait_until(lambda n=n: answers(net, f"10.77.0.{10 + n}"), PATIENCE, f"sshd of pi{n}")

    # one board: its output as it is, its exit code; quoting survives the board's shell
    r = d.cli("run", "pi1", "--", "printf", "%s\\n", "a b", "$BOARD;'x'", check=False)
    assert (r.returncode, r.stdout, r.stderr) == (0, "a b\n$BOARD;'x'\n", ""), r
    r = d.cli("run", "pi1", "--", "echo out $BOARD; echo err >&2; exit 7", check=False)
    assert (r.returncode, r.stdout, r.stderr) == (7, "out pi1\n", "err\n"), r
    # a command may end with ssh's own code for trouble, and say something
    r = d.cli("run", "pi1", "-o", "json", "--", "echo hm >&2; exit 255", check=False)
    assert r.returncode == 255 and json.loads(r.stdout)[0]["end"] == "ran" and json.loads(r.stdout)[0]["exit"] == 255, r

    # all: each line with its board; who is down or somebody else is told
    r = d.cli("run", "pi[1-5]", "--", "echo $BOARD one; echo two", check=False)
    assert r.returncode == 255, r
    for n in (1, 2, 3):
        assert f"pi{n}: pi{n} one\n" in r.stdout and f"pi{n}: two\n" in r.stdout, r.stdout
    assert "pi4:" not in r.stdout and "bramble: board pi4: its host key is not the one that the board was given" in r.stderr, r
    assert "bramble: board pi5: it does not answer" in r.stderr, r.stderr
    report = {row["board"]: row for row in json.loads(d.cli("run", "pi[1-5]", "-o", "json", "--", "test $BOARD = pi2", check=False).stdout)}
    assert {b: (row["end"], row["exit"]) for b, row in report.items()} == {
        "pi1": ("ran", 1), "pi2": ("ran", 0), "pi3": ("ran", 1), "pi4": ("wrong-key", None), "pi5": ("unreachable", None)}, report
    r = d.cli("run", "pi[1-3]", "--gather", "--", "echo same; test $BOARD != pi3 || echo other", check=False)
    assert r.stdout == "---- pi[1,2]\nsame\n---- pi3\nsame\nother\n", r.stdout
    # a job on boards: lines with the board's name, the first one's exit code, the lab's own for one that is not reached
    job = ("run", "--power", "none", "--up", "none", "--on-board", "-q")
    r = d.cli(*job, "-b", "pi[1-2]", "--", "echo $BOARD; test $BOARD = pi1 || exit 9", check=False)
    assert r.returncode == 9 and sorted(r.stdout.splitlines()) == ["pi1| pi1", "pi2| pi2"], r
    assert d.cli(*job, "-b", "pi3", "--", "true", check=False).returncode == 0
    assert d.cli(*job, "-b", "pi5", "--", "true", check=False).returncode == 108
    assert d.cli(*job, "-b", "pi1", "--timeout", "2s", "--", "sleep 60", check=False).returncode == 109
    assert d.json("reserve", "list") == []
    # time runs out on the boards' clock, not on ours for ever; nothing stays behind
    r = d.cli("run", "pi[1-2]", "--timeout", "2s", "--", "sleep 1000", check=False)
    assert r.returncode == 124 and "board pi1: the command did not end within 2.0 s" in r.stderr, r
    # who has no key is not asked for a password
    r = d.cli("run", "pi1", "--user", "not-there", "--", "true", check=False)
    assert r.returncode == 255 and "no key of yours may log in" in r.stderr, r
    r = d.cli("run", "pi9", "--", "true", check=False)
    assert r.returncode == 3, r
    # much at once, and bytes that are no text
    r = d.cli("run", "pi[1-3]", "-o", "json", "--", "head -c 3000000 /dev/zero | tr '\\0' x; printf '\\377'", timeout=120)
    assert all(len(row["stdout"]) == 3000000 + 4 for row in json.loads(r.stdout)), "all of it"

    r = d.cli("shell", "pi2", "--", "echo in $BOARD; exit 3", check=False)
    assert (r.returncode, r.stdout) == (3, "in pi2\n"), r
    r = d.cli("shell", "pi4", "--", "true", check=False)
    assert r.returncode == 255 and "REMOTE HOST IDENTIFICATION HAS CHANGED" in r.stderr, r

    # files
    os.makedirs(t.path("tree", "sub"))
    with open(t.path("tree", "sub", "a:b c"), "w") as f:
        f.write("content")
    os.chmod(t.path("tree", "sub", "a:b c"), 0o640)
    there = t.path("there")
    os.makedirs(there)      # the boards share our file system: a directory for each
    for n in (1, 2, 3):
        os.makedirs(f"{there}/pi{n}")
    d.cli("cp", t.path("tree", "sub", "a:b c"), f"pi1:{there}/pi1/")
    d.cli("cp", "-r", t.path("tree"), f"pi[1-3]:{there}")
    assert oct(os.stat(f"{there}/tree/sub/a:b c").st_mode)[-3:] == "640"
    back = t.path("back")
    d.cli("cp", f"pi[2-3]:{there}/tree/sub/*", back)
    for n in (2, 3):
        with open(f"{back}/pi{n}/a:b c") as f:
            assert f.read() == "content"
    d.cli("cp", f"pi1:{there}/pi1/a:b c", t.path("one"))
    r = d.cli("cp", f"pi1:{there}/nothing", t.path("two"), check=False)
    assert r.returncode not in (0, 255) and "No such file" in r.stderr, r
    r = d.cli("cp", t.path("one"), "pi[3-5]:/tmp/bramble-test-never", check=False)
    assert r.returncode == 255 and "board pi4: its host key" in r.stderr and "board pi5:" in r.stderr, r
    os.unlink("/tmp/bramble-test-never")
    left = [n for n in os.listdir(os.environ.get("TMPDIR", "/tmp")) if n.startswith(("bramble-known-hosts", "bramble-ssh-"))]
    assert not left, left
