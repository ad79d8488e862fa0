"""What a page counts as a call: what was billed, and what failed before any model answered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spanledger.semconv import REASON_REQUEST
from spanledger_collector.store.reads.calls import CallFilter, calls
from spanledger_collector.store.reads.overview import totals
from spanledger_collector.store.reads.window import HOUR, Window
from tests.collector.rows import NOON, call, insert
from tests.stores import Store

WINDOW = Window(NOON - HOUR, NOON + HOUR)


@pytest.mark.clickhouse
def test_a_request_that_no_model_answered_counts_as_a_failed_call_and_costs_nothing(store: Store) -> None:
    request: dict[str, Any] = {"billable": False, "billable_reason": REASON_REQUEST, "cost_total": None}
    rows = [
        call(1),
        call(2, status="ok", **request),  # the request above an attempt that is billed as call 1
        call(3, status="error", error_type="budget_exceeded", **request),
        call(4, cost_total=None),
    ]
    insert(store.client, *rows)

    found = totals(store.client, "p", WINDOW)

    assert (found.calls, found.errors, found.unpriced) == (3, 1, 1)
    assert found.cost == Decimal("0.001")
    listed = calls(store.client, "p", WINDOW, CallFilter())
    assert sorted(int(line["trace"], 16) for line in listed) == [1, 3, 4]
