"""Documents of kind ``price`` in; rates of our own, and changes to the public list's, out. Pure.

A document with a rate (``input``, ``output``, ...) replaces the list for its model. One without changes the list: a
contract's ``discount_percent``, a factor for a region or for a service tier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, cast

from .listed import EPOCH, STANDARD_TIERS, canonical
from .rates import Rates, Tiers

_MILLION, _THOUSAND, _HUNDRED = Decimal(1_000_000), Decimal(1000), Decimal(100)
TOKEN_FIELDS = (
    "input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning", "input_audio", "output_audio",
    "input_image", "output_image",
)  # fmt: skip
"""Fields of a document in USD per million tokens."""
UNIT_FIELDS = {"per_image": "image", "per_1k_web_searches": "web_search", "per_1k_requests": "request"}
"""Fields of a document in USD per unit, or per thousand, and what ``Rates`` calls them."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PriceDocument:
    """One document: whom and when it holds for, its own rates (None: the list's), and factors on them.

    ``service_tiers`` and ``regions`` map a name to a factor; of the former, also to rates of their own.
    """

    provider: str
    model: str
    start: int
    end: int | None
    rates: Rates | None
    factor: Decimal
    service_tiers: Mapping[str, Rates | Decimal]
    regions: Mapping[str, Decimal]
    version: str

    @property
    def is_pattern(self) -> bool:
        """Whether it names more than one model."""
        return "*" in self.model

    def holds(self, provider: str, model: str, at: int) -> bool:
        """Whether it is about this model at this moment; names in small letters, ``at`` in ns."""
        if self.provider not in ("", "*") and canonical(self.provider) != canonical(provider):
            return False
        if self.start > at or (self.end is not None and at >= self.end):
            return False
        return fnmatchcase(model, self.model) if self.is_pattern else model == self.model

    def own(self, service_tier: str, region: str) -> Rates | None:
        """Its own rates in a service tier and region; None where it has none for that tier."""
        if self.rates is None:
            return None
        found = self.service_tiers.get(service_tier)
        if found is None and self.service_tiers and service_tier not in STANDARD_TIERS:
            return None  # it tells some tiers apart and does not know this one
        base = found if isinstance(found, Rates) else self.rates
        factor = (
            self.factor * (found if isinstance(found, Decimal) else 1) * self.regions.get(region, Decimal(1))
        )
        return base if factor == 1 else base.times(factor, base.version)

    @staticmethod
    def parse(document: Fields) -> PriceDocument:
        """Read one document.

        Raises:
            ValueError: it lacks a model, or holds a rate or date that does not parse.
        """
        model = str(document.get("model") or "").lower().strip()
        if not model:
            raise ValueError("a price document needs a model")
        version = _version(document)
        start, end = document.get("from"), document.get("until")
        has_rates = any(_is_set(document.get(name)) for name in (*TOKEN_FIELDS, *UNIT_FIELDS))
        return PriceDocument(
            provider=str(document.get("provider") or "").lower().strip(),
            model=model,
            start=_instant(start) if start else 0,
            end=_instant(end) if end else None,
            rates=_rates(document, version) if has_rates else None,
            factor=1 - _number("discount_percent", document.get("discount_percent") or 0) / _HUNDRED,
            service_tiers={
                name.lower(): _service_tier(cast(Fields, entry), version)
                for name, entry in _named(document, "service_tiers")
            },
            regions={
                name.lower(): _number(f"regions.{name}", value) for name, value in _named(document, "regions")
            },
            version=version,
        )


def _named(document: Fields, name: str) -> list[tuple[str, object]]:
    return list(cast("dict[str, object]", document.get(name) or {}).items())


def _service_tier(entry: Fields, version: str) -> Rates | Decimal:
    """A factor on the plain rates, or rates that stand alone."""
    if _is_set(entry.get("factor")):
        return _number("factor", entry["factor"])
    return _rates(entry, version)


def _rates(document: Fields, version: str) -> Rates:
    def rate(name: str, otherwise: Tiers | None) -> Tiers | None:
        return _tiers(document, name) or otherwise

    base, output = rate("input", None), rate("output", None)
    write = rate("cache_write", base)
    units = {
        ours: _number(name, document[name]) / (_THOUSAND if "1k" in name else 1)
        for name, ours in UNIT_FIELDS.items()
        if _is_set(document.get(name))
    }
    return Rates(
        input=base,
        cache_read=rate("cache_read", base),
        cache_write=write,
        cache_write_1h=rate("cache_write_1h", write),
        output=output,
        reasoning=rate("reasoning", output),
        input_audio=rate("input_audio", base),
        output_audio=rate("output_audio", output),
        input_image=rate("input_image", base),
        output_image=rate("output_image", output),
        **units,
        source="override",
        version=version,
    )


def _tiers(document: Fields, name: str) -> Tiers | None:
    """The rate of one kind of token: the plain one, then those of longer contexts that name it."""
    value = document.get(name)
    if not _is_set(value):
        return None
    found = [(-1, _number(name, value) / _MILLION)]
    tiers = cast("list[Fields]", document.get("tiers") or [])
    for tier in sorted(tiers, key=lambda one: int(one["above_tokens"])):
        if _is_set(tier.get(name)):
            found.append((int(tier["above_tokens"]), _number(name, tier[name]) / _MILLION))
    return tuple(found)


def _is_set(value: object) -> bool:
    return value is not None and value != ""


def _number(name: str, value: object) -> Decimal:
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        raise ValueError(f"price {name!r}: {value!r} is not a decimal number") from None
    if not number.is_finite() or number < 0:
        raise ValueError(f"price {name!r}: {value!r} must be a finite number of USD, 0 or more")
    return number


def _version(document: Fields) -> str:
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
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000
