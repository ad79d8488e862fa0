"""No request with one project's key reads or changes anything of another project."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from spanledger.records import CallRecord, Event, Score
from spanledger_collector.api.paging import cursor
from spanledger_collector.store.registry.plan import Draft
from tests.collector.rows import NOON, call, event, score

from .conftest import Ledger

pytestmark = pytest.mark.clickhouse

SECRET = "s3cr3t"
COST = Decimal("777.123456789")
TEXTS = [
    "team", "feature", "customer_id", "user_id", "session_id", "key_id", "name", "operation", "error_type",
    "provider", "request_model", "response_model", "response_id", "route", "upstream", "prompt_name",
    "experiment", "agent_name", "tool_name", "service", "environment", "input", "output", "documents",
]  # fmt: skip
MINE = 100


def rows(project: str, base: int, mark: str, cost: Decimal) -> Iterator[CallRecord | Score | Event]:
    for n in range(base, base + 5):
        texts: dict[str, Any] = {name: f"{mark} {name} {n}" for name in TEXTS}
        yield call(n, project, cost_total=cost, tags=[f"{mark} tag"], **texts)
        yield score(n, project, name=f"{mark} score", explanation=mark)
        yield event(n, project, title=mark, subject=f"{mark} subject")


@pytest.fixture(scope="module")
def both(shared_ledger: Ledger) -> Ledger:
    """Project ``p`` and its neighbour ``other``, full of secrets, with ids known to everybody."""
    ledger = replace(shared_ledger, project=f"p{uuid.uuid4().hex[:12]}")
    ledger.insert(*rows("p", MINE, "mine", Decimal(1)), *rows("other", 1, SECRET, COST))
    for project, mark in (("p", "mine"), ("other", SECRET)):
        draft = Draft(kind="budget", name="shared name", document={"amount": "5", "scope": {"team": mark}})
        ledger.registry.put(ledger.named(project), draft, author=mark, note=mark)
    return ledger


@pytest.fixture(scope="module")
def thief(both: Ledger) -> TestClient:
    return both.client("read", "ingest", "gateway", "admin")


IDS = st.integers(0, 6)
TRACES = st.one_of(IDS.map(lambda n: f"{n:032x}"), IDS.map(lambda n: f"{n + MINE:032x}"))
SPANS = st.one_of(IDS.map(lambda n: f"{n:016x}"), IDS.map(lambda n: f"{n + MINE:016x}"))
STARTS = st.integers(NOON - 10**9, NOON + 10 * 10**9)
CURSORS = st.one_of(
    st.tuples(STARTS, TRACES, SPANS).map(lambda key: cursor("newest", *key)),
    st.tuples(STARTS, TRACES, SPANS).map(lambda key: cursor("oldest", *key)),
    st.tuples(STARTS, st.sampled_from(["event-1", "score-2", ""])).map(lambda key: cursor(*key)),
    st.sampled_from(["last", "cost", "calls"]).flatmap(
        lambda order: st.sampled_from(["0", "5", "999999999999999999"]).map(
            lambda value: cursor(order, value, f"{SECRET} user_id 3")
        )
    ),
)
PLAIN = [
    "",
    "p",
    "other",
    "*",
    "shared name",
    "' OR 1=1 --",
    "{project:String}",
    "\\'",
    "%",
    "mine team 101",
    "\x00",
    "1) OR (1",
    "true",
    "newest",
    "oldest",
    "all",
    "roots",
    "calls",
    "last",
    "cost",
    "csv",
    "jsonl",
    "hour",
    "team",
    "user_id",
    "model",
    "1",
    "0.5",
    "100",
]
VALUES = st.one_of(
    st.sampled_from(PLAIN),
    st.sampled_from(TEXTS).flatmap(lambda name: IDS.map(lambda n: f"{SECRET} {name} {n}")),
    TRACES,
    SPANS,
    STARTS.map(str),
    CURSORS,
    st.text(max_size=8),
)


PARTS = st.one_of(TRACES, st.text("abc019", min_size=1, max_size=8), IDS.map(lambda n: f"{SECRET}{n}"))
"""Parts of a path: an empty one, or one with slashes, would be another path."""


@st.composite
def requests(draw: st.DrawFn, described: dict[str, Any], other: str) -> tuple[str, str, dict[str, Any]]:
    """A request to any path of the API, with parameters it has and values that are often the neighbour's."""
    path = draw(st.sampled_from(sorted(described["paths"])))
    method = draw(st.sampled_from(sorted(described["paths"][path])))
    operation = described["paths"][path][method]
    query: dict[str, Any] = {"since": str(NOON - 10**12), "until": str(NOON + 10**12)}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            kinds = {
                "trace_id": TRACES,
                "span_id": SPANS,
                "kind": st.just("budget"),
                "name": st.just("shared name"),
            }
            value = draw(kinds.get(parameter["name"], PARTS))
            path = path.replace("{" + parameter["name"] + "}", quote(value, safe=""))
        elif parameter["in"] == "query" and draw(st.integers(0, 4)) == 0:
            query[parameter["name"]] = draw(VALUES)
    if draw(st.integers(0, 9)) == 0:
        query["project"] = draw(st.sampled_from([other, "*", "default"]))
    known = {parameter["name"] for parameter in operation.get("parameters", ())}
    return method.upper(), path, {name: value for name, value in query.items() if name in known}


BODIES: dict[str, Any] = {
    "document": {"amount": "1"},
    "documents": [{"kind": "budget", "name": "shared name", "document": {"amount": "1"}}],
    "version": 1,
}


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_row_of_another_project_is_read_or_changed(
    both: Ledger, thief: TestClient, data: st.DataObject
) -> None:
    described = both.app.openapi()
    other = both.named("other")
    method, path, query = data.draw(requests(described, other))
    body = BODIES if method in ("PUT", "POST") and not path.endswith("/scores") else None
    if path.endswith("/scores") and method == "POST":
        body = {"scores": [{"trace_id": f"{1:032x}", "span_id": f"{1:016x}", "name": "n", "value": 1}]}
    answer = thief.request(method, path, params=query, json=body)
    assert answer.status_code < 500, answer.text
    asked = f"{path} {query}"
    assert SECRET not in answer.text or SECRET in asked, answer.text
    assert f"{SECRET} tag" not in answer.text
    assert str(COST)[:7] not in answer.text
    if query.get("project") in (other, "*", "default"):
        assert answer.status_code == 403


def test_the_neighbours_rows_are_untouched_and_its_own_key_sees_them(both: Ledger, thief: TestClient) -> None:
    del thief
    owner = both.client("read", project="other")
    window = {"since": str(NOON - 10**12), "until": str(NOON + 10**12)}
    assert len(owner.get("/api/calls", params=window).json()["calls"]) == 5
    assert len(owner.get("/api/scores", params=window).json()["scores"]) == 5
    (document,) = owner.get("/api/registry/budget").json()
    assert (document["version"], document["note"]) == (1, SECRET)


@pytest.mark.parametrize("path", ["calls", "scores", "events", "sessions", "users", "costs", "overview"])
def test_each_list_shows_the_own_rows_and_only_those(both: Ledger, thief: TestClient, path: str) -> None:
    by = {"by": "team"} if path == "costs" else {"step_s": 60} if path == "overview" else {}
    window = {"since": str(NOON - 10**12), "until": str(NOON + 10**12), **by}
    text = thief.get(f"/api/{path}", params=window).text
    assert "mine" in text
    assert SECRET not in text
