"""Untyped JSON in, typed pieces out: what is not of the wanted type reads as empty."""

from __future__ import annotations

from typing import Any, cast

Json = dict[str, Any]


def as_object(value: object) -> Json:
    """The value if it is an object, else an empty one."""
    return cast("Json", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """The value if it is an array, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def objects(value: object) -> list[Json]:
    """The objects in an array; anything else is left out."""
    return [cast("Json", item) for item in as_list(value) if isinstance(item, dict)]


def is_number(value: object) -> bool:
    """Whether a JSON value is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: object) -> bool:
    """Whether a JSON value is an integer of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def json_type(value: object) -> str:
    """What OpenAI's error messages call a JSON value."""
    names: list[tuple[type, str]] = [
        *((bool, "a boolean"), (int, "an integer"), (float, "a decimal")),
        *((str, "a string"), (dict, "an object"), (list, "an array")),
    ]
    return next((name for kind, name in names if isinstance(value, kind)), "null")
