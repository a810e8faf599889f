# SPDX-License-Identifier: Apache-2.0
"""The TFTP service as odd clients see it."""
import sys

from daemon import Daemon
from images import small_image
from netlab import ADDRESS, Net
from systemtests import quick

# Takes a file slowly, block by block, and from the first one on answers no ARP: as the 3B's ROM (wire notes 1.6).
SILENT_CLIENT = """
import socket, struct, subprocess, sys, time
server = sys.argv[1]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
s.sendto(b"\\0\\1kernel8.img\\0octet\\0", (server, 69))
for i in range(16):
    data, peer = s.recvfrom(2000)
    block = struct.unpack(">H", data[2:4])[0]
    assert block == i + 1, f"block {block} instead of {i + 1}"
    if i == 0:
        words = subprocess.run(["ip", "neigh", "show", server], capture_output=True, text=True).stdout.split()
        mac = words[words.index("lladdr") + 1]
        subprocess.run(["ip", "neigh", "replace", server, "lladdr", mac, "dev", "eth0", "nud", "permanent"], check=True)
        with open("/proc/sys/net/ipv4/conf/eth0/arp_ignore", "w") as f:
            f.write("8")
    time.sleep(0.25)
    s.sendto(struct.pack(">HH", 4, block), peer)
"""

# The server's kernel doubts its neighbours after 0.2 to 0.6 s instead of 15 to 45.
DOUBTFUL = "cd /proc/sys/net/ipv4/neigh/br0; echo 400 >base_reachable_time_ms; echo 1 >delay_first_probe_time; " \
           "echo 100 >retrans_time_ms"


@quick
def test_a_client_that_answers_no_arp_gets_its_file(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    net = t.enter(Net())
    t.enter(Daemon(t, net, image=small_image(t)))
    client = net.client()
    client.address("10.77.0.9/24")
    t.run(*net.exec("sh", "-c", DOUBTFUL))
    t.run(*client.exec(sys.executable, "-c", SILENT_CLIENT, ADDRESS))
