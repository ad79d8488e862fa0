"""Any value in, the JSON text of how it is now out. Never raises, never waits, bounded in size."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Set
from typing import Any, cast

import orjson

from spanledger import semconv

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
_REPR = 2000
_DEPTH = 12
_ITEMS = 1000


def dumps(value: object) -> str:
    """JSON of a value; what JSON has no form for becomes text.

    >>> dumps({"question": "why?", "sources": {3}})
    '{"question":"why?","sources":[3]}'
    """
    return encoded(value).decode()


def encoded(value: object) -> bytes:
    """The same in UTF-8."""
    try:
        return orjson.dumps(value, _default)
    except (TypeError, ValueError):  # an int beyond 64 bits, a lone surrogate, a circle, keys of other types
        pass
    try:
        return orjson.dumps(value, _default, _OPTIONS)
    except (TypeError, ValueError, RecursionError):
        return orjson.dumps(_plain(value, 0), None, orjson.OPT_NON_STR_KEYS)


def decoded(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A span's attributes with every `spanledger.semconv.JSON_TEXTS` as text."""
    found = dict(facts)
    for name in semconv.JSON_TEXTS:
        if type(value := found.get(name)) is bytes:
            found[name] = value.decode("utf-8", "replace")
    return found


def _default(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    if dump is not None and not isinstance(value, type):
        return dump(mode="json")
    if isinstance(value, Set | tuple) or type(value).__name__ == "deque":
        return list(cast(Iterable[object], value))
    if isinstance(value, Mapping):
        return dict(cast(Mapping[object, object], value))
    if type(value).__name__ == "ndarray" or hasattr(value, "__array_interface__"):
        return orjson.loads(orjson.dumps(value, None, orjson.OPT_SERIALIZE_NUMPY))
    return text_of(value)


def text_of(value: object) -> str:
    """A short text for a value without a JSON form."""
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    if isinstance(value, type) or callable(value):
        return f"<{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}>"
    if type(value).__repr__ is object.__repr__ and type(value).__str__ is object.__str__:
        return f"<{type(value).__module__}.{type(value).__qualname__}>"  # no address: it says nothing
    try:
        text = str(value)
    except Exception:  # noqa: BLE001  an application's own __str__ may raise anything
        return f"<{type(value).__qualname__}>"
    return text if len(text) <= _REPR else f"{text[:_REPR]}…[cut, {len(text)} characters]"


def _plain(value: object, depth: int) -> Any:
    """The slow way: by hand, bounded in depth and breadth, so that any value ends."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else str(value)
    if depth >= _DEPTH:
        return "<too deep>"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        pairs = list(cast(Mapping[object, object], value).items())[:_ITEMS]
        return {_plain(str(key), 0): _plain(item, depth + 1) for key, item in pairs}
    if isinstance(value, list | tuple | Set):
        return [_plain(item, depth + 1) for item in list(cast(Iterable[object], value))[:_ITEMS]]
    return _plain(text_of(value), 0)
