# SPDX-License-Identifier: Apache-2.0
"""The first rung of the ladder: a real ssh server with the board's host key is asked to reboot."""
import base64
import json
import os
import sqlite3
import struct
import subprocess

from powerlab import NAMES, SERIALS, power, rack
from systemtests import quick, stop, wait_until

SSHD = "/usr/sbin/sshd"


def host_key(t, daemon, board):
    """The board's private host key in OpenSSH's form (PROTOCOL.key), from the seed that the daemon keeps."""
    answer = json.loads(t.run("curl", "-s", "--unix-socket", os.path.join(daemon.state, "api.sock"), f"http://x/v1/boards/{board}/ssh").stdout)
    blob = base64.b64decode(answer["host_keys"][0].split()[1])
    public = blob[-32:]
    with sqlite3.connect(f"file:{daemon.state}/bramble.db?mode=ro", uri=True) as db:
        seed = db.execute("SELECT value FROM secret WHERE kind = 'ssh-ed25519-seed'").fetchone()[0]

    def text(b):
        return struct.pack(">I", len(b)) + b
    inner = bytes(8) + text(b"ssh-ed25519") + text(public) + text(seed + public) + text(b"board")
    inner += bytes(range(1, 1 + -len(inner) % 8))
    whole = b"openssh-key-v1\0" + text(b"none") + text(b"none") + text(b"") + struct.pack(">I", 1) + text(blob) + text(inner)
    return "-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64.encodebytes(whole).decode() + "-----END OPENSSH PRIVATE KEY-----\n"


@quick
def test_a_soft_reboot_is_asked_for_over_ssh(t):
    if not os.path.exists(SSHD):
        t.skip("no sshd (Debian package openssh-server)")
    net, daemon = rack(t, "[power]\nboot-timeout = 3s\noff-time = 100ms\n[power strip]\nuri = tasmota://127.0.0.1:8090/{port}\n"
                          f"boards = {NAMES[0]}\n", boards=1)
    code, rows = power(daemon, "on", NAMES[0], "--wait=60s")
    assert code == 0, rows
    address = daemon.json("board", "show", NAMES[0])[0]["address"]
    # who answers there now is a real server, with the key that the board has from us
    t.run(*net.exec("curl", "-s", f"http://127.0.0.1:8090/board/{SERIALS[0]}/off"))
    key = t.path("hostkey")
    with open(key, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
        f.write(host_key(t, daemon, NAMES[0]))
    keys = t.path("authorized")
    with open(keys, "w") as f:
        f.write(daemon.cli("power", "key").stdout)
    os.chmod(t.dir, 0o755)
    client = net.client()
    client.address(f"{address}/24")
    heard = t.path("heard")
    # ForceCommand: what is asked for is written down, and never done
    os.makedirs("/run/sshd", exist_ok=True)
    server = subprocess.Popen(client.exec(
        SSHD, "-D", "-e", "-f", "/dev/null", "-h", key, "-o", "PidFile=none", "-o", "UsePAM=no", "-o", "StrictModes=no",
        "-o", "PermitRootLogin=yes", "-o", f"AuthorizedKeysFile={keys}",
        "-o", f"ForceCommand=echo \"$SSH_ORIGINAL_COMMAND\" >>{heard}"), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    t.stack.callback(stop, server)
    wait_until(lambda: t.run(*net.exec("curl", "-s", "-m", "2", "--http0.9", f"http://{address}:22/"), check=False).returncode != 7, 30, "sshd listens")
    code, rows = power(daemon, "cycle", NAMES[0], "--soft")
    with open(heard) as f:
        assert "reboot" in f.read()
    # it heard, and did not boot: its power did it
    assert code == 0 and rows[NAMES[0]]["rung"] == "hard" and "no sign of a boot within" in rows[NAMES[0]]["text"], rows
    stop(server)
    # another host key at this address is nobody we talk to
    t.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", t.path("other"))
    os.remove(heard)
    server = subprocess.Popen(client.exec(
        SSHD, "-D", "-e", "-f", "/dev/null", "-h", t.path("other"), "-o", "PidFile=none", "-o", "UsePAM=no", "-o", "StrictModes=no",
        "-o", "PermitRootLogin=yes", "-o", f"AuthorizedKeysFile={keys}", "-o", f"ForceCommand=touch {heard}"),
        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    t.stack.callback(stop, server)
    wait_until(lambda: t.run(*net.exec("curl", "-s", "-m", "2", "--http0.9", f"http://{address}:22/"), check=False).returncode != 7, 30, "sshd listens")
    code, rows = power(daemon, "soft", NAMES[0])
    assert code == 1 and "ssh to root@" in rows[NAMES[0]]["text"] and not os.path.exists(heard), rows
