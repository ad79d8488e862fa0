"""One span's record in; panels about its cost, its scores, how it was served and where it came from out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from spanledger_dashboards.parts.basic import Child, Children, Column, badge, facts, link, panel, share, table
from spanledger_dashboards.text import NONE, count, decimal, duration, line, percent, usd_exact, when
from spanledger_dashboards.view import View

Record = Mapping[str, Any]

_BUCKETS = (
    ("Input", "input_tokens", "cost_input"),
    ("Read from the provider's cache", "cache_read_tokens", "cost_cache_read"),
    ("Written to it, 5 minutes", "cache_write_tokens", "cost_cache_write"),
    ("Written to it, 1 hour", "cache_write_1h_tokens", ""),
    ("Output", "output_tokens", "cost_output"),
    ("Reasoning", "reasoning_tokens", "cost_reasoning"),
    ("Audio in", "input_audio_tokens", ""),
    ("Audio out", "output_audio_tokens", ""),
    ("Images in, as tokens", "input_image_tokens", ""),
    ("Images out, as tokens", "output_image_tokens", ""),
    ("Web searches", "web_searches", ""),
    ("Images", "image_units", "cost_other"),
)


def cost_panel(record: Record) -> Component:
    """Tokens and cost by bucket; the buckets are disjoint and add up to the total."""
    rows = [
        [name, count(record[tokens]) if record[tokens] is not None else NONE, usd_exact(record[cost]) if cost and record[cost] is not None else ""]
        for name, tokens, cost in _BUCKETS
        if record[tokens] is not None or (cost and record[cost])
    ]  # fmt: skip
    if not rows and not record["billable"]:
        return panel("Cost", html.P(_why_free(record), className="about"))
    body: list[Child] = [
        table([Column("Bucket"), Column("Tokens", number=True), Column("USD", number=True)], rows,
              label="Tokens and cost by bucket", foot=["Total", "", _total(record)]),
        facts([
            ("Priced by", " ".join(filter(None, (record["price_source"], record["price_version"])))),
            ("Share of its pool by", record.get("cost_basis", "").replace("_", " ")),
            ("A vendor would charge", usd_exact(record["list_cost"]) if record.get("list_cost") is not None else ""),
            *_story(record),
            ("Said by the provider", usd_exact(record["cost_reported"]) if record["cost_reported"] is not None else ""),
            ("Saved by the cache", usd_exact(record["cost_saved"]) if record["cost_saved"] is not None else ""),
            ("Usage", "estimated: the provider sent none" if record["usage_estimated"] else ""),
            ("Billing", "" if record["billable"] else _why_free(record)),
        ]),
    ]  # fmt: skip
    return panel("Cost", body)


def _story(record: Record) -> list[tuple[str, str]]:
    """The corrections of its price, oldest first: what it cost before, who changed it, when and why."""
    found: list[tuple[str, str]] = []
    for step in record.get("repricings") or ():
        before = "unpriced" if step["old_cost"] is None else f"${step['old_cost']}"
        found.append(
            (
                f"Until {when(step['at'] * 10**6)[:16]}",
                line(f"{before}; {step['author']}: {step['note']}", 200),
            )
        )
    return found


def _total(record: Record) -> str:
    if record["cost_total"] is not None:
        return usd_exact(record["cost_total"])
    return "unpriced: no price is known" if record["billable"] else "counted on another span"


def _why_free(record: Record) -> str:
    return (
        line(record["billable_reason"], 120)
        or "Not a billable model call: its cost, if any, stands on the spans below it."
    )


def scores_panel(view: View, scores: Sequence[Record]) -> Component:
    """Verdicts about the span and its trace, each with its judge, its status and its reasons."""
    if not scores:
        return panel(
            "Scores",
            html.P(
                "Not scored. An evaluator samples calls of its route; your code and people can score any call.",
                className="about",
            ),
        )
    return panel("Scores", [_score(view, score) for score in scores])


def _score(view: View, score: Record) -> Component:
    good = score["value"] is not None
    value: Children = (
        html.Strong(decimal(score["value"]), className="n") if good else badge(score["status"], "amber")
    )
    bar = share(score["value"]) if good and 0 <= score["value"] <= 1 else None
    judge = " · ".join(
        line(part, 60)
        for part in (score["source"], score["scorer"], score["judge_id"], score["author"])
        if part
    )
    head = html.Div(
        [link(score["name"], view.href("/scores", score=score["name"])), bar, value], className="score-head"
    )
    parts: list[Component] = [
        head,
        html.Div(judge + (" · whole trace" if not score["span"] else ""), className="about"),
    ]
    if score["label"]:
        parts.insert(1, badge(score["label"], "blue"))
    if score["explanation"]:
        parts.append(html.Div(line(score["explanation"], 600), className="explanation", dir="auto"))
    return html.Div(parts, className="score")


def serving_panel(view: View, record: Record) -> Component:
    """What cache, route and fallback decided, each with its reason."""
    route = link(record["route"], view.href("/routes", route=record["route"])) if record["route"] else ""
    pairs: list[tuple[str, Children]] = [
        ("Cache", _cache(record)),
        ("Route", route),
        ("Upstream", line(record["upstream"], 80)),
        ("Attempt", str(record["attempt"]) if record["attempt"] else ""),
        ("Fallback", [badge("fallback", "amber"), f" instead of {line(record['fallback_from'], 80)}"] if record["fallback_from"] else ""),
        ("Why", line(record["route_reason"], 200)),
        ("Server", line(record["server_address"], 80)),
        ("GPU pool", line(record["gpu_pool"], 60)),
        ("GPU time", f"{record['gpu_seconds']:.3f} s" if record["gpu_seconds"] is not None else ""),
        ("Prefill / decode", f"{duration(record['prefill_ns'])} / {duration(record['decode_ns'])}" if record["prefill_ns"] is not None else ""),
        ("Queue", duration(record["queue_ns"]) if record["queue_ns"] is not None else ""),
        ("Engine", _engine(record)),
        ("Guard", line(record["guard_action"], 80)),
        ("Redactions", count(record["redactions"]) if record["redactions"] else ""),
    ]  # fmt: skip
    if not any(value for _, value in pairs):
        return panel(
            "Serving",
            html.P(
                "Recorded without the gateway: no cache, route or fallback was involved.", className="about"
            ),
        )
    return panel("Serving", facts(pairs))


def _cache(record: Record) -> Children:
    if record["cache"] == "exact":
        return [
            badge("exact hit", "green"),
            f" {duration(record['cache_age_ns'])} old" if record["cache_age_ns"] is not None else "",
        ]
    if record["cache"] == "semantic":
        return [
            badge("semantic hit", "green"),
            f" similarity {decimal(record['cache_similarity'])}, {duration(record['cache_age_ns'])} old",
        ]
    return {"miss": "miss: asked the upstream", "off": "off for this call"}.get(record["cache"], "")


def _engine(record: Record) -> str:
    if record["engine_running"] is None:
        return ""
    kv = percent(record["engine_kv_usage"]) if record["engine_kv_usage"] is not None else NONE
    return f"{record['engine_running']} running, {count(record['engine_waiting'])} waiting, KV cache {kv}"


def facts_panel(view: View, record: Record) -> Component:
    """Who called, from where, with what settings."""

    def to(name: str) -> Children:
        return link(record[name], view.href("/calls", **{name: record[name]})) if record[name] else ""

    pairs: list[tuple[str, Children]] = [
        ("Time", f"{when(record['start_time'])} UTC"),
        ("Took", duration(record["duration_ns"])),
        ("First token", duration(record["ttft_ns"]) if record["ttft_ns"] is not None else ""),
        ("Provider", line(record["provider"], 60)),
        ("Model", line(record["response_model"] or record["request_model"], 80)),
        ("Finish reason", line(record["finish_reason"], 60)),
        ("Temperature", f"{record['temperature']:g}" if record["temperature"] is not None else ""),
        ("Max tokens", count(record["max_tokens"]) if record["max_tokens"] is not None else ""),
        ("Error", line(record["error_type"], 120)),
        ("Team", to("team")),
        ("Feature", to("feature")),
        ("Customer", to("customer_id")),
        ("User", link(record["user_id"], view.href("/users", user_id=record["user_id"])) if record["user_id"] else ""),
        ("Session", link(record["session_id"], view.href("/sessions", session_id=record["session_id"])) if record["session_id"] else ""),
        ("Key", to("key_id")),
        ("Prompt", f"{line(record['prompt_name'], 60)} v{record['prompt_version']} {record['prompt_label']}" if record["prompt_name"] else ""),
        ("Experiment", line(record["experiment"], 60)),
        ("Purpose", line(record["purpose"], 40)),
        ("Environment", to("environment")),
        ("Service", " ".join(filter(None, (line(record["service"], 60), line(record["service_version"], 40))))),
        ("Recorded by", " · ".join(filter(None, (line(record["sdk"], 60), line(record["scope"], 60), line(record["dialect"], 30))))),
        ("Tags", ", ".join(line(tag, 40) for tag in record["tags"])),
    ]  # fmt: skip
    return panel("Facts", facts(pairs))
