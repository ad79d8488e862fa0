"""A judge's text in; a validated verdict out, or the reason why it is none. Nothing is guessed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from spanledger_evaluators.contract import JudgeFailure

T = TypeVar("T", bound=BaseModel)
Check = Callable[[Any], None]
"""Raises ValueError when a verdict that fits its schema still cannot be meant (a wrong count)."""

_WHOLE_FENCE = re.compile(r"\s*```(?:json)?[ \t]*\n(.*?)\n?```\s*", re.DOTALL | re.IGNORECASE)


def read_verdict(text: str, schema: type[T], *, check: Check | None, unfence: bool) -> T:
    """The verdict that ``text`` states as one JSON object.

    ``unfence`` accepts a single code fence around the whole answer, for models that were asked in
    the prompt only. Raises JudgeFailure: ``no_verdict`` (empty), ``judge_error`` (no JSON object,
    JSON with prose, duplicate keys, cut off), ``invalid`` (does not fit the schema or the check).
    """
    if not text.strip():
        raise JudgeFailure("no_verdict", "the judge answered nothing")
    fenced = _WHOLE_FENCE.fullmatch(text) if unfence else None
    data = _parse(fenced[1] if fenced else text)
    try:
        # By way of JSON, where strict mode still lets a string name a member of an enumeration.
        verdict = schema.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise JudgeFailure("invalid", f"{where}: {first['msg']}"[:300]) from wrong
    if check is not None:
        try:
            check(verdict)
        except ValueError as wrong:
            raise JudgeFailure("invalid", str(wrong)[:300]) from wrong
    return verdict


@lru_cache(maxsize=256)
def response_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema in the strict form that servers want: closed objects, every property required.

    Made once for each model; do not change it.
    """
    return cast("dict[str, Any]", _closed(schema.model_json_schema()))


def _parse(text: str) -> dict[str, Any]:
    try:
        data: Any = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as wrong:
        raise JudgeFailure("judge_error", f"the judge's answer is no JSON: {wrong}") from wrong
    if not isinstance(data, dict):
        raise JudgeFailure("judge_error", "the judge's answer is no JSON object")
    return cast("dict[str, Any]", data)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise JudgeFailure("judge_error", "the judge's answer names a key twice")
    return found


def _no_constant(name: str) -> Any:
    raise JudgeFailure("invalid", f"the judge's answer holds {name}")


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(part) for part in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    made = {key: _closed(value) for key, value in cast("dict[str, Any]", node).items() if key != "default"}
    properties = made.get("properties")
    if made.get("type") == "object" and isinstance(properties, dict):
        made["additionalProperties"] = False
        made["required"] = list(cast("dict[str, Any]", properties))
    return made
