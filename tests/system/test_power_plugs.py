# SPDX-License-Identifier: Apache-2.0
"""Plugs over HTTP: servers of their recorded shape, and such that never answer, answer HTML, or lie. A USB hub and a GPIO line."""
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import urllib.parse

from daemon import Daemon
from netlab import Net
from systemtests import quick, stop, wait_until

# Ports of the one program that plays them all.
TASMOTA, SHELLY1, SHELLY2, PDU, HTML, SILENT, LIAR, LOCKED, GENERIC = range(9101, 9110)
STATE = {}      # (port, outlet): bool


class Device(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def say(self, body, status=200, kind="application/json", **headers):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        port = self.server.server_port
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        PLAYERS[port](self, port, url.path, query)

    def tasmota(self, port, path, query):
        if port == LOCKED and (query.get("user"), query.get("password")) != ("admin", "p w&d"):
            return self.say({"WARNING": "Need user=<username>&password=<password>"}, 401)
        words = query["cmnd"].split()
        outlet = words[0][5:]
        if len(words) > 1 and port != LIAR:
            STATE[port, outlet] = words[1] == "On"
        self.say({f"POWER{outlet}": "ON" if STATE.get((port, outlet)) else "OFF"})

    def shelly1(self, port, path, query):
        if path == "/shelly":
            return self.say({"type": "SHSW-25", "mac": "8CAAB5000000", "auth": False, "fw": "20230913", "num_outputs": 2})
        outlet = path.rsplit("/", 1)[1]
        if outlet not in "01":
            return self.say("Not Found", 404, "text/plain")
        if "turn" in query:
            STATE[port, outlet] = query["turn"] == "on"
        self.say({"ison": STATE.get((port, outlet), False), "has_timer": False, "overpower": False, "source": "http"})

    def shelly2(self, port, path, query):
        if path == "/shelly":
            return self.say({"name": None, "id": "shellyplus1pm-a8032ab", "model": "SNSW-001P16EU", "gen": 2, "ver": "1.0.8", "app": "Plus1PM"})
        outlet = query.get("id")
        if outlet != "0":
            return self.say({"code": -105, "message": f"Argument 'id', value {outlet} not found!"}, 500)
        was = STATE.get((port, outlet), False)
        if path == "/rpc/Switch.Set":
            STATE[port, outlet] = query["on"] == "true"
            return self.say({"was_on": was})
        self.say({"id": 0, "source": "HTTP_in", "output": was, "apower": 3.25, "voltage": 230.1, "temperature": {"tC": 41.2}})

    def pdudaemon(self, port, path, query):
        if "hostname" not in query or "port" not in query:
            return self.say("invalid args", 400, "text/plain")
        STATE[port, query["port"]] = path.rsplit("/", 1)[1] != "off"
        self.say("OK - accepted request\n", 200, "text/plain")

    def html(self, port, path, query):
        self.say("<html><body>Please log in \x1b[31m</body></html>", 200, "text/html")

    def silent(self, port, path, query):
        time.sleep(60)

    def generic(self, port, path, query):
        word = query.get("do")
        if word:
            STATE[port, "x"] = word == "on"
        self.say(f"relay is {'closed' if STATE.get((port, 'x')) else 'open'}", 200, "text/plain")


PLAYERS = {TASMOTA: Device.tasmota, LIAR: Device.tasmota, LOCKED: Device.tasmota, SHELLY1: Device.shelly1, SHELLY2: Device.shelly2,
           PDU: Device.pdudaemon, HTML: Device.html, SILENT: Device.silent, GENERIC: Device.generic}


def play():
    for port in PLAYERS:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Device)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


BOARDS = {
    "tas": f"tasmota://127.0.0.1:{TASMOTA}/2",
    "tas-locked": f"tasmota://admin:p%20w%26d@127.0.0.1:{LOCKED}/1",
    "tas-refused": f"tasmota://admin:wrong@127.0.0.1:{LOCKED}/1",
    "she1": f"shelly://127.0.0.1:{SHELLY1}/1",
    "she2": f"shelly://127.0.0.1:{SHELLY2}/0",
    "she2-none": f"shelly://127.0.0.1:{SHELLY2}/7",
    "pdu": f"pdudaemon://127.0.0.1:{PDU}/apc/3",
    "html": f"tasmota://127.0.0.1:{HTML}/1",
    "html-shelly": f"shelly://127.0.0.1:{HTML}/1",
    "silent": f"shelly://127.0.0.1:{SILENT}/0",
    "liar": f"tasmota://127.0.0.1:{LIAR}/1",
    "nobody": "tasmota://127.0.0.1:9/1",
    "web": "http:web/5",
    "script": "command:ctl/a%20b",
}
CONF = """[power]
delay = 10ms
off-time = 10ms
timeout = 4s
boot-timeout = 600s
[power web]
on = http://127.0.0.1:%d/set?do=on&o={{outlet}}
off = http://127.0.0.1:%d/set?do=off&o={{outlet}}
status = http://127.0.0.1:%d/
status-on = closed$
[power ctl]
command = {script} {{board}} {{outlet}} {{action}}
""" % (GENERIC, GENERIC, GENERIC)
SCRIPT = """#!/bin/sh
case $3 in
on|off) echo "$3" >"$0.$1"; test "$2" = "a b";;
status) cat "$0.$1";;
*) exit 3;;
esac
"""


def power(daemon, *arguments):
    r = daemon.cli("power", *arguments, "-o", "json", check=False)
    return r.returncode, {row["board"]: row for row in json.loads(r.stdout)}


@quick
def test_plugs_are_switched_over_http(t):
    t.need_root()
    net = t.enter(Net())
    players = subprocess.Popen(net.exec(sys.executable, os.path.abspath(__file__), "play"), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    t.stack.callback(stop, players)
    assert players.stdout.readline() == "ready\n"
    os.chmod(t.dir, 0o755)
    script = t.path("ctl")
    with open(script, "w") as f:
        f.write(SCRIPT)
    os.chmod(script, 0o755)
    with open(t.path("bramble.conf"), "w") as f:
        f.write(CONF.format(script=script))
    daemon = t.enter(Daemon(t, net, "--config", t.path("bramble.conf"), "--user", "root"))
    for i, (name, uri) in enumerate(BOARDS.items()):
        daemon.cli("board", "add", name, "--mac", f"dc:a6:32:00:01:{i:02x}", "--power", uri)
    good = ["tas", "tas-locked", "she1", "she2", "web", "script"]
    for action in ("on", "cycle", "off"):
        code, rows = power(daemon, action, *good)
        assert code == 0 and all(r["verified"] for r in rows.values()), rows
        assert {r["power"] for r in rows.values()} == {"off" if action == "off" else "on"}, rows
        assert power(daemon, "status", *good)[0] == 0
    assert power(daemon, "status", "she2")[1]["she2"]["text"] == "3.2 W"
    code, rows = power(daemon, "on", "pdu")
    assert code == 0 and not rows["pdu"]["verified"] and "does not tell its state" in rows["pdu"]["text"], rows
    # what goes wrong has its words, and nobody waits for another
    bad = {"tas-refused": "another user and password", "she2-none": "not found", "html": "no JSON", "html-shelly": "no JSON",
           "silent": "did not answer in time", "liar": "still off", "nobody": "cannot be connected to"}
    code, rows = power(daemon, "on", *bad)
    assert code == 1, rows
    for name, words in bad.items():
        assert rows[name]["state"] == "failed" and words in rows[name]["text"], (name, rows[name])
        assert "\x1b" not in rows[name]["text"]
    text = daemon.cli("power", "list").stdout + daemon.cli("event", "list").stdout + daemon.log()
    assert "p w&d" not in text and "p%20w" not in text and "wrong" not in text, "passwords are not shown"


@quick
def test_a_gpio_line_of_the_kernels_simulator(t):
    """The RUN pin of a board at gpio-sim; the kernel of this machine may have none."""
    t.need_root()
    if t.run("modprobe", "gpio-sim", check=False).returncode or not os.path.isdir("/sys/kernel/config/gpio-sim"):
        t.skip("the kernel has no gpio-sim")
    top = f"/sys/kernel/config/gpio-sim/bramble-{os.getpid()}"
    os.makedirs(top + "/bank0/line3")
    with open(top + "/bank0/num_lines", "w") as f:
        f.write("8")
    with open(top + "/live", "w") as f:
        f.write("1")
    try:
        with open(top + "/bank0/chip_name") as f:
            chip = f.read().strip()
        with open(top + "/dev_name") as f:
            pull = f"/sys/devices/platform/{f.read().strip()}/{chip}/sim_gpio3/value"
        net = t.enter(Net())
        daemon = t.enter(Daemon(t, net, "--user", "root"))
        daemon.cli("board", "add", "pin", "--mac", "dc:a6:32:00:02:01", "--power", f"gpio://{chip}/3?active-low&pulse=50ms")
        for action, level in (("on", "0"), ("off", "1"), ("reset", "0")):
            code, rows = power(daemon, action, "pin")
            assert code == 0, rows
            with open(pull) as f:
                assert f.read().strip() == level, action
    finally:
        with open(top + "/live", "w") as f:
            f.write("0")
        for part in ("/bank0/line3", "/bank0", ""):
            os.rmdir(top + part)


@quick
def test_what_is_not_there_has_its_words(t):
    """A chip, a hub and a section that do not exist."""
    t.need_root()
    net = t.enter(Net())
    daemon = t.enter(Daemon(t, net, "--user", "root"))
    cases = {"gpio://gpiochip99/3": "gpiodetect", "usbhub:99-1.4:2": "no such hub", "command:none/1": "no section [power none]",
             "snmpv3://nowhere/1": "[switch nowhere]", "http:none/1": "no section [power none]"}
    for i, (uri, words) in enumerate(cases.items()):
        daemon.cli("board", "add", f"x{i}", "--mac", f"dc:a6:32:00:03:{i:02x}", "--power", uri)
        code, rows = power(daemon, "on", f"x{i}")
        text = rows[f"x{i}"]["text"]
        assert code == 1 and (words in text or "USB cannot be used" in text), (uri, rows)
    wait_until(lambda: len(daemon.json("power", "list")["devices"]) == len(cases), 10, "each is a device of its own")


if __name__ == "__main__" and sys.argv[1:] == ["play"]:
    play()
