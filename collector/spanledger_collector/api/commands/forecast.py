"""`spanledger forecast`: what the month and each budget's period will have cost at their end, and odd days."""

from __future__ import annotations

from typing import Any

from .finance import columns, usd
from .remote import Collector, connect, parser, reported
from .show import plain


def command(argv: list[str]) -> int:
    """Print forecasts with their 90 % intervals, then days out of habit."""
    made = parser("forecast", __doc__)
    made.add_argument("--days", type=int, default=14, help="whole days to look at for odd ones")
    options = made.parse_args(argv)
    collector = connect(options)
    return reported(lambda: _print(collector, options.days))


def _print(collector: Collector, days: int) -> int:
    rows: list[dict[str, Any]] = collector.call("GET", "finance/forecast")
    table = [("subject", "spent", "at the end", "90 % interval", "amount", "used up", "rests on")]
    table += [_row(row) for row in rows]
    for line in columns(table, frozenset({1, 2, 3, 4})):
        print(line)
    for odd in collector.call("GET", "finance/anomalies", {"days": str(days)}):
        moved = ", ".join(
            f"{part['dimension']} {plain(part['value']) or '(none)'} {usd(part['difference'])}"
            for part in odd["moved"]
        )
        print(
            f"{odd['day']}: {usd(odd['cost'])} USD where {usd(odd['expected'])} was to be expected; {moved}"
        )
    return 0


def _row(row: dict[str, Any]) -> tuple[str, str, str, str, str, str, str]:
    known = row["at_end"] is not None
    basis = {"model": f"a model of {row['days']} days", "days": f"{row['days']} days", "none": "nothing yet"}
    return (
        row["subject"],
        usd(row["spent"]),
        usd(row["at_end"]) if known else "-",
        f"{usd(row['low'])} to {usd(row['high'])}" if known else "-",
        usd(row["amount"]) if row["amount"] is not None else "",
        row["reached"] or "",
        basis[row["method"]],
    )
