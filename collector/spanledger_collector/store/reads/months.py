"""Month close: which months of a project are closed, and the condition on the ledger that keeps them closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from .asking import Client, ask

_NEWEST = """
SELECT month, argMax(state, months.time) AS state_, argMax(cutoff, months.time) AS cutoff_,
    argMax(author, months.time) AS author_, argMax(note, months.time) AS note_,
    argMax(totals, months.time) AS totals_, toUnixTimestamp64Nano(max(months.time)) AS at
FROM months WHERE project = {project:String} GROUP BY month ORDER BY month
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month and its newest state; ``first`` is its first day, ``time`` ns since the epoch, ``totals`` JSON.

    Closed, it counts what was known before the day ``cutoff`` (UTC), and adjustments.
    """

    first: date
    state: str
    cutoff: date
    author: str = ""
    time: int = 0
    note: str = ""
    totals: str = ""

    @property
    def after(self) -> date:
        """The first day of the next month."""
        return date(self.first.year + self.first.month // 12, self.first.month % 12 + 1, 1)


def months(client: Client, project: str, *, closed_only: bool = True) -> list[Month]:
    """The months of a project that were ever closed, oldest first."""
    found = [
        Month(
            first=row["month"],
            state=str(row["state_"]),
            cutoff=row["cutoff_"],
            author=str(row["author_"]),
            time=int(row["at"]),
            note=str(row["note_"]),
            totals=str(row["totals_"]),
        )
        for row in ask(client, _NEWEST, {"project": project})
    ]
    return [month for month in found if month.state == "closed" or not closed_only]


def counted(month: Month, parameters: dict[str, object]) -> str:
    """The condition on rows of the ledger that leaves out what a closed month no longer counts."""
    key = f"{month.first:%Y%m}"
    parameters |= {f"m{key}": month.first, f"n{key}": month.after, f"c{key}": month.cutoff}
    return f"(day < {{m{key}:Date}} OR day >= {{n{key}:Date}} OR known_day < {{c{key}:Date}} OR source = 'adjustment')"


def is_closed(closed: Sequence[Month], day: date) -> bool:
    """Whether a day belongs to one of these months."""
    return any(month.first <= day < month.after for month in closed)
