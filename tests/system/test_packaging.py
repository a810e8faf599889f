# SPDX-License-Identifier: Apache-2.0
"""The Debian package: it builds, installs into a root of its own, and its program runs."""
import glob
import os
import subprocess
import threading

from systemtests import TOP


_lock = threading.Lock()
_made = []


def make_deb(t):
    """Builds the package once a run; its path."""
    t.need_program("dpkg-deb", "dpkg-shlibdeps")
    with _lock:
        if not _made:
            t.run(os.path.join(TOP, "packaging", "make-deb"), timeout=900)
            _made.append(max(glob.glob(os.path.join(TOP, "build-deb", "bramble_*.deb")), key=os.path.getmtime))
    return _made[0]


def test_the_package_installs_and_removes(t):
    t.need_root()
    deb = make_deb(t)
    root = t.path("root")
    for d in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "tmp"):
        os.makedirs(os.path.join(root, d))
    open(os.path.join(root, "var/lib/dpkg/status"), "w").close()
    # dpkg --root runs the maintainer scripts inside that root, and there is nothing in it to run them with:
    # --force-script-chrootless runs them here, with $DPKG_ROOT set, and they respect it
    flags = ["--root=" + root, "--force-depends", "--force-script-chrootless", "--log=/dev/null"]
    t.run("dpkg", *flags, "--install", deb)
    program = os.path.join(root, "usr/bin/bramble")
    assert t.run(program, "--version").stdout.startswith("bramble ")
    for path in ("usr/lib/systemd/system/bramble.service", "usr/lib/systemd/system/bramble-usb.service",
                 "usr/lib/sysusers.d/bramble.conf", "usr/lib/udev/rules.d/70-bramble-usb.rules",
                 "usr/share/bramble/devices.conf", "etc/bramble/bramble.conf", "usr/share/doc/bramble/copyright"):
        assert os.path.isfile(os.path.join(root, path)), path
    with open(os.path.join(root, "etc/passwd")) as f:
        assert any(line.startswith("bramble:") for line in f), "the user was not made"
    t.run("dpkg", *flags, "--purge", "bramble")
    assert not os.path.exists(program)
    assert not os.path.exists(os.path.join(root, "etc/bramble/bramble.conf"))


def test_every_library_is_a_dependency(t):
    deb = make_deb(t)
    depends = t.run("dpkg-deb", "-f", deb, "Depends").stdout
    for library in ("libuv1", "libsqlite3-0", "libmicrohttpd12", "libjansson4", "libc6"):
        assert library in depends, depends


def test_the_unit_file_is_valid_and_sandboxed(t):
    t.need_program("systemd-analyze")
    t.run("dpkg-deb", "-x", make_deb(t), t.path("x"))
    names = ("bramble.service", "bramble-usb.service")
    for name in names:
        with open(t.path("x/usr/lib/systemd/system/" + name)) as f:
            text = f.read().replace("/usr/bin/bramble", t.path("x/usr/bin/bramble"))
        with open(t.path(name), "w") as f:
            f.write(text)
    for name in names:
        r = t.run("systemd-analyze", "--man=no", "verify", t.path(name), check=False)
        problems = [line for line in r.stderr.splitlines() if name in line]
        assert not problems, problems
        r = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", t.path(name)],
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        t.note(r.stdout)
        if "exposure level" not in r.stdout:
            t.skip("systemd-analyze cannot judge units here: " + r.stdout.strip()[-100:])
        level = float(r.stdout.rsplit(":", 1)[1].split()[0])
        assert level <= 2.0, (name, level)
