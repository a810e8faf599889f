# SPDX-License-Identifier: Apache-2.0
"""The script of docs/ci.md: it is green when all of its steps are, and never else."""
import os

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
