"""The registry's commands against a collector on a real port."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spanledger.cli import main
from spanledger_collector.store.registry.keys import KeyDirectory
from spanledger_collector.store.registry.registry import Registry
from tests.servers import free_port

from .conftest import BOOTSTRAP

pytestmark = pytest.mark.clickhouse

FILE = """\
[upstream.openai]
base_url = "https://api.openai.com/v1"
key_env = "OPENAI_API_KEY"

[route."gpt/4o"]
targets = [{ upstream = "openai", model = "gpt-4o" }]
quality = { score = "groundedness", floor = 0.8 }

[budget.month]
amount = "100.50"
block_at = "none"

[price.acme]
provider = "acme"
model = "m"
from = 2026-01-01
input = "0.15"
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(served: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``spanledger WORDS``; exit code, stdout and stderr."""
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", served)
    monkeypatch.setenv("SPANLEDGER_KEY", BOOTSTRAP)

    def command(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "spanledger.toml"
    path.write_text(FILE)
    return path


def test_apply_shows_creates_changes_and_then_leaves_alone(run: Run, file: Path) -> None:
    assert run("apply", str(file), "--dry-run")[1].splitlines()[-1] == (
        "4 created, 0 changed, 0 unchanged (dry run: nothing was written)"
    )
    assert run("apply", str(file), "--note", "first")[1].splitlines()[-1] == (
        "4 created, 0 changed, 0 unchanged"
    )
    file.write_text(FILE.replace("100.50", "200"))
    code, out, _ = run("apply", str(file))
    assert code == 0
    assert '~ budget month (version 1 -> 2)\n    amount: "100.50" -> "200"\n' in out
    assert run("apply", str(file))[1].splitlines()[-1] == "0 created, 0 changed, 4 unchanged"


def test_what_is_exported_applies_as_no_change(run: Run, file: Path) -> None:
    run("apply", str(file))
    file.write_text(run("export")[1])
    assert run("apply", str(file))[1].splitlines()[-1] == "0 created, 0 changed, 4 unchanged"


def test_apply_names_file_and_line_of_each_wrong_value_and_writes_nothing(run: Run, file: Path) -> None:
    wrong = FILE.replace('"100.50"', "100.5").replace("floor = 0.8", 'floor = "low"')
    file.write_text(
        wrong.replace('upstream = "openai"', 'upstream = "nobody"').replace('provider = "acme"\n', "")
    )
    code, out, err = run("apply", str(file))
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        f"{file}:7: route 'gpt/4o': quality.floor: input should be a valid number, unable to parse string as a number",
        f"{file}:10: budget 'month': amount: money is exact: write it as a string, \"100.5\"",
        f"{file}:13: price 'acme': provider: is missing",
        "error: documents are not valid; nothing was written",
    ]
    file.write_text(FILE.replace('upstream = "openai"', 'upstream = "nobody"'))
    assert (
        f"{file}:6: route 'gpt/4o': targets[0].upstream: there is no upstream 'nobody'"
        in run("apply", str(file))[2]
    )
    assert run("get")[1] == ""


def test_get_diff_rollback_follow_the_history(run: Run, file: Path) -> None:
    run("apply", str(file), "--note", "first")
    file.write_text(FILE.replace("100.50", "200"))
    run("apply", str(file))
    assert '"amount": "200"' in run("get", "budget", "month")[1]
    assert '"amount": "100.50"' in run("get", "budget", "month", "--version", "1")[1]
    assert run("diff", "budget", "month", "1")[1] == 'amount: "100.50" -> "200"\n'
    assert run("rollback", "budget", "month", "1")[1] == "budget month is at version 3 (as version 1)\n"
    history = run("get", "budget", "month", "--history")[1].splitlines()
    assert [line.split()[0] for line in history] == ["3", "2", "1"]
    assert history[0].endswith("bootstrap  rollback to version 1")
    assert run("get", "budget", "nothing")[0] == 1


def test_a_key_is_made_shown_once_used_and_revoked(run: Run, keys: KeyDirectory, registry: Registry) -> None:
    code, out, err = run("key", "create", "--scope", "ingest", "--team", "search")
    secret = out.strip()
    name = secret.split("_")[1]
    assert (code, name in err) == (0, True)
    stored = registry.get("default", "key", name)
    assert secret not in str(stored)
    assert within(2, lambda: keys.lookup(secret) is not None)
    assert run("key", "list")[1].split()[:4] == [name, "usable", "search", "ingest"]
    assert run("key", "revoke", name)[0] == 0
    assert within(2, lambda: keys.lookup(secret) is None)
    assert run("key", "list")[1].split()[1] == "revoked"


def test_a_collector_that_is_away_and_a_missing_key_are_told_clearly(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPANLEDGER_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    code, _, err = run("apply", str(file))
    assert code == 1
    assert "no collector answers at http://127.0.0.1" in err
    monkeypatch.delenv("SPANLEDGER_KEY")
    with pytest.raises(SystemExit) as ended:
        run("apply", str(file))
    assert ended.value.code == 2
    assert "SPANLEDGER_KEY is not set" in capsys.readouterr().err


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
