"""Playground: a prompt tried on several routes side by side, or a recorded call asked again."""

from __future__ import annotations

import re
from asyncio import gather
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from spanledger_collector.store.reads import traces
from spanledger_collector.store.registry.plan import Version
from spanledger_dashboards import playing
from spanledger_dashboards.documents import documents, history
from spanledger_dashboards.here import here, read
from spanledger_dashboards.pages.page import Page
from spanledger_dashboards.parts import filters
from spanledger_dashboards.parts.basic import badge, empty, facts, link, notice, page_title, panel
from spanledger_dashboards.parts.chat import block
from spanledger_dashboards.text import count, duration, line
from spanledger_dashboards.view import View

TARGETS, SYSTEM, MESSAGES, TEMPERATURE, MOST, KEY, RUN, SAID = (
    f"playground-{name}"
    for name in ("targets", "system", "messages", "temperature", "most", "key", "run", "said")
)
_HEX = re.compile(r"[0-9a-f]+")


async def render(view: View) -> Component:
    """The form; filled with a recorded call (``trace``, ``span``) or a prompt (``prompt``, ``version``)."""
    found, record, template = await gather(
        read(view, documents, ["route", "prompt"]), _recorded(view), _template(view)
    )
    routes = [version.name for version in found if version.kind == "route"]
    prompts = [version for version in found if version.kind == "prompt"]
    title = page_title("Playground", "Try a prompt on routes and models side by side. Calls go through the gateway: budgeted, cached and recorded as any other.")  # fmt: skip
    if not routes:
        return html.Div([title, empty("No route yet, in any time range", "A route names a model and who serves it.", 'spanledger apply routes.toml\n\n[route."gpt-4o"]\ntargets = [{ upstream = "openai", model = "gpt-4o" }]')], className="page")  # fmt: skip
    asked = str((record or {}).get("route") or "")
    chosen = [asked] if asked in routes else routes[:1]
    bar = filters.bar(view, *_prompt_controls(view, prompts))
    form = html.Div(_fields(view, routes, chosen, record, template), className="form")
    return html.Div(
        [title, bar, panel("Ask", form, wide=True), html.Div(id=SAID, role="status", className="page")],
        className="page",
    )


PAGE = Page("/playground", "Playground", render, "Quality")


@dataclass(frozen=True, slots=True)
class Asked:
    """The form as it was sent."""

    targets: list[str]
    system: str
    messages: str
    temperature: Any
    most: Any
    key: str


async def play(view: View, asked: Asked) -> Component:
    """Ask the routes and show what each said; what is wrong with the form is said instead."""
    gateway = here().store.gateway
    if gateway is None:
        return notice("This dashboard knows no gateway: set SPANLEDGER_GATEWAY_URL.", "red")
    own = gateway.project() == view.project and here().viewer.may_edit(view.project)
    key = asked.key or (gateway.key if own else "")
    if not key:
        return notice(
            "Give a key with scope gateway: the calls are made, budgeted and recorded with it.", "amber"
        )
    if not asked.targets:
        return notice("Choose a route.", "amber")
    try:
        messages = playing.read_messages(asked.messages)
    except ValueError as wrong:
        return notice(line(str(wrong), 300), "red")
    if asked.system.strip():
        messages = [{"role": "system", "content": asked.system}, *messages]
    given = {"temperature": asked.temperature, "max_tokens": asked.most}
    options = {name: value for name, value in given.items() if isinstance(value, int | float)}
    targets = [str(target) for target in asked.targets[: playing.MOST_TARGETS]]
    return results(view, await playing.tried(gateway, key, targets, messages, options))


def results(view: View, found: Sequence[playing.Tried]) -> Component:
    """The answers side by side."""
    return html.Div([_result(view, one) for one in found], className="side-by-side")


def _result(view: View, one: playing.Tried) -> Component:
    body = notice(line(one.error, 600), "red") if one.error else block(one.text or "(an empty answer)")
    about = facts(
        [
            ("Took", duration(one.duration_ns) if one.duration_ns else ""),
            ("Tokens", count(one.tokens) if one.tokens is not None else ""),
            ("Cost", f"${one.cost}" if one.cost else "unknown" if not one.error else ""),
            ("Cache", line(one.cache, 20)),
            ("Served by", line(one.upstream, 60)),
            (
                "Trace",
                link("open it", view.href(f"/traces/{one.trace_id}")) if _HEX.fullmatch(one.trace_id) else "",
            ),
        ]
    )
    return panel(line(one.target, 60), [body, about], actions=badge("failed", "red") if one.error else None)


def _prompt_controls(view: View, prompts: Sequence[Version]) -> list[Component]:
    controls = [filters.select(view, "prompt", "Start from prompt", [version.name for version in prompts])]
    named = next((version for version in prompts if version.name == view.get("prompt")), None)
    if named is not None:
        versions = [(str(number), f"version {number}") for number in range(named.version, 0, -1)][:50]
        controls.append(filters.select(view, "version", "Version", versions, str(named.version)))
    return controls


def _fields(
    view: View, routes: Sequence[str], chosen: Sequence[str], record: dict[str, Any] | None, template: str
) -> list[Component]:
    recorded = record or {}
    messages = template or playing.replayed(str(recorded.get("input") or ""))
    temperature, most = recorded.get("temperature"), recorded.get("max_tokens")
    own = here().store.gateway
    needs_key = own is None or not own.key or own.project() != view.project or not view.admin
    row = [
        dmc.MultiSelect(id=TARGETS, label="Routes", data=list(routes), value=list(chosen), maxValues=playing.MOST_TARGETS, searchable=True, size="xs", w=420),
        dmc.NumberInput(id=TEMPERATURE, label="Temperature", value="" if temperature is None else float(temperature), min=0, max=2, step=0.1, size="xs", w=120),
        dmc.NumberInput(id=MOST, label="Most tokens", value="" if most is None else int(most), min=1, size="xs", w=120),
        dmc.PasswordInput(id=KEY, label="Your key with scope gateway" if needs_key else "Another key", value="", size="xs", w=260, placeholder="sl_..." if needs_key else "the dashboard's own"),
    ]  # fmt: skip
    return [
        html.Div(row, className="filters"),
        dmc.Textarea(id=SYSTEM, label="System", value="", autosize=True, minRows=1, maxRows=8),
        dmc.Textarea(id=MESSAGES, label="Message, or a JSON list of messages", value=messages, autosize=True, minRows=4, maxRows=24),
        html.Button("Run", id=RUN, className="button primary", n_clicks=0),
    ]  # fmt: skip


async def _recorded(view: View) -> dict[str, Any] | None:
    trace, span = view.get("trace"), view.get("span")
    if len(trace) != 32 or len(span) != 16 or not _HEX.fullmatch(trace + span):
        return None
    found = await read(view, traces.span, trace, span)
    return None if found is None else dict(found)


async def _template(view: View) -> str:
    if not view.get("prompt"):
        return ""
    versions = await read(view, history, "prompt", view.get("prompt"))
    asked = next(
        (one for one in versions if str(one.version) == view.get("version")),
        versions[0] if versions else None,
    )
    template = asked.document.get("template", "") if asked else ""
    return template if isinstance(template, str) else playing.replayed_template(template)
