"""Plain JSON values in, stdlib dataclasses out (and back), driven by their annotations.

It knows exactly what the snapshot uses: str, int, float, bool, Decimal, datetime, Literal,
``X | None``, ``tuple[X, ...]``, ``dict[str, X]`` and dataclasses of these. A field named ``from_``
is spelled ``from`` in JSON.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


class DecodingError(ValueError):
    """A value does not fit its annotation; the message begins with its path."""


def decode(kind: type[T], value: object, path: str = "$") -> T:
    """Build a ``kind`` from JSON values; unknown fields are ignored, absent ones take their default.

    Raises:
        DecodingError: a value has the wrong type, or a field without default is absent.
    """
    return cast(T, _decode(kind, value, path))


def encode(value: object) -> Any:
    """Turn a decoded value back into JSON values: Decimal to string, datetime to ISO 8601 UTC."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            entry.name.rstrip("_"): encode(getattr(value, entry.name)) for entry in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {key: encode(item) for key, item in cast(dict[str, object], value).items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in cast(tuple[object, ...], value)]
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value


def _decode(kind: Any, value: object, path: str) -> object:
    origin = get_origin(kind)
    if origin is UnionType:
        return _optional(kind, value, path)
    if origin is Literal:
        if value not in get_args(kind):
            raise DecodingError(f"{path}: {value!r} is none of {', '.join(map(str, get_args(kind)))}")
        return value
    if origin is tuple:
        items = cast(list[object], _expect(list, value, path))
        return tuple(_decode(get_args(kind)[0], item, f"{path}[{i}]") for i, item in enumerate(items))
    if origin is dict:
        pairs = cast(dict[str, object], _expect(dict, value, path))
        return {name: _decode(get_args(kind)[1], item, f"{path}.{name}") for name, item in pairs.items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass(cast(type, kind), cast(dict[str, object], _expect(dict, value, path)), path)
    return _scalar(kind, value, path)


def _optional(kind: Any, value: object, path: str) -> object:
    if value is None:
        return None
    inner = next(option for option in get_args(kind) if option is not NoneType)
    return _decode(inner, value, path)


def _dataclass(kind: type, value: dict[str, object], path: str) -> object:
    arguments: dict[str, object] = {}
    for entry, annotation in _fields(kind):
        name = entry.name.rstrip("_")
        if name in value:
            arguments[entry.name] = _decode(annotation, value[name], f"{path}.{name}")
        elif entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            raise DecodingError(f"{path}.{name} is missing")
    return kind(**arguments)


@cache
def _fields(kind: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(kind)
    return [(entry, hints[entry.name]) for entry in dataclasses.fields(kind)]


def _scalar(kind: Any, value: object, path: str) -> object:
    if kind is Decimal:
        return _decimal(value, path)
    if kind is datetime:
        return _time(value, path)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) and kind is not bool:
        raise DecodingError(f"{path}: expected {kind.__name__}, got a boolean")
    return _expect(kind, value, path)


def _decimal(value: object, path: str) -> Decimal:
    try:
        number = Decimal(cast(str, _expect(str, value, path)))
    except InvalidOperation:
        raise DecodingError(f"{path}: {value!r} is no decimal number") from None
    if not number.is_finite():
        raise DecodingError(f"{path}: {value!r} is not finite")
    return number


def _time(value: object, path: str) -> datetime:
    try:
        time = datetime.fromisoformat(cast(str, _expect(str, value, path)))
    except ValueError as wrong:
        raise DecodingError(f"{path}: {wrong}") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _expect(kind: type, value: object, path: str) -> object:
    if not isinstance(value, kind):
        raise DecodingError(f"{path}: expected {kind.__name__}, got {type(value).__name__}")
    return value
