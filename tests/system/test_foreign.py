# SPDX-License-Identifier: Apache-2.0
"""Beside other DHCP servers: bramble as proxy, 'auto', servers that come later."""
import json
import subprocess

import dhcpservers
from daemon import Daemon
from dhcpservers import Dhcpd, Dnsmasq, Kea
from images import small_image
from models import models, overrides
from netlab import Net
from systemtests import quick, stop, wait_until


def lab(t):
    t.need_root()
    t.need_program("sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    return small_image(t), t.enter(Net())


def mode_of(daemon):
    return daemon.json("status")["dhcp_mode"]


def boot_firmware(t, net, image, model, serial):
    """The firmware of one board, to the end of its files, each compared with the image's. The addresses it got."""
    r = t.run(*net.exec(t.bramble, "sim", "--model", model, "--serial", serial, "--interface", "br0", "-o", "json",
                        "--check-image", image), timeout=300, check=False)
    events = [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]
    assert r.returncode == 0, f"{model}: status {r.returncode}"
    return events


def boards_boot_beside(t, server):
    """Every model, the 3B among them, whose ROM sends no REQUEST and hears an answer only when another frame follows it."""
    image, net = lab(t)
    t.enter(server(t, net))
    daemon = t.enter(Daemon(t, net, "--overrides", overrides(t), image=image, dhcp="proxy"))
    for n, model in enumerate(models(t)):
        serial = f"1000ab{n:02x}"
        boot_firmware(t, net, image, model, serial)
        names = [b["name"] for b in daemon.json("board", "list") if str(b.get("serial", "")).endswith(serial)]
        assert len(names) == 1, daemon.json("board", "list")
        events = daemon.jsonl("event", "list", names[0])
        kinds = [e["type"] for e in events]
        assert "dhcp.offer" in kinds and "file.sent" in kinds, kinds
        # no address of ours, to nobody
        assert all("ip" not in e["fields"] for e in events if e["type"] == "dhcp.offer"), events
        assert "dhcp.ack" not in kinds, kinds
    # somebody who is no board hears nothing from us, and gets the other's address
    client = net.client("02:00:00:00:00:99")
    r = t.run(*client.exec("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "5", "-T", "2", "-s", "/bin/true"))
    assert "10.77.0.1" in r.stderr + r.stdout and dhcpservers.ADDRESS in r.stderr + r.stdout, r.stderr
    assert not [e for e in daemon.jsonl("event", "list") if e["type"] == "dhcp.ack"]


@quick
def test_firmware_boots_beside_dnsmasq(t):
    boards_boot_beside(t, Dnsmasq)


def test_firmware_boots_beside_isc_dhcpd(t):
    boards_boot_beside(t, Dhcpd)


def test_firmware_boots_beside_kea(t):
    boards_boot_beside(t, Kea)


@quick
def test_auto_gives_addresses_where_nobody_else_does(t):
    image, net = lab(t)
    daemon = t.enter(Daemon(t, net, image=image, dhcp="auto"))
    wait_until(lambda: mode_of(daemon) == "full", 30, "auto decided to give addresses")
    boot_firmware(t, net, image, "4", "1000ac01")
    assert "dhcp.ack" in [e["type"] for e in daemon.jsonl("event", "list")]


def test_auto_gives_no_addresses_on_a_network_that_leads_elsewhere(t):
    image, net = lab(t)
    t.run(*net.exec("ip", "route", "add", "default", "via", "10.77.0.254"))
    daemon = t.enter(Daemon(t, net, image=image, dhcp="auto"))
    wait_until(lambda: mode_of(daemon) == "proxy", 30, "auto decided")
    assert "default route" in daemon.log() and "--dhcp full" in daemon.log(), daemon.log()
    assert not [e for e in daemon.jsonl("event", "list") if e["type"] == "dhcp.foreign"]


def test_auto_leaves_a_taken_port_alone_and_names_who_has_it(t):
    t.need_program("dnsmasq")
    image, net = lab(t)
    with open(t.path("dnsmasq.log"), "wb") as log:
        p = subprocess.Popen(net.exec("dnsmasq", "-d", "-C", "/dev/null", "--port=0", "--user=root", "--interface=br0",
                                      "--dhcp-range=10.77.0.150,10.77.0.199,1h", f"--dhcp-leasefile={t.path('leases')}"),
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: ":0043 " in t.run(*net.exec("cat", "/proc/net/udp")).stdout, 30, "dnsmasq has the port")
        daemon = t.enter(Daemon(t, net, image=image, dhcp="auto"))
        assert mode_of(daemon) == "off"
        assert "dnsmasq" in daemon.log() and "option 66 = 10.77.0.1" in daemon.log(), daemon.log()
        full = t.run(*net.exec(t.bramble, "serve", "--interface", "br0", "--address", "10.77.0.1/24", "--dhcp", "full",
                               "--state", t.path("other")), check=False, timeout=60)
        assert full.returncode == 1 and "dnsmasq" in full.stderr, full.stderr
    finally:
        stop(p)


def auto_yields(t, server):
    image, net = lab(t)
    t.enter(server(t, net))
    daemon = t.enter(Daemon(t, net, image=image, dhcp="auto"))
    wait_until(lambda: mode_of(daemon) == "proxy", 30, "auto found the other server")
    assert dhcpservers.ADDRESS in daemon.log(), daemon.log()
    foreign = [e["fields"] for e in daemon.jsonl("event", "list") if e["type"] == "dhcp.foreign"]
    assert foreign and foreign[0]["server"] == dhcpservers.ADDRESS, foreign
    assert foreign[0]["server_mac"] == "02:00:00:00:00:02", foreign
    boot_firmware(t, net, image, "4", "1000ac02")


@quick
def test_auto_is_a_proxy_beside_dnsmasq(t):
    auto_yields(t, Dnsmasq)


def test_auto_is_a_proxy_beside_isc_dhcpd(t):
    auto_yields(t, Dhcpd)


def test_auto_is_a_proxy_beside_kea(t):
    auto_yields(t, Kea)


def test_auto_gives_way_to_a_server_that_comes_later(t):
    image, net = lab(t)
    daemon = t.enter(Daemon(t, net, image=image, dhcp="auto"))
    wait_until(lambda: mode_of(daemon) == "full", 30, "auto decided to give addresses")
    t.enter(Dnsmasq(t, net))
    # a client's broadcast DISCOVER makes it speak; UEFI asks for broadcast answers, and dhcpcd can
    client = net.client("02:00:00:00:00:98")
    t.run(*client.exec("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-B", "-t", "5", "-T", "2", "-s", "/bin/true"),
          check=False)
    wait_until(lambda: mode_of(daemon) == "proxy", 30, "auto gave way")
    assert "DHCP is proxy" in daemon.log(), daemon.log()
    boot_firmware(t, net, image, "5", "1000ac03")


def test_full_warns_of_a_rogue_server(t):
    image, net = lab(t)
    t.enter(Dnsmasq(t, net))
    daemon = t.enter(Daemon(t, net, image=image, dhcp="full"))
    wait_until(lambda: "another DHCP server answers" in daemon.log(), 30, "the warning")
    assert mode_of(daemon) == "full"
    assert "02:00:00:00:00:02" in daemon.log()


def test_two_brambles_do_not_both_give_addresses(t):
    image, net = lab(t)
    first = t.enter(Daemon(t, net, image=image, dhcp="auto"))
    wait_until(lambda: mode_of(first) == "full", 30, "the first one gives addresses")
    second = t.enter(SecondDaemon(t, net.client("02:00:00:00:00:77"), image))
    wait_until(lambda: mode_of(second) == "proxy", 30, "the second one found the first")
    assert mode_of(first) == "full"


class SecondDaemon(Daemon):
    """The same on a host of its own."""

    def __init__(self, t, host, image):
        super().__init__(t, host, image=image, state=t.path("state2"), dhcp="auto", address="10.77.0.3/24")
        self.argv = [a if a != "br0" else "eth0" for a in self.argv]
