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


def recipes():
    """The scripts of docs/ci.md with the recipes that follow each: [(name, text, [(language, text)])]."""
    found = []
    for lang, text in blocks("ci.md"):
        if lang == "sh":
            found.append((re.search(r"^# (?:ci/)?([a-z-]+) ", text, re.M)[1], text, []))
        elif found:
            found[-1][2].append((lang, text))
    return found


def codes_of(document):
    with open(os.path.join(TOP, "docs", document)) as f:
        return dict(re.findall(r"^\| (\d+) \| ([^|]*) \|", f.read(), re.M))


def retried(texts):
    return re.search(r"exit_codes: \[([\d, ]+)\]", "".join(text for _, text in texts))[1].split(", ")


@quick
def test_the_recipes_fit_the_scripts_and_the_exit_codes(t):
    """Each calls its script as that says, collects files that it makes, and retries codes that are the rack's."""
    found = recipes()
    assert [name for name, _, _ in found] == ["board-test", "test-on-board"], found
    for name, script, texts in found:
        assert {lang for lang, _ in texts} == {"groovy", "yaml"}, name
        t.run("sh", "-n", input=script)
        words = re.search(rf"^# (?:ci/)?{name} (.*)", script, re.M)[1].split()
        made = set(re.findall(r"(?:> |--junit |--artifacts )([a-z]+(?:\.(?:json|txt|log|xml))?)", script))
        for lang, text in texts:
            calls = re.findall(rf"ci/{name} ([^\n']+)", text)
            assert len(calls) == 1 and len(calls[0].split()) == len(words), text
            wanted = set(re.findall(r"\b([a-z]+\.(?:json|txt|log|xml)|artifacts(?=[\]\n/]))", text))
            assert wanted and wanted <= made, (name, lang, wanted, made)
            assert lang != "yaml" or "\t" not in text, "YAML knows no tabs"
    flash, run = codes_of("flash.md"), codes_of("reserve.md")
    assert retried(found[0][2]) == ["10", "11", "12"] and all("withdrawn" in flash[c] for c in ("10", "11", "12")), flash
    assert set(retried(found[1][2])) < set(run) and "107" not in retried(found[1][2]), run
    usage = t.run(t.bramble, "flash", "--help").stdout
    for code in flash:
        if int(code) >= 5 or code == "3":
            assert re.search(rf"\b{code}\b", usage.split("Exit codes:")[1]), f"{code} is in docs/flash.md, not in the help"
