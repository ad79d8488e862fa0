"""Believable traffic for the pages: a project's traces, scores and events, the same for the same seed."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from spanledger.records import CallRecord, Event, Score
from spanledger_collector.store.clickhouse import Client
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry

SECOND = 1_000_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND

MODELS = {
    # provider, USD per million input and output tokens, nanoseconds per output token
    "gpt-4o-2024-08-06": ("openai", Decimal("2.5"), Decimal(10), 14_000_000),
    "gpt-4o-mini": ("openai", Decimal("0.15"), Decimal("0.6"), 9_000_000),
    "claude-sonnet-4-5": ("anthropic", Decimal(3), Decimal(15), 16_000_000),
    "llama-3.3-70b": ("vllm", Decimal("0.4"), Decimal("0.6"), 22_000_000),
}
TEAMS = {"support": ("gpt-4o-2024-08-06", 6), "search": ("gpt-4o-mini", 9), "docs": ("claude-sonnet-4-5", 3), "platform": ("llama-3.3-70b", 4)}  # fmt: skip
QUESTIONS = (
    ("How long do refunds take?", "Refunds reach the card within five working days of approval."),
    ("Can I change the delivery address?", "Yes, until the parcel leaves the warehouse; after that the carrier can redirect it."),
    ("What does the warranty cover?", "Material and manufacturing faults for two years; wear and water damage are not covered."),
    ("Which plan includes single sign-on?", "Single sign-on is part of every plan, including the free one."),
    ("How do I export my data?", "Open Settings, choose Export, and pick CSV or Parquet; large exports arrive by mail."),
)  # fmt: skip


@dataclass
class Traffic:
    """Rows to insert."""

    spans: list[CallRecord] = field(default_factory=list[CallRecord])
    scores: list[Score] = field(default_factory=list[Score])
    events: list[Event] = field(default_factory=list[Event])

    def insert(self, client: Client) -> None:
        """Write every row."""
        for table, rows in (("spans", self.spans), ("scores", self.scores), ("events", self.events)):
            insert(client, table, rows)


def insert(
    client: Client, table: str, rows: Sequence[CallRecord] | Sequence[Score] | Sequence[Event]
) -> None:
    """Write records to their table."""
    if not rows:
        return
    names = [f.name for f in dataclasses.fields(rows[0])]
    client.insert(table, [[getattr(row, name) for name in names] for row in rows], column_names=names)


def traffic(
    now: int,
    *,
    project: str = "default",
    hours: float = 24,
    per_hour: int = 30,
    seed: int = 7,
    incident: bool = True,
) -> Traffic:
    """Calls of ``hours`` up to ``now`` (ns): four teams and models, RAG traces through a gateway, a quality incident
    with its switch and return, a slow hour, failures with fallback, cache hits, unpriced calls."""
    dice = random.Random(seed)
    made = Traffic()
    start = now - int(hours * HOUR)
    for index in range(int(hours * per_hour)):
        at = start + int((index + dice.random()) * HOUR / per_hour)
        if at < now - SECOND:
            _one(
                made,
                dice,
                project,
                at,
                bad=incident and now - int(0.3 * hours * HOUR) < at < now - int(0.2 * hours * HOUR),
            )
    _experiments(made, dice, project, now)
    if incident:
        _incident(made, project, now, hours)
    return made


def _one(made: Traffic, dice: random.Random, project: str, at: int, *, bad: bool) -> None:
    team = dice.choices(list(TEAMS), [weight for _, weight in TEAMS.values()])[0]
    model = TEAMS[team][0] if dice.random() < 0.85 else dice.choice(list(MODELS))
    provider, price_in, price_out, per_token = MODELS[model]
    question, answer = dice.choice(QUESTIONS)
    trace = dice.randbytes(16)
    out, given = dice.randint(24, 320), dice.randint(300, 2600)
    cached = int(given * 0.6) if dice.random() < 0.3 else 0
    ttft = int(dice.lognormvariate(0, 0.35) * 240 * 1e6)
    hit = dice.random() < 0.14
    failed = not hit and dice.random() < (0.12 if bad else 0.025)
    took = 3_000_000 if hit else ttft + out * per_token
    fell_back = failed and dice.random() < 0.7
    shared: dict[str, Any] = {
        "project": project, "team": team, "feature": {"support": "answers", "search": "rewrite", "docs": "draft"}.get(team, ""),
        "user_id": f"user-{dice.randint(1, 60):03d}", "session_id": f"session-{dice.randint(1, 200):04d}",
        "service": f"{team}-api", "environment": "production", "trace_id": trace, "sdk": "spanledger/0.1.0",
        "route": model.split("-20")[0],
    }  # fmt: skip
    root, gate = dice.randbytes(8), dice.randbytes(8)
    retrieval = dice.randint(20, 90) * 1_000_000
    messages = json.dumps([
        {"role": "system", "parts": [{"type": "text", "content": f"You answer for the {team} team. Use only the sources. Say so when they do not hold the answer."}]},
        {"role": "user", "parts": [{"type": "text", "content": question}]},
    ])  # fmt: skip
    documents = json.dumps([
        {"id": f"kb-{n}", "source": f"handbook/{team}/{n}.md", "content": text, "score": 0.9 - 0.1 * n, "updated_at": "2026-10-01", "version": "3"}
        for n, (_, text) in enumerate(dice.sample(QUESTIONS, 3))
    ])  # fmt: skip
    text = "I do not know, but probably within a year." if bad and dice.random() < 0.7 else answer
    reply = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": text}]}])
    attempts: list[CallRecord] = []
    begin = at + retrieval + 2_000_000
    if failed:
        attempts.append(CallRecord(**shared, span_id=dice.randbytes(8), parent_span_id=gate, start_time=begin, duration_ns=1_200_000_000, name=f"chat {model}", operation="chat", kind="client", status="error", error_type="RateLimitError", status_message="429 Too Many Requests: the provider's limit for this organisation is reached", provider=provider, request_model=model, upstream=provider, attempt=1, billable=not fell_back, input=messages))  # fmt: skip
        begin += 1_250_000_000
    if not failed or fell_back:
        unpriced = model == "llama-3.3-70b" and dice.random() < 0.2
        usage = {"input_tokens": given - cached, "cache_read_tokens": cached, "output_tokens": out}
        cost_in, cost_read, cost_out = (
            price_in * (given - cached) / 10**6,
            price_in * cached / 10**7,
            price_out * out / 10**6,
        )
        money: dict[str, Any] = {"cost_input": cost_in, "cost_cache_read": cost_read, "cost_output": cost_out, "cost_total": cost_in + cost_read + cost_out, "price_source": "genai-prices", "price_version": "2026-11-20"}  # fmt: skip
        if hit:
            money = {"cost_total": Decimal(0), "cost_saved": cost_in + cost_read + cost_out}
        if unpriced:
            money = {}
        attempts.append(CallRecord(**shared, **usage, **money, span_id=dice.randbytes(8), parent_span_id=gate, start_time=begin, duration_ns=took, ttft_ns=None if hit else ttft, streaming=not hit, name=f"chat {model}", operation="chat", kind="client", provider=provider, request_model=model, response_model=model, response_id=f"resp-{trace.hex()[:12]}", finish_reason="stop", temperature=0.2, max_tokens=1024, upstream="" if hit else ("backup" if fell_back else provider), attempt=0 if hit else len(attempts) + 1, cache="exact" if hit else "miss", cache_age_ns=400 * SECOND if hit else None, fallback_from=provider if fell_back else "", route_reason="primary answered 429" if fell_back else "", billable=True, input=messages, output=reply, documents=documents))  # fmt: skip
    _close(made, shared, question, text, attempts, (at, retrieval, begin, took), (root, gate), dice.randbytes(8), documents)  # fmt: skip
    if attempts[-1].status == "ok" and dice.random() < 0.5:
        _score(made, dice, attempts[-1], bad=text != answer)


def _close(
    made: Traffic, shared: dict[str, Any], question: str, text: str, attempts: list[CallRecord],
    times: tuple[int, int, int, int], ids: tuple[bytes, bytes], retrieval_id: bytes, documents: str,
) -> None:  # fmt: skip
    """The spans around the attempts: the application's, the retrieval's and the gateway's."""
    at, retrieval, begin, took = times
    root, gate = ids
    last = attempts[-1]
    ok = last.status == "ok"
    end = begin + (took if ok else 0)
    status: Any = last.status
    made.spans.append(CallRecord(**shared, span_id=root, start_time=at, duration_ns=end - at + 4_000_000, name=f"{shared['team']}.answer", kind="server", status=status, input=json.dumps({"question": question}), output=json.dumps(text)))  # fmt: skip
    made.spans.append(CallRecord(**shared, span_id=retrieval_id, parent_span_id=root, start_time=at + 1_000_000, duration_ns=retrieval, name="retrieval handbook", operation="retrieval", documents=documents, input=json.dumps(question)))  # fmt: skip
    made.spans.append(CallRecord(**shared, span_id=gate, parent_span_id=root, start_time=at + retrieval + 1_000_000, duration_ns=end - at - retrieval, name=f"gateway {last.request_model}", operation="chat", kind="server", status=status, provider=last.provider, request_model=last.request_model, billable_reason="the attempt below it is billed"))  # fmt: skip
    made.spans += attempts


def _score(made: Traffic, dice: random.Random, call: CallRecord, *, bad: bool) -> None:
    base = {"groundedness": 0.35 if bad else 0.9, "answer_relevance": 0.55 if bad else 0.85}
    for name, mean in base.items():
        value = min(1.0, max(0.0, dice.gauss(mean, 0.08)))
        failed = dice.random() < 0.03
        made.scores.append(Score(project=call.project, score_id=f"{name}-{call.span_id.hex()}", trace_id=call.trace_id, span_id=call.span_id, name=name, value=None if failed else round(value, 4), status="judge_error" if failed else "ok", explanation="" if failed else ("Two of three claims have no support in the sources." if bad else "Each claim is supported by source 1."), scorer=name, scorer_version="1", judge_id="" if name == "groundedness" else "openai/gpt-4o-mini@2026-01", evaluator="rag-quality", sample_rate=0.5, time=call.start_time, created_at=call.start_time + 20 * SECOND, route=call.route, upstream=call.upstream, request_model=call.request_model))  # fmt: skip
    if dice.random() < 0.3:
        good = dice.random() > (0.7 if bad else 0.12)
        made.scores.append(Score(project=call.project, score_id=f"thumb-{call.span_id.hex()}", trace_id=call.trace_id, span_id=call.span_id, name="thumbs_up", value=1.0 if good else 0.0, source="human", author="user", time=call.start_time, created_at=call.start_time + 90 * SECOND, route=call.route, upstream=call.upstream, request_model=call.request_model))  # fmt: skip


def _experiments(made: Traffic, dice: random.Random, project: str, now: int) -> None:
    """Two prompt versions on the same forty cases; the second grounds its answers less well."""
    for version, mean in ((6, 0.86), (7, 0.74)):
        for case in range(40):
            question, answer = QUESTIONS[case % len(QUESTIONS)]
            given = json.dumps(
                [{"role": "user", "parts": [{"type": "text", "content": f"{question} (case {case})"}]}]
            )
            reply = json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": answer}]}])
            call = CallRecord(project=project, team="docs", trace_id=dice.randbytes(16), span_id=dice.randbytes(8), start_time=now - (8 - version) * HOUR // 2 - case * SECOND, duration_ns=dice.randint(1, 3) * 10**9, name="chat gpt-4o-mini", operation="chat", provider="openai", request_model="gpt-4o-mini", response_model="gpt-4o-mini", input_tokens=300, output_tokens=40, billable=True, cost_total=Decimal("0.000069"), prompt_name="answer", prompt_version=version, experiment=f"prompt-v{version}", purpose="eval", input=given, output=reply)  # fmt: skip
            made.spans.append(call)
            value = min(1.0, max(0.0, dice.gauss(mean, 0.07)))
            made.scores.append(Score(project=project, score_id=f"x{version}-{case}-{project}", trace_id=call.trace_id, span_id=call.span_id, name="groundedness", value=value, scorer="groundedness", scorer_version="1", time=call.start_time, created_at=call.start_time + SECOND, request_model=call.request_model))  # fmt: skip


def _incident(made: Traffic, project: str, now: int, hours: float) -> None:
    unit = int(hours * HOUR)
    evidence = json.dumps({"score": "groundedness", "mean": 0.41, "interval": [0.35, 0.47], "floor": 0.7, "samples": 34, "window_s": 300})  # fmt: skip
    steps: list[tuple[float, dict[str, Any]]] = [
        (0.285, {"kind": "alert", "severity": "critical", "subject": "gpt-4o", "title": "Groundedness of gpt-4o is below its floor", "message": "Mean 0.41 over 34 answers of the last 5 minutes; the floor is 0.70.", "evidence": evidence, "dedup_key": "quality:gpt-4o", "state": "firing"}),
        (0.284, {"kind": "route_switch", "severity": "critical", "subject": "gpt-4o", "title": "gpt-4o switched to its fallback", "message": "Answers now come from claude-sonnet-4-5. 5 % of calls still go to the primary, to see whether it recovers.", "evidence": evidence, "state": "fallback"}),
        (0.19, {"kind": "route_switch", "severity": "info", "subject": "gpt-4o", "title": "gpt-4o is back on its primary", "message": "Mean 0.88 over 25 answers of the canary share.", "evidence": json.dumps({"score": "groundedness", "mean": 0.88, "samples": 25}), "state": "primary"}),
        (0.189, {"kind": "alert", "severity": "critical", "subject": "gpt-4o", "title": "Groundedness of gpt-4o has recovered", "dedup_key": "quality:gpt-4o", "state": "resolved"}),
        (0.12, {"kind": "budget_step", "severity": "warning", "subject": "support-month", "title": "Budget support-month has reached 80 %", "message": "$80.14 of $100.00 are spent; at the present rate it ends on 28 November.", "evidence": json.dumps({"spent": "80.14", "amount": "100.00", "share": 0.8014}), "state": "0.8"}),
        (0.4, {"kind": "config_change", "severity": "info", "subject": "route/gpt-4o", "title": "route gpt-4o changed to version 3", "message": "Quality floor raised to 0.70.", "author": "ana"}),
    ]  # fmt: skip
    for index, (share, told) in enumerate(steps):
        made.events.append(Event(project=project, event_id=f"{project}-{index}", time=now - int(share * unit), author=told.pop("author", "worker"), **told))  # fmt: skip


def configure(registry: Registry, project: str) -> None:
    """The documents that go with the traffic, one of them with a history."""
    drafts = [
        Draft(kind=kind, name=name, document=document)
        for kind, name, document in (
            ("upstream", "openai", {"base_url": "https://api.openai.com/v1", "key_env": "OPENAI_API_KEY"}),
            ("upstream", "anthropic", {"base_url": "https://api.anthropic.com", "protocol": "anthropic"}),
            ("upstream", "backup", {"base_url": "http://10.0.0.7:8000/v1", "protocol": "vllm", "gpu_pool": "h100", "allow_private": True}),
            ("route", "gpt-4o", {
                "targets": [{"upstream": "openai", "model": "gpt-4o-2024-08-06"}, {"upstream": "backup", "model": "llama-3.3-70b", "role": "fallback"}],
                "cache": {"exact": True, "ttl_s": 3600}, "quality": {"score": "groundedness", "floor": 0.65},
            }),
            ("budget", "support-month", {"amount": "12.00", "scope": {"team": "support"}}),
            ("budget", "everything-day", {"amount": "20.00", "period": "day", "block_at": None}),
            ("gpu_pool", "h100", {"hardware": "H100 80GB", "count": 2, "usd_per_hour": "2.49", "upstreams": ["backup"]}),
            ("evaluator", "rag-quality", {"scorers": ["groundedness"], "rate": 0.5, "filter": {"route": "gpt-4o"}}),
            ("dataset", "refunds", {"description": "Questions about refunds", "cases": [{"input": q, "expected": a} for q, a in QUESTIONS]}),
            ("alert", "slow", {"metric": "latency_p95_s", "op": ">", "threshold": 8}),
        )
    ]  # fmt: skip
    registry.apply(project, drafts, author="ana", note="first set-up")
    route = next(draft for draft in drafts if draft.kind == "route")
    stricter = {**route.document, "quality": {"score": "groundedness", "floor": 0.7}}
    registry.put(
        project,
        Draft(kind="route", name="gpt-4o", document=stricter),
        author="ben",
        note="0.65 let too much through",
    )
