"""Every check the project passes, in order: `make test` and CI run this. Exit code 1 when one fails.

A few tests that failed beside others are run once more, alone: on a machine that stands still for seconds a request
times out. What passes then is told by name as unsteady, and does not fail the run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
MOST_UNSTEADY = 3  # failures beyond so many are no accident


class Step(NamedTuple):
    """One check."""

    name: str
    argv: list[str]


STATIC = [
    Step("format", ["ruff", "format", "--check", "."]),
    Step("lint", ["ruff", "check", "."]),
    Step("imports", ["lint-imports"]),
    Step("types", ["pyright"]),
]
TESTS = [
    Step("tests", ["pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "not e2e and not long"]),
    Step("end to end", ["pytest", "-q", "-m", "e2e and not long", "tests/e2e"]),
]
LONG = [Step("long tests", ["pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "long"])]


def main(argv: list[str]) -> int:
    """Run the checks; all of them, so that one run tells everything that is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--static", action="store_true", help="only format, lint, imports and types")
    parser.add_argument("--long", action="store_true", help="only the tests that take minutes")
    given = parser.parse_args(argv)
    if not given.static:
        install_chromium()
    steps = STATIC if given.static else LONG if given.long else STATIC + TESTS
    outcomes: list[tuple[str, int, float]] = []
    unsteady: list[str] = []
    for step in steps:
        code, took = _run(step)
        if code and step.argv[0] == "pytest" and (names := _failed()) and len(names) <= MOST_UNSTEADY:
            code, more = _run(Step(f"{step.name}, what failed, alone", ["pytest", "-q", *names]))
            took += more
            unsteady += [] if code else names
        outcomes.append((step.name, code, took))
    print()
    for name in unsteady:
        print(f"unsteady: failed beside others and passed alone: {name}")
    for name, code, took in outcomes:
        print(f"{'ok    ' if code == 0 else 'FAILED'}  {name:<12} {took:6.1f} s")
    return int(any(code for _, code, _ in outcomes))


def _failed() -> list[str]:
    """The tests that failed in the last run, as pytest remembers them."""
    try:
        return sorted(json.loads((ROOT / ".pytest_cache/v/cache/lastfailed").read_text()))
    except (OSError, ValueError):
        return []


def _run(step: Step) -> tuple[int, float]:
    print(f"\n== {step.name}: {' '.join(step.argv)}", flush=True)
    began = time.monotonic()
    code = subprocess.run(step.argv, cwd=ROOT, check=False).returncode
    return code, time.monotonic() - began


def install_chromium() -> None:
    """Debian's Chromium for the browser tests, where it is missing and this user may install it."""
    if Path(CHROMIUM).exists():
        return
    apt = shutil.which("apt-get")
    prefix = _as_root()
    if apt is None or prefix is None:
        reason = "there is no apt-get here" if apt is None else "this user may not install packages"
        print(f"{CHROMIUM} is missing and {reason}: browser tests are skipped")
        return
    print(f"installing {CHROMIUM} for the browser tests", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-q"], ["install", "-y", "-q", "--no-install-recommends", "chromium"]):
        done = subprocess.run([*prefix, apt, *words], env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            print(f"apt-get {words[0]} failed ({done.returncode}): browser tests are skipped")
            return


def _as_root() -> list[str] | None:
    """What to put before a command to run it as root; None where that needs a password."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n", "--preserve-env=DEBIAN_FRONTEND"]
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
