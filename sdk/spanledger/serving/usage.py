"""A provider's usage object in, one set of disjoint token buckets out.

Providers disagree on whether a total includes its parts (cached, audio, reasoning). Here the buckets
never overlap and always add up to the provider's own total, so nothing is billed twice or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from operator import attrgetter
from typing import Any, cast

from spanledger import semconv


@dataclass(slots=True, kw_only=True)  # not frozen: that makes it five times as dear to build
class Usage:
    """Disjoint token buckets of one call; None where the provider did not tell.

    ``input_tokens`` excludes cache reads, cache writes, audio and images; ``output_tokens`` excludes reasoning, audio
    and images. ``cache_write_tokens`` are writes kept for five minutes or for an untold time.
    """

    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    image_units: int | None = None
    web_searches: int | None = None
    estimated: bool = False

    @property
    def input_total(self) -> int | None:
        """All input tokens, cached and audio included; None when the provider told none of them."""
        if self.input_tokens is not None:  # the usual case, on every call's way
            return (
                self.input_tokens
                + (self.cache_read_tokens or 0)
                + (self.cache_write_tokens or 0)
                + (self.cache_write_1h_tokens or 0)
                + (self.input_audio_tokens or 0)
                + (self.input_image_tokens or 0)
            )
        return _total(self.cache_read_tokens, self._written, self.input_audio_tokens, self.input_image_tokens)

    @property
    def _written(self) -> int | None:
        short, hour = self.cache_write_tokens, self.cache_write_1h_tokens
        return short if hour is None else _total(short, hour)

    @property
    def output_total(self) -> int | None:
        """All output tokens, reasoning and audio included; None when the provider told none of them."""
        if self.output_tokens is not None:
            return (
                self.output_tokens
                + (self.reasoning_tokens or 0)
                + (self.output_audio_tokens or 0)
                + (self.output_image_tokens or 0)
            )
        return _total(self.reasoning_tokens, self.output_audio_tokens, self.output_image_tokens)

    @property
    def total(self) -> int:
        """Every token of the call: the provider's own total."""
        return (self.input_total or 0) + (self.output_total or 0)

    def attributes(self) -> dict[str, int | bool]:
        """Span attributes: on the wire totals include their parts, as OpenTelemetry's convention says."""
        counts: tuple[int | None, ...] = (self.input_total, self.output_total, self._written, *_told_as(self))
        found: dict[str, int | bool] = {
            name: value for name, value in zip(_NAMES, counts, strict=True) if value is not None
        }
        if self.estimated:
            found[semconv.USAGE_ESTIMATED] = True
        return found


# On the wire the totals, and the other buckets by themselves.
_OWN = {
    "cache_read_tokens": semconv.CACHE_READ_TOKENS,
    "cache_write_1h_tokens": semconv.CACHE_WRITE_1H_TOKENS,
    "reasoning_tokens": semconv.REASONING_TOKENS,
    "input_audio_tokens": semconv.INPUT_AUDIO_TOKENS,
    "output_audio_tokens": semconv.OUTPUT_AUDIO_TOKENS,
    "input_image_tokens": semconv.INPUT_IMAGE_TOKENS,
    "output_image_tokens": semconv.OUTPUT_IMAGE_TOKENS,
    "image_units": semconv.IMAGE_UNITS,
    "web_searches": semconv.WEB_SEARCHES,
}
_NAMES = (semconv.INPUT_TOKENS, semconv.OUTPUT_TOKENS, semconv.CACHE_WRITE_TOKENS, *_OWN.values())
_told_as = attrgetter(*_OWN)


def normalise(usage: Mapping[str, Any] | None) -> Usage | None:
    """Turn any provider's usage object into buckets; None when there is no usage to read.

    Knows OpenAI chat, completions, embeddings and Responses (and what speaks them: vLLM, DeepSeek, xAI,
    OpenRouter, Gemini's compatible endpoint), Anthropic Messages and Google GenAI, by their fields.
    An explicit zero stays a zero.
    """
    if not usage:
        return None
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        return _openai_chat(usage)
    if "prompt_token_count" in usage or "promptTokenCount" in usage:
        return _google(usage)
    if "input_tokens" in usage or "output_tokens" in usage:
        is_responses = "total_tokens" in usage or "input_tokens_details" in usage
        return _responses(usage) if is_responses else _anthropic(usage)
    return None


def _openai_chat(usage: Mapping[str, Any]) -> Usage:
    inside, outside = _details(usage, "prompt_tokens_details"), _details(usage, "completion_tokens_details")
    if usage.keys() <= _USUAL and inside.keys() <= _USUAL_INSIDE and outside.keys() <= _USUAL_OUTSIDE:
        usual = _usual_chat(usage, inside, outside)
        if usual is not None:
            return usual
    prompt, completion = _int(usage, "prompt_tokens"), _int(usage, "completion_tokens")
    cached = _first(
        _int(inside, "cached_tokens"),
        _int(usage, "prompt_cache_hit_tokens"),
        _int(usage, "cached_tokens"),
        _int(usage, "cache_read_input_tokens"),
    )
    written = _first(_int(inside, "cache_write_tokens"), _int(usage, "cache_creation_input_tokens"))
    reasoning = _first(_int(outside, "reasoning_tokens"), _int(usage, "reasoning_tokens"))
    completion, reasoning = _with_reasoning(prompt, completion, reasoning, _int(usage, "total_tokens"))
    return _inclusive(
        prompt,
        completion,
        cached,
        written,
        reasoning,
        (_int(inside, "audio_tokens"), _int(outside, "audio_tokens")),
        (_int(inside, "image_tokens"), _int(outside, "image_tokens")),
        _searches(usage),
    )


# What OpenAI itself sends: nearly every answer, so it has a way of its own, with the same result.
_USUAL = frozenset(
    {
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
    }
)
_USUAL_INSIDE = frozenset({"cached_tokens", "audio_tokens"})
_USUAL_OUTSIDE = frozenset(
    {"reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"}
)


_INT_OR_NONE = frozenset({int, type(None)})


def _usual_chat(
    usage: Mapping[str, Any], inside: Mapping[str, Any], outside: Mapping[str, Any]
) -> Usage | None:
    """The buckets of a consistent usage without audio; None for any other."""
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    total = usage.get("total_tokens")
    cached, reasoning = inside.get("cached_tokens"), outside.get("reasoning_tokens")
    audio_in, audio_out = inside.get("audio_tokens"), outside.get("audio_tokens")
    kinds = frozenset(map(type, (prompt, completion, total, cached, reasoning, audio_in, audio_out)))
    if not kinds <= _INT_OR_NONE or prompt is None or completion is None or audio_in or audio_out:
        return None
    read, thought = cached or 0, reasoning or 0
    if not (0 <= read <= prompt and 0 <= thought <= completion and (total or 0) <= prompt + completion):
        return None
    return Usage(
        input_tokens=prompt - read,
        cache_read_tokens=cached,
        output_tokens=completion - thought,
        reasoning_tokens=reasoning,
        input_audio_tokens=audio_in,
        output_audio_tokens=audio_out,
    )


def _responses(usage: Mapping[str, Any]) -> Usage:
    inside, outside = _details(usage, "input_tokens_details"), _details(usage, "output_tokens_details")
    return _inclusive(
        _int(usage, "input_tokens"),
        _int(usage, "output_tokens"),
        _int(inside, "cached_tokens"),
        _int(inside, "cache_write_tokens"),
        _int(outside, "reasoning_tokens"),
        (_int(inside, "audio_tokens"), _int(outside, "audio_tokens")),
        (_int(inside, "image_tokens"), _int(outside, "image_tokens")),
        _searches(usage),
    )


def _anthropic(usage: Mapping[str, Any]) -> Usage:
    # Anthropic's input_tokens already excludes both kinds of cached tokens.
    written = _int(usage, "cache_creation_input_tokens")
    split = _details(usage, "cache_creation")
    hour = _int(split, "ephemeral_1h_input_tokens")
    output, thinking = (
        _int(usage, "output_tokens"),
        _int(_details(usage, "output_tokens_details"), "thinking_tokens"),
    )
    if written is None and split:
        written = (hour or 0) + (_int(split, "ephemeral_5m_input_tokens") or 0)
    if written is not None and hour is not None:
        hour = min(hour, written)
        written -= hour
    if output is not None and thinking is not None:
        thinking = min(thinking, output)
        output -= thinking
    return Usage(
        input_tokens=_int(usage, "input_tokens"),
        cache_read_tokens=_int(usage, "cache_read_input_tokens"),
        cache_write_tokens=written,
        cache_write_1h_tokens=hour,
        output_tokens=output,
        reasoning_tokens=thinking,
        web_searches=_searches(usage),
    )


def _google(usage: Mapping[str, Any]) -> Usage:
    def count(snake: str, camel: str) -> int | None:
        return _first(_int(usage, snake), _int(usage, camel))

    prompt = count("prompt_token_count", "promptTokenCount")
    tools = count("tool_use_prompt_token_count", "toolUsePromptTokenCount")
    thoughts = count("thoughts_token_count", "thoughtsTokenCount")
    visible = count("candidates_token_count", "candidatesTokenCount")
    cached = count("cached_content_token_count", "cachedContentTokenCount")
    asked = _modalities(usage, "prompt_tokens_details", "promptTokensDetails")
    made = _modalities(usage, "candidates_tokens_details", "candidatesTokensDetails")
    return _inclusive(
        _total(prompt, tools),
        _total(visible, thoughts),
        cached,
        None,
        thoughts,
        (asked.get("AUDIO"), made.get("AUDIO")),
        (asked.get("IMAGE"), made.get("IMAGE")),
        None,
    )


def _modalities(usage: Mapping[str, Any], *names: str) -> dict[str, int]:
    """Google's tokens by modality, other than text."""
    found: dict[str, int] = {}
    for name in names:
        entries = usage.get(name)
        for entry in cast(list[Any], entries) if isinstance(entries, list) else ():
            details = cast(Mapping[str, Any], entry) if isinstance(entry, dict) else _NOTHING
            count = _first(_int(details, "token_count"), _int(details, "tokenCount"))
            modality = details.get("modality")
            if count is not None and modality is not None:
                kind = str(getattr(modality, "value", modality)).upper()
                found[kind] = found.get(kind, 0) + count
    return found


def _searches(usage: Mapping[str, Any]) -> int | None:
    """Web searches that are billed by the piece, where the usage tells them."""
    return _first(
        _int(_details(usage, "server_tool_use"), "web_search_requests"),  # Anthropic
        _int(_details(usage, "server_side_tool_usage_details"), "web_search_calls"),  # xAI
        _int(usage, "num_search_queries"),  # Perplexity
    )


def _with_reasoning(
    prompt: int | None, completion: int | None, reasoning: int | None, total: int | None
) -> tuple[int | None, int | None]:
    # Some providers (xAI, Gemini's compatible endpoint) leave reasoning out of completion_tokens and
    # show it only in the total: what the total has beyond the two is reasoning.
    missing = (total or 0) - (prompt or 0) - (completion or 0)
    if missing <= 0 or completion is None:
        return completion, reasoning
    return completion + missing, max(reasoning or 0, missing)


def _inclusive(
    total_in: int | None,
    total_out: int | None,
    cached: int | None,
    written: int | None,
    reasoning: int | None,
    audio: tuple[int | None, int | None],
    image: tuple[int | None, int | None],
    searches: int | None,
) -> Usage:
    rest_in, (cached, written, audio_in, image_in) = carve(total_in, cached, written, audio[0], image[0])
    rest_out, (reasoning, audio_out, image_out) = carve(total_out, reasoning, audio[1], image[1])
    return Usage(
        input_tokens=rest_in,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=rest_out,
        reasoning_tokens=reasoning,
        input_audio_tokens=audio_in,
        output_audio_tokens=audio_out,
        input_image_tokens=image_in,
        output_image_tokens=image_out,
        web_searches=searches,
    )


def carve(total: int | None, *parts: int | None) -> tuple[int | None, list[int | None]]:
    """Take each part out of the total; a part can only take what is left, so the sum is always the total."""
    if total is None:
        return None, list(parts)
    left, taken = total, list[int | None]()
    for part in parts:
        share = None if part is None else min(part, left)
        left -= share or 0
        taken.append(share)
    return left, taken


def merged(first: Usage | None, later: Usage | None) -> Usage | None:
    """What a stream told in several events, as one: later numbers replace earlier ones, never add."""
    if first is None or later is None:
        return later or first
    told = {
        name: value
        for name in Usage.__dataclass_fields__
        if name != "estimated" and (value := getattr(later, name)) is not None
    }
    return replace(first, **told, estimated=later.estimated)


def _int(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    if type(value) is int:  # on the way of every call: the common case first; a bool is no int here
        return value if value > 0 else 0
    return max(0, int(value)) if type(value) is float and isfinite(value) else None


def _details(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = values.get(name)
    if isinstance(value, dict):  # asking for Mapping costs ten times as much
        return cast(dict[str, Any], value)
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else _NOTHING


def _first(*values: int | None) -> int | None:
    for value in values:
        if value is not None:
            return value
    return None


_NOTHING: Mapping[str, Any] = {}


def _total(*values: int | None) -> int | None:
    total: int | None = None
    for value in values:
        if value is not None:
            total = value if total is None else total + value
    return total
