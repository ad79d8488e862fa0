"""A planner at a thousand calls a second: the CPU it takes, and whether it keeps up."""

from __future__ import annotations

import time
from dataclasses import fields
from datetime import UTC, datetime

from spanledger.records import CallRecord
from spanledger_collector.store.clickhouse import Client
from spanledger_workers.app import FAST, app
from spanledger_workers.clock import SECOND
from spanledger_workers.evaluation.handover import batches, job_message, rule_message
from spanledger_workers.evaluation.planning import SETTLE_NS, Planner
from spanledger_workers.evaluation.rules import Rule
from spanledger_workers.memory import connect_memory
from tests.benchmarks.report import Figure, at_least, at_most

PER_SECOND = 1000
TICK_S = 2
RULES = (
    Rule(
        project="bench",
        name="all",
        version=1,
        scorers=("groundedness",),
        filter={"operation": "chat"},
        rate=1.0,
    ),
    Rule(
        project="bench", name="some", version=1, scorers=("refusal",), filter={"route": "answers"}, rate=0.1
    ),
)


def planner(store: Client, redis_url: str, seconds: int) -> list[Figure]:
    """Plan ``seconds`` of traffic, stored beforehand, tick by tick as a worker would; all work but the store's is counted."""
    begin = time.time_ns() // SECOND * SECOND - seconds * SECOND
    for second in range(seconds):
        _insert(store, second, begin + second * SECOND)
    app.conf.update(broker_url=redis_url)
    slowest, planned = 0.0, 0
    work = Planner(store=store, redis=connect_memory(redis_url), hand_over=_hand_over)
    work.tick(RULES, begin)  # its first look: where to begin
    cpu = time.process_time()
    for tick in range(TICK_S, seconds + TICK_S, TICK_S):
        began = time.monotonic()
        planned += work.tick(RULES, begin + tick * SECOND + SETTLE_NS)
        slowest = max(slowest, time.monotonic() - began)
    cpu = time.process_time() - cpu
    wanted = seconds * PER_SECOND
    return [
        at_most(f"planner at {PER_SECOND} calls/s: CPU of a core", 100 * cpu / seconds, 25, " %", 1),
        at_least("calls planned of those that came", 100 * min(planned, wanted) / wanted, 100, " %", 1),
        Figure("jobs planned (two rules)", str(planned)),
        at_most("slowest tick, s (a tick every 2 s)", slowest, TICK_S, " s"),
    ]


def _hand_over(rule: Rule, jobs: object) -> None:
    from spanledger_workers.tasks.scoring import score

    for batch in batches(jobs, 50):  # pyright: ignore[reportArgumentType]
        score.apply_async((rule_message(rule), [job_message(job) for job in batch]), queue=FAST)


def _insert(store: Client, second: int, at: int) -> None:
    names = [entry.name for entry in fields(CallRecord)]
    stamp = datetime.fromtimestamp(at // 10**6 / 1e3, UTC)
    rows: list[list[object]] = []
    for place in range(PER_SECOND):
        number = second * PER_SECOND + place + 1
        call = CallRecord(
            project="bench", trace_id=number.to_bytes(16), span_id=b"callcall", start_time=at + place,
            duration_ns=SECOND, name="chat", operation="chat", billable=True, route="answers", upstream="u",
            request_model="m",
        )  # fmt: skip
        rows.append([*(getattr(call, name) for name in names), stamp])
    store.insert("spans", rows, column_names=[*names, "inserted_at"])
