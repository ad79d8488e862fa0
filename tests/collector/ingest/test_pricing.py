"""A call that failed: what its provider refused costs nothing, what may have been answered is not known to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from spanledger.prices import PriceTable
from spanledger_collector.ingest.pricing import price
from spanledger_collector.ingest.rows import Span


def failed(**columns: Any) -> Span:
    row = {"billable": True, "status": "error", "start_time": 1, "request_model": "gpt-4o", **columns}
    return Span(row, None)


@pytest.mark.parametrize(
    "told",
    [
        {"error_type": "openai.RateLimitError"},
        {"error_type": "400"},
        {"error_type": "invalid_api_key"},
        {"status_message": "Error code: 429 - Rate limit reached for requests. Please slow down."},
        {"error_type": "InternalServerError", "status_message": "Error code: 500"},
    ],
)
def test_refused_request_costs_nothing_and_is_no_warning(told: dict[str, str]) -> None:
    span = failed(**told)
    assert price(span, PriceTable())
    assert (span.row["cost_total"], span.row["price_source"]) == (Decimal(0), "refused")


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"error_type": "APITimeoutError"},
        {"error_type": "openai.APIConnectionError", "status_message": "Connection error."},
        {"error_type": "504"},
        {"error_type": "asyncio.CancelledError"},
        {"error_type": "ReadError", "status_message": "peer closed without sending complete message body"},
        {"error_type": "ValueError", "output": "[...]"},
        {"error_type": "ValueError", "ttft_ns": 5},
        {"error_type": "RateLimitError", "status": "cut"},
    ],
)
def test_failed_call_that_may_have_been_answered_has_no_known_cost(told: dict[str, Any]) -> None:
    span = failed(**told)
    assert price(span, PriceTable()), "without usage there is nothing to price, so nothing to warn of"
    assert "cost_total" not in span.row
