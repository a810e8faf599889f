# SPDX-License-Identifier: Apache-2.0
"""Load on an NFS server that is killed and started again, beside a model of what it acknowledged.

    killload.py SERVER EXPORT CONNECTIONS SEED      (as the board: in its namespace, at its address)

Each connection works in a directory of its own, one call at a time, with the handles it got first: nothing is mounted again.
When the connection breaks it looks at all it knows, before and after the call in doubt is sent again: what was
acknowledged as stable must be there, by the same handles, what was not may. A call in doubt may have been done or not.
UNSTABLE data is written again when COMMIT's verifier is not WRITE's. A line on stdin ends it; then everything is compared
once more and figures are printed as JSON. Ends with status 1 and words when anything is not as it was promised.
"""
import json
import os
import random
import sys
import threading
import traceback

import nfsclient
from nfsclient import EXCLUSIVE, FILE_SYNC, GUARDED, UNCHECKED, UNSTABLE, Nfs

SIZE_MAX = 160 << 10
FILES_MAX = 14
MARK = "calls"       # a line of this and a number on stdout now and then


class File:
    def __init__(self, fh):
        self.fh = fh
        self.stable = b""
        self.pending = []       # (offset, data, verifier) of UNSTABLE writes
        self.doubt = None       # what the contents may be if the call under way was done: (offset, data), or ("size", n)
        self.names = 1

    def now(self):
        data = self.stable
        for offset, piece, _ in self.pending:
            data = put(data, offset, piece)
        return data


def put(data, offset, piece):
    if len(data) < offset:
        data += b"\0" * (offset - len(data))
    return data[:offset] + piece + data[offset + len(piece):]


def may_be(file, got):
    """Is this what a server may have that lost any part of what was not stable?"""
    layers = [(offset, piece) for offset, piece, _ in file.pending]
    sizes = {len(file.stable)}
    if file.doubt and file.doubt[0] == "size":
        sizes.add(file.doubt[1])
    elif file.doubt:
        layers.append(file.doubt)
    for offset, piece in layers:
        sizes.add(max(len(file.stable), offset + len(piece)))
    largest = max(sizes)
    if len(got) > largest or len(got) < min(sizes):
        return False
    stable = (file.stable + b"\0" * largest)[:max(largest, len(file.stable))]
    full = stable
    for offset, piece in layers:
        full = put(full, offset, piece)
    if got in (full[:len(got)], stable[:len(got)]):
        return True
    for at in range(0, len(got), 512):
        here = got[at:at + 512]
        choices = [stable[at:at + 512][:len(here)]]
        for offset, piece in layers:
            choices.append(put(choices[0], offset - at, piece)[:len(here)] if offset >= at else
                           overlay(choices[0], offset - at, piece))
        if here not in choices and not all(b in {c[i] for c in choices if i < len(c)} for i, b in enumerate(here)):
            return False
    return True


def overlay(base, offset, piece):
    """put() where the piece begins before the base."""
    part = piece[-offset:-offset + len(base)]
    return part + base[len(part):]


class Worker(threading.Thread):
    def __init__(self, server, root, number, seed):
        super().__init__()
        self.rnd = random.Random(seed * 1000 + number)
        self.nfs = Nfs(server, on_again=self.again)
        self.root, self.number = root, number
        self.dir = None
        self.files, self.dirs, self.links = {}, {}, {}      # by name
        self.in_doubt = set()                               # names that a call under way makes, takes or moves
        self.ending = threading.Event()
        self.problem = None
        self.count = 0
        self.checking = False
        self.figures = {"calls": 0, "again": 0, "looked": 0, "rewritten": 0, "stable_bytes": 0}

    # ---- looking ----

    def again(self):
        if not self.checking and self.dir:
            self.look()

    def look(self):
        self.checking = True
        try:
            there = self.nfs.readdir(self.dir)
            known = set(self.files) | set(self.dirs) | set(self.links)
            assert known - there <= self.in_doubt, f"acknowledged, and gone: {sorted(known - there - self.in_doubt)}"
            assert there - known <= self.in_doubt, f"removed, and back: {sorted(there - known - self.in_doubt)}"
            for entry, file in self.files.items():
                got = self.nfs.read_all(file.fh) if self.handle_lives(entry) else None
                assert got is None or may_be(file, got), \
                    f"{entry}: not what was acknowledged: {len(got)} bytes, stable {len(file.stable)}, " \
                    f"{len(file.pending)} pending, in doubt {file.doubt and file.doubt[0]}"
                if got is not None and entry not in self.in_doubt:
                    attr = self.nfs.getattr(file.fh)
                    assert attr["nlink"] == file.names, f"{entry}: {attr['nlink']} names, not {file.names}"
                    assert self.nfs.lookup(self.dir, entry) == file.fh, f"{entry}: has another handle"
            for entry, fh in self.dirs.items():
                if entry not in self.in_doubt:
                    assert self.nfs.getattr(fh)["type"] == 2, entry
            for entry, (fh, target) in self.links.items():
                if entry not in self.in_doubt:
                    assert self.nfs.readlink(fh) == target, entry
            self.figures["looked"] += 1
        finally:
            self.checking = False

    def handle_lives(self, entry):
        """A file whose last name may just have been removed may be gone."""
        if entry not in self.in_doubt:
            return True
        try:
            self.nfs.getattr(self.files[entry].fh)
            return True
        except nfsclient.NfsError:
            return False

    # ---- doing ----

    def name(self):
        self.count += 1
        return f"n{self.count}-" + "x" * self.rnd.choice((0, 3, 40))

    def doing(self, *names):
        self.in_doubt = set(names)

    def create(self):
        entry, how = self.name(), self.rnd.choice((UNCHECKED, GUARDED, EXCLUSIVE))
        self.doing(entry)
        fh = self.nfs.create(self.dir, entry, how, os.urandom(8))
        assert fh, f"{entry}: made, and not there"
        self.files[entry] = File(fh)

    def some_file(self, idle=False):
        choice = [entry for entry, f in self.files.items() if not idle or not f.pending]
        return self.rnd.choice(choice) if choice else None

    def piece(self, file):
        offset = self.rnd.choice((0, self.rnd.randrange(SIZE_MAX), len(file.stable), self.rnd.randrange(20) * 4096))
        n = self.rnd.choice((1, 100, 4096, 5000, 16384, 65536))
        return min(offset, SIZE_MAX), self.rnd.randbytes(n)

    def write_stable(self):
        file = self.files.get(self.some_file(idle=True))
        if not file:
            return
        offset, data = self.piece(file)
        file.doubt = offset, data
        how, _ = self.nfs.write(file.fh, offset, data, FILE_SYNC)
        assert how == FILE_SYNC, "a WRITE that is less stable than asked"
        file.stable, file.doubt = put(file.stable, offset, data), None
        self.figures["stable_bytes"] += len(data)

    def write_unstable(self):
        file = self.files.get(self.some_file())
        if not file:
            return
        for _ in range(self.rnd.randrange(1, 5)):
            offset, data = self.piece(file)
            file.doubt = offset, data
            how, verifier = self.nfs.write(file.fh, offset, data, UNSTABLE)
            file.doubt = None
            file.pending.append((offset, data, verifier))
        if self.rnd.random() < 0.6:
            self.commit(file)

    def commit(self, file=None):
        file = file or self.files.get(self.some_file())
        while file and file.pending:
            verifier = self.nfs.commit(file.fh)
            if all(v == verifier for _, _, v in file.pending):
                file.stable = file.now()
                self.figures["stable_bytes"] += sum(len(d) for _, d, _ in file.pending)
                file.pending = []
                return
            self.figures["rewritten"] += 1
            for i, (offset, data, _) in enumerate(file.pending):
                _, v = self.nfs.write(file.fh, offset, data, UNSTABLE)
                file.pending[i] = offset, data, v

    def truncate(self):
        file = self.files.get(self.some_file(idle=True))
        if not file:
            return
        size = self.rnd.choice((0, self.rnd.randrange(SIZE_MAX)))
        file.doubt = "size", size
        self.nfs.setattr(file.fh, size=size)
        file.stable, file.doubt = put(file.stable[:size], size, b""), None

    def remove(self):
        entry = self.some_file()
        if entry:
            self.doing(entry, *self.same(entry))
            self.nfs.remove(self.dir, entry)
            self.gone(entry)

    def same(self, entry):
        return [e for e, f in self.files.items() if f is self.files[entry]] if entry in self.files else []

    def gone(self, entry):
        file = self.files.pop(entry, None)
        if file:
            file.names -= 1

    def rename(self):
        old = self.some_file()
        new = self.some_file() if self.rnd.random() < 0.4 else self.name()
        if not old or self.files.get(new) is self.files[old]:
            return
        self.doing(old, new, *self.same(old), *self.same(new))
        fh = self.files[old].fh
        self.nfs.rename(self.dir, old, self.dir, new)
        assert self.nfs.lookup(self.dir, new) == fh, f"RENAME {old} {new}: answered, and not done"
        self.gone(new)
        self.files[new] = self.files.pop(old)

    def link(self):
        entry, new = self.some_file(), self.name()
        if entry:
            self.doing(new, *self.same(entry))
            self.nfs.link(self.files[entry].fh, self.dir, new)
            self.files[new] = self.files[entry]
            self.files[new].names += 1

    def mkdir(self):
        entry = self.name()
        self.doing(entry)
        self.dirs[entry] = self.nfs.mkdir(self.dir, entry)

    def rmdir(self):
        if self.dirs:
            entry = self.rnd.choice(list(self.dirs))
            self.doing(entry)
            self.nfs.rmdir(self.dir, entry)
            del self.dirs[entry]

    def symlink(self):
        if len(self.links) > 5:
            entry = self.rnd.choice(list(self.links))
            self.doing(entry)
            self.nfs.remove(self.dir, entry)
            del self.links[entry]
            return
        entry, target = self.name(), "to/" + "y" * self.rnd.choice((1, 50, 200))
        self.doing(entry)
        self.links[entry] = self.nfs.symlink(self.dir, entry, target), target.encode()

    WORK = ((create, 4), (write_stable, 6), (write_unstable, 5), (commit, 2), (truncate, 1), (remove, 2), (rename, 2), (link, 1),
            (mkdir, 1), (rmdir, 1), (symlink, 1))

    def step(self):
        work = self.rnd.choices([w for w, _ in self.WORK], [n for _, n in self.WORK])[0]
        if len(self.files) > FILES_MAX:
            work = Worker.remove
        work(self)
        self.in_doubt = set()

    def run(self):
        try:
            self.doing()
            self.dir = self.nfs.mkdir(self.root, f"kill-{self.number}")
            while not self.ending.is_set():
                self.step()
            for file in {id(f): f for f in self.files.values()}.values():
                self.commit(file)
            self.look()
        except BaseException:
            self.problem = traceback.format_exc()
        self.figures["calls"] = self.nfs.n_calls
        self.figures["again"] = self.nfs.connection.n_again


def main(server, export, connections, seed):
    root = nfsclient.mount(server, 20048, export)
    workers = [Worker(server, root, n, int(seed)) for n in range(int(connections))]
    asked = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), asked.set()), daemon=True).start()
    for w in workers:
        w.daemon = True
        w.start()
    while not asked.wait(0.1) and not any(w.problem for w in workers):
        print(MARK, sum(w.nfs.n_calls for w in workers), flush=True)
    for w in workers:
        w.ending.set()
    for w in workers:
        w.join(1 if any(x.problem for x in workers) else 300)
    problems = [f"connection {w.number}: {w.problem or 'does not end'}" for w in workers if w.problem or w.is_alive()]
    if problems:
        print("\n".join(problems), file=sys.stderr, flush=True)
        os._exit(1)
    print(json.dumps({key: sum(w.figures[key] for w in workers) for key in workers[0].figures}))


if __name__ == "__main__":
    main(*sys.argv[1:])
