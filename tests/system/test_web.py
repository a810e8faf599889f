# SPDX-License-Identifier: Apache-2.0
"""The page and the API by TCP: who may do what, strangers' sites, slow and huge requests, a thousand followers, TLS."""
import contextlib
import ctypes
import json
import os
import selectors
import socket
import subprocess
import time

from daemon import Daemon, daemon_pid
from netlab import ADDRESS, Net
from systemtests import quick, wait_until

URL = f"http://{ADDRESS}:8480"
CLONE_NEWNET = 0x40000000
TOO_MUCH = 40000    # bytes of a head: more than a connection has


@contextlib.contextmanager
def inside(name):
    """This thread's new sockets are in that network namespace."""
    was = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        libc.setns(was, CLONE_NEWNET)
        os.close(was)
        os.close(there)


class Caller:
    """curl in a namespace: status and text of an answer."""

    def __init__(self, t, host):
        self.t, self.host = t, host

    def __call__(self, path, *words, token=None, url=URL):
        argv = ["curl", "-s", "-m", "20", "-w", "\n%{http_code}", *words, url + path]
        if token:
            argv[1:1] = ["-H", f"Authorization: Bearer {token}"]
        text, _, status = self.t.run(*self.host.exec(*argv), check=False).stdout.rpartition("\n")
        return int(status), text


def post(body):
    return "-d", json.dumps(body)


@quick
def test_rights_by_tcp(t):
    t.need_root()
    t.need_program("curl")
    net = t.enter(Net())
    with Daemon(t, net, "--http-port", "0") as d:
        near, far = net.client(), net.client()
        near.address("10.77.0.9/24")
        far.address("192.168.7.9/24")
        t.run(*far.exec("ip", "route", "add", ADDRESS, "dev", "eth0"))
        t.run("ip", "-n", net.name, "route", "add", "192.168.7.0/24", "dev", "br0")
        call, stranger = Caller(t, near), Caller(t, far)
        d.cli("board", "add", "one", "--mac", "b8:27:eb:00:00:01", "--tags", "ours",
              "--power", "snmp://secretword@sw1/3")
        d.cli("board", "add", "two", "--mac", "b8:27:eb:00:00:02")
        operate = d.cli("token", "new", "ci", "--scope", "operate", "--boards", "tag=ours").stdout.strip()
        free = d.cli("token", "new", "free", "--scope", "operate").stdout.strip()
        admin = d.json("token", "new", "boss", "--scope", "admin")["token"]
        # reading: those of the boards' network, and no secrets
        status, text = call("/v1/boards")
        assert status == 200 and "secretword" not in text and "sw1" in text, text
        assert stranger("/v1/boards")[0] == 401 and stranger("/healthz")[0] == 200
        assert stranger("/v1/boards", token=operate)[0] == 200
        for path in ("/v1/tokens", "/v1/boards/one/disk/cat?path=/etc/shadow", "/v1/boards/one/capture", "/v1/boards/one/disk/export",
                     "/v1/boards/one/bootfile?name=cmdline.txt", "/v1/usb/file?name=start4.elf"):
            assert call(path)[0] == 401, path
        # changing: with the token, its boards, its scope
        note = ("-X", "PATCH", *post({"notes": "x"}))
        assert call("/v1/boards/one", *note)[0] == 401
        assert call("/v1/boards/one", *note, token=operate)[0] == 200
        assert call("/v1/boards/two", *note, token=operate)[0] == 403
        assert call("/v1/boards", *post({"name": "c", "mac": "b8:27:eb:00:00:03"}), token=operate)[0] == 403
        assert call("/v1/boards/one", "-X", "PATCH", *post({"power": "http://x/"}), token=operate)[0] == 403
        assert call("/v1/tokens", *post({"name": "mine", "scope": "admin"}), token=operate)[0] == 403
        assert call("/v1/boards/one", "-X", "PATCH", *post({"name": "shared"}), token=operate)[0] == 403
        # an image that others may boot from is not its board's; nor is another board by its address
        assert call("/v1/boards/one/disk/save", *post({"image": "x", "replace": True}), token=operate)[0] == 403
        for other in ("two", "b8:27:eb:00:00:02", "b8:27:eb:00:00:77"):
            assert call(f"/v1/boards/{other}/capture", token=operate)[0] == 403, other
        assert call("/v1/boards/b8:27:eb:00:00:01/capture", token=operate)[0] == 404    # nothing was heard of it
        # what is typed at consoles is for who may use them
        for source, least in (("serial", 401), ("uboot,bootloader", 401), ("serial,syslog", 200), ("", 200)):
            assert call(f"/v1/logs?source={source}")[0] == least, source
            assert call(f"/v1/logs?source={source}", token=operate)[0] == 200, source
        # who waits, and who makes devices do something, operates
        assert call("/v1/power/jobs/1?wait=1")[0] == 401 and call("/v1/boards/one/power?read=1")[0] == 401
        assert call("/v1/boards/one/power")[0] == 200
        # who noted it is who has the token, whatever he says
        assert call("/v1/audit", *post({"action": "x", "text": "said", "user": "local:0"}), token=free)[0] == 200
        said = [e["fields"] for e in d.jsonl("event", "list", "-t", "audit") if e["fields"]["text"] == "said"]
        assert said[0]["user"] == "token:free" and said[0]["said_user"] == "local:0", said
        assert call("/v1/whoami", "-X", "GET", "-d", "x" * 100)[0] == 400 and call("/v1/nonsense", "-d", "x" * 100)[0] == 404
        assert call("/v1/boards/two", *note, token=admin)[0] == 200
        assert call("/v1/boards", token=operate[:-1] + ("0" if operate[-1] != "0" else "1"))[0] == 401
        audit = [e for e in d.jsonl("event", "list", "-t", "audit") if e["fields"]["text"] == "PATCH /v1/boards/one"]
        assert audit[-1]["fields"]["user"] == "token:ci" and audit[-1]["fields"]["before"] == {"notes": None}, audit
        assert audit[-1]["fields"]["after"] == {"notes": "x"} and audit[-1]["board"] == "one"
        # pages of other sites, and names that are not ours
        assert call("/v1/boards", "-H", "Host: evil.example")[0] == 421
        assert call("/v1/boards", "-H", "Origin: http://evil.example")[0] == 403
        assert call("/v1/boards", "-H", "Sec-Fetch-Site: cross-site")[0] == 403
        assert call("/v1/boards", "-H", f"Origin: {URL}", "-H", "Sec-Fetch-Site: same-origin")[0] == 200
        assert call("/", "-H", "Sec-Fetch-Site: cross-site", "-H", "Sec-Fetch-Mode: navigate")[0] == 200
        head = t.run(*near.exec("curl", "-si", URL + "/")).stdout.lower()
        assert "content-security-policy: default-src 'none'" in head and "access-control-allow" not in head, head
        # the command line of another machine
        with open(t.path("token"), "w") as f:
            f.write(operate + "\n")
        remote = [t.bramble, "--server", URL, "--token-file", t.path("token")]
        t.run(*near.exec(*remote, "board", "edit", "one", "--notes", "y"))
        assert t.run(*near.exec(*remote, "board", "edit", "two", "--notes", "y"), check=False).returncode == 1
        # revoked in mid-stream: both kinds of streams end
        argv = ["curl", "-sN", "-m", "30", "-H", f"Authorization: Bearer {operate}"]
        streams = [subprocess.Popen(far.exec(*argv, URL + path), stdout=subprocess.PIPE, text=True)
                   for path in ("/v1/live", "/v1/events?follow=1&limit=1")]
        assert streams[0].stdout.readline() == "retry: 2000\n" and streams[1].stdout.readline().startswith("{")
        d.cli("token", "revoke", "ci")
        for s in streams:
            assert s.wait(15) == 0, "a stream goes on with a revoked token"
        assert call("/v1/boards", token=operate)[0] == 401
        assert sorted(x["name"] for x in d.json("token", "list")) == ["boss", "free"]
        # nothing of a token is stored but its hash
        assert subprocess.run(["grep", "-rqF", admin[4:], d.state]).returncode == 1


def test_slow_and_huge_requests(t):
    t.need_root()
    t.need_program("curl")
    net = t.enter(Net())
    with Daemon(t, net, "--http-port", "0") as d:
        call = Caller(t, net)

        def connect():
            with inside(net.name):
                s = socket.create_connection((ADDRESS, 8480), 5)
            s.settimeout(60)
            return s

        def ask(data):
            with connect() as s:
                with contextlib.suppress(OSError):
                    s.sendall(data)
                    return s.recv(100).split(b" ")[1:2]
            return []

        host = f"Host: {ADDRESS}\r\n".encode()
        assert ask(b"GET /" + b"a" * TOO_MUCH + b" HTTP/1.1\r\n" + host + b"\r\n") in ([b"414"], [])
        assert ask(b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * TOO_MUCH + b"\r\n\r\n") in ([b"431"], [])
        assert ask(b"GET / HTTP/1.1\r\n\r\n") in ([b"400"], [b"421"]) and ask(b"\x16\x03\x01\x00garbage\r\n\r\n") in ([b"400"], [])
        # a body that nobody wants is dropped for a while, then the connection ends
        with open(t.path("large"), "wb") as f:
            f.truncate(64 << 20)
        assert call("/v1/boards", "--data-binary", "@" + t.path("large"))[0] in (0, 100, 401, 413)
        # heads and bodies that never end: gone within the limit, and meanwhile nobody else waits
        slow = [connect() for _ in range(100)]
        for i, s in enumerate(slow):
            s.sendall(b"GET /v1/boards HTTP/1.1\r\nX: " if i % 2 else b"GET /v1/status HTTP/1.1\r\n" + host)
        begun = time.monotonic()
        while time.monotonic() - begun < 12:
            for s in slow:
                s.sendall(b"x")
            assert call("/healthz")[0] == 200
            time.sleep(1)
        for s in slow:    # a byte each second is not enough
            with contextlib.suppress(OSError):
                while s.recv(1000):
                    pass
            s.close()
        assert time.monotonic() - begun < 40
        slow_ends = [line for line in call("/metrics")[1].splitlines() if line.startswith('bramble_http_refused_total{why="slow"}')]
        assert int(slow_ends[0].split()[1]) >= 100, slow_ends
        # more than one client may have: the others still get in
        many = [connect() for _ in range(300)]
        wait_until(lambda: "too-many" in d.cli("status", check=False).stdout or call("/healthz", url="http://127.0.0.1:8480")[0] == 200,
                   10, "an answer")
        for s in many:
            s.close()


@quick
def test_who_waits_holds_up_nobody(t):
    t.need_root()
    t.need_program("curl")
    net = t.enter(Net())
    with open(t.path("bramble.conf"), "w") as f:
        f.write("[power ctl]\ncommand = /bin/sleep 60\ntimeout = 60s\n")
    with Daemon(t, net, "--http-port", "0", "--config", t.path("bramble.conf")) as d:
        call = Caller(t, net)
        d.cli("board", "add", "one", "--mac", "b8:27:eb:00:00:01", "--power", "command:ctl/1")
        token = d.cli("token", "new", "ci", "--scope", "operate").stdout.strip()
        order = json.loads(call("/v1/boards/one/power", *post({"action": "on", "wait": False}), token=token)[1])["job"]

        def ask(path, bearer=None):
            with inside(net.name):
                s = socket.create_connection((ADDRESS, 8480), 5)
            s.settimeout(20)
            more = f"Authorization: Bearer {bearer}\r\n" if bearer else ""
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: {ADDRESS}\r\n{more}\r\n".encode())
            return s

        def status(s):
            try:
                return int(s.recv(100).split(b" ")[1])
            except TimeoutError:
                return 0

        def all_well():
            for path in ("/", "/healthz", "/v1/boards", "/v1/status"):
                begun = time.monotonic()
                assert call(path)[0] == 200 and time.monotonic() - begun < 10, path

        # strangers that would wait are refused; an operator's are bounded; nobody else waits for either
        strangers = [ask(f"/v1/power/jobs/{order}?wait=60") for _ in range(100)]
        assert {status(s) for s in strangers} <= {401, 503}
        waits = [ask(f"/v1/power/jobs/{order}?wait=60", token) for _ in range(100)]
        all_well()
        for s in waits:
            s.settimeout(0.01)
        answers = [status(s) for s in waits]
        assert answers.count(0) == 48 and answers.count(503) == 52, answers
        # long answers: a stranger has some, and leaves the others theirs
        streams = [ask("/v1/events?follow=1&limit=1") for _ in range(40)]
        answers = [status(s) for s in streams]
        assert answers.count(200) == 8 and answers.count(503) == 32, answers
        all_well()
        with ask("/v1/events?follow=1&limit=1", token) as mine:
            assert status(mine) == 200
        for s in strangers + waits + streams:
            s.close()


class Followers:
    """Many of /v1/live, from several addresses, in one thread."""

    def __init__(self, net, host, n, per_address):
        self.selector = selectors.DefaultSelector()
        self.seen = {}    # socket: what came
        with inside(host.name):
            for i in range(n):
                s = socket.socket()
                s.bind((f"10.77.0.{100 + i // per_address}", 0))
                s.settimeout(10)
                s.connect((ADDRESS, 8480))
                s.sendall(f"GET /v1/live?topics=boards HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n".encode())
                s.setblocking(False)
                self.selector.register(s, selectors.EVENT_READ)
                self.seen[s] = b""

    def until(self, text, seconds):
        """How many have seen the text by then."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not all(text in b for b in self.seen.values()):
            for key, _ in self.selector.select(0.5):
                with contextlib.suppress(BlockingIOError):
                    data = key.fileobj.recv(65536)
                    self.seen[key.fileobj] += data
                    if not data:
                        self.selector.unregister(key.fileobj)
        return sum(text in b for b in self.seen.values())

    def close(self):
        for s in self.seen:
            s.close()


def test_a_thousand_followers(t):
    t.need_root()
    t.need_program("curl")
    net = t.enter(Net())
    with Daemon(t, net, "--http-port", "0") as d:
        host = net.client()
        for i in range(5):
            t.run(*host.exec("ip", "addr", "add", f"10.77.0.{100 + i}/24", "dev", "eth0"))
        d.cli("board", "add", "one", "--mac", "b8:27:eb:00:00:01")
        followers = Followers(net, host, 1000, 200)
        assert followers.until(b"event: hello", 60) == 1000
        with open(f"/proc/{daemon_pid(t, net)}/status") as f:
            threads = int(next(line for line in f if line.startswith("Threads:")).split()[1])
        assert threads < 80, f"{threads} threads for 1000 followers"
        # one that reads nothing does not hold up the others
        d.cli("board", "edit", "one", "--notes", "first")
        assert followers.until(b'"notes":"first"', 30) == 1000
        call = Caller(t, net)
        assert call("/v1/status")[0] == 200
        assert "bramble_followers 1000" in call("/metrics")[1]
        followers.close()
        for note in ("gone", "gone for good"):    # the first message finds them gone, the second one says so
            d.cli("board", "edit", "one", "--notes", note)
            time.sleep(0.5)
        wait_until(lambda: "bramble_followers 0" in call("/metrics")[1], 60, "the followers to be noticed as gone")
        # what was missed comes again, as long as it is known; else that is said
        with subprocess.Popen(net.exec("curl", "-sN", "-m", "60", URL + "/v1/live?topics=boards"), stdout=subprocess.PIPE, text=True) as keeper:
            last = ""
            for line in keeper.stdout:
                key, _, value = line.strip().partition(": ")
                last = value if key == "id" else last
                if key == "event" and value == "hello":
                    d.cli("board", "edit", "one", "--notes", "second")
                if '"second"' in value:
                    break
            d.cli("board", "edit", "one", "--notes", "third")

            def again(last_id):
                return t.run(*net.exec("curl", "-sN", "-m", "2", "-H", f"Last-Event-ID: {last_id}", URL + "/v1/live?topics=boards"), check=False).stdout

            text = again(last)
            assert '"third"' in text and '"second"' not in text and "resync" not in text, (last, text)
            for strange in ("1-1", "garbage", last.partition("-")[0] + "-999999"):
                assert "event: resync" in again(strange), strange
            keeper.kill()


@quick
def test_tls(t):
    t.need_root()
    t.need_program("curl", "openssl")
    net = t.enter(Net())
    cert, key, other = t.path("cert.pem"), t.path("key.pem"), t.path("other.pem")
    for c, k in ((cert, key), (t.path("unused.pem"), other)):
        t.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", k, "-out", c,
              "-days", "2", "-subj", "/CN=lab", "-addext", f"subjectAltName=IP:{ADDRESS}")
    wrong = t.run(*net.exec(t.bramble, "serve", "--interface", "br0", "--state", t.path("none"), "--web-cert", cert, "--web-key", other),
                  check=False)
    assert wrong.returncode == 1 and "key" in wrong.stderr, wrong.stderr
    with Daemon(t, net, "--http-port", "0", "--web-cert", cert, "--web-key", key, "--web", "8443") as d:
        url = f"https://{ADDRESS}:8443"
        assert t.run(*net.exec("curl", "-s", "--cacert", cert, url + "/healthz")).stdout == "ok\n"
        assert t.run(*net.exec("curl", "-s", url + "/healthz"), check=False).returncode == 60
        assert t.run(*net.exec("curl", "-s", "--tls-max", "1.1", "--cacert", cert, url + "/healthz"), check=False).returncode
        assert t.run(*net.exec(t.bramble, "--server", url, "--cacert", cert, "status", "-q"), check=False).returncode == 0
        untrusted = t.run(*net.exec(t.bramble, "--server", url, "status"), check=False)
        assert untrusted.returncode == 1 and "certificate" in untrusted.stderr, untrusted.stderr
        live = t.run(*net.exec("curl", "-sN", "-m", "3", "--cacert", cert, url + "/v1/live"), check=False).stdout
        assert live.count("event: status") >= 2, live
        # who shakes no hands is sent away
        with inside(net.name):
            silent = socket.create_connection((ADDRESS, 8443), 5)
        silent.settimeout(40)
        assert silent.recv(10) == b""
        assert d.cli("status", "-q").returncode == 0
