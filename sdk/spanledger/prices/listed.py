"""A provider's and a model's name in; the public list's rates (genai-prices, a pinned release, offline) out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from .rates import Rates, Tiers

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, PriceVariant, Provider

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLION, _THOUSAND = Decimal(1_000_000), Decimal(1000)
DAY_NS, MINUTE_NS = 86_400 * 10**9, 60 * 10**9

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
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "mistral_ai": "mistral",
    "together.ai": "together",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
# Who names its own models; tried in this order for a model of which nobody said the provider.
_FIRST_PARTIES = ("openai", "anthropic", "google", "mistral", "cohere", "voyageai", "deepseek", "x-ai")
STANDARD_TIERS = frozenset({"", "auto", "default", "standard", "standard_only", "on_demand"})
"""Service tiers that cost the plain price."""


def canonical(provider: str) -> str:
    """The list's name of a provider."""
    return _PROVIDERS.get(provider, provider)


def known_name(provider: str, model: str) -> str | None:
    """The list's name of a model, as ``gpt-4o`` for ``gpt-4o-2024-08-06``; None where it does not know it."""
    found = _find(provider, model)
    return None if found is None else found[1].id.lower()


def listed(
    provider: str, model: str, at: int, service_tier: str = "", *, batch: bool = False
) -> Rates | None:
    """The list's rates at ``at`` (ns), or None; names in small letters."""
    step = MINUTE_NS if _changes_within_a_day(provider, model) else DAY_NS
    return _listed(provider, model, at // step * step, _context(provider, service_tier, batch))


def _context(provider: str, tier: str, batch: bool) -> tuple[tuple[str, str], ...]:
    # genai-prices silently ignores a service tier of "batch" and answers full price.
    if batch or tier == "batch":
        return (("processing", "batch"),)
    if tier == "fast" and canonical(provider) == "anthropic":
        return (("speed", tier),)
    return () if tier in STANDARD_TIERS else (("service_tier", tier),)


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
        hint = canonical(provider)
        return [(model, hint), (rest, hint)] if rest and prefix in (provider, hint) else [(model, hint)]
    if rest:
        return [(model, None), (rest, canonical(prefix))]
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
    moment = EPOCH + timedelta(microseconds=at // 1000)
    if context and not _has_variant(owner, info, dict(context), moment):
        return None
    return _rates(info.get_prices(moment, dict(context)))


def _has_variant(owner: Provider, info: ModelInfo, context: dict[str, str], at: datetime) -> bool:
    def holds(variant: PriceVariant) -> bool:
        if variant.constraint is not None and not variant.constraint.active(at):
            return False
        return all(context.get(key) == value for key, value in variant.when.items())

    # A model borrowed from another provider keeps that provider's name, not its discounts.
    borrowed = all(info is not model for model in owner.models)
    return not borrowed and any(holds(variant) for variant in info.price_variants or ())


def _rates(price: ModelPrice) -> Rates:
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
        input_image=_tiers(price, "input_image_mtok") or base,
        output_image=_tiers(price, "output_image_mtok") or output,
        web_search=_fee(price, "web_searches_kcount"),
        request=_fee(price, "requests_kcount"),
        source="genai-prices",
        version=_version(),
    )


def _tiers(price: ModelPrice, key: str) -> Tiers | None:
    value = getattr(price, key)
    if value is None:
        return None
    if isinstance(value, Decimal):
        return ((-1, value / _MILLION),)
    return ((-1, value.base / _MILLION), *((tier.start, tier.price / _MILLION) for tier in value.tiers))


def _fee(price: ModelPrice, key: str) -> Decimal | None:
    value = getattr(price, key)
    return value / _THOUSAND if isinstance(value, Decimal) else None


@lru_cache(maxsize=1)
def _version() -> str:
    from genai_prices import __version__

    return __version__
