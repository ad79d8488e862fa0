"""What counts as a call: the conditions on ``spans`` that several reads share."""

from __future__ import annotations

from spanledger.semconv import REASON_REQUEST

CALLS = f"(billable OR (status = 'error' AND billable_reason = '{REASON_REQUEST}'))"
"""A call as its user met it: each distinct model call, and each request that failed before any model answered
(a refusal by a budget, every target down). The two are disjoint and only the first carry cost."""
