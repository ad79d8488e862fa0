"""Rows of one segment and what the store holds of them in; the inserts that must be made of them out.

Here a batch gets its verdicts: which spans are new, which are billed, what they cost, what is redacted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.reads.known import Known, known_spans
from spanledger_collector.store.writes import Insert, arrow_insert, dead_letter_insert

from . import billing
from .metrics import Metrics
from .pricing import PriceBook, price
from .redact import Rules
from .rows import Batch, Row, Span
from .unpack import Letters

INSERT_ROWS = 20_000
_UNFIT = (ValueError, TypeError, OverflowError)  # pyarrow's own errors are kinds of these


class Decider:
    """Decides on one batch after the other, in one thread."""

    def __init__(self, client: Client, prices: PriceBook, rules: Rules, metrics: Metrics) -> None:
        self._client, self._prices = client, prices
        self._rules, self._metrics = rules, metrics

    def known(self, batch: Batch) -> list[Known]:
        """What the store holds of the batch's traces and calls; raises the store's errors.

        Rules of redaction are read first: without them nothing may be stored.
        """
        self._rules.refresh()
        return known_spans(self._client, billing.asked(batch.spans)) if batch.spans else []

    def inserts(
        self, batch: Batch, known: Sequence[Known], token: str, letters: Letters
    ) -> tuple[list[Insert], list[int]]:
        """The inserts of a batch, and when its new spans ended (ns). Changes its rows: call it once for a batch."""
        self._prices.refresh()
        rows = self._finish(self._fresh(batch.spans, known))
        self._redact(rows)
        self._redact(batch.scores)
        letters.withhold(self._rules.has_rules)
        inserts = [
            *self._chunks("spans", rows, token, letters),
            *self._chunks("scores", batch.scores, token, letters),
        ]
        if letters.rows:
            inserts.append(dead_letter_insert(letters.rows, f"{token}-dead"))
        self._metrics.clamped.inc(batch.clamped)
        return inserts, [row["start_time"] + row["duration_ns"] for row in rows]

    def _fresh(self, spans: Sequence[Span], known: Sequence[Known]) -> list[Span]:
        """Drop what the table or this batch holds already, and decide on billing of the rest."""
        seen = {(row.project, row.trace_id, row.span_id) for row in known}
        fresh: list[Span] = []
        for span in spans:
            row = span.row
            key = (row["project"], row["trace_id"], row["span_id"])
            if key not in seen:
                seen.add(key)
                fresh.append(span)
        self._metrics.duplicated.inc(len(spans) - len(fresh))
        self._metrics.repeated.inc(billing.decide(fresh, known))
        return fresh

    def _finish(self, spans: Sequence[Span]) -> list[Row]:
        unpriced = 0
        for span in spans:
            self._prices.place(span.row)
            unpriced += not price(span, self._prices.table(span.row["project"]))
        self._metrics.unpriced.inc(unpriced)
        return [span.row for span in spans]

    def _redact(self, rows: Sequence[Row]) -> None:
        by_project: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_project[row["project"]].append(row)
        for project, mine in by_project.items():
            self._metrics.redacted.inc(self._rules.redact(project, mine))

    def _chunks(self, table: str, rows: Sequence[Row], token: str, letters: Letters) -> list[Insert]:
        try:
            return _split(table, rows, token)
        except _UNFIT:
            return _split(table, [row for row in rows if self._fits(table, row, letters)], token)

    def _fits(self, table: str, row: Row, letters: Letters) -> bool:
        try:
            arrow_insert(table, [row], "")
            return True
        except _UNFIT as wrong:
            letters.add(row["project"], "unfit_value", str(wrong), repr(dict(row)).encode())
            return False


def _split(table: str, rows: Sequence[Row], token: str) -> list[Insert]:
    parts = [rows[at : at + INSERT_ROWS] for at in range(0, len(rows), INSERT_ROWS)]
    return [arrow_insert(table, part, f"{token}-{table}-{n}") for n, part in enumerate(parts)]
