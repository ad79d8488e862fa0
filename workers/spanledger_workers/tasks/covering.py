"""Coverage: beside each score stands what share of the calls it speaks for."""

from __future__ import annotations

from collections.abc import Sequence

from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.coverage import WINDOW_S, count_coverage, insert_coverage
from spanledger_collector.store.reads.window import Window
from spanledger_workers.clock import HOUR, seconds
from spanledger_workers.current import process
from spanledger_workers.evaluation.rules import Rule
from spanledger_workers.ticks import Did, tick


@tick("coverage", 60)
def coverage() -> Did:
    """Count again the windows of the last hour, in which jobs may still end."""
    rules = process.documents().rules
    return {"windows": cover(process.store, rules, process.clock())}


def cover(store: Client, rules: Sequence[Rule], now: int) -> int:
    """Count and keep the coverage of every rule; returns the number of rows."""
    step = seconds(WINDOW_S)
    window = Window((now - HOUR) // step * step, now)
    rows = [
        row
        for rule in rules
        if not rule.unknown_filters()
        for row in count_coverage(
            store, project=rule.project, evaluator=rule.name, wanted=rule.filter, window=window, now=now
        )
    ]
    insert_coverage(store, rows)
    return len(rows)
