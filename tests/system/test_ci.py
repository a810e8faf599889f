# SPDX-License-Identifier: Apache-2.0
"""The script of docs/ci.md: it is green when all of its steps are, and never else."""
import os
import re
import shlex

from systemtests import TOP, quick

BRAMBLE = """#!/bin/sh
echo "bramble $*" >> calls
case "$1 $2" in
"image add") exit ${ADD:-0} ;;
"board show") echo '[{"address": "10.0.0.7"}]'; exit ${SHOW:-0} ;;
flash*) exit ${FLASH:-0} ;;
esac
"""
SSH = """#!/bin/sh
echo "ssh $*" >> calls
echo what the tests say
exit ${TESTS:-0}
"""


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)


@quick
def test_the_script_for_pipelines_fails_when_a_step_does(t):
    t.need_program("python3")
    with open(os.path.join(TOP, "docs", "ci.md")) as f:
        write(t.path("board-test"), f.read().split("```sh\n")[1].split("```")[0])
    write(t.path("bramble"), BRAMBLE)
    write(t.path("ssh"), SSH)
    cases = [({}, 0), ({"ADD": "1"}, 1), ({"FLASH": "11"}, 11), ({"FLASH": "14"}, 14), ({"FLASH": "5"}, 5), ({"SHOW": "3"}, 3),
             ({"TESTS": "1"}, 1), ({"TESTS": "11"}, 1), ({"TESTS": "255"}, 1)]
    for env, want in cases:
        write(t.path("calls"), "")
        env = {"CI_JOB_ID": "Job/17", **env}
        r = t.run("env", "-C", t.dir, f"PATH={t.dir}:{os.environ['PATH']}", *(f"{k}={v}" for k, v in env.items()),
                  "sh", "./board-test", "out/new.img.xz", "pi07", check=False)
        assert r.returncode == want, (env, r.returncode, r.stderr)
        with open(t.path("calls")) as f:
            calls = f.read()
        assert "image add out/new.img.xz --name ci-job-17-pi07 " in calls, calls
        assert ("image rm" in calls) == (want != 5), "the image goes, but not while a board is being written"
        if "TESTS" in env or want == 0:
            assert "what the tests say" in r.stdout, r.stdout


def blocks(name):
    """[(language, text)] of the fenced blocks of a document."""
    with open(os.path.join(TOP, "docs", name)) as f:
        return re.findall(r"^```(\w*)\n(.*?)^```", f.read(), re.M | re.S)


def commands(text):
    """Each call of bramble in a shell text, as words; what follows it in its line is left out."""
    text = re.sub(r"\\\n\s*", " ", text)
    for line in text.split("\n"):
        for call in re.findall(r"(?:^|[\s\"';|&(])(bramble [a-z][^|;>#'&)]*)", line):
            yield shlex.split(call.replace('"$', '"').replace("...", ""), posix=True)


def usage_of(t, words):
    """Help of the longest command that the words begin with, and how many words it is."""
    for n in (2, 1):
        if len(words) > n and all(re.fullmatch("[a-z][a-z0-9]*", w) for w in words[1:1 + n]):
            r = t.run(t.bramble, *words[1:1 + n], "--help", check=False)
            if r.returncode == 0 and r.stdout.startswith("Usage: bramble " + " ".join(words[1:1 + n])):
                return r.stdout, n
    raise AssertionError(f"there is no such command: {' '.join(words)}")


def check_call(t, words):
    usage, n = usage_of(t, words)
    for word in words[1 + n:]:
        if not re.match(r"--?[a-z]", word):
            continue
        name, equals, value = word.partition("=")
        found = re.search(rf"(?:^|[\s,\[]){re.escape(name)}\b(\S*)", usage)
        assert found, f"'{' '.join(words)}': {name} is not in its help"
        assert not equals or "=" in found.group(1), f"'{' '.join(words)}': {name} takes no value in this way"
        choice = re.search(rf"\[{re.escape(name)} ([a-z0-9]+(?:\|[a-z0-9]+)+)\]", usage)
        following = words[words.index(word) + 1] if words.index(word) + 1 < len(words) else ""
        assert not choice or following in choice.group(1).split("|"), f"'{' '.join(words)}': '{following}' is none of {choice.group(1)}"


@quick
def test_what_the_recipes_call_exists(t):
    """Every bramble command in the fenced blocks of the documents on flashing, with each of its options."""
    calls = [words for doc in ("ci.md", "flash.md", "uboot.md") for _, text in blocks(doc) for words in commands(text)]
    assert len(calls) >= 11, calls
    for words in calls:
        check_call(t, words)
    for wrong in ("bramble flash x y --nowait", "bramble flash x y --reset=now", "bramble flash x y --up never", "bramble image add x --new",
                  "bramble burn x"):
        try:
            check_call(t, shlex.split(wrong))
        except AssertionError:
            continue
        raise AssertionError(f"'{wrong}' was taken")


@quick
def test_the_recipes_fit_the_script_and_the_exit_codes(t):
    """Each calls the script as it says, collects files that it makes, and retries codes that are the rack's."""
    all_blocks = blocks("ci.md")
    script = next(text for lang, text in all_blocks if lang == "sh")
    made = set(re.findall(r"> ([a-z]+\.(?:json|txt|log))", script))
    assert {lang for lang, _ in all_blocks} == {"sh", "groovy", "yaml"}
    for lang, text in all_blocks:
        if lang == "sh":
            continue
        calls = re.findall(r"ci/board-test ([^\s']+) ([^\s']+)", text)
        assert len(calls) == 1, text
        wanted = set(re.findall(r"\b([a-z]+\.(?:json|txt|log))\b", text))
        assert wanted and wanted <= made, (wanted, made)
    with open(os.path.join(TOP, "docs", "flash.md")) as f:
        codes = dict(re.findall(r"^\| (\d+) \| ([^|]*) \|", f.read(), re.M))
    retried = re.search(r"exit_codes: \[([\d, ]+)\]", "".join(text for _, text in all_blocks)).group(1).split(", ")
    assert retried == ["10", "11", "12"] and all(c in codes and "withdrawn" in codes[c] for c in retried), codes
    usage = t.run(t.bramble, "flash", "--help").stdout
    for code in codes:
        if int(code) >= 5 or code == "3":
            assert re.search(rf"\b{code}\b", usage.split("Exit codes:")[1]), f"{code} is in docs/flash.md, not in the help"
    t.need_program("python3")
    t.run("sh", "-n", input=script)
    for text in [text for lang, text in all_blocks if lang == "yaml"]:
        assert "\t" not in text, "YAML knows no tabs"
