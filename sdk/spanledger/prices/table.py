"""The order of sources: price documents first, the public list after, and what documents change of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from .documents import PriceDocument
from .listed import MINUTE_NS, STANDARD_TIERS, known_name, listed
from .rates import Buckets, Cost, Rates

_MEMO_SIZE = 4096
_ONE = Decimal(1)


class PriceTable:
    """Looks up rates: price documents first, genai-prices after. Immutable; build a new one when documents change."""

    def __init__(self, documents: Iterable[Mapping[str, Any]] = ()) -> None:
        """``documents``: registry documents of kind ``price``.

        Of several that hold, an exact model name beats a pattern, then the latest ``from`` wins.

        Raises:
            ValueError: a document lacks provider or model, or holds a rate or date that does not parse.
        """
        parsed = [PriceDocument.parse(document) for document in documents]
        parsed.sort(key=lambda one: (one.is_pattern, -one.start))
        self._exact: dict[str, list[PriceDocument]] = {}
        for one in parsed:
            if not one.is_pattern:
                self._exact.setdefault(one.model, []).append(one)
        self._patterns = [one for one in parsed if one.is_pattern]
        self._has_documents = bool(parsed)
        # Between two of these moments the same documents hold.
        self._moments = sorted({moment for one in parsed for moment in (one.start, one.end) if moment})
        self._memo: dict[tuple[str, str, str, str, bool, int, int], Rates | None] = {}

    def cost(
        self,
        usage: Buckets,
        provider: str,
        model: str,
        at: int,
        *,
        request_model: str = "",
        service_tier: str = "",
        region: str = "",
        batch: bool = False,
    ) -> Cost | None:
        """The cost of ``usage`` at ``at`` (ns since the epoch, UTC), or None when unpriced.

        ``model`` is what the answer named; ``request_model`` is tried when that is empty or unknown.
        """
        for name in (model, request_model):
            if not name:
                continue
            rates = self.rates(provider, name, at, service_tier=service_tier, region=region, batch=batch)
            if rates is not None:
                return rates.cost(usage)
        return None

    def rates(
        self,
        provider: str,
        model: str,
        at: int,
        *,
        service_tier: str = "",
        region: str = "",
        batch: bool = False,
    ) -> Rates | None:
        """The rates of one model at one moment, or None when nobody wrote them down. Memoised."""
        since = bisect_right(self._moments, at)
        key = (provider, model, service_tier, region, batch, at // MINUTE_NS, since)
        try:
            return self._memo[key]
        except KeyError:
            found = self._look_up(provider, model, at, service_tier, region, batch)
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[key] = found
            return found

    def _look_up(
        self, provider: str, model: str, at: int, service_tier: str, region: str, batch: bool
    ) -> Rates | None:
        provider, model = provider.lower().strip(), model.lower().strip()
        tier, region = "batch" if batch else service_tier.lower(), region.lower()
        if not self._has_documents:
            return listed(provider, model, at, tier)
        holding = list(self._holding(provider, model, at))
        for document in holding:
            if document.rates is not None:
                return document.own(tier, region)
        return _changed(holding, provider, model, at, (tier, region))

    def _holding(self, provider: str, model: str, at: int) -> Iterator[PriceDocument]:
        """The documents about this model at this moment, the one that counts first."""
        names = [model, model.rpartition("/")[2]]
        if (known := known_name(provider, model)) is not None:
            names.append(known)  # gpt-4o's contract rate holds for gpt-4o-2024-08-06
        names = list(dict.fromkeys(names))
        for name in names:
            yield from (one for one in self._exact.get(name, ()) if one.holds(provider, name, at))
        for one in self._patterns:
            if any(one.holds(provider, name, at) for name in names):
                yield one


def _changed(
    holding: list[PriceDocument], provider: str, model: str, at: int, where: tuple[str, str]
) -> Rates | None:
    """The list's rates with a contract's discount and the factors of a service tier and a region."""
    tier, region = where
    changes: list[str] = []

    def first(facts: Iterator[tuple[PriceDocument, Decimal | None]]) -> Decimal | None:
        for document, factor in facts:
            if factor is not None:
                changes.append(document.version)
                return factor
        return None

    def tier_factor(document: PriceDocument) -> Decimal | None:
        told = document.service_tiers.get(tier)
        return told if isinstance(told, Decimal) else None

    of_tier = None if tier in STANDARD_TIERS else first((one, tier_factor(one)) for one in holding)
    rates = listed(provider, model, at, "" if of_tier is not None else tier)
    if rates is None:
        return None
    discount = first((one, None if one.factor == _ONE else one.factor) for one in holding)
    of_region = first((one, one.regions.get(region)) for one in holding) if region else None
    if not changes:
        return rates
    factor = _ONE
    for told in (of_tier, discount, of_region):
        factor *= _ONE if told is None else told
    return rates.times(factor, "+".join([rates.version, *dict.fromkeys(changes)]))
