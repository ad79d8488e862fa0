"""`up --demo` shows the whole loop within three minutes: an incident, the switch, the return, a spent budget."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.stack import running, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
SHOWN_WITHIN_S = 180.0
EVENTS = """
    SELECT subject, state, title, message FROM events FINAL
    WHERE kind = {kind:String} ORDER BY events.time
"""
TEAMS = """
    SELECT team, uniqExact(user_id) AS users, sum(cost_total) AS cost FROM spans
    WHERE billable GROUP BY team ORDER BY team
"""
NESTED = """
    SELECT g.span_id FROM spans AS g INNER JOIN spans AS a ON a.trace_id = g.trace_id
    WHERE g.billable AND a.name = 'answer_question'
"""


def test_within_three_minutes_a_viewer_has_seen_the_whole_loop(tmp_path: Path) -> None:
    with running(tmp_path / "home", "--demo", SPANLEDGER_DEMO_DATA="own") as stack:
        began = time.monotonic()

        def left() -> float:
            return SHOWN_WITHIN_S - (time.monotonic() - began)

        stack.rows_until(20, "SELECT 1 FROM spans WHERE billable", 40)
        stack.rows_until(10, "SELECT 1 FROM scores WHERE status = 'ok'", 40)
        stack.rows_until(1, EVENTS, left(), kind="route_switch")
        stack.rows_until(1, EVENTS, left(), kind="budget_step")
        until(lambda: stack.said("[call refused] 429"), left(), "a call refused by the budget")
        switches = stack.rows_until(2, EVENTS, left(), kind="route_switch")
        print(f"all shown {time.monotonic() - began:.0f} s after the start (goal {SHOWN_WITHIN_S:g} s)")
        assert [event["state"] for event in switches[:2]] == ["fallback", "primary"]
        assert {event["subject"] for event in switches} == {"assistant"}
        told = stack.rows(TEAMS)
        assert [row["team"] for row in told] == ["research", "search", "support"]
        assert all(row["users"] >= 3 and row["cost"] > 0 for row in told)
        assert len(stack.rows(NESTED)) > 20
