"""A span is stored once and a model call billed once, however often and in whatever groups they are told."""

from __future__ import annotations

import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.otlp import SpanData, body, chat

from .conftest import Pipeline, record

pytestmark = pytest.mark.clickhouse

CALL = Decimal("0.003500000")  # 1,000 tokens in, 100 out, of gpt-4o


def totals(pipeline: Pipeline) -> dict[str, Any]:
    (spans,) = pipeline.rows(
        "SELECT count() AS spans, sum(cost_total) AS cost, countIf(billable) AS calls FROM spans"
    )
    for table in ("cost_hour", "cost_day"):
        (rollup,) = pipeline.rows(f"SELECT sum(cost) AS cost, sum(calls) AS calls FROM {table}")  # noqa: S608
        assert (rollup["cost"], rollup["calls"]) == (spans["cost"] or 0, spans["calls"]), table
    for table in ("call_hour", "call_day"):
        (rollup,) = pipeline.rows(f"SELECT sumIf({table}.calls, billable) AS calls FROM {table}")  # noqa: S608
        assert rollup["calls"] == spans["calls"], table
    return spans


def test_resent_and_regrouped_spans_change_nothing(pipeline: Pipeline) -> None:
    spans = [SpanData(attributes=chat()) for _ in range(12)]
    pipeline.send(*spans)
    pipeline.store_all()
    before = totals(pipeline)
    pipeline.send(*spans)
    pipeline.store_all()
    pipeline.send(*spans[:5])
    pipeline.send(*spans[3:9], *spans[3:9])
    pipeline.store_all()
    for span in spans[8:]:
        pipeline.send(span)
        pipeline.store_all()
    assert totals(pipeline) == before == {"spans": 12, "calls": 12, "cost": 12 * CALL}


def test_span_with_a_start_nobody_can_mean_is_stored_once_too(pipeline: Pipeline) -> None:
    span = SpanData(attributes=chat(), start=5)
    for hours in (20, 10, 0):
        arrived = time.time_ns() - hours * 3600 * 10**9
        pipeline.spool.append(replace(record(body(span)), received_at=arrived)).result(10)
        pipeline.store_all()
    assert totals(pipeline)["spans"] == 1


def test_one_span_of_two_projects_is_two_spans(pipeline: Pipeline) -> None:
    span = SpanData(attributes=chat())
    pipeline.send(span, project="p")
    pipeline.send(span, project="q")
    pipeline.store_all()
    assert totals(pipeline)["calls"] == 2


def wrapped(**given: object) -> tuple[SpanData, SpanData]:
    """An instrumentation's span and, below it, the provider SDK's own of the same call."""
    outer = SpanData(attributes=chat(**given), scope="wrapper", duration_ns=9_000_000)
    inner = replace(
        SpanData(attributes=chat(**given), scope="sdk"), trace_id=outer.trace_id, start=outer.start + 1000
    )
    return outer, replace(inner, parent_span_id=outer.span_id)


@pytest.mark.parametrize("purpose", ["cache_check", "shadow"])
@pytest.mark.parametrize("order", ["one batch", "inner first", "outer first"])
def test_what_a_gateway_asks_because_of_a_call_is_a_call_of_its_own(
    pipeline: Pipeline, order: str, purpose: str
) -> None:
    """A client's span, the gateway's hit below it, and the same question asked again: the answers may be the same."""
    client, hit = wrapped()
    hit = replace(hit, attributes={**hit.attributes, "spanledger.cache": "semantic"})
    asked = SpanData(attributes=chat(spanledger__purpose=purpose), scope="sdk")
    asked = replace(
        asked,
        trace_id=hit.trace_id,
        parent_span_id=hit.span_id,
        start=hit.start + 2000,
        duration_ns=2_000_000,
    )
    batches = {
        "one batch": [[client, hit, asked]],
        "inner first": [[asked], [hit], [client]],
        "outer first": [[client], [hit], [asked]],
    }
    for batch in batches[order]:
        pipeline.send(*batch)
        pipeline.store_all()
    own = f"SELECT billable, cost_total FROM spans WHERE purpose = '{purpose}'"  # noqa: S608
    assert pipeline.rows(own) == [{"billable": True, "cost_total": CALL}]
    assert totals(pipeline)["calls"] == 2


@pytest.mark.parametrize("order", ["one batch", "inner first", "outer first"])
def test_call_told_by_wrapper_and_sdk_is_billed_once(pipeline: Pipeline, order: str) -> None:
    outer, inner = wrapped()
    batches = {
        "one batch": [[outer, inner]],
        "inner first": [[inner], [outer]],
        "outer first": [[outer], [inner]],
    }
    for batch in batches[order]:
        pipeline.send(*batch)
        pipeline.store_all()
    assert totals(pipeline) == {"spans": 2, "calls": 1, "cost": CALL}
    (refused,) = pipeline.rows("SELECT billable_reason, cost_total, span_id FROM spans WHERE NOT billable")
    assert (refused["billable_reason"], refused["cost_total"]) == ("same_usage_in_ancestry", None)
    assert refused["span_id"] == (inner if order == "outer first" else outer).span_id


@pytest.mark.parametrize("together", [True, False])
def test_span_without_tokens_around_a_call_with_them_is_no_call_of_its_own(
    pipeline: Pipeline, together: bool
) -> None:
    silent = {name: value for name, value in chat().items() if "usage" not in name}
    outer, inner = (
        SpanData(attributes=silent, scope="wrapper", duration_ns=9_000_000),
        SpanData(attributes=chat()),
    )
    step = SpanData(name="step", trace_id=outer.trace_id, parent_span_id=outer.span_id)
    inner = replace(inner, trace_id=outer.trace_id, parent_span_id=step.span_id)
    pipeline.send(inner, step)
    if not together:
        pipeline.store_all()
    pipeline.send(outer, SpanData(attributes=silent, scope="wrapper"))
    pipeline.store_all()
    assert totals(pipeline)["calls"] == 2, "the call, and another that only failed to tell its tokens"
    (refused,) = pipeline.rows("SELECT span_id FROM spans WHERE billable_reason = 'told_below'")
    assert refused["span_id"] == outer.span_id


@pytest.mark.parametrize("together", [True, False])
def test_one_response_id_in_two_traces_is_one_call(pipeline: Pipeline, together: bool) -> None:
    first = SpanData(attributes=chat(gen_ai__response__id="msg_1"), scope="wrapper")
    second = SpanData(attributes=chat(gen_ai__response__id="msg_1"), scope="sdk", start=first.start + 10)
    pipeline.send(first)
    if not together:
        pipeline.store_all()
    pipeline.send(second)
    pipeline.store_all()
    assert totals(pipeline)["calls"] == 1


@pytest.mark.parametrize("order", ["one batch", "inner first", "outer first"])
def test_two_instrumentations_that_did_not_see_each_other_tell_one_call(
    pipeline: Pipeline, order: str
) -> None:
    outer = SpanData(attributes=chat(), scope="wrapper", duration_ns=9_000_000)
    inner = SpanData(attributes=chat(gen_ai__response__id="msg_1"), scope="sdk", start=outer.start + 1000)
    batches = {
        "one batch": [[outer, inner]],
        "inner first": [[inner], [outer]],
        "outer first": [[outer], [inner]],
    }
    for batch in batches[order]:
        pipeline.send(*batch)
        pipeline.store_all()
    assert totals(pipeline)["calls"] == 1
    pipeline.send(SpanData(attributes=chat(), scope="wrapper", start=outer.start + 10**9))
    pipeline.store_all()
    assert totals(pipeline)["calls"] == 2, "another call with the same tokens"


def test_stand_in_that_repeats_one_response_id_does_not_hide_calls(pipeline: Pipeline) -> None:
    calls = [
        SpanData(attributes=chat(gen_ai__response__id="chatcmpl-1"), duration_ns=50_000_000) for _ in range(4)
    ]
    pipeline.send(*calls[:2])
    pipeline.store_all()
    pipeline.send(*calls[2:])
    pipeline.store_all()
    assert totals(pipeline)["calls"] == 4


def test_equal_calls_beside_each_other_are_two_calls(pipeline: Pipeline) -> None:
    parent = SpanData(name="work")
    calls = [
        SpanData(attributes=chat(), trace_id=parent.trace_id, parent_span_id=parent.span_id) for _ in range(2)
    ]
    pipeline.send(parent, *calls)
    pipeline.store_all()
    assert totals(pipeline)["calls"] == 2


def test_agent_that_repeats_its_calls_usage_carries_no_cost(pipeline: Pipeline) -> None:
    agent = SpanData(attributes=chat(gen_ai__operation__name="invoke_agent"))
    call = SpanData(attributes=chat(), trace_id=agent.trace_id, parent_span_id=agent.span_id)
    pipeline.send(agent, call)
    pipeline.store_all()
    assert totals(pipeline) == {"spans": 2, "calls": 1, "cost": CALL}


def test_span_that_says_it_is_not_billable_makes_way_for_the_one_that_is(pipeline: Pipeline) -> None:
    outer, inner = wrapped()
    pipeline.send(replace(outer, attributes={**outer.attributes, "spanledger.billable": False}))
    pipeline.store_all()
    pipeline.send(inner)
    pipeline.store_all()
    (row,) = pipeline.rows("SELECT span_id FROM spans WHERE billable")
    assert row["span_id"] == inner.span_id


def test_cache_hit_costs_nothing_and_says_what_it_saved(pipeline: Pipeline) -> None:
    pipeline.send(SpanData(attributes=chat(spanledger__cache="exact", spanledger__cost__saved="0.0035")))
    pipeline.store_all()
    (row,) = pipeline.rows("SELECT cost_total, cost_saved, billable FROM spans")
    assert (row["cost_total"], row["cost_saved"], row["billable"]) == (0, CALL, True)


def test_unknown_price_is_null_and_counted(pipeline: Pipeline) -> None:
    pipeline.send(SpanData(attributes=chat(gen_ai__request__model="nobody-knows")))
    pipeline.store_all()
    (row,) = pipeline.rows("SELECT cost_total, billable FROM spans")
    assert (row["cost_total"], row["billable"]) == (None, True)
    assert pipeline.metrics.registry.get_sample_value("spanledger_ingest_unpriced_calls_total") == 1
    (rollup,) = pipeline.rows("SELECT sum(unpriced) AS n FROM cost_hour")
    assert rollup["n"] == 1


def test_tenant_comes_from_the_key_unless_the_key_may_speak_for_others(pipeline: Pipeline) -> None:
    attributes = chat(spanledger__project="other", spanledger__team="theirs", spanledger__key_id="k9")
    pipeline.send(SpanData(attributes=attributes), project="mine", team="ours")
    pipeline.send(SpanData(attributes=attributes), project="mine", team="ours", trusted=True)
    pipeline.store_all()
    rows = pipeline.rows("SELECT project, team, key_id FROM spans ORDER BY project")
    assert [tuple(row.values()) for row in rows] == [("mine", "ours", "k"), ("other", "theirs", "k9")]
