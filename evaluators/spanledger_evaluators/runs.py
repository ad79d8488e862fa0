"""A run: what one target answered and scored over one dataset. JSON lines in and out, whole or unfinished."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from .contract import Result


class RunError(ValueError):
    """A file that is no run; the message names file and line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCase:
    """One answer to one case with its results; ``repeat`` counts answers to the same case from 0.

    ``error`` is why the target gave no answer. ``slice`` and ``cluster`` come from the dataset.
    """

    case_id: str
    repeat: int = 0
    cluster: str = ""
    slice: str = ""
    answer: str = ""
    error: str = ""
    begun_ns: int | None = None
    duration_ns: int | None = None
    trace_id: str = ""
    results: list[Result] = field(default_factory=list[Result])


@dataclass(slots=True, kw_only=True)
class Run:
    """A named run. ``dataset_version`` identifies the cases by content."""

    name: str
    dataset: str
    dataset_version: str
    target: str = ""
    rows: list[ScoredCase] = field(default_factory=list[ScoredCase])
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    def ids(self) -> list[str]:
        """Cases that were attempted, in order, each once."""
        return list(dict.fromkeys(row.case_id for row in self.rows))

    def cases(self) -> dict[str, ScoredCase]:
        """The first row of each case."""
        found: dict[str, ScoredCase] = {}
        for row in self.rows:
            found.setdefault(row.case_id, row)
        return found

    def metrics(self, *, also_empty: bool = False) -> list[str]:
        """Names of results that are numbers, in order of appearance; ``also_empty``: of all that were asked for."""
        named = (name for name, _, result in self._results() if also_empty or result.value is not None)
        return list(dict.fromkeys(named))

    def values(self, metric: str) -> dict[str, float]:
        """The mean over repeats of each case that has a usable value."""
        found: dict[str, list[float]] = {}
        for name, case_id, result in self._results():
            if name == metric and result.status == "ok" and result.value is not None:
                found.setdefault(case_id, []).append(result.value)
        return {case_id: sum(values) / len(values) for case_id, values in found.items()}

    def statuses(self, metric: str) -> dict[str, int]:
        """How many results of a metric ended in which status."""
        counts: dict[str, int] = {}
        for name, _, result in self._results():
            if name == metric:
                counts[result.status] = counts.get(result.status, 0) + 1
        return counts

    def higher_is_better(self, metric: str) -> bool:
        """The metric's direction; a run that never scored it says higher."""
        return next((result.higher_is_better for name, _, result in self._results() if name == metric), True)

    def scorer_versions(self, metric: str) -> frozenset[str]:
        """Scorers and versions behind the metric's values."""
        return frozenset(
            f"{result.scorer} {result.scorer_version}"
            for name, _, result in self._results()
            if name == metric and result.status == "ok"
        )

    def judges(self, metric: str) -> frozenset[str]:
        """Judges behind the metric's values."""
        return frozenset(
            result.judge_id
            for name, _, result in self._results()
            if name == metric and result.status == "ok" and result.judge_id
        )

    def cost(self) -> Decimal | None:
        """USD of all judging; None when part of it is unknown."""
        total = Decimal(0)
        for _, _, result in self._results():
            if result.judge_id and result.cost is None:
                return None
            total += result.cost or 0
        return total

    def _results(self) -> Iterator[tuple[str, str, Result]]:
        for row in self.rows:
            for result in row.results:
                yield result.name, row.case_id, result


def write_head(run: Run) -> str:
    """The first line of a run's file."""
    head = {name: getattr(run, name) for name in ("name", "dataset", "dataset_version", "target", "metadata")}
    return json.dumps({"spanledger_run": 1, **head}, ensure_ascii=False, default=str)


def write_row(row: ScoredCase) -> str:
    """One further line: one answer and its results."""
    return json.dumps(asdict(row), ensure_ascii=False, default=str)


def save(run: Run, path: Path) -> None:
    """Write a whole run."""
    lines = [write_head(run), *map(write_row, run.rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def load(path: Path) -> Run:
    """Read a run, also one that was interrupted within its last line.

    Raises:
        RunError: no run, or a broken line that is not the last.
        OSError: the file cannot be read.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    try:
        head: Any = json.loads(lines[0])
        if head.pop("spanledger_run") != 1:
            raise ValueError("another version of the format")
        run = Run(**head)
    except (IndexError, ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise RunError(f"{path} is no run of spanledger eval: {wrong}") from wrong
    run.rows = list(_rows(path, lines[1:]))
    return run


def _rows(path: Path, lines: Iterable[str]) -> Iterator[ScoredCase]:
    numbered = [(number, line) for number, line in enumerate(lines, 2) if line.strip()]
    for number, line in numbered:
        try:
            yield read_row(line)
        except (ValueError, KeyError, TypeError) as wrong:
            if number == numbered[-1][0]:
                return  # the run was stopped while it wrote this line
            raise RunError(f"{path}:{number}: {wrong}") from wrong


def read_row(line: str) -> ScoredCase:
    """What ``write_row`` wrote. Raises ValueError, KeyError or TypeError for anything else."""
    values = cast("dict[str, Any]", json.loads(line))
    results = [_result(entry) for entry in values.pop("results")]
    return ScoredCase(**values, results=results)


def _result(values: dict[str, Any]) -> Result:
    cost = values.get("cost")
    read: dict[str, Any] = {**values, "cost": None if cost is None else Decimal(str(cost))}
    return Result(**read)
