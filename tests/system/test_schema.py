# SPDX-License-Identifier: Apache-2.0
"""What programs read: each verb that takes -o json has a schema in docs/schema, what it prints fits it, and so do the API's answers, the
description of the API, its metrics and the rules over them."""
import json
import os
import re

from daemon import Daemon
from images import small_image
from netlab import Net
from systemtests import TOP, quick

SCHEMAS = os.path.join(TOP, "docs", "schema")

# How to run those that are cheap, in this order; "{image}" is a file, "{card}" a stored image.
RUNS = {
    "status": [],
    "board-list": [],
    "board-show": ["pi1"],
    "event-list": [],
    "log-show": [],
    "log-grep": ["boot"],
    "log-status": [],
    "log-marks": [],
    "image-list": [],
    "image-show": ["{card}"],
    "image-ls": ["{card}", "/"],
    "image-diff": ["{card}", "{card}"],
    "image-gc": ["--dry-run"],
    "disk-show": ["pi1"],
    "disk-ls": ["pi1", "/"],
    "disk-diff": ["pi1"],
    "disk-list": [],
    "disk-snapshots": ["pi1"],
    "console": ["pi1", "--status"],
    "flash-list": [],
    "share-list": [],
    "token-list": [],
    "token-new": ["schema"],
    "reserve-get": ["pi1", "--no-wait"],
    "reserve-show": ["r1"],
    "log-show": [],
    "log-mark": ["begin"],
    "log-marks": [],
    "log-status": [],
    "reserve-list": [],
    "reserve-break": ["r1"],
    "power-list": [],
    "why": ["pi1"],
    "import": [os.path.join(TOP, "tests/import/guide")],
}


def verbs(t):
    names = re.findall(r"^  ([a-z-]+(?: [a-z-]+)?)  ", t.run(t.bramble, "help").stdout, re.M)
    assert len(names) > 60, names
    return names


def verbs_with_json(t):
    """'board-list' ... of all verbs whose help has -o json."""
    for name in verbs(t):
        text = t.run(t.bramble, "help", *name.split()).stdout
        if re.search(r"-o ([a-z|]*json|FORM)", text.split("\n\n")[0]) or re.search(r"--output FORM .*json", text):
            yield name.replace(" ", "-")


def schema(name):
    with open(os.path.join(SCHEMAS, name + ".json")) as f:
        found = json.load(f)
    with open(os.path.join(SCHEMAS, "api.json")) as f:
        found.setdefault("components", json.load(f)["components"])
    return found


def fits(t, value, name):
    import jsonschema
    errors = list(jsonschema.Draft202012Validator(schema(name)).iter_errors(value))
    assert not errors, f"{name}: {errors[0].json_path}: {errors[0].message[:500]}"


def need_jsonschema(t):
    try:
        import jsonschema
        return jsonschema.Draft202012Validator
    except (ImportError, AttributeError):
        t.skip("python3-jsonschema is not here")


@quick
def test_each_verb_has_a_schema(t):
    validator = need_jsonschema(t)
    names = set(verbs_with_json(t))
    lacking = names - {f[:-5] for f in os.listdir(SCHEMAS)}
    assert not lacking, f"docs/schema lacks NAME.json, what 'bramble NAME -o json' prints, for {sorted(lacking)}"
    for name in sorted(names):
        validator.check_schema(schema(name))
    assert not set(RUNS) - names, f"no verbs: {set(RUNS) - names}"
    stray = {f[:-5] for f in os.listdir(SCHEMAS)} - {name.replace(" ", "-") for name in verbs(t)} - {"api"}
    assert not stray, f"schemas of no verb: {stray}"


def test_outputs_fit_their_schemas(t):
    need_jsonschema(t)
    t.need_root()
    t.need_program("curl", "promtool", "sfdisk", "mkfs.fat", "mcopy", "mke2fs")
    net = t.enter(Net())
    with Daemon(t, net, image=small_image(t)) as d:
        d.cli("board", "add", "pi1", "--mac", "b8:27:eb:00:00:01", "--serial", "10000001", "--tags", "a b")
        d.cli("share", "add", "state", d.state)
        d.cli("disk", "ls", "pi1", "/")
        card = d.json("image", "list")[0]["name"]
        for name, words in RUNS.items():
            words = [w.format(card=card) for w in words]
            r = d.cli(*name.split("-", 1), *words, "-o", "json", check=False)
            assert r.returncode in (0, 6) or name in ("why", "disk-diff", "image-diff", "log-grep"), (name, r.stderr)
            fits(t, json.loads(r.stdout), name)
        # the API's own answers
        def get(path):
            return t.run(*net.exec("curl", "-sS", "--unix-socket", os.path.join(d.state, "api.sock"), "http://x" + path)).stdout

        described = json.loads(get("/v1/openapi.json"))
        checked = 0
        for path, item in described["paths"].items():
            answer = item.get("get", {}).get("responses", {}).get("2XX", {}).get("content", {}).get("application/json")
            if answer:
                import jsonschema
                value = json.loads(get(path.replace("{name}", "pi1")))
                jsonschema.Draft202012Validator({**answer["schema"], "components": described["components"]}).validate(value)
                checked += 1
        assert checked >= 8, checked
        validate_description(described)
        with open(t.path("metrics"), "w") as f:
            f.write(get("/metrics"))
        t.run("sh", "-c", f"promtool check metrics <'{t.path('metrics')}'")
    t.run("promtool", "check", "rules", os.path.join(TOP, "packaging", "prometheus-alerts.yml"))
    with open(os.path.join(TOP, "packaging", "prometheus-alerts.yml")) as rules, open(os.path.join(TOP, "packaging", "grafana-dashboard.json")) as board, \
            open(t.path("metrics")) as metrics:
        known = set(re.findall(r"^# TYPE (\w+)", metrics.read(), re.M)) | {"bramble_hook_events_total"}
        asked = set(re.findall(r"(?:bramble|process)_\w+", rules.read() + board.read()))
        strange = {a for a in asked if a not in known and re.sub(r"_(bucket|sum|count)$", "", a) not in known}
        assert not strange, f"alerts or dashboard ask for what is not counted: {strange}"


def validate_description(described):
    """OpenAPI 3.1: what must be there and fit together. With openapi-spec-validator where that is installed, too."""
    assert described["openapi"].startswith("3.1.") and described["info"]["title"] and described["info"]["version"]
    ids, schemas = set(), described["components"]["schemas"]
    for path, item in described["paths"].items():
        assert path.startswith("/") and "NAME" not in path, path
        for method, op in item.items():
            assert method in ("get", "put", "post", "delete", "patch"), (path, method)
            assert op["operationId"] not in ids, op["operationId"]
            ids.add(op["operationId"])
            names = {p["name"] for p in op["parameters"] if p["in"] == "path"}
            assert names == set(re.findall(r"\{(\w+)\}", path)) and op["responses"] and op["summary"], (path, method)
    for ref in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(described)):
        assert ref in schemas, ref
    try:
        import openapi_spec_validator
    except ImportError:
        return
    openapi_spec_validator.validate(described)
