"""What a call cost: disjoint token buckets and a model's name come in, Decimal US dollars per bucket go out.

The one implementation, used by the gateway and the collector. Rates come from our own effective-dated
``price`` documents first, then from genai-prices (imported at the first look-up, offline).
An unknown price is None, never 0: an unknown model, a service tier or a batch whose rates nobody
wrote down, or usage in a unit that has no rate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, PriceVariant, Provider

NANO = Decimal("0.000000001")
"""Money is rounded half-even to nine digits per bucket, so that a row's total is the sum of its buckets."""

_MILLION = Decimal(1_000_000)
_NOTHING = Decimal(0).quantize(NANO)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MEMO_SIZE = 4096
_DAY_NS, _MINUTE_NS = 86_400 * 10**9, 60 * 10**9

# What OpenTelemetry and other instrumentations call a provider -> what genai-prices calls it.
# Only those its own matching would miss or take for another (azure.ai.openai contains "openai").
_PROVIDERS = {
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "fireworks_ai": "fireworks",
    "gcp": "google",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "aws": "aws",
    "together.ai": "together",
    "x_ai": "x-ai",
}
# Who names its own models; tried in this order for a model of which nobody said the provider.
_FIRST_PARTIES = ("openai", "anthropic", "google", "mistral", "cohere", "voyageai", "deepseek", "x-ai")
_STANDARD_TIERS = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand"})

Tiers = tuple[tuple[int, Decimal], ...]
"""(tokens of input above which it holds, USD per token), ascending; the first starts at -1."""


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
    def image_units(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """US dollars per bucket, nine digits after the point; ``total`` is their sum.

    ``cache_write`` holds both lifetimes, ``other`` audio. A bucket is None where usage did not tell.
    ``source`` is ``override`` or ``genai-prices``; ``version`` names the price table's or document's version.
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
    """One model's rates at one moment. None: no such rate, and tokens of that kind cannot be priced."""

    input: Tiers | None
    cache_read: Tiers | None
    cache_write: Tiers | None
    cache_write_1h: Tiers | None
    output: Tiers | None
    reasoning: Tiers | None
    input_audio: Tiers | None
    output_audio: Tiers | None
    source: str
    version: str

    def cost(self, usage: Buckets) -> Cost | None:
        """The cost of one call, or None when usage is unknown or holds a unit without a rate.

        A model's tier is chosen by all input tokens together (cached ones included) and then holds for
        every token of the call, as vendors bill long contexts.
        """
        inputs = (
            usage.input_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.cache_write_1h_tokens,
            usage.input_audio_tokens,
        )
        context = sum(tokens or 0 for tokens in inputs)
        if all(tokens is None for tokens in (*inputs, usage.output_tokens, usage.reasoning_tokens)):
            return None  # images alone have no token rate; no usage at all has no cost we know
        try:
            return self._sum(usage, context)
        except _NoRateError:
            return None

    def _sum(self, usage: Buckets, context: int) -> Cost:
        cost_input = _bucket(usage.input_tokens, self.input, context)
        cache_read = _bucket(usage.cache_read_tokens, self.cache_read, context)
        cache_write = _add(
            _bucket(usage.cache_write_tokens, self.cache_write, context),
            _bucket(usage.cache_write_1h_tokens, self.cache_write_1h, context),
        )
        output = _bucket(usage.output_tokens, self.output, context)
        reasoning = _bucket(usage.reasoning_tokens, self.reasoning, context)
        other = _add(
            _bucket(usage.input_audio_tokens, self.input_audio, context),
            _bucket(usage.output_audio_tokens, self.output_audio, context),
        )
        parts = (cost_input, cache_read, cache_write, output, reasoning, other)
        return Cost(
            input=cost_input,
            cache_read=cache_read,
            cache_write=cache_write,
            output=output,
            reasoning=reasoning,
            other=other,
            total=sum((part for part in parts if part is not None), _NOTHING),
            source=self.source,
            version=self.version,
        )


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


class PriceTable:
    """Looks up rates: price documents first, genai-prices after. Immutable; build a new one when documents change."""

    def __init__(self, documents: Iterable[Mapping[str, Any]] = ()) -> None:
        """``documents``: registry documents of kind ``price``.

        Raises:
            ValueError: a document lacks provider or model, or holds a rate or date that does not parse.
        """
        self._overrides: dict[str, list[_Override]] = {}
        self._memo: dict[tuple[str, str, str, bool, int], Rates | None] = {}
        for document in documents:
            override = _Override.parse(document)
            self._overrides.setdefault(override.model, []).append(override)
        for overrides in self._overrides.values():
            overrides.sort(key=lambda one: one.start, reverse=True)  # the latest start that holds wins

    def cost(
        self,
        usage: Buckets,
        provider: str,
        model: str,
        at: int,
        *,
        request_model: str = "",
        service_tier: str = "",
        batch: bool = False,
    ) -> Cost | None:
        """The cost of ``usage`` at ``at`` (ns since the epoch, UTC), or None when unpriced.

        ``model`` is what the answer named; ``request_model`` is tried when that is empty or unknown.
        """
        for name in (model, request_model):
            rates = self.rates(provider, name, at, service_tier=service_tier, batch=batch) if name else None
            if rates is not None:
                return rates.cost(usage)
        return None

    def rates(
        self, provider: str, model: str, at: int, *, service_tier: str = "", batch: bool = False
    ) -> Rates | None:
        """The rates of one model at one moment, or None when nobody wrote them down. Memoised."""
        if self._overrides:
            return self._look_up(provider, model, at, service_tier, batch)
        key = (provider, model, service_tier, batch, at // _MINUTE_NS)
        try:
            return self._memo[key]
        except KeyError:
            found = self._look_up(provider, model, at, service_tier, batch)
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[key] = found
            return found

    def _look_up(self, provider: str, model: str, at: int, service_tier: str, batch: bool) -> Rates | None:
        provider, model = provider.lower().strip(), model.lower().strip()
        if self._overrides and (found := self._override(provider, model, at)):
            return found
        context = _context(service_tier.lower(), batch)
        step = _MINUTE_NS if _changes_within_a_day(provider, model) else _DAY_NS
        return _listed(provider, model, at // step * step, context)

    def _override(self, provider: str, model: str, at: int) -> Rates | None:
        names = [model, model.rpartition("/")[2]]
        if (known := _find(provider, model)) is not None:
            names.append(known[1].id.lower())  # gpt-4o's contract rate holds for gpt-4o-2024-08-06
        for name in names:
            for override in self._overrides.get(name, ()):
                if override.holds(provider, at):
                    return override.rates
        return None


@dataclass(frozen=True, slots=True)
class _Override:
    provider: str
    model: str
    start: int
    end: int | None
    rates: Rates

    def holds(self, provider: str, at: int) -> bool:
        if self.provider not in ("", "*") and _canonical(self.provider) != _canonical(provider):
            return False
        return self.start <= at and (self.end is None or at < self.end)

    @staticmethod
    def parse(document: Mapping[str, Any]) -> _Override:
        model = str(document.get("model") or "").lower().strip()
        if not model:
            raise ValueError("a price document needs a model")
        start, end = document.get("from"), document.get("until")
        return _Override(
            provider=str(document.get("provider") or "").lower().strip(),
            model=model,
            start=_instant(start) if start else 0,
            end=_instant(end) if end else None,
            rates=_document_rates(document),
        )


def _document_rates(document: Mapping[str, Any]) -> Rates:
    def rate(name: str, otherwise: Tiers | None) -> Tiers | None:
        value = document.get(name)
        return otherwise if value is None or value == "" else ((-1, _rate(name, value)),)

    base, output = rate("input", None), rate("output", None)
    write = rate("cache_write", base)
    return Rates(
        input=base,
        cache_read=rate("cache_read", base),
        cache_write=write,
        cache_write_1h=rate("cache_write_1h", write),
        output=output,
        reasoning=rate("reasoning", output),
        input_audio=base,
        output_audio=output,
        source="override",
        version=_document_version(document),
    )


def _rate(name: str, value: object) -> Decimal:
    try:
        rate = Decimal(str(value))
    except ArithmeticError:
        raise ValueError(f"price {name!r}: {value!r} is not a decimal number") from None
    if not rate.is_finite() or rate < 0:
        raise ValueError(f"price {name!r}: {value!r} must be a finite number of USD, 0 or more")
    return rate / _MILLION


def _document_version(document: Mapping[str, Any]) -> str:
    name, version = document.get("name"), document.get("version")
    if name and version:
        return f"{name}@{version}"
    content = repr(sorted((key, str(value)) for key, value in document.items()))
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _instant(value: object) -> int:
    """Nanoseconds of an ISO date or time; without an offset it is UTC."""
    moment = datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _canonical(provider: str) -> str:
    return _PROVIDERS.get(provider, provider)


def _context(tier: str, batch: bool) -> tuple[tuple[str, str], ...]:
    # genai-prices silently ignores a service tier of "batch" and answers full price.
    if batch or tier == "batch":
        return (("processing", "batch"),)
    return () if tier in _STANDARD_TIERS else (("service_tier", tier),)


@lru_cache(maxsize=4096)
def _find(provider: str, model: str) -> tuple[Provider, ModelInfo] | None:
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    for name, hint in _candidates(provider, model):
        try:
            return snapshot.find_provider_model(name, None, hint, None)
        except LookupError:
            continue
    return None


def _candidates(provider: str, model: str) -> list[tuple[str, str | None]]:
    """(model, provider) pairs to try; a provider somebody named is never replaced by a guess."""
    prefix, _, rest = model.partition("/")
    if provider:
        hint = _canonical(provider)
        return [(model, hint), (rest, hint)] if rest and prefix in (provider, hint) else [(model, hint)]
    if rest:
        return [(model, None), (rest, _canonical(prefix))]
    return [(model, None), *((model, owner) for owner in _FIRST_PARTIES)]


@lru_cache(maxsize=4096)
def _changes_within_a_day(provider: str, model: str) -> bool:
    from genai_prices.types import StartDateConstraint

    found = _find(provider, model)
    if found is None:
        return False
    prices, variants = found[1].prices, found[1].price_variants or []
    constraints = [variant.constraint for variant in variants]
    if isinstance(prices, list):
        constraints += [price.constraint for price in prices]
    return any(one is not None and not isinstance(one, StartDateConstraint) for one in constraints)


@lru_cache(maxsize=16384)
def _listed(provider: str, model: str, at: int, context: tuple[tuple[str, str], ...]) -> Rates | None:
    found = _find(provider, model)
    if found is None:
        return None
    owner, info = found
    moment = _EPOCH + timedelta(microseconds=at // 1000)
    if context and not _has_variant(owner, info, dict(context), moment):
        return None
    return _listed_rates(info.get_prices(moment, dict(context)))


def _has_variant(owner: Provider, info: ModelInfo, context: dict[str, str], at: datetime) -> bool:
    def holds(variant: PriceVariant) -> bool:
        if variant.constraint is not None and not variant.constraint.active(at):
            return False
        return all(context.get(key) == value for key, value in variant.when.items())

    # A model borrowed from another provider keeps that provider's name, not its discounts.
    borrowed = all(info is not model for model in owner.models)
    return not borrowed and any(holds(variant) for variant in info.price_variants or ())


def _listed_rates(price: ModelPrice) -> Rates:
    """genai-prices' own fallback: tokens of a kind without a price of its own cost what the wider kind costs."""
    base, output = _tiers(price, "input_mtok"), _tiers(price, "output_mtok")
    write = _tiers(price, "cache_write_mtok") or base
    return Rates(
        input=base,
        cache_read=_tiers(price, "cache_read_mtok") or base,
        cache_write=write,
        cache_write_1h=_tiers(price, "cache_write_1h_mtok") or write,
        output=output,
        reasoning=_tiers(price, "output_reasoning_mtok") or output,
        input_audio=_tiers(price, "input_audio_mtok") or base,
        output_audio=_tiers(price, "output_audio_mtok") or output,
        source="genai-prices",
        version=_listed_version(),
    )


def _tiers(price: ModelPrice, key: str) -> Tiers | None:
    value = getattr(price, key)
    if value is None:
        return None
    if isinstance(value, Decimal):
        return ((-1, value / _MILLION),)
    return ((-1, value.base / _MILLION), *((tier.start, tier.price / _MILLION) for tier in value.tiers))


@lru_cache(maxsize=1)
def _listed_version() -> str:
    from genai_prices import __version__

    return __version__
