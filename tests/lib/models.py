# SPDX-License-Identifier: Apache-2.0
"""The models that virtual boards come in, and what all of them need to boot."""
import os

# 32-bit kernels, for those that can run no other
KERNELS = ("kernel.img", "kernel7.img")


def models(t):
    """What bramble itself lists."""
    r = t.run(t.bramble, "sim", "--model", "none", check=False)
    return r.stderr.split("'none': ")[1].split(";")[0].split()


def overrides(t):
    """A directory for --overrides with what the image lacks for the older ones."""
    os.makedirs(t.path("boot/all"))
    for name in KERNELS:
        with open(t.path("boot/all/" + name), "wb") as f:
            f.write(bytes(36) + b"\x18\x28\x6f\x01" + bytes(50_000))
    return t.path("boot")
