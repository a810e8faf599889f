# SPDX-License-Identifier: Apache-2.0
"""Small initramfs archives: a tree with modules and programs, and what those need."""
import os
import re
import shutil
import subprocess


def modules(directory, names):
    """The files of these modules below directory (that of modules.dep), each after what it needs; once each."""
    depends = {}
    with open(f"{directory}/modules.dep", encoding="ascii") as f:
        for line in f:
            file, others = line.split(":")
            depends[os.path.basename(file)[:-3].replace("-", "_")] = [*reversed(others.split()), file]
    return list(dict.fromkeys(file for name in names for file in depends[name.replace("-", "_")]))


def add(tree, source, target):
    """Copies a program to target in the tree, and the shared libraries it is linked with to where they are here."""
    where = os.path.join(tree, target.lstrip("/"))
    os.makedirs(os.path.dirname(where), exist_ok=True)
    shutil.copy(source, where)
    said = subprocess.run(["ldd", source], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
    for path in re.findall(r"(?:=>|^)\s+(/\S+)", said, re.M):
        where = os.path.join(tree, path.lstrip("/"))
        if not os.path.exists(where):
            os.makedirs(os.path.dirname(where), exist_ok=True)
            shutil.copy(path, where)


def archive(tree, into):
    """The cpio of what is below tree, not compressed: emulated processors are slow."""
    with open(into, "wb") as f:
        subprocess.run("find . | cpio --quiet -o -H newc", shell=True, cwd=tree, stdout=f, check=True)
    return into
