# SPDX-License-Identifier: Apache-2.0
"""The boards' HTTP server, by curl; boot.img as fsck.fat and mtools see it."""
import hashlib
import os
import subprocess
import sys

from daemon import Daemon
from images import CONFIG, small_image
from netlab import ADDRESS, Net
from systemtests import quick, wait_until

MAC = "dc:a6:32:00:00:07"
TOOLS = ("sfdisk", "mkfs.fat", "mcopy", "mke2fs", "curl")

# Opens connections and says nothing; then prints how many are open after a short while.
IDLERS = """
import select, socket, sys, time
open_ = []
for i in range(60):
    s = socket.create_connection((sys.argv[1], 80), 5)
    open_.append(s)
time.sleep(1)
closed = select.select(open_, [], [], 0)[0]
print(len(open_) - len(closed))
"""

RAW = """
import socket, sys
s = socket.create_connection((sys.argv[1], 80), 5)
s.settimeout(30)
data = b""
try:
    s.sendall(sys.stdin.buffer.read().replace(b"LONG", b"x" * 100000))
except OSError:
    pass                # cut off in the middle
while True:
    try:
        part = s.recv(65536)
    except OSError:
        break
    if not part:
        break
    data += part
sys.stdout.write(data.decode("latin-1"))
"""


def curl(t, client, path, *options, check=True):
    """Status and body."""
    out = t.path("body")
    if os.path.exists(out):
        os.unlink(out)
    r = t.run(*client.exec("curl", "-sS", "-m", "30", "--path-as-is", "-o", out, "-w", "%{http_code}", *options,
                           f"http://{ADDRESS}/{path}"), check=check)
    try:
        with open(out, "rb") as f:
            return r.stdout, f.read()
    except FileNotFoundError:
        return r.stdout, b""


def raw(t, client, request):
    return t.run(*client.exec(sys.executable, "-c", RAW, ADDRESS), input=request).stdout


def setup(t, *arguments):
    t.need_root()
    t.need_program(*TOOLS)
    net = t.enter(Net())
    os.makedirs(t.path("boot/pi07"))
    d = t.enter(Daemon(t, net, "--overrides", t.path("boot"), *arguments, image=small_image(t)))
    d.cli("board", "add", "pi07", "--mac", MAC, "--serial", "5b000007", "--model", "5")
    client = net.client(mac=MAC)
    client.address("10.77.0.9/24")
    return net, d, client


@quick
def test_files_by_http(t):
    net, d, client = setup(t)
    with open(t.path("kernel8.img"), "rb") as f:
        kernel = f.read()
    for path in ("kernel8.img", "/KERNEL8.img", "boot/pi07/kernel8.img", "boot/5b000007/kernel8.img",
                 "boot/dc-a6-32-00-00-07/kernel8.img", "boot/dc:a6:32:00:00:07/kernel8.img",
                 "net_install/kernel8.img", "5b000007/kernel8.img", "kernel8.img?x=y", "kernel8%2eimg"):
        assert curl(t, client, path) == ("200", kernel), path
    status, body = curl(t, client, "cmdline.txt")
    assert status == "200" and b"/pi07," in body, body
    assert curl(t, client, "config.txt", "--http1.0") == ("200", CONFIG)

    ranges = {"0-9": kernel[:10], "100-": kernel[100:], "-7": kernel[-7:], "5-99999999": kernel[5:]}
    for r, want in ranges.items():
        assert curl(t, client, "kernel8.img", "-r", r) == ("206", want), r
    assert curl(t, client, "kernel8.img", "-r", "99999999-")[0] == "416"
    assert curl(t, client, "kernel8.img", "-r", "0-1,4-5") == ("200", kernel)
    assert curl(t, client, "kernel8.img", "-r", "0-1", "-H", 'If-Range: "x"') == ("200", kernel)

    for path in ("nothing", "boot/pi08/kernel8.img", "boot/5b000008/kernel8.img", "boot/pi07", "boot/",
                 "boot/pi07/../pi07/kernel8.img", "../etc/passwd", "%2e%2e/etc/passwd", "5b000008/kernel8.img",
                 "overlays"):
        assert curl(t, client, path)[0] == "404", path
    assert curl(t, client, "config.txt", "-X", "PUT", "-d", "x")[0] == "405"
    status, body = curl(t, client, "")     # no board asks for it: somebody in a browser, whom it tells where the page is
    assert status == "200" and b":8480" in body, body

    answer = raw(t, client, "HEAD /kernel8.img HTTP/1.1\r\nhost: x\r\n\r\n"
                            "GET /config.txt HTTP/1.1\r\nhost: x\r\nConnection: close\r\n\r\n")
    head, rest = answer.split("\n\n", 1)    # a kept connection, as UEFI wants after HEAD
    assert f"Content-Length: {len(kernel)}" in head and len(head) < 300, head
    assert rest.startswith("HTTP/1.1 200") and rest.endswith(CONFIG.decode()), rest
    assert "chunked" not in answer

    # somebody who is no board gets the image's files, and no board's
    other = net.client()
    other.address("10.77.0.10/24")
    status, body = curl(t, other, "cmdline.txt")
    assert status == "200" and b"nfsroot" not in body
    assert curl(t, other, "boot/pi07/cmdline.txt")[0] == "404"

    d.cli("board", "edit", "pi07", "--road", "local")
    assert curl(t, client, "config.txt")[0] == "404"
    sent = [e["fields"] for e in d.jsonl("event", "list", "pi07", "-t", "file.sent")]
    assert sent and all(f["via"] == "http" for f in sent)
    assert any(f["path"] == "kernel8.img" and f["bytes"] == len(kernel) for f in sent)
    assert any(f.get("first") == 100 and f["bytes"] == len(kernel) - 100 for f in sent)
    assert any("another board" in e["fields"].get("reason", "")
               for e in d.jsonl("event", "list", "pi07", "-t", "file.missing"))


@quick
def test_boot_img(t):
    t.need_program("fsck.fat")
    net, d, client = setup(t)
    os.makedirs(t.path("boot/all/efi/boot"))
    with open(t.path("boot/all/efi/boot/bootaa64.efi"), "w") as f:
        f.write("MZ\n")
    assert curl(t, client, "boot.sig")[0] == "404"
    events = d.jsonl("event", "list", "pi07", "-t", "file.missing")
    assert "signature" in events[-1]["fields"]["reason"], events
    status, image = curl(t, client, "boot.img")
    assert status == "200"
    assert curl(t, client, "boot/pi07/boot.img", "-r", "1000-")[1] == image[1000:]
    with open(t.path("boot.img"), "wb") as f:
        f.write(image)
    t.run("fsck.fat", "-n", t.path("boot.img"))
    names = t.run("mdir", "-b", "-/", "-i", t.path("boot.img"), "::").stdout.lower().split()
    assert "::/kernel8.img" in names and "::/bcm2712-rpi-5-b.dtb" in names and "::/efi/boot/bootaa64.efi" in names
    assert not [n for n in names if n.endswith((".elf", "bootcode.bin", "rpi-4-b.dtb", "boot.img"))], names
    inside = t.run("mtype", "-i", t.path("boot.img"), "::cmdline.txt").stdout
    assert "/pi07," in inside, inside
    r = t.run(*client.exec("curl", "-sS", "-m", "60", "-o", t.path("by-tftp"), f"tftp://{ADDRESS}/5b000007/boot.img"))
    with open(t.path("by-tftp"), "rb") as f:
        assert f.read() == image
    # the kernel is out: the board's next words begin another boot
    assert d.json("board", "show", "pi07")[0]["boot"]["stage"] == "kernel-sent"

    # a signature that somebody made counts from the next boot; here the daemon that starts anew
    signature = hashlib.sha256(image).hexdigest() + "\nts: 1\n"
    with open(t.path("boot/pi07/boot.sig"), "w") as f:
        f.write(signature)
    d.restart()
    assert curl(t, client, "net_install/boot.sig") == ("200", signature.encode())
    # of another boot.img, it is none
    with open(t.path("boot/pi07/boot.sig"), "w") as f:
        f.write("00" * 32 + "\nts: 1\n")
    d.restart()
    assert curl(t, client, "net_install/boot.sig")[0] == "404"
    assert "another boot.img" in d.jsonl("event", "list", "pi07", "-t", "file.missing")[-1]["fields"]["reason"]


@quick
def test_hostile_http_clients(t):
    net, d, client = setup(t)
    for request in ("GET /LONG HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nA: LONG\r\n\r\n", "\r\n\r\nGARBAGE\r\n\r\n",
                    "GET\r\n\r\n", "POST /config.txt HTTP/1.1\r\nContent-Length: 100000\r\n\r\nLONG"):
        answer = raw(t, client, request)
        assert not answer or answer.startswith(("HTTP/1.1 4", "HTTP/1.0 4")), (request, answer)
    left = int(t.run(*client.exec(sys.executable, "-c", IDLERS, ADDRESS)).stdout)
    assert left <= 16, left
    assert curl(t, client, "config.txt")[0] == "200"


@quick
def test_a_taken_port_80_is_no_reason_not_to_start(t):
    t.need_root()
    t.need_program(*TOOLS)
    net = t.enter(Net())
    taken = net.exec(sys.executable, "-c", "import socket, time; s = socket.socket(); s.bind(('', 80)); s.listen(); "
                     "print('ready', flush=True); time.sleep(600)")
    holder = subprocess.Popen(taken, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "ready\n"
        image = small_image(t)
        with Daemon(t, net, image=image) as d:
            wait_until(lambda: "--http-port" in d.log(), 10, "a word about the port in the log")
        r = t.run(*net.exec(t.bramble, "serve", image, "--interface", "br0", "--dhcp", "full", "--http-port", "80",
                            "--state", t.path("other")), check=False)
        assert r.returncode and "port 80" in r.stderr, r.stderr
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
