"""A call as its span recorded it in; the question and the partition that it had, as far as the record tells, out.

A span does not hold all that a request said. So whoever records a request names what is left out (`untold`), and a
call of which anything is missing is not compared with others: its partition would be a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson

from spanledger.serving.asks import Ask, Endpoint
from spanledger.serving.caching import DELIVERY
from spanledger.serving.protocols.values import Json
from spanledger.serving.semantic.question import VARIANTS, Question, partition
from spanledger.serving.snapshot import Route, SemanticRule

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_TURNS = ("messages", "input", "system", "instructions")
_RECORDED = DELIVERY.union(_LIMITS, _TURNS, ("temperature", "top_p", "seed"))
_PROMPT = "x-spanledger-prompt"
_UNRECORDED = frozenset(VARIANTS) - {_PROMPT}
_ENDPOINTS: Mapping[str, Endpoint] = {"chat": "chat", "messages": "messages", "responses": "responses"}


def untold(ask: Ask, headers: Mapping[str, str]) -> list[str]:
    """What a request says that changes its answer and stands on no span: names of fields and headers, sorted."""
    return sorted([*(ask.body.keys() - _RECORDED), *[name for name in _UNRECORDED if headers.get(name)]])


@dataclass(slots=True, frozen=True, kw_only=True)
class Recorded:
    """What a span says of a request. ``api`` and ``fields`` as ``spanledger.request.*`` told them."""

    api: str
    fields: str
    messages: str  # JSON: a list of {role, parts}, instructions first
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    prompt: str = ""  # name@version or name@label
    team: str = ""
    user: str = ""


def recorded_question(
    call: Recorded, route: Route, rule: SemanticRule, *, project: str, name: str
) -> Question | str:
    """The question and its partition, or why the call is left out.

    Calls of equal partitions here had equal partitions when they were made; the digests differ from a gateway's.

    Reasons: those of `partition`; ``untold`` (nobody recorded which API was asked), ``fields`` (not all that was
    asked is on record), ``unreadable`` (no prompt was recorded, or it was cut).
    """
    endpoint = _ENDPOINTS.get(call.api)
    if endpoint is None:
        return "untold"
    if call.fields not in ("", "[]"):
        return "fields"
    turns = _turns(call.messages)
    if turns is None:
        return "unreadable"
    body: Json = {
        "model": name,
        "input" if endpoint == "responses" else "messages": turns,
        "temperature": call.temperature,
        "top_p": call.top_p,
        "max_tokens": call.max_tokens,
        "seed": call.seed,
    }
    asked = Ask(endpoint, b"", body, name)
    headers = {_PROMPT: call.prompt}
    return partition(asked, route, rule, project=project, team=call.team, user=call.user, headers=headers)


def _turns(messages: str) -> list[Json] | None:
    """Recorded messages as a chat body's; None where they are none."""
    try:
        found: object = orjson.loads(messages)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, list) or not found:
        return None
    turns: list[Json] = []
    for turn in cast(list[Any], found):
        fields: Json = cast(Json, turn) if isinstance(turn, dict) else {}
        if not isinstance(parts := fields.get("parts"), list):
            return None
        rest = {name: value for name, value in fields.items() if name != "parts"}
        turns.append({**rest, "content": [_part(part) for part in cast(list[Any], parts)]})
    return turns


def _part(part: object) -> object:
    """A recorded part as one of a chat message."""
    fields: Json = cast(Json, part) if isinstance(part, dict) else {}
    if fields.get("type") != "text" or not isinstance(fields.get("content"), str):
        return cast(object, part)
    return {"type": "text", "text": fields["content"]}
