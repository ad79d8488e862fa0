"""FinOps' own judge of FOCUS files, in an environment of its own: it needs a newer Python than the product."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = ("focus-validator==2.2.1", "pyarrow<21")  # newer ones need a numpy that it does not allow
CRITERIA = (
    "ACCOUNT_NAMING_SUPPORTED", "AVAILABILITY_ZONE_SUPPORTED", "MULTIPLE_PRICING_CATEGORIES_SUPPORTED",
    "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED", "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED", "NEGOTIATED_PRICING_SUPPORTED",
    "PUBLIC_PRICE_LIST_SUPPORTED", "USAGE_MEASUREMENT_SUPPORTED", "UNIT_PRICING_SUPPORTED", "SUB_ACCOUNT_SUPPORTED",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED", "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
    "PRICING_BILLING_CURRENCY_DIFFERENCES_SUPPORTED", "VIRTUAL_CURRENCY_SUPPORTED", "REGION_SUPPORTED", "TAGGING_SUPPORTED",
)  # fmt: skip
"""All but commitment discounts and capacity reservations."""
ALTERNATIVES = frozenset({"InvoiceId-C-004-C", "InvoiceId-C-005-C"})
"""Two rules of which the standard wants one: a charge belongs to an invoice or to none."""
NEWEST_PYTHON = "SPANLEDGER_TEST_PYTHON312"
"""Names a Python of 3.12 or later where none is found by itself."""


@dataclass(frozen=True)
class Told:
    """What the validator said: the rules that failed, and how many passed."""

    passed: int
    failed: list[str]
    output: str


Validator = Callable[[Path], Told]


def _python() -> str | None:
    """A Python of 3.12 or later."""
    named = os.environ.get(NEWEST_PYTHON)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [
        named,
        *(shutil.which(f"python3.{minor}") for minor in (12, 13)),
        *sorted(map(str, pyenv.glob("3.1[23]*/bin/python"))),
    ]
    return next((python for python in found if python and _is_new(python)), None)


def _is_new(python: str) -> bool:
    try:
        asked = [python, "-c", "import sys; print(sys.version_info >= (3, 12))"]
        return (
            subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
            == "True"
        )
    except OSError:
        return False


def environment() -> Path | str:
    """Where the validator is installed, made once for all runs; in words why it cannot be."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spanledger-tests"
    home.mkdir(parents=True, exist_ok=True)
    target = home / re.sub(r"[^\w.]+", "-", PACKAGES[0])
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test processes wait for the first
        wrong = "" if (target / "ready").exists() else _install(target)
    return wrong or target


def _install(target: Path) -> str:
    python = _python()
    if python is None:
        return f"no Python 3.12 for focus-validator: install one, or name it by {NEWEST_PYTHON}"
    shutil.rmtree(target, ignore_errors=True)
    uv = shutil.which("uv") or next(map(str, Path(sys.prefix).parent.glob(".uv/bin/uv")), None)
    inside = str(target / "bin" / "python")
    steps = (
        [
            [uv, "venv", "--quiet", "--python", python, str(target)],
            [uv, "pip", "install", "--quiet", "--python", inside, *PACKAGES],
        ]
        if uv
        else [[python, "-m", "venv", str(target)], [inside, "-m", "pip", "install", "--quiet", *PACKAGES]]
    )
    for step in steps:
        try:
            ran = subprocess.run(step, capture_output=True, text=True, timeout=150, check=False)
        except subprocess.TimeoutExpired:
            return "installing focus-validator took more than 150 seconds"
        if ran.returncode:
            return f"focus-validator cannot be installed: {ran.stderr.strip()[-300:]}"
    (target / "ready").touch()
    return ""


def validate(environment: Path, path: Path) -> Told:
    """Judge a file by every rule that applies."""
    packages = next(
        environment.glob("lib/python3*/site-packages")
    )  # it opens its currencies by a relative path
    asked = [
        str(environment / "bin" / "focus-validator"), "--data-file", str(path), "--validate-version", "1.2",
        "--block-download", "--applicability-criteria", ",".join(CRITERIA),
    ]  # fmt: skip
    ran = subprocess.run(asked, capture_output=True, text=True, timeout=170, check=False, cwd=packages)
    return read(ran.stdout + ran.stderr)


@pytest.fixture(scope="session")
def focus_validator() -> Validator:
    """The validator, with every applicability criterion set but of what the ledger does not have at all."""
    found = environment()
    if isinstance(found, str):
        pytest.skip(found)
    return lambda path: validate(found, path)


def read(output: str) -> Told:
    """The verdicts in the validator's report."""
    verdicts = dict(re.findall(r"^\S+ ([\w-]+): (PASS|FAIL|SKIPPED)", output, re.M))
    return Told(
        passed=sum(verdict == "PASS" for verdict in verdicts.values()),
        failed=sorted({rule for rule, verdict in verdicts.items() if verdict == "FAIL"} - ALTERNATIVES),
        output=output,
    )
