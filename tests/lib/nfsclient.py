# SPDX-License-Identifier: Apache-2.0
"""NFSv3 (RFC 1813) as a client that does not give up: calls are sent again, as they were, on a new connection.

One call at a time per connection. Results are what the RFC says as tuples; a status other than the wanted ones raises.
"""
import random
import socket
import struct
import time

NFS, MOUNT = 100003, 100005
OK, NOENT, EXIST, NOTEMPTY, JUKEBOX = 0, 2, 17, 66, 10008
UNSTABLE, DATA_SYNC, FILE_SYNC = 0, 1, 2
(GETATTR, SETATTR, LOOKUP, ACCESS, READLINK, READ, WRITE, CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR, RENAME, LINK,
 READDIR) = range(1, 17)
COMMIT = 21
UNCHECKED, GUARDED, EXCLUSIVE = 0, 1, 2


class NfsError(Exception):
    def __init__(self, what, status):
        super().__init__(f"{what}: status {status}")
        self.status = status


def opaque(data):
    return struct.pack(">I", len(data)) + data + b"\0" * (-len(data) % 4)


def name(text):
    return opaque(text.encode())


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def u32(self):
        self.at += 4
        return struct.unpack_from(">I", self.data, self.at - 4)[0]

    def u64(self):
        self.at += 8
        return struct.unpack_from(">Q", self.data, self.at - 8)[0]

    def bytes(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def opaque(self):
        n = self.u32()
        data = self.bytes(n)
        self.at += -n % 4
        return data

    def attr(self):
        kind, mode, nlink, uid, gid = (self.u32() for _ in range(5))
        size, used = self.u64(), self.u64()
        self.bytes(16)
        fileid = self.u64()
        self.bytes(24)
        return {"type": kind, "mode": mode, "nlink": nlink, "uid": uid, "gid": gid, "size": size, "used": used,
                "fileid": fileid}

    def post_attr(self):
        return self.attr() if self.u32() else None

    def wcc(self):
        if self.u32():
            self.bytes(24)
        return self.post_attr()


def sattr(mode=None, size=None):
    return (struct.pack(">II", 1, mode) if mode is not None else struct.pack(">I", 0)) + struct.pack(">II", 0, 0) + \
        (struct.pack(">IQ", 1, size) if size is not None else struct.pack(">I", 0)) + struct.pack(">II", 0, 0)


class Connection:
    """To one port of the server. on_again() is called when it was broken and is there again, before a call is resent."""

    def __init__(self, address, port, patience=120, on_again=None):
        self.address, self.port, self.patience, self.on_again = address, port, patience, on_again
        self.sock = None
        self.xid = random.getrandbits(32)
        self.n_again = 0

    def connect(self):
        end = time.monotonic() + self.patience
        while True:
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            s.settimeout(self.patience)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("", random.randrange(600, 1024)))   # as kernels do: a server may insist on it
                s.connect((self.address, self.port))
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sock = s
                return
            except OSError:
                s.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def _exact(self, n):
        data = b""
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise ConnectionError("closed")
            data += part
        return data

    def _answer(self, xid):
        while True:
            data, last = b"", False
            while not last:
                head, = struct.unpack(">I", self._exact(4))
                last = head >> 31
                data += self._exact(head & 0x7fffffff)
            r = Reader(data)
            if r.u32() == xid:
                break
        if r.u32() != 1 or r.u32() != 0:
            raise AssertionError(f"the server refused a call: {data[:64].hex()}")
        r.u32()
        r.opaque()
        status = r.u32()
        if status:
            raise AssertionError(f"the server did not take a call: {status}")
        return r

    def call(self, program, procedure, args):
        """(reader behind the head of the answer, was it sent more than once)"""
        self.xid = (self.xid + 1) & 0xffffffff
        xid = self.xid
        cred = struct.pack(">II", 0, 0) + struct.pack(">III", 0, 0, 0)     # stamp, no name, uid, gid, no groups
        body = struct.pack(">IIIIII", xid, 0, 2, program, 3, procedure) + struct.pack(">I", 1) + opaque(cred) + \
            struct.pack(">II", 0, 0) + args
        record = struct.pack(">I", 0x80000000 | len(body)) + body
        again = False
        while True:
            try:
                if not self.sock:
                    self.connect()
                    if again:
                        self.n_again += 1
                        if self.on_again:
                            self.on_again()
                self.sock.sendall(record)
                return self._answer(xid), again
            except (ConnectionError, TimeoutError):
                self.close()
                again = True


def mount(address, port, path):
    """The handle of an export's root."""
    c = Connection(address, port)
    try:
        r, _ = c.call(MOUNT, 1, name(path))
        status = r.u32()
        if status:
            raise NfsError(f"MNT {path}", status)
        return r.opaque()
    finally:
        c.close()


class Nfs:
    """Calls by their names. want: statuses that are no error; again_too: those that are none when the call was resent."""

    def __init__(self, address, port=2049, patience=120, on_again=None):
        self.connection = Connection(address, port, patience, on_again)
        self.n_calls = 0
        self.n_jukebox = 0

    def call(self, what, procedure, args, want=(OK,), again_too=()):
        while True:
            r, again = self.connection.call(NFS, procedure, args)
            status = r.u32()
            if status == JUKEBOX:
                self.n_jukebox += 1
                time.sleep(0.05)
                continue
            break
        self.n_calls += 1
        if status not in want and not (again and status in again_too):
            raise NfsError(what, status)
        return status, r

    def getattr(self, fh):
        return self.call("GETATTR", GETATTR, opaque(fh))[1].attr()

    def setattr(self, fh, **what):
        self.call(f"SETATTR {what}", SETATTR, opaque(fh) + sattr(**what) + struct.pack(">I", 0))

    def lookup(self, directory, entry):
        """None when there is nothing of this name."""
        status, r = self.call(f"LOOKUP {entry}", LOOKUP, opaque(directory) + name(entry), (OK, NOENT))
        return r.opaque() if status == OK else None

    def read(self, fh, offset, count):
        r = self.call("READ", READ, opaque(fh) + struct.pack(">QI", offset, count))[1]
        r.post_attr()
        r.u32(), r.u32()
        return r.opaque()

    def read_all(self, fh):
        data = b""
        while True:
            part = self.read(fh, len(data), 65536)
            if not part:
                return data
            data += part

    def readlink(self, fh):
        r = self.call("READLINK", READLINK, opaque(fh))[1]
        r.post_attr()
        return r.opaque()

    def write(self, fh, offset, data, stable):
        """(how stable it is, verifier)"""
        r = self.call("WRITE", WRITE, opaque(fh) + struct.pack(">QII", offset, len(data), stable) + opaque(data))[1]
        r.wcc()
        if r.u32() != len(data):
            raise AssertionError("a short WRITE")
        return r.u32(), r.bytes(8)

    def commit(self, fh):
        r = self.call("COMMIT", COMMIT, opaque(fh) + struct.pack(">QI", 0, 0))[1]
        r.wcc()
        return r.bytes(8)

    def _made(self, directory, entry, status, r):
        """The handle of what was made; by its name when the call was resent and found it there."""
        if status == OK and r.u32():
            return r.opaque()
        return self.lookup(directory, entry)

    def create(self, directory, entry, how, verifier=b"\0" * 8):
        args = opaque(directory) + name(entry) + struct.pack(">I", how) + \
            (verifier if how == EXCLUSIVE else sattr(0o644))
        return self._made(directory, entry, *self.call(f"CREATE {entry}", CREATE, args,
                                                       again_too=(EXIST,) if how == GUARDED else ()))

    def mkdir(self, directory, entry):
        return self._made(directory, entry, *self.call(f"MKDIR {entry}", MKDIR, opaque(directory) + name(entry) + sattr(0o755),
                                                       again_too=(EXIST,)))

    def symlink(self, directory, entry, target):
        args = opaque(directory) + name(entry) + sattr(0o777) + name(target)
        return self._made(directory, entry, *self.call(f"SYMLINK {entry}", SYMLINK, args, again_too=(EXIST,)))

    def remove(self, directory, entry):
        self.call(f"REMOVE {entry}", REMOVE, opaque(directory) + name(entry), again_too=(NOENT,))

    def rmdir(self, directory, entry):
        self.call(f"RMDIR {entry}", RMDIR, opaque(directory) + name(entry), again_too=(NOENT,))

    def rename(self, from_dir, old, to_dir, new):
        self.call(f"RENAME {old} {new}", RENAME, opaque(from_dir) + name(old) + opaque(to_dir) + name(new),
                  again_too=(NOENT,))

    def link(self, fh, directory, entry):
        self.call(f"LINK {entry}", LINK, opaque(fh) + opaque(directory) + name(entry), again_too=(EXIST,))

    def readdir(self, fh):
        names, cookie, verifier = set(), 0, b"\0" * 8
        while True:
            r = self.call("READDIR", READDIR, opaque(fh) + struct.pack(">Q", cookie) + verifier + struct.pack(">I", 8192))[1]
            r.post_attr()
            verifier = r.bytes(8)
            while r.u32():
                r.u64()
                names.add(r.opaque().decode())
                cookie = r.u64()
            if r.u32():
                return names - {".", ".."}
