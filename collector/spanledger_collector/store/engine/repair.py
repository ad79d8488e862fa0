"""A data folder that a killed engine left in; deduplication logs that name only parts which exist out.

The engine notes an insert's token before it makes the insert's part visible. Killed between the two it remembers a
token without rows, takes the retry for a repetition, and the rows are lost. So before it is opened, tokens whose
part is not there are forgotten. A log is lines ``op TAB part TAB token``; op 1 adds, 2 drops.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

_ADD, _DROP = "1", "2"
_PART = re.compile(r"(?P<partition>[^_].*?)_(?P<first>\d+)_(?P<last>\d+)_\d+(?:_\d+)?\Z")
_FOLDER = "deduplication_logs"


def forget_torn_inserts(data: Path) -> int:
    """Repair every table of a data folder that no engine has open; the number of tokens forgotten."""
    return sum(_repair_table(folder) for folder in sorted(data.glob(f"store/*/*/{_FOLDER}")))


def torn_records(log: Iterable[str], parts: Iterable[str]) -> list[str]:
    """The records that undo those additions whose part, or one merged from it, is not among ``parts``."""
    alive: dict[str, str] = {}
    for line in log:
        op, part, token = line.split("\t", 2)
        if op == _ADD:
            alive[token] = part
        else:
            alive.pop(token, None)
    ranges = [found for found in map(_range, parts) if found is not None]
    return [f"{_DROP}\t{part}\t{token}" for token, part in alive.items() if not _covered(part, ranges)]


def _repair_table(folder: Path) -> int:
    logs = sorted(folder.glob("deduplication_log_*.txt"), key=_number)
    if not logs:
        return 0
    lines = [line for log in logs for line in _whole_lines(log)]
    torn = torn_records(lines, (entry.name for entry in folder.parent.iterdir() if entry.is_dir()))
    if torn:
        with logs[-1].open("a") as file:
            file.writelines(f"{record}\n" for record in torn)
    return len(torn)


def _whole_lines(log: Path) -> Sequence[str]:
    """Its records; a last one that was cut while it was written is taken off the file."""
    text = log.read_text()
    whole = text[: text.rfind("\n") + 1]
    if len(whole) < len(text):
        log.write_text(whole)
    return whole.splitlines()


def _covered(part: str, ranges: Sequence[tuple[str, int, int]]) -> bool:
    own = _range(part)
    if own is None:
        return True  # a name this module does not understand is left alone
    partition, first, last = own
    return any(other == partition and low <= first and last <= high for other, low, high in ranges)


def _range(part: str) -> tuple[str, int, int] | None:
    found = _PART.match(part)
    if found is None or part.startswith(("tmp", "delete_tmp", "detached")):
        return None
    return found["partition"], int(found["first"]), int(found["last"])


def _number(log: Path) -> int:
    return int(re.sub(r"\D", "", log.stem) or 0)
