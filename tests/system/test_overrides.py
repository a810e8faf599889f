# SPDX-License-Identifier: Apache-2.0
"""Boot files that people give, and the road that leads away from the network."""
import json
import os

from daemon import Daemon
from images import small_image
from netlab import ADDRESS, Net
from systemtests import quick

MAC = "dc:a6:32:00:00:07"


def put(t, path, text):
    path = t.path("boot", path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)


def fetch(t, client, name, *options, check=True):
    return t.run(*client.exec("curl", "-sS", "-m", "20", *options, f"tftp://{ADDRESS}/{name}"), check=check)


@quick
def test_overrides_and_the_local_road(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "curl")
    net = t.enter(Net())
    put(t, "pi07/config.txt", "# the board's\n")
    put(t, "all/config.txt", "# everybody's\n")
    put(t, "all/extra/note.txt", "hello\n")
    os.symlink("/etc/passwd", t.path("boot/all/passwd"))
    put(t, "../root/pi07/etc/motd", "welcome\n")
    put(t, "../root/all/etc/issue", "hello\n")
    put(t, "../root/all/opt/x/y", "lost\n")
    put(t, "../root/all/userconf.txt", "Not A User:x\n")
    put(t, "../keys", "ssh-ed25519 AAAA me\n")
    d = t.enter(Daemon(t, net, "--overrides", t.path("boot"), "--root-files", t.path("root"), "--authorized-keys",
                       t.path("keys"), image=small_image(t)))
    d.cli("board", "add", "pi07", "--mac", MAC, "--serial", "5b000007")
    client = net.client(mac=MAC)
    client.address("10.77.0.9/24")
    assert fetch(t, client, "config.txt").stdout == "# the board's\n"
    assert fetch(t, client, "5b000007/EXTRA/note.txt").stdout == "hello\n"
    assert fetch(t, client, "passwd", check=False).returncode
    shown = d.cli("board", "show", "pi07").stdout
    assert "config.txt (pi07)" in shown and "extra/note.txt (all)" in shown and "leads out" in shown, shown
    reasons = [e["fields"]["reason"] for e in d.jsonl("event", "list", "pi07", "-t", "boot.overrides")]
    assert len(reasons) == 1 and "passwd" in reasons[0] and "/opt/x/y" in reasons[0], reasons

    # and files of its root: people's own, those of the first user, keys
    rows = {r["path"]: r for r in json.loads(d.cli("board", "show", "pi07", "-o", "json").stdout)[0]["plan"]["root_files"]}
    assert rows["/etc/motd"]["why"] == "given for this board" and rows["/etc/issue"]["why"] == "given for all boards", rows
    assert all(r.get("why") for r in rows.values()), rows
    assert "/boot/firmware/config.txt" in rows, rows
    assert d.cli("disk", "cat", "pi07", "/etc/motd").stdout == "welcome\n"
    assert d.cli("disk", "cat", "pi07", "/boot/firmware/config.txt").stdout == "# the board's\n"
    assert "/opt/x/y: its directory is not in the image" in shown and "authorized_keys: this sshd" in shown, shown
    assert "userconf.txt: " in shown and "/etc/issue - given for all boards" in shown, shown
    assert "layout:     Small Linux 1" in shown and "no systemd" in shown, shown

    # an edit counts from the next boot, which this board does not begin
    put(t, "pi07/config.txt", "# edited\n")
    assert fetch(t, client, "config.txt").stdout == "# the board's\n"

    # somebody who is no board gets everybody's
    other = net.client()
    other.address("10.77.0.10/24")
    assert fetch(t, other, "config.txt").stdout == "# everybody's\n"

    d.cli("board", "edit", "pi07", "--road", "local")
    # curl takes a tsize of 0 for an error
    assert fetch(t, client, "5b000007/start4.elf", "--tftp-no-options").stdout == ""
    for name in ("5b000007/config.txt", "config.txt", "5b000008/start4.elf", "extra/note.txt"):
        assert fetch(t, client, name, check=False).returncode, name
