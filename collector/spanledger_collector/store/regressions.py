"""Rows of regression runs, one a case, in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .clickhouse import Client
from .reads.asking import ask
from .writes_evaluation import insert_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionRow:
    """One answered case: ``line`` as in a run's file, ``time`` in ns."""

    project: str
    regression: str
    run_id: str
    case_id: str
    time: int
    line: str


def insert_regression_rows(client: Client, rows: Sequence[RegressionRow]) -> None:
    """Keep rows; a case done again replaces itself."""
    insert_rows(client, "regression_rows", RegressionRow, rows)


_LINES = """
SELECT line FROM regression_rows FINAL
WHERE project = {project:String} AND regression = {regression:String} AND run_id = {run_id:String} ORDER BY case_id
"""


def run_lines(client: Client, *, project: str, regression: str, run_id: str) -> list[str]:
    """The lines of a run so far."""
    bound = {"project": project, "regression": regression, "run_id": run_id}
    return [str(row["line"]) for row in ask(client, _LINES, bound)]
