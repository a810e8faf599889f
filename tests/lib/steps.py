# SPDX-License-Identifier: Apache-2.0
"""The steps of a test run that are not system tests: builds, unit tests, fuzz replay, linters."""
import concurrent.futures
import glob
import json
import os
import re
import shutil
import subprocess
import tempfile

SANITIZER_BUILD = "build-asan"
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:check_initialization_order=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}
SETUPS = {
    "build-gcc": ("gcc", ["-Dwerror=true"]),
    SANITIZER_BUILD: ("clang", ["-Dwerror=true", "-Db_lundef=false", "-Db_sanitize=address,undefined"]),
}


def build(directory):
    """Configures (when needed) and compiles. Returns None, or the output when it failed."""
    compiler, options = SETUPS[directory]
    wanted = compiler + " " + " ".join(options)
    mark = os.path.join(directory, ".dev-options")
    try:
        with open(mark) as f:
            configured = f.read().strip() == wanted and os.path.exists(f"{directory}/build.ninja")
    except OSError:
        configured = False
    if not configured:
        shutil.rmtree(directory, ignore_errors=True)
        r = subprocess.run(["meson", "setup", directory, *options], text=True,
                           env={**os.environ, "CC": compiler},
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if r.returncode:
            return r.stdout
        with open(mark, "w") as f:
            f.write(wanted + "\n")
    r = subprocess.run(["ninja", "-C", directory, "--quiet"], text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return r.stdout if r.returncode else None


def _build_step(report, name, directory):
    report.begin(name)
    output = build(directory)
    if output is None:
        report.ok(name)
    else:
        report.fail(name, output)
    return output is None


def gcc_build(report):
    return _build_step(report, "build with gcc, warnings are errors", "build-gcc")


def sanitizer_build(report):
    return _build_step(report, "build with clang and sanitizers, warnings are errors", SANITIZER_BUILD)


def _meson_tests(suite):
    out = subprocess.run(["meson", "introspect", "--tests", SANITIZER_BUILD], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
    return [t for t in json.loads(out) if any(s.split(":")[-1] == suite for s in t["suite"])]


# removed when the run ends, whatever the tests left in it
_scratch = tempfile.TemporaryDirectory(prefix="bramble-test.")
os.chmod(_scratch.name, 0o755)


def _run_meson_test(test):
    """Returns (exit status or None on timeout, output)."""
    env = {**os.environ, **SANITIZER_ENV, **test["env"], "TMPDIR": _scratch.name}
    try:
        r = subprocess.run(test["cmd"], text=True, errors="replace", env=env, cwd=test["workdir"],
                           timeout=test["timeout"] or None, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return r.returncode, r.stdout
    except subprocess.TimeoutExpired as e:
        out = e.stdout or b""
        return None, out.decode(errors="replace") if isinstance(out, bytes) else out


TAP_LINE = re.compile(r"^(not )?ok\b\s*(\d+)?\s*-?\s*(.*?)(?:\s*#\s*(SKIP|TODO)\b\s*(.*))?$", re.I)
TAP_PLAN = re.compile(r"^1\.\.(\d+)")


def parse_tap(output):
    """Returns (passed, failed, [(name, reason) skipped], planned or None)."""
    passed, failed, skipped, planned = 0, 0, [], None
    for line in output.splitlines():
        plan = TAP_PLAN.match(line)
        if plan:
            planned = (planned or 0) + int(plan[1])
        m = TAP_LINE.match(line)
        if not m:
            continue
        if m[4] and m[4].upper() == "SKIP":
            # cmocka writes "not ok N # SKIP name"; the reason stands before
            name, reason = (m[3], m[5]) if m[3] else (m[5], None)
            skipped.append((name, reason or _comment_before(output, line) or "no reason printed"))
        elif m[1]:
            failed += 1
        else:
            passed += 1
    return passed, failed, skipped, planned


def _comment_before(output, line):
    """cmocka prints no reason with a skip: by our habit the test printed '# skipped: reason' itself."""
    before = output.split(line)[0].splitlines()
    notes = [b.lstrip("# ").strip() for b in before[-5:] if "skip" in b.lower() and not TAP_LINE.match(b)]
    return notes[-1] if notes else None


def _run_unit(report, test):
    name = "unit " + test["name"]
    report.begin(name)
    status, output = _run_meson_test(test)
    passed, failed, skipped, planned = parse_tap(output)
    seen = passed + failed + len(skipped)
    for case, reason in skipped:
        report.skip(f"{name}: {case}", reason)
    if status is None:
        report.fail(name, output + "\ntime is up", max(1, failed), passed)
    elif status or failed or seen == 0 or (planned is not None and planned != seen):
        report.fail(name, output + f"\nexit status {status}, {seen} of {planned} cases reported",
                    max(1, failed), passed)
    elif passed:
        report.ok(name, passed)


def _in_parallel(report, function, tests):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for f in [pool.submit(function, report, t) for t in tests]:
            f.result()


def unit_tests(report):
    _in_parallel(report, _run_unit, _meson_tests("unit"))


def _run_fuzz(report, test):
    report.begin(test["name"])
    status, output = _run_meson_test(test)
    inputs = sum(int(n) for n in re.findall(r": (\d+) inputs$", output, re.M))
    if status == 0:
        report.ok(test["name"], 1, f"{inputs} inputs")
    else:
        report.fail(test["name"], output if status is not None else output + "\ntime is up")


def fuzz_replay(report):
    _in_parallel(report, _run_fuzz, _meson_tests("fuzz"))


def _command(report, name, argv):
    report.begin(name)
    r = subprocess.run(argv, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if r.returncode == 0:
        report.ok(name)
    else:
        report.fail(name, r.stdout)


def lint(report):
    for name in ("clang-tidy", "cppcheck"):
        if not shutil.which(name):
            report.skip(name, "not installed (./dev deps lint)")
            continue
        _command(report, name, ["nice", "-n", "19", "tools/lint", SANITIZER_BUILD, name])


def man_pages(report):
    pages = sorted(glob.glob("docs/**/*.[1-9]", recursive=True))
    if not pages:
        report.skip("man pages", "there are none")
    for page in pages:
        if shutil.which("mandoc"):
            _command(report, "mandoc " + page, ["mandoc", "-T", "lint", "-W", "warning", page])
        else:
            report.skip("mandoc " + page, "mandoc is not installed (./dev deps lint)")
