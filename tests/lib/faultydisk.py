# SPDX-License-Identifier: Apache-2.0
"""A disk that fails as cards do: a file, given to QEMU by NBD, with faults at ranges of its bytes."""
import os
import socket
import struct
import threading
import time

MAGIC, OPTION, REPLY = b"NBDMAGIC", b"IHAVEOPT", 0x3e889045565a9
GO, ABORT = 7, 2
ACK, INFO, UNSUPPORTED = 1, 3, 0x80000001
READ, WRITE, DISCONNECT, FLUSH = range(4)
EIO = 5


class Fault:
    """What happens to bytes [start, end) of the disk:

    write, read  the operation fails
    rot          they are read with one bit wrong
    lost         writing them succeeds, and changes nothing
    wrap         they are those at 'to' on: a card that says it is larger than it is
    slow         the operation takes 'seconds' longer
    """

    def __init__(self, kind, start=0, end=1 << 62, to=0, seconds=0.0):
        self.kind, self.start, self.end, self.to, self.seconds = kind, start, end, to, seconds

    def hits(self, at, n):
        return at < self.end and at + n > self.start


class FaultyDisk:
    """with FaultyDisk(t, path) as disk: ... disk.drive() are QEMU's words; disk.faults may be changed at any time."""

    def __init__(self, t, path, faults=()):
        self.path, self.faults = path, list(faults)
        self.size = os.path.getsize(path)
        self.socket_path = t.path(f"nbd-{time.monotonic_ns()}")
        self.written = self.failed = 0       # bytes; operations
        self.listener = None

    def __enter__(self):
        self.fd = os.open(self.path, os.O_RDWR)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.socket_path)
        self.listener.listen()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        os.close(self.fd)

    def drive(self):
        return ["-drive", f"if=none,id=d0,driver=nbd,server.type=unix,server.path={self.socket_path}",
                "-device", "virtio-blk-pci,drive=d0,rerror=report,werror=report"]

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                try:
                    if self._negotiate(peer):
                        self._serve(peer)
                except (ConnectionError, EOFError):
                    pass        # QEMU was killed

    @staticmethod
    def _get(peer, n):
        data = bytearray()
        while len(data) < n:
            more = peer.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return bytes(data)

    def _negotiate(self, peer):
        """Fixed newstyle; True when the bytes begin to flow."""
        peer.sendall(MAGIC + OPTION + struct.pack(">H", 3))
        self._get(peer, 4)
        while True:
            head = self._get(peer, 16)
            option, n = struct.unpack(">8xII", head)
            self._get(peer, n)
            if option == GO:
                export = struct.pack(">HQH", 0, self.size, 1 | 4)
                peer.sendall(struct.pack(">QIII", REPLY, option, INFO, len(export)) + export)
            peer.sendall(struct.pack(">QIII", REPLY, option, ACK if option in (GO, ABORT) else UNSUPPORTED, 0))
            if option in (GO, ABORT):
                return option == GO

    def _serve(self, peer):
        while True:
            kind, handle, at, n = struct.unpack(">6xHQQI", self._get(peer, 28))
            if kind == DISCONNECT:
                return
            data = self._get(peer, n) if kind == WRITE else b""
            error, data = self._do(kind, at, n, data)
            self.failed += error != 0
            peer.sendall(struct.pack(">IIQ", 0x67446698, error, handle) + (data if kind == READ and not error else b""))

    def _pieces(self, at, n):
        """(place on the disk, offset, length, faults) of what lies between the ends of faults."""
        cuts = sorted({at, at + n, *(c for f in self.faults for c in (f.start, f.end) if at < c < at + n)})
        for a, b in zip(cuts, cuts[1:]):
            hit = {f.kind: f for f in self.faults if f.hits(a, b - a)}
            wrap = hit.get("wrap")
            yield (a - wrap.start + wrap.to if wrap else a), a - at, b - a, hit

    def _do(self, kind, at, n, data):
        hit = {f.kind: f for f in self.faults if f.hits(at, n)}
        if "slow" in hit and kind in (READ, WRITE):
            time.sleep(hit["slow"].seconds)
        if (kind == READ and "read" in hit) or (kind == WRITE and "write" in hit):
            return EIO, b""
        if kind == WRITE:
            for place, offset, length, faults in self._pieces(at, n):
                if "lost" not in faults:
                    os.pwrite(self.fd, data[offset:offset + length], place)
            self.written += n
        if kind != READ:
            return 0, b""
        out = bytearray()
        for place, _, length, faults in self._pieces(at, n):
            out += os.pread(self.fd, length, place).ljust(length, b"\0")
            if "rot" in faults:
                out[-length] ^= 0x10
        return 0, bytes(out)
