"""Rates and usage in, cost out: the sums, exact to nine digits. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

NANO = Decimal("0.000000001")
"""Money is rounded half-even to nine digits per bucket, so that a row's total is the sum of its buckets."""

_NOTHING = Decimal(0).quantize(NANO)

Tiers = tuple[tuple[int, Decimal], ...]
"""(tokens of input above which it holds, USD per unit), ascending; the first starts at -1."""


class Buckets(Protocol):
    """Usage in disjoint buckets: any object with these attributes, for example a CallRecord."""

    @property
    def input_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def cache_read_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def cache_write_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def cache_write_1h_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def output_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def reasoning_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def input_audio_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def output_audio_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def input_image_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def output_image_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def image_units(self) -> int | None: ...  # noqa: D102
    @property
    def web_searches(self) -> int | None: ...  # noqa: D102


@dataclass(slots=True, kw_only=True)  # not frozen: that makes it five times as dear to build
class Cost:
    """US dollars per bucket, nine digits after the point; ``total`` is their sum.

    ``cache_write`` holds both lifetimes; ``other`` audio, images, web searches and fees per request. A bucket is None where
    usage did not tell. ``source`` is ``override`` or ``genai-prices``; ``version`` names the price table's or document's
    version (``0.2.3+NAME@2``: the list, changed by a document).
    """

    input: Decimal | None
    cache_read: Decimal | None
    cache_write: Decimal | None
    output: Decimal | None
    reasoning: Decimal | None
    other: Decimal | None
    total: Decimal
    source: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """One model's rates at one moment, USD per token or per unit. None: no such rate.

    Tokens of a kind that has none cannot be priced. Images and web searches can: vendors that have no rate for them
    bill an image by its tokens and a search by nothing. ``request`` is what each call costs beside its tokens.
    """

    input: Tiers | None
    cache_read: Tiers | None
    cache_write: Tiers | None
    cache_write_1h: Tiers | None
    output: Tiers | None
    reasoning: Tiers | None
    input_audio: Tiers | None
    output_audio: Tiers | None
    input_image: Tiers | None
    output_image: Tiers | None
    image: Decimal | None = None
    web_search: Decimal | None = None
    request: Decimal | None = None
    source: str
    version: str

    def cost(self, usage: Buckets) -> Cost | None:
        """The cost of one call, or None when usage is unknown or holds a unit without a rate.

        A model's tier is chosen by all input tokens together (cached ones included) and then holds for
        every token of the call, as vendors bill long contexts.
        """
        if not _is_told(usage) and not (self.image and usage.image_units):
            return None  # images alone may have no rate; no usage at all has no cost we know
        context = (
            (usage.input_tokens or 0)
            + (usage.cache_read_tokens or 0)
            + (usage.cache_write_tokens or 0)
            + (usage.cache_write_1h_tokens or 0)
            + (usage.input_audio_tokens or 0)
            + (usage.input_image_tokens or 0)
        )
        try:
            return self._sum(usage, context)
        except _NoRateError:
            return None

    def times(self, factor: Decimal, version: str) -> Rates:
        """The same rates, each multiplied."""

        def scaled(tiers: Tiers | None) -> Tiers | None:
            return None if tiers is None else tuple((above, rate * factor) for above, rate in tiers)

        def unit(rate: Decimal | None) -> Decimal | None:
            return None if rate is None else rate * factor

        return replace(
            self,
            **{name: scaled(getattr(self, name)) for name in TOKEN_RATES},
            **{name: unit(getattr(self, name)) for name in UNIT_RATES},
            version=version,
        )

    def _sum(self, usage: Buckets, context: int) -> Cost:
        cost_input = _bucket(usage.input_tokens, self.input, context)
        cache_read = _bucket(usage.cache_read_tokens, self.cache_read, context)
        cache_write = _bucket(usage.cache_write_tokens, self.cache_write, context)
        if usage.cache_write_1h_tokens is not None:
            hour = _bucket(usage.cache_write_1h_tokens, self.cache_write_1h, context)
            cache_write = _add(cache_write, hour)
        output = _bucket(usage.output_tokens, self.output, context)
        reasoning = _bucket(usage.reasoning_tokens, self.reasoning, context)
        other = self._other(usage, context)
        total = _NOTHING
        for part in (cost_input, cache_read, cache_write, output, reasoning, other):
            if part:
                total += part
        return Cost(
            input=cost_input,
            cache_read=cache_read,
            cache_write=cache_write,
            output=output,
            reasoning=reasoning,
            other=other,
            total=total,
            source=self.source,
            version=self.version,
        )

    def _other(self, usage: Buckets, context: int) -> Decimal | None:
        if self.request is None and not (
            usage.input_audio_tokens
            or usage.output_audio_tokens
            or usage.input_image_tokens
            or usage.output_image_tokens
            or usage.image_units
            or usage.web_searches
        ):
            return _none_of(usage)
        found: Decimal | None = None
        for tokens, rate in (
            (usage.input_audio_tokens, self.input_audio),
            (usage.output_audio_tokens, self.output_audio),
            (usage.input_image_tokens, self.input_image),
            (usage.output_image_tokens, self.output_image),
        ):
            if tokens is not None:
                found = _add(found, _bucket(tokens, rate, context))
        for units, price in (
            (usage.image_units, self.image),
            (usage.web_searches, self.web_search),
            (1, self.request),
        ):
            if units and price is not None:
                found = _add(found, (units * price).quantize(NANO))
        return found


def _none_of(usage: Buckets) -> Decimal | None:
    """What no audio and no images cost: nothing where usage told that there were none."""
    is_told = (
        usage.input_audio_tokens is not None
        or usage.output_audio_tokens is not None
        or usage.input_image_tokens is not None
        or usage.output_image_tokens is not None
    )
    return _NOTHING if is_told else None


TOKEN_RATES = (
    "input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning", "input_audio", "output_audio",
    "input_image", "output_image",
)  # fmt: skip
"""The fields of ``Rates`` that are USD per token, and those that are USD per unit."""
UNIT_RATES = ("image", "web_search", "request")


def _is_told(usage: Buckets) -> bool:
    """Whether the provider told any tokens, be it none."""
    return (
        usage.input_tokens is not None
        or usage.output_tokens is not None
        or any(getattr(usage, name) is not None for name in _TOKENS)
    )


_TOKENS = (
    "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "input_audio_tokens", "input_image_tokens",
    "reasoning_tokens", "output_audio_tokens", "output_image_tokens",
)  # fmt: skip


class _NoRateError(Exception):
    """Tokens were used of a kind that has no rate."""


def _bucket(tokens: int | None, rate: Tiers | None, context: int) -> Decimal | None:
    if tokens is None:
        return None
    if tokens == 0:
        return _NOTHING
    if rate is None:
        raise _NoRateError
    price = rate[0][1]
    if len(rate) > 1:
        for start, tier_price in rate:
            if context > start:
                price = tier_price
    return (tokens * price).quantize(NANO)


def _add(left: Decimal | None, right: Decimal | None) -> Decimal | None:
    if left is None or right is None:
        return right if left is None else left
    return left + right
