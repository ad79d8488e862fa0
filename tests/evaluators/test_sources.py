"""Datasets and calibration from a collector: what its API answers in, cases and rates out."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest

from spanledger_evaluators import Case
from spanledger_evaluators.calibrating import of_collector, report
from spanledger_evaluators.datasets import DatasetError
from spanledger_evaluators.server import Collector, CollectorError
from spanledger_evaluators.settings import EvalSettings
from spanledger_evaluators.sources import from_calls, load, marked_calls, with_splits

T = TypeVar("T")
Row = dict[str, Any]


def asked(answer: Callable[[httpx.Request], httpx.Response], ask: Callable[[Collector], Awaitable[T]]) -> T:
    async def go() -> T:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            return await ask(Collector(EvalSettings(key="sl_x"), client))

    return asyncio.run(go())


def lines(*rows: Row) -> httpx.Response:
    return httpx.Response(200, text="".join(f"{json.dumps(row)}\n" for row in rows))


def span(trace: str, name: str, parent: str = "", **more: Any) -> Row:
    made: Row = {
        "trace_id": trace,
        "span_id": name,
        "parent_span_id": parent,
        "start_time": 1,
        "operation": "",
    }
    return {**made, "input": "", "output": "", "documents": "", "billable": False, **more}


def trace(name: str) -> list[Row]:
    """A root without text, a retrieval and a model call below it."""
    documents = json.dumps([{"id": "d", "content": f"source of {name}"}])
    call = {"operation": "chat", "input": f"question {name}", "output": f"answer {name}", "billable": True}
    return [
        span(name, "root"),
        span(name, "search", "root", start_time=2, documents=documents),
        span(name, "call", "root", start_time=3, route="r", **call),
    ]


def collector_of(traces: dict[str, list[Row]], marks: list[Row]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        query = request.url.params
        if request.url.path == "/api/export/scores":
            return lines(*marks)
        if "trace_id" in query:
            return lines(*traces[query["trace_id"]])
        assert query["route"] == "r"
        return lines(*(row for spans in traces.values() for row in spans if row["billable"]))

    return answer


def test_calls_become_cases_with_what_was_retrieved_for_them() -> None:
    traces = {name: trace(name) for name in ("a", "b", "c")}
    cases = asked(collector_of(traces, []), lambda it: from_calls(it, {"route": "r"}, limit=2))
    assert [(case.question, case.answer, case.contexts) for case in cases] == [
        ("question a", "answer a", ("source of a",)),
        ("question b", "answer b", ("source of b",)),
    ]
    assert cases[0].metadata["trace_id"] == "a"
    assert cases[0].id == "a:call"


def test_a_marked_call_brings_its_reference_and_a_marked_root_its_answer() -> None:
    marks = [
        {"trace_id": "a", "span_id": "call", "label": "refunds", "explanation": "five days"},
        {"trace_id": "b", "span_id": "root", "label": "refunds", "explanation": ""},
        {"trace_id": "c", "span_id": "call", "label": "others", "explanation": ""},
    ]
    traces = {name: trace(name) for name in ("a", "b", "c")}
    cases = asked(collector_of(traces, marks), lambda it: marked_calls(it, "refunds", {}, limit=10))
    assert [(case.answer, case.reference) for case in cases] == [("answer a", "five days"), ("answer b", "")]


def test_splits_stay_with_the_case_and_keep_clusters_together() -> None:
    cases = [Case(id=str(number), cluster=f"c{number // 3}") for number in range(3000)]
    found = with_splits(cases, {"train": 0.8, "test": 0.2})
    share = sum(case.metadata["split"] == "train" for case in found) / len(found)
    assert 0.75 < share < 0.85
    assert len({(case.cluster, case.metadata["split"]) for case in found}) == 1000
    assert with_splits(cases[:50], {"train": 0.8, "test": 0.2}) == found[:50]
    with pytest.raises(DatasetError, match="add up to 1"):
        with_splits(cases, {"train": 0.8})


def test_refusals_of_the_collector_say_what_to_do() -> None:
    refused = httpx.Response(403, json={"title": "Forbidden", "detail": "the key lacks scope read"})
    with pytest.raises(CollectorError, match=r"403: the key lacks scope read \(SPANLEDGER_KEY\)"):
        asked(lambda _: refused, lambda it: load("dataset:x", it))

    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(CollectorError, match=r"no answer .*SPANLEDGER_ENDPOINT"):
        asked(away, lambda it: load("dataset:x", it))
    empty = httpx.Response(200, json={"document": {"cases": []}})
    with pytest.raises(DatasetError, match="holds no case"):
        asked(lambda _: empty, lambda it: load("dataset:x@3", it))


def test_a_judge_is_calibrated_by_peoples_scores_by_slice_and_month() -> None:
    dice = random.Random(5)
    judge: list[Row] = []
    people: list[Row] = []
    for number in range(400):
        good = dice.random() < 0.7
        said = good if dice.random() < 0.9 else not good
        subject = {
            "trace_id": f"t{number}",
            "span_id": "s",
            "label": "",
            "time": (1_700_000_000 + number * 20_000) * 10**9,
        }
        judge.append({**subject, "value": float(said), "route": "a" if number % 2 else "b"})
        if number % 3 == 0:
            people.append({**subject, "value": None, "label": "pass" if good else "fail"})

    def answer(request: httpx.Request) -> httpx.Response:
        return lines(*(judge if request.url.params["source"] == "eval" else people))

    found = asked(answer, lambda it: of_collector(it, "helpful", {"since": "90d"}, threshold=0.5))
    told = report(found, 0.5)
    assert "134 of 400 judged answers have a label" in told
    for start in ("| all | 134 |", "| a | 67 |", "| b | 67 |", "| 2023-11 |", "| 2024-02 |"):
        assert start in told
    corrected = [line for line in told.splitlines() if line.startswith("Pass rate by")]
    for line in corrected:
        value, low, high = (
            float(part)
            for part in line.replace("[", "").replace("]", "").replace(",", "").split(": ")[1].split()[:3]
        )
        assert low < 0.7 < high
        assert abs(value - 0.7) < 0.08
    assert len(corrected) == 2
