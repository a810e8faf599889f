# SPDX-License-Identifier: Apache-2.0
"""A source tree as large as a kernel's and a repository with a history, made of nothing and always the same."""
import contextlib
import io
import random
import tarfile

POOL = 8 << 20
WORDS = ("static int return struct if else for while const unsigned long void sizeof ret err dev buf len flags lock list "
         "next prev size offset page inode entry queue irq regs mask shift state ctx ops priv data name index count").split()
# name, how many of a hundred directories, which archive
TOPS = (("drivers", 28, 0), ("arch", 20, 1), ("sound", 10, 2), ("fs", 10, 3), ("net", 8, 2), ("include", 8, 3), ("Documentation", 8, 2),
        ("tools", 8, 3))
PARTS = 4
LINK_EVERY, EXECUTABLE_EVERY, HARD_LINK_EVERY = 997, 311, 4001
TIME = 1_600_000_000


def _pool(rnd):
    """Text as in source files, of which all contents are cut."""
    lines = []
    size = 0
    while size < POOL:
        line = "\t" * rnd.randrange(4) + " ".join(rnd.choices(WORDS, k=rnd.randrange(1, 11))) + ";\n"
        lines.append(line)
        size += len(line)
    return "".join(lines).encode()


def _size(rnd):
    """As in Linux 6.1: half of the files below 5 KiB, a few of megabytes."""
    return min(int(rnd.lognormvariate(8.5, 1.4)), 6 << 20)


def _directories(rnd, count):
    """About one for fifteen files, up to seven deep."""
    made = [top for top, weight, _ in TOPS for _ in range(weight)]
    found = list(dict.fromkeys(made))
    while len(found) < count:
        above = rnd.choice(made)
        if above.count("/") < 6:
            path = f"{above}/{rnd.choice(WORDS)}{len(found)}"
            found.append(path)
            made.append(path)
    return found


def tree(name, files, seed=6):
    """Yields (part, path, kind, mode, content) below name/: directories before what is in them; content of a link: its target."""
    rnd = random.Random(seed)
    pool = _pool(rnd)
    directories = _directories(rnd, max(files // 15, len(TOPS)))
    parts = {top: part for top, _, part in TOPS}
    for path in directories:
        yield parts[path.split("/")[0]], f"{name}/{path}", "dir", 0o755, b""
    last = [None] * PARTS
    for n in range(files):
        directory = rnd.choice(directories)
        path, part = f"{name}/{directory}/{rnd.choice(WORDS)}-{n}.{rnd.choice('chhSc')}", parts[directory.split("/")[0]]
        if n % LINK_EVERY == LINK_EVERY - 1:
            yield part, path, "link", 0o777, f"../{rnd.choice(WORDS)}-{n - 1}.c".encode()
        elif n % HARD_LINK_EVERY == HARD_LINK_EVERY - 1 and last[part]:
            yield part, path, "hard", 0o644, last[part].encode()
        else:
            size = 0 if n % 701 == 700 else _size(rnd)
            at = rnd.randrange(POOL - min(size, POOL - 1))
            yield part, path, "file", 0o755 if n % EXECUTABLE_EVERY == 0 else 0o644, f"/* {n} */\n".encode() + pool[at:at + size]
            last[part] = path


def archives(into, name, files):
    """Writes tree() as tars into/0.tar to into/3.tar; (files and links, bytes of content)."""
    count = size = 0
    with contextlib.ExitStack() as stack:
        tars = [stack.enter_context(tarfile.open(f"{into}/{n}.tar", "w", format=tarfile.GNU_FORMAT)) for n in range(PARTS)]
        for part, path, kind, mode, content in tree(name, files):
            info = tarfile.TarInfo(path)
            info.mode, info.mtime = mode, TIME + count
            if kind == "file":
                info.size = len(content)
                size += len(content)
            elif kind == "dir":
                info.type = tarfile.DIRTYPE
            else:
                info.type = tarfile.SYMTYPE if kind == "link" else tarfile.LNKTYPE
                info.linkname = content.decode()
            tars[part].addfile(info, io.BytesIO(content) if kind == "file" else None)
            count += kind != "dir"
    return count, size


def history(out, commits, files=600, seed=7):
    """Writes a stream for 'git fast-import': so many commits on main, each of some files."""
    rnd = random.Random(seed)
    pool = _pool(rnd)
    directories = _directories(rnd, 60)
    paths = [f"{rnd.choice(directories)}/{rnd.choice(WORDS)}-{n}.c" for n in range(files)]
    texts = {}
    for n in range(commits):
        message = f"{rnd.choice(WORDS)}: change {n}\n".encode()
        out.write(b"commit refs/heads/main\ncommitter T <t@t> %d +0000\ndata %d\n%s" % (TIME + n * 60, len(message), message))
        for path in rnd.sample(paths, 1 + rnd.randrange(5)):
            text = texts.get(path, b"")
            at, cut = rnd.randrange(POOL - 4096), rnd.randrange(len(text) + 1)
            text = texts[path] = (text[:cut] + pool[at:at + rnd.randrange(3000)] + text[cut:])[-60000:]
            out.write(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(text), text))
        out.write(b"\n")
