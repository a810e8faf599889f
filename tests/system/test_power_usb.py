# SPDX-License-Identifier: Apache-2.0
"""Ports of a USB hub, in a PC under QEMU: its kernel's hub driver, QEMU's hub that switches each port, and one that does not."""
import os

from systemtests import wait_until
from usbguest import UsbGuest

HUBS = ("-device", "qemu-xhci,id=x", "-device", "usb-hub,bus=x.0,port=1,ports=4,port-power=on", "-device", "usb-kbd,bus=x.0,port=1.2",
        "-device", "usb-hub,bus=x.0,port=2,ports=4,port-power=off")


def test_ports_of_a_usb_hub_are_switched(t):
    """The bit of the port's status is what counts; and the keyboard behind the port goes."""
    program = os.path.join(t.build, "tests/unit/power_try")
    guest = t.enter(UsbGuest(t, None, {program: "/bin/power_try"}, {}, more=HUBS))

    def port(number, word):
        status, said = guest.run("power_try", f"usbhub:1-1:{number}", word)
        return status, said.strip()

    wait_until(lambda: "1-1.2" in guest.devices(), 60, "the keyboard is there")
    assert port(2, "status") == (0, "on a device is connected"), port(2, "status")
    assert port(2, "off")[0] == 0
    assert port(2, "status")[1].startswith("off"), port(2, "status")
    wait_until(lambda: "1-1.2" not in guest.devices(), 60, "the keyboard is gone")
    assert port(3, "status")[1].startswith("on"), "another port of the hub keeps its power"
    assert port(2, "on")[0] == 0 and port(2, "status")[1].startswith("on")
    wait_until(lambda: "1-1.2" in guest.devices(), 60, "the keyboard is back")
    status, said = port(9, "off")
    assert status == 1 and "it has 4 ports" in said, said
    status, said = guest.run("power_try", "usbhub:1-2:1", "off")
    assert status == 1 and "does not switch" in said, said
    status, said = guest.run("power_try", "usbhub:1-1.2:1", "off")
    assert status == 1 and "no hub" in said, said
    status, said = guest.run("power_try", "usbhub:1-7:1", "off")
    assert status == 1 and "no such hub" in said, said
