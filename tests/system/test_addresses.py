# SPDX-License-Identifier: Apache-2.0
"""Who gets which address: real DHCP clients, addresses in use, fixed ones, floods."""
import os
import re
import subprocess
import sys

from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import TOP, quick, stop, wait_until

RANGE = ("--range", "10.77.0.100-10.77.0.119")
SCRIPT = """#!/bin/sh
[ -n "$new_ip_address" ] || exit 0
ip address replace "$new_ip_address/24" dev "$interface"
echo "$reason $new_ip_address $new_domain_name $new_routers" >>"$LEASE_FILE"
"""


def serve(t, *arguments, **keywords):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    image = small_image(t)
    net = t.enter(Net())
    return net, t.enter(Daemon(t, net, *RANGE, *arguments, image=image, **keywords)), image


def events(daemon, kind):
    return [e["fields"] for e in daemon.jsonl("event", "list") if e["type"] == kind]


def udhcpc(t, client, *more):
    """The address it got, or None."""
    r = t.run(*client.exec("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-s", "/bin/true",
                           *more), check=False)
    m = re.search(r"lease of (\S+) obtained", r.stderr + r.stdout)
    return m[1] if m else None


def lease_script(t):
    path = t.path("dhclient-script")
    with open(path, "w") as f:
        f.write(SCRIPT)
    os.chmod(path, 0o755)
    t.env["LEASE_FILE"] = t.path("lease")
    return path


@quick
def test_dhclient_gets_what_it_asks_for_and_gives_it_back(t):
    t.need_program("dhclient")
    net, daemon, _ = serve(t, "--domain", "lab.example", "--router", "10.77.0.1,10.77.0.254", "--dns", "10.77.0.1")
    client = net.client("02:00:00:00:01:01")
    files = ["-sf", lease_script(t), "-lf", t.path("leases"), "-pf", t.path("pid"), "-cf", "/dev/null", "eth0"]
    argv = client.exec("dhclient", "-4", "-1", "-d", "-e", f"LEASE_FILE={t.path('lease')}", *files)
    for attempt in (1, 2):     # the second one is INIT-REBOOT
        with open(t.path("dhclient.log"), "ab") as log:
            p = subprocess.Popen(argv, env=t.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            wait_until(lambda: count_lines(t.path("lease")) == attempt, 90, "dhclient's lease")
        finally:
            stop(p)
    with open(t.path("lease")) as f:
        lines = f.read().splitlines()
    assert len(lines) == 2 and lines[0].split()[1] == lines[1].split()[1], lines
    assert "10.77.0.100 lab.example 10.77.0.1 10.77.0.254" in lines[0], lines
    t.run(*client.exec("dhclient", "-4", "-r", *files), timeout=60, check=False)
    wait_until(lambda: events(daemon, "dhcp.release"), 30, "the release")


def count_lines(path):
    if not os.path.exists(path):
        return 0
    with open(path) as f:
        return len(f.readlines())


@quick
def test_dhcpcd_is_served(t):
    t.need_program("dhcpcd")
    net, daemon, _ = serve(t)
    client = net.client("02:00:00:00:01:02")
    script = lease_script(t)
    with open(t.path("dhcpcd.conf"), "w") as f:
        f.write("hostname\nclientid\noption domain_name_servers, routers\n")
    # -1 -T would take nothing; in the foreground until it has an address
    with open(t.path("dhcpcd.log"), "wb") as log:
        p = subprocess.Popen(client.exec("dhcpcd", "-4", "-B", "-f", t.path("dhcpcd.conf"), "-c", script, "eth0"),
                             env=t.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: [e for e in events(daemon, "dhcp.ack") if e["client"] == "os"], 60, "dhcpcd's lease")
    finally:
        stop(p)


@quick
def test_a_fixed_address_is_given_and_kept(t):
    net, daemon, image = serve(t)
    daemon.cli("board", "add", "pi07", "--mac", "b8:27:eb:12:34:57", "--address", "10.77.0.21")
    daemon.cli("board", "add", "pi08", "--mac", "b8:27:eb:12:34:58", "--address", "10.77.0.100")
    assert daemon.cli("board", "edit", "pi08", "--address", "10.77.0.21", check=False).returncode == 1
    assert udhcpc(t, net.client("b8:27:eb:12:34:57")) == "10.77.0.21"
    assert udhcpc(t, net.client("02:00:00:00:01:03")) == "10.77.0.101"
    assert udhcpc(t, net.client("b8:27:eb:12:34:58")) == "10.77.0.100"
    assert daemon.json("board", "show", "pi07")[0]["fixed_address"] == "10.77.0.21"


def test_an_address_in_use_is_not_given(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    image = small_image(t)
    net = t.enter(Net())
    squatter = net.client("02:00:00:00:01:04")
    squatter.address("10.77.0.100/24")
    daemon = t.enter(Daemon(t, net, *RANGE, image=image))
    wait_until(lambda: events(daemon, "dhcp.conflict"), 60, "the address in use was found")
    assert events(daemon, "dhcp.conflict") == [{"ip": "10.77.0.100", "mac": "02:00:00:00:01:04"}]
    assert udhcpc(t, net.client("02:00:00:00:01:05")) == "10.77.0.101"


def test_a_network_behind_a_relay(t):
    """dnsmasq relays from 10.78.0.0/24, where the client is."""
    t.need_program("dnsmasq")
    net, daemon, image = serve(t, "--subnets", "10.78.0.0/24=10.78.0.50-10.78.0.60")
    relay, client = net.client(), net.client("02:00:00:00:01:08")
    relay.address("10.77.0.5/24")
    for argv in (("ip", "link", "add", "down0", "type", "veth", "peer", "name", "up0"),
                 ("ip", "link", "set", "up0", "netns", client.name),
                 ("ip", "address", "add", "10.78.0.1/24", "dev", "down0"), ("ip", "link", "set", "down0", "up"),
                 ("sysctl", "-qw", "net.ipv4.ip_forward=1")):
        t.run(*relay.exec(*argv))
    t.run(*client.exec("ip", "link", "set", "up0", "up"))
    t.run(*net.exec("ip", "route", "add", "10.78.0.0/24", "via", "10.77.0.5"))
    with open(t.path("relay.log"), "wb") as log:
        p = subprocess.Popen(relay.exec("dnsmasq", "-d", "-C", "/dev/null", "--port=0", "--user=root", "--log-dhcp",
                                        "--dhcp-relay=10.78.0.1,10.77.0.1", "--interface=down0", "--interface=eth0"),
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        r = t.run(*client.exec("busybox", "udhcpc", "-i", "up0", "-n", "-q", "-f", "-t", "8", "-T", "2", "-s", "/bin/true"),
                  check=False)
    finally:
        stop(p)
    assert "lease of 10.78.0.50 obtained" in r.stderr + r.stdout, r.stderr
    assert [e["ip"] for e in events(daemon, "dhcp.ack")] == ["10.78.0.50"]


def test_a_flood_leaves_known_boards_their_turn(t):
    net, daemon, image = serve(t)
    known = net.client("b8:27:eb:12:34:59")
    assert udhcpc(t, known) == "10.77.0.100"
    attacker = net.client("02:00:00:00:01:06")
    flood = subprocess.Popen(attacker.exec(sys.executable, os.path.join(TOP, "tests", "lib", "dhcpflood.py")), stdin=subprocess.DEVNULL)
    try:
        for _ in range(3):
            assert udhcpc(t, known) == "10.77.0.100"
    finally:
        flood.wait()
    assert flood.returncode == 0
    # strangers that took nothing have nothing; no more than the limit was told of
    assert len(daemon.json("board", "list")) == 1
    assert len(events(daemon, "dhcp.offer")) < 1500
    assert udhcpc(t, known) == "10.77.0.100"
    with open(f"/proc/{daemon.process.pid}/status") as f:
        t.note(f.read())
    wait_until(lambda: udhcpc(t, net.client("b8:27:eb:12:34:60")), 60, "a new board gets an address")
