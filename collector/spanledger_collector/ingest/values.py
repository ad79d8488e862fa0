"""An attribute's value in, the value of a column out; None when it does not fit the column.

Text from outside may be anything: a number that is none, or none that fits, is never guessed at.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import cast

import orjson

from .attributes import Value, text

U8, U16, U32, U64, I64 = 2**8 - 1, 2**16 - 1, 2**32 - 1, 2**64 - 1, 2**63 - 1
_LONGEST_S = 1e9  # thirty years: no call takes longer
_MONEY_LIMIT = Decimal(10) ** 9
_MAX_LABEL = 512  # bytes of a name-like column; anything longer is no name


def string(value: Value) -> str | None:
    """Any scalar as text; lists and objects as JSON."""
    return value if isinstance(value, str) else text(value)


def label(value: Value) -> str | None:
    """Text of a low-cardinality column, cut where it cannot be a name any more."""
    return text(value)[:_MAX_LABEL]


def tier(value: Value) -> str | None:
    """A service tier as price lists write it; providers and their SDKs differ in case."""
    return text(value)[:_MAX_LABEL].strip().lower()


def number(value: Value) -> float | None:
    """A finite number, also from text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def single(value: Value) -> float | None:
    """A finite number that a 32-bit float holds."""
    found = number(value)
    return found if found is not None and abs(found) < 3.4e38 else None


def whole(value: Value, limit: int = U32, least: int = 0) -> int | None:
    """An integer from ``least`` to ``limit``, also from text or a float without a fraction."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if least <= value <= limit else None
    if isinstance(value, str) and value.strip().lstrip("-").isdigit() and len(value) < 25:
        return whole(int(value), limit, least)
    found = number(value)
    if found is None or found != int(found):
        return None
    return whole(int(found), limit, least)


def flag(value: Value) -> bool | None:
    """True or false, also from the text of them."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return None


def money(value: Value) -> Decimal | None:
    """US dollars, 0 or more, rounded to nine digits after the point."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    if not found.is_finite() or not 0 <= found < _MONEY_LIMIT:
        return None
    return found.quantize(Decimal("1e-9"))


def seconds(value: Value) -> int | None:
    """Seconds as nanoseconds."""
    found = number(value)
    return None if found is None or abs(found) > _LONGEST_S else whole(round(found * 1e9), U64)


def milliseconds(value: Value) -> int | None:
    """Milliseconds as nanoseconds."""
    found = number(value)
    return None if found is None or abs(found) > _LONGEST_S * 1000 else whole(round(found * 1e6), U64)


def strings(value: Value) -> list[str] | None:
    """A list of texts, also from JSON or comma-separated text."""
    if isinstance(value, str):
        value = cast(Value, parsed(value)) if value.lstrip().startswith("[") else list(value.split(","))
    if not isinstance(value, list):
        return None
    return [name.strip() for name in map(text, cast(list[Value], value)) if name.strip()]


def reasons(value: Value) -> str | None:
    """Finish reasons, each once, joined by commas."""
    found = strings(value)
    return None if found is None else label(",".join(dict.fromkeys(found)))


def parsed(value: object) -> object:
    """JSON text as what it says; anything else, and text that is no JSON, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _up_to(limit: int) -> Callable[[Value], int | None]:
    return lambda value: whole(value, limit)


def _one_of(allowed: frozenset[str]) -> Callable[[Value], str | None]:
    return lambda value: value if isinstance(value, str) and value in allowed else None


CACHE_STATES = frozenset({"miss", "exact", "semantic", "off"})
STATUSES = frozenset({"ok", "error", "cut", "cancelled"})

COLUMNS: dict[str, Callable[[Value], object]] = {
    **dict.fromkeys(
        [
            "organisation",
            "team",
            "feature",
            "operation",
            "purpose",
            "provider",
            "request_model",
            "response_model",
            "finish_reason",
            "region",
            "route",
            "upstream",
            "fallback_from",
            "route_reason",
            "gpu_pool",
            "prompt_name",
            "prompt_label",
            "experiment",
            "agent_name",
            "tool_name",
            "guard_action",
            "service",
            "service_version",
            "environment",
            "error_type",
            "server_address",
            "key_id",
        ],
        label,
    ),
    **dict.fromkeys(
        ["customer_id", "user_id", "session_id", "status_message", "response_id", "cache_entry"],
        string,
    ),
    **dict.fromkeys(
        ["temperature", "top_p", "cache_similarity", "engine_kv_usage", "engine_prefix_hits"], single
    ),
    **dict.fromkeys(["max_tokens", "engine_running", "engine_waiting"], whole),
    **dict.fromkeys(["tpot_ns", "cache_age_ns"], _up_to(U64)),
    **dict.fromkeys(["streaming", "usage_estimated"], flag),
    **dict.fromkeys(["cost_saved", "cost_reported"], money),
    "attempt": _up_to(U8),
    "redactions": _up_to(U16),
    "prompt_version": whole,
    "seed": lambda value: whole(value, I64, -I64 - 1),
    "tags": strings,
    "finish_reason": reasons,
    "service_tier": tier,
    "cache": _one_of(CACHE_STATES),
    "status": _one_of(STATUSES),
}
"""How each column that one attribute fills reads its value. The others are worked out of several facts."""
