# SPDX-License-Identifier: Apache-2.0
"""A PoE switch for snmpd's pass_persist: RFC 3621's port table (writable), bridge and LLDP tables. As a program: poeswitch.py STATE ROOT.

STATE is JSON: {"admin": {"1": 2}, "detect": {"8": 4}, "stuck": [9], "bridge": [[MAC, PORT]], "lldp": [[MAC, PORT]]}; what is set is written back.
"""
import json
import os
import sys

POE = (1, 3, 6, 1, 2, 1, 105, 1, 1, 1)
FDB = (1, 3, 6, 1, 2, 1, 17, 7, 1, 2, 2, 1, 2)
IFINDEX = (1, 3, 6, 1, 2, 1, 17, 1, 4, 1, 2)
LLDP = (1, 0, 8802, 1, 1, 2, 1, 4, 1, 1, 5)


def octets(mac):
    return tuple(int(b, 16) for b in mac.split(":"))


def table(state):
    """{OID: (type, value)}"""
    rows = {}
    for port, admin in state["admin"].items():
        rows[POE + (3, 1, int(port))] = ("integer", admin)
        detect = state.get("detect", {}).get(port, 3 if admin == 1 else 1)
        rows[POE + (6, 1, int(port))] = ("integer", detect)
        rows[IFINDEX + (int(port),)] = ("integer", int(port) + 100)
    for mac, port in state.get("bridge", []):
        rows[FDB + (1,) + octets(mac)] = ("integer", port)
    for i, (mac, port) in enumerate(state.get("lldp", [])):
        rows[LLDP + (0, port, i + 1)] = ("octet", " ".join(f"{b:02X}" for b in octets(mac)))
    return rows


def load(path):
    with open(path) as f:
        return json.load(f)


def save(path, state):
    with open(path + ".new", "w") as f:
        json.dump(state, f)
    os.replace(path + ".new", path)


def dotted(oid):
    return "." + ".".join(map(str, oid))


def answer(path, command, oid, value):
    state = load(path)
    rows = table(state)
    if command == "set":
        if oid not in rows or oid[:11] != POE + (3,):
            return ["not-writable"]
        if oid[-1] not in state.get("stuck", []):
            state["admin"][str(oid[-1])] = int(value.split()[1])
            save(path, state)
        return ["DONE"]
    if command == "getnext":
        oid = min((o for o in rows if o > oid), default=None)
    if oid not in rows:
        return ["NONE"]
    return [dotted(oid), rows[oid][0], str(rows[oid][1])]


def main(path, root):
    root = tuple(map(int, root.strip(".").split(".")))
    lines = iter(sys.stdin.readline, "")
    for line in lines:
        word = line.strip().lower()
        if word == "ping":
            out = ["PONG"]
        else:
            oid = tuple(map(int, next(lines).strip().strip(".").split(".")))
            value = next(lines).strip() if word == "set" else ""
            out = answer(path, word, oid, value)
            if out[0].startswith(".") and tuple(map(int, out[0].strip(".").split(".")))[:len(root)] != root:
                out = ["NONE"]
        print("\n".join(out), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
