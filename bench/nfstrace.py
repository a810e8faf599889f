#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a capture of a board's boot into a trace that bench/nfsload.c replays and bench/nfs.py builds a tree for.

    python3 bench/nfstrace.py CAPTURE.pcap [BOARD-ADDRESS] | xz -9e > bench/boot.trace.xz

A classic pcap of Ethernet frames with nothing missing (made on the bridge, before the kernel mounts). Lines of a trace:

    o N PARENT TYPE MODE SIZE READ NAME [TARGET]   object N as it was before the boot (0 is the root, itself not listed);
                                                   READ: bytes from its start that are read
    W OP ARGS                                      a call, made when not more than W others had no answer yet

OP and ARGS: L dir name obj|- (LOOKUP), G obj (GETATTR), A obj (ACCESS), R obj offset count (READ), K obj (READLINK),
D dir first|more (READDIRPLUS), S obj mode|-|size|- (SETATTR), C dir name obj mode (CREATE), M dir name obj mode (MKDIR),
Y dir name obj target (SYMLINK), N dir name obj mode (MKNOD), U dir name (REMOVE), X dir name (RMDIR),
V dir name dir name (RENAME), H obj dir name (LINK), W obj offset count stable (WRITE), O obj (COMMIT), F, I, P (FSSTAT,
FSINFO, PATHCONF of the root). Names are quoted as in URLs.
"""
import socket
import struct
import sys
from urllib.parse import quote

PROCS = "null getattr setattr lookup access readlink read write create mkdir symlink mknod remove rmdir rename link " \
        "readdir readdirplus fsstat fsinfo pathconf commit".split()
NOENT = 2


def frames(path):
    with open(path, "rb") as f:
        if struct.unpack("<I", f.read(24)[:4])[0] != 0xA1B2C3D4:
            sys.exit(f"{path}: not a little-endian pcap")
        while head := f.read(16):
            _, _, n, _ = struct.unpack("<IIII", head)
            yield f.read(n)


class Stream:
    """One direction of a connection: bytes in order, cut into records."""

    def __init__(self):
        self.next, self.wait, self.buf = None, {}, bytearray()

    def add(self, seq, syn, data):
        if syn:
            self.next, self.wait, self.buf = (seq + 1) & 0xFFFFFFFF, {}, bytearray()
            return
        if self.next is None or not data:
            return
        self.wait[seq] = max(data, self.wait.get(seq, b""), key=len)
        while True:
            for s in list(self.wait):
                ahead = (s - self.next) & 0xFFFFFFFF
                if ahead == 0 or ahead > 0x80000000:
                    old = (self.next - s) & 0xFFFFFFFF
                    piece = self.wait.pop(s)[old:]
                    self.buf += piece
                    self.next = (self.next + len(piece)) & 0xFFFFFFFF
                    break
            else:
                return

    def records(self):
        while len(self.buf) >= 4:
            mark = struct.unpack_from(">I", self.buf)[0]
            n = mark & 0x7FFFFFFF
            if len(self.buf) < 4 + n:
                return
            yield bytes(self.buf[4:4 + n])
            del self.buf[:4 + n]


class Xdr:
    def __init__(self, data):
        self.d, self.at = data, 0

    def u32(self):
        self.at += 4
        return struct.unpack_from(">I", self.d, self.at - 4)[0]

    def u64(self):
        self.at += 8
        return struct.unpack_from(">Q", self.d, self.at - 8)[0]

    def opaque(self):
        n = self.u32()
        self.at += n + (-n & 3)
        return self.d[self.at - n - (-n & 3):][:n]

    def name(self):
        return self.opaque().decode("utf-8", "surrogateescape")

    def fattr(self):
        a = dict(type=self.u32(), mode=self.u32(), nlink=self.u32(), uid=self.u32(), gid=self.u32(), size=self.u64())
        self.at += 8 + 8 + 8 + 8 + 24
        return a

    def post_op(self):
        return self.fattr() if self.u32() else None

    def wcc(self):
        if self.u32():
            self.at += 24
        self.post_op()

    def sattr(self):
        mode = self.u32() if self.u32() else None
        for _ in range(2):  # uid, gid
            if self.u32():
                self.u32()
        size = self.u64() if self.u32() else None
        for _ in range(2):  # times
            if self.u32() == 2:
                self.u64()
        return mode, size


class Trace:
    def __init__(self):
        self.ids, self.objects, self.lines, self.waiting, self.done = {}, {}, [], {}, set()
        self.known = {}  # (dir, name) -> obj

    def obj(self, fh):
        return self.ids.get(fh)

    def learn(self, fh, parent, name, attr, fresh):
        if fh in self.ids:
            self.known.setdefault((parent, name), self.ids[fh])
            return self.ids[fh]
        n = self.ids[fh] = len(self.ids)
        self.known[(parent, name)] = n
        self.objects[n] = dict(parent=parent, name=name, attr=attr, fresh=fresh, read=0, target="")
        return n

    def root(self, fh):
        self.ids[fh] = 0
        self.objects[0] = dict(parent=-1, name="", attr=dict(type=2, mode=0o755, size=4096), fresh=True, read=0, target="")

    def call(self, xid, proc, x):
        if xid not in self.waiting and xid not in self.done:
            self.waiting[xid] = (PROCS[proc], x, len(self.waiting))

    def reply(self, xid, r):
        if xid not in self.waiting:
            return
        proc, x, others = self.waiting.pop(xid)
        self.done.add(xid)
        if proc == "null":
            return
        fh = x.opaque()
        if not self.ids:
            self.root(fh)
        if self.obj(fh) is None:
            sys.exit(f"{proc} of a handle that nothing told of: does the capture begin before the mount?")
        line = getattr(self, "on_" + proc)(self.obj(fh), x, r, r.u32())
        if line:
            self.lines.append(f"{others} {line}")

    def on_getattr(self, o, x, r, status):
        return f"G {o}" if status == 0 else None

    def on_access(self, o, x, r, status):
        return f"A {o}" if status == 0 else None

    def on_fsstat(self, o, x, r, status):
        return "F"

    def on_fsinfo(self, o, x, r, status):
        return "I"

    def on_pathconf(self, o, x, r, status):
        return "P"

    def on_lookup(self, d, x, r, status):
        name = x.name()
        if status == NOENT:
            return f"L {d} {quote(name)} -"
        if status:
            return None
        fh = r.opaque()
        return f"L {d} {quote(name)} {self.learn(fh, d, name, r.post_op(), False)}"

    def on_readlink(self, o, x, r, status):
        if status:
            return None
        r.post_op()
        self.objects[o]["target"] = r.name()
        return f"K {o}"

    def on_read(self, o, x, r, status):
        at, n = x.u64(), x.u32()
        if status:
            return None
        r.post_op()
        thing = self.objects[o]
        thing["read"] = max(thing["read"], at + r.u32())
        return f"R {o} {at} {n}"

    def on_readdirplus(self, d, x, r, status):
        cookie = x.u64()
        if status:
            return None
        r.post_op()
        r.u64()
        while r.u32():
            r.u64()
            name = r.name()
            r.u64()
            attr = r.post_op()
            fh = r.opaque() if r.u32() else None
            if fh and attr and name not in (".", ".."):
                self.learn(fh, d, name, attr, False)
        return f"D {d} {'more' if cookie else 'first'}"

    def on_readdir(self, d, x, r, status):
        return f"D {d} {'more' if x.u64() else 'first'}" if status == 0 else None

    def on_setattr(self, o, x, r, status):
        mode, size = x.sattr()
        return None if status else f"S {o} {'-' if mode is None else mode} {'-' if size is None else size}"

    def made(self, d, name, r):
        fh = r.opaque() if r.u32() else None
        return self.learn(fh, d, name, r.post_op(), True) if fh else None

    def on_create(self, d, x, r, status):
        name, how, mode = x.name(), x.u32(), 0o600
        if how != 2:
            mode = x.sattr()[0] or 0o600
        n = None if status else self.made(d, name, r)
        return None if n is None else f"C {d} {quote(name)} {n} {mode}"

    def on_mkdir(self, d, x, r, status):
        name, mode = x.name(), x.sattr()[0] or 0o755
        n = None if status else self.made(d, name, r)
        return None if n is None else f"M {d} {quote(name)} {n} {mode}"

    def on_symlink(self, d, x, r, status):
        name = x.name()
        x.sattr()
        n = None if status else self.made(d, name, r)
        return None if n is None else f"Y {d} {quote(name)} {n} {quote(x.name())}"

    def on_mknod(self, d, x, r, status):
        name = x.name()
        n = None if status else self.made(d, name, r)
        return None if n is None else f"N {d} {quote(name)} {n} 384"

    def on_remove(self, d, x, r, status):
        return None if status else f"U {d} {quote(x.name())}"

    def on_rmdir(self, d, x, r, status):
        return None if status else f"X {d} {quote(x.name())}"

    def on_rename(self, d, x, r, status):
        a, fh, b = x.name(), x.opaque(), x.name()
        return None if status else f"V {d} {quote(a)} {self.obj(fh)} {quote(b)}"

    def on_link(self, o, x, r, status):
        fh, name = x.opaque(), x.name()
        return None if status else f"H {o} {self.obj(fh)} {quote(name)}"

    def on_write(self, o, x, r, status):
        at, n, stable = x.u64(), x.u32(), x.u32()
        return None if status else f"W {o} {at} {n} {stable}"

    def on_commit(self, o, x, r, status):
        return None if status else f"O {o}"

    def print(self):
        print("# SPDX-License-Identifier: Apache-2.0")
        for n, o in self.objects.items():
            if n and not o["fresh"]:
                a = o["attr"] or dict(type=1, mode=0o644, size=o["read"])
                print("o", n, o["parent"], a["type"], a["mode"] & 0o7777, a["size"], o["read"], quote(o["name"]),
                      quote(o["target"]))
        print("\n".join(self.lines))


def rpc(trace, record, to_server):
    x = Xdr(record)
    xid = x.u32()
    if to_server:
        if x.u32() or x.u32() != 2 or x.u32() != 100003 or x.u32() != 3:
            return
        proc = x.u32()
        for _ in range(2):  # credentials, verifier
            x.u32()
            x.opaque()
        trace.call(xid, proc, x)
    else:
        if x.u32() != 1 or x.u32():
            return
        x.u32()
        x.opaque()
        if x.u32() == 0:
            trace.reply(xid, x)


def main():
    port = 2049
    trace, streams = Trace(), {}
    board = socket.inet_aton(sys.argv[2]) if len(sys.argv) > 2 else None  # else the first one there is
    for f in frames(sys.argv[1]):
        if f[12:14] != b"\x08\x00" or f[23] != 6:
            continue
        ip = 14 + (f[14] & 15) * 4
        total = struct.unpack_from(">H", f, 16)[0] or len(f) - 14  # 0: larger than its field can say (GSO)
        source, dest, seq = struct.unpack_from(">HHI", f, ip)
        if port not in (source, dest):
            continue
        client = f[26:30] if dest == port else f[30:34]
        board = board or client
        if client != board:  # one board's boot
            continue
        data = f[ip + (f[ip + 12] >> 4) * 4:14 + total]
        key = (f[26:30], source, f[30:34], dest)
        stream = streams.setdefault(key, Stream())
        stream.add(seq, bool(f[ip + 13] & 2), data)
        for record in stream.records():
            rpc(trace, record, dest == port)
    left = {k[1]: len(s.wait) for k, s in streams.items() if s.wait}
    if left:
        print(f"nfstrace: bytes are missing in the capture: {left}", file=sys.stderr)
    trace.print()


main()
