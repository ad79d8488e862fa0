"""Untrusted JSON in, values of the asked type or an empty one out."""

from __future__ import annotations

from typing import Any, cast

Json = dict[str, Any]


def text(value: object) -> str:
    """The string, or an empty one."""
    return value if isinstance(value, str) else ""


def obj(value: Any) -> Json:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def objects(value: Any) -> list[Json]:
    """The objects in a list; anything else in it, or no list at all, is passed over."""
    if not isinstance(value, list):
        return []
    return [item for item in cast(list[Any], value) if isinstance(item, dict)]


def integer(value: object) -> int | None:
    """The whole number, or None; booleans are no numbers."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: object) -> float | None:
    """The number, or None; booleans are no numbers."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
