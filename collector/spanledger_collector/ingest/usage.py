"""What a span says of its tokens, in any vocabulary, in; disjoint buckets out.

Vocabularies disagree on whether totals include their parts. Whatever they say, the buckets never overlap,
and they add up to the provider's own total where one is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from spanledger.serving.usage import Usage, carve, normalise

from .attributes import Value
from .values import U32, parsed, whole

Facts = Mapping[str, Value]
"""Facts of a span by field, those of usage among them (``usage.input``, ``usage.cache_read``, ...)."""


def buckets(facts: Facts) -> Usage | None:
    """The disjoint buckets of one span, or None when it tells no usage."""
    if "usage.details" in facts:
        details = parsed(facts["usage.details"])
        if isinstance(details, dict) and details:
            found = _details(cast(dict[str, Any], details))
            if found is not None:
                return found
    total_in, total_out = _count(facts, "usage.input"), _count(facts, "usage.output")
    images = _count(facts, "usage.images")
    if total_in is None and total_out is None:
        return None if images is None else Usage(image_units=images)
    return _split(facts, total_in, total_out, images)


_PARTS = frozenset(
    {
        "usage.cache_read",
        "usage.cache_write",
        "usage.cache_write_5m",
        "usage.cache_write_1h",
        "usage.input_audio",
        "usage.output_audio",
        "usage.reasoning",
    }
)


def _split(facts: Facts, total_in: int | None, total_out: int | None, images: int | None) -> Usage:
    if _PARTS.isdisjoint(facts):
        return Usage(input_tokens=total_in, output_tokens=total_out, image_units=images)
    read, (written, hour) = _count(facts, "usage.cache_read"), _writes(facts)
    audio_in, audio_out = _count(facts, "usage.input_audio"), _count(facts, "usage.output_audio")
    image_in, image_out = _count(facts, "usage.input_image"), _count(facts, "usage.output_image")
    reasoning = _count(facts, "usage.reasoning")
    told = _count(facts, "usage.total")
    cached = (read or 0) + (written or 0) + (hour or 0)
    if cached and total_in is not None and _beside(total_in, total_out, cached, told):
        total_in += cached
    if reasoning and total_out is not None and _beside(total_out, total_in, reasoning, told):
        total_out += reasoning
    fresh, (read, written, hour, audio_in, image_in) = carve(
        total_in, read, written, hour, audio_in, image_in
    )
    visible, (reasoning, audio_out, image_out) = carve(total_out, reasoning, audio_out, image_out)
    return Usage(
        input_tokens=fresh,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
        output_tokens=visible,
        reasoning_tokens=reasoning,
        input_audio_tokens=audio_in,
        output_audio_tokens=audio_out,
        input_image_tokens=image_in,
        output_image_tokens=image_out,
        image_units=images,
        web_searches=_count(facts, "usage.web_searches"),
    )


def _beside(total: int, other: int | None, part: int, told: int | None) -> bool:
    """Whether ``part`` stands beside ``total`` instead of inside it.

    It must when it is larger; and it does when only so the sum is the provider's own total.
    """
    if part > total:
        return True
    rest = total + (other or 0)
    return told is not None and rest < told and rest + part <= told


def _writes(facts: Facts) -> tuple[int | None, int | None]:
    """Cache writes of five minutes (or of untold lifetime) and of one hour; disjoint."""
    written, hour = _count(facts, "usage.cache_write"), _count(facts, "usage.cache_write_1h")
    five = _count(facts, "usage.cache_write_5m")
    if written is None:
        return five, hour
    return max(written - (hour or 0), 0), hour


def _count(facts: Facts, name: str) -> int | None:
    value = facts.get(name)
    if type(value) is int and 0 <= value <= U32:
        return value
    return None if value is None else whole(value)


# -- a whole usage object in one attribute -------------------------------------------------------------------


def _details(details: dict[str, Any]) -> Usage | None:
    if "input" in details or "output" in details:
        return _langfuse(details)
    return _named(details) or normalise(details)


def _named(details: dict[str, Any]) -> Usage | None:
    """MLflow's and others' flat form: totals that include their parts, with the total told."""
    if "cache_read_input_tokens" not in details or "total_tokens" not in details:
        return None
    facts: dict[str, Value] = {
        "usage.input": details.get("input_tokens"),
        "usage.output": details.get("output_tokens"),
        "usage.total": details.get("total_tokens"),
        "usage.cache_read": details.get("cache_read_input_tokens"),
        "usage.cache_write": details.get("cache_creation_input_tokens"),
    }
    return buckets(facts)


def _langfuse(details: dict[str, Any]) -> Usage:
    """Langfuse's ``input*`` and ``output*`` keys: every key beside the bare two is a part.

    Its own SDK subtracts the parts from the bare keys; ``total``, where told, says whether that was done.
    """
    counts = {key: count for key, value in details.items() if (count := whole(value)) is not None}

    def pick(side: str, *words: str) -> int | None:
        found = [
            count
            for key, count in counts.items()
            if side in key and key != side and any(w in key for w in words)
        ]
        return sum(found) if found else None

    facts: dict[str, Value] = {
        "usage.cache_read": pick("input", "cached", "cache_read"),
        "usage.cache_write": pick("input", "cache_creation", "cache_write"),
        "usage.reasoning": pick("output", "reasoning"),
        "usage.input_audio": pick("input", "audio"),
        "usage.output_audio": pick("output", "audio"),
        "usage.total": counts.get("total"),
    }
    inside = sum(cast(int, facts[f"usage.{n}"] or 0) for n in ("cache_read", "cache_write", "input_audio"))
    outside = sum(cast(int, facts[f"usage.{n}"] or 0) for n in ("reasoning", "output_audio"))
    bare_in, bare_out, told = counts.get("input"), counts.get("output"), counts.get("total")
    # Disjoint unless the told total says that the bare keys hold everything already.
    whole_already = told is not None and (bare_in or 0) + (bare_out or 0) == told
    facts["usage.input"] = bare_in if bare_in is None or whole_already else bare_in + inside
    facts["usage.output"] = bare_out if bare_out is None or whole_already else bare_out + outside
    return _split(facts, whole(facts["usage.input"]), whole(facts["usage.output"]), None)
