"""What a person does on a page in; what was done, or why not, in words out. Everything done is an event or a score."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping

from dash.development.base_component import Component

from spanledger_collector.store import actions
from spanledger_collector.store.clickhouse import EngineError
from spanledger_collector.store.kept_answers import KeptAnswersAwayError
from spanledger_collector.store.reads.cache_checks import CHECK
from spanledger_collector.store.registry.errors import ConflictError, DocumentError
from spanledger_collector.store.registry.plan import Draft
from spanledger_collector.store.registry.registry import Registry

from . import finance_acting
from .here import here
from .parts.acting import read_key
from .parts.basic import notice
from .text import line
from .view import View

log = logging.getLogger(__name__)
HOUR_NS = 3_600_000_000_000
MAX_HOURS = 31 * 24

Given = Mapping[str, str]
Do = Callable[[Registry, str, str, Given, int], str]
"""The registry (and by it the store), the project, who does it, what and with which fields, and now (ns); words out.

Raises ValueError, with words for the reader, for what cannot be done.
"""

_TRACE, _SPAN = re.compile(r"[0-9a-f]{32}"), re.compile(r"([0-9a-f]{16})?")


async def act(view: View, key: str, fields: Mapping[str, str]) -> Component:
    """Do what a button says, if this person may; the key comes from a browser and is believed in nothing."""
    editor, who = here().store.editor, here().viewer.key_of(view.project)
    if editor is None or who is None or not here().viewer.may_edit(view.project):
        return notice("Your key may not change anything here.", "red")
    try:
        action, of = read_key(key)
        do = ACTIONS[action]
        given = {**{name: text.strip()[:2000] for name, text in fields.items()}, **of}
        told = await asyncio.to_thread(do, editor, view.project, f"key {who.id}", given, time.time_ns())
    except KeyError:
        return notice("This page is older than the server: load it again.", "red")
    except ValueError as wrong:
        return notice(line(str(wrong), 400), "red")
    except DocumentError as wrong:
        return notice("; ".join(line(str(problem), 200) for problem in wrong.problems[:5]), "red")
    except ConflictError:
        return notice("There is a document of this name already: change it in the registry.", "red")
    except EngineError:
        log.exception("an action failed")
        return notice("The store did not take it. Check that the engine is up, then try again.", "red")
    return notice(told, "green")


def _acknowledge(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    actions.acknowledge(registry.client, project=project, dedup_key=given["alert"], author=author, now=now, reason=given.get("why", ""))  # fmt: skip
    return "Acknowledged: it is not told again while it fires; its end is."


def _silence(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    hours = given["hours"].removesuffix(" h")
    if not hours.isdecimal() or not 0 < int(hours) <= MAX_HOURS:
        raise ValueError(f"A silence lasts 1 to {MAX_HOURS} hours.")
    until = now + int(hours) * HOUR_NS
    actions.silence(registry.client, project=project, dedup_key=given["alert"], until=until, author=author, now=now, reason=given.get("why", ""))  # fmt: skip
    return f"Silenced for {hours} h: nothing is sent of it. It stands in the trail all the same."


def _unsilence(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    actions.end_silence(registry.client, project=project, dedup_key=given["alert"], author=author, now=now)
    return "It is told again from now on."


def _verdict(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    name = given.get("name", "")
    if not name:
        raise ValueError("Name the score, such as helpful.")
    good = given["verdict"] == "pass"
    _say(registry, project, author, given, now, name=name, value=float(good), comment=given.get("why", ""))
    return f"Noted: {name} {'pass' if good else 'fail'}. Judges are measured against people's scores of their name."


def _mark(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    dataset = given.get("dataset", "")
    if not dataset:
        raise ValueError("Name the dataset.")
    _say(
        registry,
        project,
        author,
        given,
        now,
        name=actions.MARK,
        label=dataset,
        comment=given.get("reference", ""),
    )
    return f"Marked. spanledger eval dataset marked {dataset} --name {dataset} makes cases of all calls marked so."


def _save_rule(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    if not given.get("name"):
        raise ValueError("Name the rule.")
    document: dict[str, object] = {
        "metric": given["metric"],
        "op": given["op"],
        "threshold": float(given["threshold"]),
        "window_s": int(given["window_s"]),
        "min_samples": int(given["min_samples"]),
        "channels": [word for word in given.get("channels", "").replace(",", " ").split() if word],
    }
    if given.get("dimension"):
        document["scope"] = {given["dimension"]: given["value"]}
    draft = Draft(kind="alert", name=given["name"], document=document, base_version=0)
    registry.put(project, draft, author, given.get("why", ""))
    return f"Saved as alert {given['name']}. Workers watch it from now on."


def _say(
    registry: Registry, project: str, author: str, given: Given, now: int,
    *, name: str, value: float | None = None, label: str = "", comment: str = "",
) -> None:  # fmt: skip
    trace, span = given["trace"], given["span"]
    if not _TRACE.fullmatch(trace) or not _SPAN.fullmatch(span):
        raise ValueError("There is no such call.")
    actions.judge_by_hand(
        registry.client, project=project, trace=trace, span=span, name=name, value=value, label=label, comment=comment,
        author=author, now=now,
    )  # fmt: skip


def _cache_right(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    _say(registry, project, author, given, now, name=CHECK, value=1.0)
    return "Noted as right."


def _cache_wrong(registry: Registry, project: str, author: str, given: Given, now: int) -> str:
    """First the entry: a wrong answer that is still served is worse than a verdict that has to be given again."""
    kept, entry = here().store.kept, given["entry"]
    try:
        dropped = kept is not None and bool(entry) and kept.drop(project, entry, "wrong")
    except KeptAnswersAwayError as away:
        raise ValueError(f"{away}; the entry may still be served: try again") from away
    _say(registry, project, author, given, now, name=CHECK, value=0.0)
    if not entry:  # a replay's: nothing was kept
        return "Noted as wrong."
    return (
        "Noted as wrong, and the entry is gone." if dropped else "Noted as wrong; the entry was gone already."
    )


ACTIONS: dict[str, Do] = {
    "cache_right": _cache_right,
    "cache_wrong": _cache_wrong,
    "acknowledge": _acknowledge,
    "silence": _silence,
    "unsilence": _unsilence,
    "verdict": _verdict,
    "mark": _mark,
    "save_rule": _save_rule,
    "accept_finding": finance_acting.accept_finding,
    "withdraw_import": finance_acting.withdraw_import,
    "close_month": finance_acting.close_month,
    "reopen_month": finance_acting.reopen_month,
}
