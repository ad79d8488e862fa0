"""A field that is too long in, a shorter one with an explicit mark out; JSON stays JSON."""

from __future__ import annotations

from typing import Any, cast

import orjson

from spanledger import semconv, snapshot
from spanledger.span_facts import AttributeValue, SpanFacts

_ROUNDS = 12


def cut_fields(span: SpanFacts, limit: int) -> None:
    """Bring every attribute of a span, and every one of its events, to at most ``limit`` bytes."""
    facts, names = _cut_pairs(snapshot.decoded(span.attributes), limit)
    for _, _, pairs in span.events:
        shorter, more = _cut_pairs(dict(pairs), limit)
        names += more
        cast(dict[str, AttributeValue], pairs).update(shorter)
    if names:
        facts[semconv.TRUNCATED] = tuple(names)
        span.attributes = facts


def _cut_pairs(pairs: dict[str, AttributeValue], limit: int) -> tuple[dict[str, AttributeValue], list[str]]:
    facts, names = dict(pairs), list[str]()
    for name, value in pairs.items():
        was_cut = False
        if isinstance(value, str):
            facts[name], was_cut = cut(value, limit)
        elif isinstance(value, (tuple, list, dict)):
            facts[name], was_cut = cut_nested(value, limit)
        if was_cut:
            names.append(name)
    return facts, names


def mark(size: int) -> str:
    """What stands where text was cut; ``size`` is how long it was, in characters."""
    return f"…[truncated, {size} characters]"


def cut(value: str, limit: int) -> tuple[str, bool]:
    """A text of at most ``limit`` bytes of UTF-8, and whether it had to be cut.

    In JSON the longest texts are shortened, each with its mark, until the whole fits, so that a reader still
    finds a list of messages.
    """
    if len(value) * 4 <= limit or len(value.encode("utf-8", "replace")) <= limit:
        return value, False
    if value[0] in "[{":
        try:
            return _cut_json(orjson.loads(value), limit, len(value)), True
        except orjson.JSONDecodeError:
            pass
    return _cut_text(value, limit), True


def _cut_text(value: str, limit: int) -> str:
    note = mark(len(value))
    room = max(limit - len(note.encode()), 0)
    return value.encode("utf-8", "replace")[:room].decode("utf-8", "ignore") + note


def _cut_json(value: Any, limit: int, size: int) -> str:
    leaf = limit
    for _ in range(_ROUNDS):
        leaf //= 2
        shorter = orjson.dumps(_shorten(value, leaf)).decode()
        if len(shorter.encode()) <= limit:
            return shorter
    # Not its texts but their number is too much: what is left is the beginning, as one text.
    text = orjson.dumps(value).decode()
    return orjson.dumps([{"truncated": _cut_text(text, max(limit // 3, 1)), "characters": size}]).decode()


def _shorten(value: Any, leaf: int) -> Any:
    if isinstance(value, str):
        return value if len(value) * 4 <= leaf or len(value.encode()) <= leaf else _cut_text(value, leaf)
    if isinstance(value, list):
        return [_shorten(item, leaf) for item in cast(list[Any], value)]
    if isinstance(value, dict):
        return {key: _shorten(item, leaf) for key, item in cast(dict[str, Any], value).items()}
    return value


def cut_nested(value: Any, limit: int) -> tuple[Any, bool]:
    """A list or mapping attribute within the limit: texts shortened first, then items left out."""
    size = size_of(value)
    if size <= limit:
        return value, False
    if isinstance(value, dict):
        return {"truncated": mark(size)}, True
    items: list[Any] = list(value)
    while items and size_of(items) > limit:
        del items[len(items) // 2 :]
    return (*items, mark(size)), True


def size_of(value: Any) -> int:
    """About how many bytes an attribute value has."""
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, dict):
        return sum(len(str(k)) + size_of(v) for k, v in cast(dict[Any, Any], value).items())
    if isinstance(value, tuple | list):
        return sum(size_of(item) for item in cast(list[Any], value))
    return 8
