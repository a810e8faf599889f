# SPDX-License-Identifier: Apache-2.0
"""The program by itself: help, versions, wrong usage."""
from systemtests import quick


@quick
def test_version_is_printed(t):
    r = t.run(t.bramble, "--version")
    assert r.stdout.startswith("bramble "), r.stdout


@quick
def test_help_names_the_everyday_commands(t):
    text = t.run(t.bramble, "--help").stdout
    for word in ("serve", "image", "board", "event", "disk", "sim"):
        assert word in text, f"'{word}' is not in the help"


@quick
def test_unknown_command_is_a_usage_error(t):
    r = t.run(t.bramble, "frobnicate", check=False)
    assert r.returncode not in (0, 1), r.returncode
    assert "frobnicate" in r.stderr, r.stderr
