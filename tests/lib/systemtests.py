# SPDX-License-Identifier: Apache-2.0
"""Finds and runs tests/system/test_*.py. A test is a function test_* of one argument, a Context.

Marks: @quick (part of './dev test quick'), @alone (nothing else runs beside it), @long (many minutes: only in
'./dev test long' or when named).
A test passes by returning, fails by raising, and skips with context.skip(reason). BRAMBLE_TEST_BUILD=DIR: the programs of
another build than the one with sanitizers, for proofs at full speed.
"""
import concurrent.futures
import contextlib
import glob
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import traceback

import steps

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Skip(Exception):
    pass


def quick(function):
    function.quick = True
    return function


def alone(function):
    function.alone = True
    return function


def long(function):
    function.long = True
    return function


_image_lock = threading.Lock()
_image = []


def the_image(say):
    """Path of the stock-like image; the first caller builds it, the others wait."""
    with _image_lock:
        if not _image:
            try:
                _image.append(_find_or_make_image(say))
            except (Skip, OSError, RuntimeError) as e:
                _image.append(e)
    if isinstance(_image[0], Exception):
        raise _image[0]
    return _image[0]


def start_image(say):
    """Begins to build it beside other steps: it keeps one core half busy for minutes."""
    def work():
        with contextlib.suppress(Skip, OSError, RuntimeError):
            the_image(say)
    threading.Thread(target=work, daemon=True).start()


def _find_or_make_image(say):
    given = os.environ.get("BRAMBLE_TEST_IMAGE")
    if given:
        return given
    tool = os.path.join(TOP, "tools", "make-pi-image")
    r = subprocess.run([tool, "--path"], text=True, stdout=subprocess.PIPE)
    if r.returncode == 0:
        return r.stdout.strip()
    if os.geteuid() != 0:
        raise Skip("the test image is not in the cache and building it needs root")
    say("...   building the test image beside the other steps (once, it stays in the cache)")
    r = subprocess.run([tool], text=True, stdout=subprocess.PIPE)
    if r.returncode:
        raise RuntimeError("tools/make-pi-image failed: its words are above")
    return r.stdout.strip()


class Context:
    """What a test gets: a scratch directory, the program, things that are closed at the end."""

    def __init__(self, name, say):
        self.name = name
        self.say = say
        self.dir = tempfile.mkdtemp(prefix="bramble-test.")
        os.chmod(self.dir, 0o755)       # for the user the daemon becomes
        self.build = os.path.join(TOP, os.environ.get("BRAMBLE_TEST_BUILD") or steps.SANITIZER_BUILD)
        self.bramble = os.path.join(self.build, "bramble")
        self.env = {**os.environ, **steps.SANITIZER_ENV, "LC_ALL": "C.UTF-8"}
        self.stack = contextlib.ExitStack()
        self.notes = []

    def enter(self, manager):
        return self.stack.enter_context(manager)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def note(self, text):
        """Shown only when the test fails."""
        self.notes.append(text)

    def skip(self, reason):
        raise Skip(reason)

    def shared(self, *name):
        """A real file that nobody here wrote, in $BRAMBLE_TEST_DATA, else in shared/data beside the tree or a folder up; None
        where it is not there (tests/unit/testdata.h looks in the same places)."""
        given = os.environ.get("BRAMBLE_TEST_DATA")
        places = [given] if given else [os.path.join(TOP, up, "shared", "data") for up in ("..", "../..")]
        return next((p for p in (os.path.join(place, *name) for place in places) if os.path.exists(p)), None)

    def need_root(self):
        if os.geteuid() != 0:
            raise Skip("needs root (network namespaces): sudo ./dev test")

    def need_program(self, *names):
        for name in names:
            if not shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
                raise Skip(f"{name} is not installed (./dev deps test)")

    def image(self):
        """The stock-like .img.xz of the cache; built when it is not there."""
        return the_image(self.say)

    def run(self, *argv, check=True, timeout=600, input=None):
        """Runs a command to its end; returns it with stdout and stderr as text."""
        r = subprocess.run(argv, text=True, errors="replace", timeout=timeout, env=self.env, input=input,
                           stdin=subprocess.DEVNULL if input is None else None,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.note(f"$ {' '.join(argv)}\n{r.stdout[-4000:]}{r.stderr[-4000:]}[status {r.returncode}]")
        if "ERROR: AddressSanitizer" in r.stderr or "runtime error:" in r.stderr or \
                "ERROR: LeakSanitizer" in r.stderr:
            raise AssertionError(f"sanitizer report from {argv[0]}")
        if check and r.returncode:
            raise AssertionError(f"{' '.join(argv)}: status {r.returncode}: {r.stderr.strip()[-500:]}")
        return r

    def close(self):
        self.stack.close()

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


def _failing(words):
    def test(_):
        raise AssertionError(words)
    return quick(test)


def discover():
    found = []
    for path in sorted(glob.glob(os.path.join(TOP, "tests", "system", "test_*.py"))):
        module_name = os.path.basename(path)[:-3]
        spec = importlib.util.spec_from_file_location(module_name, path)
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception:
            found.append((f"{module_name[5:]}: load", _failing(traceback.format_exc())))
        for name, function in vars(module).items():
            if name.startswith("test_") and callable(function) and function.__module__ == module_name:
                found.append((f"{module_name[5:]}: {name[5:].replace('_', ' ')}", function))
    return found


def _logs(directory, limit=6000):
    """The ends of the log files a test left; the daemon's last, since a report is cut at its beginning."""
    text = ""
    paths = glob.glob(os.path.join(directory, "**", "*.log"), recursive=True)
    for path in sorted(paths, key=lambda p: (os.path.basename(p).startswith("serve-"), p)):
        with open(path, errors="replace") as f:
            f.seek(max(0, os.path.getsize(path) - limit))
            text += f"--- {os.path.relpath(path, directory)}\n{f.read()}\n"
    return text


def _run_one(report, name, function):
    report.begin(name)
    try:
        context = Context(name, report.say)
    except OSError as e:
        report.fail(name, str(e))
        return
    skipped, problem = None, None
    try:
        function(context)
    except Skip as s:
        skipped = str(s)
    except BaseException:
        problem = traceback.format_exc()
    try:
        context.close()
    except BaseException:
        problem = (problem or "") + traceback.format_exc()
    if problem:
        report.fail(name, "\n".join(context.notes[-12:]) + "\n" + _logs(context.dir) + problem)
    elif skipped:
        report.skip(name, skipped)
    else:
        report.ok(name)
    context.remove()


def _run(report, tests):
    together = [t for t in tests if not getattr(t[1], "alone", False)]
    with concurrent.futures.ThreadPoolExecutor(max(2, (os.cpu_count() or 2))) as pool:
        for f in [pool.submit(_run_one, report, *t) for t in together]:
            f.result()
    for t in tests:
        if getattr(t[1], "alone", False):
            _run_one(report, *t)


def _is_long(test):
    return getattr(test[1], "long", False)


def run_all(report):
    _run(report, [t for t in discover() if not _is_long(t)])


def run_long(report):
    _run(report, [t for t in discover() if _is_long(t)])


def run_quick(report):
    _run(report, [t for t in discover() if getattr(t[1], "quick", False)])


def run_named(report, names):
    chosen = [t for t in discover() if any(n.replace("_", " ") in t[0] for n in names)]
    if not chosen:
        report.fail("system tests", f"none has a name with: {', '.join(names)}")
    _run(report, chosen)


def stop(process, seconds=10):
    """Ends a child kindly, then not. Returns its exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def wait_until(condition, seconds, what):
    """Polls condition() until it is true; its value. Never asserts how long a thing took."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.1)
