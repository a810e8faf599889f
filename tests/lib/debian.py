# SPDX-License-Identifier: Apache-2.0
"""Debian's packages without installing them: of this system, of another architecture, of another release.

They are unpacked into the cache, where ./dev bench and later runs find them again.
"""
import os
import platform
import subprocess
import tempfile
import threading

CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "bramble")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_lock = threading.Lock()
_refused = {}       # (suite, arch, package): why it cannot be had; asked once in a run


class Missing(Exception):
    pass


def _run(*argv, cwd=None):
    r = subprocess.run(argv, cwd=cwd, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE)
    if r.returncode:
        raise Missing((r.stderr.strip().splitlines() or [f"status {r.returncode}"])[-1][-200:])
    return r.stdout


def _mirror():
    """Where this system's own packages come from."""
    sites = _run("apt-get", "indextargets", "--format", "$(ORIGIN) $(SITE) $(REPO_URI)", "Created-By: Packages")
    for line in sites.splitlines():
        origin, _, uri = line.split(" ", 2)
        if origin == "Debian" and "security" not in uri:
            return uri
    raise Missing("this is not Debian, or apt-get update was never run")


def _foreign_options(suite, arch):
    """Options for apt-get with lists of their own, so that nothing of this system changes."""
    top = os.path.join(CACHE, "apt", f"{suite}-{arch}")
    for sub in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(top, sub), exist_ok=True)
    with open(os.path.join(top, "sources.list"), "w") as f:
        f.write(f"deb [arch={arch} signed-by={KEYRING}] {_mirror()} {suite} main\n")
    options = {"APT::Architecture": arch, "APT::Architectures": arch, "Dir::Etc::sourcelist": top + "/sources.list",
               "Dir::Etc::sourceparts": "/dev/null", "Dir::State::lists": top + "/lists", "Dir::Cache": top + "/cache",
               "Dir::State::status": "/dev/null", "APT::Sandbox::User": "root", "Acquire::Languages": "none"}
    return [f"-o{k}={v}" for k, v in options.items()], os.path.join(top, "lists")


def _download(package, suite, arch, directory):
    options = []
    if suite:
        options, lists = _foreign_options(suite, arch)
        if not any(name.endswith("_Packages") for name in os.listdir(lists)):
            _run("apt-get", "-q", *options, "update")
    try:
        _run("apt-get", "-q", *options, "download", package, cwd=directory)
    except Missing:
        if not suite:
            raise
        _run("apt-get", "-q", *options, "update")       # the lists may be older than the package
        _run("apt-get", "-q", *options, "download", package, cwd=directory)


def unpacked(t, *packages, suite=None, arch=None, into=None):
    """The directory that has these packages, the test skips where they cannot be had. suite None: as apt has them here."""
    t.need_program("apt-get", "dpkg-deb")
    arch = arch or {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    into = into or os.path.join(CACHE, "debian", f"{suite or 'here'}-{arch}")
    os.makedirs(into, exist_ok=True)
    with _lock:
        for package in packages:
            mark = os.path.join(into, f".{package}.unpacked")
            if os.path.exists(mark):
                continue
            try:
                if (suite, arch, package) in _refused:
                    raise _refused[suite, arch, package]
                with tempfile.TemporaryDirectory(dir=t.dir) as fresh:
                    _download(package, suite, arch, fresh)
                    for name in os.listdir(fresh):
                        _run("dpkg-deb", "-x", os.path.join(fresh, name), into)
                open(mark, "w").close()
            except Missing as e:
                _refused[suite, arch, package] = e
                t.skip(f"cannot download {package}{' of ' + suite if suite else ''}: {e}")
    return into


def depends(t, package, suite, arch):
    """What a package of another release depends on, by name; after unpacked()."""
    options, _ = _foreign_options(suite, arch)
    said = _run("apt-cache", *options, "depends", package)
    return [line.split()[-1] for line in said.splitlines() if line.strip().startswith("Depends:")]


def with_depends(t, packages, status, suite, arch):
    """The .deb files that apt would fetch for a system with this dpkg status file to get these packages."""
    t.need_program("apt-get")
    with _lock:
        try:
            options, lists = _foreign_options(suite, arch)
            install = ["-qq", "-y", "--no-install-recommends", "install", *packages]
            if not any(name.endswith("_Packages") for name in os.listdir(lists)):
                _run("apt-get", "-q", *options, "update")
            options.append(f"-oDir::State::status={status}")
            archives = os.path.join(CACHE, "apt", f"{suite}-{arch}", "cache", "archives")
            with tempfile.TemporaryDirectory(dir=t.dir) as none:     # what lies in archives already is not listed
                os.mkdir(os.path.join(none, "partial"))
                said = _run("apt-get", *options, f"-oDir::Cache::archives={none}", "--print-uris", *install)
            _run("apt-get", *options, "--download-only", *install)
        except Missing as e:
            t.skip(f"cannot download {' '.join(packages)} of {suite}: {e}")
    return [os.path.join(archives, line.split()[1]) for line in said.splitlines()]


def static_program(t, source, target, arch):
    """One C file compiled for an architecture, with the libraries of Debian's packages."""
    t.need_program("clang", "ld.lld")
    root = unpacked(t, "libc6-dev", "libgcc-12-dev", "linux-libc-dev", suite="bookworm", arch=arch)
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[arch]
    t.run("clang", f"--target={machine}-linux-gnu", f"--sysroot={root}", "-static", "-fuse-ld=lld", "-O2", "-Wall", "-Wextra",
          "-Werror", "-o", target, source)
    return target
